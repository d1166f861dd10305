"""Splits CoNLL-U, tokenised text or plain text into sentences, whole or as it arrives."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hiddenstate.base.reading import reading
from hiddenstate.errors import FileFormatError
from hiddenstate.text.conllu import Sentence, from_words, looks_like_conllu, parse_conllu
from hiddenstate.text.source import Source, describe_source, read_text
from hiddenstate.text.tokenise import sentences, tokenise

KINDS = ("conllu", "tokens", "text")
_PARAGRAPH = "paragraph"  # plain text in a single line, which may contain several sentences
_BLANK_LINE = re.compile(r"^[^\S\n]*\n", re.MULTILINE)


@dataclass(frozen=True)
class Passage:
    """Whole sentences of a source, not parsed yet; ``first_line`` is the number of their first line in it."""

    kind: str
    text: str
    name: str
    first_line: int

    @property
    def about_words(self) -> int:
        """The approximate number of words, without parsing."""
        return self.text.count("\n") if self.kind == "conllu" else 1 + len(self.text) // 5

    def sentences(self) -> list[Sentence]:
        """Parse the sentences."""
        if self.kind == "conllu":
            return parse_conllu(self.text, self.name, self.first_line)
        if self.kind == "tokens":
            return [_of_words(line.split(), line) for line in self.text.split("\n") if line.strip()]
        lines = sentences(self.text) if self.kind == _PARAGRAPH else _lines(self.text)
        return [_of_words(tokenise(line), line) for line in lines]


class IncrementalReader:
    """Splits a source's text (of a kind, or found from its first line) into whole sentences as it arrives."""

    def __init__(self, kind: str | None, name: str, *, has_lines: bool = False) -> None:
        self.kind, self._name = kind, name
        self._unfinished: list[str] = []  # parts of the last line, whose end has not arrived yet
        self._lines: list[str] = []  # whole lines of an incomplete sentence, or all lines until the kind is known
        self._line = 1  # the line number of the first of these lines
        self._is_one_line = not has_lines  # whether the plain text so far has at most one line with content

    def feed(self, text: str) -> Iterator[Passage]:
        r"""Yield the sentences that this text completes, if any; its line ends are ``\n``."""
        head, newline, rest = text.rpartition("\n")
        if newline:
            yield from self._passages("".join([*self._unfinished, head, newline]))
            self._unfinished.clear()
        self._unfinished.append(rest)

    def pause(self) -> Iterator[Passage]:
        """Yield sentences that should not wait while the source pauses: for plain text, the first line."""
        if self.kind == "text" and self._lines:
            self._is_one_line = False
            yield self._passage(_PARAGRAPH, "")

    def end(self) -> Iterator[Passage]:
        """Yield the last sentences, once the source has ended."""
        yield from self.feed("\n")
        yield from self.pause()
        if self.kind == "conllu" and self._lines:
            yield self._passage("conllu", "")

    def _passages(self, lines: str) -> Iterator[Passage]:
        """Yield the sentences that whole lines complete."""
        if self.kind == "text" and not lines.strip():
            return  # keeps blank lines from accumulating
        if self.kind is None and any(line.strip() and not line.startswith("#") for line in lines.split("\n")):
            lines = "".join([*self._lines, lines])
            self._lines.clear()
            self.kind = "conllu" if looks_like_conllu(lines) else "text"
        end = self._complete(lines)
        if end:
            yield self._passage(self.kind or "", lines[:end])
        if end < len(lines):
            self._lines.append(lines[end:])

    def _complete(self, lines: str) -> int:
        """Return the length of the part that is complete."""
        if self.kind == "conllu":
            # Search from the last empty line, so that few lines remain.
            start = max(0, lines.rfind("\n\n"))
            return max((match.end() for match in _BLANK_LINE.finditer(lines, start)), default=0)
        if self.kind == "text" and self._is_one_line:
            count = len([*_lines("".join([*self._lines, lines]))])
            self._is_one_line = count < 2
        return 0 if self.kind is None or (self.kind == "text" and self._is_one_line) else len(lines)

    def _passage(self, kind: str, lines: str) -> Passage:
        """Make a passage of the waiting lines and these."""
        text = "".join([*self._lines, lines])
        passage = Passage(kind, text, self._name, self._line)
        self._lines.clear()
        self._line += text.count("\n")
        return passage


def _lines(text: str) -> Iterable[str]:
    # str.splitlines also splits at U+2028 and similar characters.
    return (line.strip() for line in text.splitlines() if line.strip())


def _of_words(words: list[str], line: str) -> Sentence:
    return from_words(words, [f"# text = {line.strip()}"])


UNKNOWN = "<unk>"

# WikiText puts @ around signs inside words, and separates an apostrophe from the word before it.
_SIGN = re.compile(r" @([-,.])@ ")
_APOSTROPHE = re.compile(r" '(?=(?:t|s|d|ll|re|ve|m) )")


def read_untagged(source: Source) -> list[tuple[str, ...]]:
    """Read the words of each sentence.

    From CoNLL-U, the forms are read. Plain text is split line by line into sentences and words (see `tokenise`). Text
    in WikiText's form is restored: ``third @-@ person`` becomes ``third-person``. Headings, and sentences with an
    ``<unk>``, are skipped.

    Args:
        source: a path, or an open stream of text or bytes.

    Raises:
        FileFormatError: it is not UTF-8, is malformed CoNLL-U, or contains no word.
        OSError: it cannot be read.
    """
    text = read_text(source)
    with reading(describe_source(source)):
        if looks_like_conllu(text):
            words = [sentence.forms for sentence in parse_conllu(text, describe_source(source))]
        else:
            words = _split_words(text)
        if not any(words):
            raise FileFormatError(f"{describe_source(source)}: there is no word in it; give text to be tagged")
        return [*filter(None, words)]


def _split_words(text: str) -> list[tuple[str, ...]]:
    lines = text.split("\n")
    if UNKNOWN in text or _SIGN.search(text):
        lines = [from_wikitext(line) for line in lines if not line.startswith(" =")]
    parts = (part for line in lines for part in sentences(line))
    return [tuple(tokenise(part)) for part in parts if UNKNOWN not in part]


def from_wikitext(line: str) -> str:
    """Rejoin words that WikiText splits.

    >>> from_wikitext("It didn 't last 1 @,@ 000 third @-@ person games ' names .")
    "It didn't last 1,000 third-person games ' names ."
    """
    return _APOSTROPHE.sub("'", _SIGN.sub(r"\1", line))
