"""Reads and writes CoNLL-U: ten columns for each word, a blank line after each sentence.

A `Sentence` keeps every line as it was read, so that writing changes only the tags: comments,
multiword ranges (``1-2``), empty nodes (``8.1``) and all other columns are written back unchanged.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, islice, pairwise
from typing import TYPE_CHECKING

from conllu.exceptions import ParseException
from conllu.parser import parse_id_value

from hiddenstate.base.reading import reading
from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.text.source import Source, describe_source, read_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COLUMNS = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
# The columns that a tagger can fill, the main ones first.
TAG_COLUMNS = ("upos", "xpos", "feats", "deprel", "lemma", "head", "deps", "misc")

_WHITE_LINE = re.compile(r"\n[^\S\n]+(?=\n|\Z)")
# By code in Latin-1, where ? stands for all other characters.
_MAY_BE_SPACE = bytes([chr(code).isspace() or chr(code) == "?" for code in range(256)])
PIECE = 2**16  # characters
_TOKEN_LINE = re.compile(r"\d+([-.]\d+)?\t")


@dataclass(frozen=True)
class Sentence:
    """The words of one sentence, and the lines from which they were read.

    ``forms[k]``, ``upos[k]`` and ``xpos[k]`` belong to syntactic word k; a tag is None if the file has ``_``.
    ``lines`` are the lines of the file without line ends, ``places[k]`` the index in ``lines`` of word k.
    """

    forms: tuple[str, ...]
    lines: tuple[str, ...]
    places: Sequence[int]

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
    text, number, sentences = _unified(text), first_line, list[Sentence]()
    for piece in _pieces(text):
        table = read_table(piece)
        sentences += table.sentences() if table else _by_block(piece, name, number)
        number += piece.count("\n")
    return sentences


def _pieces(text: str) -> Iterator[str]:
    """Cut a text at sentence ends, because a table takes several times the memory of its text."""
    start = 0
    while start < len(text):
        end = text.find("\n\n", start + PIECE)
        end = len(text) if end < 0 else end + 2
        yield text[start:end]
        start = end


def _by_block(text: str, name: str, number: int) -> Iterator[Sentence]:
    """Read a text, whose first line has this number, sentence by sentence."""
    # str.splitlines would also split at U+2028 and similar characters, which may occur inside a column.
    for block in text.split("\n\n"):
        lines = block.strip("\n")
        if lines:
            leading = len(block) - len(block.lstrip("\n"))
            yield _checked_sentence(lines.split("\n"), name, number + leading)
        number += block.count("\n") + 2


class Table:
    """CoNLL-U whose lines have ten columns each, except for comments above sentences; fast to read and fill."""

    def __init__(
        self, text: str, bounds: "NDArray[np.intp]", counts: Iterable[int], is_word: "NDArray[np.bool_]"
    ) -> None:
        # `bounds` has a row for each line that is not a comment: the places of its tabs, between those of the newlines
        # before and after it. `counts` has the number of words of each sentence.
        self._text, self._bounds, self._is_word = text, bounds[is_word], is_word
        forms = iter(_cells(text, self._bounds, 1))
        self.forms: list[tuple[str, ...]] = [tuple(islice(forms, count)) for count in counts]

    def text(self, columns: Mapping[str, Sequence[str]]) -> str:
        """Return the text with a tag for each word in these columns, and with one blank line after each sentence."""
        text = (self._filled(columns) if columns else self._text).strip("\n") + "\n\n"
        while "\n\n\n" in text:
            text = text.replace("\n\n\n", "\n\n")
        return text

    def _filled(self, columns: Mapping[str, Sequence[str]]) -> str:
        text, bounds = self._text, self._bounds
        for tags in columns.values():
            if len(tags) != len(bounds):
                raise ArgumentError(f"{len(bounds)} words need one tag each, got {len(tags)}")
        new = {COLUMNS.index(column.upper()): tags for column, tags in columns.items()}
        first, last = min(new), max(new)
        # All cells from the first column to the last are replaced, because the columns are mostly neighbours: so the
        # text between them is cut out once for each word.
        cells = [new.get(k) or _cells(text, bounds, k) for k in range(first, last + 1)]
        starts, ends = [0, *bounds[:, last + 1].tolist()], [*(bounds[:, first] + 1).tolist(), len(text)]
        pieces = [""] * (2 * len(starts) - 1)
        pieces[::2] = [text[start:end] for start, end in zip(starts, ends, strict=True)]
        pieces[1::2] = map("\t".join, zip(*cells, strict=True))
        return "".join(pieces)

    def sentences(self) -> list[Sentence]:
        """Return the sentences."""
        sentences, at = list[Sentence](), 0
        for forms, text in zip(self.forms, self.text({})[:-2].split("\n\n"), strict=True):
            lines = tuple(text.split("\n"))
            first = next(k for k, line in enumerate(lines) if line[0] != "#")
            places: Sequence[int] = range(first, len(lines))
            if len(places) != len(forms):
                places = _as_range((first + self._is_word[at : at + len(places)].nonzero()[0]).tolist())
            sentences.append(Sentence(forms, lines, places))
            at += len(lines) - first
        return sentences


def read_table(text: str) -> Table | None:
    """Read whole sentences of CoNLL-U as a table if they have that shape, as most do; otherwise return None."""
    import numpy as np  # here, because a command that only shows its help must not load it

    text = f"\n{_unified(text)}\n"
    codes = np.frombuffer(text.encode("latin-1", "replace"), np.uint8)  # one for each character
    bounds = _bounds(text, codes)
    if bounds is None:
        return None
    ids, is_word = _numbers(codes, bounds)
    others = _cells(text, bounds[~is_word], 0)
    starts = np.flatnonzero(np.append(True, bounds[1:, 0] != bounds[:-1, 10]))
    words = is_word.cumsum()
    words_before = words[starts] - is_word[starts]
    expected = words - words_before.repeat(np.diff(starts, append=len(bounds)))
    if not all(map(_is_range_or_empty, others)) or (ids != expected)[is_word].any():
        return None
    return Table(text, bounds, np.diff(words_before, append=words[-1]).tolist(), is_word)


def _numbers(codes: "NDArray[np.uint8]", bounds: "NDArray[np.intp]") -> "tuple[NDArray[np.intp], NDArray[np.bool_]]":
    """Return the first cell of each line as a number, and whether it is one below 1000, without a leading zero."""
    import numpy as np

    first, last = bounds[:, 0] + 1, bounds[:, 1] - 1
    numbers, are = np.zeros(len(bounds), np.intp), (codes[first] != ord("0")) & (last - first < 3)
    for k in range(3):
        digits, inside = codes[last - k].astype(np.intp) - ord("0"), last - k >= first
        are &= ~inside | (digits >= 0) & (digits <= 9)
        numbers += np.where(inside, digits * 10**k, 0)
    return numbers, are


def _bounds(text: str, codes: "NDArray[np.uint8]") -> "NDArray[np.intp] | None":
    """Return the bounds of a table with this text; None if the text has another shape."""
    import numpy as np

    tabs, newlines = np.flatnonzero(codes == ord("\t")), np.flatnonzero(codes == ord("\n"))
    may_be_space = np.frombuffer(_MAY_BE_SPACE, np.bool_)[codes[tabs + 1]]
    if not len(tabs) or len(tabs) % 9 or any(text[tab + 1].isspace() for tab in tabs[may_be_space].tolist()):
        return None
    rows = tabs.reshape(-1, 9)
    lines = newlines.searchsorted(rows[:, 0]) - 1
    ends = newlines[lines + 1]
    if (rows[:, 8] > ends).any() or not np.diff(lines).all():
        return None  # a line has more than nine tabs, or fewer
    # A blank line is 0, a comment 1, any other line 2. From a line to the next, this falls by one only below a comment
    # without a sentence, or at a comment inside or below one.
    heads = codes[newlines[:-1] + 1]
    kinds = (heads == ord("#")).astype(np.int8)
    kinds[lines] = 2
    if (heads[kinds == 0] != ord("\n")).any() or (np.diff(kinds, append=0) == -1).any():
        return None
    return np.column_stack([newlines[lines], rows, ends])


def _cells(text: str, bounds: "NDArray[np.intp]", column: int) -> list[str]:
    """Return a column of a table."""
    starts, ends = bounds[:, column : column + 2].T.tolist()
    return [text[start + 1 : end] for start, end in zip(starts, ends, strict=True)]


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
    places = range(len(comments), len(comments) + len(words))
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


def with_columns(parsed: Table | list[Sentence], columns: Mapping[str, Sequence[str]]) -> str:
    """Return sentences as CoNLL-U, with a blank line after each and tags in some of their columns."""
    if isinstance(parsed, Table):
        return parsed.text(columns)
    ends = [0, *accumulate(map(len, parsed))]
    for column, tags in columns.items():
        if len(tags) != ends[-1]:
            raise ArgumentError(f"{ends[-1]} words need one tag each, got {len(tags)}")
        parsed = [
            with_tags(sentence, tags[a:b], None, column)
            for sentence, (a, b) in zip(parsed, pairwise(ends), strict=True)
        ]
    return to_conllu(parsed)


def forms_in(parsed: Table | list[Sentence]) -> list[tuple[str, ...]]:
    """Return the words of each sentence."""
    return parsed.forms if isinstance(parsed, Table) else [sentence.forms for sentence in parsed]


def count_words(parsed: Table | list[Sentence]) -> int:
    """Return the number of words."""
    return sum(map(len, parsed.forms if isinstance(parsed, Table) else parsed))


def with_comments(sentence: Sentence, comments: Sequence[str]) -> Sentence:
    """Return the sentence with more comments, each with its ``#``, below the existing ones."""
    if not comments:
        return sentence
    place = next((k for k, line in enumerate(sentence.lines) if not line.startswith("#")), len(sentence.lines))
    lines = (*sentence.lines[:place], *comments, *sentence.lines[place:])
    return Sentence(sentence.forms, lines, tuple(k + len(comments) for k in sentence.places))


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
    return Sentence(tuple(forms), tuple(lines), _as_range(places))


def _as_range(places: Sequence[int]) -> Sequence[int]:
    """Return a range if the places are consecutive, otherwise a tuple, so that equal sentences are equal."""
    together = range(places[0], places[0] + len(places)) if places else range(0)
    return together if places == together or [*places] == [*together] else tuple(places)


@lru_cache(1000)
def _is_range_or_empty(identifier: str) -> bool:
    try:
        return isinstance(parse_id_value(identifier), tuple)
    except (ParseException, ValueError):
        return False


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
