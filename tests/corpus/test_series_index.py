"""The index of a series: correlations by lag against NumPy, search by columns and dates, resumption, zeroed units."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.corpus.index import readers, series_reader
from hiddenstate.corpus.index.lagged import LAGGED
from hiddenstate.corpus.index.sequences import Context
from hiddenstate.errors import ArgumentError, ArgumentTypeError, FileFormatError, NameUnknownError
from hiddenstate.models import SeriesModel

NAMES = ["rain", "temperature", "flow"]
LAGS = (-2, 0, 1, 5)


class Forecaster(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix, self.lstm, self.out = nn.Linear(3, 4), nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 1)

    def states(self, x: Tensor) -> Tensor:
        out: Tensor = self.lstm(torch.tanh(self.mix(x)))[0]
        return out

    def forward(self, x: Tensor) -> Any:
        return self.out(self.states(x))


class LastStep(Forecaster):
    def forward(self, x: Tensor) -> Any:
        return self.out(self.states(x)[:, -1])


def forecaster(kind: type[Forecaster] = Forecaster) -> Forecaster:
    torch.manual_seed(0)
    module = kind()
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(2)
    return module


def frame(T: int, start: str = "2001-01-01", freq: str = "D", seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    rain = random.gamma(0.3, 8, T) * (random.random(T) > 0.4)
    warmth = 10 * np.sin(np.arange(T) * 2 * np.pi / 365.25) + random.normal(0, 3, T)
    data = {"rain": rain, "temperature": warmth, "flow": pd.Series(rain).ewm(halflife=4).mean().to_numpy()}
    data["snow"] = np.where(warmth < 0, rain, 0) + random.normal(0, 0.1, T)
    return pd.DataFrame(data, pd.date_range(start, periods=T, freq=freq))


def model_of(module: nn.Module, data: pd.DataFrame, **options: Any) -> SeriesModel:
    scale = data[NAMES].mean(), data[NAMES].std()
    return hs.series_model(module, NAMES, "flow", scale=scale, **options)


def states_of(module: Forecaster, model: SeriesModel, data: pd.DataFrame) -> NDArray[Any]:
    """The hidden states ``[T, U]`` by torch: of the whole series, or after the window that ends at each step."""
    x = model.prepare(data).x[:, 0]
    with torch.no_grad():
        if model.window is None:
            return module.states(x[None])[0].double().numpy()
        return module.states(x.unfold(0, model.window, 1).transpose(1, 2))[:, -1].double().numpy()


def shifted(column: NDArray[Any], by: int, *, circular: bool) -> NDArray[Any]:
    if circular:
        return np.roll(column, by)
    moved = np.full_like(column, np.nan)
    if by >= 0:
        moved[by:] = column[: len(column) - by]
    else:
        moved[:by] = column[-by:]
    return moved


def correlation(unit: NDArray[Any], column: NDArray[Any]) -> float:
    both = ~np.isnan(unit) & ~np.isnan(column)
    return float(np.corrcoef(unit[both], column[both])[0, 1])


def rows_of(result: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in result.rows()]


def brute(unit: NDArray[Any], column: NDArray[Any], lags: Any, shifts: Any, *, circular: bool) -> dict[str, float]:
    """The best lag on the first half, its correlations, and the largest of shifted columns, by NumPy."""
    half = len(column) // 2
    rows = []
    for shift in (0, *shifts):
        moved = [shifted(column, shift, circular=True) if circular and shift else column for _ in lags]
        by = [lag if circular and shift else lag + shift for lag in lags]
        columns = [shifted(part, k, circular=circular and bool(shift)) for part, k in zip(moved, by, strict=True)]
        first = [correlation(unit[:half], part[:half]) for part in columns]
        best = int(np.abs(first).argmax())
        rows.append((lags[best], first[best], correlation(unit[half:], columns[best][half:])))
    control = max((row[2] for row in rows[1:]), key=abs)
    return {"lag": rows[0][0], "chosen": rows[0][1], "held_out": rows[0][2], "control": control}


@pytest.mark.parametrize(
    ("T", "freq", "window"), [(4500, "D", None), (1500, "D", 7), (700, "h", None), (97, "D", None)]
)
def test_correlations_are_those_of_numpy(tmp_path: Path, T: int, freq: str, window: int | None) -> None:
    module, data = forecaster(Forecaster if window is None else LastStep), frame(T, freq=freq)
    data.loc[data.index[5:15], "snow"] = np.nan
    model = model_of(module, data, window=window)
    index = hs.index(model, data, tmp_path / "ix", places="l0.h", covariates=["snow"], lags=LAGS)
    states = np.full((T, 5), np.nan)
    states[(window or 1) - 1 :] = states_of(module, model, data)
    result = index.follows(zeroed=0)
    years = [k * 365 for k in (-2, -1, 1, 2) if 3 * abs(k) * 365 <= T]
    circular = freq == "h" or not years
    assert result.shifts == (tuple(T * k // 3 for k in (1, 2)) if circular else tuple(years))
    columns = 0
    for row in rows_of(result):
        unit = int(row["unit"].removeprefix("l0.h[").rstrip("]"))
        if row["covariate"] in data:
            want = brute(states[:, unit], data[row["covariate"]].to_numpy(), LAGS, result.shifts, circular=circular)
            assert {name: row[name] for name in want} == pytest.approx(want, abs=2e-5), row
            columns += 1
        else:
            name, _, part = row["covariate"].partition(" ")
            dates: Any = data.index
            values, period = {
                "hour": (dates.hour, 24),
                "weekday": (dates.day_of_week, 7),
                "day_of_year": (dates.day_of_year, 365.25),
            }[name]
            angle = 2 * np.pi * values.to_numpy() / period
            column = np.sin(angle) if part == "(sin)" else np.cos(angle)
            assert row["control"] is None
            assert row["held_out"] == pytest.approx(correlation(states[T // 2 :, unit], column[T // 2 :]), abs=2e-5)
    assert columns == 5 * 4
    nearest = rows_of(index.like(data, t=T - 30, k=1))[0]
    assert nearest["start"] == T - 30
    assert nearest["tokens"] == index.item(0, 0).tokens[T - 30]
    assert {row["covariate"] for row in rows_of(result)} >= ({"hour (sin)"} if freq == "h" else {"weekday (cos)"})
    assert [row["covariate"] for row in rows_of(index.follows("snow", unit="l0.h[2]", zeroed=0))] == ["snow"]


def test_rows_are_indexed_together(tmp_path: Path) -> None:
    stations = {"A": frame(300), "B": frame(300, seed=1)}
    module = forecaster()
    model = model_of(module, stations["A"])
    index = hs.index(model, stations, tmp_path / "ix", places="l0.h", lags=[0])
    states = np.stack([states_of(module, model, data) for data in stations.values()])
    rain = np.stack([data["rain"].to_numpy() for data in stations.values()])
    for row in rows_of(index.follows("rain", zeroed=0)):
        unit = int(row["unit"].removeprefix("l0.h[").rstrip("]"))
        want = correlation(states[:, 150:, unit].reshape(-1), rain[:, 150:].reshape(-1))
        assert row["held_out"] == pytest.approx(want, abs=2e-5)
    assert index.search("rain > 3").matched_steps == int((rain > 3).sum())
    match = index.search("rain > 3 and label = B")
    assert match.matched_steps == int((rain[1] > 3).sum())
    assert "  B 2001-" in str(match)
    assert {row["label"] for row in index.units().rows()} <= {"A", "B"}


@pytest.fixture
def many_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of one piece each."""
    for module in (readers, series_reader):
        monkeypatch.setattr(module, "STEPS_TOGETHER", 4096)


