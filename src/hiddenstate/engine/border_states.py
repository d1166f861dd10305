"""Converts the states that rows are reset to (``reset_to=``) to their canonical form.

Three forms are accepted: one state for all borders, one for each row, or one for each step of each row. The canonical
form is a view, copied only if batch and time must be transposed, and torch differentiates it.
"""

from typing import Any

from torch import Tensor

from hiddenstate.base.validation import check_state, check_tensor
from hiddenstate.errors import ArgumentError, RankError, ShapeError
from hiddenstate.structure.axis_order import Layout, to_time_first
from hiddenstate.structure.sizes import Sizes

_AXES = {"TN": ("L*D", "L*D, N", "T, N, L*D"), "NT": ("L*D", "L*D, N", "N, T, L*D"), "T": ("L*D", "T, L*D")}


def take(
    reset_to: Any, reset: Tensor | None, layout: Layout, shape: tuple[int, int], sizes: Sizes, like: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Check ``reset_to`` against an input of ``shape`` (T, N) and convert it to the form of `Call.reset_h`.

    The second state is None if the cell has no cell state.

    Raises:
        ArgumentError: ``reset`` is missing.
        ArgumentTypeError, RankError, ShapeError, DtypeError, DeviceError: a state does not fit.
    """
    if reset_to is None:
        return None, None
    if reset is None:
        raise ArgumentError("reset_to= gives the states at borders, and reset= where the borders are: give both")
    names = sizes.kind.carried
    given = check_state(reset_to, "reset_to", len(names))
    said = [f"{name} of reset_to" if len(names) > 1 else "reset_to" for name in names]
    h, *more = (check_tensor(value, name, like) for name, value in zip(said, given, strict=True))
    c = more[0] if more else None
    if c is not None and h.dim() != c.dim():
        raise RankError(f"h of reset_to is {h.dim()}-D and c is {c.dim()}-D: give both in the same form")
    axes = {
        "T": shape[0],
        "N": shape[1],
        "L*D": len(sizes.layer_directions),
        "P": sizes.output_size,
        "H": sizes.hidden_size,
    }
    unit = "P" if more else "H"
    return _in_form(h, said[0], unit, layout, axes), None if c is None else _in_form(c, said[1], "H", layout, axes)


def _in_form(value: Tensor, name: str, unit: str, layout: Layout, sizes: dict[str, int]) -> Tensor:
    forms = {axes.count(",") + 2: axes for axes in _AXES[layout]}
    axes = forms.get(value.dim())
    if axes is None:
        known = " or ".join(f"[{form}, {unit}]" for form in _AXES[layout])
        raise RankError(f"{name} is {value.dim()}-D, expected {known}")
    want = tuple(sizes[axis] for axis in [*axes.split(", "), unit])
    if value.shape != want:
        raise ShapeError(f"{name} has shape {list(value.shape)}, expected [{axes}, {unit}] = {list(want)}")
    if axes == "L*D":
        return value.unsqueeze(1).expand(-1, sizes["N"], -1)
    if axes == "L*D, N":
        return value
    return to_time_first(value, layout).flatten(0, 1).transpose(0, 1)
