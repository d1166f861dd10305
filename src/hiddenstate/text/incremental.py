"""Splits CoNLL-U, tokenised text or plain text into sentences as it arrives."""

from collections.abc import Iterable, Iterator

from hiddenstate.text.conllu import Blocks, Sentence, from_words, looks_like_conllu
from hiddenstate.text.tokenise import sentences, tokenise

KINDS = ("conllu", "tokens", "text")


class IncrementalReader:
    """Splits the text of one source into sentences as it arrives.

    A sentence is returned as soon as it is known to be complete: after the line's end, or for CoNLL-U after the blank
    line. Plain text of a single line is split into sentences, and text of several lines has one sentence per line; so
    the first line is returned when the second one arrives, or when the source pauses or ends.

    Args:
        kind: one of `KINDS`; None to detect it from the first line with content (``conllu`` or ``text``).
        name: the name of the source in messages.
        has_lines: whether plain text is known to have several lines, as a part of a longer text does.
    """

    def __init__(self, kind: str | None, name: str, *, has_lines: bool = False) -> None:
        self.kind = kind
        self._blocks = Blocks(name)
        self._unfinished: list[str] = []  # parts of the last line, whose end has not arrived
        self._undecided: list[str] = []  # blank lines and comments before the kind is known
        self._only: str | None = None  # the only line of plain text so far
        self._has_lines = has_lines  # whether the plain text is known to have several lines

    def feed(self, text: str) -> Iterator[Sentence]:
        r"""Yield the sentences that this text completes; its line ends are ``\n``.

        Raises:
            FileFormatError: a line is not CoNLL-U; names the source and the line.
        """
        head, newline, rest = text.rpartition("\n")
        if newline:
            lines = "".join([*self._unfinished, head]).split("\n")
            self._unfinished.clear()
            yield from self._sentences(lines)
        self._unfinished.append(rest)

    def pause(self) -> Iterator[Sentence]:
        """Yield sentences that should not wait while the source pauses: for plain text, the first line."""
        if self._only is not None:
            line, self._only, self._has_lines = self._only, None, True
            yield from map(_of_text, sentences(line))

    def end(self) -> Iterator[Sentence]:
        """Yield the last sentences, once the source has ended; raises like `feed`."""
        yield from self.feed("\n")
        yield from self.pause()
        yield from self._blocks.end()

    def _sentences(self, lines: list[str]) -> Iterator[Sentence]:
        if self.kind is None:
            self._undecided += lines
            if not any(line.strip() and not line.startswith("#") for line in lines):
                return
            lines, self._undecided = self._undecided, []
            self.kind = "conllu" if looks_like_conllu("\n".join(lines)) else "text"
        if self.kind == "conllu":
            yield from self._blocks.feed(lines)
        elif self.kind == "tokens":
            yield from (from_words(line.split(), [_comment(line)]) for line in lines if line.strip())
        else:
            yield from self._of_lines(part.strip() for line in lines for part in line.splitlines() if part.strip())

    def _of_lines(self, lines: Iterable[str]) -> Iterator[Sentence]:
        for line in lines:
            if self._has_lines:
                yield _of_text(line)
            elif self._only is None:
                self._only = line
            else:
                yield _of_text(self._only)
                yield _of_text(line)
                self._only, self._has_lines = None, True


def _of_text(line: str) -> Sentence:
    return from_words(tokenise(line), [_comment(line)])


def _comment(line: str) -> str:
    return f"# text = {line.strip()}"
