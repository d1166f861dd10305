"""``hiddenstate tag``: tag words in CoNLL-U, in text that is split into words, or in plain text."""

import json
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.cells import cell_len

from hiddenstate.base.files import written_beside
from hiddenstate.cli.outputs import check_outputs
from hiddenstate.cli.precision import Precision
from hiddenstate.models.folder import load, shipped
from hiddenstate.models.tagging import Guess, Tagging, Tags
from hiddenstate.text.conllu import (
    Sentence,
    from_words,
    looks_like_conllu,
    parse_conllu,
    to_conllu,
    with_comments,
    with_tags,
)
from hiddenstate.text.source import name_of, read_text
from hiddenstate.text.tokenise import sentences, tokenise

TABLE_TAGS = 3


class Input(str, Enum):
    """What the input is."""

    conllu = "conllu"
    tokens = "tokens"
    text = "text"


class Format(str, Enum):
    """How the output is written."""

    conllu = "conllu"
    jsonl = "jsonl"
    table = "table"


# What the name of a file says of it; of any other file its content does.
SUFFIXES = {".conllu": Input.conllu, ".conll": Input.conllu, ".tokens": Input.tokens, ".tok": Input.tokens}


def tag(
    file: Annotated[str, typer.Argument(help="CoNLL-U or text; - reads standard input.", metavar="FILE|-")],
    model: Annotated[
        Path | None,
        typer.Option(help="Folder or name of a tagger; else the shipped one, of English.", metavar="MODEL"),
    ] = None,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="Output; as the input without (conllu, or for text a table)."),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Tags a word, the most probable first. Without: table 3 (1 of a model with several columns), jsonl "
            "all, conllu only the tag itself (with it, the probabilities go into MISC).",
        ),
    ] = None,
    n_best: Annotated[
        int, typer.Option("--n-best", min=0, help="Also the most probable ways to tag the whole sentence, so many.")
    ] = 0,
    out: Annotated[Path | None, typer.Option(help="File to write instead of standard output.", metavar="FILE")] = None,
    input_: Annotated[
        Input | None,
        typer.Option(
            "--input",
            help="What the input is: conllu, tokens (a sentence a line, blanks between words) or text. Without, a "
            "name that ends with .conllu, .tokens or .tok tells, else the content (conllu or text).",
        ),
    ] = None,
    precision: Annotated[Precision, typer.Option(help="bf16 is faster on CPUs with bfloat16.")] = Precision.fp32,
) -> None:
    """Tag every word with a distribution over tags, in each column that the model has.

    Of CoNLL-U all else is kept. Plain text is split into sentences (one a line, if there are several lines) and
    words first.
    """
    check_outputs(out)
    source = sys.stdin.buffer if file == "-" else file
    given, is_conllu = _read(read_text(source), name_of(source), input_ or SUFFIXES.get(Path(file).suffix.lower()))
    tagger = load(model or shipped())
    taggings = tagger.tag([sentence.forms for sentence in given], n_best=n_best, precision=precision.value)
    chosen = format_ or (Format.conllu if is_conllu else Format.table)
    if chosen is Format.conllu:
        written = to_conllu(_filled(*pair, top_k) for pair in zip(given, taggings, strict=True))
    elif chosen is Format.jsonl:
        written = "".join(json.dumps(_data(tagging, top_k), ensure_ascii=False) + "\n" for tagging in taggings)
    else:
        count = top_k or (TABLE_TAGS if len(tagger.columns) == 1 else 1)
        written = "\n".join(_table(tagging, count) for tagging in taggings)
    if out is None:
        typer.echo(written, nl=False)
    else:
        with written_beside(out) as beside:
            beside.write_text(written, encoding="utf-8", newline="\n")


def _read(text: str, name: str, kind: Input | None) -> tuple[list[Sentence], bool]:
    """Return the sentences, and whether they come from CoNLL-U."""
    if kind is Input.conllu or (kind is None and looks_like_conllu(text)):
        return parse_conllu(text, name), True
    split: Callable[[str], list[str]] = str.split if kind is Input.tokens else tokenise
    lines = [line for line in text.split("\n") if line.strip()] if kind is Input.tokens else sentences(text)
    return [from_words(split(line), comments=[f"# text = {line.strip()}"]) for line in lines], False


def _filled(sentence: Sentence, tagging: Tagging, top_k: int | None) -> Sentence:
    """Put the tags of every column, and what more was asked for, into a sentence."""
    for column, tags in tagging.columns.items():
        sentence = with_tags(sentence, tags.tags, None if top_k is None else tags.top(top_k), column)
        best = enumerate(tags.guesses, 1)
        sentence = with_comments(
            sentence, [f"# {column}_best_{k} = {guess.probability:.4f} {' '.join(guess.tags)}" for k, guess in best]
        )
    return sentence


def _data(tagging: Tagging, top_k: int | None) -> dict[str, Any]:
    """Return a sentence for JSON: words, and for the first column and then each further one what `_column` says."""
    first, *others = tagging.columns.items()
    data = {"words": tagging.words, **_column(first[1], top_k)}
    if others:
        data["columns"] = {column: _column(tags, top_k) for column, tags in others}
    return data


def _column(tags: Tags, top_k: int | None) -> dict[str, Any]:
    """Return tags, for each word tags with their probabilities, and the best ways to tag the sentence, if any."""
    shares = [{tag: round(share, 6) for tag, share in word.items()} for word in tags.top(top_k or len(tags.names))]
    data: dict[str, Any] = {"tags": tags.tags, "probabilities": shares}
    if tags.guesses:
        data["n_best"] = [{"tags": guess.tags, "probability": round(guess.probability, 6)} for guess in tags.guesses]
    return data


def _table(tagging: Tagging, top_k: int) -> str:
    """Write a line a word: the word, then tags with their probabilities, the most probable first."""
    width = max((cell_len(word) for word in tagging.words), default=0)
    # Wide characters (Chinese, say) take two cells of a terminal, which str.ljust does not know.
    lines = [word + " " * (width - cell_len(word)) for word in tagging.words]
    for tags in tagging.columns.values():
        tag_width = max(len(name) for name in tags.names)
        for k, shares in enumerate(tags.top(top_k)):
            lines[k] += "".join(f"  {name:{tag_width}} {share:.4f}" for name, share in shares.items())
    lines += [_line(column, guess) for column, tags in tagging.columns.items() for guess in tags.guesses]
    return "\n".join([*lines, ""])


def _line(column: str, guess: Guess) -> str:
    return f"{column.upper()} {guess.probability:.4f}  {' '.join(guess.tags)}"
