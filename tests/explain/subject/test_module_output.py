"""What is explained of a module is what the module returns; otherwise the result says so, or it is refused."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from random_modules import RandomModule
from support import draws

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda y: y.softmax(-1),
    "log-softmax": lambda y: y.log_softmax(-1),
    "sigmoid": torch.sigmoid,
}
NOT_RETURNED = "not known to be returned by the module"
NOT_HERE = "not returned by the module for this row and step"


def explained(model: nn.Module, x: Any, of: Any, row: int, **options: Any) -> hs.explain.Attribution:
    options |= {"method": "gradient", "occlusion": False, "progress": False}
    result: hs.explain.Attribution = hs.explain.attribute(model, x, of=of, row=row, **options)
    return result


def outcome(model: RandomModule, row: int, t: int, **options: Any) -> str:
    """Explain every output of a step; check it against what the module returns, and return the note in the result."""
    want, logits, notes = model.returned(row, t), [], set[str]()
    for k in range(model.outputs):
        try:
            result = explained(model, model.x, hs.explain.logit(k, word=t), row, **options)
        except ArgumentError as error:
            return "refused" if "there is no head here" in str(error) else str(error)
        logits.append(result.value)
        notes.add(result.target.partition(" (")[2].rstrip(")"))
        assert result.target in " ".join(str(result).split())
    (note,) = notes
    if note not in (NOT_RETURNED, NOT_HERE):
        assert want is not None, "the module returns nothing there"
        name, values = note.removeprefix("before the module's "), torch.tensor(logits)
        gap = ((FUNCTIONS[name](values) if name else values) - want).abs().max()
        assert gap <= 1e-5 * want.abs().max().clamp(min=1), f"explained {logits}, returned {want.tolist()}"
    if note.endswith("softmax"):
        result = explained(model, model.x, hs.explain.log_probability(0, word=t), row, **options)
        assert "(" not in result.target
        assert result.value == pytest.approx(float(torch.tensor(logits).log_softmax(-1)[0]), abs=1e-5)
    return note


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small tensors on one thread, which is faster if the machine is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_what_is_explained_of_random_modules_is_what_they_return() -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(draws(200)):
        model = RandomModule(seed).eval()
        row = seed % model.N
        t = model.length(row) - 1 if seed % 3 else 0
        note = outcome(model, row, t)
        outcomes[note] += 1
        if model.is_plain:
            assert note == (NOT_HERE if model.returned(row, t) is None else ""), seed
        elif note == "refused" and model.depth == 1 and not (model.read == "final state" and model.two_ways):
            assert outcome(model, row, t, head=model.head[1]) == NOT_RETURNED, seed
        place = explained(model, model.x, "l0.h[1]@0", row)
        assert "(" not in place.target
    notes = "", "refused", NOT_HERE, *(f"before the module's {name}" for name in FUNCTIONS)
    assert all(outcomes[note] >= draws(200) // 40 for note in notes), outcomes


class Forecaster(nn.Module):
    """A forecast of the next value: the last one, plus the output of a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.linear = hs.LSTM(1, 6), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.linear(self.lstm(x)[0])
        return out


def test_a_head_that_the_module_does_not_return_is_refused_with_the_ways_to_go() -> None:
    model, x = Forecaster(), torch.randn(7, 2, 1)
    with pytest.raises(
        ArgumentError, match=r"'linear' reads the LSTM's outputs, but this Forecaster returns.*changed.*mlp\(run"
    ):
        hs.explain.attribute(model, x, of=hs.explain.logit(0))
    subject = hs.explain.subject(model, x)
    assert "no head: 'linear' reads the LSTM's outputs, but" in repr(subject)
    assert subject.head is None


