"""``hiddenstate score``: measures how unexpected a text is to a language model."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.cells import cell_len

from hiddenstate.cli.outputs import (
    STANDARD,
    LanguageModelOption,
    LinesOption,
    OutOption,
    check_outputs,
    chosen_format,
    output,
    standard_input,
    tell,
)
from hiddenstate.cli.sharded import ClusterOption, ColumnOption, ShardsOption, is_sharded, score_shards
from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.text.source import Source, describe_source

if TYPE_CHECKING:
    from hiddenstate.models.language.scoring import Scored, Tally

UNKNOWN_TOKEN = "<unk>"  # as in `text.tokens`, which loads torch
# Wider tokens are rare, and the table is written as the text arrives.
TOKEN_WIDTH = 16


class Format(str, Enum):
    """The output format."""

    table = "table"
    jsonl = "jsonl"
    csv = "csv"
    summary = "summary"


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
        Format | None,
        typer.Option(
            "--format", help="A line for each character or word; summary: only the totals.", show_default="table"
        ),
    ] = None,
    as_json: LinesOption = False,
    out: OutOption = None,
    dynamic: Annotated[
        bool,
        typer.Option("--dynamic", help="Keep training on the text while scoring; the model's folder is not changed."),
    ] = False,
    learning_rate: Annotated[
        float | None, typer.Option(help="With --dynamic: learning rate.", show_default="0.0005")
    ] = None,
    decay: Annotated[
        float | None,
        typer.Option(
            help="With --dynamic: fraction of the change that is undone after each segment.",
            show_default="0.002",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="With --dynamic: tokens per segment.", show_default="20")] = None,
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
    options = {"learning_rate": learning_rate, "decay": decay, "steps": steps}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if given and not dynamic:
        raise ArgumentError(
            f"--{next(iter(given)).replace('_', '-')} only applies to dynamic evaluation; add --dynamic"
        )
    if is_sharded(files, out, shards, cluster):
        assert out is not None
        if dynamic or format_ or as_json:
            raise ArgumentError("a folder of shards is written as Parquet; drop --dynamic, --format and --json")
        score_shards(files, str(model or "shakespeare"), out, column=column, jobs=jobs, cluster=cluster)
        return
    if len(files) != 1:
        raise ArgumentError(
            f"only one file can be scored at a time, got {len(files)}; give --out FOLDER --shards for several"
        )
    (file,) = files
    chosen = chosen_format(format_, as_json, Format.jsonl) or Format.table
    check_outputs(out)
    from hiddenstate.models.language.scoring import Dynamic
    from hiddenstate.models.language.scoring import score as scored_by
    from hiddenstate.models.model_folder import load_language_model, shipped
    from hiddenstate.text.corpora import corpus_path

    loaded = load_language_model(model or shipped("shakespeare"))
    source: Source = standard_input() if file == STANDARD else corpus_path(file)
    parts = scored_by(loaded, source, dynamic=Dynamic(**given) if dynamic else None)
    with output(out, exact=chosen is not Format.table) as stream:
        total = write(parts, chosen, stream)
    if not total.tokens:
        raise FileFormatError(f"{describe_source(source)}: there is no text to score")


def write(parts: "Iterator[Scored]", format_: Format, stream: TextIO) -> "Tally":
    """Write tokens as they are scored, then the totals (for CSV, to standard error)."""
    from hiddenstate.models.language.scoring import Tally
    from hiddenstate.text.tokens import UNKNOWN_ID

    total, line = Tally(), _LINES[format_]
    for part in parts:
        stream.write("" if total.tokens else _HEADS[format_])  # written only once the text could be read
        total += part.tally
        stream.writelines(map(line, part.pieces, part.nats.tolist(), (part.ids == UNKNOWN_ID).tolist()))
        stream.flush()
    if total.tokens and format_ is Format.jsonl:
        stream.write(_json({"summary": _sums(total)}))
    elif total.tokens and format_ is Format.csv:
        tell(_describe(total).rstrip("\n"))
    elif total.tokens:
        stream.write(_describe(total))
    return total


def _table_line(piece: str, nats: float, unknown: bool) -> str:
    shown = piece if piece.isprintable() and not piece.isspace() else repr(piece)
    blanks = " " * (TOKEN_WIDTH - cell_len(shown))
    return f"{shown}{blanks} {nats:9.4f} {nats / math.log(2):9.4f}{f'  {UNKNOWN_TOKEN}' if unknown else ''}\n"


def _json_line(piece: str, nats: float, unknown: bool) -> str:
    return _json({"token": piece, "nats": round(nats, 6), "bits": round(nats / math.log(2), 6), "unknown": unknown})


def _csv_line(piece: str, nats: float, unknown: bool) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([piece, f"{nats:.6f}", f"{nats / math.log(2):.6f}", int(unknown)])
    return buffer.getvalue()


_HEADS = {
    Format.table: f"{'token':{TOKEN_WIDTH}} {'nats':>9} {'bits':>9}\n",
    Format.jsonl: "",
    Format.csv: "token,nats,bits,unknown\n",
    Format.summary: "",
}
_LINES: dict[Format, Callable[[str, float, bool], str]] = {
    Format.table: _table_line,
    Format.jsonl: _json_line,
    Format.csv: _csv_line,
    Format.summary: lambda piece, nats, unknown: "",
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


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False) + "\n"
