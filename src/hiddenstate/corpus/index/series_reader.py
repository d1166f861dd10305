"""How a series model reads frames: rows in parts that are run side by side, and the covariates of their steps."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.modes import eval_twin
from hiddenstate.corpus.index.lagged import MOST_PAIRS, Covariates, checked_lags, control_shifts
from hiddenstate.corpus.index.sequences import MOST_LABELS, MOST_STEPS, NO_LABEL, PIECE, CorpusItem
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError
from hiddenstate.models.series.frames import Wanted, read_columns
from hiddenstate.models.series.series_model import SeriesModel
from hiddenstate.models.series.stored import StoredSeries

STEPS_TOGETHER = 64 * PIECE  # of a shard, and of a part of a row
ROWS_TOGETHER = 64


def series_items(network: StoredSeries, series: Any) -> tuple[CorpusItem, ...]:
    """Return a prepared series' rows in parts with the states of their pieces, labelled by row."""
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


def read_series(
    model: SeriesModel, frame: Any, covariates: Iterable[str], lags: Iterable[int] | None, options: dict[str, Any]
) -> tuple[StoredSeries, tuple[CorpusItem, ...], Covariates]:
    """Return a model as it is stored, the parts of a frame, and its columns; the arguments are those of `index`."""
    if model.network is None:
        raise ArgumentError(
            f"this {type(model.module).__name__} can't be indexed as a series model: it is {model.understood}. "
            "Index its recurrent layer, over arrays of what that reads"
        )
    names = [covariates] if isinstance(covariates, str) else [*covariates]
    if not all(isinstance(name, str) for name in names):
        raise ArgumentTypeError(f"covariates must be names of columns, got {names!r:.80}")
    unknown = {*options} - {"dates", "rows", "gaps", "missing"}
    if unknown:
        raise ArgumentTypeError(f"index takes no {sorted(unknown)[0]}=; for a series model: dates, rows, gaps, missing")
    stored = model._to_stored()
    series = SeriesModel._of_stored(stored).prepare(frame, **options)
    wanted = tuple(dict.fromkeys((*model.features, *model.targets, *names)))
    places = {name: options.get(name) for name in ("dates", "rows", "gaps")}
    columns = read_columns(frame, Wanted(model.features, wanted, time_first=model.time_first, **places)).values
    lacking = [name for name in names if name not in columns]
    if lacking:
        raise NameUnknownError(
            f"covariates= names {lacking[0]!r}, which is not a column of the frame: {', '.join(columns)}"
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
    return stored, series_items(stored, series), compared
