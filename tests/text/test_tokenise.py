import difflib
import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate.text.conllu import read_conllu
from hiddenstate.text.tokenise import sentences, tokenise


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Giraffes in a field", "Giraffes in a field"),
        ("I don't know, it's late.", "I do n't know , it 's late ."),
        ("They can't, won't, shouldn't've.", "They ca n't , wo n't , should n't 've ."),
        ("You cannot; we\u2019re gonna win", "You can not ; we \u2019re gon na win"),
        ("the dogs' bowls, Anna's cup", "the dogs ' bowls , Anna 's cup"),
        ("a 15-year-old non-stop e-mail", "a 15 - year - old non-stop e-mail"),
        ("and/or 9/11 w/o A&E", "and / or 9/11 w/o A&E"),
        ("see https://example.org/a?b=c, or www.example.org.", "see https://example.org/a?b=c , or www.example.org ."),
        ("(me.too@example.org)", "( me.too@example.org )"),
        ("It cost $1,200.50 (5%) at 10:30am", "It cost $ 1,200.50 ( 5 % ) at 10:30 am"),
        ("on 11/28/2000, the 5th, in the 1990s", "on 11/28/2000 , the 5th , in the 1990s"),
        ("call 713-853-3989 or +44", "call 713-853-3989 or +44"),
        ("Dr. Who of the U.S. met W. Gray at 5 p.m.", "Dr. Who of the U.S. met W. Gray at 5 p.m."),
        ("Really?! Well... no--never!!! :) ;-)", "Really ?! Well ... no -- never !!! :) ;-)"),
        ("“Yes,” he said", "“ Yes , ” he said"),
        ("open report.doc, etc., or not etc.", "open report.doc , etc. , or not etc ."),
        ("naïve Ångström 東京", "naïve Ångström 東京"),
    ],
)
def test_tokenise(text: str, words: str) -> None:
    assert tokenise(text) == words.split()


@pytest.mark.parametrize("name", ["tokenise", "sentences"])
def test_vectors_shared_with_the_browser(name: str) -> None:
    vectors = json.loads((Path(__file__).parents[1] / "data" / "tokenise.json").read_bytes())[name]
    split = tokenise if name == "tokenise" else sentences
    assert [split(text) for text, _ in vectors] == [expected for _, expected in vectors]


@given(st.text())
def test_tokenise_drops_only_white_space(text: str) -> None:
    words = tokenise(text)
    assert "".join(words) == "".join(text.split())
    assert all(words)


def test_tokenise_nothing() -> None:
    assert tokenise(" \n ") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("One.\n\nTwo. Still two.\n", ["One.", "Two. Still two."]),
        ("Mr. B. Gray of the U.S. Army left. Yes.", ["Mr. B. Gray of the U.S. Army left.", "Yes."]),
        ('He said "no." (She left.) 12 stayed.', ['He said "no."', "(She left.)", "12 stayed."]),
        ("no capital. after it", ["no capital. after it"]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize("piece", ["a-", "a.", "1-123-", ".", "a+", ":)", "x' ", "It is so. ", "^_", "!a", "w/"])
def test_long_texts_take_linear_time(piece: str) -> None:
    start = time.process_time()
    tokenise(piece * 20_000)
    sentences(piece * 20_000)
    assert time.process_time() - start < 5


def test_agrees_with_the_corpus(corpora: Path) -> None:
    right = total = 0
    for sentence in read_conllu(corpora / "ud_english_ewt" / "en_ewt-ud-dev.conllu"):
        text = next(line for line in sentence.lines if line.startswith("# text = "))[9:]
        words = tokenise(text)
        matcher = difflib.SequenceMatcher(None, words, sentence.forms, autojunk=False)
        right += sum(block.size for block in matcher.get_matching_blocks())
        total += len(words) + len(sentence.forms)
    assert 2 * right / total > 0.99


@pytest.mark.parametrize("text", ["The cat sat.", "They got wed.", "He is a rep.", "We met the gen."])
def test_a_word_that_is_an_abbreviation_too_ends_a_sentence(text: str) -> None:
    assert tokenise(text)[-1] == "."
    assert sentences(f"{text} She ran.") == [text, "She ran."]
    assert tokenise("On Sat. we met Rep. Smith")[1] == "Sat."
