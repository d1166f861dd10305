import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models.model_folder import load_tagger, save, shipped
from hiddenstate.models.tagger.accuracy import evaluate
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.context_vectors import ContextualVectors
from hiddenstate.models.tagger.tagger import Tagger, Tagging
from hiddenstate.text.batches import TagRows
from hiddenstate.text.conllu import parse_conllu, read_conllu
from hiddenstate.text.vocabulary import Vocabulary
from language_models import make

DATA = Path(__file__).parents[2] / "data"
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
    with pytest.raises(ArgumentError, match="without duplicates"):
        Tagger(SMALL, Vocabulary((), ()), Vocabulary((), ()), {"upos": ["X", "X"]})
    with pytest.raises(ArgumentError, match="a tagger of upos needs tags for these columns, got xpos"):
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
    # The tags can be recomputed from the record.
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


COLUMNS = replace(SMALL, columns=("upos", "xpos"))


def grown(tagger: Tagger, by: float = 3.0) -> Tagger:
    """The tagger with larger weights, so that words, and consecutive tags, matter."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in tagger.named_parameters():
            parameter.copy_(by * torch.randn_like(parameter) if "chains" in name else by * parameter)
    return tagger.eval()


@pytest.mark.parametrize("crf", [False, True])
def test_several_columns(crf: bool) -> None:
    tagger = grown(Tagger.build(replace(COLUMNS, crf=crf), SENTENCES))
    assert list(tagger.columns) == ["upos", "xpos"]
    batch = tagger.encoder.batch([["The", "dog"], ["Yes"]])
    scores = tagger.split(tagger(batch))
    assert [part.shape for part in scores.values()] == [(2, 2, len(names)) for names in tagger.columns.values()]
    (tagging,) = tagger.tag([["The", "old", "dog", "sees", "Oslo", "."]])
    assert tagging.main is tagging.columns["upos"]
    for column, tags in tagging.columns.items():
        assert tags.names == tagger.columns[column]
        assert set(tags.tags) <= set(tags.names)
        torch.testing.assert_close(tags.probabilities.sum(-1), torch.ones(6))
    assert tagging.columns["upos"].names != tagging.columns["xpos"].names
    reading = tagger.read(tagging.words)
    for column, tags in reading.columns.items():
        assert tags.tags == tagging.columns[column].tags
        torch.testing.assert_close(tags.probabilities, tagging.columns[column].probabilities)
    rows = [sentence.forms for sentence in SENTENCES] + [()]
    for column, found in tagger.only_tags(has_probabilities=True)(rows).items():
        each = [tagging.columns[column] for tagging in tagger.tag(rows)]
        assert found.tags == [tag for tags in each for tag in tags.tags]
        assert found.tags == tagger.only_tags()(rows)[column].tags
        probabilities = torch.cat([tags.probabilities for tags in each])
        torch.testing.assert_close(found.probabilities, probabilities.gather(1, found.numbers[:, None])[:, 0])
    with pytest.raises(ArgumentError, match="at least one character"):
        tagger.only_tags()([("a", "")])


def test_the_spelling_of_a_word_does_not_depend_on_the_words_beside_it() -> None:
    words = ["".join(random.choices("abcdeé-", k=random.randint(1, 20))) for _ in range(300)]
    tagger = grown(Tagger.build(SMALL, SENTENCES))
    with torch.no_grad():
        every = tagger._word_inputs(words)
        for count in (1, 2, 3, 17, 65, 200):
            chosen = random.sample(range(len(words)), count)
            assert torch.equal(tagger._word_inputs([words[k] for k in chosen]), every[chosen])


@pytest.mark.parametrize("crf", [False, True])
def test_the_loss_is_the_sum_over_columns_and_forgets_words_without_a_tag(crf: bool) -> None:
    both = grown(Tagger.build(replace(COLUMNS, crf=crf, label_smoothing=0.0), SENTENCES))
    words = [["The", "dog"], ["Yes"]]
    tags: TagRows = {"upos": [["DET", "NOUN"], [None]], "xpos": [[None, None], [None]]}
    nothing: TagRows = {column: [[None, None], [None]] for column in ("upos", "xpos")}
    assert float(both.loss(both.encoder.batch(words, nothing)).detach()) == pytest.approx(0, abs=1e-6)
    xpos: TagRows = {"xpos": [["DT", "NN"], ["UH"]]}
    cases: tuple[TagRows, ...] = (tags, {**nothing, **xpos}, {**tags, **xpos})
    one, other, together = (both.loss(both.encoder.batch(words, case)).detach() for case in cases)
    torch.testing.assert_close(together, one + other)
    if not crf:
        shares = both.tag(words)[0].columns["upos"].probabilities
        names = both.columns["upos"]
        want = -(shares[0, names.index("DET")].log() + shares[1, names.index("NOUN")].log()) / 2
        torch.testing.assert_close(one, want)


def test_bfloat16_is_a_coarser_form_of_the_same(tagger: Tagger) -> None:
    sentences = [["The", "old", "dog", "sees", "qqq", "!"], [], ["Yes"]]
    exact, coarse = (tagger.tag(sentences, precision=precision) for precision in ("fp32", "bf16"))
    for a, b in zip(exact, coarse, strict=True):
        assert b.probabilities.dtype == torch.float32
        torch.testing.assert_close(a.probabilities, b.probabilities, rtol=0, atol=1e-2)
    assert not torch.equal(exact[0].probabilities, coarse[0].probabilities)


def test_bfloat16_fails(tagger: Tagger) -> None:
    with pytest.raises(ArgumentError, match="precision must be fp32 or bf16, got 'half'"):
        tagger.tag([["a"]], precision="half")


def test_a_chain_makes_a_difference() -> None:
    """Two words, and transitions that forbid the tags with the highest scores."""
    tagger = Tagger.build(replace(SMALL, crf=True), SENTENCES).eval()
    names = tagger.tag_names
    with torch.no_grad():
        tagger.head.weight.zero_()
        tagger.head.bias.zero_()
        tagger.head.bias[names.index("NOUN")] = 2.0
        tagger.head.bias[names.index("VERB")] = 1.0
        tagger.get_parameter("chains.upos.transitions")[names.index("NOUN"), names.index("NOUN")] = -9.0
    tags = tagger.tag([["a", "b"]])[0].main
    assert tags.tags in {("NOUN", "VERB"), ("VERB", "NOUN")}
    assert float(tags.probabilities[0, names.index("NOUN")]) == pytest.approx(
        float(tags.probabilities[1, names.index("NOUN")])
    )


@pytest.mark.parametrize("crf", [False, True])
def test_a_temperature_evens_out_and_changes_no_tag(crf: bool) -> None:
    tagger = grown(Tagger.build(replace(COLUMNS, crf=crf), SENTENCES))
    words = ["The", "old", "dog"]
    (before,) = tagger.tag([words])
    tagger.calibrate({"xpos": 1.0, "upos": 2.0})
    (after,) = tagger.tag([words])
    want = (before.probabilities.log() / 2).softmax(-1)
    torch.testing.assert_close(after.probabilities, want)
    torch.testing.assert_close(after.columns["xpos"].probabilities, before.columns["xpos"].probabilities)
    assert [tags.tags for tags in before.columns.values()] == [tags.tags for tags in after.columns.values()]
    torch.testing.assert_close(tagger.read(words).probabilities, want)


@pytest.mark.parametrize(
    ("temperatures", "message"),
    [
        ({"upos": 0.0}, "temperature of upos must be between 1e-6 and 1e6, got 0.0"),
        ({"upos": float("inf")}, "must be between 1e-6 and 1e6, got inf"),
        ({"upos": 1e-320}, "must be between 1e-6 and 1e6, got 1e-320"),
        ({"upos": "hot"}, "must be between 1e-6 and 1e6, got 'hot'"),
        ({}, "must be given for upos, got ''"),
        ({"upos": 1.0, "xpos": 1.0}, "must be given for upos, got 'upos xpos'"),
    ],
)
def test_calibrate_fails(tagger: Tagger, temperatures: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        tagger.calibrate(temperatures)


def test_words_in_context() -> None:
    context = ContextualVectors(make(1), make(2, backward=True, hidden_size=4))
    tagger = grown(Tagger.build(SMALL, SENTENCES, context), by=1.0)
    sentences = [["the", "cat", "sat", "."], [], ["so"], ["The", "old", "dog"]]
    assert tagger.lstm.input_size == 6 + 2 * 4 + 7 + 4
    batch = tagger.encode(sentences).batch(range(4))
    torch.testing.assert_close(tagger.embed(batch)[..., -11:], context(sentences), rtol=0, atol=1e-3)
    taggings = tagger.tag(sentences)
    assert_same(tagger.read(sentences[3]), taggings[3])
    with torch.no_grad():
        tagger.lstm.get_parameter("weight_ih_l0")[:, :-11] = 0
        tagger.lstm.get_parameter("weight_ih_l0_reverse")[:, :-11] = 0
    first, second = tagger.tag([["the", "cat"], ["so", "cat"]])
    assert not torch.allclose(first.probabilities[1], second.probabilities[1], atol=1e-6)


def test_context_is_saved_and_stays_as_it_is(tmp_path: Path) -> None:
    context = ContextualVectors(make(1), make(2, backward=True, hidden_size=4, level="char"))
    tagger = Tagger.build(replace(SMALL, weights_dtype="float32"), SENTENCES, context).train()
    assert not any(parameter.requires_grad for parameter in context.parameters())
    tagger.loss(tagger.encode([["a"]], {"upos": [["DET"]]}).batch([0])).backward()
    save(tagger, tmp_path / "model")
    again = load_tagger(tmp_path / "model")
    assert again.context is not None
    assert (again.context.forward_model.config, again.context.backward_model.tokens) == (
        context.forward_model.config,
        context.backward_model.tokens,
    )
    words = ["the", "cat"]
    assert_same(again.tag([words])[0], tagger.tag([words])[0])
    config, vocabulary = tagger.to_data()
    del vocabulary["context"]["backward"]
    with pytest.raises(FileFormatError, match="not a description of contextual vectors: KeyError"):
        Tagger.from_data(config, vocabulary)


def test_one_layer_builds_without_a_warning() -> None:
    Tagger.build(TaggerConfig(num_layers=1), SENTENCES).read(["a"])


@pytest.mark.parametrize("crf", [False, True])
def test_what_calibrated_was_is_kept(crf: bool) -> None:
    tagger = Tagger.build(replace(COLUMNS, crf=crf), SENTENCES).eval()
    tagger.calibrate({"upos": 1.25, "xpos": 0.5})
    config, vocabulary = json.loads(json.dumps(tagger.to_data()))
    again = Tagger.from_data(config, vocabulary).eval()
    again.load_state_dict(tagger.state_dict())
    assert (again.temperatures, again.columns, again.config) == (tagger.temperatures, tagger.columns, tagger.config)
    assert_same(again.tag([["The", "dog"]])[0], tagger.tag([["The", "dog"]])[0])


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
    tagger = load_tagger(shipped())
    row = next(line for line in (shipped() / "MODEL_CARD.md").read_text().splitlines() if line.startswith("| dev |"))
    said = float(next(cell for cell in row.split("|") if cell.endswith("% ")).removesuffix("% "))
    dev = read_conllu(corpora / "ud_english_ewt" / "en_ewt-ud-dev.conllu")
    assert 100 * evaluate(tagger, dev, known=frozenset())["upos"].accuracy.share == pytest.approx(said, abs=0.05)
    assert said >= 95.9


def test_shipped_model_reads_a_sentence() -> None:
    reading = load_tagger(shipped()).read(["The", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "."])
    assert reading.tags == ("DET", "ADJ", "ADJ", "NOUN", "VERB", "ADP", "DET", "ADJ", "NOUN", "PUNCT")
    assert float(reading.probabilities.max(-1).values.min()) > 0.3


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"upos": "ABCD"}, "the tags of upos must be a list of strings, got 'ABCD'"),
        ({"upos": [1, 2]}, "the tags of upos must be a list of strings"),
        ({"upos": ["A", "B\tC"]}, r"tag 'B\\tC' of upos is blank or contains a tab"),
        ({"upos": ["A", " "]}, "tag ' ' of upos is blank"),
        (7, "not the description of a tagger"),
    ],
)
def test_tags_that_conllu_cannot_hold_are_refused(tagger: Tagger, tags: Any, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        Tagger.from_data({}, {**tagger.to_data()[1], "tags": tags})


def test_a_trace_of_sentences_is_that_of_each_read_alone() -> None:
    tagger: Any = hs.load("tagger-en")
    sentences = [["Giraffes", "in", "a", "field"], ["Run", "!"], []]
    run = tagger.trace(sentences, keep=["l1.c", "l0r.f"])
    assert set(run.names) == {"l0r.f", "l1.c"}
    assert [run.words(row) for row in range(3)] == [tuple(words) for words in sentences]
    for row, words in enumerate(sentences[:2]):
        alone = tagger.read(words).trace
        for name in run.names:
            steps = run.pick(name, row=row)[0][: len(words), 0]
            assert torch.allclose(steps, alone.pick(name, row=0)[0][:, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda t: t.tag(["Giraffes", "in"]), "sentence 0 is the text 'Giraffes'.*tokenise"),
        (lambda t: t.tag("Giraffes in"), "'Giraffes in' is a string"),
        (lambda t: t.read("Giraffes in"), "sentence 0 is the text 'Giraffes in'"),
        (lambda t: t.read(5), "sentence 0 must be a list of words, got int"),
        (lambda t: t.tag(5), "sentences must be a list of lists of words, got int"),
        (lambda t: t.tag([5]), "sentence 0 must be a list of words, got int"),
        (lambda t: t.trace([["a", 3]]), "has 3 among its words"),
    ],
)
def test_a_text_in_place_of_words_is_refused(call: Any, match: str) -> None:
    with pytest.raises(TypeError, match=match):
        call(hs.load("tagger-en"))
