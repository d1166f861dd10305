"""The course's own text: tagged sentences and plain text."""

import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

import hiddenstate
from hiddenstate.text.conllu import Sentence, read_conllu, to_conllu

DATA = Path(hiddenstate.__file__).parent / "course" / "data"
PARTS = ("train", "heldout")
UPOS = {
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM"),
    *("PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"),
}
MARKS = set(".,!?")
# Words that are unambiguous in such a small text: each has one tag everywhere.
ONE_TAG = {
    "the": "DET",
    "a": "DET",
    "an": "DET",
    "of": "ADP",
    "and": "CCONJ",
    "not": "PART",
    "old": "ADJ",
    "my": "PRON",
}
# Words that the lessons are about, with the tags that they must have.
ROLES = {
    "saw": "NOUN VERB",
    "watch": "NOUN VERB",
    "field": "NOUN VERB",
    "light": "ADJ NOUN VERB",
    "man": "NOUN VERB",
    "fish": "NOUN VERB",
    "well": "ADV INTJ NOUN",
    "down": "ADP ADV NOUN",
    "that": "DET PRON SCONJ",
}


def part(name: str) -> list[Sentence]:
    return read_conllu(DATA / f"westbay-{name}.conllu")


def words_of(sentences: list[Sentence]) -> list[str]:
    return [form.lower() for sentence in sentences for form in sentence.forms]


def comment(sentence: Sentence, key: str) -> str:
    return next(line.partition("= ")[2] for line in sentence.lines if line.startswith(f"# {key} ="))


def number_of(sentence: Sentence) -> int:
    return int(comment(sentence, "sent_id").rpartition("-")[2])


@pytest.mark.parametrize("name", PARTS)
def test_every_word_has_a_valid_tag(name: str) -> None:
    for sentence in part(name):
        assert set(sentence.upos) <= UPOS
        assert 4 <= len(sentence) <= 12
        for form, tag in zip(sentence.forms, sentence.upos, strict=True):
            assert (form in MARKS) == (tag == "PUNCT"), sentence.forms
            assert ONE_TAG.get(form.lower(), tag) == tag, sentence.forms


@pytest.mark.parametrize("name", PARTS)
def test_the_words_are_those_of_the_text(name: str) -> None:
    for sentence in part(name):
        spaces = ["" if sentence.lines[place].endswith("SpaceAfter=No") else " " for place in sentence.places]
        built = "".join(form + space for form, space in zip(sentence.forms, spaces, strict=True))
        assert built.rstrip() == comment(sentence, "text")


@pytest.mark.parametrize("name", PARTS)
def test_the_files_are_written_as_the_library_writes(name: str) -> None:
    assert to_conllu(part(name)) == (DATA / f"westbay-{name}.conllu").read_text(encoding="utf-8")


def test_the_split_is_every_fifth_sentence_and_no_sentence_occurs_twice() -> None:
    numbers = {name: [number_of(sentence) for sentence in part(name)] for name in PARTS}
    assert sorted(numbers["train"] + numbers["heldout"]) == list(range(1, 337))
    assert all(number % 5 == 0 for number in numbers["heldout"])
    assert not any(number % 5 == 0 for number in numbers["train"])
    everything = [tuple(form.lower() for form in s.forms) for name in PARTS for s in part(name)]
    assert max(Counter(everything).values()) == 1


def test_some_words_that_are_held_out_are_unknown() -> None:
    known = set(words_of(part("train")))
    held = words_of(part("heldout"))
    share = sum(word not in known for word in held) / len(held)
    assert 0.08 < share < 0.13
    assert {tag for s in part("heldout") for tag in s.upos} <= {tag for s in part("train") for tag in s.upos}


def test_words_in_several_roles() -> None:
    roles: dict[str, set[str | None]] = defaultdict(set)
    for sentence in (s for name in PARTS for s in part(name)):
        for form, tag in zip(sentence.forms, sentence.upos, strict=True):
            roles[form.lower()].add(tag)
    for word, tags in ROLES.items():
        assert roles[word] == set(tags.split()), word
    assert sum(len(tags) > 1 for tags in roles.values()) > 80


def test_the_plain_text_holds_the_sentences_and_then_the_stories() -> None:
    text = (DATA / "westbay.txt").read_text(encoding="utf-8")
    both = sorted(
        (s for name in PARTS for s in part(name)), key=lambda s: int(comment(s, "sent_id").rpartition("-")[2])
    )
    told = " ".join(comment(sentence, "text") for sentence in both)
    assert text.replace("\n", " ").startswith(told + " ")
    assert re.fullmatch(r"[A-Za-z.,!? \n]+", text) is not None
    assert "  " not in text
    assert 15_000 < len(text) < 30_000
    # The held-out part has no characters that are missing from the rest.
    cut = text.rindex("\n", 0, int(len(text) * 0.85)) + 1
    assert set(text[cut:]) <= set(text[:cut])
    assert len(text[cut:].split()) > 500
