"""A table of units × covariates of a series: which unit follows which column, at which lag, and whether it is used."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.modes import eval_twin, types_of_the_weights
from hiddenstate.base.scalars import check_at_least
from hiddenstate.base.validation import AnyState
from hiddenstate.corpus.index.folder import IndexFolder
from hiddenstate.corpus.index.lagged import LAGGED, correlations, read_sums
from hiddenstate.corpus.index.sequences import CHECKPOINT, Context, CorpusReader, context_key, scramble
from hiddenstate.corpus.index.statistics import Floats
from hiddenstate.corpus.units.table import known_number
from hiddenstate.edits.edit import Edit, zero
from hiddenstate.errors import ArgumentError, NameUnknownError
from hiddenstate.explain.result.explanation import Measured, Row
from hiddenstate.explain.result.terminal import sentence, shortened
from hiddenstate.models.series.scale import Scale
from hiddenstate.models.series.stored import stored_scale
from hiddenstate.structure.tables import table

SHOWN = 20
SPANS, ROW_STEPS = 64, 1 << 21  # of a sample on which units are zeroed: maximum numbers of spans and of row-steps


@dataclass(frozen=True, eq=False, repr=False)
class UnitCovariates(Measured):
    """Which units follow which covariates of a series. Created by `Index.follows`.

    Attributes:
        table: one row per unit and covariate, the largest held-out correlation first. ``lag`` is the number of steps
            before the unit's step at which the covariate correlates most on the first half of the steps, with
            ``chosen``; ``held_out`` is the correlation at that lag on the second half. ``control`` is the largest
            held-out correlation, in size, if the covariate is shifted by years (or by thirds of a series of less than
            three), each with the lag that is best for it; None for the calendar. A correlation is None if it is
            unknown: something is constant there, or there are fewer than 30 steps. ``loss`` is the relative change of
            the mean squared error if the unit is zeroed, on spans of 256 steps of the second half, and ``loss_error``
            its standard error over these; None for units that were not zeroed.
        shifts: the shifts of the controls, in steps.
        steps: the number of steps of the index.
        reason: why no unit was zeroed; empty if some were.
        cost: the row-steps that were run.
    """

    kind: ClassVar[str] = "follows"
    _saved = "follows=rows shifts steps reason residual cost"

    table: tuple[Row, ...]
    shifts: tuple[int, ...]
    steps: int
    reason: str
    cost: int

    def rows(self) -> Sequence[Row]:
        """Return one row per unit and covariate."""
        return list(self.table)

    def __str__(self) -> str:
        head = ["unit", "follows", "lag", "r chosen", "r held out", "control", "MSE if zeroed"]
        lines = [
            [
                str(row["unit"]),
                shortened(str(row["covariate"])),
                str(row["lag"]),
                *(_signed(row[name]) for name in ("chosen", "held_out", "control")),
                "" if row["loss"] is None else f"{row['loss']:+.1%} ± {row['loss_error']:.1%}",
            ]
            for row in self.table[:SHOWN]
        ]
        more = len(self.table) - len(lines)
        shifts = ", ".join(f"{shift:+,}" for shift in self.shifts)
        text = (
            f"Units and what they follow, over {self.steps:,} steps. The lag, in steps, was chosen on the first half, "
            "and r held out is from the second. The control is the largest r held out, in size, if the covariate is "
            f"shifted by {shifts} steps: an r that is not larger may be that of a season or a trend. A correlation is "
            "not an effect; "
        )
        text += self.reason or "the last column is the change of the mean squared error if the unit is zeroed."
        return f"{sentence(text)}\n\n{table(head, lines, 'll')}" + (f"\nand {more:,} more" if more > 0 else "")

    def _draw(self, axes: Any) -> None:
        """Draw held-out correlations and controls."""
        axes.figure.set_size_inches(4.5, 4.5)
        pairs = [[row["control"], row["held_out"]] for row in self.table if row["control"] is not None]
        control, held_out = np.abs(np.array(pairs, float).reshape(-1, 2)).T
        axes.scatter(control, held_out, s=8)
        axes.axline((0, 0), slope=1, color="0.7", linewidth=1)
        axes.set_xlabel("|r| of the shifted covariate (control)")
        axes.set_ylabel("|r| held out")


def _signed(r: Any) -> str:
    return "" if r is None else f"{r:+.2f}"


class SpanRun(NamedTuple):
    """Some steps of a series: what the layer reads, the state before, and the measured values, ``[T, A, K]``."""

    x: Tensor
    state: AnyState | None
    truth: Tensor


@types_of_the_weights()
def follows(index: IndexFolder, covariate: str | None, unit: str | None, zeroed: int) -> UnitCovariates:
    """Return the table of units and covariates; arguments and errors are those of `Index.follows`."""
    about, reader = index.about.get("covariates"), index.reader
    if about is None:
        raise ArgumentError("this is not an index of a series, so its units have labels: see Index.units")
    count = check_at_least("zeroed", zeroed, 0)
    chosen_unit = None if unit is None else index.resolve_unit(unit)
    if chosen_unit is not None:
        index.place(chosen_unit[0])
    names = (*about["columns"], *about["clocks"])
    wanted = [k for k, name in enumerate(names) if covariate in (None, name) or name.startswith(f"{covariate} (")]
    if not wanted:
        raise NameUnknownError(f"there is no covariate {covariate!r}: the index has {', '.join(names)}")
    path = index.folder / LAGGED
    sums, rows = read_sums(path), []
    for place, known in index.statistics.items():
        P = len(about["lags"]) * len(about["columns"]) * (1 + len(about["shifts"])) + len(about["clocks"])
        best = best_lags(correlations(path, sums, place, (known.units, P)), about)
        units = range(known.units)
        if chosen_unit is not None:
            units = range(chosen_unit[1], chosen_unit[1] + 1) if place == chosen_unit[0] else range(0)
        rows += [
            {
                "unit": f"{place}[{u}]",
                "covariate": names[k],
                "lag": int(best["lag"][u, k]),
                **{name: known_number(best[name][u, k]) for name in ("chosen", "held_out", "control")},
            }
            for u, k in product(units, wanted)
        ]
    rows.sort(key=lambda row: -abs(row["held_out"] or 0.0))
    top = [*dict.fromkeys(row["unit"] for row in rows if row["held_out"] is not None)][:count]
    losses, reason, cost = _losses(index, reader, top) if top else ({}, "no unit was zeroed.", 0)
    nothing = {"loss": None, "loss_error": None}
    complete = tuple({**row, **losses.get(row["unit"], nothing)} for row in rows)
    return UnitCovariates(complete, tuple(about["shifts"]), index.steps, reason, cost)


def best_lags(r: Floats, about: Any) -> dict[str, Floats]:
    """Return each unit's and covariate's best lag ``[U, K]``, its correlations on both halves, and the control."""
    lags, shifts = np.array(about["lags"]), about["shifts"]
    first = r.shape[2] - len(about["clocks"])  # of the calendar
    lagged, clock = r[..., :first], r[..., first:]
    lagged = lagged.reshape(2, r.shape[1], len(shifts) + 1, len(lags), len(about["columns"]))
    at = np.where(np.isnan(lagged[0]), -1.0, np.abs(lagged[0])).argmax(2)[:, :, None]  # [U, S, 1, K]
    chosen, held_out = (np.take_along_axis(half, at, 2)[:, :, 0] for half in lagged)
    held_out = np.where(np.isnan(chosen), np.nan, held_out)
    size = np.where(np.isnan(held_out[:, 1:]), -1.0, np.abs(held_out[:, 1:]))
    largest = (
        np.take_along_axis(held_out[:, 1:], size.argmax(1)[:, None], 1)[:, 0] if shifts else held_out[:, 0] * np.nan
    )
    nothing = np.full(clock[0].shape, np.nan)
    return {
        "lag": np.concatenate([lags[at[:, 0, 0]], np.zeros_like(nothing, int)], axis=1),
        "chosen": np.concatenate([chosen[:, 0], clock[0]], axis=1),
        "held_out": np.concatenate([held_out[:, 0], np.where(np.isnan(clock[0]), np.nan, clock[1])], axis=1),
        "control": np.concatenate([largest, nothing], axis=1),
    }


@torch.no_grad()
def _losses(
    index: IndexFolder, reader: CorpusReader, units: Sequence[str]
) -> tuple[dict[str, dict[str, float]], str, int]:
    """Return the change of the loss by unit, or the reason why it is not known; and the row-steps that were run."""
    config, targets = reader.model.config, reader.model.columns["targets"]
    lacking = [name for name in targets if name not in (index.columns or ())]
    if lacking:
        return {}, f"no unit was zeroed, because the frame has no column of the target {lacking[0]!r}.", 0
    if reader.lstm.bidirectional and not reader.window:
        return {}, "no unit was zeroed, because a layer that reads both ways can't be run in spans.", 0
    spans = _spans(index, max(4, min(SPANS, ROW_STEPS // (CHECKPOINT * (reader.window or 1)))))
    if not spans:
        return {}, "no unit was zeroed, because no span of the second half has the next steps of the target.", 0
    scale = stored_scale(config, "target_scale", targets)
    runs = [SpanRun(*index.span_input(span), _truth(index, span, targets, config)) for span in spans]
    before = _squared_errors(reader, runs, scale, None)
    losses = {}
    for unit in units:
        place, number = index.resolve_unit(unit)
        more = _squared_errors(reader, runs, scale, zero(place, unit=number)) - before
        error = more.std(ddof=1) / np.sqrt(len(more)) if len(more) > 1 else np.nan
        losses[unit] = {"loss": float(more.mean() / before.mean()), "loss_error": float(error / before.mean())}
    steps = sum(span.stop - span.start for span in spans) * (reader.window or 1)
    return losses, "", steps * (len(units) + 1)


def _spans(index: IndexFolder, most: int) -> list[Context]:
    """Return random spans of the second half of the steps whose initial states are known."""
    spans, drawn = [], []
    half, ahead = index.about["covariates"]["half"], index.reader.model.config["horizon"]
    for shard in index.shards:
        starts = index.text(shard).starts
        for sequence, (_, first) in enumerate(index.parts(shard).tolist()):
            length = int(starts[sequence + 1] - starts[sequence]) - ahead
            begin = -(-max(half - first, 0) // CHECKPOINT) * CHECKPOINT
            for start in range(begin, length, CHECKPOINT):
                spans.append(Context(shard, sequence, start, min(start + CHECKPOINT, length)))
                drawn.append(context_key(shard, sequence, start // CHECKPOINT))
    order = np.argsort(scramble(np.array(drawn, np.int64)), kind="stable")[:most]
    return [spans[k] for k in sorted(order.tolist())]


def _truth(index: IndexFolder, span: Context, targets: Sequence[str], config: Any) -> Tensor:
    """Return the measured values at the steps that are forecast, ``[T, A, K]``."""
    first = int(index.text(span.shard).starts[span.sequence])
    horizon = config["horizon"]
    ahead = np.arange(1 if config["steps"] else horizon, horizon + 1)
    steps = first + np.arange(span.start, span.stop)[:, None] + ahead
    columns = [index.step_values(span.shard, name)[steps] for name in targets]
    return torch.from_numpy(np.stack(columns, axis=-1))


def _squared_errors(reader: CorpusReader, runs: Sequence[SpanRun], scale: Scale, edit: Edit | None) -> Floats:
    """Return the mean squared error of the forecasts of each span, as the module scales its targets, with an edit."""
    lstm, errors = eval_twin(reader.lstm), []
    with nullcontext() if edit is None else lstm.edit(edit):
        for x, state, truth in runs:
            out = lstm(x, state)[0]
            forecasts = reader.model.forecasts_of(out[-1] if reader.window else out[:, 0])
            forecasts = forecasts.movedim(0, 1) if reader.model.shape.horizon else forecasts[:, None]
            error = (forecasts.double() - scale.scaled(truth)) ** 2
            errors.append(float(error[~error.isnan()].mean()))
    return np.array(errors)