@pytest.mark.usefixtures("many_shards")
def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    data = frame(9000)
    model = model_of(forecaster(), data)
    whole = hs.index(model, data, tmp_path / "whole", lags=LAGS)
    assert len(whole.shards) == 3

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hs.index(model, data, tmp_path / "ix", lags=LAGS, progress=stop)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "ix").glob("0000[01]/*")}
    assert len(kept) > 10
    assert not (tmp_path / "ix" / LAGGED).exists()
    with pytest.raises(FileFormatError, match="not complete"):
        hs.open_index(tmp_path / "ix")
    again = hs.index(model, data, tmp_path / "ix", lags=LAGS)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert (tmp_path / "ix" / LAGGED).read_bytes() == (tmp_path / "whole" / LAGGED).read_bytes()
    assert again.follows().rows() == whole.follows().rows()
    data.loc[data.index[8999], "rain"] = 77.0
    with pytest.raises(ArgumentError, match="holds other results, which differ in arrays"):
        hs.index(model, data, tmp_path / "ix", lags=LAGS)


@pytest.mark.usefixtures("many_shards")
def test_shards_and_processes_change_nothing(tmp_path: Path) -> None:
    data = frame(9000)
    model = model_of(forecaster(), data)
    options: Any = {"covariates": ["snow"], "lags": LAGS}
    alone = hs.index(model, data, tmp_path / "alone", **options)
    hs.index(model, data, tmp_path / "two", workers=2, **options)
    for name in (LAGGED, "statistics.npz", "00001/above.npy", "00002/state_h.npy"):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    part = alone.item(1, 0)
    assert part.states is not None
    assert len(part.tokens) == 4096
    states = states_of(forecaster(), model, data)
    for start in (4096, 4352, 4400, 8192, 8990):
        shard = start // 4096
        context = Context(shard, 0, start - 4096 * shard, start - 4096 * shard + 10)
        values = alone.values(context, ["l0.h"])["l0.h"]
        assert np.allclose(values, states[start : start + 10], atol=1e-5)


