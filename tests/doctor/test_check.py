"""`hs.check` itself: what it leaves unchanged, what it says it can't test, bad input, and findings by hand."""

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode

import hiddenstate as hs
from doctor.planted import ARCHITECTURES, MISTAKES, Model, check_planted, example_of, is_found
from hiddenstate.doctor.misconceptions import MISCONCEPTIONS
from hiddenstate.errors import ArgumentError, ArgumentTypeError, BrokenModelError
from hiddenstate.tracing import watch
from interrupts import Interrupter


class Classifier(nn.Module):
    def __init__(self, layer: Any = nn.LSTM, **options: object) -> None:
        super().__init__()
        self.lstm: Any
        self.lstm = layer(4, 5, **{"batch_first": True} | options)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.lstm(x)[0][:, -1])


X = torch.randn(6, 9, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def numpy_state() -> list[int]:
    state: Any = np.random.get_state()
    return state[1].tolist()  # type: ignore[no-any-return]


def hooks_of(module: nn.Module) -> list[object]:
    return [*module._forward_hooks.items(), *module._forward_pre_hooks.items()]


def kinds(report: hs.CheckReport) -> list[str]:
    return [finding.kind for finding in report.mistakes]


class Untidy(Classifier):
    """Keeps states and counts its calls, in attributes, lists, dicts and buffers; draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.calls, self.log = None, 0, list[Tensor]()
        self.kept = {"last": torch.zeros(1)}
        self.norm = nn.BatchNorm1d(5)
        self.drop = nn.Dropout(0.5)
        self.count: Tensor
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: Tensor) -> Any:
        out, self.hidden = self.lstm(x, self.hidden)
        self.calls += 1
        self.log.append(out)
        self.kept["last"] += 1
        self.kept["new"] = out
        self.count.add_(1)
        self.train()
        random.random(), np.random.random()
        return self.head(self.drop(self.norm(out[:, -1])))


@pytest.mark.parametrize("training", [True, False])
def test_nothing_in_the_model_changes(training: bool) -> None:
    model = Untidy().train(training)
    model.drop.train(not training)
    calls: list[object] = []
    model.lstm.register_forward_hook(lambda *_: calls.append(1))
    model.head.weight.grad = torch.ones_like(model.head.weight)
    before = copy.deepcopy({**model.state_dict(), "grad": model.head.weight.grad, "kept": model.kept["last"]})
    modes = [part.training for part in model.modules()]
    hooks = [hooks_of(part) for part in model.modules()]
    states = torch.get_rng_state(), random.getstate(), numpy_state()
    hs.check(model, X)
    after = {**model.state_dict(), "grad": model.head.weight.grad, "kept": model.kept["last"]}
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert model.hidden is None
    assert model.calls == 0
    assert model.log == []
    assert sorted(model.kept) == ["last"]
    assert all(weight.grad is None for name, weight in model.named_parameters() if name != "head.weight")
    assert modes == [part.training for part in model.modules()]
    assert hooks == [hooks_of(part) for part in model.modules()]
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert states[2] == numpy_state()


def test_nothing_changes_when_the_check_is_interrupted() -> None:
    model = Untidy()
    stops = iter(range(4))

    def stop(*_: object) -> None:
        if next(stops) == 3:
            raise KeyboardInterrupt

    handle = model.head.register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        hs.check(model, X)
    assert model.calls == 0
    assert model.training
    assert list(model.head._forward_hooks) == [handle.id]
    assert not model.lstm._forward_hooks


def test_an_interrupt_at_any_line_of_the_watch_leaves_nothing_in_force() -> None:
    model, x = nn.LSTM(2, 3, batch_first=True), torch.randn(3, 3, 2)
    hs.check(model, x)
    lstm, k = torch._VF.lstm, 0
    while True:
        interrupter = Interrupter(k, (watch.__file__,))
        error = interrupter.run(lambda: hs.check(model, x))
        assert _get_current_function_mode() is None, error
        assert hooks_of(model) == [], error
        assert model.training
        assert torch._VF.lstm is lstm
        if not interrupter.is_raised:
            break
        assert isinstance(error, KeyboardInterrupt)
        k += 1
    assert k > 100


@pytest.mark.parametrize(
    "name", ["view of h_n", "state not carried", "last step of all", "detached", "batch_first forgotten"]
)
def test_the_same_is_found_while_torch_is_accelerated(name: str) -> None:
    mistake = next(mistake for mistake in MISTAKES if mistake.name == name)
    arch = next(arch for arch in ARCHITECTURES if mistake.fits(arch))
    with hs.accelerate():
        assert is_found(mistake, check_planted(mistake, arch))
        assert hs.check(Model(arch), *example_of(arch)).ok
        assert torch._VF.lstm.__module__.startswith("hiddenstate")
    assert is_found(mistake, check_planted(mistake, arch))


def test_a_report_says_where_and_what_to_change() -> None:
    report = hs.check(Classifier(batch_first=False), X)
    assert not report.ok
    (finding,) = report.mistakes
    assert (finding.kind, finding.module) == ("axes-exchanged", "lstm")
    assert "batch_first=True" in finding.change
    assert finding.idea == MISCONCEPTIONS["M8"]
    assert finding.link == "docs/howto/check.md#axes-exchanged"
    text = str(report)
    for part in (finding.shows[:30], finding.idea, finding.link, "padding-read", "rows have no lengths"):
        assert part in text
    with pytest.raises(BrokenModelError, match="axes-exchanged"):
        report.raise_if_broken()
    hs.check(Classifier(), X).raise_if_broken()


def test_time_first_is_assumed_and_said_where_nothing_tells() -> None:
    layer = nn.LSTM(4, 5)
    assert hs.check(layer, X).ok
    assert "time first" in hs.check(layer, X).assumptions[0]
    assert kinds(hs.check(layer, X, layout="NTC")) == ["axes-exchanged"]
    assert kinds(hs.check(layer, X, lengths=[9, 8, 7, 9, 1, 2])) == ["axes-exchanged"]


class Policy(nn.Module):
    """A loop over steps that resets the rows whose episode begins, time first; some of its units are 0 at the start."""

    def __init__(self, cell: bool) -> None:
        super().__init__()
        self.encoder, self.head = nn.Linear(4, 12), nn.Linear(5, 2)
        self.memory: Any = nn.GRUCell(12, 5) if cell else nn.GRU(12, 5)

    def forward(self, x: Tensor, starts: Tensor, state: Tensor) -> Any:
        outputs = []
        for step, start in zip(torch.relu(self.encoder(x)), starts, strict=True):
            state = state * ~start[:, None]
            if isinstance(self.memory, nn.GRU):
                _, after = self.memory(step[None], state[None])
                state = after[0]
            else:
                state = self.memory(step, state)
            outputs.append(state)
        return self.head(torch.stack(outputs)), state


@pytest.mark.parametrize(("cell", "rows"), [(False, 5), (True, 5), (False, 1)])
def test_a_loop_over_steps_is_read_as_time_first(cell: bool, rows: int) -> None:
    example = torch.randn(9, rows, 4), torch.rand(9, rows) < 0.2, torch.randn(rows, 5)
    report = hs.check(Policy(cell), *example)
    assert report.ok
    assert "time first" in report.assumptions[0]
    detached = Policy(cell)
    detached.memory.register_forward_pre_hook(lambda _, args: (args[0], args[1].detach()))
    assert kinds(hs.check(detached, *example)) == ["gradient-cut"]


def test_a_model_that_fails_is_said_to_fail_and_where() -> None:
    report = hs.check(Classifier(), torch.randn(6, 9, 5))
    assert kinds(report) == ["fails"]
    assert "`lstm`" in report.mistakes[0].shows
    assert set(report.untested.values()) == {"the model fails"}


def test_a_model_without_a_recurrent_layer_is_tested_for_the_rest() -> None:
    class Mean(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"mean": x.mean(0), "first": x[0]}

    report = hs.check(Mean(), X)
    assert "rows-mixed" in kinds(report)
    assert report.untested["gates"] == "no recurrent layer or cell was called"
    assert hs.check(nn.Sequential(nn.Flatten(), nn.Linear(36, 2)), X).ok


def test_a_model_that_runs_on_one_row_only() -> None:
    class One(Classifier):
        def forward(self, x: Tensor) -> Any:
            return self.head(self.lstm(x.view(1, 9, 4))[0][:, -1])

    report = hs.check(One(), X[:1])
    assert report.ok
    assert "does not run on 4 (RuntimeError" in report.untested["rows-mixed"]


@pytest.mark.parametrize("first", [True, False])
def test_a_model_runs_at_most_ten_times_and_six_more_to_see_that_it_is_time_first(first: bool) -> None:
    count: list[Tensor] = []

    class Counted(Classifier):
        def forward(self, x: Tensor) -> Any:
            count.append(x)
            return self.head(self.lstm(x)[0])

    assert hs.check(Counted(batch_first=first), X).ok
    assert len(count) <= (10 if first else 16)


def test_a_model_that_fails_on_a_changed_row_is_tested_for_the_rest() -> None:
    class Strict(Classifier):
        def forward(self, x: Tensor) -> Any:
            if not torch.equal(x[1], X[1]):
                raise ValueError("the second row is another")
            return super().forward(x)

    report = hs.check(Strict(), X)
    assert report.ok
    assert "future-read" in report.tested


def test_models_of_a_fixed_size_are_run_on_the_whole_example() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = hs.LSTM(4, 5, batch_first=True), nn.Linear(5 * 60, 2)

        def forward(self, x: Tensor) -> Any:
            return self.head(self.lstm(x, (torch.zeros(1, 6, 5), torch.zeros(1, 6, 5)))[0].reshape(6, -1))

    report = hs.check(Fixed(), torch.randn(6, 60, 4))
    assert report.ok
    assert "6 rows of 60 steps" in report.example


def test_a_forget_bias_set_twice_and_modules_not_called_are_notes() -> None:
    model: Any = Classifier()
    model.extra = nn.Linear(2, 2)
    with torch.no_grad():
        model.lstm.bias_ih_l0[5:10] = 1
        model.lstm.bias_hh_l0[5:10] = 1
    report = hs.check(model, X)
    assert report.ok
    assert {"forget-bias", "unused"} <= {finding.kind for finding in report.notes}


def test_a_loop_that_a_layer_would_compute_and_a_slow_path_are_notes() -> None:
    arch = next(arch for arch in ARCHITECTURES if arch.is_cell)
    assert "slow" in [finding.kind for finding in hs.check(Model(arch), *example_of(arch)).notes]
    with hs.backend("reference"):
        assert "slow" in [finding.kind for finding in hs.check(Classifier(hs.LSTM), X).notes]


class LastValue(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.lstm, self.head, self.scale = hs.LSTM(1, 4, batch_first=True), nn.Linear(4, 1), scale

    def forward(self, x: Tensor) -> Any:
        return x[:, -1] * (self.scale > 0) + self.scale * self.head(self.lstm(x)[0][:, -1])


def test_a_forecast_that_is_the_last_value_or_a_constant() -> None:
    walk = torch.randn(40, 12, 1).cumsum(1)
    x, y = walk[:, :-1], walk[:, -1]
    assert kinds(hs.check(LastValue(1e-3), x, targets=y)) == ["last-value-repeated"]
    assert hs.check(LastValue(3.0), x, targets=y).ok
    constant = Classifier()
    with torch.no_grad():
        constant.head.weight *= 1e-5
    assert kinds(hs.check(constant, X, targets=torch.randn(6, 3))) == ["last-value-repeated"]


def test_a_bidirectional_language_model_is_a_mistake_if_it_should_be_causal() -> None:
    model = nn.LSTM(4, 5, batch_first=True, bidirectional=True)
    assert hs.check(model, X).ok
    assert kinds(hs.check(model, X, causal=True)) == ["future-read"]
    assert not hs.check(model, X, causal=False).findings


@pytest.mark.parametrize(("lengths", "ahead"), [([9] * 6, 8), ([4, 2, 6, 3, 1, 5], 5)])
def test_how_far_ahead_is_read_is_counted_from_the_end_of_a_row(lengths: list[int], ahead: int) -> None:
    layer = hs.LSTM(4, 5, batch_first=True, bidirectional=True)
    (finding,) = hs.check(layer, X, lengths=torch.tensor(lengths), causal=True).mistakes
    assert f"up to {ahead} steps before it" in finding.shows


def test_an_operation_without_a_derivative_leaves_the_rest_tested() -> None:
    class NoDerivative(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Any:
            return x * 2

    no_derivative: Any = NoDerivative.apply  # which only some versions of torch have types for

    class Model(Classifier):
        def forward(self, x: Tensor) -> Any:
            return self.head(no_derivative(self.lstm(x)[0])[:, -1])

    report = hs.check(Model(), X)
    assert report.ok
    assert "backward pass fails" in report.untested["gradient-cut"]
    assert "padding-read" in report.untested
    assert "rows-mixed" in report.tested


class Squeezing(Classifier):
    """Drops axes of the state, before or after the head."""

    def __init__(self, squeeze: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.squeeze = squeeze

    def forward(self, x: Tensor) -> Any:
        return self.head(self.squeeze(self.lstm(x)[1][0]))[:, 0]


def test_a_row_that_is_squeezed_away_and_one_that_is_not() -> None:
    (finding,) = hs.check(Squeezing(Tensor.squeeze), X).mistakes
    assert (finding.kind, finding.module) == ("row-squeezed", "")
    assert "squeeze" in finding.operation
    assert "and the model fails: IndexError" in finding.shows
    assert hs.check(Squeezing(lambda h: h.squeeze(0)), X).ok
    assert hs.check(Squeezing(Tensor.squeeze), X[:1]).mistakes == (finding,), "one row is repeated"


class Decoder(nn.Module):
    """A cell in a loop that reads a context, or a cell above it; ``wrong``: each step begins from the first state."""

    def __init__(self, above: bool, wrong: bool) -> None:
        super().__init__()
        self.above, self.wrong = above, wrong
        self.gru, self.cell = nn.GRU(4, 5, batch_first=True), nn.GRUCell(5, 5)
        self.below = nn.GRUCell(4, 5)

    def forward(self, x: Tensor) -> Any:
        memory, start = self.gru(x)
        below = h = start[0] * (not self.above)
        out = []
        for t in range(x.shape[1]):
            weights = (memory @ h[..., None]).softmax(1)
            if self.above:
                below = self.below(x[:, t], below)
            h = self.cell(below if self.above else (weights * memory).sum(1), start[0] if self.wrong else h)
            out.append(h)
        return torch.stack(out, 1)


@pytest.mark.parametrize("above", [True, False])
def test_a_cell_that_begins_from_one_state_at_every_step(above: bool) -> None:
    mistakes = hs.check(Decoder(above, wrong=True), X, layout="NTC").mistakes
    assert ("steps-apart", "cell") in [(finding.kind, finding.module) for finding in mistakes]
    assert "steps-apart" not in kinds(hs.check(Decoder(above, wrong=False), X, layout="NTC"))


@pytest.mark.parametrize("wrong", [True, False])
def test_a_memory_that_is_lost_in_the_first_of_two_loops(wrong: bool) -> None:
    class Loops(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.LSTMCell(4, 5), nn.Linear(5, 4)

        def forward(self, x: Tensor) -> Any:
            h = c = zeros = torch.zeros(len(x), 5)
            for t in range(x.shape[1]):
                h, c = self.cell(x[:, t], (h, zeros if wrong else c))
            for _ in range(3):
                h, c = self.cell(self.head(h), (h, c))
            return self.head(h)

    found = [(finding.kind, finding.module) for finding in hs.check(Loops(), X, layout="NTC").mistakes]
    assert found == [("cell-state-lost", "cell")] * wrong


def test_a_layer_that_reads_the_whole_and_then_each_step_alone() -> None:
    class Alone(Classifier):
        def forward(self, x: Tensor) -> Any:
            steps = [self.lstm(x[:, t : t + 1])[0] for t in range(x.shape[1])]
            return self.head(torch.cat(steps, 1)), self.head(self.lstm(x)[0][:, -1])

    assert kinds(hs.check(Alone(), X, layout="NTC")) == ["steps-apart"]


class Pair(nn.Module):
    """Reads two sequences with one layer and compares them; or tags one and judges all of it."""

    def __init__(self, read: Callable[[Any, Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.lstm, self.read = nn.LSTM(4, 5, batch_first=True, bidirectional=True), read

    def forward(self, x: Tensor, y: Tensor) -> Any:
        return self.read(self.lstm, x, y)


def _both(h: Tensor) -> Tensor:
    return torch.cat([h[0], h[1]], -1)


def _sorted(lstm: Any, x: Tensor, y: Tensor) -> Tensor:
    return _both(lstm(x)[1][0]) - _both(lstm(y[[1, 0, *range(2, len(y))]])[1][0])


PAIRS = (
    ("rows-out-of-order", "", _sorted),
    ("wrong-state", "lstm", lambda lstm, x, y: lstm(x)[0][:, -1] * lstm(y)[0][:, -1]),
    ("wrong-state", "lstm", lambda lstm, x, y: {"tags": lstm(x)[0], "topic": lstm(x)[1][0][-1]}),
)


@pytest.mark.parametrize(("kind", "module", "read"), PAIRS)
def test_two_sequences_or_two_results(kind: str, module: str, read: Any) -> None:
    (finding,) = hs.check(Pair(read), X, X.flip(0) * 2, layout="NTC").mistakes
    assert (finding.kind, finding.module) == (kind, module)
    both = Pair(lambda lstm, x, y: {"tags": lstm(x)[0], "topic": _both(lstm(x)[1][0])})
    assert hs.check(both, X, X * 2, layout="NTC").ok


def test_one_direction_beside_all_outputs_is_a_note() -> None:
    read = Pair(lambda lstm, x, y: _attended(*lstm(x)))
    report = hs.check(read, X, X, layout="NTC")
    assert report.ok
    assert "wrong-state" in [finding.kind for finding in report.notes]


def _attended(out: Tensor, states: tuple[Tensor, Tensor]) -> Tensor:
    return (out * (out[..., :5] @ states[0][-1][..., None]).softmax(1)).sum(1)


@pytest.mark.parametrize("wrong", [True, False])
def test_a_reconstruction_from_the_first_step(wrong: bool) -> None:
    class Reconstruction(Classifier):
        def forward(self, x: Tensor) -> Any:
            code = self.lstm(x)[0][:, 0 if wrong else -1, None]
            return self.head(code.expand(-1, x.shape[1], -1))

    found = [(finding.kind, finding.module) for finding in hs.check(Reconstruction(), X, layout="NTC").mistakes]
    assert found == [("last-step-unread", "lstm")] * wrong


def test_steps_scattered_by_a_reshape_over_an_axis_between() -> None:
    class Assets(Classifier):
        def forward(self, x: Tensor) -> Any:
            rows, steps, assets, _ = x.shape
            return super().forward(x.reshape(rows * assets, steps, 4)).view(rows, assets, -1)

    (finding,) = hs.check(Assets(), torch.randn(5, 11, 3, 4), layout="NTAC").mistakes
    assert (finding.kind, finding.module) == ("view-for-transpose", "lstm")
    assert "spread over several steps" in finding.shows


def test_a_series_given_as_features_is_a_mistake_if_the_layout_says_that_it_is_time() -> None:
    class Series(Classifier):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x[:, None])

    model = Series(lambda *_, **options: nn.LSTM(9, 5, **options))
    assert kinds(hs.check(model, X[..., 0], layout="NT")) == ["one-step"]
    assert hs.check(model, X[..., 0]).ok


def test_a_head_of_zeros_is_a_note() -> None:
    model = Classifier()
    nn.init.zeros_(model.head.weight)
    report = hs.check(model, X)
    assert report.ok
    assert "constant-result" in [finding.kind for finding in report.notes]
    assert "right only before training" in str(report)


def test_values_that_are_not_finite_or_saturated_are_one_mistake() -> None:
    class Scaled(Classifier):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x.log() if scale is None else x * scale)

    scale: float | None = None
    assert kinds(hs.check(Scaled(), X)) == ["not-finite"]
    scale = 1e6
    assert kinds(hs.check(Scaled(), X)) == ["gates"]


def test_named_lengths_are_passed_to_the_model() -> None:
    class Mean(Classifier):
        def forward(self, x: Tensor, lengths: Tensor) -> Any:  # type: ignore[override]
            out = self.lstm(x)[0]
            mask = torch.arange(x.shape[1]) < lengths[:, None]
            return self.head((out * mask[..., None]).sum(1) / lengths[:, None])

    lengths = torch.tensor([9, 3, 5, 6, 7, 2])
    assert hs.check(Mean(), X, lengths=lengths).ok
    assert kinds(hs.check(Classifier(), X, lengths=lengths)) == ["padding-read"]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        ((), {}, ArgumentTypeError, "check\\(model, x\\)"),
        ((torch.randn(3),), {}, ArgumentTypeError, "two axes or more"),
        ((X,), {"layout": "NNC"}, ArgumentError, "layout"),
        ((X,), {"layout": "NC"}, ArgumentError, "layout"),
        ((X,), {"layout": "NTCDE"}, ArgumentError, "3 axes"),
        ((X,), {"layout": "BTC"}, ArgumentError, "N for rows"),
        ((X,), {"layout": ("N", "T", "C")}, ArgumentTypeError, "layout must be a str such as 'NTC', got tuple"),
        ((X,), {"loss": nn.MSELoss}, ArgumentTypeError, "pass MSELoss\\(\\)"),
        ((X,), {"lengths": [1, 2]}, ArgumentError, "each of the 6 rows"),
        ((X,), {"lengths": [10, 1, 1, 1, 1, 1]}, ArgumentError, "from 1 to 9"),
        ((X,), {"lengths": [0, 1, 1, 1, 1, 1]}, ArgumentError, "from 1 to 9"),
        ((X.numpy(),), {}, ArgumentTypeError, "expected tensors, got ndarray: convert it with torch.as_tensor"),
        (([X[0], X[1, :4]],), {}, ArgumentTypeError, "a list of 2 sequences of different lengths"),
        ((X[:0],), {}, ArgumentError, "empty"),
        ((X[:, :0],), {}, ArgumentError, "empty"),
    ],
)
def test_bad_arguments_fail(
    arguments: tuple[Tensor, ...], options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        hs.check(Classifier(), *arguments, **options)


def test_something_else_than_a_module_fails() -> None:
    with pytest.raises(ArgumentTypeError, match="torch.nn.Module"):
        hs.check(lambda x: x, X)  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="the class Classifier: pass an instance"):
        hs.check(Classifier, X)  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [1, 2, 3, 17, 65])
@pytest.mark.parametrize("rows", [1, 2, 3, 17])
def test_odd_sizes(rows: int, steps: int) -> None:
    assert hs.check(Classifier(hs.GRU), torch.randn(rows, steps, 4)).ok
    assert hs.check(nn.LSTM(4, 5), torch.randn(steps, rows, 4), layout="TNC").ok
    if steps > 2:
        assert "axes-exchanged" in kinds(
            hs.check(Classifier(batch_first=False), torch.randn(rows, steps, 4), layout="NTC")
        )


def test_not_a_number_in_the_example_is_the_examples() -> None:
    x = X.clone()
    x[0, 2, 1] = float("nan")
    (finding,) = [f for f in hs.check(Classifier(), x).mistakes if f.kind == "not-finite"]
    assert "example" in finding.shows


def test_double_precision_and_unbatched_examples() -> None:
    assert hs.check(Classifier().double(), X.double()).ok
    assert hs.check(nn.LSTM(4, 5), X[0], layout="TC").ok


class LastOfPacked(Classifier):
    def forward(self, x: Tensor, lengths: Tensor) -> Any:  # type: ignore[override]
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        out, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return self.head(out[:, -1])


def test_the_last_step_of_packed_rows_is_padding_and_no_lost_row() -> None:
    (finding,) = hs.check(LastOfPacked(), X, torch.tensor([9, 5, 9, 3, 2, 7])).mistakes
    assert (finding.kind, "getitem" in finding.operation) == ("padding-read", True)
    assert "which are shorter than the longest, change no result" in finding.shows


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.L1Loss(), lambda out, goal: (out - goal).square().mean()])
def test_results_that_meet_the_targets_of_all_rows(loss: Any) -> None:
    model = nn.Sequential(Classifier(), nn.Linear(3, 1))
    report = hs.check(model, X, targets=torch.randn(6), loss=loss)
    assert kinds(report) == ["loss-axes"]
    assert "[4, 1] and targets [4], which it expands to [4, 4]" in report.mistakes[0].shows
    for model_of, goal in ((model, torch.randn(6, 1)), (nn.Sequential(model, nn.Flatten(0)), torch.randn(6))):
        assert hs.check(model_of, X, targets=goal, loss=loss).ok


def test_a_dead_relu_is_one_mistake() -> None:
    class Dead(Classifier):
        def forward(self, x: Tensor) -> Any:
            return torch.relu(super().forward(x) - 9)

    assert kinds(hs.check(Dead(), X)) == ["constant-result"]


def test_the_layout_has_a_letter_for_each_axis() -> None:
    assert "read as 'NTC'" in str(hs.check(Classifier(), X))
    assert "read as 'TNC'" in str(hs.check(nn.LSTM(4, 5), X))


def test_a_model_that_returns_no_tensor_is_refused() -> None:
    class Array(Classifier):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x).detach().numpy()

    with pytest.raises(ArgumentTypeError, match="the model returned ndarray, which contains no tensor"):
        hs.check(Array(), X)


class InALoop(nn.Module):
    def __init__(self, cell: nn.Module, starts: int) -> None:
        super().__init__()
        self.cell, self.starts = cell, starts

    def forward(self, x: Tensor) -> Any:
        state, out = None, []
        for t in range(x.shape[1]):
            state = self.cell(x[:, t], None if t == self.starts else state)
            out.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(out, 1)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("starts", [0, 5])
def test_gates_of_cells_are_judged_as_those_of_a_layer_on_the_first_sequence(kind: Any, starts: int) -> None:
    layer, cell = kind(4, 5, batch_first=True), getattr(nn, f"{kind.__name__}Cell")(4, 5)
    with torch.no_grad():
        for name, weight in cell.named_parameters():
            weight.copy_(getattr(layer, f"{name}_l0").mul_(30))
    found, expected = (
        [one.shows.split(";")[0] for one in hs.check(m, x, layout="NTC").findings if one.kind == "gates"]
        for m, x in ((InALoop(cell, starts), X * 30), (Alone(layer), X[:, : starts or 9] * 30))
    )
    assert found
    assert found == expected


class Alone(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Any:
        return self.layer(x)[0]


class Words(nn.Module):
    """Reads padded rows of words; ``read`` says how."""

    def __init__(self, read: Callable[["Words", Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.embedding, self.lstm, self.head = nn.Embedding(20, 6), nn.LSTM(6, 5, batch_first=True), nn.Linear(5, 7)
        self.read = read

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        return self.read(self, words, lengths)


WORDS = torch.randint(1, 20, (6, 9), generator=torch.Generator().manual_seed(0))
LENGTHS = torch.tensor([9, 5, 7, 3, 2, 8])
pack = nn.utils.rnn.pack_padded_sequence


def last_of(model: Words, x: Tensor, lengths: Tensor) -> Tensor:
    return model.lstm(x)[0][torch.arange(len(x)), lengths - 1]  # type: ignore[no-any-return]


def only_lengths_sorted(model: Words, words: Tensor, lengths: Tensor) -> Tensor:
    lengths = lengths.sort(descending=True).values
    return model.head(model.lstm(pack(model.embedding(words), lengths, batch_first=True))[1][0][-1])  # type: ignore[no-any-return]


def embedding_without_gradient(model: Words, words: Tensor, lengths: Tensor) -> Tensor:
    with torch.no_grad():
        x = model.embedding(words)
    return model.head(last_of(model, x, lengths))  # type: ignore[no-any-return]


def test_rows_that_are_packed_with_the_lengths_of_others() -> None:
    (finding,) = hs.check(Words(only_lengths_sorted), WORDS, LENGTHS).mistakes
    assert (finding.kind, finding.module) == ("rows-out-of-order", "lstm")
    assert "pack_padded_sequence" in finding.operation
    assert "same order" in finding.change


def test_two_sequences_with_the_same_lengths_in_another_order() -> None:
    class Two(Words):
        other: Any

        def forward(self, words: Tensor, lengths: Tensor, *others: Tensor) -> Any:
            parts = []
            for layer, x, sizes in ((self.lstm, words, lengths), (self.other, *others)):
                parts.append(layer(pack(self.embedding(x), sizes, True, enforce_sorted=False))[1][0][-1])
            return self.head(parts[0] * parts[1])

    model = Two(last_of)
    model.other = nn.LSTM(6, 5, batch_first=True)
    sizes = LENGTHS[[1, 0, 2, 3, 5, 4]]
    words, others = (WORDS * (torch.arange(9) < lengths[:, None]) for lengths in (LENGTHS, sizes))
    assert hs.check(model, words, LENGTHS, others, sizes).ok


def test_a_layer_that_reads_a_pair_with_the_lengths_of_the_second() -> None:
    class Pair(Words):
        compose: Any

        def forward(self, words: Tensor, lengths: Tensor, *others: Tensor) -> Any:
            other, sizes = others
            keys, queries = self.embedding(words), self.embedding(other)
            seen = (torch.arange(9) < lengths[:, None])[:, None]
            found = (queries @ keys.mT).masked_fill(~seen, -1e9).softmax(-1) @ keys
            x = pack(torch.cat([queries, found], -1), sizes, True, enforce_sorted=False)
            return self.head(self.compose(x)[1][0][-1])

    model = Pair(last_of)
    model.compose = nn.LSTM(12, 5, batch_first=True)
    assert hs.check(model, WORDS, LENGTHS, WORDS.flip(0), LENGTHS.flip(0)).ok


def test_an_embedding_that_no_gradient_reaches_is_a_note() -> None:
    report = hs.check(Words(embedding_without_gradient), WORDS, LENGTHS)
    assert report.ok
    (note,) = [note for note in report.notes if note.kind == "gradient-cut"]
    assert note.module == "embedding"
    frozen = Words(embedding_without_gradient)
    frozen.embedding.requires_grad_(False)
    assert not [note for note in hs.check(frozen, WORDS, LENGTHS).notes if note.kind == "gradient-cut"]
    report = hs.check(
        Words(lambda *call: last_of(call[0], call[0].embedding(call[1]), call[2]).detach()), WORDS, LENGTHS
    )
    assert [note.kind for note in report.notes] == ["gradient-cut", "unused"]


def test_dropout_that_always_acts_reads_no_padding() -> None:
    def dropped(model: Words, words: Tensor, lengths: Tensor) -> Tensor:
        x = nn.functional.dropout(model.embedding(words), 0.5)
        return model.head(last_of(model, x, lengths))  # type: ignore[no-any-return]

    assert kinds(hs.check(Words(dropped), WORDS, LENGTHS)) == ["random-result"]


@pytest.mark.parametrize(("by_row", "first"), [([0.0] * 6, 0.0), ([99, 0, 0, 0, 0, 0], 0.0), ([0.0] * 6, 99)])
def test_changes_that_are_rounded_away_lose_no_rows_or_steps(by_row: list[float], first: float) -> None:
    def chosen(model: Words, words: Tensor, lengths: Tensor) -> Any:
        out = model.lstm(model.embedding(words))[0]
        last = out[torch.arange(len(words)), lengths - 1]
        return (last * (torch.tensor(by_row[: len(words)])[:, None] + 1) + out[:, 0] * first).long()

    assert hs.check(Words(chosen), WORDS, LENGTHS).ok


def test_the_best_path_through_tags_is_rounded() -> None:
    class Decoder(Words):
        def forward(self, words: Tensor, lengths: Tensor) -> Any:
            scores = self.head(self.lstm(self.embedding(words))[0])
            best, pointers = scores[:, 0], list[Tensor]()
            for t in range(1, words.shape[1]):
                top = (best[:, :, None] + torch.eye(7)).max(1)
                best, pointers = top.values + scores[:, t], [top.indices, *pointers]
            path = [best.argmax(-1)]
            for back in pointers:
                path.insert(0, back.gather(1, path[0][:, None])[:, 0])
            return torch.stack(path, 1)

    assert hs.check(Decoder(last_of), WORDS, torch.full((6,), 9)).ok


class EveryStep(Classifier):
    def forward(self, x: Tensor) -> Any:
        return self.head(self.lstm(x)[0])


GOALS = torch.randint(3, (6, 9), generator=torch.Generator().manual_seed(0))


def test_classes_moved_to_axis_1_by_a_view() -> None:
    class Viewed(EveryStep):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x).view(len(x), 3, -1)

    cases: list[dict[str, Any]] = [{}, {"targets": GOALS, "loss": nn.CrossEntropyLoss()}]
    for options in cases:
        (finding,) = hs.check(Viewed(), X, **options).mistakes
        assert (finding.kind, "view" in finding.operation) == ("view-for-transpose", True)

    class Transposed(EveryStep):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x).transpose(1, 2)

    assert hs.check(Transposed(), X, targets=GOALS, loss=nn.CrossEntropyLoss()).ok
    model = Words(lambda model, x, _: model.head(model.lstm(model.embedding(x))[0]).view(len(x), 7, -1))
    report = hs.check(model, WORDS[:, :-1], LENGTHS, targets=WORDS[:, 1:])
    assert kinds(report) == ["view-for-transpose"]


@pytest.mark.parametrize("steps", [8, 16, 50])
def test_steps_that_are_joined_or_divided_are_not_scattered(steps: int) -> None:
    class Regrouped(nn.Module):
        """Joins two steps, as a pyramid does, or makes two of each; the axes have equal sizes in another order."""

        def __init__(self, units: int, joins: bool) -> None:
            super().__init__()
            self.first = nn.GRU(4, units, batch_first=True)
            width = 2 * units if joins else units // 2
            self.rest = nn.GRU(width, 5, batch_first=True) if joins else nn.Linear(width, 1)
            self.joins = joins

        def forward(self, x: Tensor) -> Any:
            out = self.first(x)[0]
            steps = x.shape[1] // 2 if self.joins else 2 * x.shape[1]
            rest = self.rest(out.reshape(len(x), steps, -1))
            return rest[0] if self.joins else rest

    seen = min(steps, 32)
    assert hs.check(Regrouped(seen // 2, joins=True), torch.randn(6, steps, 4)).ok
    assert hs.check(Regrouped(2 * seen, joins=False), torch.randn(6, steps, 4)).ok


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("steps", [9, 50])
def test_as_many_classes_as_steps(both: bool, steps: int) -> None:
    classes = min(steps, 32)

    class Scores(nn.Module):
        def __init__(self, transposed: bool) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 5, batch_first=True, bidirectional=both)
            self.head = nn.Linear(10 if both else 5, classes)
            self.transposed = transposed

        def forward(self, x: Tensor) -> Any:
            scores = self.head(self.lstm(x)[0])
            return scores.transpose(1, 2) if self.transposed else scores

    x, goals = torch.randn(6, steps, 4), torch.randint(classes, (6, steps))
    loss = nn.CrossEntropyLoss()
    assert kinds(hs.check(Scores(False), x[:, :classes], targets=goals[:, :classes], loss=loss)) == ["loss-axes"]
    assert hs.check(Scores(False), x, targets=goals, loss=lambda y, goal: loss(y.transpose(1, 2), goal)).ok
    assert hs.check(Scores(True), x, targets=goals, loss=loss).ok
    assert kinds(hs.check(Scores(True), x, causal=True)) == ["future-read"] * both


@pytest.mark.parametrize("both", [False, True])
def test_the_next_word_of_padded_rows(both: bool) -> None:
    class Next(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(20, 6, padding_idx=0)
            self.lstm = nn.LSTM(6, 5, batch_first=True, bidirectional=both)
            self.head = nn.Linear(10 if both else 5, 20)

        def forward(self, words: Tensor) -> Any:
            return self.head(self.lstm(self.embedding(words))[0])

    words = WORDS * (torch.arange(9) < LENGTHS[:, None])
    loss = nn.CrossEntropyLoss(ignore_index=0)
    for x, goals in ((words[:, :-1], words[:, 1:]), (WORDS[:, :-1], WORDS[:, 1:])):
        report = hs.check(Next(), x, targets=goals, loss=lambda y, goal: loss(y.transpose(1, 2), goal))
        assert ("target-read" in kinds(report)) == both


@pytest.mark.parametrize("loss", [nn.functional.nll_loss, nn.functional.cross_entropy])
def test_a_loss_of_no_result_at_all(loss: Any) -> None:
    model = nn.Sequential(EveryStep(), nn.LogSoftmax(2))
    none = torch.zeros(6, 9).long()  # the rows that are tested have no labelled step
    assert hs.check(model, X, targets=none, loss=lambda y, goal: loss(y[goal > 0], goal[goal > 0], reduction="sum")).ok


def test_a_loss_that_fails_leaves_the_model_tested() -> None:
    loss = nn.CrossEntropyLoss()
    report = hs.check(EveryStep(), X, targets=GOALS, loss=loss)
    assert kinds(report) == ["loss-axes"]
    assert report.untested["loss-over-padding"] == "the loss fails"

    class LastRow(Classifier):
        def forward(self, x: Tensor) -> Any:
            return self.head(self.lstm(x)[0][-1])

    report = hs.check(LastRow(), X, targets=GOALS[:, 0], loss=loss)
    assert kinds(report) == ["fails", "rows-lost"]
    assert "The loss fails on results [9, 3] and targets [6]: ValueError" in report.mistakes[0].shows
    report = hs.check(Classifier(), X, targets=GOALS[:, 0] + 9, loss=loss)
    assert "IndexError: Target" in report.mistakes[0].shows
    report = hs.check(Classifier(), X, targets=GOALS[:, 0].numpy(), loss=loss)
    assert "results [6, 3] and targets of type ndarray: TypeError" in report.mistakes[0].shows
    assert "loss(model(x), targets)" in report.mistakes[0].change
    (finding,) = hs.check(
        EveryStep(), X, targets=GOALS + 9, loss=lambda y, goals: loss(y.flatten(0, 1), goals.flatten())
    ).mistakes
    assert finding.kind == "fails"


def test_scores_without_their_logarithms() -> None:
    for model, module in ((Classifier(), "head"), (nn.Sequential(Classifier(), nn.Softmax(1)), "1")):
        (finding,) = hs.check(model, X, targets=GOALS[:, 0], loss=nn.NLLLoss()).mistakes
        assert (finding.kind, finding.module) == ("loss-of-probabilities", module)
        assert "return log_softmax" in finding.change
    assert hs.check(nn.Sequential(Classifier(), nn.LogSoftmax(1)), X, targets=GOALS[:, 0], loss=nn.NLLLoss()).ok


def test_a_failure_names_the_line_and_a_loss_without_targets_is_said_to_lack_them() -> None:
    report = hs.check(Classifier(), torch.randn(6, 9, 5))
    assert "forward (test_check.py:" in report.mistakes[0].operation
    assert "correct that line" in report.mistakes[0].change
    assert hs.check(nn.Module(), X).mistakes[0].change == "name the method forward"
    report = hs.check(Classifier(), X, loss=nn.CrossEntropyLoss())
    assert "no targets were given" in report.untested["loss-axes"]
    assert "training loop" in str(report)
