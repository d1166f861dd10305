"""Attributions of series, by feature and window, on the module's own input: exact values, sums, and bad input."""

import json
from collections.abc import Callable
from itertools import product
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, IndexRangeError, NameUnknownError, ShapeError
from support import seeds

METHODS = ("shapley", "integrated_gradients", "frozen", "cd", "occlusion", "gradient")


class Forecaster(nn.Module):
    """A recurrent layer with a linear head; optionally with something before it, and something after it."""

    def __init__(self, kind: Any = nn.LSTM, *, before: str = "", after: str = "", batch_first: bool = True, K: int = 2):
        super().__init__()
        self.before, self.after, self.batch_first = before, after, batch_first
        width = 3 if not before else 4
        self.mix = (
            nn.Linear(3, 4) if before == "linear" else nn.Conv1d(3, 4, 3, padding=2) if before == "conv" else None
        )
        self.rnn = kind(width, 5, batch_first=batch_first)
        self.head = nn.Linear(5, K)

    def forward(self, x: Tensor, state: Any = None) -> Any:
        series = x if self.batch_first else x.transpose(0, 1)
        if self.before == "conv":
            assert self.mix is not None
            series = self.mix(series.transpose(1, 2)).transpose(1, 2)[:, : series.shape[1]]
        elif self.mix is not None:
            series = self.mix(series)
        out, state = self.rnn(series if self.batch_first else series.transpose(0, 1), state)
        out = out if self.batch_first else out.transpose(0, 1)
        if self.after == "all steps":
            y = self.head(out)
            return (y if self.batch_first else y.transpose(0, 1)), state
        y = self.head(out[:, -1])
        return torch.tanh(y) + series[:, -1, :1] ** 2 if self.after == "more" else y


class EncoderDecoder(nn.Module):
    """Reads the past, and feeds its own forecasts back."""

    def __init__(self, horizon: int = 3) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.GRU(3, 5, batch_first=True), nn.GRUCell(1, 5)
        self.head, self.horizon = nn.Linear(5, 1), horizon

    def forward(self, x: Tensor) -> Any:
        state = self.encoder(x)[1][0]
        value, values = x[:, -1, :1], []
        for _ in range(self.horizon):
            state = self.decoder(value, state)
            value = self.head(state)
            values.append(value)
        return torch.stack(values, dim=1)


MODULES: dict[str, Callable[[], nn.Module]] = {
    "LSTM": lambda: Forecaster(),
    "LSTM, time first": lambda: Forecaster(batch_first=False),
    "hs.GRU": lambda: Forecaster(hs.GRU),
    "RNN, all steps": lambda: Forecaster(nn.RNN, after="all steps"),
    "projected before": lambda: Forecaster(before="linear"),
    "convolution before": lambda: Forecaster(nn.GRU, before="conv"),
    "more after": lambda: Forecaster(hs.LSTM, after="more", batch_first=False),
    "encoder and decoder": lambda: EncoderDecoder(),
}


