"""How a model of series reads frames: rows in parts that are run side by side, and the covariates of their steps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from hiddenstate.base.modes import eval_twin
from hiddenstate.corpus.index.fingerprints import hash_items, model_fingerprint
from hiddenstate.corpus.index.lagged import MOST_PAIRS, Covariates, checked_lags, control_shifts
from hiddenstate.corpus.index.sequences import (
    MOST_LABELS,
    MOST_STEPS,
    NO_LABEL,
    PIECE,
    WINDOW,
    CorpusItem,
    CorpusReader,
)
from hiddenstate.corpus.shards.plan import Shard
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError
from hiddenstate.models.model_folder import save
from hiddenstate.models.series.frames import Wanted, read_columns
from hiddenstate.models.series.series_model import SeriesModel
from hiddenstate.models.series.stored import StoredSeries
from hiddenstate.nn.recurrent import Recurrent

STEPS_TOGETHER = 64 * PIECE  # of a shard, and of a part of a row
ROWS_TOGETHER = 64


@dataclass(frozen=True, eq=False)
class SeriesReader(CorpusReader):
    """A model of series, which reads frames; it is stored as a network of the simple shape."""

    kind: ClassVar[str] = StoredSeries.kind

    @property
    def lstm(self) -> Recurrent[Any, Any]:
        """The recurrent stack."""
        layer: Recurrent[Any, Any] = self.model.rnn
        return layer

    @property
    def head(self) -> None:
        """None: a forecast is no choice between outputs."""
        return

    @property
    def window(self) -> int | None:
        """The number of steps that the model reads, if it reads windows."""
        steps: int | None = self.model.config["window"]
        return steps

    @property
    def lead(self) -> int:
        """How many steps are read before the first one of a part of a series."""
        return (self.window or 1) - 1

    def items(self, shard: Shard) -> list[CorpusItem]:
        """Return the parts of rows in a shard."""
        return [*self.arrays[shard.start : shard.stop]]

    def item(self, x: Any) -> CorpusItem:
        """Return a frame of one row, as one part."""
        items = series_items(self.model, SeriesModel._of_stored(self.model).prepare(x))
        if len(items) != 1:
            raise ArgumentError(
                f"give a frame of one row and at most {STEPS_TOGETHER:,} steps, got {len(items)} rows or parts"
            )
        return items[0]

    def inputs(self, items: Sequence[CorpusItem], start: int, stop: int) -> Tensor:
        """Return what the recurrent stack reads; for windows, with the steps before the first."""
        rows = [torch.from_numpy(item.data[start:stop]) for item in items if item.data is not None]
        with torch.no_grad():
            x: Tensor = eval_twin(self.model).embed(pad_sequence(rows))
            return x

    def targets(self, item: CorpusItem) -> NDArray[np.int64]:
        """Return -1 for each step: there is no correct output."""
        return np.full(len(item.tokens), -1)

    def pieces(self, item: CorpusItem) -> list[tuple[int, CorpusItem]]:
        """Return pieces of a part that can be run side by side, because their initial states are known."""
        if item.states is None and self.window is None:
            return [(0, item)]
        length = PIECE if self.window is None else WINDOW
        return [(k, self.cut(item, k, k + length)) for k in range(0, len(item.tokens), length)]

    def cut(self, item: CorpusItem, start: int, stop: int) -> CorpusItem:
        """Return some steps of a part, with what is read before them; the first is one whose state is known."""
        number = start // PIECE
        return item._replace(
            tokens=item.tokens[start:stop],
            labels=item.labels[start:stop],
            data=None if item.data is None else item.data[start : stop + self.lead],
            states=None if item.states is None else tuple(part[:, number : number + 1] for part in item.states),
        )

    def save(self, folder: Path) -> None:
        """Write the model."""
        save(SeriesModel._of_stored(self.model), folder)

    def fingerprint(self) -> dict[str, Any]:
        """Return everything that the values depend on, ready for JSON."""
        about: dict[str, Any] = {"model": self.kind, "weights": model_fingerprint(self.model)}
        if self.covariates is not None:
            about["covariates"] = self.covariates.about
            about["arrays"] = hash_items(self.arrays, self.covariates.columns)
        return about


def series_items(network: StoredSeries, series: Any) -> tuple[CorpusItem, ...]:
    """Return the rows of what `SeriesModel.prepare` returned in parts, each with the states before its pieces.

    The names of several rows are the labels of their steps.
    """
    x, names = series.x.cpu(), series.step_names()
    (T, N, _), window = x.shape, network.config["window"]
    first = (window or 1) - 1
    if first >= T:
        raise ArgumentError(f"the frame has {T} steps, but the model reads windows of {window}: give at least as many")
    if T > MOST_STEPS:
        raise ArgumentError(f"a row of an index has at most {MOST_STEPS:,} steps, got {T:,}: index parts of the frame")
    states = None
    if window is None and not network.shape.sizes.bidirectional and T > PIECE:
        states = _states_between(network, x)
    length = T if window is None and states is None else STEPS_TOGETHER
    items = []
    for n in range(N):
        data = x[:, n].contiguous().numpy()
        for start in range(first, T, length):
            stop = min(start + length, T)
            pieces = slice(start // PIECE, -(-stop // PIECE))
            before = None if states is None else tuple(part[:, pieces, n].contiguous() for part in states)
            labels = (series.rows[n] if 1 < N <= MOST_LABELS else NO_LABEL,) * (stop - start)
            items.append(CorpusItem(names[start:stop], labels, data[start - first : stop], before, (n, start)))
    return tuple(items)


@torch.no_grad()
def _states_between(network: StoredSeries, x: Tensor) -> list[Tensor]:
    """Return each state that the layers carry before every `PIECE` steps, ``[L, P, N, ...]``."""
    twin = eval_twin(network)
    rows: list[list[Tensor]] = []
    for some in x.split(ROWS_TOGETHER, dim=1):
        state, before = None, list[Sequence[Tensor]]()
        for part in some.split(PIECE):
            after = twin.rnn(twin.embed(part), state)[1]
            parts_of = twin.shape.sizes.kind.parts_of
            before.append([torch.zeros_like(value) for value in parts_of(after)] if state is None else parts_of(state))
            state = after
        rows.append([torch.stack(values, 1) for values in zip(*before, strict=True)])
    return [torch.cat(values, 2) for values in zip(*rows, strict=True)]


def series_reader(
    model: SeriesModel, frame: Any, covariates: Iterable[str], lags: Iterable[int] | None, options: dict[str, Any]
) -> SeriesReader:
    """Return the reader of a model of series; arguments and errors are those of `hiddenstate.index`."""
    if model.network is None:
        raise ArgumentError(
            f"this {type(model.module).__name__} can't be indexed as a model of series: it is {model.understood}. "
            "Index its recurrent layer, over arrays of what that reads"
        )
    names = [covariates] if isinstance(covariates, str) else [*covariates]
    if not all(isinstance(name, str) for name in names):
        raise ArgumentTypeError(f"covariates must be names of columns, got {names!r:.80}")
    unknown = {*options} - {"dates", "rows", "gaps", "missing"}
    if unknown:
        raise ArgumentTypeError(
            f"index takes no {sorted(unknown)[0]}=; for a model of series: dates, rows, gaps, missing"
        )
    stored = model._to_stored()
    series = SeriesModel._of_stored(stored).prepare(frame, **options)
    wanted = tuple(dict.fromkeys((*model.features, *model.targets, *names)))
    places = {name: options.get(name) for name in ("dates", "rows", "gaps")}
    columns = read_columns(frame, Wanted(model.features, wanted, time_first=model.time_first, **places)).values
    lacking = [name for name in names if name not in columns]
    if lacking:
        raise NameUnknownError(
            f"covariates= names {lacking[0]!r}, which is no column of the frame: {', '.join(columns)}"
        )
    chosen = tuple(name for name in wanted if name in columns)
    timeline, T = series.timeline, len(series.x)
    chosen_lags = checked_lags(lags, T)
    if (pairs := len(chosen) * len(chosen_lags)) > MOST_PAIRS:
        raise ArgumentError(
            f"{len(chosen)} columns at {len(chosen_lags)} lags are {pairs:,}, but at most {MOST_PAIRS:,} can be "
            "compared with units: give fewer lags="
        )
    times = timeline.wall() if timeline is not None and timeline.values.dtype.kind == "M" else None
    values = np.stack([columns[name] for name in chosen], axis=-1)
    if np.isinf(values).any():
        name = chosen[int(np.argwhere(np.isinf(values))[0, 2])]
        raise ArgumentError(f"the column {name!r} has infinite values: correct them, or mark them as missing")
    shifts, is_circular = control_shifts(times, T)
    compared = Covariates(chosen, values, times, chosen_lags, shifts, is_circular, T // 2)
    return SeriesReader(stored, None, series_items(stored, series), compared)
