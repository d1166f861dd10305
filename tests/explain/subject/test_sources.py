"""Subjects: everything that can be explained gives the same numbers as the model itself."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError, ShapeError
from hiddenstate.models.model_folder import load_language_model, load_tagger, shipped
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.context_vectors import ContextualVectors
from hiddenstate.models.tagger.decoding import Chain
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.text.conllu import read_conllu
from language_models import KINDS, make
from support import assert_all_close, assert_close, random_state

DATA = Path(__file__).parents[2] / "data"
SENTENCE = "The old man the boats ."


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return load_tagger(shipped())


class Classifier(nn.Module):
    """Embedding, LSTM, and a linear layer that reads the last step."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.lstm = nn.LSTM(4, 5, batch_first=True, **options)
        self.head = nn.Linear(5 * (1 + options.get("bidirectional", False)), 3)

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.head(self.lstm(self.embedding(ids))[0][:, -1])
        return out


@pytest.mark.parametrize("batch_first", [False, True])
def test_an_lstm_runs_as_it_is_called(batch_first: bool) -> None:
    torch.manual_seed(0)
    lstm = hs.LSTM(3, 4, 2, batch_first=batch_first, bidirectional=True, proj_size=2, dropout=0.9)
    x = torch.randn((2, 7, 3) if batch_first else (7, 2, 3))
    hx, lengths = random_state(lstm, 2), torch.tensor([7, 4])
    reset = torch.rand(x.shape[:2]) < 0.3
    lstm.eval()
    want, (_, c_n) = lstm(x, hx, lengths=lengths, reset=reset)
    lstm.train()
    subject = hs.explain.subject(lstm, x, hx=hx, lengths=lengths, reset=reset)
    run = subject.run(keep=["l0r.c"], steps=[2, 3])
    assert_close(run.out, want.transpose(0, 1) if batch_first else want)
    assert_close(run.state[1], c_n)
    assert run.steps == (2, 3)
    assert lstm.training
    for n, T in enumerate(lengths.tolist()):
        one = subject.only(n)
        assert one.T == T
        assert_close(one.run().out[:, 0], run.out[:T, n])
        many = one.run(one.x.expand(-1, 5, -1))
        assert_close(many.out[:, 4], run.out[:T, n])


def test_packed_and_unbatched_inputs_go() -> None:
    lstm = hs.LSTM(3, 4)
    rows = [torch.randn(T, 3) for T in (2, 5)]
    packed = hs.explain.subject(lstm, pack_sequence(rows, enforce_sorted=False))
    alone = hs.explain.subject(lstm, rows[0])
    assert [packed.row_length(0), packed.row_length(1)] == [2, 5]
    assert_close(packed.only(0).run().out, alone.run().out)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_a_module_of_any_type_has_its_head_found(dtype: torch.dtype) -> None:
    model = Classifier().to(dtype)
    subject = hs.explain.subject(hs.convert(model), torch.tensor([[1, 2, 3]]))
    assert subject.head is not None
    assert subject.head.weight.dtype == dtype


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_converted_module_gives_its_own_logits(bidirectional: bool) -> None:
    torch.manual_seed(0)
    model = Classifier(num_layers=2, bidirectional=bidirectional)
    ids = torch.tensor([[1, 2, 3, 9], [4, 4, 5, 6]])
    want = model(ids)
    subject = hs.explain.subject(hs.convert(model), ids, labels=["a", "b", "c"])
    assert_close(subject.run().logits[-1], want)
    assert subject.head is not None
    assert subject.head.labels == ("a", "b", "c")
    assert not subject.x.requires_grad
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in model.modules())
    assert model.training


def test_a_head_that_reads_something_else_is_not_taken() -> None:
    class Squashed(Classifier):
        def forward(self, ids: Tensor) -> Tensor:
            out: Tensor = self.head(self.lstm(self.embedding(ids))[0].relu())
            return out

    ids = torch.tensor([[1, 2, 3, 9]])
    subject = hs.explain.subject(hs.convert(Squashed()), ids)
    assert subject.head is None
    with pytest.raises(ArgumentError, match="there is no head here"):
        subject.run().logits  # noqa: B018
    linear = nn.Linear(5, 2)
    model = hs.convert(Squashed())
    assert hs.explain.subject(model, ids, head=linear).run().logits.shape == (4, 1, 2)


