"""Covariates of a series, and their sums with units by lag, from which correlations on each half are computed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiddenstate.base.reading import check_zip, reading
from hiddenstate.corpus.index.statistics import Floats, Ints
from hiddenstate.errors import ArgumentError, FileFormatError

LAGS = (0, 1, 2, 3, 4, 5, 6, 7, 10, 14, 24, 30, 48, 72, 90, 168)  # in steps
MOST_LAGS, MOST_PAIRS = 64, 1024  # of columns and lags
LAGGED = "lagged.npz"
LEAST_PAIRS = 30  # minimum number of steps for a correlation
LEAST_SPREAD = 1e-10  # of a unit that is not constant, relative to its mean square
_DAY = np.timedelta64(1, "D").astype("m8[ns]")

Times = NDArray[np.datetime64]


def _since(unit: str, times: Times) -> NDArray[Any]:
    return np.asarray(times - times.astype(f"M8[{unit}]"))


# Parts of the calendar, from datetime64 [M]; a weekday of 0 is Monday.
TIME_PARTS: Mapping[str, Callable[[Times], NDArray[Any]]] = {
    "date": lambda times: times,
    "year": lambda times: times.astype("M8[Y]").astype(np.int64) + 1970,
    "month": lambda times: times.astype("M8[M]").astype(np.int64) % 12 + 1,
    "day": lambda times: _since("M", times) // _DAY + 1,
    "day_of_year": lambda times: _since("Y", times) // _DAY + 1,
    "weekday": lambda times: (times.astype("M8[D]").astype(np.int64) + 3) % 7,
    "hour": lambda times: _since("D", times) // np.timedelta64(1, "h"),
}
PERIODS = {"hour": 24, "weekday": 7, "day_of_year": 365.25}


@dataclass(frozen=True, eq=False)
class Covariates:
    """What units are compared with: K columns of T steps and N rows, at lags, and the calendar."""

    names: tuple[str, ...]  # the columns
    columns: Floats  # float64 ``[T, N, K]``, in the units of the data; NaN where a value is missing
    times: Times | None  # the wall-clock times ``[T]``, or None
    lags: tuple[int, ...]  # how many steps before a unit's step; negative ones are later
    shifts: tuple[int, ...]  # by how many steps columns are shifted for controls
    is_circular: bool  # whether shifted columns begin again after their end, because the series is short
    half: int  # the first step of the half on which lags are not chosen

    @property
    def about(self) -> dict[str, Any]:
        """Its entry in the manifest, ready for JSON."""
        clocks = [name for name, _ in self._clock]
        return {
            "columns": [*self.names],
            "clocks": clocks,
            "lags": [*self.lags],
            "shifts": [*self.shifts],
            "half": self.half,
            "dates": self.times is not None,
        }

    @cached_property
    def _standard(self) -> Floats:
        """The columns with mean 0 and deviation 1, or all 0 if they are constant."""
        flat = self.columns.reshape(-1, self.columns.shape[-1])
        standard = np.zeros_like(self.columns)
        for k, column in enumerate(flat.T):
            known = column[~np.isnan(column)]
            if len(known) and known.std() > 0:
                standard[..., k] = (self.columns[..., k] - known.mean()) / known.std()
        return np.where(np.isnan(self.columns), np.nan, standard)

    @cached_property
    def _clock(self) -> list[tuple[str, Floats]]:
        """The sine and cosine ``[T]`` of each part of the calendar that varies."""
        if self.times is None:
            return []
        clock = []
        for name, period in PERIODS.items():
            values = np.asarray(TIME_PARTS[name](self.times), np.float64)
            if np.ptp(values) > 0:
                angle = 2 * np.pi * values / period
                clock += [(f"{name} (sin)", np.sin(angle)), (f"{name} (cos)", np.cos(angle))]
        return clock

    def at(self, rows: Ints, steps: Ints, first: int) -> "LaggedChunk":
        """Return the covariates at some steps; the first ``first`` steps are in the first half."""
        T, parts = len(self.columns), []
        for shift, lag in product((0, *self.shifts), self.lags):
            at = steps - lag - shift
            inside = (at >= 0) & (at < T)
            wrapped = at % T if shift and self.is_circular else np.clip(at, 0, T - 1)
            values = self._standard[wrapped, rows]
            parts.append(values if shift and self.is_circular else np.where(inside[:, None], values, np.nan))
        parts += [column[steps, None] for _, column in self._clock]
        values = np.concatenate(parts, axis=1)
        is_known = ~np.isnan(values)
        return LaggedChunk(torch.from_numpy(np.where(is_known, values, 0.0)), torch.from_numpy(is_known), first)


@dataclass(frozen=True, eq=False)
class LaggedChunk:
    """The P covariates, lagged and shifted, at M steps, the first half's first."""

    values: Tensor  # float64 [M, P], 0 where unknown
    is_known: Tensor  # bool [M, P]
    first: int

    @cached_property
    def halves(self) -> list[tuple[int, slice, Tensor, Tensor, Tensor]]:
        """Each half with steps: its number, its steps, values, what is partly unknown, and that as 0 and 1."""
        halves = []
        for half, steps in enumerate((slice(0, self.first), slice(self.first, len(self.values)))):
            is_known = self.is_known[steps]
            if len(is_known):
                partly = (~is_known.all(0)).nonzero().flatten()
                halves.append((half, steps, self.values[steps], partly, is_known[:, partly].double()))
        return halves


