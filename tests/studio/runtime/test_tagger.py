import random
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hiddenstate.models.model_folder import load_tagger, shipped
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.context_vectors import ContextualVectors
from hiddenstate.models.tagger.tagger import Reading, Tagger
from hiddenstate.studio.bundles import opening
from hiddenstate.text.conllu import read_conllu
from hiddenstate.text.vocabulary import Vocabulary
from language_models import make as make_language_model
from studio.bundles import Bundle, bundle_of
from studio.runtime.driver import ATOL, Runtime, close, head_of, values_of

WORDS = Vocabulary(("the", "cat", "a", "straße", "i̇stanbul", "戦", "ας"), (9, 8, 7, 6, 5, 4, 3))
CHARS = Vocabulary(tuple("abcdefghijklmnopqrstuvwxyzTHE戦ßσς😀́"), (1,) * 35)
TAGS = {"upos": ("ADJ", "NOUN", "VERB"), "xpos": ("NN", "NNS", "VB", "VBZ", "_")}
SENTENCES = [
    ["The", "cat", "sat", "."],
    ["THE"],
    ["Straße", "STRASSE", "İstanbul", "ΑΣ", "ΑΣ.", "ας", "戦", "戦😀", "e\u0301", "😀" * 40],
    ["abcdefghijklmno", "abcdefgh" * 3, "x", "a" * 200, "..."],
]
SMALL = TaggerConfig(word_size=5, char_size=4, char_hidden_size=3, hidden_size=6, num_layers=2, max_chars=7)
KINDS: dict[str, dict[str, Any]] = {
    "one column": {},
    "two columns": {"columns": ("upos", "xpos")},
    "one layer": {"num_layers": 1, "max_chars": 30},
    "chain": {"crf": True},
    "two chains": {"columns": ("xpos", "upos"), "crf": True},
    "one way": {"bidirectional": False},
    "words as they are, without spelling": {"char_hidden_size": 0, "lower_case": False},
}


def make(context: ContextualVectors | None = None, **settings: Any) -> Tagger:
    torch.manual_seed(1)
    config = replace(SMALL, **settings)
    tagger = Tagger(config, WORDS, CHARS, {column: TAGS[column] for column in config.columns}, context)
    with torch.no_grad():
        for parameter in tagger.parameters():
            parameter.copy_(torch.randn_like(parameter) / 2)
    tagger.calibrate({column: 0.7 + 0.6 * k for k, column in enumerate(config.columns)})
    return tagger.eval()


def check(runtime: Runtime, tagger: Tagger, sentences: list[list[str]], atol: float = ATOL) -> None:
    for words, found in zip(sentences, runtime.heads(sentences), strict=True):
        reading = tagger.read(words)
        for column, logits in tagger.split(scores_of(tagger, reading)).items():
            head, tags = found[column], reading.columns[column]
            assert head.labels == tags.names
            close(head.logits, logits, atol, rtol=1e-6)  # the rounding error of Python's float32 sums of large scores
            close(head.probabilities, tags.probabilities, atol)
            assert head.chosen == tags.tags


def check_exactly(runtime: Runtime, tagger: Tagger, sentences: list[list[str]]) -> None:
    """The page adds up in doubles, so it is closer to the exact numbers than Python's float32."""
    exact = deepcopy(tagger).double()
    for words, found in zip(sentences, runtime.heads(sentences), strict=True):
        for column, logits in exact.split(scores_of(exact, exact.read(words))).items():
            close(found[column].logits, logits, atol=3e-6)


