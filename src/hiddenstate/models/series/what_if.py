"""`hs.what_if`: the forecasts of a series model without and with edits of its layers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from hiddenstate.base.indexing import DatedSteps
from hiddenstate.base.validation import optional_package
from hiddenstate.edits.edit import Edit
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.models.series.forecasts import SeriesReading, plot_readings
from hiddenstate.models.series.series_model import SeriesModel
from hiddenstate.tracing.traceable import torchs_layers_recordable

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class WhatIf:
    """Forecasts without and with edits. Created by `hiddenstate.what_if`; ``print`` it to see what changes most.

    Attributes:
        before: the reading without the edits.
        after: the reading with them.
        edits: the edits, as text.
    """

    before: SeriesReading
    after: SeriesReading
    edits: tuple[str, ...]

    @property
    def difference(self) -> Tensor:
        """What the edits change, in units, ``[O, A, R, K]``."""
        return self.after.values - self.before.values

    @property
    def forecasts(self) -> pandas.DataFrame:
        """A frame like `SeriesReading.forecasts`, with the columns before, after and difference for each target."""
        package = optional_package("pandas", "frames", "a frame of forecasts")
        before, after = self.before.forecasts, self.after.forecasts
        parts = {"before": before, "after": after, "difference": after - before}
        frame: pandas.DataFrame = package.concat(parts, axis=1).swaplevel(axis=1)
        return frame[list(self.before.targets)]

    def plot(
        self, path: str | Path | None = None, *, target: str | None = None, row: str | int = 0, last: int = 365
    ) -> Figure:
        """Draw the forecasts before and after, and the measured values, as `SeriesReading.plot` does."""
        readings = {"before": self.before, "after": self.after}
        return plot_readings(readings, path, target=target, row=row, last=last)

    def __str__(self) -> str:
        text = [f"{', '.join(self.edits)}: what changes of {self.before.module}'s forecasts"]
        for k, target in enumerate(self.before.targets):
            change = self.difference[..., k]
            unit = f" {self.before.units[target]}" if target in self.before.units else ""
            largest = change.abs().max()
            if not largest:
                text.append(f"  {target}: nothing")
                continue
            o, a, n = (int(place) for place in (change.abs() == largest).nonzero()[0])
            step = self.before.step_name(self.before.origins[o] + self.before.ahead[a])
            row = f" of row {self.before.series.rows[n]!r}" if len(self.before.series.rows) > 1 else ""
            values = (float(part.values[o, a, n, k]) for part in (self.before, self.after))
            count = int((change != 0).sum())
            text.append(
                f"  {target}: {count:,} of {change.numel():,} forecasts; most at {step}{row}, "
                f"from {' to '.join(f'{value:.4g}' for value in values)}{unit} ({float(change[o, a, n]):+.4g}{unit}); "
                f"root mean square {float(change.square().mean().sqrt()):.3g}{unit}"
            )
        return "\n".join(text)

    __repr__ = __str__


def what_if(model: SeriesModel, frame: Any, *edits: Edit, every: int = 1, **options: Any) -> WhatIf:
    """Compare a model's forecasts for a frame without and with edits of its layers.

    Args:
        model: a series model.
        frame: as for `SeriesModel.read`.
        edits: made by `hiddenstate.zero`, `set` and the others, with the path of the layer before the place if there
            are several. Their steps ``t`` may be dates of the series: ``"2015-01-01"``, ``"2015-01"`` for all of a
            month, or ``slice("2015-01-01", "2015-01-07")``, including its last day; numbers are steps of the layer's
            call. With ``call=2``, an edit applies only to the third call of a layer, such as a decoder's.
        every: the number of steps from one forecast to the next.
        options: the options of `SeriesModel.prepare`: ``dates``, ``rows``, ``gaps``, ``missing``.

    Raises:
        ArgumentTypeError: the model is not a series model, or an edit is not an `Edit`.
        ArgumentError: there is no edit, or one is at a date, but the series has none.
        IndexRangeError: an edit is at a date that the series does not have.
        NameUnknownError: the module has no such layer or place.
        HiddenStateError: the frame can't be read, as for `SeriesModel.read`.

    >>> import hiddenstate as hs
    >>> model = hs.series_model(hs.LSTM(1, 1), ["flow"], "flow")
    >>> series = {"flow": [1.0, 2.0, 3.0]}
    >>> days = ["2015-01-01", "2015-01-02", "2015-01-03"]
    >>> closed = hs.what_if(model, series, hs.zero("l0.o", t="2015-01-02"), dates=days)
    >>> [float(abs(change)) > 0 for change in closed.difference.flatten()]
    [False, True, True]
    """
    if not isinstance(model, SeriesModel):
        raise ArgumentTypeError(
            f"what_if takes a series model, made by hs.series_model, got {type(model).__name__}: edit other models "
            "with hs.edit(model, edit)"
        )
    if not edits:
        raise ArgumentError("what_if needs at least one edit, such as hs.zero('l0.f', t='2015-01-01')")
    series = model.prepare(frame, **options)
    with torchs_layers_recordable():  # both on the engine and in the same batches, so that their rounding is the same
        before, after = (model._reading(series, every, which, windows_apart=True) for which in ((), edits))
    return WhatIf(before, after, tuple(map(_text_of, edits)))


def _text_of(edit: Edit) -> str:
    """Describe an edit."""
    value = "a tensor" if isinstance(edit.value, Tensor) else f"{edit.value:g}"
    does = {
        "set": f"set to {value}",
        "scale": f"times {value}",
        "add": f"plus {value}",
        "clamp": f"within {value} and {edit.upper}",
    }
    when = edit.t.value if isinstance(edit.t, DatedSteps) else edit.t
    if isinstance(when, slice):
        when = " to ".join(_text_of_date(end) for end in (when.start, when.stop) if end is not None)
    elif isinstance(edit.t, DatedSteps):
        when = _text_of_date(when)
    parts = [f"{edit.place}{'' if edit.unit is None else f'[{edit.unit}]'} {does[edit.kind]}"]
    parts += [f"at {when}"] if when is not None else []
    parts += [f"in row {edit.row}"] if edit.row is not None else []
    return " ".join([*parts, *([f"in call {edit.call}"] if edit.call is not None else [])])


def _text_of_date(when: object) -> str:
    return str(when).removesuffix(" 00:00:00")