@pytest.mark.parametrize("window", [None, 6])
def test_search_by_units_columns_and_dates(tmp_path: Path, window: int | None) -> None:
    data = frame(1200)
    data.loc[data.index[100:110], "snow"] = np.nan
    module = forecaster(Forecaster if window is None else LastStep)
    model = model_of(module, data, window=window)
    index = hs.index(model, data, tmp_path / "ix", covariates=["snow"])
    shutil.copytree(tmp_path / "ix", tmp_path / "copy")
    kept = data.iloc[(window or 1) - 1 :]
    h = states_of(module, model, data)
    threshold = round(float(np.median(h[:, 3])), 3)
    high, rain, snow = h[:, 3] > threshold, kept["rain"], kept["snow"]
    dates: Any = kept.index
    masks = {
        f"l0.h[3] > {threshold} and rain == 0 and month in (6, 7)": high & (rain == 0) & dates.month.isin([6, 7]),
        "rain = 0 and not weekday = 6": (rain == 0) & (dates.day_of_week != 6),
        "snow != 0": snow.notna() & (snow != 0),
        '"snow" <= 0.5 or year > 2003': (snow <= 0.5) | (dates.year > 2003),
        'date = "2002-03"': (dates >= "2002-03-01") & (dates < "2002-04-01"),
        'date > "2002-03" and date <= "2003"': (dates >= "2002-04-01") & (dates < "2004-01-01"),
        'date in ("2002-03-05", "2002-03-07") and day > 5': dates == "2002-03-07",
        "day_of_year < 32 and hour == 0": dates.day_of_year < 32,
    }
    for opened in (index, hs.open_index(tmp_path / "copy")):
        for query, mask in masks.items():
            result = opened.search(query, limit=100)
            assert result.matched_steps == int(np.asarray(mask).sum()), query
            assert result.matched_steps, query
    first = index.search('date = "2002-03"').matches[0]
    assert (first.tokens[0], first.tokens[-1]) == ("2002-03-01", "2002-03-31")
    wet = index.search("rain > 5, rain = 0 before").count
    is_wet, dry = (rain > 5).to_numpy(), (rain == 0).to_numpy()
    assert wet == int((is_wet[1:] & dry[:-1]).sum())
    for query, message in {
        "fog > 1": "has no column 'fog': it has rain, temperature, flow, snow, and of its dates date, year",
        "date > 3": "compared with a date in quotes",
        'rain > "2002"': "compared with a number",
        'date > "spring"': "is not a date",
        'date <= "NaT"': "is not a date",
        'date > "2600"': "must be in the years 1678 to 2261",
        "rain >": "cannot read the query",
        "rain in ()": "cannot read the query",
    }.items():
        with pytest.raises((ArgumentError, NameUnknownError), match=message):
            index.search(query)