def test_the_tagger_gives_its_own_probabilities(tagger: Tagger) -> None:
    subject = hs.explain.subject(tagger, SENTENCE)
    want = tagger.tag([SENTENCE.split()])[0].probabilities
    assert subject.words() == tuple(SENTENCE.split())
    assert_close(subject.run().log_probabilities[:, 0].exp(), want)
    both = hs.explain.subject(tagger, [["a", "dog"], SENTENCE.split()])
    assert_close(both.only(1).run().log_probabilities[:, 0].exp(), want)
    assert both.only(0).words() == ("a", "dog")


def test_the_taggers_vectors(tagger: Tagger) -> None:
    subject = hs.explain.subject(tagger, [["qqqqzzzx"]])
    size = tagger.word_embedding.weight.shape[1]
    unknown = subject.vectors["unk"]()
    assert_close(unknown[:size], subject.x[0, 0, :size])  # an unknown word
    words, counts = tagger.encoder.words.tokens, torch.tensor(tagger.encoder.words.counts)
    seen = tagger.word_embedding.weight[2:].detach().double()
    assert len(seen) == len(words)
    want = (counts[:, None] * seen).sum(0) / counts.sum()
    assert_close(subject.vectors["mean"]()[:size], want.float())
    some = hs.explain.subject(tagger, [[word] for word in words[:50]]).x[0]
    assert torch.isfinite(some).all()


def test_several_columns_have_a_softmax_each_with_its_temperature() -> None:
    config = TaggerConfig(
        word_size=6, word_minimum=1, char_size=5, char_hidden_size=4, hidden_size=7, columns=("upos", "xpos")
    )
    tagger = Tagger.build(config, read_conllu(DATA / "tiny-train.conllu")).eval()
    tagger.calibrate({"upos": 0.5, "xpos": 2.0})
    subject = hs.explain.subject(tagger, ["The", "old", "dog"])
    assert subject.head is not None
    assert subject.head.labels[0] == f"upos:{tagger.tag_names[0]}"
    want = [tags.probabilities for tags in tagger.tag([["The", "old", "dog"]])[0].columns.values()]
    assert_close(subject.run().log_probabilities[:, 0].exp(), torch.cat(want, dim=-1))


def test_words_in_context() -> None:
    context = ContextualVectors(make(1), make(2, backward=True, hidden_size=4))
    config = TaggerConfig(word_size=6, word_minimum=1, char_size=5, char_hidden_size=4, hidden_size=7)
    tagger = Tagger.build(config, read_conllu(DATA / "tiny-train.conllu"), context).eval()
    subject = hs.explain.subject(tagger, ["The", "old", "dog"])
    assert_close(subject.run().log_probabilities[:, 0].exp(), tagger.tag([["The", "old", "dog"]])[0].probabilities)
    for name in ("mean", "unk"):
        vector = subject.vectors[name]()
        assert vector.shape == (tagger.lstm.input_size,)
        assert not vector[-context.size :].any()
    found = hs.explain.attribute(subject, of=hs.explain.logit(0), baseline=["mean", "unk"])
    assert torch.isfinite(found.parts).all()


def test_a_tagger_of_a_chain_has_logits_only(tagger: Tagger) -> None:
    import copy

    chained = copy.deepcopy(tagger)
    object.__setattr__(chained.config, "crf", True)
    chained.chains["upos"] = Chain(len(tagger.tag_names))
    subject = hs.explain.subject(chained, SENTENCE)
    assert subject.run().logits.shape == (6, 1, 17)
    with pytest.raises(ArgumentError, match="a tagger with a CRF scores whole sentences"):
        subject.run().log_probabilities  # noqa: B018


@pytest.mark.parametrize("kind", KINDS)
def test_language_models_give_their_own_probabilities(kind: str) -> None:
    model = make(**KINDS[kind])
    text = "the cat sat on the"
    subject = hs.explain.subject(model, text)
    ids = torch.tensor([model.tokens.start, *model.tokens.encode(text).tolist()])
    want, _ = model(ids[:, None])
    assert_close(subject.run().log_probabilities, want.detach())
    assert subject.words()[0] in ("\n", "<eos>")
    assert subject.head is not None
    if not model.config.cutoffs:
        assert_close(subject.run().logits.log_softmax(-1), want.detach())
    else:
        rare = model.tokens.tokens[-1]
        with pytest.raises(ArgumentError, match="has a probability but no logit"):
            subject.head.readout(rare)
    counts = torch.tensor(model.tokens.counts, dtype=torch.float64)
    every = model.embed(torch.arange(len(counts))[:, None])[:, 0].detach().double()
    assert_close(subject.vectors["mean"](), (counts @ every / counts.sum()).float())


