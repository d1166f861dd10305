"""Reads and writes CoNLL-U: ten columns for each word, a blank line after each sentence.

A `Sentence` keeps every line as it was read, so that writing changes only the tags: comments,
multiword ranges (``1-2``), empty nodes (``8.1``) and all other columns are written back unchanged.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from conllu.exceptions import ParseException
from conllu.parser import parse_id_value

from hiddenstate.base.reading import reading
from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.text.source import Source, describe_source, read_text

COLUMNS = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
# The columns that a tagger can fill, the main ones first.
TAG_COLUMNS = ("upos", "xpos", "feats", "deprel", "lemma", "head", "deps", "misc")

_WHITE_LINE = re.compile(r"\n[^\S\n]+(?=\n|\Z)")
_TOKEN_LINE = re.compile(r"\d+([-.]\d+)?\t")


@dataclass(frozen=True)
class Sentence:
    """The words of one sentence, and the lines from which they were read.

    ``forms[k]``, ``upos[k]`` and ``xpos[k]`` belong to syntactic word k; a tag is None if the file has ``_``.
    ``lines`` are the lines of the file without line ends, ``places[k]`` the index in ``lines`` of word k.
    """

    forms: tuple[str, ...]
    lines: tuple[str, ...]
    places: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.forms)

    @property
    def upos(self) -> tuple[str | None, ...]:
        """The tag of each word in the column UPOS."""
        return self.tags("upos")

    @property
    def xpos(self) -> tuple[str | None, ...]:
        """The tag of each word in the column XPOS."""
        return self.tags("xpos")

    def tags(self, column: str) -> tuple[str | None, ...]:
        """Return the tag of each word in a column such as ``"feats"``; None if the file has ``_``.

        In FEATS ``_`` is the tag of a word without features.
        """
        number = COLUMNS.index(column.upper())
        values = [self.lines[place].split("\t", number + 1)[number] for place in self.places]
        return tuple([None if value == "_" and column != "feats" else value for value in values])


def read_conllu(source: Source) -> list[Sentence]:
    """Read a whole CoNLL-U file or open stream.

    A byte-order mark, line ends of any kind, and a missing blank line at the end are accepted. Only the columns ID,
    FORM, UPOS and XPOS are interpreted; the others are kept and never checked.

    Args:
        source: a path, or an open stream of text or bytes.

    Returns:
        The sentences in the order of the file; an empty file is an empty list.

    Raises:
        FileFormatError: a line is not CoNLL-U or the file is not UTF-8; names the file and the line.
        OSError: the file cannot be read.
    """
    return parse_conllu(read_text(source), describe_source(source))


def parse_conllu(text: str, name: str = "<text>", first_line: int = 1) -> list[Sentence]:
    """Read CoNLL-U from a string, like `read_conllu` from a file.

    Args:
        text: whole sentences.
        name: the name of the source in messages.
        first_line: the number of the text's first line in the source.

    Raises:
        FileFormatError: a line is not CoNLL-U; names the source and the line.
    """
    number, sentences = first_line, list[Sentence]()
    # str.splitlines would also split at U+2028 and similar characters, which may occur inside a column.
    for block in _unified(text).split("\n\n"):
        lines = block.strip("\n")
        if lines:
            leading = len(block) - len(block.lstrip("\n"))
            sentences.append(_checked_sentence(lines.split("\n"), name, number + leading))
        number += block.count("\n") + 2
    return sentences


def looks_like_conllu(text: str) -> bool:
    r"""Whether the first line that is neither blank nor a comment starts like a CoNLL-U word.

    >>> looks_like_conllu("# a comment\n1\tHi\thi\tINTJ\tUH\t_\t0\troot\t_\t_\n"), looks_like_conllu("Hi there\n")
    (True, False)
    """
    first = next((line for line in text.split("\n") if line.strip() and not line.startswith("#")), "")
    return _TOKEN_LINE.match(first) is not None


def from_words(words: Sequence[str], comments: Sequence[str] = ()) -> Sentence:
    r"""Make a sentence from bare words, for text that was not CoNLL-U: every column except ID and FORM is ``_``.

    Args:
        words: the words; none may be empty or contain a tab or a line end.
        comments: lines to put above the words, each with its ``#``.

    Raises:
        ArgumentError: a word cannot be a CoNLL-U column.

    >>> from_words(["Hi", "!"]).lines
    ('1\tHi\t_\t_\t_\t_\t_\t_\t_\t_', '2\t!\t_\t_\t_\t_\t_\t_\t_\t_')
    """
    for word in words:
        if not word.strip() or any(mark in word for mark in "\t\n\r"):
            raise ArgumentError(f"word {word!r} cannot be a CoNLL-U form: it is blank or contains a tab or line end")
    lines = [f"{k}\t{word}\t_\t_\t_\t_\t_\t_\t_\t_" for k, word in enumerate(words, 1)]
    places = tuple(range(len(comments), len(comments) + len(words)))
    return Sentence(tuple(words), (*comments, *lines), places)


def with_tags(
    sentence: Sentence,
    tags: Sequence[str],
    probabilities: Sequence[Mapping[str, float]] | None = None,
    column: str = "upos",
) -> Sentence:
    """Return the sentence with these tags in one of its columns, and everything else unchanged.

    Args:
        sentence: the sentence to tag.
        tags: one tag for each word.
        probabilities: for each word, tags with their probabilities, written into MISC as
            ``UposProb=NOUN:0.9876,VERB:0.0101`` (``XposProb``); one that is there already is replaced. A ``|`` in a
            tag is written as ``;`` there.
        column: ``"upos"``, ``"xpos"``, ``"feats"`` or any other.

    Raises:
        ArgumentError: there are not as many tags or probabilities as words.
    """
    counts = len(tags), len(sentence if probabilities is None else probabilities)
    if counts != (len(sentence),) * 2:
        raise ArgumentError(
            f"{len(sentence)} words need one tag and one probability each, got {counts[0]} and {counts[1]}"
        )
    lines, number = list(sentence.lines), COLUMNS.index(column.upper())
    for place, tag in zip(sentence.places, tags, strict=True):
        columns = lines[place].split("\t", number + 1)
        columns[number] = tag
        lines[place] = "\t".join(columns)
    key = f"{column.capitalize()}Prob="
    for place, shares in zip(sentence.places, probabilities or (), strict=False):
        others, misc = lines[place].rsplit("\t", 1)
        lines[place] = f"{others}\t{_with_shares(misc, key, shares)}"
    return Sentence(sentence.forms, tuple(lines), sentence.places)


def to_conllu(sentences: Iterable[Sentence]) -> str:
    """Return the sentences as the text of a CoNLL-U file (a blank line after each)."""
    return "".join("\n".join([*sentence.lines, "", ""]) for sentence in sentences)


def _unified(text: str) -> str:
    """Return the text with plain line ends, and with blank lines emptied."""
    if "\r" in text:
        text = "\n".join([line.rstrip("\r") for line in text.split("\n")])
    return _WHITE_LINE.sub("\n", f"\n{text}")[1:] if _WHITE_LINE.search(f"\n{text}") else text


def _checked_sentence(lines: list[str], name: str, first: int) -> Sentence:
    """Return the sentence whose first line has this number; raises the same errors as `parse_conllu`."""
    forms, places = list[str](), list[int]()
    with reading(name):
        for place, line in enumerate(lines):
            columns = line.split("\t")
            try:
                if line[0] != "#" and _is_word(columns, expected=len(places) + 1):
                    forms.append(columns[1])
                    places.append(place)
            except ParseException as error:
                raise FileFormatError(f"{name}, line {first + place}: {error} in {line[:60]!r}") from error
    return Sentence(tuple(forms), tuple(lines), tuple(places))


def _is_word(columns: list[str], expected: int) -> bool:
    """Whether the line is a word (not a range or an empty node); raises ParseException if it is not CoNLL-U."""
    if columns[0] == str(expected) and len(columns) == len(COLUMNS) and all(map(str.strip, columns)):
        return True
    if len(columns) != len(COLUMNS):
        raise ParseException(
            f"expected {len(COLUMNS)} columns ({' '.join(COLUMNS)}) separated by single tabs, got {len(columns)}"
        )
    for column, value in zip(COLUMNS, columns, strict=True):
        if not value.strip():
            raise ParseException(f"column {column} is empty; write _ for a missing value")
    identifier = parse_id_value(columns[0])
    if identifier is None:
        raise ParseException("column ID is _; number words 1, 2, 3 ...")
    if isinstance(identifier, int) and identifier != expected:
        raise ParseException(
            f"expected word ID {expected}, got {identifier}; number words 1, 2, 3 ... (a blank line ends a sentence)"
        )
    return isinstance(identifier, int)


def _with_shares(misc: str, key: str, shares: Mapping[str, float]) -> str:
    kept = [item for item in misc.split("|") if item != "_" and not item.startswith(key)]
    return "|".join([*kept, key + ",".join(f"{tag.replace('|', ';')}:{share:.4f}" for tag, share in shares.items())])
