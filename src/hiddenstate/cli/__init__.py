"""The command line. Most commands have a file of the same name, which calls the library and formats the result.

A command imports torch, and whatever needs it, only when it runs, so help and completion don't load it.

- `read.py`, `tag.py`, `evaluate.py`, `generate.py`, `score.py`: run the models; `read_*.py` and `tag_*.py` belong to
  the first two
- `index.py`: indexes a corpus, shows units, searches
- `structure.py`, `export.py`, `version.py`: show the weights by gate; write a model as one file; show versions
- `explain.py` and `explain_*.py`: the explanation tools; `explain_command.py`, `explain_options.py` and
  `explain_read.py`: their common parts
- `train.py`, `train_lm.py`: training; `run_options.py`: their common options
- `studio.py`, `page.py`, `course.py`, `corpus.py`: the studio, its page as a file, the course, corpora
- `sharded.py`: `tag` and `score` with a folder of shards as output
- `outputs.py`: the convention for output; `terminal.py`: output to a terminal; `commands.py`: help, Ctrl-C
- `progress.py`, `precision.py`: progress bars and an option that several commands share
"""

import os
import signal
import sys
from typing import Annotated

import typer

from hiddenstate.cli import corpus, explain, train
from hiddenstate.cli.commands import INTERRUPTED, Command, Commands
from hiddenstate.cli.course import course
from hiddenstate.cli.evaluate import evaluate_command
from hiddenstate.cli.export import export
from hiddenstate.cli.generate import generate
from hiddenstate.cli.index import index, search, units
from hiddenstate.cli.outputs import standard_output, tell
from hiddenstate.cli.page import page
from hiddenstate.cli.read import read
from hiddenstate.cli.score import score
from hiddenstate.cli.structure import structure
from hiddenstate.cli.studio import studio
from hiddenstate.cli.tag import tag
from hiddenstate.cli.terminal import set_up
from hiddenstate.cli.train_lm import lm
from hiddenstate.cli.version import version
from hiddenstate.errors import HiddenStateError

app = typer.Typer(
    name="hiddenstate",
    cls=Commands,
    help="The LSTM you can see into: watch one read, tag with it, train it, take it apart.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(corpus.app, name="corpus")
app.command(cls=Command)(course)
app.add_typer(explain.app, name="explain")
app.command(cls=Command)(export)
app.command(cls=Command)(generate)
app.command(cls=Command)(index)
app.command(cls=Command)(page)
app.command(cls=Command)(read)
app.command(cls=Command)(score)
app.command(cls=Command)(search)
app.command(cls=Command)(structure)
app.command(cls=Command)(studio)
app.command(cls=Command)(tag)
app.command("evaluate", cls=Command)(evaluate_command)
app.add_typer(train.app, name="train")
train.app.command(cls=Command)(lm)
app.command(cls=Command)(units)
app.command(cls=Command)(version)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version as installed

        standard_output(exact=False).write(f"hiddenstate {installed('hiddenstate')}\n")
        raise typer.Exit


@app.callback()
def every_command(
    _: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """The LSTM you can see into: watch one read, tag with it, train it, take it apart."""


def main() -> None:
    """Run the command line; errors that a user can fix are printed in one line, without a traceback."""
    set_up()
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # not an error: the reader closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except HiddenStateError as error:
        _fail(str(error))
    except OSError as error:
        plain = error.strerror and error.filename
        _fail(f"{error.filename}: {error.strerror}" if plain else str(error))
    finally:  # all output is written; from here on, Ctrl-C would only change the exit status
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _fail(message: str) -> None:
    tell(f"hiddenstate: {message}")
    sys.exit(1)
