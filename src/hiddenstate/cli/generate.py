"""``hiddenstate generate``: writes text with a language model."""

import io
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from hiddenstate.cli.outputs import STANDARD, LanguageModelOption, OutOption, check_outputs, output, tell, text_from
from hiddenstate.cli.precision import Precision

if TYPE_CHECKING:
    from hiddenstate.models.language.language_model import LanguageModel

# Minimum seconds between writes to the terminal: nobody can read faster, and each write takes time.
PAUSE = 0.02
MOST_LENGTH = 10**12  # at a microsecond per token, that takes 11 days


def generate(
    model: LanguageModelOption = None,
    prompt: Annotated[str, typer.Option(help="Text to continue; - reads standard input.", metavar="TEXT|-")] = "",
    length: Annotated[
        int, typer.Option(min=0, max=MOST_LENGTH, help="Number of characters, or words, to write.")
    ] = 500,
    temperature: Annotated[
        float, typer.Option(help="Below 1, likely tokens become more likely; 0: always the likeliest.")
    ] = 1.0,
    top_k: Annotated[
        int, typer.Option(help="Sample from the K likeliest tokens; 0: all, 1: always the likeliest.")
    ] = 0,
    top_p: Annotated[
        float, typer.Option(help="Sample from the likeliest tokens that together have this probability.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Same seed, same text.")] = 0,
    samples: Annotated[int, typer.Option(min=1, max=10_000, help="Number of texts to write in one batch.")] = 1,
    unknown: Annotated[bool, typer.Option("--unknown", help="Allow <unk> in the text.")] = False,
    precision: Annotated[Precision, typer.Option(help="bf16 writes faster.")] = Precision.fp32,
    out: OutOption = None,
) -> None:
    """Write text with a language model: the prompt and its continuation, as it is generated.

    Several texts are printed once all are complete.

    Example: hiddenstate generate --prompt "ROMEO:" --temperature 0.8
    """
    from hiddenstate.models.language.sampling import Sampling
    from hiddenstate.models.model_folder import load_language_model, shipped
    from hiddenstate.text.source import read_text

    check_outputs(out)
    sampling = Sampling(temperature, top_k, top_p, seed, unknown)
    loaded = load_language_model(model or shipped("shakespeare"))
    # The newline at the end of standard input comes from the shell and is not part of the text.
    given = text_from(prompt).removesuffix("\n") if prompt == STANDARD else read_text(io.StringIO(prompt))
    _warn_of_unknown(loaded, given)
    if loaded.config.level == "word":
        given = given.rstrip(" ")  # each word comes with the space before it
    with output(out, exact=True) as stream:
        if samples == 1:
            stream.write(given)
            write_slowly(stream, loaded.generate(given, length, sampling, precision=precision.value))
            return
        texts = loaded.generate_many(given, length, samples, sampling, precision=precision.value)
        stream.writelines(f"--- {number}\n{given}{text}\n" for number, text in enumerate(texts, 1))


def write_slowly(stream: TextIO, pieces: Iterable[str]) -> None:
    """Write pieces of text as they arrive, a few at a time, and a newline after the last."""
    write, clock, due = stream.write, time.perf_counter, 0.0
    for piece in pieces:
        write(piece)
        if clock() > due:
            stream.flush()
            due = clock() + PAUSE
    write("\n")
    stream.flush()


def _warn_of_unknown(model: "LanguageModel", prompt: str) -> None:
    from hiddenstate.text.tokens import UNKNOWN_ID, UNKNOWN_TOKEN

    ids = model.tokens.encode(prompt)
    count = int((ids == UNKNOWN_ID).sum())
    if count:
        what = "characters" if model.config.level == "char" else "words"
        said = f"unknown to the model, which reads {UNKNOWN_TOKEN}: {count} of {len(ids)} {what} of the prompt"
        tell(said)
