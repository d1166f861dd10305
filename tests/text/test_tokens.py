import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.text.source import read_chunks
from hiddenstate.text.tokens import END_TOKEN, UNKNOWN_TOKEN, Tokens, learn, split

LINES = "the cat sat\n\non the <unk> mat\n"
WORDS = ["the", "cat", "sat", "<eos>", "<eos>", "on", "the", "<unk>", "mat", "<eos>"]


def stream(text: str) -> io.BytesIO:
    return io.BytesIO(text.encode())


def words_of(text: str, size: int = 1000, *, whole_lines: bool = True) -> list[str]:
    return [word for part in split("word", read_chunks(stream(text), size), whole_lines=whole_lines) for word in part]


def test_learn_words() -> None:
    tokens, ids = learn(stream(LINES), "word")
    assert tokens.tokens == (UNKNOWN_TOKEN, END_TOKEN, "the", "cat", "mat", "on", "sat")
    assert tokens.counts == (1, 3, 2, 1, 1, 1, 1)
    assert [tokens.tokens[k] for k in ids] == WORDS
    assert ids.dtype == np.int32
    assert tokens.text_of(ids) == LINES
    assert tokens.start == 1


def test_learn_characters() -> None:
    tokens, ids = learn(stream("abba\n戦😀a"), "char")
    assert tokens.tokens == (UNKNOWN_TOKEN, "a", "b", "\n", "戦", "😀")
    assert tokens.counts == (0, 3, 2, 1, 1, 1)
    assert tokens.text_of(ids) == "abba\n戦😀a"
    assert tokens.start == tokens.tokens.index("\n")
    assert tokens.ids("ab?\ud800").tolist() == [1, 2, 0, 0]


def test_a_text_without_line_ends_begins_after_the_unknown() -> None:
    assert learn(stream("ab"), "char")[0].start == 0


@pytest.mark.parametrize("level", ["char", "word"])
def test_rare_tokens_are_unknown(level: str) -> None:
    text = "a a a b b c d" if level == "word" else "aaabbcd"
    few, ids = learn(stream(text), level, minimum=2)
    assert set(few.tokens) >= {UNKNOWN_TOKEN, "a", "b"}
    assert not {"c", "d"} & set(few.tokens)
    assert few.counts[0] == (ids == 0).sum() == (3 if level == "word" else 2)  # the line's end is as rare
    least, ids = learn(stream(text), level, most=2)
    assert least.tokens == (UNKNOWN_TOKEN, "a")
    assert least.counts == (len(ids) - 3, 3)


def test_known_tokens_read_another_text() -> None:
    tokens, _ = learn(stream(LINES), "word")
    assert tokens.text_of(tokens.read(stream("the dog sat\n"))) == "the <unk> sat\n"
    assert tokens.text_of(tokens.encode("the dog")) == "the <unk>"
    assert tokens.encode("").tolist() == []
    assert list(tokens.pieces_of(tokens.encode("on the"), after=2)) == [" on", " the"]


def test_words_are_what_stands_between_white_space() -> None:
    assert words_of("a\tb\xa0c\u3000d") == ["a", "b", "c", "d", END_TOKEN]
    assert words_of(" \n") == [END_TOKEN]
    assert words_of(" ") == []
    assert words_of("a") == ["a", END_TOKEN]
    assert words_of("a", whole_lines=False) == ["a"]
    assert words_of("a\n") == ["a", END_TOKEN]


@given(st.text(alphabet="ab \n\t\x85é"), st.integers(1, 7))
def test_chunks_make_no_difference(text: str, size: int) -> None:
    lines = text.split("\n")
    want = [word for line in lines[:-1] for word in [*line.split(), END_TOKEN]] + lines[-1].split()
    assert words_of(text, size, whole_lines=False) == want
    end = [END_TOKEN] if lines[-1].split() else []
    assert words_of(text, size) == want + end


@pytest.mark.parametrize("level", ["char", "word"])
def test_round_trip_through_data(level: str) -> None:
    tokens, _ = learn(stream(LINES), level)
    assert Tokens.from_data(tokens.to_data()) == tokens


def test_tokens_fail(tmp_path: Path) -> None:
    for source in (stream(""), tmp_path / "empty.txt"):
        (tmp_path / "empty.txt").touch()
        for level in ("char", "word"):
            with pytest.raises(FileFormatError, match=r"(<stream>|empty\.txt): there is no text in it"):
                learn(source, level)
    with pytest.raises(FileFormatError, match="there is no text"):
        learn(stream("a b"), "word")[0].read(stream(" "))
    with pytest.raises(FileFormatError, match="not UTF-8"):
        learn(io.BytesIO(b"\xff\xfe"), "word")
    with pytest.raises(ArgumentError, match="level must be one of char word, got 'byte'"):
        learn(stream("a"), "byte")


@pytest.mark.parametrize(
    "data",
    [
        None,
        {"level": "char"},
        {"level": "byte", "tokens": ["<unk>"], "counts": [0]},
        {"level": "word", "tokens": ["a"], "counts": [0]},
        {"level": "word", "tokens": ["<unk>", "a", "a"], "counts": [0, 1, 1]},
        {"level": "word", "tokens": ["<unk>", 3], "counts": [0, 1]},
        {"level": "word", "tokens": ["<unk>"], "counts": [0, 1]},
        {"level": "char", "tokens": ["<unk>", "ab"], "counts": [0, 1]},
    ],
)
def test_from_data_fails(data: object) -> None:
    with pytest.raises(FileFormatError, match="not the tokens of a language model"):
        Tokens.from_data(data)


def test_wikitext_is_counted_as_others_count_it(corpora: Path) -> None:
    tokens, ids = learn(corpora / "wikitext2" / "train.txt", "word")
    assert (len(tokens), len(ids)) == (33_278, 2_088_628)
    assert [len(tokens.read(corpora / "wikitext2" / f"{part}.txt")) for part in ("valid", "test")] == [217_646, 245_569]


def test_shakespeare_is_counted_as_others_count_it(corpora: Path) -> None:
    tokens, ids = learn(corpora / "tinyshakespeare" / "input.txt", "char")
    assert (len(tokens) - 1, len(ids)) == (65, 1_115_394)
