"""``hiddenstate generate``: let a language model write."""

import io
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from hiddenstate.cli.precision import Precision
from hiddenstate.models.folder import load_language_model, shipped
from hiddenstate.models.generation import Sampling
from hiddenstate.models.language import LanguageModel
from hiddenstate.text.source import read_text
from hiddenstate.text.tokens import UNKNOWN_ID, UNKNOWN_TOKEN

# Seconds between two writes to the terminal: people see no more, and each costs.
PAUSE = 0.02


def generate(
    model: Annotated[
        Path | None,
        typer.Option(help="Folder or name of a language model; else the shipped one, of Shakespeare.", metavar="MODEL"),
    ] = None,
    prompt: Annotated[str, typer.Option(help="Text to go on from; - reads standard input.", metavar="TEXT|-")] = "",
    length: Annotated[int, typer.Option(min=0, help="Characters, or words, to write.")] = 500,
    temperature: Annotated[
        float, typer.Option(help="Below 1 likely ones are likelier; 0: always the likeliest.")
    ] = 1.0,
    top_k: Annotated[int, typer.Option(help="Choose among so many; 0 for all, 1: always the likeliest.")] = 0,
    top_p: Annotated[float, typer.Option(help="Choose among the likeliest that together have this probability.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Same seed, same text.")] = 0,
    samples: Annotated[int, typer.Option(min=1, max=10_000, help="Texts to write, side by side.")] = 1,
    unknown: Annotated[bool, typer.Option("--unknown", help=f"{UNKNOWN_TOKEN} may be written too.")] = False,
    precision: Annotated[Precision, typer.Option(help="bf16 writes faster.")] = Precision.fp32,
) -> None:
    """Let a language model write: the prompt and what follows, as it is made. Several texts come when all are done.

    Example: hiddenstate generate --prompt "ROMEO:" --temperature 0.8
    """
    sampling = Sampling(temperature, top_k, top_p, seed, unknown)
    loaded = load_language_model(model or shipped("shakespeare"))
    # Of standard input the last line's end is the shell's, not the text's.
    given = read_text(sys.stdin.buffer).removesuffix("\n") if prompt == "-" else read_text(io.StringIO(prompt))
    _warn_of_unknown(loaded, given)
    if loaded.config.level == "word":
        given = given.rstrip(" ")  # each word comes with the blank before it
    if samples > 1:
        texts = loaded.generate_many(given, length, samples, sampling, precision=precision.value)
        for number, text in enumerate(texts, 1):
            typer.echo(f"--- {number}\n{given}{text}")
        return
    sys.stdout.write(given)
    write_slowly(loaded.generate(given, length, sampling, precision=precision.value))


def write_slowly(pieces: Iterator[str]) -> None:
    """Write pieces of text as they come, a few at a time, and a line's end behind them."""
    write, clock, due = sys.stdout.write, time.perf_counter, 0.0
    for piece in pieces:
        write(piece)
        if clock() > due:
            sys.stdout.flush()
            due = clock() + PAUSE
    write("\n")
    sys.stdout.flush()


def _warn_of_unknown(model: LanguageModel, prompt: str) -> None:
    ids = model.tokens.encode(prompt)
    count = int((ids == UNKNOWN_ID).sum())
    if count:
        what = "characters" if model.config.level == "char" else "words"
        said = f"unknown to the model, which reads {UNKNOWN_TOKEN}: {count} of {len(ids)} {what} of the prompt"
        typer.echo(said, err=True)
