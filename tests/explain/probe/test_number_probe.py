"""A probe of numbers equals scikit-learn's by hand, finds a planted number, and its controls can fail."""

import json
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hiddenstate as hs
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    IndexRangeError,
    NameUnknownError,
    RankError,
    ShapeError,
)
from hiddenstate.explain.probe.ridge import PENALTIES, split_steps
from support import needs

pandas = pytest.importorskip("pandas")
pytestmark = needs("sklearn")

T = 700


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer(kind: Any = hs.LSTM, **options: Any) -> Any:
    torch.manual_seed(0)
    return kind(3, 6, dtype=torch.float64, **options).eval().requires_grad_(False)


class Forecaster(nn.Module):
    """One forecast a step; or one a row, from the last step."""

    def __init__(self, is_last: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.linear, self.is_last = nn.GRU(2, 6, batch_first=True), nn.Linear(6, 1), is_last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.rnn(x)[0]
        result: torch.Tensor = self.linear(out[:, -1] if self.is_last else out)
        return result


def forecaster(**options: Any) -> Any:
    return hs.series_model(
        Forecaster("window" in options).requires_grad_(False),
        ["rain", "warmth"],
        "flow",
        scale=(2.0, 3.0),
        units={"rain": "mm"},
        **options,
    )


def frame(steps: int = T) -> Any:
    rain, warmth = noise(steps, 2).T.numpy()
    snow = np.convolve(rain, [0.5, 0.3, 0.2])[:steps]
    dates = pandas.date_range("2010-01-01", periods=steps)
    return pandas.DataFrame({"warmth": warmth, "rain": rain, "snow": snow}, index=dates)


def sklearn(part: str) -> Any:
    return import_module(f"sklearn.{part}")


def by_hand(x: Any, y: Any, sequence: Any, gap: int, seed: int = 0) -> tuple[float, float, float]:
    """R² of a regression of scikit-learn with a grid search, and its interval from blocks."""
    r_squared = sklearn("metrics").r2_score
    split = split_steps(sequence, gap, seed)
    x_train, y_train, units = x[split.train], y[split.train], split.unit[split.train]
    fits = np.unique(units)[: int(len(np.unique(units)) * 3 / 4)]
    inside = np.isin(units, fits)
    folds = [(np.flatnonzero(inside), np.flatnonzero(~inside))]
    grid = {"ridge__alpha": PENALTIES * len(y_train)}
    model = sklearn("model_selection").GridSearchCV(
        sklearn("pipeline").make_pipeline(sklearn("preprocessing").StandardScaler(), sklearn("linear_model").Ridge()),
        grid,
        cv=folds,
        scoring="neg_mean_squared_error",
    )
    read, truth = model.fit(x_train, y_train).predict(x[split.held_out]), y[split.held_out]
    held = split.unit[split.held_out]
    generator, values = np.random.default_rng(seed), []
    drawn = generator.integers(0, len(np.unique(held)), (1000, len(np.unique(held))))
    for units in drawn:
        steps = np.concatenate([np.flatnonzero(held == unit) for unit in np.unique(held)[units]])
        values.append(1 - np.square(truth[steps] - read[steps]).mean() / truth[steps].var())
    low, high = np.quantile(values, [0.025, 0.975])
    return r_squared(truth, read), low, high


@pytest.mark.parametrize(("kind", "batch_first"), [(hs.LSTM, False), (hs.GRU, True), (hs.RNN, False)])
def test_one_long_series_equals_scikit_learn(kind: Any, batch_first: bool) -> None:
    model, x = layer(kind, batch_first=batch_first), noise(T, 3)
    y = (x[:, 0] + 0.3 * noise(T, seed=1)).numpy()
    result = hs.explain.probe(model, x, y, lag=2, last=5)
    h = model.trace(x[None] if batch_first else x[:, None]).values["l0.h"][2:, 0].numpy()
    sequence = np.zeros(T - 2, dtype=np.int64)
    for name, states in (("probe", h), ("input", x[2:].numpy())):
        assert result.scores[name] == pytest.approx(by_hand(states, y[:-2], sequence, 4), rel=1e-6)
    # The first steps have fewer inputs; the controls are in units of the deviation, with the mean before the beginning.
    centred = (x - x.mean(0)).numpy()
    lagged = np.concatenate([np.pad(centred, ((k, 0), (0, 0)))[:T] for k in range(5)], axis=1)[2:]
    assert result.scores["inputs"] == pytest.approx(by_hand(lagged, y[:-2], sequence, 4), rel=1e-6)
    assert result.by_time
    assert result.steps == T - 2


def test_sequences_of_several_lengths_equal_scikit_learn() -> None:
    model, lengths = layer(num_layers=2), [1, 3, 17, 65, 40, 9, 30]
    xs = [noise(n, 3, seed=n) for n in lengths]
    ys = [x.cumsum(0)[:, 1].tolist() for x in xs]
    ys[3][5] = None
    result = hs.explain.probe(model, xs, ys, place="l1.c", seed=3)
    chosen = [t for t in range(65) if t != 5]
    values = [model.trace(x[:, None])["l1.c"][:, 0].numpy() for x in xs]
    values[3], numbers = values[3][chosen], [np.array(y, dtype=float) for y in ys]
    numbers[3] = numbers[3][chosen]
    sequence = np.repeat(np.arange(7), list(map(len, numbers)))
    want = by_hand(np.concatenate(values), np.concatenate(numbers), sequence, 7, seed=3)
    assert result.scores["probe"].value == pytest.approx(want[0], rel=1e-6)
    assert not result.by_time
    assert result.void["erased"] == "3 held-out rows are too few to train and score a new probe"


def test_an_accumulator_is_read_and_no_control_reads_it() -> None:
    plant = hs.plant.accumulator()
    x = noise(2000, 4)
    total, keep = [0.0], np.exp(-1 / 50)
    for value in x[:, 1].tolist():
        total.append(keep * total[-1] + np.tanh(value))
    result = hs.explain.probe(plant.lstm, x, torch.tensor(total[1:]), place="l0.c")
    assert result.scores["probe"].value > 0.999999
    for name in ("untrained", "input", "inputs", "shifted"):
        assert result.scores[name].high < 0.3
    assert "erased" in result.void
    moved = result.predict(torch.tensor([[0.0], [1.0]], dtype=torch.float64))
    torch.testing.assert_close(moved[1] - moved[0], torch.ones((), dtype=torch.float64))
    with torch.no_grad(), plant.lstm.edit(result.steer(5.0, t=7)):
        after = plant.lstm.trace(x[:, None])["l0.c"][:, 0]
    read = result.predict(after)
    assert float(read[6]) == pytest.approx(total[7], abs=1e-3)
    assert float(read[7]) == pytest.approx(total[8] + 5, abs=1e-3)


def test_a_shifted_target_is_not_read_and_cant_be_steered() -> None:
    model, x = layer(), noise(T, 3)
    result = hs.explain.probe(model, x, x[:, 0].roll(300))
    assert -0.1 < result.scores["probe"].value <= 0
    assert abs(result.scores["shifted"].value) < 0.1
    with pytest.raises(ArgumentError, match="reads nothing of the target at l0.h"):
        result.steer(1.0)


@pytest.mark.parametrize("form", ["rows", "batch first", "list"])
def test_every_form_of_the_data_gives_the_same(form: str) -> None:
    model, x = layer(batch_first=form == "batch first"), noise(20, 8, 3)
    y = x.roll(1, 0)[..., 0]
    data, targets = {
        "rows": (x, y),
        "batch first": (x.transpose(0, 1).numpy(), y.T.numpy()),
        "list": ([*x.unbind(1)], [*y.unbind(1)]),
    }[form]
    result = hs.explain.probe(model, data, targets)
    want = hs.explain.probe(layer(), [*x.unbind(1)], y.T.tolist())
    assert result.scores["probe"] == pytest.approx(want.scores["probe"])
    edit, plain = result.erase(data), model.trace(torch.as_tensor(data) if form != "list" else x)["l0.h"]
    with model.edit(edit):
        erased = model.trace(torch.as_tensor(data) if form != "list" else x)["l0.h"]
    torch.testing.assert_close(erased, result.eraser(plain))


def test_a_model_of_series_is_probed_for_a_column_that_it_does_not_read() -> None:
    model, data = forecaster(), frame()
    result = hs.explain.probe(model, data, "snow")
    states = hs.trace(hs.convert(model.module), model.prepare(data).x.transpose(0, 1))["rnn"].values["l0.h"][:, 0]
    want = by_hand(states.double().numpy(), data["snow"].to_numpy(), np.zeros(T, dtype=np.int64), 7)
    assert result.scores["probe"] == pytest.approx(want, abs=1e-4)
    assert {*result.scores} == {"probe", "untrained", "input", "inputs", "shifted", "erased"}
    assert result.scores["inputs"].value > 0.999
    numbers = hs.explain.probe(model, data, data["snow"])
    assert numbers.scores == result.scores
    what_if = hs.what_if(model, data, result.steer(2.0, t="2010-02-03"))
    assert float(what_if.difference[:33].abs().max()) == 0 < float(what_if.difference[33].abs())
    erased = hs.what_if(model, data, result.erase(data))
    want_h = result.eraser(states).float()
    torch.testing.assert_close(
        erased.after.values[:, 0, 0, 0].float(), (model.module.linear(want_h)[:, 0]).detach(), atol=1e-5, rtol=1e-5
    )


def test_a_control_that_has_the_target_among_its_inputs_is_left_out() -> None:
    model, data = forecaster(), frame()
    result = hs.explain.probe(model, data, "rain", lag=3)
    assert result.void == {"inputs": "rain, 3 steps before, is itself among them"}
    assert "R² with which rain [mm], 3 steps before, is read from l0.h" in " ".join(str(result).split())
    assert {*hs.explain.probe(model, data, "rain").void} == {"input", "inputs"}
    assert "inputs" in hs.explain.probe(model, data, "rain", lag=8).scores
    later = hs.explain.probe(model, data, "rain", lag=-1)
    assert later.void == {}
    assert later.scores["inputs"].value < 0.1
    json.loads(later.to_json())
    assert list(later.to_dataframe().score) == list(later.scores)
    assert later.plot().axes[0].get_xlabel() == "R²"


def test_an_untrained_model_that_cant_be_drawn_is_left_out() -> None:
    class Fixed(hs.LSTM):
        def reset_parameters(self) -> None:
            pass

    torch.manual_seed(0)
    fixed = Fixed(3, 6, dtype=torch.float64)
    for weight in fixed.parameters():
        nn.init.normal_(weight)
    result = hs.explain.probe(fixed, noise(T, 3), noise(T, 3)[:, 0])
    assert "untrained" not in result.scores
    assert "no reset_parameters" in result.void["untrained"]


def test_a_model_that_reads_windows_is_probed_at_their_last_steps() -> None:
    model, data = forecaster(window=9), frame(200)
    result = hs.explain.probe(model, data, "snow", last=3)
    assert result.steps == 192
    x = model.prepare(data).x[:, 0]
    windows = x.unfold(0, 9, 1).transpose(1, 2)
    states = hs.trace(hs.convert(model.module), windows)["rnn"].values["l0.h"][-1]
    want = by_hand(states.double().numpy(), data["snow"].to_numpy()[8:], np.zeros(192, dtype=np.int64), 2)
    assert result.scores["probe"].value == pytest.approx(want[0], abs=1e-4)
    with pytest.raises(ArgumentError, match="reads windows of 9 steps, each by itself, and the data have 192"):
        result.erase(data)
    one = hs.what_if(model, data[:9], result.erase(data[:9]))
    want_h = result.eraser(states[:1])
    torch.testing.assert_close(one.after.values[0, 0, 0].float(), model.module.linear(want_h)[0].detach())


def test_wrong_arguments_are_refused() -> None:
    model, x, y = layer(), noise(T, 3), noise(T)
    series: Any = forecaster()
    probe: Any = hs.explain.probe
    with pytest.raises(ArgumentError, match="at least 4 rows with targets, or at least 87 steps .* got 1 and 80"):
        probe(model, x[:80], y[:80])
    with pytest.raises(ArgumentError, match="the target is 2 at all 350 training steps"):
        probe(model, x, torch.full((T,), 2.0))
    with pytest.raises(ArgumentError, match=r"targets has an infinite number at \[3\]"):
        probe(model, x, y.index_fill(0, torch.tensor([3]), torch.inf))
    with pytest.raises(ShapeError, match="targets has 701 numbers, but the data have 700 steps"):
        probe(model, x, noise(T + 1))
    with pytest.raises(ArgumentError, match=r"row 0 has 700 steps, but its targets have shape \[699\]"):
        probe(model, x, y[1:])
    with pytest.raises(ArgumentError, match="no step has a target"):
        probe(model, x, y * torch.nan)
    with pytest.raises(ArgumentTypeError, match="must be numbers, one for each step"):
        probe(model, [x] * 4, [[1.5, "two"]] * 4)
    with pytest.raises(ArgumentError, match="a row of numbers for each of the 4 rows"):
        probe(model, [x] * 4, [y] * 3)
    with pytest.raises(ShapeError, match="row 0 has 2 features, but the layer reads 3"):
        probe(model, x[:, :2], y)
    with pytest.raises(RankError, match=r"got \[700\]"):
        probe(model, y, y)
    with pytest.raises(ArgumentError, match="lag=700 leaves no step"):
        probe(model, x, y, lag=700)
    with pytest.raises(ArgumentError, match="last must be at least 2"):
        probe(model, x, y, last=1)
    with pytest.raises(ArgumentTypeError, match="dates= is for series models"):
        probe(model, x, y, dates="day")
    with pytest.raises(ArgumentError, match="lag= is for numbers"):
        probe(model, [x] * 4, [["a"] * T] * 4, lag=1)
    with pytest.raises(ArgumentError, match="row 0 has states at l0.h that are infinite or NaN"):
        probe(model, x * torch.nan, y)
    with pytest.raises(NameUnknownError, match="'l5.h'"):
        probe(model, x, y, place="l5.h")
    with pytest.raises(NameUnknownError, match="l0.f"):
        probe(series, frame(), "snow", place="l0.f")
    with pytest.raises(NameUnknownError, match="no column 'ice': targets must be the name of one of its columns"):
        probe(series, frame(), "ice")
    with pytest.raises(ShapeError, match=r"expected \[700\]"):
        probe(series, frame(), y[:5])
    with pytest.raises(ArgumentTypeError, match="amount must be a number"):
        probe(model, x, x[:, 0]).steer("more")
    with pytest.raises(IndexRangeError), model.edit(probe(model, x, x[:, 0]).steer(1.0, t=T)):
        model.trace(x[:, None])


def test_a_module_with_several_layers_needs_the_path() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.LSTM(2, 4, batch_first=True), nn.GRU(4, 4, batch_first=True)
            self.linear = nn.Linear(4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.linear(self.second(self.first(x)[0])[0])
            return result

    model: Any = hs.series_model(Two(), ["rain", "warmth"], "flow")
    with pytest.raises(NameUnknownError, match="such as 'first.l0.h'; they are first, second"):
        hs.explain.probe(model, frame(), "snow")
    result = hs.explain.probe(model, frame(), "snow", place="second.l0.h")
    assert result.scores["probe"].value > 0.2
    hs.what_if(model, frame(), result.erase(frame()))
