"""Live: each step gives what the module gives for the whole series, or its last window; rows by name; files."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, FileFormatError, NameUnknownError
from hiddenstate.models import SeriesModel
from models.series import modules
from models.series.test_network import Residual
from support import assert_close

NAMES = ["rain", "temperature", "flow"]
DAYS = pd.date_range("2014-12-25", periods=20)
FRAME = pd.DataFrame(np.random.default_rng(0).normal(10, 3, (20, 3)), DAYS, NAMES)
OTHER = FRAME[::-1].set_index(DAYS)


def model(module: nn.Module, targets: Any = "flow", **options: Any) -> SeriesModel:
    return hs.series_model(module, NAMES, targets, scale=(FRAME.mean(), FRAME.std()), **options)


MODELS: list[tuple[nn.Module, dict[str, Any]]] = [
    (modules.PerStep(3, 1), {}),
    (Residual(3, 1, nn.GRU, layers=2), {}),
    (modules.PerStep(3, 1, hs.RNN, time_first=True), {}),
    (modules.Cells(3, 1), {}),
    (modules.LastStep(3, 1), {}),
    (modules.LastStep(3, 1), {"window": 4}),
    (modules.Direct(3, 1, 3), {}),
    (modules.Direct(3, 1, 3), {"window": 4}),
    (modules.Window(3, 1, 4), {"window": 4, "horizon": 2}),
    (modules.PerStep(3, 1), {"window": 4}),
    (modules.PerStep(3, 1).double(), {"horizon": 0}),
]


@pytest.mark.parametrize(("module", "options"), MODELS, ids=lambda value: str(value).partition("(")[0])
def test_steps_give_what_the_whole_series_gives(module: nn.Module, options: dict[str, Any]) -> None:
    series = model(module, **options)
    stream = series.stream()
    for k, day in enumerate(DAYS[:9]):
        got = stream.step({"A": FRAME.iloc[k].to_dict(), "B": OTHER.iloc[k].to_dict()}, day)
        if k + 1 < (series.window or 1):
            assert got.values.isnan().all()
            continue
        reading = series.read({"A": FRAME[: k + 1], "B": OTHER[: k + 1]})
        assert_close(got.values, reading.values[-1], slack=1e5)
        dates = got.dates[0]
        assert dates is not None
        assert k == 0 or dates.names == tuple(reading.step_name(reading.origins[-1] + a) for a in reading.ahead)
    assert stream.rows == ("A", "B")
    assert stream.t() == stream.t("A") == 9
    fed = series.stream()
    assert_close(
        fed.feed({"A": FRAME[:5], "B": OTHER[:5]}).values,
        series.read({"A": FRAME[:5], "B": OTHER[:5]}).values[-1],
        slack=1e5,
    )
    assert_close(fed.feed({"A": FRAME[5:9], "B": OTHER[5:9]}).values, got.values, slack=1e5)


def test_all_forms_of_a_step_are_alike() -> None:
    series = model(modules.PerStep(3, 1))
    want = series.read(FRAME[:1]).values[-1]
    first = FRAME.iloc[0]
    given: Any
    for given in (
        first,
        first.to_dict(),
        first[::-1],
        {**first.to_dict(), "note": "x"},
        first.tolist(),
        first.to_numpy(),
        torch.tensor(first.to_numpy()),
    ):
        assert_close(series.stream().step(given, "2014-12-25").values, want)
    two = series.read({"A": FRAME[:1], "B": OTHER[:1]}).values[-1]
    both = pd.DataFrame({"A": first, "B": OTHER.iloc[0]}).T
    array = both.to_numpy()
    for given, options in (
        (both, {}),
        (both.to_dict("index"), {}),
        ({"A": first[::-1], "B": {"note": "x", **OTHER.iloc[0]}}, {}),
        (array, {"rows": ["A", "B"]}),
        (both.rename_axis("station").reset_index(), {"rows": "station"}),
        (both.reset_index(drop=True), {"rows": ["A", "B"]}),
    ):
        assert_close(series.stream().step(given, **options).values, two)
    stream = series.stream()
    stream.step(both, "2014-12-24")  # after two dates, the next one is known
    forecast = stream.step(both, "2014-12-25")
    assert forecast["B"]["flow"] == float(forecast.values[0, 1, 0])
    assert forecast.forecasts.index.tolist() == [("A", DAYS[1]), ("B", DAYS[1])]
    assert str(forecast).splitlines()[1] == f"B 2014-12-26: flow {float(forecast.values[0, 1, 0]):.4g}"
    with pytest.raises(NameUnknownError, match="no forecast of 'flow': there is A, B"):
        forecast["flow"]


def test_a_step_is_as_exact_as_the_whole_series_and_reads_bools() -> None:
    meter = pd.DataFrame({"meter": 2e7 + np.arange(9) / 8, "holiday": np.arange(9) % 3 == 0}, DAYS[:9])
    series = hs.series_model(modules.PerStep(2, 1), ["meter", "holiday"], "load", scale={"meter": (2e7, 1.0)})
    stream = series.stream()
    for day, line in meter.iterrows():
        got = stream.step(line, day)
    assert_close(got.values, series.read(meter).values[-1], slack=1e5)
    assert_close(series.stream().step({"meter": 2e7, "holiday": np.True_}).values, series.read(meter[:1]).values[-1])


@pytest.mark.parametrize("hour", [0, 7])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC"])
def test_days_go_on_where_clocks_are_set(zone: str, hour: int) -> None:
    days = pd.date_range(f"2015-02-10 {hour}:00", periods=60, tz=zone)
    frame = pd.DataFrame(np.random.default_rng(0).normal(10, 3, (60, 3)), days.tz_convert("Europe/Berlin"), NAMES)
    series = model(modules.PerStep(3, 1))
    stream = series.stream()
    stream.feed(frame[:30])
    for day in frame.index[30:]:
        stream.step(frame.loc[day], day)
    assert_close(stream.ahead(1).values, series.read(frame).values[-1], slack=1e5)
    with pytest.raises(ArgumentError, match="the next step of row '0' after 2015-04-10"):
        stream.step(frame.iloc[0], frame.index[-1] + pd.Timedelta(hours=22))


def test_rows_with_numbers_for_names_go_on_however_a_step_names_them() -> None:
    series = model(modules.PerStep(3, 1))
    stream = series.stream()
    stream.feed({101: FRAME[:5], 7: OTHER[:5]})
    names: Any = [7, 101]
    stream.step(np.array([OTHER.iloc[5], FRAME.iloc[5]]), DAYS[5], rows=names)
    got = stream.step(FRAME.iloc[6], DAYS[6], rows=names[1:])
    assert stream.rows == ("101", "7")
    assert_close(got.values, series.read(FRAME[:7]).values[-1], slack=1e5)


def test_stations_join_wait_and_leave_by_name() -> None:
    series = model(modules.PerStep(3, 1))
    stream = series.stream()
    for k in range(6):
        stream.step({"A": FRAME.iloc[k].to_dict(), **({"B": OTHER.iloc[k].to_dict()} if k >= 3 else {})}, DAYS[k])
    assert_close(stream.ahead(1)["B"].values[0], series.read(OTHER[3:6]).values[-1, 0], slack=1e5)
    stream.step({"B": OTHER.iloc[6].to_dict()}, DAYS[6])  # A waits
    assert (stream.t("A"), stream.t("B")) == (6, 4)
    stream.leave("B")
    assert stream.rows == ("A",)
    stream.join("C", like="A")
    both = stream.step({"C": FRAME.iloc[6].to_dict(), "A": FRAME.iloc[6].to_dict()}, DAYS[6])
    assert_close(both["C"].values, both["A"].values)
    assert_close(both["C"].values[0], series.read(FRAME[:7]).values[-1, 0], slack=1e5)
    with pytest.raises(NameUnknownError, match="no row 'B'"):
        stream.leave("B")
    with pytest.raises(ArgumentError, match="already a row 'C'"):
        stream.join("C", like="A")


def test_ahead_reads_its_own_forecasts_and_changes_nothing() -> None:
    series = model(modules.PerStep(3, 3), NAMES)
    stream = series.stream()
    stream.feed(FRAME)
    before = stream.step(FRAME.iloc[0], "2015-01-14").values
    week = stream.ahead(7)
    frame = pd.concat([FRAME, FRAME[:1].set_index(DAYS[-1:] + pd.Timedelta(days=1))])
    for k in range(7):
        values = series.read(frame).values[-1, 0]
        assert_close(week.values[k], values, slack=1e5)
        line = pd.DataFrame(values.numpy(), pd.date_range(frame.index[-1], periods=2)[1:], NAMES)
        frame = pd.concat([frame, line])
    assert week.forecasts.index.tolist() == frame.index[-7:].tolist()
    assert_close(stream.ahead(1).values, before)
    branch = stream.fork()
    branch.step(FRAME.iloc[1])
    assert (branch.t(), stream.t()) == (22, 21)
    assert len(week["rain"]) == 7


def test_ahead_with_known_features_and_a_horizon() -> None:
    series = model(modules.PerStep(3, 1))
    stream = series.stream()
    stream.feed(FRAME[:10])
    with pytest.raises(NameUnknownError, match="'rain' is not a target, so its values at the next 2 steps are needed"):
        stream.ahead(3)
    with pytest.raises(ArgumentError, match="future= has 1 values of 'temperature', expected 2"):
        stream.ahead(3, {"rain": [0.0, 1.0], "temperature": [1.0]})
    got = stream.ahead(3, FRAME[10:12])
    frame = FRAME[:12].copy()
    for k in (10, 11):
        frame.loc[DAYS[k], "flow"] = float(got.values[k - 10, 0, 0])
    assert_close(got.values[:, 0], series.read(frame).values[9:, 0, 0], slack=1e5)
    direct = model(modules.Direct(3, 1, 3)).stream()
    whole = direct.feed(FRAME)
    assert_close(direct.ahead(2).values, whole.values[:2])
    with pytest.raises(ArgumentError, match="forecasts 3 steps ahead, got steps=4"):
        direct.ahead(4)
    late = model(modules.PerStep(3, 3), NAMES, horizon=2).stream()
    late.feed(FRAME)
    with pytest.raises(ArgumentError, match="only a model that forecasts one step ahead"):
        late.ahead(2)


@pytest.mark.parametrize(("module", "options"), MODELS[:8], ids=lambda value: str(value).partition("(")[0])
def test_a_saved_stream_goes_on(module: nn.Module, options: dict[str, Any], tmp_path: Path) -> None:
    series = model(module, **options)
    stream = series.stream()
    stream.feed({"A": FRAME[:9], "Bé": OTHER[:9]})
    stream.step({"A": FRAME.iloc[9].to_dict()})
    stream.save(tmp_path / "stream.safetensors")
    again = series.stream()
    again.load(tmp_path / "stream.safetensors")
    assert (again.rows, again.t("A"), again.t("Bé")) == (("A", "Bé"), 10, 9)
    assert_close(again.ahead(1).values, stream.ahead(1).values)
    step = {"Bé": OTHER.iloc[9].to_dict()}
    with pytest.raises(ArgumentError, match="'Bé' after 2015-01-02 is 2015-01-03, got 2015-01-05"):
        again.step(step, "2015-01-05")
    assert_close(again.step(step, "2015-01-03").values, stream.step(step, "2015-01-03").values)


def test_a_stream_of_other_weights_scales_or_columns_is_refused(tmp_path: Path) -> None:
    path, module = tmp_path / "stream.safetensors", modules.PerStep(3, 1)
    series = model(module)
    zoned = FRAME.tz_localize("Europe/Berlin")
    stream = series.stream()
    stream.feed(zoned)
    stream.save(path)
    again = series.stream()
    again.load(path)
    assert again.ahead(1).dates[0].names == ("2015-01-14",)  # type: ignore[union-attr]
    for other in (model(modules.PerStep(3, 1)), hs.series_model(module, NAMES, "flow")):
        with pytest.raises(FileFormatError, match="other weights or scales"):
            other.stream().load(path)
    with pytest.raises(FileFormatError, match="with the columns"):
        hs.series_model(module, [*NAMES[:2], "level"], "level").stream().load(path)


def test_modules_that_can_not_be_streamed() -> None:
    for module, message in (
        (modules.ConvolutionInFront(3), "taken as it is: 'rnn' does not read"),
        (modules.EncoderDecoder(3), "returns no state to continue from"),
        (nn.Sequential(hs.LSTM(3, 1, bidirectional=True)), "bidirectional"),
    ):
        with pytest.raises(ArgumentError, match=message):
            model(module, ["flow", "rain"] if message == "bidirectional" else "flow").stream()


@pytest.mark.parametrize(
    ("values", "date", "error", "message"),
    [
        ({"rain": 1.0, "temperature": None, "flow": 2.0}, None, ArgumentError, "'temperature' at this step is missing"),
        (
            {"rain": 1.0, "temperature": np.nan, "flow": 2.0},
            "2015-01-02",
            ArgumentError,
            "'temperature' at 2015-01-02 is missing",
        ),
        ({"rain": 1.0, "temperature": pd.NA, "flow": 2.0}, None, ArgumentError, "is missing in row '0'"),
        ({"rain": 1.0, "temperature": -np.inf, "flow": 2.0}, None, ArgumentError, "is infinite"),
        ({"rain": 1.0, "temperature": "3", "flow": 2.0}, None, ArgumentTypeError, "is '3', expected a number"),
        ({"rain": 1.0, "flow": 2.0}, None, NameUnknownError, "'temperature' is not given"),
        ([1.0, 2.0], None, ArgumentError, "a step must be 3 numbers, in the order rain, temperature, flow"),
        ([1.0, 2.0, 3.0], "2015-01-01", ArgumentError, "must be after the last of row '0', 2015-01-01, got 2015-01-01"),
        ([1.0, 2.0, 3.0], "2015-01-04", ArgumentError, "after 2015-01-01 is 2015-01-02, got 2015-01-04"),
        ([1.0, 2.0, 3.0], 7.0, ArgumentError, "must have the type and time zone of row '0'"),
        (
            [1.0, 2.0, 3.0],
            pd.Timestamp("2015-01-02", tz="UTC"),
            ArgumentError,
            "must have the type and time zone of row '0'",
        ),
        ([1.0, 2.0, 3.0], "soon", ArgumentTypeError, "must be dates"),
    ],
)
def test_bad_steps_change_nothing(values: Any, date: Any, error: type[Exception], message: str) -> None:
    stream = model(modules.PerStep(3, 1)).stream()
    stream.feed(FRAME[:8])
    before = stream.ahead(1).values
    with pytest.raises(error, match=message):
        stream.step(values, date)
    assert stream.t() == 8
    assert torch.equal(stream.ahead(1).values, before)


def test_a_step_that_names_no_row_is_that_of_the_only_one() -> None:
    stream = model(modules.PerStep(3, 1)).stream()
    stream.feed({"A": FRAME[:8]})
    stream.step([1.0, 2.0, 3.0])
    assert (stream.rows, stream.t()) == (("A",), 9)
    line = {"rain": 1.0, "temperature": 2.0, "flow": 3.0}
    stream.step({"B": line})
    for values, message in (
        (line, r"has the rows \['A', 'B'\], and this step names none"),
        (np.ones((2, 3)), "name those of this step with rows="),
        (FRAME[8:9], "the index of a step's frame names its rows"),
        (FRAME[8:9].reset_index(), "name them with rows="),
        (FRAME[8:9].set_axis(["A"]).iloc[[0, 0]], "one line for each row"),
    ):
        with pytest.raises(ArgumentError, match=message):
            stream.step(values)
    with pytest.raises(NameUnknownError, match="the frame has no column 'station'"):
        stream.step(FRAME[8:9], rows="station")
    with pytest.raises(ArgumentError, match="the dict of this step names them"):
        stream.step({"A": line}, rows=["A"])
    assert (stream.t("A"), stream.t("B")) == (9, 1)


def test_a_forecast_of_many_steps_is_printed_in_part() -> None:
    forecast = model(modules.Direct(3, 1, 50)).stream().feed({"A": FRAME, "B": OTHER})
    lines = str(forecast).splitlines()
    assert len(lines) == 61
    assert lines[-1] == "... 100 forecasts; forecasts has them all"


def test_gaps_can_be_joined_and_dates_left_out() -> None:
    stream = model(modules.PerStep(3, 1)).stream(gaps="join")
    stream.feed(FRAME[:8])
    stream.step([1.0, 2.0, 3.0], "2015-01-04")
    undated = model(modules.PerStep(3, 1)).stream()
    for _ in range(3):
        got = undated.step([1.0, 2.0, 3.0])
    assert got.dates == (None,)
    assert str(got).startswith("1: flow ")
    with pytest.raises(ArgumentError, match="has no dates so far"):
        undated.step([1.0, 2.0, 3.0], "2015-01-04")
    with pytest.raises(ArgumentError, match="no row has taken a step"):
        model(modules.PerStep(3, 1)).stream().ahead(1)
