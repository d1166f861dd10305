"""``hiddenstate generate`` and ``score``: write text with a language model, or measure how much a text surprises it."""

import csv
import io
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer
from rich.cells import cell_len

from hiddenstate.cli.conventions import (
    STANDARD,
    LanguageModelOption,
    LinesOption,
    OutOption,
    Precision,
    check_format,
    check_outputs,
    json_line,
    output,
    standard_input,
    tell,
    text_from,
)
from hiddenstate.cli.corpus import ClusterOption, ColumnOption, ShardsOption, is_sharded, write_shards
from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.text.source import Source, describe_source

if TYPE_CHECKING:
    from hiddenstate.models.language.language_model import LanguageModel
    from hiddenstate.models.language.scoring import Scored, Tally

# Minimum seconds between writes to the terminal: nobody can read faster, and each write takes time.
PAUSE = 0.02
MOST_LENGTH = 10**12  # at a microsecond per token, that takes 11 days
UNKNOWN_TOKEN = "<unk>"  # as in `text.tokens`, which loads NumPy
TOKEN_WIDTH = 16  # wider tokens are rare, and the table is written as the text arrives
ScoreFormat = Literal["table", "jsonl", "csv", "summary"]


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
    precision: Annotated[Precision, typer.Option(help="bf16 writes faster.")] = "fp32",
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
    begin = text_from(prompt).removesuffix("\n") if prompt == STANDARD else read_text(io.StringIO(prompt))
    _warn_of_unknown(loaded, begin)
    if loaded.config.level == "word":
        begin = begin.rstrip(" ")  # each word comes with the space before it
    with output(out, exact=True) as stream:
        if samples == 1:
            stream.write(begin)
            write_slowly(stream, loaded.generate(begin, length, sampling, precision=precision))
            return
        texts = loaded.generate_many(begin, length, samples, sampling, precision=precision)
        stream.writelines(f"--- {number}\n{begin}{text}\n" for number, text in enumerate(texts, 1))


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
    from hiddenstate.text.tokens import UNKNOWN_ID

    ids = model.tokens.encode(prompt)
    count = int((ids == UNKNOWN_ID).sum())
    if count:
        what = "characters" if model.config.level == "char" else "words"
        tell(f"unknown to the model, which reads {UNKNOWN_TOKEN}: {count} of {len(ids)} {what} of the prompt")


def score(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Text file, or part of a corpus, such as wikitext-2:test; - reads standard input. Several files, or "
            "Parquet files, if --out is a folder.",
            metavar="FILE|-...",
        ),
    ],
    model: LanguageModelOption = None,
    format_: Annotated[
        ScoreFormat | None,
        typer.Option(
            "--format", help="A line for each character or word; summary: only the totals.", show_default="table"
        ),
    ] = None,
    as_json: LinesOption = False,
    out: OutOption = None,
    shards: ShardsOption = False,
    cluster: ClusterOption = None,
    column: ColumnOption = "text",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=256, help="Processes that score shards.")] = 1,
) -> None:
    """Score a text: the surprise of each character or word, given everything before it, and the perplexity.

    Unknown words are scored as <unk> and marked; totals are given with and without them. If --out is a folder, a corpus
    is scored in shards, as Parquet, in pieces of at most 2,048 tokens.

    Example: hiddenstate score play.txt --model shakespeare
    """
    if is_sharded(files, out, shards, cluster):
        assert out is not None
        if format_ or as_json:
            raise ArgumentError("a folder of shards is written as Parquet; drop --format and --json")
        from hiddenstate.corpus.tasks import ScoreShards, sum_scores
        from hiddenstate.models.model_folder import load_language_model

        loaded = load_language_model(str(model or "shakespeare"))
        if loaded.config.backward:
            raise ArgumentError("this model reads from the end of a text to its beginning, so it can't score a corpus")
        task, options = ScoreShards(loaded), {"column": column, "shard_bytes": 1 << 18}
        written = write_shards(task, loaded, files, out, {"kind": "score"}, jobs=jobs, cluster=cluster, **options)
        tell(f"  {sum_scores(out, written, task)}")
        return
    if len(files) != 1:
        raise ArgumentError(
            f"only one file can be scored at a time, got {len(files)}; give --out FOLDER --shards for several"
        )
    (file,) = files
    check_format(format_, as_json, "jsonl")
    chosen: ScoreFormat = "jsonl" if as_json else format_ or "table"
    check_outputs(out)
    from hiddenstate.models.language.scoring import score as scored_by
    from hiddenstate.models.model_folder import load_language_model, shipped
    from hiddenstate.text.corpora import corpus_path

    loaded = load_language_model(model or shipped("shakespeare"))
    source: Source = standard_input() if file == STANDARD else corpus_path(file)
    parts = scored_by(loaded, source)
    with output(out, exact=chosen != "table") as stream:
        total = write(parts, chosen, stream)
    if not total.tokens:
        raise FileFormatError(f"{describe_source(source)}: there is no text to score")


