"""The command line: one file for each command, named after it; each calls the library and formats the result.

- `read.py`, `tag.py`, `evaluate.py`, `generate.py`, `score.py`: run the models
- `structure.py`, `version.py`: the weights by gate; what is installed
- `explain.py` and `explain_*.py`: the tools of explanation; `explain_command.py`, `explain_options.py`: what they share
- `train.py`, `train_lm.py`: training; `run_options.py`: what they share
- `studio.py`, `page.py`, `course.py`, `corpus.py`: the studio, its page as a file, the course, corpora
- `outputs.py`, `progress.py`, `precision.py`, `read_table.py`: where output goes; progress bars; options of several
  commands; the table of `read`
"""

import io
import os
import signal
import sys

import typer

from hiddenstate.cli import corpus, explain, train
from hiddenstate.cli.course import course
from hiddenstate.cli.evaluate import evaluate_command
from hiddenstate.cli.generate import generate
from hiddenstate.cli.page import page
from hiddenstate.cli.read import read
from hiddenstate.cli.score import score
from hiddenstate.cli.structure import structure
from hiddenstate.cli.studio import studio
from hiddenstate.cli.tag import tag
from hiddenstate.cli.train_lm import lm
from hiddenstate.cli.version import version
from hiddenstate.errors import HiddenStateError

app = typer.Typer(
    name="hiddenstate",
    help="The LSTM you can see into: watch one read, tag with it, train it, take it apart.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(corpus.app, name="corpus")
app.command()(course)
app.add_typer(explain.app, name="explain")
app.command()(generate)
app.command()(page)
app.command()(read)
app.command()(score)
app.command()(structure)
app.command()(studio)
app.command()(tag)
app.command("evaluate")(evaluate_command)
app.add_typer(train.app, name="train")
train.app.command()(lm)
app.command()(version)


def main() -> None:
    """Run the command line; what a user can mend is said in one line, without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows no σ shows a ? there
            stream.reconfigure(errors="replace")
    try:
        app()
    except BrokenPipeError:  # the reader of our output has gone, as `head` does: no failure of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except HiddenStateError as error:
        sys.exit(f"hiddenstate: {error}")
    except OSError as error:
        plain = error.strerror and error.filename
        sys.exit(f"hiddenstate: {error.filename}: {error.strerror}" if plain else f"hiddenstate: {error}")
    finally:  # all is done and told: while Python ends, which takes a moment, Ctrl-C would only change the exit status
        signal.signal(signal.SIGINT, signal.SIG_IGN)