def test_the_shipped_language_model() -> None:
    subject = hs.explain.subject(load_language_model(shipped("shakespeare")), "To be, or not to b")
    assert subject.head is not None
    best = int(subject.run().log_probabilities[-1, 0].argmax())
    assert subject.head.labels[best] == "e"


def test_words_and_steps(tagger: Tagger) -> None:
    subject = hs.explain.subject(tagger, "the man saw the boats")
    assert subject.step_of("man") == 1
    assert subject.step_of(-1) == 4
    with pytest.raises(NameUnknownError, match="'the' occurs at steps 0, 3"):
        subject.step_of("the")
    with pytest.raises(NameUnknownError, match="'dog' stands nowhere"):
        subject.step_of("dog")


@pytest.mark.parametrize(
    ("model", "x", "options", "error", "match"),
    [
        (3, None, {}, ArgumentTypeError, "expected a recurrent layer, a module"),
        (nn.Linear(2, 2), torch.zeros(2), {}, ArgumentError, "contains no hiddenstate.LSTM, GRU or RNN; give a model"),
        (nn.LSTM(2, 2), torch.zeros(2, 2), {}, ArgumentError, "convert it first"),
        (hs.LSTM(2, 2), "text", {}, ArgumentTypeError, "an LSTM reads a tensor"),
        (hs.LSTM(2, 2), torch.zeros(3, 2), {"path": "a"}, ArgumentError, "path= is not for a module"),
        (hs.LSTM(2, 2), torch.zeros(3, 2), {"tokens": ["a"]}, ShapeError, "a word for each step"),
        (hs.LSTM(2, 2), torch.zeros(3, 2), {"head": nn.Linear(3, 2)}, ShapeError, "the head reads 3 features"),
        (hs.LSTM(2, 2), torch.zeros(3, 2), {"head": nn.ReLU()}, ArgumentTypeError, "head= must be"),
    ],
)
def test_what_cannot_be_explained_fails(
    model: Any, x: Any, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        hs.explain.subject(model, x, **options)


def test_what_a_text_model_cannot_read_fails(tagger: Tagger) -> None:
    with pytest.raises(ArgumentError, match="only one sentence can be explained at a time, got 2"):
        hs.explain.subject(tagger, "He left. She stayed.")
    with pytest.raises(ArgumentError, match="got 0"):
        hs.explain.subject(tagger, " ")
    with pytest.raises(ArgumentTypeError, match="a tagger reads a sentence"):
        hs.explain.subject(tagger, 7)
    with pytest.raises(ArgumentTypeError, match="a language model reads a text"):
        hs.explain.subject(make(), ["a"])
    with pytest.raises(ArgumentError, match="reads from the end"):
        hs.explain.subject(make(backward=True), "the")
    subject = hs.explain.subject(tagger, SENTENCE)
    with pytest.raises(ArgumentError, match="head= is not for a Subject"):
        hs.explain.subject(subject, head=nn.Linear(2, 2))
    assert hs.explain.subject(subject) is subject


def test_edits_of_single_rows_are_refused_where_rows_are_made() -> None:
    lstm = hs.LSTM(2, 3)
    subject = hs.explain.subject(lstm, torch.randn(4, 2))
    with lstm.edit(hs.zero("l0.f", row=0)):
        subject.run()
        with pytest.raises(ArgumentError, match="selects rows"):
            subject.run(subject.x.expand(-1, 3, -1))


@pytest.mark.parametrize("tokens", [3, "abc", [1, 2, 3]])
def test_tokens_that_are_no_words_are_refused(tokens: Any) -> None:
    with pytest.raises(TypeError, match="tokens= must be a list of words"):
        hs.explain.subject(hs.LSTM(2, 3), torch.zeros(3, 1, 2), tokens=tokens)


def test_progress_must_be_a_function() -> None:
    wrong: Any = 3
    with pytest.raises(TypeError, match="progress must be a function of two numbers, got int"):
        hs.explain.attribute(hs.LSTM(2, 3), torch.zeros(3, 1, 2), of="l0.h[1]@2", progress=wrong)


def test_a_check_is_of_an_edge() -> None:
    graph, wrong = hs.explain.graph(hs.LSTM(2, 3), torch.randn(3, 1, 2), of="l0.h[1]@2"), "l0.c"
    with pytest.raises(TypeError, match="one of the graph's edges, got str"):
        graph.check(wrong)  # type: ignore[arg-type]


class First(nn.Module):
    """An LSTM's output, without its state."""

    def forward(self, given: tuple[Tensor, Any]) -> Tensor:
        return given[0]


class Nested(nn.Module):
    """One LSTM, two modules deep, and a head."""

    def __init__(self, bidirectional: bool) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"rnn": nn.LSTM(4, 3, 2, bidirectional=bidirectional, batch_first=True)})
        self.head = nn.Linear(3 * (1 + bidirectional), 5)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.encoder["rnn"](x)[0])
        return logits