def test_a_head_that_is_given_is_explained_and_the_result_says_what_it_is() -> None:
    model, x = Forecaster(), torch.randn(7, 2, 1)
    of = hs.explain.logit("change")
    options: dict[str, Any] = {"head": model.linear, "labels": ["change"]}
    result = hs.explain.attribute(model, x, of=of, **options)
    assert result.target == f"output 'change' at step 6 ({NOT_RETURNED})"
    assert result.value == pytest.approx(float((model(x) - x)[-1, 0].detach()), abs=1e-6)
    texts = [str(result), repr(result), result.to_json(), str(hs.explain.ledger(model, x, place=of, **options))]
    texts += [hs.explain.graph(model, x, of=of, **options).to_json()]
    texts += [hs.explain.sweep(model, x, x + 1, of=of, units="all", **options).to_json()]
    assert all(NOT_RETURNED in " ".join(text.split()) for text in texts)
    assert "does not return" in repr(hs.explain.subject(model, x, **options))


def test_a_head_with_the_models_scale_folded_in_is_its_output() -> None:
    class Scaled(Forecaster):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = 12.0 + 5.0 * self.linear(self.lstm(x)[0])
            return out

    model, x = Scaled(), torch.randn(7, 2, 1)
    head = hs.explain.Head(5 * model.linear.weight.detach(), 5 * model.linear.bias.detach() + 12, ("degrees",))
    result = hs.explain.attribute(model, x, of=hs.explain.logit("degrees"), head=head)
    assert result.target == "output 'degrees' at step 6"
    assert result.value == pytest.approx(float(model(x)[-1, 0].detach()), rel=1e-5)


def test_packed_sequences_and_torchs_own_layers() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.linear = nn.GRU(3, 4, batch_first=True, bidirectional=True), nn.Linear(8, 2)

        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            out: Tensor = self.linear(pad_packed_sequence(self.gru(packed)[0], batch_first=True)[0])
            return out

    torch.manual_seed(0)
    theirs, x = Packed(), (torch.randn(3, 6, 3), torch.tensor([2, 6, 4]))
    with torch.no_grad():
        want = theirs(*x)
    ours = hs.convert(theirs)
    with hs.accelerate():
        for model in (ours, theirs):
            for row, t in ((0, 1), (1, 5), (2, 0)):
                result = explained(model, x, hs.explain.logit(1, word=t), row)
                assert result.target == f"output 1 at step {t}"
                assert result.value == pytest.approx(float(want[row, t, 1]), abs=1e-5)


def test_of_several_linear_layers_the_one_that_is_returned_is_the_head() -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.score, self.head = hs.LSTM(3, 4), nn.Linear(4, 1), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Any:
            out = self.lstm(x)[0]
            pooled = (self.score(out).softmax(0) * out).sum(0)
            return self.head(out), pooled

    model, x = Attending(), torch.randn(5, 1, 3)
    result = explained(model, x, hs.explain.logit(1), 0)
    assert result.value == pytest.approx(float(model(x)[0][-1, 0, 1].detach()), abs=1e-5)
    model.forward = lambda x: model.score(model.lstm(x)[0]).softmax(0)  # type: ignore[method-assign]
    with pytest.raises(ArgumentError, match="'score' reads the LSTM's outputs, but"):
        explained(model, x, hs.explain.logit(0), 0)