def module_of(kind: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    module = MODULES[kind]().double().eval()
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(2)
    return module


def values_at(module: nn.Module, rows: Tensor, k: int = 0, s: int = -1) -> Any:
    """Output k of the module for rows ``[T, R, C]``."""
    layers = [layer for layer in module.modules() if hasattr(layer, "batch_first")]
    y = module(rows if not layers[0].batch_first else rows.transpose(0, 1))
    y = y[0] if isinstance(y, tuple) else y
    y = y.movedim(1 if y.dim() == 3 and not layers[0].batch_first else 0, 0)  # rows first
    return y[:, k] if y.dim() == 2 else y[:, s, k]


def as_read(module: nn.Module, x: Tensor) -> Tensor:
    """One row ``[T, C]`` as the module reads it."""
    return (
        x[None]
        if next(layer for layer in module.modules() if hasattr(layer, "batch_first")).batch_first
        else x[:, None]
    )


def by_sets(module: nn.Module, x: Tensor, base: Tensor, masks: list[Tensor], k: int = 0) -> list[float]:
    """Shapley's formula, set by set; masks ``[T, C]`` of the players."""
    P = len(masks)
    rows = []
    for present in product((False, True), repeat=P):
        row = base.clone()
        for part, there in zip(masks, present, strict=True):
            row = torch.where(part & torch.tensor(there), x, row)
        rows.append(torch.where(torch.stack(masks).any(0), row, x))
    with torch.no_grad():
        f = dict(zip(product((0, 1), repeat=P), values_at(module, torch.stack(rows, dim=1), k).tolist(), strict=True))
    values = []
    for p in range(P):
        total = 0.0
        for mask, value in f.items():
            if not mask[p]:
                size = sum(mask)
                weight = factorial(size) * factorial(P - size - 1) / factorial(P)
                total += weight * (f[(*mask[:p], 1, *mask[p + 1 :])] - value)
        values.append(total)
    return values


def masks_of(T: int, groups: list[list[int]], spans: list[tuple[int, int]]) -> list[Tensor]:
    masks = []
    for start, stop in spans:
        for group in groups:
            mask = torch.zeros(T, 3, dtype=torch.bool)
            mask[start:stop, group] = True
            masks.append(mask)
    return masks


@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize(
    ("groups", "spans"),
    [
        ({"a": [0], "b": [1, 2]}, [(0, 1), (1, 4), (4, 5), (6, 7)]),
        ({"a": 1}, [(t, t + 1) for t in range(7)]),
        ({"a": 0, "b": 1, "c": 2}, [(0, 2), (2, 7)]),
    ],
    ids=["two groups", "one column", "columns"],
)
def test_exact_values_are_those_of_brute_force(kind: str, groups: dict[str, Any], spans: list[tuple[int, int]]) -> None:
    module, x, base = module_of(kind), torch.randn(7, 3).double(), torch.randn(7, 3).double()
    result = hs.explain.attribute(module, as_read(module, x), of=0, features=groups, spans=spans, baseline=base)
    columns = [[part] if isinstance(part, int) else part for part in groups.values()]
    want = torch.tensor(by_sets(module, x, base, masks_of(7, columns, spans)), dtype=torch.float64)
    assert result.exact
    assert float((result.scores - want).abs().max()) <= 1e-10 * float(want.abs().sum()) + 1e-13
    assert result.table.shape == (len(spans), len(groups))
    assert result.value == pytest.approx(float(values_at(module, x[:, None])[0].detach()), abs=1e-12)
    total = float(result.table.sum())
    assert total == pytest.approx(result.value - float(result.references[0]), abs=1e-12)
    assert float(result.by_window.sum()) == pytest.approx(total, abs=1e-12)
    assert float(result.by_feature.sum()) == pytest.approx(total, abs=1e-12)


def test_ten_players() -> None:
    module, x, base = module_of("convolution before"), torch.randn(10, 3).double(), torch.zeros(10, 3).double()
    spans = [(t, t + 2) for t in range(0, 10, 2)]
    result = hs.explain.attribute(
        module, as_read(module, x), of=1, features={"a": [0, 2], "b": [1]}, spans=2, baseline="zero", occlusion=False
    )
    want = torch.tensor(by_sets(module, x, base, masks_of(10, [[0, 2], [1]], spans), k=1), dtype=torch.float64)
    assert float((result.scores - want).abs().max()) <= 1e-10 * float(want.abs().sum())


def test_shared_prefixes_are_run_once() -> None:
    """A layer with a linear head grows a tree over the windows; the same module, hidden, is run mask by mask."""
    module, x = module_of("LSTM"), torch.randn(1, 12, 3).double()
    hidden = nn.Sequential(module, nn.Identity())
    hidden[1].forward = lambda y: y.exp().log()  # no longer bit for bit what the head gave
    options: Any = {"of": 1, "features": True, "spans": 3, "occlusion": False}
    tree, masks = (hs.explain.attribute(part, x, **options) for part in (module, hidden))
    assert torch.allclose(tree.scores, masks.scores, rtol=1e-10, atol=1e-13)
    assert tree.cost == 3 * (8 + 64 + 512 + 4096)
    assert masks.cost == 12 * 4096


def test_sampled_values_are_within_their_standard_errors() -> None:
    module, x = module_of("more after"), torch.randn(4, 1, 3).double()
    exact = hs.explain.attribute(module, x, of=0, features=True, baseline="zero")
    options: Any = {"of": 0, "features": True, "baseline": "zero", "samples": 100}
    from hiddenstate.explain.attribution import shapley

    limit, shapley.EXACT_BRUTE = shapley.EXACT_BRUTE, 3
    try:
        sampled = hs.explain.attribute(module, x, **options)
    finally:
        shapley.EXACT_BRUTE = limit
    assert exact.exact
    assert not sampled.exact
    assert bool(((sampled.scores - exact.scores).abs() <= 5 * sampled.error[0] + 1e-12).all())
    assert float(sampled.parts.sum()) == pytest.approx(sampled.value - float(sampled.references[0]), abs=1e-12)


@pytest.mark.parametrize("kind", MODULES)
def test_integrated_gradients_are_those_of_captum(kind: str) -> None:
    captum = pytest.importorskip("captum.attr", reason="captum is not installed")
    module, x, base = module_of(kind), torch.randn(7, 3).double(), torch.randn(7, 3).double()
    result = hs.explain.attribute(
        module, as_read(module, x), of=0, features=True, method="integrated_gradients", baseline=base, points=50
    )

    def forward(rows: Tensor) -> Any:  # captum's rows are on the first axis
        return values_at(module, rows.transpose(0, 1))

    want = captum.IntegratedGradients(forward).attribute(x[None], baselines=base[None], n_steps=50)[0]
    assert float((result.table - want).abs().max()) <= 1e-5 * float(want.abs().max())


@pytest.mark.parametrize("method", METHODS)
def test_a_linear_recurrence_has_a_closed_form(method: str) -> None:
    """With positive weights and inputs, a ReLU network is ``h = W·x + U·h``: every method gives ``v·U^lag·W·Δx``."""
    if method == "cd":
        pytest.skip("contextual decomposition is for LSTMs")
    torch.manual_seed(0)
    rnn: Any = nn.RNN(3, 4, nonlinearity="relu").double()
    head = nn.Linear(4, 1).double()
    with torch.no_grad():
        for weight in (*rnn.parameters(), *head.parameters()):
            weight.abs_()

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = rnn, head

        def forward(self, x: Tensor) -> Any:
            parts: Any = self
            return parts.head(parts.rnn(x)[0][-1])

    x, base = torch.rand(9, 3).double(), torch.rand(9, 3).double()
    result = hs.explain.attribute(
        Model(), x[:, None], of=0, features=True, spans=None if method != "shapley" else 3, method=method, baseline=base
    )
    W, U = rnn.weight_ih_l0.detach(), rnn.weight_hh_l0.detach()
    slopes = [head.weight[0].detach() @ torch.linalg.matrix_power(U, 8 - t) @ W for t in range(9)]
    want = torch.stack(slopes) * (x if method == "frozen" else x - base)
    want = want.view(3, 3, 3).sum(1) if method == "shapley" else want
    assert float((result.table - want).abs().max()) <= 1e-10 * float(want.abs().max())


def test_contextual_decomposition_of_features() -> None:
    """β + γ is the target; and if a column is all that is read, β is that of the whole step."""
    module, x = module_of("LSTM"), torch.randn(1, 6, 3).double()
    result = hs.explain.attribute(module, x, of=1, features={"a": [0, 2], "b": 1}, method="cd")
    assert result.gamma is not None
    bias = result.rest["the head's bias"]
    assert torch.allclose(result.scores + result.gamma + bias, torch.tensor(result.value).double(), atol=1e-10)
    layer = hs.convert(module)
    subject = hs.explain.subject(layer, x)
    words = hs.explain.attribute(subject, of=hs.explain.logit("1"), method="cd")
    joined = hs.explain.attribute(module, x, of=1, features={"all": [0, 1, 2]}, method="cd")
    assert torch.allclose(joined.scores, words.scores, atol=1e-13)


@pytest.mark.parametrize("method", METHODS)
def test_one_group_of_all_columns_is_a_step(method: str) -> None:
    lstm = hs.LSTM(3, 5).double()
    x, hx = torch.randn(6, 3).double(), tuple(torch.randn(1, 5).double() for _ in range(2))
    options: Any = {"of": "l0.h[2]@5", "method": method, "baseline": "zero", "hx": hx, "state": "player"}
    plain = hs.explain.attribute(lstm, x, **options)
    grouped = hs.explain.attribute(lstm, x, features={"all": [0, 1, 2]}, **options)
    assert torch.allclose(plain.scores, grouped.scores, rtol=1e-12, atol=1e-14)
    assert grouped.of_state == pytest.approx(float(plain.scores[0]), abs=1e-14)
    assert [row["feature"] for row in grouped.rows()] == ["initial state", *["all"] * 6]


def test_the_state_of_a_module_is_a_player() -> None:
    module, x = module_of("RNN, all steps"), torch.randn(1, 3, 3).double()
    state = torch.randn(1, 1, 5).double()
    result = hs.explain.attribute(module, x, hx=state, of=0, features={"a": 0, "b": [1, 2]}, state="player")
    with torch.no_grad():
        value = float(module(x, state)[0][0, -1, 0])
        none = float(module(x.mean(1, keepdim=True).expand_as(x), torch.zeros_like(state))[0][0, -1, 0])
    assert result.value == pytest.approx(value, abs=1e-13)
    assert float(result.references[0]) == pytest.approx(none, abs=1e-13)
    assert result.of_state + float(result.table.sum()) == pytest.approx(value - none, abs=1e-12)
    kept = hs.explain.attribute(module, x, hx=state, of=0, features={"a": 0, "b": [1, 2]})
    assert kept.value == result.value
    assert not kept.has_state


def test_targets() -> None:
    module, x = module_of("encoder and decoder"), torch.randn(2, 5, 3).double()
    with torch.no_grad():
        y = module(x)
    options: Any = {"features": True, "method": "gradient", "row": 1}
    assert hs.explain.attribute(module, x, of=hs.explain.output(0, at=1), **options).value == pytest.approx(
        float(y[1, 1, 0])
    )
    assert hs.explain.attribute(module, x, of=lambda y: y[:, 0, 0] - y[:, 2, 0], **options).value == pytest.approx(
        float(y[1, 0, 0] - y[1, 2, 0])
    )
    steps, x = module_of("RNN, all steps"), torch.randn(1, 5, 3).double()
    result = hs.explain.attribute(steps, x, of=hs.explain.output(1, at=2), features=True, method="occlusion")
    assert [window.lag for window in result.windows] == [2, 1, 0, -1, -2]
    assert bool((result.table[3:] == 0).all())
    lstm = hs.LSTM(3, 4)
    of_layer = hs.explain.attribute(lstm, x[0].float(), of=2, features=True, method="gradient")
    assert of_layer.value == pytest.approx(float(lstm(x[0].float())[0][-1, 2].detach()), abs=1e-6)


def test_windows_of_one_length_end_with_the_last_step() -> None:
    module, x = module_of("LSTM"), torch.randn(1, 7, 3).double()
    result = hs.explain.attribute(module, x, of=0, features=[1, 0], spans=3, method="occlusion")
    assert [(name, start, stop, lag) for name, start, stop, lag in result.windows] == [
        ("0", 0, 1, 6), ("1 to 3", 1, 4, 3), ("4 to 6", 4, 7, 0)
    ]  # fmt: skip
    assert result.features == ("1", "0")


def test_baselines() -> None:
    module, x = module_of("more after"), torch.randn(5, 1, 3).double()
    options: Any = {"of": 0, "features": True, "method": "gradient"}

    def reference(baseline: Any, **more: Any) -> float:
        return float(hs.explain.attribute(module, x, baseline=baseline, **options, **more).references[0])

    past = torch.randn(30, 2, 3).double()
    for name, base, more in (
        ("zero", torch.zeros(3), {}),
        ("mean", x.mean(0)[0], {}),
        ("mean", past.mean((0, 1)), {"history": past}),
        ("previous", torch.cat([x[:1, 0], x[:-1, 0]]), {}),
    ):
        assert reference(name, **more) == pytest.approx(reference(base.double()), abs=1e-12)
    state, subject = torch.zeros(1, 1, 5).double(), hs.explain.subject(hs.LSTM(3, 4).double(), x)
    steps = module_of("RNN, all steps")
    cases: list[tuple[Any, Any, dict[str, Any]]] = [
        (steps, x.transpose(0, 1), {"hx": state, "history": past.transpose(0, 1)}),
        (subject, None, {"history": past}),
    ]
    for other, read, others in cases:
        bases: list[Any] = ["mean", past.mean((0, 1))]
        mean, same = (hs.explain.attribute(other, read, baseline=base, **options, **others) for base in bases)
        assert torch.allclose(mean.references, same.references, atol=1e-12)
    with pytest.raises(ShapeError, match="C = 3 columns"):
        reference("mean", history=past[..., :2])
    several = hs.explain.attribute(module, x, baseline=["zero", "mean"], **options)
    assert several.parts.shape == (2, 15)
    assert len(several.rows()) == 30
    assert "mean" in str(several)


def test_results() -> None:
    module, x = module_of("LSTM"), torch.randn(1, 4, 3).double()
    result = hs.explain.attribute(module, x, of=1, features={"rain": 0, "heat": [1, 2]}, spans=2)
    rows = result.rows()
    assert len(rows) == 4
    assert set(rows[0]) >= {"window", "start", "stop", "lag", "feature", "baseline", "part", "occlusion", "alone"}
    assert sum(float(row["part"] or 0) for row in rows) == pytest.approx(float(result.parts.sum()))
    data = json.loads(result.to_json())
    assert data["kind"] == "feature attribution"
    assert data["features"] == ["rain", "heat"]
    assert len(result.to_dataframe()) == 4
    assert "word" not in str(result) + result.to_json()
    assert "output 1" in str(result)
    first, second = ("0 to 1", "rain"), ("2 to 3", "heat")
    assert result.between(first, second) == result.between(second, first) == result.between((0, 0), (1, 1))
    many = hs.explain.attribute(module, torch.randn(1, 40, 3).double(), of=1, features=True, method="frozen")
    assert len(str(many).splitlines()) < 60
    assert "(12 of 120)" in str(many)


def test_interactions_are_those_of_a_product() -> None:
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.RNN(2, 2)

        def forward(self, x: Tensor) -> Any:
            self.rnn(x)
            return x[-1, :, 0] * x[-1, :, 1] + x[0, :, 0]

    x = torch.tensor([[[2.0, 1.0]], [[3.0, 5.0]]]).double()
    result = hs.explain.attribute(Product().double(), x, of=0, features={"a": 0, "b": 1}, baseline="zero")
    assert torch.allclose(result.table, torch.tensor([[2.0, 0.0], [7.5, 7.5]]).double())
    assert result.between((1, "a"), (1, "b")) == pytest.approx(15)
    assert result.between((0, "a"), (1, "b")) == pytest.approx(0)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"features": {"a": [0, 1], "b": 1}}, ArgumentError, "is in the groups 'a' and 'b'"),
        ({"features": {"a": []}}, ArgumentError, "has no columns"),
        ({"features": {}}, ArgumentError, "empty"),
        ({"features": [0, 0]}, ArgumentError, "twice"),
        ({"features": ["rain"]}, NameUnknownError, "no feature 'rain'"),
        ({"features": {"a": 3}}, IndexRangeError, "feature="),
        ({"features": "rain"}, ArgumentTypeError, "list of columns"),
        ({"spans": 9}, ArgumentError, "in 1..5"),
        ({"spans": [(0, 2), (1, 3)]}, ArgumentError, "overlap"),
        ({"spans": [("2020-01-01", "2020-02-01")]}, ArgumentError, "numbers"),
        ({"spans": [(0, 1, 2)]}, ArgumentTypeError, "pairs"),
        ({"baseline": "unk"}, ArgumentError, "no baseline 'unk'"),
        ({"baseline": "climatology"}, ArgumentError, "needs dates"),
        ({"baseline": torch.zeros(4)}, ShapeError, r"\[5, 3\]"),
        ({"baseline": 3}, ArgumentTypeError, "a name or a tensor"),
        ({"baseline": []}, ArgumentError, "empty"),
        ({"of": 7}, IndexRangeError, "output"),
        ({"of": hs.explain.output("flow")}, NameUnknownError, "no target 'flow'"),
        ({"of": hs.explain.output(0, at="2020-01-01")}, IndexRangeError, "only numbers"),
        ({"of": 1.5}, ArgumentTypeError, "number or name of an output"),
        ({"of": lambda y: y}, ArgumentError, "one number per row"),
        ({"row": 2}, IndexRangeError, "row"),
        ({"state": "player"}, ArgumentError, "initial state"),
        ({"method": "frozen"}, ArgumentError, "does not read the module's own input"),
        ({"of": "l0.h[0]@1"}, ArgumentError, "place or logit of a layer"),
        ({"hx": torch.zeros(3)}, ShapeError, "hx="),
    ],
)
def test_bad_input_fails(options: dict[str, Any], error: type[Exception], words: str) -> None:
    module, x = module_of("projected before"), torch.randn(2, 5, 3).double()
    with pytest.raises(error, match=words):
        hs.explain.attribute(module, x, **{"of": 0, "features": True, **options})


