import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models.accuracy import evaluate
from hiddenstate.models.config import TaggerConfig
from hiddenstate.models.folder import load, shipped
from hiddenstate.models.tagger import Tagger, Tagging
from hiddenstate.text.conllu import parse_conllu, read_conllu
from hiddenstate.text.vocabulary import Vocabulary

DATA = Path(__file__).parents[1] / "data"
SENTENCES = read_conllu(DATA / "tiny-train.conllu")
SMALL = TaggerConfig(word_size=6, word_minimum=1, char_size=5, char_hidden_size=4, hidden_size=7, word_dropout=0.5)


@pytest.fixture
def tagger() -> Tagger:
    return Tagger.build(SMALL, SENTENCES).eval()


def assert_same(first: Tagging, second: Tagging) -> None:
    assert (first.words, first.tags, first.tag_names) == (second.words, second.tags, second.tag_names)
    torch.testing.assert_close(first.probabilities, second.probabilities, rtol=0, atol=1e-5)


def test_build(tagger: Tagger) -> None:
    assert tagger.tag_names == tuple(sorted({tag for s in SENTENCES for tag in s.upos if tag}))
    assert "dog" in tagger.encoder.words
    assert "Dog" not in tagger.encoder.words
    batch = tagger.encoder.batch([["The", "dog"], ["Yes"]])
    assert tagger.embed(batch).shape == (2, 2, 6 + 2 * 4)
    assert tagger(batch).shape == (2, 2, len(tagger.tag_names))


def test_build_fails() -> None:
    with pytest.raises(ArgumentError, match="at least one tag"):
        Tagger.build(SMALL, parse_conllu("1\ta\t_\t_\t_\t_\t_\t_\t_\t_"))
    with pytest.raises(ArgumentError, match="each once"):
        Tagger(SMALL, Vocabulary((), ()), Vocabulary((), ()), {"upos": ["X", "X"]})
    with pytest.raises(ArgumentError, match="a tagger of upos needs tags for them, got xpos"):
        Tagger(SMALL, Vocabulary((), ()), Vocabulary((), ()), {"xpos": ["X"]})


def test_tag_keeps_order_and_takes_empty_sentences(tagger: Tagger) -> None:
    sentences: list[Sequence[str]] = [["a"], [], ["The", "old", "dog", "sees", "qqq", "!"], ("one", "two"), []]
    taggings = tagger.tag(sentences)
    assert [tagging.words for tagging in taggings] == [tuple(words) for words in sentences]
    for tagging in taggings:
        assert len(tagging.tags) == len(tagging.words)
        assert tagging.probabilities.shape == (len(tagging.words), len(tagger.tag_names))
        torch.testing.assert_close(tagging.probabilities.sum(-1), torch.ones(len(tagging.words)))
        best = [tagger.tag_names[k] for k in tagging.probabilities.argmax(-1)]
        assert tagging.tags == tuple(best)
    assert tagger.tag([]) == []


@pytest.mark.parametrize("batch_words", [1, 20, 100_000])
def test_company_makes_no_difference(tagger: Tagger, batch_words: int) -> None:
    sentences = [sentence.forms for sentence in SENTENCES[:30]]
    together = tagger.tag(sentences, batch_words=batch_words)
    for words, tagging in zip(sentences, together, strict=True):
        (alone,) = tagger.tag([words])
        assert_same(alone, tagging)


def test_tag_fails(tagger: Tagger) -> None:
    with pytest.raises(ArgumentError, match="at least one character"):
        tagger.tag([["a", ""]])
    with pytest.raises(ArgumentError, match="at least 1 word"):
        tagger.tag([["a"]], batch_words=0)


def test_top(tagger: Tagger) -> None:
    (tagging,) = tagger.tag([["The", "dog"]])
    top = tagging.top(3)
    assert [next(iter(word)) for word in top] == list(tagging.tags)
    assert [len(word) for word in top] == [3, 3]
    assert all(list(word.values()) == sorted(word.values(), reverse=True) for word in top)
    assert len(tagging.top(1000)[0]) == len(tagger.tag_names)


