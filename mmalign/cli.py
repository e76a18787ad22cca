"""The command line as a whole; nothing heavy is imported before a command needs it."""

from __future__ import annotations

import atexit
import errno
import gc
import sys

import typer

from mmalign import (
    cli_data,
    cli_extract,
    cli_hub,
    cli_latent,
    cli_model,
    cli_play,
    cli_recipes,
    cli_runs,
    cli_train,
)
from mmalign.errors import MmalignError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Align any number of modalities in one latent space, and recognise classes that"
    " were never seen.",
)

INTERRUPTED = 130
# A disk that is full or read-only, a file that may not be read: the user's to mend, not ours.
SURROUNDINGS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
    errno.ENOMEM, errno.EMFILE, errno.ENAMETOOLONG,
)  # fmt: skip


def main() -> None:
    """Run the command line: an MmalignError is one message and exit status 2."""
    atexit.register(gc.freeze)  # a last walk through what goes with the process took 40 ms
    try:
        app()
    except MmalignError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # typer turns Ctrl-C into this, and says nothing
            print("interrupted; what was written stays", file=sys.stderr)
        raise
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone, which is no error of anyone's
        sys.exit(0)
    except OSError as error:
        if error.errno not in SURROUNDINGS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror}; what was written before stays", file=sys.stderr)
        sys.exit(2)


app.add_typer(cli_train.app)
app.add_typer(cli_runs.app)
app.add_typer(cli_extract.app)
app.add_typer(cli_recipes.app)
app.add_typer(cli_model.app)
app.add_typer(cli_latent.app)
app.add_typer(cli_play.app)
app.add_typer(cli_data.app, name="data")
app.add_typer(cli_hub.app)