def test_the_loss_of_a_zeroed_unit_is_that_of_the_edited_model(tmp_path: Path) -> None:
    data, W = frame(1100), 8
    module = forecaster(LastStep)
    model = model_of(module, data, window=W, horizon=2)
    index = hs.index(model, data, tmp_path / "ix", places="l0.h")
    rows = {row["unit"]: row for row in rows_of(index.follows(zeroed=2)) if row["loss"] is not None}
    assert len(rows) == 2
    starts = [first for first in range(0, 1100, 256) if first + W - 1 >= 550]
    for unit, row in rows.items():
        errors = []
        for edits in ([], [hs.zero(f"lstm.{unit}")]):
            reading = model.read(data, edits=edits)
            scale = float(model.target_scale.factor)
            error = ((reading.values[:, 0, 0, 0].numpy() - np.asarray(reading.truth)[:, 0, 0, 0]) / scale) ** 2
            errors.append(np.array([np.nanmean(error[start : start + 256]) for start in starts]))
        more = errors[1] - errors[0]
        assert row["loss"] == pytest.approx(more.mean() / errors[0].mean(), rel=1e-3)
        assert row["loss_error"] == pytest.approx(more.std(ddof=1) / np.sqrt(len(more)) / errors[0].mean(), rel=1e-3)


def test_a_unit_that_is_not_read_costs_nothing(tmp_path: Path) -> None:
    data, module = frame(3000), forecaster()
    weights = module.state_dict()
    weights["out.weight"][:, 2] = 0
    weights["lstm.weight_hh_l0"][:, 2] = 0
    index = hs.index(model_of(module, data), data, tmp_path / "ix", places="l0.h")
    losses = {row["unit"]: row["loss"] for row in rows_of(index.follows(zeroed=5))}
    assert losses["l0.h[2]"] == 0
    assert all(abs(loss) > 1e-4 for unit, loss in losses.items() if unit != "l0.h[2]")


def test_without_the_targets_no_unit_is_zeroed(tmp_path: Path) -> None:
    data = frame(200).rename(columns={"snow": "level"})
    torch.manual_seed(0)
    model = hs.series_model(nn.GRU(3, 2), NAMES, ["a", "b"])
    index = hs.index(model, data.reset_index(drop=True), tmp_path / "ix")
    result = index.follows()
    assert "the frame has no column of the target 'a'" in str(result)
    assert {row["covariate"] for row in rows_of(result)} == {*NAMES}
    with pytest.raises(NameUnknownError, match="has no column 'month'"):
        index.search("month = 3")
    assert index.search("rain > 2").matched_steps == int((data["rain"] > 2).sum())


class Convolving(Forecaster):
    def forward(self, x: Tensor) -> Any:
        return self.out(self.lstm(torch.cumsum(self.mix(x), 1))[0])


