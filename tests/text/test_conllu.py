import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.text.conllu import (
    Sentence,
    from_words,
    looks_like_conllu,
    parse_conllu,
    read_conllu,
    to_conllu,
    with_tags,
)

DATA = Path(__file__).parents[1] / "data"
ODD = DATA / "odd.conllu"
WORD = "1\tHi\thi\tINTJ\tUH\t_\t0\troot\t_\t_"


def test_read() -> None:
    first, second = read_conllu(ODD)
    assert first.forms == ("I", "ca", "n't", ",", "she", "did", ".")
    assert first.upos == ("PRON", "AUX", "PART", "PUNCT", None, "VERB", "PUNCT")
    assert first.xpos == ("PRP", "MD", "RB", ",", None, "VBD", ".")
    assert (second.forms, second.upos, len(second)) == (("New York",), ("PROPN",), 1)


def test_round_trip_keeps_every_character() -> None:
    # The file ends without a blank line; writing adds it.
    assert to_conllu(read_conllu(ODD)) == ODD.read_text(encoding="utf-8") + "\n"


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", "\r\n"])
def test_empty(text: str) -> None:
    assert read_conllu(io.StringIO(text)) == []


def test_comments_only() -> None:
    (sentence,) = parse_conllu("# nothing but this\n")
    assert (sentence.forms, sentence.lines) == ((), ("# nothing but this",))


@pytest.mark.parametrize(
    "text",
    [
        f"{WORD}\n\n",
        WORD,
        f"\ufeff{WORD}\n",
        f"{WORD}\r\n\r\n",
        f"\n\n{WORD}\n \n\t\n",
        f"# x\r\n{WORD}",
        f"# x\r{WORD}\r\r",
    ],
)
def test_marks_and_line_ends(text: str) -> None:
    for source in (io.StringIO(text), io.BytesIO(text.encode())):
        (sentence,) = read_conllu(source)
        assert (sentence.forms, sentence.upos, sentence.lines[-1]) == (("Hi",), ("INTJ",), WORD)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\tHi\thi\n", "line 1: expected 10 columns .*got 3"),
        ("1 Hi hi INTJ UH _ 0 root _ _\n", "line 1: expected 10 columns .*separated by single tabs, got 1"),
        (f"# a\n{WORD}\n\n# b\n{WORD.replace('1', 'one', 1)}\n", "line 5: 'one' is not a valid ID"),
        (WORD.replace("1", "2", 1), "line 1: expected word ID 1, got 2"),
        (WORD.replace("1", "_", 1), "column ID is _"),
        (f"{WORD}\n{WORD}", r"line 2: expected word ID 2, got 1.*a blank line ends a sentence"),
        (WORD.replace("Hi", ""), "column FORM is empty; write _"),
        (WORD.replace("1", "3-2", 1), "'3-2' is not a valid ID"),
    ],
)
def test_read_fails(text: str, message: str) -> None:
    with pytest.raises(FileFormatError, match=f"^given.conllu, {message}" if message[0] == "l" else message):
        parse_conllu(text, "given.conllu")


def test_read_fails_naming_the_file(tmp_path: Path) -> None:
    bad = tmp_path / "bad.conllu"
    bad.write_bytes(b"\xff\xfe1\tHi")
    with pytest.raises(FileFormatError, match=r"bad\.conllu: not UTF-8 .*convert it to UTF-8"):
        read_conllu(bad)
    bad.write_text("no columns")
    with pytest.raises(FileFormatError, match=r"bad\.conllu, line 1"):
        read_conllu(bad)
    with pytest.raises(FileNotFoundError):
        read_conllu(tmp_path / "none.conllu")


@pytest.mark.parametrize(
    ("ids", "count"),
    [("1-2 1 2", 2), ("1 2-3 2 2.1 3", 3), ("0.1 1", 1), ("1 1001-1002", 1), ("# 1 # 2", 2), ("1.1 2-4", 0)],
)
def test_ranges_empty_nodes_and_comments_between_words(ids: str, count: int) -> None:
    lines = [each if each == "#" else WORD.replace("1", each, 1) for each in ids.split()]
    (sentence,) = parse_conllu("\n".join(lines))
    assert sentence.lines == tuple(lines)
    assert [lines[place].split("\t")[0] for place in sentence.places] == [str(k) for k in range(1, count + 1)]
    assert sentence.forms == ("Hi",) * count
    tagged = with_tags(sentence, ["X"] * count)
    assert tagged.upos == ("X",) * count
    assert [line for line in tagged.lines if line in lines] == [
        line for k, line in enumerate(lines) if k not in sentence.places
    ]


