"""``hiddenstate tag``: tag words in CoNLL-U or plain text."""

import json
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.cells import cell_len

from hiddenstate.models.folder import load, shipped
from hiddenstate.models.tagger import Tagging
from hiddenstate.text.conllu import Sentence, from_words, looks_like_conllu, parse_conllu, to_conllu, with_tags
from hiddenstate.text.source import name_of, read_text
from hiddenstate.text.tokenise import sentences, tokenise

TABLE_TAGS = 3


class Input(str, Enum):
    """What the input is."""

    conllu = "conllu"
    text = "text"


class Format(str, Enum):
    """How the output is written."""

    conllu = "conllu"
    jsonl = "jsonl"
    table = "table"


def tag(
    file: Annotated[str, typer.Argument(help="CoNLL-U or plain text; - reads standard input.", metavar="FILE|-")],
    model: Annotated[
        Path | None, typer.Option(help="Model folder; the shipped English tagger without.", metavar="DIR")
    ] = None,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="Output; as the input without (conllu, or for text a table)."),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Tags a word, the most probable first. Without: table 3, jsonl all, conllu only the tag itself "
            "(with it, the probabilities go into MISC).",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write instead of standard output.", metavar="FILE")] = None,
    input_: Annotated[
        Input | None, typer.Option("--input", help="What the input is; found out from its content without.")
    ] = None,
) -> None:
    """Tag every word with a distribution over parts of speech.

    Of CoNLL-U all else is kept. Plain text is split into sentences (one a line, if there are several lines) and
    words first.
    """
    source = sys.stdin.buffer if file == "-" else file
    text = read_text(source)
    is_conllu = looks_like_conllu(text) if input_ is None else input_ is Input.conllu
    given = parse_conllu(text, name_of(source)) if is_conllu else _from_text(text)
    tagger = load(model or shipped())
    taggings = tagger.tag(sentence.forms for sentence in given)
    chosen = format_ or (Format.conllu if is_conllu else Format.table)
    if chosen is Format.conllu:
        written = _conllu(given, taggings, top_k, tagger.config.column)
    elif chosen is Format.jsonl:
        written = "".join(_json_line(tagging, top_k or len(tagger.tag_names)) for tagging in taggings)
    else:
        written = "\n".join(_table(tagging, top_k or TABLE_TAGS) for tagging in taggings)
    if out is None:
        typer.echo(written, nl=False)
    else:
        out.write_text(written, encoding="utf-8", newline="\n")


def _from_text(text: str) -> list[Sentence]:
    return [from_words(tokenise(line), comments=[f"# text = {line}"]) for line in sentences(text)]


def _conllu(given: list[Sentence], taggings: list[Tagging], top_k: int | None, column: str) -> str:
    return to_conllu(
        with_tags(sentence, tagging.tags, None if top_k is None else tagging.top(top_k), column)
        for sentence, tagging in zip(given, taggings, strict=True)
    )


def _json_line(tagging: Tagging, top_k: int) -> str:
    """Write a sentence as one JSON object: words, tags, and for each word tags with their probabilities."""
    shares = [{tag: round(share, 6) for tag, share in word.items()} for word in tagging.top(top_k)]
    data = {"words": tagging.words, "tags": tagging.tags, "probabilities": shares}
    return json.dumps(data, ensure_ascii=False) + "\n"


def _table(tagging: Tagging, top_k: int) -> str:
    """Write a line a word: the word, then tags with their probabilities, the most probable first."""
    width = max((cell_len(word) for word in tagging.words), default=0)
    tag_width = max(len(name) for name in tagging.tag_names)
    lines = []
    for word, shares in zip(tagging.words, tagging.top(top_k), strict=True):
        cells = [f"{name:{tag_width}} {share:.4f}" for name, share in shares.items()]
        # Wide characters (Chinese, say) take two cells of a terminal, which str.ljust does not know.
        lines.append("  ".join([word + " " * (width - cell_len(word)), *cells]))
    return "\n".join([*lines, ""])