def test_modules_that_cannot_be_explained_fail() -> None:
    class Mixing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 3, batch_first=True)

        def forward(self, x: Tensor) -> Any:
            return self.rnn(x)[0][:, -1] + x.mean(0)[-1]

    x = torch.randn(2, 5, 3)
    with pytest.raises(ShapeError, match="two rows change if it reads a third"):
        hs.explain.attribute(Mixing(), x, of=0, features=True)
    with pytest.raises(ArgumentError, match="contains no LSTM"):
        hs.explain.attribute(nn.Linear(3, 1), x, of=0, features=True)
    with pytest.raises(ArgumentTypeError, match="reads a tensor"):
        hs.explain.attribute(Forecaster(), [1, 2], of=0, features=True)
    with pytest.raises(ArgumentTypeError, match="the module returned"):
        hs.explain.attribute(nn.Sequential(nn.LSTM(3, 3), nn.Identity(), Text()), x, of=0, features=True)
    with pytest.raises(ArgumentError, match="reads text"):
        hs.explain.attribute(hs.load("tagger-en"), "The boats.", of=0, features=True)
    with pytest.raises(ArgumentError, match="history= is for series"):
        hs.explain.attribute(hs.LSTM(3, 3), torch.randn(4, 3), of="l0.h[0]", history=x)