def explanations(model: nn.Module, place: str, x: Tensor, other: Tensor) -> list[Tensor]:
    """The numbers of several tools for one place."""
    explain = hs.explain
    methods: tuple[Any, ...] = ("shapley", "integrated_gradients", "frozen", "cd", "occlusion")
    with hs.edit(model, hs.scale("l0.f", by=0.5)):
        edited = explain.attribute(model, x, of=place, method="occlusion").parts
    swept = explain.sweep(model, x, other, of=place, places="encoder.rnn.*.c,*.h", units="all", mode="gradient+exact")
    return [
        *(explain.attribute(model, x, of=place, method=method).parts for method in methods),
        edited,
        torch.as_tensor(swept.effect),
        torch.tensor(explain.graph(model, x, of=place).value),
        torch.tensor([float(row["written"] or 0) for row in explain.ledger(model, x, place=place).rows()]),
    ]


@pytest.mark.parametrize("bidirectional", [False, True])
def test_places_have_module_paths_under_accelerate_too(bidirectional: bool) -> None:
    torch.manual_seed(0)
    theirs = Nested(bidirectional)
    ours, x, other = hs.convert(theirs), torch.randn(1, 5, 4), torch.randn(1, 5, 4)
    want = explanations(ours, "l1.c[1]@3", x, other)
    with hs.accelerate():
        for model in (ours, theirs):
            for place in ("l1.c[1]@3", "encoder.rnn.l1.c[1]@3"):
                assert_all_close(explanations(model, place, x, other), want)
    assert all(weight.requires_grad for weight in theirs.parameters())


def test_a_gru_beside_an_lstm_is_explained_by_its_path() -> None:
    both, x = nn.Sequential(hs.LSTM(4, 3), First(), hs.GRU(3, 2), First()), torch.randn(5, 1, 4)
    assert hs.explain.subject(both, x, path="2").lstm is both[2]
    assert hs.explain.subject(both, x).lstm is both[0]


def test_a_place_says_which_lstm_is_explained() -> None:
    two = nn.Sequential(hs.LSTM(4, 3), First(), hs.LSTM(3, 2), First())
    x = torch.randn(5, 1, 4)
    by_place = hs.explain.attribute(two, x, of="2.l0.h[1]").parts
    by_path = hs.explain.attribute(two, x, of="l0.h[1]", path="2").parts
    assert torch.equal(by_place, by_path)
    for of, path, message in (
        ("3.l0.h[1]", None, r"no LSTM, GRU or RNN at '3' in this Sequential: there is '0', '2'"),
        (
            "0.l0.h[1]",
            "2",
            r"no place '0\.l0\.h' in this LSTM: its places are 2\.l0\.\{i,f,g,o,c,h\}",
        ),
        ("l0.h[1]", None, r"2 recurrent layers; choose one with path=: '0', '2'"),
    ):
        with pytest.raises(hs.HiddenStateError, match=message):
            hs.explain.attribute(two, x, of=of, path=path)


def test_the_taggers_places_have_a_path_too(tagger: Tagger) -> None:
    text = "He likes to fish ."
    plain, with_path = (hs.explain.ledger(tagger, text, place=place) for place in ("l0.c[3]@2", "lstm.l0.c[3]@2"))
    assert plain.rows() == with_path.rows()