def test_bad_input(tmp_path: Path) -> None:
    data = frame(120)
    model = model_of(forecaster(), data)
    folder = tmp_path / "ix"
    wide = data.assign(**{f"c{k}": 0.0 for k in range(70)})
    names = [f"c{k}" for k in range(70)]
    cases: list[tuple[type[Exception], str, Any]] = [
        (ArgumentError, "give fewer lags", lambda: hs.index(model, wide, folder, covariates=names, lags=range(30))),
        (NameUnknownError, "no column 'rain'", lambda: hs.index(model, data.drop(columns="rain"), folder)),
        (NameUnknownError, "covariates= names 'fog'", lambda: hs.index(model, data, folder, covariates=["fog"])),
        (ArgumentTypeError, "must be names", lambda: hs.index(model, data, folder, covariates=[3])),  # type: ignore[list-item]
        (ArgumentError, "lags must be 1 to 64", lambda: hs.index(model, data, folder, lags=[500])),
        (ArgumentError, "lags must be 1 to 64", lambda: hs.index(model, data, folder, lags=[])),
        (ArgumentTypeError, "takes no stations=", lambda: hs.index(model, data, folder, stations="x")),
        (
            ArgumentTypeError,
            "lags= is for a series model",
            lambda: hs.index(hs.LSTM(3, 2), [torch.ones(2, 3)], folder, lags=[1]),
        ),
        (
            ArgumentTypeError,
            "gaps= is for a series model",
            lambda: hs.index(hs.LSTM(3, 2), [torch.ones(2, 3)], folder, gaps="join"),
        ),
        (ArgumentError, "labels=, tokens=", lambda: hs.index(model, data, folder, labels="upos")),
        (ArgumentError, "the dates have gaps", lambda: hs.index(model, data.drop(data.index[50]), folder)),
        (ArgumentError, "is missing", lambda: hs.index(model, data.where(data["rain"] < 20), folder)),
        (ArgumentError, "is infinite", lambda: hs.index(model, data.replace(0.0, np.inf), folder)),
        (ArgumentTypeError, "expected a number", lambda: hs.index(model, data.assign(rain="wet"), folder)),
        (
            ArgumentError,
            "gives windows|reads windows",
            lambda: hs.index(model_of(forecaster(LastStep), data, window=200), data, folder),
        ),
        (
            ArgumentError,
            "can't be indexed as a series model",
            lambda: hs.index(model_of(forecaster(Convolving), data), data, folder),
        ),
    ]
    for error, message, call in cases:
        with pytest.raises(error, match=message):
            call()
        assert not folder.exists(), message
    index = hs.index(model, data, folder)
    with pytest.raises(NameUnknownError, match="no covariate 'fog'"):
        index.follows("fog")
    with pytest.raises(ArgumentError, match="zeroed must be at least 0"):
        index.follows(zeroed=-1)
    with pytest.raises(NameUnknownError):
        index.follows(unit="l0.h[9]")
    with pytest.raises(ArgumentError, match="follows"):
        index.unit("l0.h[1]")
    arrays = hs.index(hs.LSTM(3, 2), [torch.ones(2, 3)], tmp_path / "arrays")
    with pytest.raises(ArgumentError, match="not an index of a series"):
        arrays.follows()
    with pytest.raises(NameUnknownError, match="not an index of a series"):
        arrays.search("rain > 3")


def test_constant_units_and_columns_have_no_correlation(tmp_path: Path) -> None:
    data = frame(300).assign(still=1.0, empty=np.nan)
    module = forecaster()
    for name, weight in module.state_dict().items():
        if name.startswith("lstm"):
            weight.view(4, 5, -1)[2, 1] = 0  # g of unit 1 is 0
    index = hs.index(model_of(module, data), data, tmp_path / "ix", covariates=["still", "empty"])
    rows = rows_of(index.follows(zeroed=1))
    for row in rows:
        is_constant = row["covariate"] in ("still", "empty") or row["unit"].endswith("[1]")
        assert (row["held_out"] is None) == is_constant, row
    assert "still" in str(index.follows("still"))
    assert index.like(data[:50], t=20).rows()
    assert len(index.units().rows()) == 10