class Text(nn.Module):
    def forward(self, x: object) -> str:
        return "text"


def test_the_module_keeps_its_mode_and_gradients() -> None:
    module, x = module_of("LSTM").train(), torch.randn(1, 4, 3).double()
    hs.explain.attribute(module, x, of=0, features=True, method="integrated_gradients")
    assert module.training
    assert all(weight.grad is None for weight in module.parameters())
    assert not any(part._forward_pre_hooks for part in module.modules())


def flow_frame(years: int = 3) -> Any:
    """Daily rain, temperature and flow."""
    pandas = pytest.importorskip("pandas")
    days = 365 * years + 1
    draw = np.random.default_rng(0)
    columns = {
        "rain": draw.gamma(0.3, 5, days),
        "heat": 10 - 10 * np.cos(2 * np.pi * np.arange(days) / 365) + draw.normal(0, 2, days),
        "flow": 20 + draw.normal(0, 3, days),
    }
    return pandas.DataFrame(columns, index=pandas.date_range("2010-01-01", periods=days))


SCALE = {"rain": (1.5, 3.0), "heat": (10.0, 7.0), "flow": (20.0, 4.0)}


def series_model_of(kind: str) -> Any:
    K = 1 if kind == "encoder and decoder" else 2
    names = ["flow"] if K == 1 else ["flow", "heat"]
    return hs.series_model(module_of(kind), ["rain", "heat", "flow"], names, scale=SCALE, units={"flow": "m³/s"})


