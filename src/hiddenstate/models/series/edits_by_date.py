"""Edits whose steps are dates of a series."""

from dataclasses import replace

from torch import Tensor

from hiddenstate.base.indexing import DatedSteps
from hiddenstate.edits.edit import Edit
from hiddenstate.edits.resolve import check_is_edit
from hiddenstate.errors import ArgumentError
from hiddenstate.models.series.frames import SeriesInput


def with_steps(edit: Edit, series: SeriesInput) -> Edit:
    """Return an edit whose dates are the steps of a series, still marked as such."""
    check_is_edit(edit)
    if not isinstance(edit.t, DatedSteps):
        return edit
    if series.timeline is None:
        raise ArgumentError(f"t={edit.t.value!r} is a date, but the series has none: give the number of the step")
    return replace(edit, t=DatedSteps(tuple(series.timeline.steps_of(edit.t.value))))


def shifted(edit: Edit, begin: int, T: int) -> Edit | None:
    """Return an edit with the steps of its dates in a run that begins at a step; None if they are not in it."""
    if not isinstance(edit.t, DatedSteps):
        return edit
    steps = tuple(step - begin for step in edit.t.value if 0 <= step - begin < T)
    if steps and len(steps) < len(edit.t.value) and isinstance(edit.value, Tensor) and edit.value.dim() == 3:
        raise ArgumentError(
            f"the edit of {edit.place!r} has a value for each of {len(edit.t.value)} dates, which are not all in one "
            "window: give one edit for each date"
        )
    return replace(edit, t=steps) if steps else None


def text_of(edit: Edit) -> str:
    """Describe an edit as `what_if` prints it."""
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