def test_lines_are_counted_past_blank_ones_and_from_a_given_line() -> None:
    text = f"\n\n{WORD}\n\n\n \n# a\n{WORD}\n2\tshort\n"
    for first_line in (1, 100):
        with pytest.raises(FileFormatError, match=f"line {first_line + 8}: expected 10 columns"):
            parse_conllu(text, first_line=first_line)
    with pytest.raises(FileFormatError, match="line 1: column MISC is empty"):
        parse_conllu(WORD[:-1])
    with pytest.raises(FileFormatError, match="line 1: column LEMMA is empty"):
        parse_conllu(WORD.replace("hi", "\u3000"))


def test_with_tags() -> None:
    first, _ = read_conllu(ODD)
    tagged = with_tags(first, ["A", "B", "C", "D", "E", "F", "G"])
    assert tagged.upos == tuple("ABCDEFG")
    before = [line.split("\t") for line in first.lines]
    after = [line.split("\t") for line in tagged.lines]
    assert [row[3] for row in after if row[0].isdigit()] == list("ABCDEFG")
    assert [row[:3] + row[4:] for row in before] == [row[:3] + row[4:] for row in after]
    assert [row for row in before if not row[0].isdigit()] == [row for row in after if not row[0].isdigit()]


def test_with_tags_xpos_and_probabilities() -> None:
    first, _ = read_conllu(ODD)
    shares = [{"A": 0.75, "B": 0.25}] * 7
    once = with_tags(first, ["A"] * 7, shares)
    assert once.lines[-2].endswith("\tSpaceAfter=No|UposProb=A:0.7500,B:0.2500")
    assert once.lines[-1].endswith("\tUposProb=A:0.7500,B:0.2500")
    assert with_tags(once, ["A"] * 7, shares) == once
    other = with_tags(once, ["A"] * 7, shares, column="xpos")
    assert other.xpos == ("A",) * 7
    assert other.lines[-1].split("\t")[3:5] == ["A", "A"]
    assert other.lines[-1].endswith("|XposProb=A:0.7500,B:0.2500")


def test_any_column() -> None:
    text = "1\ta\tb\tNOUN\t_\tCase=Nom|Number=Sing\t0\troot\t_\tX=1\n2\tc\t_\t_\tNN\t_\t_\t_\t_\t_\n"
    (sentence,) = parse_conllu(text)
    assert sentence.tags("upos") == sentence.upos == ("NOUN", None)
    assert sentence.tags("xpos") == sentence.xpos == (None, "NN")
    assert sentence.tags("feats") == ("Case=Nom|Number=Sing", "_")
    assert [sentence.tags(column) for column in ("lemma", "head", "deprel", "deps", "misc")] == [
        ("b", None), ("0", None), ("root", None), (None, None), ("X=1", None)
    ]  # fmt: skip
    shares = [{"Case=Acc|Number=Sing": 0.75, "_": 0.25}] * 2
    tagged = with_tags(sentence, ["Case=Acc|Number=Sing", "_"], shares, column="feats")
    assert tagged.tags("feats") == ("Case=Acc|Number=Sing", "_")
    assert tagged.upos == sentence.upos
    assert tagged.lines[0].split("\t")[9] == "X=1|FeatsProb=Case=Acc;Number=Sing:0.7500,_:0.2500"
    assert with_tags(tagged, ["Case=Acc|Number=Sing", "_"], shares, column="feats") == tagged


def test_with_tags_fails() -> None:
    first, _ = read_conllu(ODD)
    with pytest.raises(ArgumentError, match="7 words need one tag and one probability each, got 2 and 7"):
        with_tags(first, ["A", "B"])
    with pytest.raises(ArgumentError, match="got 7 and 0"):
        with_tags(first, ["A"] * 7, [])


@given(st.lists(st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["C"]), min_size=1)))
def test_from_words_round_trip(words: list[str]) -> None:
    words = [word for word in words if word.strip()]
    sentence = from_words(words, comments=["# text = x"])
    assert parse_conllu(to_conllu([sentence])) == [sentence]
    assert sentence.forms == tuple(words)


@pytest.mark.parametrize("word", ["", " ", "a\tb", "a\n"])
def test_from_words_fails(word: str) -> None:
    with pytest.raises(ArgumentError, match="cannot be a CoNLL-U form"):
        from_words(["good", word])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (WORD, True),
        (f"\n# text = Hi\n\n{WORD}", True),
        ("1-2\tdont", True),
        ("0.1\tgo", True),
        ("", False),
        ("# only a comment", False),
        ("1 dog\n", False),
        ("# title\nOne dog.\n", False),
    ],
)
def test_looks_like_conllu(text: str, expected: bool) -> None:
    assert looks_like_conllu(text) is expected


def test_real_corpus(corpora: Path) -> None:
    path = corpora / "ud_english_ewt" / "en_ewt-ud-dev.conllu"
    sentences = read_conllu(path)
    assert (len(sentences), sum(map(len, sentences))) == (2001, 25147)
    assert to_conllu(sentences) == path.read_text(encoding="utf-8")
    assert all(isinstance(sentence, Sentence) and None not in sentence.upos for sentence in sentences)
