import io
from pathlib import Path

import pytest

from hiddenstate.errors import FileFormatError
from hiddenstate.text.passages import from_wikitext, read_untagged

WIKITEXT = """
 = Giraffes =

 The giraffe is a 1 @,@ 000 @-@ kilogram animal . It didn 't eat <unk> leaves . They are 5 @.@ 5 metres tall .

 = = Food = =
 Giraffes ' food is the acacia 's leaves .
"""


def test_wikitext_is_brought_back() -> None:
    assert read_untagged(io.StringIO(WIKITEXT)) == [
        ("The", "giraffe", "is", "a", "1,000", "-", "kilogram", "animal", "."),
        ("They", "are", "5.5", "metres", "tall", "."),
        ("Giraffes", "'", "food", "is", "the", "acacia", "'s", "leaves", "."),
    ]


@pytest.mark.parametrize("word", ["don 't", "he 's", "I 'd", "we 'll", "they 're", "I 've", "I 'm"])
def test_what_stood_behind_an_apostrophe_comes_back_to_its_word(word: str) -> None:
    assert from_wikitext(f"{word} go") == f"{word.replace(' ', '')} go"
    assert from_wikitext(f"{word}ore") == f"{word}ore"


def test_plain_text_stays_as_it_is() -> None:
    text = "Don't go @ 5 o'clock. He 's it .\n = not a heading\n\nTwo sentences. One line."
    assert read_untagged(io.StringIO(text)) == [
        ("Do", "n't", "go", "@", "5", "o'clock", "."),
        ("He", "'", "s", "it", "."),  # WikiText would have split it, but nobody else does
        ("=", "not", "a", "heading"),
        ("Two", "sentences", "."),
        ("One", "line", "."),
    ]


def test_conllu_gives_its_words(tmp_path: Path) -> None:
    path = tmp_path / "a.conllu"
    path.write_text("1\tdon't\t_\tX\t_\t_\t_\t_\t_\t_\n2\t<unk>\t_\t_\t_\t_\t_\t_\t_\t_\n")
    assert read_untagged(path) == [("don't", "<unk>")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff", "not UTF-8"),
        (b" \n\n", "there is no word in it"),
        (b"", "there is no word in it"),
        (b" = Title = \n <unk> @-@ like .\n", "there is no word in it"),
        (b"1\ta\n", "line 1"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "text").write_bytes(data)
    with pytest.raises(FileFormatError, match=f"text.*{message}"):
        read_untagged(tmp_path / "text")


def test_the_words_of_wikitext_look_like_the_treebanks(corpora: Path) -> None:
    text = (corpora / "wikitext2" / "valid.txt").read_text(encoding="utf-8")
    found = read_untagged(io.StringIO(text))
    words = [word for sentence in found for word in sentence]
    assert 40_000 < len(words) < len(text.split())
    assert not {"<unk>", "@-@", "@,@", "@.@", "'t", "="} & set(words)
    assert {"n't", "'s", "-"} <= set(words)
