"""Readings of a series: forecasts with their dates, the recorded run, and skill against brute force."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, NameUnknownError
from hiddenstate.models import SeriesModel
from models.series import modules
from support import assert_close

NAMES = ["rain", "temperature", "flow"]
DAYS = pd.date_range("2014-12-30", periods=40)
FRAME = pd.DataFrame(np.random.default_rng(0).normal(10, 3, (40, 3)), DAYS, NAMES)
STATIONS = {"A": FRAME, "B": FRAME[::-1].set_index(DAYS)}


def model(module: nn.Module, targets: Any = "flow", **options: Any) -> SeriesModel:
    return hs.series_model(module, NAMES, targets, scale=(FRAME.mean(), FRAME.std()), units="m³/s", **options)


def test_one_forecast_a_step_is_for_the_next_date() -> None:
    module = modules.PerStep(3, 1)
    reading = model(module).read(FRAME)
    frame = reading.forecasts
    assert frame.columns.tolist() == ["flow"]
    assert (frame.index == DAYS + pd.Timedelta(days=1)).all()
    x = torch.tensor(((FRAME - FRAME.mean()) / FRAME.std()).to_numpy(), dtype=torch.float32)
    with torch.no_grad():
        out = module(x[None])[0][0, :, 0].numpy()
    assert np.allclose(frame["flow"], FRAME["flow"].mean() + FRAME["flow"].std() * out, rtol=1e-5)
    text = str(reading)
    assert text.splitlines()[0] == (
        "PerStep: flow [m³/s], 1 step ahead; read from 2014-12-30 to 2015-02-07, 40 forecasts of 1 row"
    )
    assert text.splitlines()[-1].startswith("2015-02-08  ")
    assert f"(measured {FRAME['flow'].iloc[-1]:.4g})" in text.splitlines()[-2]


def test_several_rows_and_a_horizon() -> None:
    module = modules.Direct(3, 2, horizon=4)
    reading = model(module, ["flow", "rain"], window=7).read(STATIONS, every=3)
    frame = reading.forecasts
    assert frame.index.names == ["row", "origin", "date"]
    assert reading.origins[-1] == 39
    origins = DAYS[list(reading.origins)]
    assert (frame.loc["B"].index.get_level_values("origin").unique() == origins).all()
    x = model(module, ["flow", "rain"], window=7).prepare(STATIONS).x
    for o in (origins[0], origins[5]):
        k = DAYS.get_loc(o)
        assert isinstance(k, int)
        with torch.no_grad():
            out = module(x[k - 6 : k + 1].transpose(0, 1))[1].double().numpy()
        lines = frame.loc["B"].loc[o]
        assert (lines.index == o + pd.to_timedelta([1, 2, 3, 4], "D")).all()
        means, stds = (part[["flow", "rain"]].to_numpy() for part in (FRAME.mean(), FRAME.std()))
        assert np.allclose(lines.to_numpy(), means + stds * out, rtol=1e-5)
    long = reading.to_dataframe()
    assert len(long) == len(frame) * 2
    line = long.iloc[5]
    assert line["measured"] == STATIONS[line["row"]].loc[line["date"], line["target"]]
    assert "1 to 4 steps ahead" in str(reading)


def test_windows_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    series = model(modules.LastStep(3, 1), window=5)
    whole = series.read(STATIONS)
    monkeypatch.setattr("hiddenstate.models.series.series_model.ROW_STEPS_AT_ONCE", 30)
    assert_close(series.read(STATIONS).values, whole.values, slack=1e4)  # rounded in float32
    assert whole.values.shape == (36, 1, 2, 1)
    with pytest.raises(ArgumentError, match="4 steps, but the model reads windows of 5"):
        series.read(FRAME[:4])


def test_a_module_with_one_forecast_a_row_reads_the_whole_frame() -> None:
    reading = model(modules.LastStep(3, 1), horizon=7).read(FRAME)
    assert reading.forecasts.index.tolist() == [pd.Timestamp("2015-02-14")]
    with pytest.raises(ArgumentError, match="no forecast can be compared: the first is for 2015-02-14"):
        reading.skill()


def test_dates_in_a_time_zone_and_none() -> None:
    hours = pd.date_range("2015-03-28 20:00", periods=40, freq="h", tz="Europe/Berlin")
    frame = model(modules.PerStep(3, 1)).read(FRAME.set_index(hours)).forecasts
    assert (frame.index == hours + pd.Timedelta(hours=1)).all()
    assert str(frame.index.dtype).endswith("Europe/Berlin]")
    numbered = model(modules.PerStep(3, 1)).read(FRAME.to_numpy())
    assert numbered.forecasts.index.tolist() == list(range(1, 41))
    joined = model(modules.PerStep(3, 1)).read(FRAME.drop(DAYS[3]), gaps="join")
    assert str(joined).splitlines()[-1].startswith("2015-02-07 + 1 step ")


@pytest.mark.parametrize(
    ("module", "path"),
    [
        (modules.PerStep(3, 1), "rnn"),
        (modules.PerStep(3, 1, hs.GRU, time_first=True), "rnn"),
        (modules.EncoderDecoder(3), "encoder"),
        (modules.Cells(3, 1), "cell"),
        (hs.LSTM(3, 1), ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_trace_carries_the_dates(module: nn.Module, path: str) -> None:
    reading = model(module).read(STATIONS)
    trace = reading.trace[path]
    assert trace.words(1) == tuple(str(day.date()) for day in DAYS)
    assert reading.trace is reading.trace
    if isinstance(module, modules.EncoderDecoder):
        assert len(reading.trace.calls("decoder")) == 5


def test_the_trace_of_windows_is_that_of_the_last() -> None:
    reading = model(modules.LastStep(3, 1), window=5).read(STATIONS)
    assert reading.trace["rnn"].words(0) == tuple(str(day.date()) for day in DAYS[-5:])
    reading.trace  # noqa: B018 - what was recorded is not that of other forecasts
    before = reading.between(None, DAYS[-3])  # the last of these is made the day before
    assert before.trace["rnn"].words(0) == tuple(str(day.date()) for day in DAYS[-8:-3])


def test_the_trace_of_forecasts_for_some_dates_ends_with_the_last_of_them() -> None:
    series = model(modules.PerStep(3, 1))
    trace = series.read(STATIONS).between(None, DAYS[-3]).trace["rnn"]
    assert trace.words(0) == tuple(str(day.date()) for day in DAYS[:-3])
    want = series.read({name: data[:-3] for name, data in STATIONS.items()}).trace["rnn"]
    torch.testing.assert_close(trace["l0.c"], want["l0.c"])


def test_a_module_that_is_not_deterministic_is_not_recorded() -> None:
    class Noisy(modules.PerStep):
        noise = 0.0

        def forward(self, x: Tensor, state: Any = None) -> Any:
            out, state = super().forward(x, state)
            return out + self.noise * torch.randn_like(out), state

    module = Noisy(3, 1)
    series = model(module)
    module.noise = 1.0
    with pytest.raises(ArgumentError, match="gives forecasts that differ by up to"):
        series.read(FRAME).trace  # noqa: B018


def brute_force(reading: Any, truth: Any, k: int, season: int, ahead: int | None) -> dict[str, float]:
    """The skills of one target, one forecast at a time."""
    errors: dict[str, list[tuple[float, float]]] = {
        "persistence": [],
        f"{season} steps before": [],
        "the mean (NSE)": [],
    }
    lines = [
        (o, a, n, float(reading.values[i, j, n, k]))
        for i, o in enumerate(reading.origins)
        for j, a in enumerate(reading.ahead)
        for n in range(len(reading.series.rows))
        if o + a < len(truth) and not np.isnan(truth[o + a, n, k])
    ]
    for n in range(len(reading.series.rows)):
        mine = [line for line in lines if line[2] == n]
        mean = np.mean([truth[o + a, n, k] for o, a, *_ in mine])
        for o, a, _, value in (line for line in mine if ahead in (None, line[1])):
            known = o if a else o - 1
            before = o + a
            while before > known:
                before -= season
            rivals = zip(errors, (known, before, None), strict=True)
            for name, step in rivals:
                rival = mean if step is None else truth[step, n, k] if step >= 0 else np.nan
                if not np.isnan(rival):
                    errors[name].append(((value - truth[o + a, n, k]) ** 2, (rival - truth[o + a, n, k]) ** 2))
    return {name: 1 - sum(a for a, _ in pairs) / sum(b for _, b in pairs) for name, pairs in errors.items()}


@pytest.mark.parametrize(
    ("module", "options"),
    [
        (modules.PerStep(3, 2), {}),
        (modules.PerStep(3, 2), {"horizon": 0}),
        (modules.PerStep(3, 2), {"horizon": 9}),
        (modules.LastStep(3, 2), {"window": 5, "horizon": 3}),
        (modules.Direct(3, 2, horizon=4), {"window": 5}),
    ],
    ids=str,
)
@pytest.mark.parametrize("season", [1, 3, 7])
def test_skill_equals_brute_force(module: nn.Module, options: dict[str, Any], season: int) -> None:
    holes = {name: frame.copy() for name, frame in STATIONS.items()}
    reading = model(module, ["flow", "snow"], **options).read(
        {name: frame.assign(snow=frame["rain"].where(np.arange(40) % 6 != 2)) for name, frame in holes.items()}
    )
    skill = reading.skill(season=season)
    truth = reading.series.truth
    assert truth is not None
    for k, target in enumerate(("flow", "snow")):
        for ahead in (None, *(reading.ahead if len(reading.ahead) > 1 else ())):
            want = brute_force(reading, truth.numpy(), k, season, ahead)
            got = {name: skill.against(name, target, ahead) for name in want}
            assert {name: round(line.skill, 9) for name, line in got.items()} == {
                name: round(value, 9) for name, value in want.items()
            }
            assert all(line.low <= line.skill <= line.high for line in got.values())
    assert len(skill.to_dataframe()) == len(skill.lines)
    assert "skill: 0 is no better, 1 is perfect" in str(skill)


@pytest.mark.parametrize(
    ("rhythm", "season"),
    [("h", 24), ("15min", 96), ("D", 365), ("MS", 12), ("W", 52), ("B", 5), ("QS", 4), ("7h", None)],
)
def test_the_usual_season(rhythm: str, season: int | None) -> None:
    T = 380
    dates = pd.date_range("2000-01-02", periods=T, freq=rhythm)
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(T, 3)), dates, NAMES)
    skill = model(modules.PerStep(3, 1)).read(frame).skill()
    names = {line.rival for line in skill.lines}
    assert names == {"persistence", "the mean (NSE)", *([f"{season} steps before"] if season else [])}
    assert model(modules.PerStep(3, 1)).read(frame[:3]).skill().against("persistence").count == 2


def test_a_perfect_and_a_useless_forecast() -> None:
    class Oracle(nn.Module):
        def __init__(self, shift: float) -> None:
            super().__init__()
            self.rnn, self.shift = nn.GRU(2, 1), shift

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = x[..., :1] + self.shift + 0 * self.rnn(x)[0]
            return result

    truth = np.random.default_rng(0).normal(size=100)
    data = {"tomorrow": np.append(truth[1:], 0), "today": truth}
    perfect = hs.series_model(Oracle(0.0), ["tomorrow", "today"], "today").read(data).skill()
    assert perfect.against("persistence").skill == pytest.approx(1)
    same = hs.series_model(Oracle(0.0), ["today", "tomorrow"], "today").read(data).skill()
    assert same.against("persistence").skill == pytest.approx(0, abs=1e-6)
    assert same.against("the mean").skill < 0
    shifted = hs.series_model(Oracle(10.0), ["tomorrow", "today"], "today").read(data).skill()
    assert shifted.against("the mean").rmse == pytest.approx(10)


def test_what_skill_needs() -> None:
    reading = hs.series_model(modules.PerStep(3, 1), NAMES, "snow").read(FRAME)
    with pytest.raises(ArgumentError, match="no column of 'snow'"):
        reading.skill()
    skill = model(modules.PerStep(3, 1)).read(FRAME)
    with pytest.raises(ArgumentError, match="season must be"):
        skill.skill(season=0)
    with pytest.raises(NameUnknownError, match="no comparison with 'ridge'"):
        skill.skill().against("ridge")


def test_pictures(tmp_path: Path) -> None:
    reading = model(modules.PerStep(3, 1)).read(STATIONS)
    figure = reading.plot(tmp_path / "flow.png", row="B")
    assert (tmp_path / "flow.png").stat().st_size > 1000
    (ax,) = figure.axes
    assert ax.get_ylabel() == "flow [m³/s]"
    lines = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
    assert np.allclose(np.asarray(lines["measured"])[-3:], STATIONS["B"]["flow"].iloc[-3:])
    model(modules.Direct(3, 1), window=6).read(FRAME.to_numpy()).plot()
    with pytest.raises(NameUnknownError, match="no row 'C'"):
        reading.plot(row="C")
    with pytest.raises(NameUnknownError, match="no target 'rain'"):
        reading.plot(target="rain")


def test_a_season_may_be_a_time() -> None:
    reading = model(modules.PerStep(3, 1)).read(FRAME)
    assert str(reading.skill(season="7D")) == str(reading.skill(season=7)) == str(reading.skill(season="1W"))
    assert str(reading.skill(season=pd.Timedelta(days=7))) == str(reading.skill(season=7))
    for season, message in {"seven": "such as '7D'", "12h": "not a whole number of steps of 86400 s"}.items():
        with pytest.raises(ArgumentError, match=message):
            reading.skill(season=season)
    numbered = model(modules.PerStep(3, 1)).read(FRAME.reset_index(drop=True))
    with pytest.raises(ArgumentError, match="the steps of this series are not"):
        numbered.skill(season="7D")