@pytest.mark.parametrize("kind", MODULES)
def test_a_model_of_series_is_explained_in_its_units(kind: str) -> None:
    frame, model = flow_frame(), series_model_of(kind)
    month = frame.iloc[400:430]
    result = hs.explain.attribute(model, month, of="flow", spans=10, history=frame)
    want = model.forecast(model.prepare(month).x)
    want = want[0] if want.dim() == 2 else want[-1, 0]
    assert result.value == pytest.approx(want[0].item(), abs=1e-10)
    mean = torch.tensor(frame.mean().to_numpy())
    base = (mean - torch.tensor([1.5, 10.0, 20.0])) / torch.tensor([3.0, 7.0, 4.0])
    without = model.forecast(base.expand(30, 1, 3).contiguous())
    without = without[0] if without.dim() == 2 else without[-1, 0]
    assert float(result.references[0]) == pytest.approx(without[0].item(), abs=1e-10)
    assert float(result.parts.sum()) == pytest.approx(result.value - float(result.references[0]), abs=1e-9)
    assert result.unit == "m³/s"
    assert result.features == ("rain", "heat", "flow")
    assert result.windows[0].name == "2011-02-05 to 2011-02-14"
    assert torch.allclose(result.series, torch.tensor(month.to_numpy()), atol=1e-12)
    assert "m³/s" in str(result)
    assert "2011-03-" in result.target
    ahead = 3 if kind == "encoder and decoder" else 1
    assert result.windows[-1].lag == ahead


