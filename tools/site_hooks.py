"""What ``mkdocs build`` does besides: files of the repository as pages, and formulas as MathML.

The pages of docs/ link to one another and to files beside docs/, as a code-hosting site wants
it. In the built site a file that a page links to is a page of its own, below ``source/``. Formulas
become MathML here, when the site is built, so that a reader's browser needs no script for them.
"""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# Files of the repository's root that are pages of the site, and the pages' names.
PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
HOME = {"README.md": "index.md"}
PICTURES = (".png", ".svg")
LANGUAGES = {".py": "python", ".toml": "toml", ".csv": "text", ".txt": "text", "": "make"}
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</\1>', flags=re.DOTALL
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from the repository's root, and a page for every file that is linked to."""
    for name, uri in PAGES.items():
        files.append(File.generated(config, uri, content=(ROOT / name).read_text("utf-8")))
    for path in sorted({path for uri in pages(files) for path in beside(uri)}):
        uri, where = uri_of(path), InclusionLevel.NOT_IN_NAV
        if path.endswith(PICTURES):
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
        else:
            files.append(File.generated(config, uri, content=quoted(path), inclusion=where))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files beside docs/ into links to their pages."""
    here, at = home_of(page.file.src_uri), posixpath.dirname(page.file.src_uri)
    if here is None:
        return markdown

    def turned(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(here), match[1]))
        return posixpath.relpath(uri_of(path), at or ".") + (match[2] or "")

    return LINK.sub(turned, markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Write formulas as MathML."""

    def written(match: re.Match[str]) -> str:
        display = "block" if match[1] == "div" else "inline"
        formula = str(convert(html.unescape(match["tex"]).strip(), display=display))
        # A wide one scrolls in a narrow window, which a keyboard must reach.
        return (
            formula.replace("<math ", '<math tabindex="0" ', 1) if display == "block" else formula
        )

    return FORMULA.sub(written, content)


def on_post_page(output: str, **_: Any) -> str:
    """Give the theme's search dialog a name, which screen readers look for."""
    dialog = '<div class="md-search" data-md-component="search" role="dialog"'
    return output.replace(dialog, f'{dialog} aria-label="Search"')


def pages(files: Files) -> Iterator[str]:
    """The pages that people wrote."""
    yield from (file.src_uri for file in files.documentation_pages())


def home_of(uri: str) -> str | None:
    """A page's file in the repository; None of a page that was made here."""
    if uri.startswith("source/"):
        return None
    return {made: name for name, made in PAGES.items()}.get(uri, f"docs/{uri}")


def beside(uri: str) -> Iterator[str]:
    """The files of the repository, outside docs/, that a page links to."""
    here = home_of(uri)
    if here is None:
        return
    for match in LINK.finditer((ROOT / here).read_text("utf-8")):
        path = posixpath.normpath(posixpath.join(posixpath.dirname(here), match[1]))
        if not path.startswith("docs/") and path not in (*PAGES, *HOME) and (ROOT / path).exists():
            yield path


def uri_of(path: str) -> str:
    """What a file of the repository is called in the site."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path in (*PAGES, *HOME):
        return (PAGES | HOME)[path]
    return f"source/{path}" if path.endswith(PICTURES) else f"source/{path}.md"


def quoted(path: str) -> str:
    """The page of a file, or of a folder: the text of each of its files."""
    files = [ROOT / path]
    if files[0].is_dir():
        files = sorted(each for each in files[0].rglob("*") if shown(each))
    parts = [f"# {path}\n\nThis file as it stands in the repository.\n"]
    for file in files:
        if len(files) > 1:
            parts.append(f"## {file.relative_to(ROOT / path).as_posix()}\n")
        parts.append(f"~~~~{LANGUAGES.get(file.suffix, 'text')}\n{file.read_text('utf-8')}\n~~~~\n")
    return "\n".join(parts)


def shown(path: Path) -> bool:
    """Whether a file of a folder is text that somebody wrote."""
    return path.suffix in (".py", ".toml", ".md", ".csv") and "__pycache__" not in path.parts
