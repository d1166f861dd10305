"""The command line. Commands are in files by topic; each calls the library and formats the result.

A command imports torch, and whatever needs it, only when it runs, so help and completion don't load it.

- `conventions.py`: what commands share: base classes, options, input and output; `terminal.py`: output to a terminal
- `read.py`: shows a tagger reading; `read_words.py`: its tables, JSON and CSV
- `series.py`: files of numbers: the options of `read` and `explain` for a series model, and what they show
- `tag.py`: tags files, and scores a tagger; `tag_stream.py`: batches of sentences in threads or processes
- `language.py`: generates and scores text with a language model
- `train.py`: trains models: the options, the run, and its progress
- `explain.py`: the explanation tools; `explain_command.py`: what their commands share
- `corpus.py`: corpora by name, indexes and their searches, corpora in shards
- `structure.py`: weights by gate, a model as one file, versions
- `studio.py`: the studio, its page as a file, and the course
"""

import os
import re
import signal
import sys
from typing import Annotated

import typer

from hiddenstate.cli import corpus, explain, train
from hiddenstate.cli.conventions import INTERRUPTED, Command, Commands, standard_output, tell
from hiddenstate.cli.corpus import index, search, units
from hiddenstate.cli.language import generate, score
from hiddenstate.cli.read import read
from hiddenstate.cli.structure import export, structure, version
from hiddenstate.cli.studio import course, page, studio
from hiddenstate.cli.tag import evaluate_command, tag
from hiddenstate.cli.terminal import set_up
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
app.add_typer(explain.app, name="explain")
app.add_typer(train.app, name="train")
for command in (
    *(course, export, generate, index, page, read, score, search, structure, studio),
    *(tag, evaluate_command, units, version),
):
    app.command(command.__name__.removesuffix("_command"), cls=Command)(command)


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
        _fail(_OF_PYTHON.sub(lambda match: f"--{match[1]} {match[2] or ''}".strip(), str(error)))
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.strerror and error.filename else str(error))
    finally:  # all output is written; from here on, Ctrl-C would only change the exit status
        signal.signal(signal.SIGINT, signal.SIG_IGN)


# What errors about a frame advise, as options.
_OF_PYTHON = re.compile(r"\b(missing|gaps|rows|dates)=(?:'([^']*)')?")


def _fail(message: str) -> None:
    tell(f"hiddenstate: {message}")
    sys.exit(1)