def test_dates_choose_targets_and_windows() -> None:
    frame, model = flow_frame().iloc[:20], series_model_of("RNN, all steps")
    of = hs.explain.output("heat", at="2010-01-15")
    result = hs.explain.attribute(
        model,
        frame,
        of=of,
        spans=[("2010-01-03", "2010-01-05"), ("2010-01-12", "2010-01-14")],
        features=["rain", "flow"],
    )
    assert result.target == "heat at 2010-01-15"
    assert result.value == pytest.approx(model.forecast(model.prepare(frame).x)[13, 0, 1].item(), abs=1e-10)
    assert [(window.start, window.stop, window.lag) for window in result.windows] == [(2, 5, 10), (11, 14, 1)]
    with pytest.raises(IndexRangeError, match="2010-01-02 to 2010-01-21"):
        hs.explain.attribute(model, frame, of=hs.explain.output("heat", at="2012-01-01"))
    with pytest.raises(
        IndexRangeError, match="no step is at 2012-01-03 to 2012-01-05: the series has dates from 2010-01-01"
    ):
        hs.explain.attribute(model, frame, of="heat", spans=[("2012-01-03", "2012-01-05")])
    with pytest.raises(NameUnknownError, match="the targets are flow, heat"):
        hs.explain.attribute(model, frame, of=hs.explain.output("rain"))


def test_the_name_of_a_target_may_look_like_a_place() -> None:
    x = {"flow [m3/s]": torch.arange(6.0), "l0.h[0]": torch.ones(6)}
    model = hs.series_model(hs.LSTM(2, 2), list(x), list(x))
    for k, name in enumerate(x):
        result = hs.explain.attribute(model, x, of=name, method="gradient")
        assert result.value == pytest.approx(float(model.read(x).values[-1, 0, 0, k]))