@pytest.mark.parametrize("softmax", [None, False])
def test_probabilities_of_a_head_without_a_softmax_are_refused(softmax: bool | None) -> None:
    lstm, x, head = hs.LSTM(3, 4), torch.randn(5, 1, 3), nn.Linear(4, 2)
    with pytest.raises(ArgumentError, match=r"not known to feed a softmax.*use logit.*softmax=True"):
        explained(lstm, x, hs.explain.log_probability(1), 0, head=head, softmax=softmax)
    with pytest.raises(ArgumentError, match="not known to feed a softmax"):
        explained(lstm, x, lambda run: run.log_probabilities[-1, :, 0], 0, head=head, softmax=softmax)
    result = explained(lstm, x, hs.explain.log_probability(1), 0, head=head, softmax=True)
    assert result.value == pytest.approx(float(head(lstm(x)[0]).log_softmax(-1)[-1, 0, 1].detach()), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"softmax": True, "head": nn.Linear(4, 1)}, ArgumentError, "over one output is always 1"),
        ({"softmax": True}, ArgumentError, "give the head too"),
        ({"softmax": "yes", "head": nn.Linear(4, 2)}, ArgumentTypeError, "must be True, False or None, got 'yes'"),
        ({"softmax": True, "head": hs.explain.Head(torch.ones(2, 4), None, ("a", "b"))}, ArgumentError, "for a linear"),
    ],
)
def test_a_softmax_that_cannot_be_is_refused(options: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        hs.explain.subject(hs.LSTM(3, 4), torch.randn(5, 1, 3), **options)


def test_what_is_compared_is_told() -> None:
    a, b, x = Forecaster(), Forecaster(), torch.randn(7, 2, 1)
    with torch.no_grad():
        b.linear.weight.neg_()
        b.linear.bias.neg_()
    refused = hs.compare(a, b, x, progress=False)
    assert refused.measure == "state distance"
    assert refused.first is None
    assert "The hidden states differ by at most" in str(refused)
    assert "There is no head: 'linear' reads the LSTM's outputs, but" in refused.note
    first, second = (hs.explain.subject(model, x, head=model.linear) for model in (a, b))
    result = hs.compare(first, second, progress=False)
    want = (2 * a.linear(a.lstm(x)[0])).abs()[..., 0]
    assert torch.allclose(result.differences[0].float(), want.detach(), atol=1e-6)
    assert result.measure == "distance"
    assert json.loads(result.to_json())["note"] == f"At 14 of 14 steps, what is compared is {NOT_RETURNED}."
    assert result.note in " ".join(str(result).split())


def test_steps_that_a_module_does_not_return_are_told() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.linear = hs.LSTM(3, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.linear(self.lstm(x)[0][-1]).softmax(-1)
            return out

    result = hs.compare(Last(), Last(), torch.randn(7, 2, 3), progress=False)
    assert result.measure == "KL"
    assert result.note == f"At 12 of 14 steps, what is compared is {NOT_HERE}."


def test_tensors_that_a_module_overwrites_are_explained_as_the_layer_read_them() -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.linear = hs.LSTM(4, 4), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            read = x.clone()
            out = self.lstm(read)[0]
            read += out
            y: Tensor = self.linear(out)
            out.zero_()
            return y

    model, x = InPlace(), torch.randn(6, 1, 4)
    result = explained(model, x, hs.explain.logit(0), 0)
    assert result.target == "output 0 at step 5"
    assert result.value == pytest.approx(float(model(x)[-1, 0].detach()), abs=1e-6)


class Classifier(nn.Module):
    """A classifier by a linear layer, with a function of its outputs."""

    def __init__(self, function: Callable[[Tensor], Tensor], outputs: int = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.linear, self.function = hs.LSTM(3, 8), nn.Linear(8, outputs), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.linear(self.lstm(x)[0]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_a_scale_is_told_from_rounding(dtype: torch.dtype) -> None:
    returned: dict[str, Callable[[Tensor], Tensor]] = {
        "": lambda y: y.float(),
        "before the module's softmax": lambda y: y.float().softmax(-1),
        "before the module's log-softmax": lambda y: y.log_softmax(-1),
        "before the module's sigmoid": lambda y: y.sigmoid().double(),
    }
    changed: list[Callable[[Tensor], Tensor]] = [
        lambda y: y.float() * 1.05,
        lambda y: y.float() + 0.005,
        lambda y: (y / 1.3).softmax(-1),
        lambda y: (y / 1.3).log_softmax(-1),
    ]
    x = torch.randn(7, 2, 3).to(dtype)
    for note, function in returned.items():
        target = explained(Classifier(function).to(dtype), x, hs.explain.logit(1), 0).target
        assert target.partition(" (")[2].rstrip(")") == note
    for function in changed:
        with pytest.raises(ArgumentError, match="changed, in part or not at all"):
            explained(Classifier(function).to(dtype), x, hs.explain.logit(1), 0)


def test_outputs_that_are_cast_are_the_heads() -> None:
    x = torch.randn(7, 2, 3)
    assert explained(Classifier(lambda y: y.bfloat16()), x, hs.explain.logit(1), 0).target == "output 1 at step 6"
    with pytest.raises(ArgumentError, match="changed, in part or not at all"):
        explained(Classifier(lambda y: (1.05 * y).bfloat16()), x, hs.explain.logit(1), 0)


def test_a_head_may_be_of_another_type_than_the_layer() -> None:
    class Mixed(Classifier):
        def forward(self, x: Tensor) -> Tensor:
            return self.function(self.linear(self.lstm(x)[0].float()))

    model, x = Mixed(lambda y: y.softmax(-1)), torch.randn(7, 2, 3).bfloat16()
    model.lstm.bfloat16()
    result = explained(model, x, hs.explain.log_probability(1), 0)
    assert result.target == "log-probability of 1 at step 6"
    assert result.value == pytest.approx(float(model(x)[-1, 0, 1].log().detach()), abs=1e-5)


def test_rows_that_are_not_finite_hide_no_head() -> None:
    x = torch.randn(7, 2, 3)
    x[3, 1] = torch.nan
    for function in (lambda y: y, lambda y: y[-1], lambda y: y.softmax(-1)):
        model = Classifier(function)
        result = explained(model, x, hs.explain.logit(0), 0)
        assert result.value == pytest.approx(float(model.linear(model.lstm(x)[0])[-1, 0, 0].detach()), abs=1e-5)
    with torch.no_grad():
        model.linear.bias[1] = -torch.inf
    model.function = lambda y: y
    assert explained(model, x, hs.explain.logit(0), 0).target == "output 0 at step 6"


def test_a_step_is_returned_by_its_place_and_not_by_a_value_that_is_close() -> None:
    model, x = Classifier(lambda y: y[-1], 1), torch.randn(200, 100, 3)
    output = hs.explain.subject(model, x).output
    assert output is not None
    assert output.steps[-1].all()
    assert output.steps[:-1].sum() <= 5  # by chance, equal float32 numbers; thousands are equal up to rounding


def test_layers_that_share_a_weight_are_told_apart_by_their_bias() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.a, self.b = hs.LSTM(3, 4), nn.Linear(4, 2), nn.Linear(4, 2)
            self.b.weight = self.a.weight

        def forward(self, x: Tensor) -> Tensor:
            out = self.lstm(x)[0]
            self.a(out)
            y: Tensor = self.b(out)
            return y

    model, x = Tied(), torch.randn(5, 1, 3)
    result = explained(model, x, hs.explain.logit(1), 0)
    assert result.value == pytest.approx(float(model(x)[-1, 0, 1].detach()), abs=1e-6)
    assert NOT_RETURNED in explained(model, x, hs.explain.logit(1), 0, head=model.a).target


def test_outputs_are_called_logits_if_they_feed_a_softmax_or_sigmoid() -> None:
    x = torch.randn(5, 1, 3)
    of, labels = hs.explain.logit("hot", against="cold"), ["hot", "cold"]
    plain = explained(Classifier(lambda y: y), x, of, 0, labels=labels)
    assert plain.target == "output 'hot' minus output 'cold' at step 4"
    assert str(plain).startswith("What makes the output 'hot' minus output 'cold' at step 4 ")
    sure = explained(Classifier(lambda y: y), x, of, 0, labels=labels, softmax=True)
    assert sure.target == "logit of hot minus that of cold at step 4"
    sigmoid = explained(Classifier(torch.sigmoid), x, of, 0, labels=labels)
    assert sigmoid.target == "logit of hot minus that of cold at step 4 (before the module's sigmoid)"


def test_the_reason_is_given_if_no_layer_reads_the_outputs_unchanged() -> None:
    class Pooled(Classifier):
        def forward(self, x: Tensor) -> Tensor:
            return self.function(self.linear(self.lstm(x)[0].mean(0)))

    with pytest.raises(
        ArgumentError, match=r"no linear layer of this Pooled reads the LSTM's outputs unchanged\. Give"
    ):
        explained(Pooled(lambda y: y), torch.randn(5, 1, 3), hs.explain.logit(0), 0)


def test_compiled_modules() -> None:
    model, x = Classifier(lambda y: y[-1]), torch.randn(5, 2, 3)
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        want = compiled(x)
    result = explained(compiled, x, hs.explain.logit(1), 1)  # type: ignore[arg-type]
    assert result.target == "output 1 at step 4"
    assert result.value == pytest.approx(float(want[1, 1]), abs=1e-6)
