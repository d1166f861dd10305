"""Text that arrives in pieces gives the sentences of the whole text, each as soon as it is complete."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate.errors import FileFormatError
from hiddenstate.text.conllu import Sentence, parse_conllu
from hiddenstate.text.passages import IncrementalReader, Passage
from hiddenstate.text.tokenise import sentences, tokenise

DATA = Path(__file__).parents[1] / "data"
TEXTS = st.text("aB.!? \n\t#1_\u2028", max_size=60)


def read(pieces: list[str], kind: str | None = None) -> list[Sentence]:
    reader = IncrementalReader(kind, "the source")
    passages = [*(passage for piece in pieces for passage in reader.feed(piece)), *reader.end()]
    return parsed(passages)


def parsed(passages: Iterable[Passage]) -> list[Sentence]:
    return [sentence for passage in passages for sentence in passage.sentences()]


def cut(text: str, places: list[int]) -> list[str]:
    ends = sorted(place % (len(text) + 1) for place in places)
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]


@given(TEXTS, st.lists(st.integers(0, 100), max_size=8))
def test_plain_text_in_any_pieces(text: str, places: list[int]) -> None:
    wanted = [tuple(tokenise(line)) for line in sentences(text)]
    assert [sentence.forms for sentence in read(cut(text, places), "text")] == wanted


@given(TEXTS, st.lists(st.integers(0, 100), max_size=8))
def test_words_in_any_pieces(text: str, places: list[int]) -> None:
    wanted = [tuple(line.split()) for line in text.split("\n") if line.strip()]
    assert [sentence.forms for sentence in read(cut(text, places), "tokens")] == wanted


@given(st.lists(st.integers(0, 5000), max_size=8))
def test_conllu_in_any_pieces(places: list[int]) -> None:
    text = (DATA / "odd.conllu").read_text(encoding="utf-8")
    assert read(cut(text, places)) == parse_conllu(text)


def test_a_sentence_comes_as_soon_as_it_is_complete() -> None:
    reader = IncrementalReader("tokens", "")
    assert [s.forms for s in parsed(reader.feed("a b\nc d"))] == [("a", "b")]
    assert list(reader.pause()) == []
    assert [s.forms for s in parsed(reader.feed("\n"))] == [("c", "d")]
    reader = IncrementalReader(None, "")
    assert list(reader.feed("# comment\n1\tHi\t" + "_\t" * 7 + "_\n")) == []
    assert [s.forms for s in parsed(reader.feed("\n"))] == [("Hi",)]


def test_the_first_line_of_text_comes_in_a_pause() -> None:
    reader = IncrementalReader(None, "")
    assert list(reader.feed("Hi. Bye.\n")) == []
    assert [s.forms for s in parsed(reader.pause())] == [("Hi", "."), ("Bye", ".")]
    assert [s.forms for s in parsed(reader.feed("One. Two.\n"))] == [("One", ".", "Two", ".")]


@pytest.mark.parametrize("pieces", [["1\tcut ", "short\n"], ["# a\n\n", "1\tcut short"]])
def test_conllu_fails(pieces: list[str]) -> None:
    line = "\n".join(pieces).count("\n")
    with pytest.raises(FileFormatError, match=rf"the source, line [{line}1-3]: expected 10 columns"):
        read(pieces)