def test_spans_of_hours_are_written_in_any_form_of_a_date() -> None:
    pandas = pytest.importorskip("pandas")
    frame, model = flow_frame().iloc[:20], series_model_of("more after")
    frame.index = pandas.date_range("2010-01-01", periods=20, freq="h", tz="Europe/Berlin")
    two, four, five = (pandas.Timestamp(2010, 1, 1, hour) for hour in (2, 4, 5))
    for spans in (
        [("2010-01-01 02:00", "2010-01-01 04:00"), ("2010-01-01 05", "2010-01-01")],
        [("2010-01-01T02", "2010-01-01T04:00:00"), ("2010-01-01T05:00", "2010-01")],
        [(two, four), (five, "2010")],
    ):
        result = hs.explain.attribute(model, frame, of="flow", spans=spans, method="gradient")
        assert [(window.start, window.stop) for window in result.windows] == [(2, 5), (5, 20)]
    with pytest.raises(ArgumentError, match="'May' is not a date"):
        hs.explain.attribute(model, frame, of="flow", spans=[("May", "June")])


def test_a_climatology_is_that_of_the_wall_clock() -> None:
    frame, model = flow_frame(), series_model_of("more after")
    local = frame.set_axis(frame.index.tz_localize("Europe/Berlin"))  # of midnight, at 22:00 or 23:00 in UTC
    options: dict[str, Any] = {"of": "flow", "method": "gradient", "baseline": "climatology"}
    spring = slice("2011-03-20", "2011-04-05")
    want = hs.explain.attribute(model, frame.loc[spring], history=frame, **options)
    got = hs.explain.attribute(model, local.loc[spring], history=local, **options)
    assert torch.equal(got.parts, want.parts)


def test_a_climatology_is_the_mean_of_the_same_day_of_other_years() -> None:
    frame, model = flow_frame(), series_model_of("more after")
    month = frame.loc["2011-03-01":"2011-03-20"]
    options: dict[str, Any] = {"of": "flow", "method": "gradient"}
    result = hs.explain.attribute(model, month, baseline="climatology", history=frame, **options)
    others = (frame.loc["2010-03-01":"2010-03-20"].to_numpy() + frame.loc["2012-03-01":"2012-03-20"].to_numpy()) / 2
    usual = month.copy()
    usual[:] = others
    given = hs.explain.attribute(model, month, baseline=usual, **options)
    assert torch.allclose(result.parts, given.parts, atol=1e-12)
    with pytest.raises(ArgumentError, match="no other year for 2011-03-01"):
        hs.explain.attribute(model, month, baseline="climatology", **options)
    with pytest.raises(ShapeError, match="the 20 steps"):
        hs.explain.attribute(model, month, baseline=usual.iloc[:5], **options)


@pytest.mark.parametrize("steps", [3, 60, 1000], ids=str)
def test_the_picture_shows_windows_and_sums(steps: int, tmp_path: Path) -> None:
    frame, model = flow_frame().iloc[:steps], series_model_of("LSTM")
    result = hs.explain.attribute(model, frame, of="flow", method="integrated_gradients", occlusion=False)
    figure = result.plot(tmp_path / "map.png")
    texts = " ".join(text.get_text() for axes in figure.axes for text in axes.findobj() if hasattr(text, "get_text"))
    assert "sum by feature" in texts
    assert frame.index[-1].strftime("%Y-%m-%d") in texts
    assert ("not drawn" in texts) == (steps == 1000)
    assert "word" not in texts
    title = figure.get_suptitle()
    assert "flow at" in title
    assert "m³/s" in title


@pytest.mark.parametrize("seed", seeds(200, quick=3))
def test_the_sums_of_random_modules_and_groupings(seed: int) -> None:
    """Totals, sums by window and by feature, for modules and groupings drawn at random."""
    draw = torch.Generator().manual_seed(seed)

    def below(n: int) -> int:
        return int(torch.randint(n, (1,), generator=draw))

    kind = list(MODULES)[below(len(MODULES))]
    module, T = module_of(kind, seed), 2 + below(7)
    x, base = torch.randn(T, 3, generator=draw).double(), torch.randn(T, 3, generator=draw).double()
    groupings: list[Any] = [True, {"a": [0, 2], "b": 1}, [1], {"all": [0, 1, 2]}, {"a": 0, "b": [1, 2]}]
    features, length = groupings[below(5)], 1 + below(T)
    for method in ("shapley", "integrated_gradients"):
        result = hs.explain.attribute(
            module, as_read(module, x), of=0, features=features, spans=length, baseline=base, method=method,
            points=256 if method != "shapley" else None, samples=4, occlusion=False,
        )  # fmt: skip
        total, scale = result.value - float(result.references[0]), max(abs(result.value), 1.0)
        sums = [float(result.parts.sum()), float(result.by_window.sum()), float(result.by_feature.sum())]
        assert max(abs(part - total) for part in sums) <= 1e-6 * scale
        assert abs(result.residual) <= 1e-6 * scale