def write(parts: "Iterator[Scored]", format_: ScoreFormat, stream: TextIO) -> "Tally":
    """Write tokens as they are scored, then the totals (for CSV, to standard error)."""
    from hiddenstate.models.language.scoring import Tally
    from hiddenstate.text.tokens import UNKNOWN_ID

    total, line = Tally(), _LINES[format_]
    for part in parts:
        stream.write("" if total.tokens else _HEADS[format_])  # written only once the text could be read
        total += part.tally
        stream.writelines(map(line, part.pieces, part.nats.tolist(), (part.ids == UNKNOWN_ID).tolist()))
        stream.flush()
    if total.tokens and format_ == "jsonl":
        stream.write(json_line({"summary": _sums(total)}))
    elif total.tokens and format_ == "csv":
        tell(_describe(total).rstrip("\n"))
    elif total.tokens:
        stream.write(_describe(total))
    return total


def _table_line(piece: str, nats: float, unknown: bool) -> str:
    shown = piece if piece.isprintable() and not piece.isspace() else repr(piece)
    blanks = " " * (TOKEN_WIDTH - cell_len(shown))
    return f"{shown}{blanks} {nats:9.4f} {nats / math.log(2):9.4f}{f'  {UNKNOWN_TOKEN}' if unknown else ''}\n"


def _json_line(piece: str, nats: float, unknown: bool) -> str:
    return json_line({"token": piece, "nats": round(nats, 6), "bits": round(nats / math.log(2), 6), "unknown": unknown})


def _csv_line(piece: str, nats: float, unknown: bool) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([piece, f"{nats:.6f}", f"{nats / math.log(2):.6f}", int(unknown)])
    return buffer.getvalue()


_HEADS = {
    "table": f"{'token':{TOKEN_WIDTH}} {'nats':>9} {'bits':>9}\n",
    "jsonl": "",
    "csv": "token,nats,bits,unknown\n",
    "summary": "",
}
_LINES: dict[ScoreFormat, Callable[[str, float, bool], str]] = {
    "table": _table_line,
    "jsonl": _json_line,
    "csv": _csv_line,
    "summary": lambda piece, nats, unknown: "",
}


def _sums(total: "Tally") -> dict[str, float | None]:
    """Return all totals; None for undefined ones, such as those of known tokens if there are none."""
    sums = {
        "tokens": total.tokens,
        "unknown": total.unknown,
        "unknown_share": total.unknown_share,
        "characters": total.characters,
        "nats": total.nats,
        "nats_per_token": total.mean,
        "perplexity": total.perplexity,
        "known_perplexity": total.known_perplexity,
        "bits_per_character": total.bits_per_character,
    }
    return {name: round(value, 6) if math.isfinite(value) else None for name, value in sums.items()}


def _describe(total: "Tally") -> str:
    lines = {
        "tokens": f"{total.tokens:,}, {total.unknown:,} of them {UNKNOWN_TOKEN} ({100 * total.unknown_share:.2f} %)",
        "surprise": f"{total.mean:.4f} nats = {total.mean / math.log(2):.4f} bits per token",
        "perplexity": f"{total.perplexity:.2f}",
    }
    if total.unknown:
        lines["perplexity of known tokens"] = f"{total.known_perplexity:.2f}"
    note = f" (too low: {UNKNOWN_TOKEN} does not spell out the word it replaces)" if total.unknown else ""
    lines["bits per character"] = f"{total.bits_per_character:.4f}, {total.characters:,} characters{note}"
    return "".join(f"{name:27}{text}\n" for name, text in lines.items())