class LaggedSums:
    """The sums of one place's units with covariates, over the chunks of a shard."""

    def __init__(self, units: int) -> None:
        self._units = units
        self._sums: dict[str, Tensor] = {}

    def add(self, flat: Tensor, chunk: LaggedChunk) -> None:
        """Add the values ``[M, U]`` of units at the steps of a chunk."""
        P = chunk.values.shape[1]
        if not self._sums:
            shapes = {"count": (P,), "c": (P,), "cc": (P,), **dict.fromkeys(("x", "xx", "xc"), (self._units, P))}
            self._sums = {name: torch.zeros(2, *shape, dtype=torch.float64) for name, shape in shapes.items()}
        for half, steps, values, partly, known in chunk.halves:
            x, sums = flat[steps].double(), {name: total[half] for name, total in self._sums.items()}
            square = x * x
            sums["count"] += chunk.is_known[steps].sum(0)
            sums["c"] += values.sum(0)
            sums["cc"] += (values * values).sum(0)
            sums["xc"] += x.T @ values
            for name, part in (("x", x), ("xx", square)):
                whole = part.sum(0)[:, None].expand(-1, P).clone()
                whole[:, partly] = part.T @ known
                sums[name] += whole

    def finish(self) -> dict[str, NDArray[Any]]:
        """Return the sums."""
        return {name: total.numpy() for name, total in self._sums.items()}


def merged_sums(parts: Iterable[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Add the sums of shards."""
    merged: dict[str, NDArray[Any]] = {}
    for part in parts:
        merged |= {name: merged.get(name, 0.0) + values for name, values in part.items()}
    return merged


def read_sums(path: Path) -> dict[str, NDArray[Any]]:
    """Return the sums in a file, by place and name."""
    with reading(path):
        check_zip(path)
        with np.load(path, allow_pickle=False) as file:
            return dict(file.items())


def correlations(path: Path, sums: Mapping[str, NDArray[Any]], place: str, shape: tuple[int, int]) -> Floats:
    """Return the correlations ``[2, U, P]`` of units and covariates on each half; NaN if unknown."""
    U, P = shape
    shapes = {**dict.fromkeys(("count", "c", "cc"), (2, P)), **dict.fromkeys(("x", "xx", "xc"), (2, U, P))}
    for name, expected in shapes.items():
        values = sums.get(f"{place}/{name}")
        if values is None or values.shape != expected or values.dtype != np.float64:
            raise FileFormatError(f"{path} has no sums {name} of {place} for {U} units and {P} covariates")
    count, c, cc, x, xx, xc = (sums[f"{place}/{name}"] for name in shapes)
    n = np.maximum(count, 1)[:, None]
    c, cc = c[:, None] / n, cc[:, None] / n
    mean, square = x / n, xx / n
    x_spread, c_spread = square - mean**2, cc - c**2
    is_known = (count[:, None] >= LEAST_PAIRS) & (x_spread > LEAST_SPREAD * square) & (c_spread > LEAST_SPREAD * cc)
    scale = np.sqrt(np.where(is_known, x_spread * c_spread, 1.0))
    return np.where(is_known, np.clip((xc / n - mean * c) / scale, -1, 1), np.nan)


def checked_lags(lags: Iterable[int] | None, T: int) -> tuple[int, ...]:
    """Return the lags to compare; by default those of `LAGS` below a quarter of the series."""
    if lags is None:
        return tuple(lag for lag in LAGS if 4 * lag < T)
    numbers = list(lags) if not isinstance(lags, str | bytes) else []
    if not numbers or len(numbers) > MOST_LAGS or not all(type(lag) is int and abs(lag) < T for lag in numbers):
        raise ArgumentError(
            f"lags must be 1 to {MOST_LAGS} whole numbers of steps, less than the {T} of the series, got {lags!r:.80}"
        )
    return tuple(sorted({*numbers}))


def control_shifts(times: Times | None, T: int) -> tuple[tuple[int, ...], bool]:
    """Return the controls' shifts, of years or circular thirds, and whether they are circular."""
    if times is not None and T > 1:
        year = round(365.25 * (T - 1) / ((times[-1] - times[0]) / _DAY))  # in steps
        shifts = tuple(k * year for k in (-2, -1, 1, 2) if year > 1 and 3 * abs(k) * year <= T)
        if shifts:
            return shifts, False
    return tuple(T * k // 3 for k in (1, 2)), True
