"""Reads the words of untagged text, from CoNLL-U or plain text, for a tagger."""

import re

from hiddenstate.base.reading import reading
from hiddenstate.errors import FileFormatError
from hiddenstate.text.conllu import looks_like_conllu, parse_conllu
from hiddenstate.text.source import Source, describe_source, read_text
from hiddenstate.text.tokenise import sentences, tokenise

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
            found = [sentence.forms for sentence in parse_conllu(text, describe_source(source))]
        else:
            found = _split_words(text)
        if not any(found):
            raise FileFormatError(f"{describe_source(source)}: there is no word in it; give text to be tagged")
        return [words for words in found if words]


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
