from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError, ShapeError
from hiddenstate.models.language.scoring import score
from hiddenstate.models.model_folder import load_language_model, load_tagger

CHARS = "abcdef \n"
WORDS = ["the", "<unk>", "boats", "<eos>", "old", "man"]
TAGS = ["NOUN", "VERB", "DET"]


class Net(nn.Module):
    """An embedding, an LSTM and a linear layer, as usually written."""

    def __init__(self, V: int, K: int, kind: type[Any] = nn.LSTM, bias: bool = True, **options: Any) -> None:
        super().__init__()
        E, H = torch.randint(1, 10, (2,)).tolist()
        self.embedding = nn.Embedding(V, E)
        self.dropout = nn.Dropout(0.5)
        self.lstm = kind(E, H, bias=bias, **options)
        self.linear = nn.Linear((1 + self.lstm.bidirectional) * H, K, bias=bias)

    def forward(self, ids: Tensor) -> Tensor:
        out, _ = self.lstm(self.dropout(self.embedding(ids)))
        scores: Tensor = self.linear(self.dropout(out))
        return scores

    def logits(self, ids: Sequence[int]) -> Tensor:
        """[T, K] of one row."""
        self.eval()
        row = torch.tensor(ids)
        with torch.no_grad():
            scores: Tensor = self(row[None])[0] if self.lstm.batch_first else self(row[:, None])[:, 0]
        return scores

    @property
    def layers(self) -> tuple[nn.Embedding, Any, nn.Linear]:
        return self.embedding, self.lstm, self.linear


class LastStep(Net):
    def forward(self, ids: Tensor) -> Tensor:
        scores: Tensor = self.linear(self.lstm(self.embedding(ids))[0][-1])
        return scores


class Packed(Net):
    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        packed = pack_padded_sequence(self.embedding(ids), lengths, enforce_sorted=False)
        out, _ = pad_packed_sequence(self.lstm(packed)[0])
        scores: Tensor = self.linear(out)
        return scores


class Scaled(Net):
    def forward(self, ids: Tensor) -> Tensor:
        scores: Tensor = self.linear(self.lstm(2 * self.embedding(ids))[0])
        return scores


class Begun(Net):
    def forward(self, ids: Tensor) -> Tensor:
        state = torch.ones(1, ids.shape[1], self.lstm.hidden_size)
        scores: Tensor = self.linear(self.lstm(self.embedding(ids), (state, state))[0])
        return scores


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Net(3, 2), Net(3, 2)

    def forward(self, ids: Tensor) -> Tensor:
        scores: Tensor = self.one(ids) + self.two(ids)
        return scores


