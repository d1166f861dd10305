"""`response`: the target of each row as one input moves, against the module itself; `limits`: no run passes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, HiddenStateError, IndexRangeError, NameUnknownError, ShapeError


class Forecaster(nn.Module):
    def __init__(self, kind: Any = nn.LSTM, *, mixed: bool = False, more: bool = False, **options: Any) -> None:
        super().__init__()
        self.mix = nn.Conv1d(3, 3, 2) if mixed else None
        self.rnn = kind(3, 5, batch_first=True, **options)
        self.head, self.more = (
            nn.Linear(options.get("proj_size", 5) * (1 + options.get("bidirectional", False)), 2),
            more,
        )

    def forward(self, x: Tensor, state: Any = None) -> Any:
        if self.mix is not None:
            x = self.mix(x.transpose(1, 2)).transpose(1, 2)
        y = self.head(self.rnn(x, state)[0][:, -1])
        return y + x[:, -1, :2] if self.more else y


def forecaster(seed: int = 0, scale: float = 2.0, **options: Any) -> Forecaster:
    torch.manual_seed(seed)
    module = Forecaster(**options).double()
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(scale)
    return module


def numbers(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("options", [{}, {"kind": hs.GRU}, {"mixed": True, "more": True}, {"kind": nn.RNN}], ids=str)
def test_curves_are_those_of_the_module(options: dict[str, Any]) -> None:
    module, x = forecaster(**options), numbers(4, 6, 3)
    values = [-1.0, 0.5, 3.0]
    result = hs.explain.response(module, x, of=1, feature=2, lag=2, values=values)
    for v, value in enumerate(values):
        moved = x.clone()
        moved[:, 3, 2] = value
        with torch.no_grad():
            want = module(moved)[:, 1]
        assert torch.allclose(result.curves[:, v], want, rtol=1e-10, atol=1e-12)
    assert torch.equal(result.actual, x[:, 3, 2])
    assert torch.allclose(result.mean, result.curves.mean(0))
    gates = {"LSTM": "ifgo", "GRU": "rzn", "RNN": "n"}[module.rnn.__class__.__name__]
    assert len(result.held) == len(gates)


def test_a_held_gate_is_the_edit() -> None:
    module, x = hs.convert(forecaster()), numbers(2, 4, 3)
    result = hs.explain.response(module, x, of=0, feature=0, values=[2.0, -2.0])
    moved = x.clone()
    moved[:, -1, 0] = 2.0
    with torch.no_grad():
        trace = hs.trace(module, x)
        with hs.edit(module, hs.patch("rnn.l0.o", source=trace)):
            want = module(moved)[:, 0]
    assert torch.allclose(result.held["rnn.l0.o"][:, 0], want, rtol=1e-10, atol=1e-12)


def test_the_gate_that_closes_is_named() -> None:
    """The output gate closes as the input grows, so the target falls back to zero although the candidate rises."""

    class Closing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = hs.LSTM(1, 1, dtype=torch.float64)
            with torch.no_grad():
                for parameter in self.lstm.parameters():
                    parameter.zero_()
                for name, value in (("W_ig", 1.0), ("W_io", -4.0), ("b_ii", 10.0), ("b_io", 2.0)):
                    self.lstm.weight(f"l0.{name}").fill_(value)

        def forward(self, x: Tensor) -> Any:
            return self.lstm(x)[0][-1]

    result = hs.explain.response(Closing(), torch.zeros(3, 1, 1).double(), of=0, feature=0, values=[0.0, 0.5, 1, 2, 4])
    assert max(result.flattening, key=lambda gate: result.flattening[gate]) == "lstm.l0.o"
    assert result.flattening["lstm.l0.o"] > 0.3
    assert result.flattening["lstm.l0.g"] < 0
    text = str(result)
    assert "flattens it" in text
    assert "carries it" in text
    assert "word" not in text


def test_a_series_moves_in_its_units(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        numbers(20, 3).numpy() * [2, 7, 4] + [1, 10, 20],
        columns=["rain", "heat", "flow"],
        index=pandas.date_range("2015-01-01", periods=20),
    )
    scale = {"rain": (1.0, 2.0), "heat": (10.0, 7.0), "flow": (20.0, 4.0)}
    model = hs.series_model(
        forecaster(), ["rain", "heat", "flow"], ["flow", "heat"], scale=scale, units={"flow": "m³/s"}
    )
    result = hs.explain.response(model, frame, of="flow", feature="rain", lag=3)
    assert result.values[0] == pytest.approx(frame["rain"].min())
    assert result.values[-1] == pytest.approx(frame["rain"].max())
    assert result.actual.tolist() == pytest.approx([frame["rain"].iloc[-3]])
    moved = frame.copy()
    moved.iloc[-3, 0] = result.values[5].item()
    want = model.forecast(model.prepare(moved).x)[0, 0].item()
    assert result.curves[0, 5].item() == pytest.approx(want, abs=1e-9)
    assert result.unit == "m³/s"
    result.plot(tmp_path / "curve.png")
    assert len(result.to_dataframe()) == 21
    bounds = hs.explain.limits(model, frame, of="flow")
    assert bounds.low < want < bounds.high
    assert bounds.unit == "m³/s"
    bounds.plot(tmp_path / "bounds.png")
    assert "m³/s" in str(bounds)


def test_a_longer_series_gives_the_range_and_its_last_window_moves() -> None:
    module = Forecaster()
    module.head = nn.Linear(5, 1)
    model = hs.series_model(module, ["a", "b", "c"], ["y"], window=6)
    series = torch.randn(20, 3, dtype=torch.float64).numpy()
    whole = hs.explain.response(model, series, feature="b", progress=False)  # the only output
    values = [float(value) for value in whole.values]
    last = hs.explain.response(model, series[-6:], of="y", feature="b", values=values, progress=False)
    assert (values[0], values[-1]) == pytest.approx((series[:, 1].min(), series[:, 1].max()))
    assert torch.equal(whole.curves, last.curves)
    assert hs.explain.limits(model, series).target == last.target


def test_without_gates() -> None:
    x = numbers(4, 3)
    assert hs.explain.response(forecaster(), x, of=0, feature=0, gates=False).held == {}
    lstm = hs.LSTM(3, 4).double()
    result = hs.explain.response(lstm, x, of="l0.h[1]", feature=1)
    assert "give the module" in result.no_gates
    assert "No gates were held" in str(result)
    module = nn.Sequential(hs.LSTM(3, 4, dtype=torch.float64))
    inside = hs.explain.response(module, numbers(5, 2, 3), of="l0.h[1]@3", feature=1, lag=1, values=[0.5])
    moved = numbers(5, 2, 3)
    moved[2, :, 1] = 0.5
    with torch.no_grad():
        assert torch.allclose(inside.curves[:, 0], module(moved)[0][3, :, 1])
    assert "in a layer" in inside.no_gates
    assert hs.explain.limits(module, numbers(5, 2, 3), of="l0.h[1]@3").values.shape == (2,)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"lag": 6}, ArgumentError, "lags 0 to 5"),
        ({"lag": -1}, ArgumentError, "lags 0 to 5"),
        ({"feature": "rain"}, NameUnknownError, "no feature 'rain'"),
        ({"feature": 3}, IndexRangeError, "feature=3"),
        ({"values": []}, ShapeError, "1 to 1000"),
        ({"values": [float("nan")]}, ArgumentError, "must be finite, got nan"),
        ({"values": "many"}, HiddenStateError, "numbers"),
        ({"of": 2}, IndexRangeError, "output"),
    ],
)
def test_bad_input_fails(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        hs.explain.response(forecaster(), numbers(2, 6, 3), **{"of": 0, "feature": 0, **options})


KINDS: dict[str, Callable[[int], Forecaster]] = {
    "LSTM": lambda seed: forecaster(seed, 10.0),
    "two layers": lambda seed: forecaster(seed, 10.0, kind=hs.LSTM, num_layers=2),
    "projected": lambda seed: forecaster(seed, 10.0, kind=hs.LSTM, proj_size=2),
    "both directions": lambda seed: forecaster(seed, 10.0, bidirectional=True),
    "GRU": lambda seed: forecaster(seed, 10.0, kind=nn.GRU),
    "RNN": lambda seed: forecaster(seed, 10.0, kind=hs.RNN),
    "convolution before": lambda seed: forecaster(seed, 10.0, mixed=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_run_passes_the_limits(kind: str) -> None:
    """Random weights up to saturation, and inputs from small to extreme."""
    for seed in range(5):
        module = KINDS[kind](seed)
        for T in (2, 3, 9):
            bounds = hs.explain.limits(module, numbers(T, 3, seed=seed), of=1)
            for size in (0.1, 1.0, 10.0, 1e6):
                with torch.no_grad():
                    values = module(size * numbers(200, T, 3, seed=seed + 50))[:, 1]
                slack = 1e-12 * max(abs(bounds.low), abs(bounds.high))
                assert float(values.min()) >= bounds.low - slack
                assert float(values.max()) <= bounds.high + slack
        assert bounds.low <= float(bounds.values) <= bounds.high


def test_limits_can_be_reached() -> None:
    """With gates wide open, a unit comes as near as its bound allows."""
    module = forecaster(kind=hs.LSTM)
    with torch.no_grad():
        for name, weight in module.rnn.named_parameters():
            weight.zero_()
            if "bias_ih" in name:
                weight.fill_(50.0)
    bounds = hs.explain.limits(module, numbers(2, 3), of=0)
    with torch.no_grad():
        bias = module.head.bias[0].item()
        h = torch.tanh(torch.tensor(2.0)).item()
    assert bounds.high - bias == pytest.approx(h * module.head.weight[0].abs().sum().item())
    assert bounds.low + bounds.high == pytest.approx(2 * bias)
    assert float(bounds.values) - bias == pytest.approx(h * module.head.weight[0].sum().item())


def test_limits_that_do_not_hold_are_refused() -> None:
    x = numbers(4, 3)
    with pytest.raises(ArgumentError, match="output is not what one linear layer"):
        hs.explain.limits(forecaster(more=True), x, of=0)
    with pytest.raises(ArgumentError, match="not bounded"):
        hs.explain.limits(forecaster(kind=hs.RNN, nonlinearity="relu"), x, of=0)
    with pytest.raises(ArgumentError, match="is not what one linear layer"):
        hs.explain.limits(forecaster(), x, of=lambda y: y[:, 0] ** 2)
    lstm = hs.LSTM(3, 4)
    assert hs.explain.limits(lstm, x.float(), of="l0.h[1]").high == pytest.approx(torch.tanh(torch.tensor(4.0)).item())
    with lstm.edit(hs.set("l0.h", to=9.0)), pytest.raises(ArgumentError, match="edits are active"):
        hs.explain.limits(lstm, x.float(), of="l0.h[1]")