def test_read_agrees_with_tag_and_shows_everything(tagger: Tagger) -> None:
    words = ["The", "old", "dog", "sees", "Oslo", "."]
    reading = tagger.read(words)
    assert_same(reading, tagger.tag([words])[0])
    trace = reading.trace
    assert trace.words() == tuple(words)
    assert len(trace.names) == 6 * 2 * 2
    assert trace["l1r.c"].shape == (6, 1, 7)
    # The tags can be computed again from what was recorded.
    top = torch.cat([trace["l1.h"], trace["l1r.h"]], dim=-1)[:, 0]
    with torch.no_grad():
        torch.testing.assert_close(tagger.head(top).softmax(-1), reading.probabilities)


def test_read_fails(tagger: Tagger) -> None:
    with pytest.raises(ArgumentError, match="no word to read"):
        tagger.read([])
    with pytest.raises(ArgumentError, match="at least one character"):
        tagger.read(["a", ""])


def test_tagging_leaves_the_mode_and_has_no_dropout(tagger: Tagger) -> None:
    tagger.train()
    first, second = tagger.tag([["The", "dog"]]) + tagger.tag([["The", "dog"]])
    assert_same(first, second)
    tagger.read(["The"])
    assert tagger.training
    tagger.eval().tag([["a"]])
    assert not tagger.training


def test_rare_words_are_dropped_in_training_only(tagger: Tagger) -> None:
    assert tagger.dropout_odds[0] == 1
    assert tagger.dropout_odds[2] < tagger.dropout_odds[len(tagger.encoder.words) - 1] <= 1 / 3
    batch = tagger.encoder.batch([["dog"] * 400])
    tagger.dropout.p = tagger.char_dropout.p = 0.0
    torch.testing.assert_close(tagger.embed(batch)[:1].expand(400, -1, -1), tagger.embed(batch))
    tagger.train()
    given = tagger.embed(batch)[:, 0, : SMALL.word_size]
    unknown, dog = tagger.word_embedding.weight[[1, *tagger.encoder.words.ids(["dog"])]]
    is_unknown, is_dog = ((given == vector).all(-1) for vector in (unknown, dog))
    assert bool((is_unknown ^ is_dog).all())
    assert 0 < int(is_unknown.sum()) < int(is_dog.sum())


def test_no_word_dropout() -> None:
    tagger = Tagger.build(TaggerConfig(word_dropout=0.0), SENTENCES)
    assert not tagger.dropout_odds.any()


def test_one_layer_builds_without_a_warning() -> None:
    Tagger.build(TaggerConfig(num_layers=1), SENTENCES).read(["a"])


def test_to_data_round_trip(tagger: Tagger) -> None:
    config, vocabulary = json.loads(json.dumps(tagger.to_data()))
    again = Tagger.from_data(config, vocabulary).eval()
    again.load_state_dict(tagger.state_dict())
    assert_same(again.tag([["The", "dog"]])[0], tagger.tag([["The", "dog"]])[0])


@pytest.mark.parametrize(
    ("config", "vocabulary", "message"),
    [
        ([], None, "config must be an object, got list"),
        ({"wings": 2}, None, "unknown field 'wings'"),
        ({"dropout": "much"}, None, "dropout must be of type float, got 'much'"),
        ({"hidden_size": 0}, None, "hidden_size must be at least 1"),
        ({}, {"words": {"tokens": [], "counts": []}}, "'chars'"),
        ({}, {"words": 1}, "not a vocabulary"),
        ({}, [], "not the description of a tagger"),
    ],
)
def test_from_data_fails(tagger: Tagger, config: Any, vocabulary: Any, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        Tagger.from_data(config, tagger.to_data()[1] if vocabulary is None else vocabulary)


def test_shipped_model_is_as_good_as_its_card_says(corpora: Path) -> None:
    tagger = load(shipped())
    row = next(line for line in (shipped() / "MODEL_CARD.md").read_text().splitlines() if line.startswith("| dev |"))
    said = float(row.split("|")[3].removesuffix("% "))
    dev = read_conllu(corpora / "ud_english_ewt" / "en_ewt-ud-dev.conllu")
    assert 100 * evaluate(tagger, dev, known=frozenset())["upos"].accuracy.share == pytest.approx(said, abs=0.05)
    assert said >= 94.5


def test_shipped_model_reads_a_sentence() -> None:
    reading = load(shipped()).read(["The", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "."])
    assert reading.tags == ("DET", "ADJ", "ADJ", "NOUN", "VERB", "ADP", "DET", "ADJ", "NOUN", "PUNCT")
    assert float(reading.probabilities.max(-1).values.min()) > 0.3
