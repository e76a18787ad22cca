"""A model on the Hugging Face Hub, up and down: its three files, and nothing else."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmalign.bundle import find, load, save_model
from mmalign.bundlefiles import CONFIG, FILES, WEIGHTS, copy
from mmalign.errors import MmalignError
from mmalign.extras import need
from mmalign.model import Model

EXTRA = "hub"


def push_to_hub(
    model: Model | str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    revision: str | None = None,
    endpoint: str | None = None,
) -> str:
    """Upload a model, or the model in a folder, in one commit; gives the commit's address.

    The repository is made where there is none, ``private`` or not as the owner's settings
    have it by default; one that is there keeps its visibility. ``token`` is by default what
    huggingface_hub finds: ``HF_TOKEN``, or that of ``hf auth login``. ``revision`` is a
    branch, ``endpoint`` another hub than the usual one (or ``HF_ENDPOINT``). Raises
    MmalignError for a folder without a sound model, for what the hub refuses, and where it
    cannot be reached; a commit is there in full, or not at all.
    """
    need(EXTRA, "huggingface_hub")
    from huggingface_hub import CommitOperationAdd, HfApi

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place, said(repo_id, revision):
        # From memory or by way of a copy: what is sent is what was found to be sound.
        folder = Path(place) / "model"
        if isinstance(model, Model):
            save_model(model, folder)
        else:
            copy(find(Path(model)), folder)
            load(folder)
        api = HfApi(endpoint=endpoint, token=token, library_name="mmalign")
        if not api.repo_exists(repo_id):
            api.create_repo(repo_id, private=private)
        commit = api.create_commit(
            repo_id,
            [CommitOperationAdd(name, folder / name) for name in FILES],
            commit_message="A model of mmalign",
            revision=revision,
        )
    return str(commit.commit_url)


def from_pretrained(
    repo_id: str,
    revision: str | None = None,
    *,
    token: str | None = None,
    endpoint: str | None = None,
    cache: str | Path | None = None,
) -> Model:
    """Load a model from the Hub: ``model.safetensors``, ``config.json`` and the card alone.

    ``revision`` is a branch, a tag or a commit. Files are kept in ``cache`` (huggingface_hub's
    own by default) and found again there, without a network too. No code is downloaded and
    none is run; plugins that the model needs must be installed. Raises MmalignError for a
    repository that is not there or not to be read, one that holds no model of mmalign, and
    where the hub cannot be reached.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        folder = Path(place) / "model"
        return _fetched(folder, repo_id, revision, token, endpoint, cache)


def pull(
    repo_id: str,
    to: str | Path,
    revision: str | None = None,
    *,
    token: str | None = None,
    endpoint: str | None = None,
    cache: str | Path | None = None,
) -> Model:
    """Download a model into a folder that is not there; see ``from_pretrained``.

    Raises MmalignError too where the folder is there or cannot be written. A model that does
    not load leaves no folder.
    """
    folder = Path(to).expanduser()
    if folder.exists():
        raise MmalignError(f"{folder} is there already; choose a folder that is not")
    try:
        return _fetched(folder, repo_id, revision, token, endpoint, cache)
    except MmalignError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _fetched(
    folder: Path,
    repo_id: str,
    revision: str | None,
    token: str | None,
    endpoint: str | None,
    cache: str | Path | None,
) -> Model:
    """Download, copy to a folder of plain files (the cache is one of links), and load."""
    need(EXTRA, "huggingface_hub")
    from huggingface_hub import snapshot_download

    with said(repo_id, revision):
        found = snapshot_download(
            repo_id,
            revision=revision,
            token=token,
            endpoint=endpoint,
            cache_dir=cache,
            allow_patterns=list(FILES),
            library_name="mmalign",
        )
    snapshot = Path(found)
    if not all((snapshot / name).is_file() for name in (CONFIG, WEIGHTS)):
        raise MmalignError(
            f"'{repo_id}' holds no model of mmalign: {CONFIG} or {WEIGHTS} is not there"
        )
    copy(snapshot, folder, links=True)
    try:
        return load(folder)
    except MmalignError as error:
        problem = str(error).replace(f"{folder}/", "")
        raise MmalignError(f"'{repo_id}' cannot be loaded: {problem}") from None


@contextmanager
def said(repo_id: str, revision: str | None) -> Iterator[None]:
    """Turn what huggingface_hub raises into one line that says what to do."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        problem = f"'{repo_id}' is gated: ask its owner for access on its page"
    except errors.RepositoryNotFoundError:
        problem = (
            f"there is no '{repo_id}' for you: it does not exist, or is private and your token"
            " may not read it (HF_TOKEN, or `hf auth login`)"
        )
    except errors.RevisionNotFoundError:
        problem = f"'{repo_id}' has no revision '{revision}'"
    except errors.HFValidationError as error:
        problem = f"'{repo_id}' is no name of a repository, OWNER/NAME: {_line(error)}"
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        problem = f"'{repo_id}': the hub cannot be reached, and no copy is kept: {_line(error)}"
    except errors.HfHubHTTPError as error:
        problem = _refused(repo_id, error.response.status_code, _line(error))
    except errors.HTTPError as error:  # the network's: no answer came
        problem = f"'{repo_id}': the hub cannot be reached: {_line(error)}"
    except MmalignError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        cause = f": {_line(error.__cause__)}" if error.__cause__ else ""
        problem = f"'{repo_id}': {_line(error)}{cause}"
    else:
        return
    raise MmalignError(problem)


def _refused(repo_id: str, status: int, line: str) -> str:
    if status in (401, 403):
        return (
            f"'{repo_id}': the hub refuses ({status}): your token may not do this; give one that"
            " may (HF_TOKEN, or `hf auth login`)"
        )
    return f"'{repo_id}': the hub answered {status}: {line}"


def _line(error: BaseException) -> str:
    """The first line of what was raised that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