STATIONS = {name: np.random.default_rng(k).normal(size=(1100, 3)) + k for k, name in enumerate("ABC")}


def station_model(window: int | None = 5) -> Any:
    torch.manual_seed(0)
    return hs.series_model(Forecaster(), ["a", "b", "c"], ["x", "y"], window=window)


def test_a_history_and_a_baseline_are_those_of_the_row_of_the_same_name() -> None:
    pandas: Any = pytest.importorskip("pandas")
    days = pandas.date_range("2010-01-01", periods=1100)
    frames = {name: pandas.DataFrame(values, days, ["a", "b", "c"]) for name, values in STATIONS.items()}
    last = {name: frame[-5:] for name, frame in frames.items()}
    turned = dict(reversed(frames.items()))
    options: Any = {"of": "x", "spans": 5, "progress": False}
    for row in "ABC":
        want = hs.explain.attribute(station_model(), last[row], baseline="climatology", history=frames[row], **options)
        got = hs.explain.attribute(station_model(), last, row=row, baseline="climatology", history=turned, **options)
        assert torch.allclose(got.table, want.table)
        assert got.target == f"x at 2013-01-05 of row '{row}'"
        own = hs.explain.attribute(station_model(), last[row], baseline=frames[row][:5].set_axis(days[-5:]), **options)
        first = {name: frame[:5].set_axis(days[-5:]) for name, frame in turned.items()}
        assert torch.allclose(
            hs.explain.attribute(station_model(), last, row=row, baseline=first, **options).table, own.table
        )
    with pytest.raises(ArgumentError, match="history= has the rows A, B, C, and none is '0'"):
        hs.explain.attribute(station_model(), last["B"], baseline="climatology", history=frames, **options)
    longer = hs.explain.attribute(station_model(), frames["A"], baseline="climatology", **options)
    window = hs.explain.attribute(
        station_model(), frames["A"][-5:], baseline="climatology", history=frames["A"], **options
    )
    assert torch.equal(longer.table, window.table)
    assert longer.target == window.target
    with pytest.raises(ArgumentError, match="of= is missing, and the model has the targets x, y: choose one"):
        hs.explain.attribute(station_model(), last["A"], **{**options, "of": None})
    with pytest.raises(NameUnknownError, match="no target 'a': the targets are x, y"):
        hs.explain.attribute(station_model(), last["A"], **{**options, "of": "a"})
    with pytest.raises(ArgumentTypeError, match="no option 'every' here: a series model takes dates, rows, gaps"):
        hs.explain.attribute(station_model(), last["A"], **options, every=2)
    pair = hs.explain.attribute(station_model(), last["A"], **options)
    with pytest.raises(ArgumentTypeError, match=r"pairs \(window, feature\), such as \(0, 'a'\), got 'a'"):
        pair.between("a", "b")
    hours = pandas.date_range("2013-01-01 05:00", periods=5, freq="h")
    hourly = hs.explain.attribute(station_model(), last["A"].set_axis(hours), **options)
    assert "2013-01-01 05:00 to 2013-01-01 09:00 " in str(hourly)


def test_arrays_are_read_as_the_module_s_type() -> None:
    module, x = Forecaster(), np.random.default_rng(0).normal(size=(2, 6, 3))
    want = hs.explain.attribute(module, torch.from_numpy(x).float(), of=0, features=True, spans=3, row=1)
    got = hs.explain.attribute(module, x, of=0, features=True, spans=3, row=1)
    assert torch.equal(got.table, want.table)


class Unsteady(Forecaster):
    kept: Any = None

    def forward(self, x: Tensor, state: Any = None) -> Any:
        if state is None:
            return super().forward(nn.functional.dropout(x))
        out, self.kept = self.rnn(x, self.kept)
        return self.head(out[:, -1])


def test_what_has_no_parts_is_refused() -> None:
    x, h = torch.randn(2, 6, 3), torch.zeros(1, 2, 5)
    for hx in (None, (h, h)):
        with pytest.raises(ArgumentError, match="gives different results when it is called with the same input again"):
            hs.explain.attribute(Unsteady(), x, of=0, features=True, hx=hx)
    with pytest.raises(ShapeError, match="and check hx="):
        hs.explain.attribute(Forecaster(after="all steps"), x, of=0, features=True, hx=h)
    x[0, 2] = torch.nan
    with pytest.raises(ArgumentError, match="output 0 is nan, which has no parts"):
        hs.explain.attribute(Forecaster(), x, of=0, features=True, spans=3, row=0, baseline="zero")
    with pytest.raises(ArgumentError, match="output 0 of row 0 is nan"):
        hs.explain.importance(Forecaster(), x, of=0, spans=3, baseline="zero")