OPTIONS: list[dict[str, Any]] = [
    {},
    {"num_layers": 3, "dropout": 0.3},
    {"batch_first": True},
    {"bias": False},
    {"kind": hs.LSTM, "num_layers": 2},
    {"kind": hs.LSTM, "batch_first": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("tokens", [CHARS, WORDS], ids=["char", "word"])
def test_a_language_model_gives_the_modules_logits(options: dict[str, Any], tokens: Sequence[str]) -> None:
    net = Net(len(tokens), len(tokens), **options)
    model = hs.language_model(net, tokens)
    theirs = torch.randint(len(tokens), (7,))
    names = [tokens[k] for k in theirs]
    ids = torch.from_numpy(model.tokens.ids(names if model.tokens.level == "word" else "".join(names))).long()
    order = [tokens.index(name) for name in model.tokens.tokens if name in tokens]
    with torch.no_grad():
        found = model(ids[:, None])[0][:, 0, -len(order) :]
    torch.testing.assert_close(found, net.logits(theirs.tolist()).log_softmax(-1)[:, order], atol=1e-5, rtol=1e-5)
    assert model.tokens.level == ("char" if tokens is CHARS else "word")


@pytest.mark.parametrize("options", [*OPTIONS, {"bidirectional": True, "num_layers": 2}], ids=str)
def test_a_tagger_gives_the_modules_probabilities(options: dict[str, Any]) -> None:
    net = Net(len(WORDS), len(TAGS), **options)
    tagger = hs.tagger(net, words=WORDS, tags=TAGS)
    sentence = ["old", "The", "boats", "the"]
    expected = net.logits([4, 1, 2, 0]).softmax(-1)
    (tagging,) = tagger.tag([sentence])
    torch.testing.assert_close(tagging.probabilities, expected, atol=1e-5, rtol=1e-5)
    assert tagging.tags == tuple(TAGS[k] for k in expected.argmax(-1))
    lower = hs.tagger(net, words=WORDS, tags=TAGS, lower_case=True)
    torch.testing.assert_close(lower.read(sentence).probabilities, net.logits([4, 0, 2, 0]).softmax(-1))


def test_a_model_of_ones_own_does_what_shipped_ones_do(tmp_path: Path) -> None:
    net = Net(len(WORDS), len(TAGS), bidirectional=True)
    tagger = hs.tagger(net, {word: k for k, word in enumerate(WORDS)}, {tag: k for k, tag in enumerate(TAGS)})
    hs.save(tagger, tmp_path / "tagger")
    again = load_tagger(tmp_path / "tagger")
    sentence = ["the", "old", "man"]
    assert torch.equal(again.read(sentence).probabilities, tagger.read(sentence).probabilities)
    found = hs.explain.attribute(again, sentence, of=hs.explain.logit("DET", word=0), method="shapley")
    assert found.words == tuple(sentence)
    model = hs.language_model(Net(len(CHARS), len(CHARS)), CHARS)
    hs.save(model, tmp_path / "lm")
    writer = load_language_model(tmp_path / "lm")
    assert list(writer.generate("abc", 20)) == list(model.generate("abc", 20))
    assert hs.explain.ledger(writer, "abc", place="l0.c[0]") is not None
    (tmp_path / "text").write_text("abc abc\n")
    assert "".join("".join(each.pieces) for each in score(writer, tmp_path / "text")) == "abc abc\n"
    for made in (tagger, model):
        assert hs.studio(made).html().startswith("<!doctype html>")


def test_parts_are_found_by_what_they_read() -> None:
    assert hs.language_model(LastStep(8, 8), CHARS).lstm.num_layers == 1
    packed = Packed(len(WORDS), len(TAGS), bidirectional=True)
    with pytest.raises(ArgumentError, match=r"can't be called with ids of shape \[2, 5\].*lengths.*example="):
        hs.tagger(packed, WORDS, TAGS)
    example = torch.randint(len(WORDS), (5, 2)), torch.tensor([5, 3])
    tagger = hs.tagger(packed, WORDS, TAGS, example=example)
    told = hs.tagger(packed.layers, WORDS, TAGS)
    assert all(torch.equal(a, b) for a, b in zip(tagger.parameters(), told.parameters(), strict=True))
    assert packed.training
    assert packed.dropout.training
    assert not packed.lstm._forward_hooks


def test_an_unknown_token_that_is_missing_gets_the_mean_vector_and_no_probability() -> None:
    net = Net(len(CHARS), len(CHARS))
    model = hs.language_model(net, CHARS)
    assert model.embedding is not None
    torch.testing.assert_close(model.embedding.weight[0], net.embedding.weight.mean(0))
    with torch.no_grad():
        assert float(model(torch.tensor([[1]]))[0][0, 0, 0].exp()) == 0
    tagger = hs.tagger(Net(2, 2), ["a", "b"], ["A", "B"])
    torch.testing.assert_close(tagger.word_embedding.weight[1], tagger.word_embedding.weight[2:].mean(0))


def test_tokens_may_have_other_names() -> None:
    tokens = ["?", "<s>", "a", "b"]
    model = hs.language_model(Net(4, 4), tokens, unknown="?", end="<s>")
    assert model.tokens.tokens == ("<unk>", "\n", "a", "b")
    assert hs.language_model(Net(4, 4), tokens, level="word", end="<s>").tokens.tokens[1:3] == ("?", "<eos>")


def test_a_renormalising_embedding_is_copied_as_it_looks_up() -> None:
    net = Net(len(WORDS), len(TAGS))
    net.embedding.max_norm = 0.1
    tagger = hs.tagger(net, WORDS, TAGS)
    torch.testing.assert_close(tagger.read(["old", "man"]).probabilities, net.logits([4, 5]).softmax(-1))


def test_weights_of_8_bits_are_copied_as_floats() -> None:
    layers = Net(len(WORDS), len(TAGS), kind=hs.LSTM).layers
    rounded = layers[1].quantize()
    tagger = hs.tagger((layers[0], rounded, layers[2]), WORDS, TAGS)
    for name, value in rounded.dequantize().named_parameters():
        assert torch.equal(tagger.lstm.get_parameter(name), value)


@pytest.mark.parametrize("kind", [nn.LSTM, hs.LSTM])
@pytest.mark.parametrize("change", [parametrizations.weight_norm, partial(prune.random_unstructured, amount=0.5)])
def test_weights_that_are_computed_are_copied_as_they_are(change: Any, kind: type[Any]) -> None:
    net = Net(len(WORDS), len(TAGS), kind=kind)
    change(net.lstm, "weight_hh_l0")
    tagger = hs.tagger(net.layers, WORDS, TAGS)
    assert torch.equal(tagger.lstm.get_parameter("weight_hh_l0"), net.lstm.weight_hh_l0)


def test_layers_that_torch_lacks_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(hs.GRU, "_torch")
    net = Net(len(WORDS), len(TAGS), kind=hs.GRU)
    tagger = hs.tagger(net.layers, WORDS, TAGS)
    for name, value in net.lstm.named_parameters():
        assert torch.equal(tagger.lstm.get_parameter(name), value)


@pytest.mark.parametrize(
    ("model", "error", "said"),
    [
        (3, ArgumentTypeError, "expected a module, or its layers as a tuple .*got int"),
        ((nn.Embedding(3, 2), nn.GRUCell(2, 2), nn.Linear(2, 2)), ArgumentTypeError, r"got \(Embedding, GRUCell, Lin"),
        (
            (nn.Embedding(3, 2), nn.LSTM(4, 2), nn.Linear(2, 2)),
            ShapeError,
            "the embedding has size 2 but the LSTM reads 4",
        ),
        (
            (nn.Embedding(3, 2), nn.LSTM(2, 4, proj_size=2), nn.Linear(2, 2)),
            ShapeError,
            r"proj_size=2.*hs.explain.subject",
        ),
        (nn.Linear(3, 2), ArgumentError, "contains no embedding.*hs.convert"),
        (
            Scaled(3, 2),
            ArgumentError,
            "no LSTM, GRU or RNN in this Scaled reads an embedding's vectors.*character features",
        ),
        (Begun(3, 2), ArgumentError, "starts from a nonzero state"),
        (Twice(), ArgumentError, "2 chains.*as a tuple"),
    ],
    ids=lambda value: str(value)[:20].split("(")[0],
)
def test_models_that_do_not_fit_fail(model: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        hs.tagger(model, words=["a", "b", "c"], tags=["A", "B"])


def test_vocabularies_that_do_not_fit_fail() -> None:
    net = Net(3, 2)
    with pytest.raises(ShapeError, match="the embedding has 3 rows, got 2 words"):
        hs.tagger(net, ["a", "b"], ["A", "B"])
    with pytest.raises(ShapeError, match="the linear layer has 2 rows, got 1 tags"):
        hs.tagger(net, ["a", "b", "c"], ["A"])
    with pytest.raises(ArgumentError, match="id 1 has no name among the tags"):
        hs.tagger(net, ["a", "b", "c"], {"A": 0})
    with pytest.raises(ArgumentError, match=r"words\['b'\] must be a unique id from 0 to 2, got 0"):
        hs.tagger(net, {"a": 0, "b": 0}, ["A", "B"])
    with pytest.raises(ArgumentError, match="'a' occurs twice"):
        hs.tagger(net, ["a", "a", "c"], ["A", "B"])
    with pytest.raises(ArgumentTypeError, match="words must be strings, got 3"):
        hs.tagger(net, ["a", 3, "c"], ["A", "B"])  # type: ignore[list-item]
    with pytest.raises(ArgumentTypeError, match="words must be a list of strings or a dict from string to id, got set"):
        hs.tagger(net, {"a"}, ["A", "B"])  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="is blank"):
        hs.tagger(net, ["a", "b", "c"], ["A", " "])
    with pytest.raises(ArgumentError, match="columns must be among"):
        hs.tagger(net, ["a", "b", "c"], ["A", "B"], column="ner")
    with pytest.raises(NameUnknownError, match="unknown='d'"):
        hs.tagger(net, ["a", "b", "c"], ["A", "B"], unknown="d")
    with pytest.raises(ShapeError, match="the linear layer has 2 rows, got 3 tokens"):
        hs.language_model(net, "abc")
    with pytest.raises(ArgumentError, match="reads in one direction"):
        hs.language_model(Net(3, 3, bidirectional=True), "abc")
    with pytest.raises(NameUnknownError, match="end='d'"):
        hs.language_model(Net(3, 3), "abc", end="d")
    with pytest.raises(ArgumentError, match="at level char a token must be one character, got '<pad>'"):
        hs.language_model(Net(3, 3), ["<pad>", "a", "b"], level="char")