def scores_of(tagger: Tagger, reading: Reading) -> torch.Tensor:
    assert isinstance(reading.trace.out, torch.Tensor)
    with torch.no_grad():
        return tagger.head(reading.trace.out)[:, 0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_tagger(runtime: Runtime, settings: dict[str, Any]) -> None:
    tagger = make(**settings)
    runtime.load(bundle_of(tagger))
    check(runtime, tagger, SENTENCES)


def test_gates_and_states(runtime: Runtime) -> None:
    tagger = make()
    runtime.load(bundle_of(tagger))
    run, trace = runtime.run(SENTENCES[2]), tagger.read(SENTENCES[2]).trace
    for place, values in values_of(run).items():
        close(values, trace[place][:, 0])
    assert [track["info"]["name"] for track in run["tracks"]] == ["l0", "l0r", "l1", "l1r"]
    assert run["tokens"] == SENTENCES[2]
    assert run["known"] == [word.lower() in WORDS for word in SENTENCES[2]]
    close(
        run["tracks"][0]["input"].view(len(SENTENCES[2]), -1), tagger.embed(tagger.encoder.batch([SENTENCES[2]]))[:, 0]
    )


def test_context(runtime: Runtime) -> None:
    pair = (make_language_model(0, num_layers=1), make_language_model(1, backward=True))
    tagger = make(ContextualVectors(*pair))
    runtime.load(bundle_of(tagger))
    # Python stores vectors in context as float16: a value halfway between two may be rounded up on one side and down on
    # the other.
    check(runtime, tagger, SENTENCES, atol=1e-3)
    words = SENTENCES[2]
    given = runtime.run(words)["tracks"][0]["input"].view(len(words), -1)
    wanted = tagger.embed(tagger.encode([words]).batch([0]))[:, 0]
    assert (given - wanted).abs().max() < 6e-4
    assert ((given - wanted).abs() < ATOL).float().mean() > 0.99


@pytest.mark.parametrize("count", [30, pytest.param(300, marks=pytest.mark.slow)])
def test_shipped_tagger_on_many_sentences(runtime: Runtime, count: int) -> None:
    tagger = load_tagger(shipped())
    runtime.load(bundle_of(tagger))
    check(runtime, tagger, made_up(tagger, count))
    check_exactly(runtime, tagger, made_up(tagger, count // 3))


@pytest.mark.slow
def test_shipped_tagger_on_the_corpus(runtime: Runtime, corpora: Path) -> None:
    tagger = load_tagger(shipped())
    runtime.load(bundle_of(tagger))
    sentences = read_conllu(corpora / "ud_english_ewt" / "en_ewt-ud-dev.conllu")
    check(runtime, tagger, [list(sentence.forms) for sentence in sentences[::5]])


def made_up(tagger: Tagger, count: int) -> list[list[str]]:
    """Sentences of words that it knows, and some that it does not."""
    draw = random.Random(0)
    known, letters = tagger.encoder.words.tokens, [*tagger.encoder.chars.tokens, "戦", "😀"]

    def word() -> str:
        if draw.random() < 0.2:
            return "".join(draw.choices(letters, k=draw.randint(1, 40)))
        return draw.choice([str.lower, str.upper, str.title])(draw.choice(known))

    return [[word() for _ in range(draw.randint(1, 25))] for _ in range(count)]


def test_files_of_a_folder(runtime: Runtime) -> None:
    """The shipped model has format version 1 and half precision."""
    found = opening.bundle_folder(shipped())
    runtime.load(Bundle(found.head(), found.weights))
    words = ["Giraffes", "in", "a", "field"]
    reading = load_tagger(shipped()).read(words)
    assert head_of(runtime.run(words)["heads"][0]).chosen == reading.tags
    assert runtime.tokenise(["Don't go."]) == [["Do", "n't", "go", "."]]


def test_the_first_of_equals_is_chosen(runtime: Runtime) -> None:
    tagger = make(columns=("upos", "xpos"))
    torch.nn.init.zeros_(tagger.head.weight)
    torch.nn.init.ones_(tagger.head.bias)
    runtime.load(bundle_of(tagger))
    check(runtime, tagger, SENTENCES)


def test_what_a_tagger_says_of_itself(runtime: Runtime) -> None:
    runtime.load(bundle_of(make()))
    assert runtime.ask("[model.kind, model.unit, model.hasWeights, model.given]") == ["tagger", "word", True, None]
    assert runtime.ask("model.gates") == ["i", "f", "g", "o"]
    assert runtime.ask("model.quantities") == ["i", "f", "g", "o", "c", "h"]
    assert runtime.ask("model.meanings.f") == "forget gate"
    parts = {part["label"]: part["shape"] for part in runtime.ask("model.parts")}
    assert parts["word embedding"] == [9, 5]
    assert parts["LSTM l1r"] == [24, 12]
    assert parts["tag scores"] == [3, 12]


def test_tagger_fails(runtime: Runtime) -> None:
    runtime.load(bundle_of(make()))
    with runtime.refuses("no word"):
        runtime.run([])
    with runtime.refuses("a word without characters"):
        runtime.run(["a", ""])
    with runtime.refuses("1000000 steps", "Shorten it"):
        runtime.ask("model.run(Array(1e6).fill('a'))")
    with runtime.refuses("numbers"):
        runtime.run(numbers=torch.ones(1, 1))
    with runtime.refuses("reads both ways"):
        runtime.stream(["a"])
