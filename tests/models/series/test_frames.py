"""Frames, datasets, mappings and arrays are read alike, columns by name; what is wrong is said with its place."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import hiddenstate as hs
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    DtypeError,
    HiddenStateError,
    NameUnknownError,
    RankError,
    ShapeError,
)
from hiddenstate.models import SeriesModel
from hiddenstate.models.series.frames import Wanted, read_columns
from models.series import modules
from support import assert_close

NAMES = ["rain", "temperature", "flow"]
DAYS = pd.date_range("2014-12-30", periods=9)
VALUES = np.random.default_rng(0).normal(10, 3, (9, 2, 3))  # days, stations, columns
MEAN, STD = [8.0, 9.0, 10.0], [2.0, 3.0, 4.0]


def model(**options: Any) -> SeriesModel:
    return hs.series_model(modules.PerStep(3, 1), NAMES, "flow", scale=(MEAN, STD), **options)


def frame(number: int = 0, **columns: Any) -> pd.DataFrame:
    """The frame of one station, with its columns in another order, and one more."""
    data = {name: VALUES[:, number, k] for k, name in enumerate(NAMES)}
    return pd.DataFrame({"note": "text", **dict(reversed(data.items())), **columns}, index=DAYS)


def long() -> pd.DataFrame:
    return pd.concat([frame(0, station="A"), frame(1, station="B")])


STATIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "a column": (long(), {"rows": "station"}),
    "a column, mixed": (
        long().rename_axis("day").reset_index().sample(frac=1, random_state=0).sort_values("day", kind="stable"),
        {"rows": "station", "dates": "day"},
    ),
    "an index": (long().set_index("station", append=True), {}),
    "an index without names": (long().set_index("station", append=True).rename_axis([None, None]), {}),
    "frames": ({"A": frame(0), "B": frame(1)}, {}),
    "xarray": (
        xr.Dataset(
            {name: (("station", "time"), VALUES[:, :, k].T) for k, name in enumerate(NAMES)},
            {"time": DAYS.to_numpy(), "station": ["A", "B"]},
        ),
        {},
    ),
    "an array of xarray": (
        xr.DataArray(
            VALUES, {"day": DAYS.to_numpy(), "station": ["A", "B"], "column": NAMES}, ("day", "station", "column")
        ),
        {},
    ),
    "columns": ({name: VALUES[:, :, k] for k, name in enumerate(NAMES)}, {"dates": DAYS, "rows": ["A", "B"]}),
    "numpy": (VALUES.swapaxes(0, 1), {"dates": DAYS.to_numpy(), "rows": ["A", "B"]}),
    "a tensor": (
        torch.from_numpy(VALUES).transpose(0, 1),
        {"dates": [str(day) for day in DAYS.date], "rows": ["A", "B"]},
    ),
}


@pytest.mark.parametrize("name", STATIONS)
def test_all_frames_of_stations_are_read_alike(name: str) -> None:
    given, options = STATIONS[name]
    read = model().prepare(given, **options)
    order = ["AB".index(row) for row in read.rows]  # of their appearance
    assert sorted(order) == [0, 1]
    assert_close(read.x, torch.from_numpy((VALUES[:, order] - MEAN) / STD).float())
    assert read.step_names()[:3] == ("2014-12-30", "2014-12-31", "2015-01-01")
    assert read.dates is not None
    assert (read.dates == DAYS.to_numpy()).all()
    if isinstance(given, torch.Tensor | np.ndarray):
        return
    assert read.truth is not None
    assert_close(read.truth[..., 0], torch.from_numpy(VALUES[:, order, 2]))


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (frame(), {}),
        (frame().reset_index(drop=True), {"dates": DAYS}),
        (frame().reset_index(names="day"), {"dates": "day"}),
        (frame().assign(day=[str(day.date()) for day in DAYS]), {"dates": "day"}),
        (frame().to_period("D"), {}),
        (frame().astype({"rain": "Float64", "flow": "object"}), {}),
        (pd.DataFrame(VALUES[:, 0], DAYS), {}),
        (VALUES[:, 0], {"dates": DAYS}),
        (xr.Dataset.from_dataframe(frame()[NAMES].rename_axis("time")), {}),
        ({name: VALUES[:, 0, k].tolist() for k, name in enumerate(NAMES)} | {"when": DAYS}, {"dates": "when"}),
    ],
    ids=range(10),
)
def test_all_frames_of_one_row_are_read_alike(given: Any, options: dict[str, Any]) -> None:
    read = model().prepare(given, **options)
    assert_close(read.x, torch.from_numpy((VALUES[:, :1] - MEAN) / STD).float())
    assert read.step_names()[-1] == "2015-01-07"
    assert read.rows == ("0",)


def test_without_dates_steps_are_numbered() -> None:
    for given in (VALUES[:, 0], frame().reset_index(drop=True)):
        read = model().prepare(given)
        assert read.dates is None
        assert read.step_names() == tuple("012345678")
    seconds = model().prepare(VALUES[:, 0], dates=np.arange(9) * 0.02)
    assert seconds.step_names()[:3] == ("0", "0.02", "0.04")


def test_times_are_named_no_more_precisely_than_needed_and_in_their_zone() -> None:
    hours = frame().set_index(pd.date_range("2015-03-29", periods=9, freq="h", tz="Europe/Berlin"))
    names = model().prepare(hours).step_names()
    assert names[1:4] == ("2015-03-29 01:00", "2015-03-29 03:00", "2015-03-29 04:00")
    assert len(set(names)) == 9
    quick = frame().set_index(pd.date_range("2015-03-29", periods=9, freq="20ms"))
    assert model().prepare(quick).step_names()[1] == "2015-03-29 00:00:00.020"


def test_what_is_missing_is_filled_as_the_caller_says() -> None:
    holes = frame()
    holes.loc[DAYS[3:5], "rain"] = np.nan
    holes.loc[DAYS[5], "flow"] = np.nan
    with pytest.raises(ArgumentError, match=r"value of 'rain' at 2015-01-02 \(the first of 3\) is missing"):
        model().prepare(holes)
    with pytest.raises(ArgumentError, match="value of 'flow' at 2015-01-04 is missing"):
        model().prepare(holes, missing={"rain": 0})
    read = model().prepare(holes, missing={"rain": 0.5, "flow": "previous"})
    want = VALUES[:, 0].copy()
    want[[3, 4], 0] = 0.5
    want[5, 2] = want[4, 2]
    assert_close(read.x[:, 0], torch.from_numpy((want - MEAN) / STD).float())
    assert read.filled is not None
    assert read.filled.nonzero().tolist() == [[3, 0, 0], [4, 0, 0], [5, 0, 2]]
    assert read.truth is not None
    assert read.truth[:, 0, 0].isnan().nonzero().tolist() == [[5]]
    holes.loc[DAYS[0], "rain"] = np.nan
    with pytest.raises(ArgumentError, match="'rain' at 2014-12-30 is missing: there is none before it"):
        model().prepare(holes, missing="previous")


def test_gaps() -> None:
    gap = frame().drop(DAYS[[2, 3]])
    with pytest.raises(
        ArgumentError, match="1 step differs from the usual 1 day, first the 3 days from 2014-12-31 to 2015-01-03"
    ):
        model().prepare(gap)
    joined = model().prepare(gap, gaps="join")
    assert joined.step_names()[1:3] == ("2014-12-31", "2015-01-03")
    with pytest.raises(ArgumentError, match="value of 'rain' at 2015-01-01"):
        model().prepare(gap, gaps="insert")
    inserted = model().prepare(gap, gaps="insert", missing="previous")
    assert inserted.step_names() == model().prepare(frame()).step_names()
    assert_close(inserted.x[[2, 3]], inserted.x[[1, 1]])
    irregular = frame().set_index(DAYS + pd.to_timedelta([0, 0, 0, 0, 0, 0, 0, 0, 7], "h"))
    with pytest.raises(ArgumentError, match="irregular"):
        model().prepare(irregular, gaps="insert")


@pytest.mark.parametrize("rhythm", ["D", "h", "15min", "MS", "ME", "QS", "QE", "YS", "B", "W", "2D", "20ms"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_calendars_have_no_gaps_and_go_on(rhythm: str, zone: str | None) -> None:
    every = pd.date_range("2015-03-11", periods=40, freq=rhythm, tz=zone)  # into summer time
    read = model().prepare(np.zeros((30, 3)), dates=every[:30])
    assert read.timeline is not None
    want = every[30:].tz_convert("UTC").tz_localize(None) if zone else every[30:]
    assert (pd.DatetimeIndex(read.timeline.after(10)) == want).all()
    hole = every[:30].delete(13)
    with pytest.raises(ArgumentError, match="have gaps"):
        model().prepare(np.zeros((29, 3)), dates=hole)


@pytest.mark.parametrize("first", ["2015-03-20", "2015-10-15"])
def test_days_of_a_wall_clock_go_on_where_it_is_set(first: str) -> None:
    every = pd.date_range(first, periods=20, tz="Europe/Berlin")
    for k in range(2, 19):  # before the clock is set, the days are 24 hours in UTC, too
        timeline = model().prepare(np.zeros((k, 3)), dates=every[:k]).timeline
        assert timeline is not None
        assert timeline.ahead(range(1, 21 - k)).index().equals(every[k:])
    in_utc = pd.date_range(first, periods=20, tz="UTC").tz_convert("Europe/Berlin")
    timeline = model().prepare(np.zeros((3, 3)), dates=in_utc[:3]).timeline
    assert timeline is not None
    assert timeline.ahead(range(1, 18)).index().equals(in_utc[3:])


def test_a_frame_without_names_is_an_array() -> None:
    array = frame()[NAMES].to_numpy()
    assert_close(model().prepare(pd.DataFrame(array, DAYS)).x, model().prepare(array).x)


def test_stations_that_lack_as_many_dates_need_not_lack_the_same() -> None:
    given = {"A": frame(0).drop(DAYS[3]), "B": frame(1).drop(DAYS[5])}
    got = model().prepare(given, gaps="insert", missing="previous")
    want = model().prepare({"A": frame(0), "B": frame(1)}).x.clone()
    want[3, 0], want[5, 1] = want[2, 0], want[4, 1]
    assert_close(got.x, want)


def bad_frames() -> list[Any]:
    doubled = pd.concat([frame(), frame()[["rain"]]], axis=1)
    infinite = frame(rain=[1, 2, 3, -np.inf, 5, 6, 7, 8, 9])
    two_zones = [pd.Timestamp("2015-01-01", tz="UTC"), pd.Timestamp("2015-01-02", tz="Europe/Berlin")]
    object_index = pd.Index([pd.Timestamp("2015-01-01", tz="UTC"), pd.Timestamp("2015-01-02")], dtype=object)
    short = pd.concat([frame(0, station="A"), frame(1, station="B")[:7]])
    huge = np.broadcast_to(np.float32(0), (2**20, 2**10, 3))
    stations = pd.MultiIndex.from_product([["A", "B"], range(9)], names=["station", "step"])
    numbered = long().set_axis(stations)
    return [
        (frame().rename(columns={"rain": "Rain"}), {}, NameUnknownError, r"no column 'rain' \(but 'Rain'\)"),
        (doubled, {}, ArgumentError, "has the column 'rain' 2 times"),
        (frame(rain=["3", "x"] * 4 + ["3"]), {}, ArgumentTypeError, "column 'rain' holds '3' at 2014-12-30"),
        (frame(rain=[1.0, "n/a"] * 4 + [1]), {}, ArgumentTypeError, "column 'rain' holds 'n/a' at 2014-12-31"),
        (frame(rain=DAYS), {}, ArgumentTypeError, "expected a number"),
        (frame(rain=1j), {}, ArgumentTypeError, "expected a number"),
        (frame(rain=pd.Categorical(["a"] * 9)), {}, ArgumentTypeError, "expected a number"),
        (infinite, {}, ArgumentError, "value of 'rain' at 2015-01-02 is infinite"),
        (frame()[::-1], {}, ArgumentError, "not in order: 2015-01-06 follows 2015-01-07"),
        (frame().iloc[[0, 1, 1, 2]], {}, ArgumentError, "2014-12-31 occurs twice"),
        (long(), {}, ArgumentError, "not in order"),
        (short, {"rows": "station"}, ArgumentError, "'B' has 7 steps from 2014-12-30 to 2015-01-05"),
        (numbered, {}, ArgumentError, r"levels \['station', 'step'\], expected one of dates and one of rows"),
        (long(), {"rows": "town"}, NameUnknownError, "no column 'town'"),
        (frame(), {"dates": "day"}, NameUnknownError, "no column 'day'"),
        (frame(), {"dates": DAYS[:3]}, ShapeError, "3 dates"),
        (frame().iloc[:2].set_index(pd.Index(two_zones, dtype=object)), {}, ArgumentError, "time zones"),
        (frame().iloc[:2].set_index(object_index), {}, ArgumentError, "time zones"),
        (frame().set_index(pd.Index([*"abcdefghi"])), {}, ArgumentTypeError, "must be dates, but row 0 holds 'a'"),
        (frame().set_index(DAYS.where(DAYS[2] != DAYS)), {}, ArgumentError, "date of row 2 is missing"),
        (frame()[:0], {}, ShapeError, "no steps"),
        ({1: frame(0), "1": frame(1)}, {}, ArgumentError, "not distinct as text"),
        (pd.DataFrame(np.ones((9, 3)), DAYS, [1, 0, 2]), {}, NameUnknownError, "no column 'rain'"),
        (frame(), {"gaps": "fill"}, ArgumentError, "gaps must be"),
        (frame(rain=np.nan), {"missing": "mean"}, ArgumentTypeError, "must be a number or 'previous'"),
        (frame(), {"missing": {"snow": 0}}, NameUnknownError, "names 'snow'"),
        (np.zeros((4, 2)), {}, ShapeError, r"must be \[T, C\] or \[N, T, C\]"),
        (np.zeros((4, 3), dtype="<U3"), {}, ArgumentTypeError, "expected a number"),
        (np.zeros((4, 3)), {"rows": ["a", "b"]}, ArgumentError, "1 different names"),
        (torch.zeros(4, 3, dtype=torch.complex64), {}, DtypeError, "expected real numbers"),
        (torch.zeros(4, 3, device="meta"), {}, DtypeError, "with values"),
        (torch.zeros(0, 3), {}, ShapeError, "no steps"),
        (huge, {}, ArgumentError, "takes 25,769,803,776 bytes"),
        (dict.fromkeys(NAMES, huge[:, :, 0]), {}, ArgumentError, "takes 25,769,803,776 bytes"),
        ({name: np.zeros(k) for k, name in enumerate(NAMES)}, {}, ShapeError, r"has shape \[1\]"),
        (xr.Dataset({"rain": ("time", [1.0])}), {}, NameUnknownError, "no column 'temperature'"),
        (xr.Dataset({n: (("a", "b", "time"), np.zeros((1, 1, 2))) for n in NAMES}), {}, RankError, "dimensions"),
        (xr.DataArray(np.zeros((3, 2))), {}, NameUnknownError, "no dimension that names"),
        ([[1.0, 2.0, 3.0]], {}, ArgumentTypeError, "a series is a DataFrame"),
        (None, {}, ArgumentTypeError, "a series is a DataFrame"),
        ({"A": frame(), "B": frame()[1:]}, {}, ArgumentError, "'B' has 8 steps"),
        ({"A": long().set_index("station", append=True)}, {}, ArgumentError, "row 'A' has several rows itself"),
        (frame(), {"gaps": 3}, ArgumentError, "gaps must be"),
    ]


@pytest.mark.parametrize(("given", "options", "error", "message"), bad_frames())
def test_bad_frames(given: Any, options: dict[str, Any], error: type[HiddenStateError], message: str) -> None:
    with pytest.raises(error, match=message):
        model().prepare(given, **options)


def test_rows_that_lack_different_dates_are_read_together_with_gaps_inserted() -> None:
    short, other = frame(0).drop(DAYS[3]), frame(1).drop(DAYS[5:7])
    table = pd.concat([short.assign(station="A"), other.assign(station="B")])
    for given, options in (({"A": short, "B": other}, {}), (table, {"rows": "station"})):
        with pytest.raises(ArgumentError, match="Insert those that one lacks, with gaps='insert'"):
            model().prepare(given, **options)
        got = model().prepare(given, gaps="insert", missing="previous", **options)
        assert got.filled is not None
        assert got.filled.nonzero()[:, :2].unique(dim=0).tolist() == [[3, 0], [5, 1], [6, 1]]
        whole = model().prepare({"A": frame(0), "B": frame(1)}).x.clone()
        whole[3, 0], whole[5:7, 1] = whole[2, 0], whole[4, 1]
        assert_close(got.x, whole)
        assert len(got.step_names()) == 9


def test_rows_may_name_the_same_times_in_different_time_zones() -> None:
    berlin = frame(0).tz_localize("UTC").tz_convert("Europe/Berlin")
    got = model().prepare({"A": berlin, "B": frame(1).tz_localize("UTC")})
    assert got.step_names()[0] == "2014-12-30 01:00"
    with pytest.raises(ArgumentError, match="of 'A' have a time zone, and those of 'B' have none"):
        model().prepare({"A": berlin, "B": frame(1)})


def test_the_only_column_of_dates_is_found() -> None:
    table = frame().rename_axis("day").reset_index()
    assert model().prepare(table).step_names() == model().prepare(frame()).step_names()
    both = pd.concat([table.assign(station="A"), table.assign(station="B")], ignore_index=True)
    with pytest.raises(ArgumentError, match="not in order.*if it has several stations, name their column with rows="):
        model().prepare(both)
    assert model().prepare(both, rows="station").step_names()[0] == "2014-12-30"
    with pytest.raises(ArgumentError, match="the dates have gaps"):
        model().prepare(both[both.day != DAYS[4]], rows="station")


def test_values_that_the_module_can_not_hold_are_refused() -> None:
    with pytest.raises(ArgumentError, match="'rain' at 2014-12-30 .* is too large for the module's torch.float32"):
        model().prepare(frame(rain=1e300))
    with pytest.raises(ArgumentError, match="missing= must be finite, got inf"):
        model().prepare(frame(rain=np.nan), missing=np.inf)
    with pytest.raises(ShapeError, match="the frame has no rows"):
        model().prepare(np.ones((2, 0, 3)).swapaxes(0, 1))


def test_dates_that_nanoseconds_can_not_count_are_refused() -> None:
    old = frame().set_axis(DAYS.to_numpy().astype("M8[s]") - np.timedelta64(365 * 500, "D").astype("m8[s]"))
    with pytest.raises(ArgumentError, match="in the years 1678 to 2261, got 1515"):
        model().prepare(old)
    ends = np.array(["1700-01-01", "2200-01-01"], "M8[s]")
    with pytest.raises(ArgumentError, match="span more than 292 years"):
        model().prepare(frame()[:2].set_axis(ends))


def test_a_change_of_clocks_is_hinted_at() -> None:
    hours = pd.date_range("2022-10-29 22:00", periods=9, freq="h", tz="Europe/Berlin")
    with pytest.raises(ArgumentError, match="02:00 occurs twice.*If clocks were set back then"):
        model().prepare(frame().set_axis(hours.tz_localize(None)))
    hours = pd.date_range("2022-03-26 22:00", periods=9, freq="h", tz="Europe/Berlin")
    with pytest.raises(ArgumentError, match="the dates have gaps.*If clocks were set forward then"):
        model().prepare(frame().set_axis(hours.tz_localize(None)))
    with pytest.raises(ArgumentTypeError, match="texts with a UTC offset, such as '2022-03-26 22:00:00.01:00'"):
        model().prepare(frame().set_axis(hours.astype(str)))


def test_a_gap_of_centuries_takes_no_memory() -> None:
    dates = np.array(["1800-01-01", "1800-01-02", "1800-01-03", "2050-01-01"], "M8[ns]") + np.array([0, 0, 0, 1])
    seconds = np.array(["1800-01-01T00:00:00", "1800-01-01T00:00:01", "1800-01-01T00:00:02", "2050-01-01"], "M8[ns]")
    with pytest.raises(ArgumentError, match="irregular"):
        model().prepare(np.zeros((4, 3)), dates=dates, gaps="insert")
    with pytest.raises(ArgumentError, match="would make"):
        model().prepare(np.zeros((4, 3)), dates=seconds, gaps="insert")


def test_dates_with_jitter_have_no_gaps() -> None:
    jitter = np.random.default_rng(0).integers(-4_000_000, 4_000_001, 500).astype("m8[ns]")
    dates = np.datetime64("2015-01-01", "ns") + np.arange(500) * np.timedelta64(20, "ms") + jitter
    frame = pd.DataFrame(np.ones((500, 3)), pd.DatetimeIndex(dates), NAMES)
    reading = model().read(frame)
    assert abs(reading.forecasts.index[-1] - dates[-1] - np.timedelta64(20, "ms")) < np.timedelta64(2, "ms")
    stream = model().stream()
    for date, line in frame[:60].iterrows():
        stream.step(line.to_numpy(), date=date)
    with pytest.raises(ArgumentError, match="the next step of row"):
        stream.step(frame.iloc[62].to_numpy(), date=frame.index[62])
    with pytest.raises(ArgumentError, match="the dates have gaps"):
        model().read(frame.drop(frame.index[200]))


def test_dates_given_apart_are_those_of_the_lines_whatever_their_labels() -> None:
    when = pd.Series(pd.date_range("2024-01-01", periods=4).tolist() * 2, index=range(7, -1, -1))
    frame = pd.DataFrame({"flow": np.arange(8.0), "station": [*"aaaabbbb"]}, index=when.index)
    for dates in (when, when.tolist(), when.to_numpy(), pd.DatetimeIndex(when)):
        found = read_columns(frame, Wanted(("flow",), dates=dates, rows="station"))
        np.testing.assert_array_equal(found.values["flow"], [[0, 4], [1, 5], [2, 6], [3, 7]])
