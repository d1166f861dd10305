"""Cuts texts into pieces that a language model reads side by side, each after a newline."""

from typing import NamedTuple

import numpy as np

from hiddenstate.text.tokens import END_TOKEN, Ids, Tokens, split

LONGEST = 2048  # maximum number of tokens in a piece


class Piece(NamedTuple):
    """A part of a text: its characters or words, and the ids that the model reads, which start with a newline."""

    tokens: tuple[str, ...]
    ids: Ids


def cut_text(tokens: Tokens, text: str, longest: int = LONGEST) -> list[Piece]:
    """Cut a text into pieces of at most ``longest`` tokens, at line ends if possible.

    Raises:
        ArgumentError: see `Tokens.ids`.
    """
    found: list[str] = []
    for part in split(tokens.level, [text], whole_lines=True):
        found += part
    ids = tokens.ids(found if tokens.level == "word" else "".join(found))
    end = "\n" if tokens.level == "char" else END_TOKEN
    ends = np.flatnonzero(np.fromiter((token == end for token in found), np.bool_, len(found))) + 1
    pieces, at = list[Piece](), 0
    while at < len(found):
        stop = min(at + longest - 1, len(found))
        if stop < len(found):
            k = int(np.searchsorted(ends, stop, side="right")) - 1
            stop = int(ends[k]) if k >= 0 and ends[k] > at else stop
        pieces.append(with_start(tokens, found[at:stop], ids[at:stop]))
        at = stop
    return pieces


def with_start(tokens: Tokens, found: list[str], ids: Ids) -> Piece:
    """Return a piece that begins with the token that precedes every text."""
    return Piece((tokens.tokens[tokens.start], *found), np.concatenate([[tokens.start], ids]).astype(np.int32))
