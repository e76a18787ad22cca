"""The recipes that come with mmalign: found without reading one, so that listings are quick."""

from __future__ import annotations

from pathlib import Path


def shipped() -> dict[str, Path]:
    """The recipes that come with mmalign, by name."""
    here = Path(__file__).parent
    # Beside the package in a checkout, inside it in a wheel.
    for folder in (here / "recipes", here.parent / "recipes"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.toml"))}
    return {}
