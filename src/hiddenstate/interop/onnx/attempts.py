"""Chooses the form of a model to export: with converted layers and dynamic batch and time, as far as possible."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from hiddenstate.errors import ArgumentError, ExportError
from hiddenstate.interop.onnx.program import Given
from hiddenstate.interop.torch.conversion import conversion_report, convert

TORCH_LAYERS = (nn.LSTM, nn.GRU, nn.RNN)
OPEN_AXES = 2  # batch and time, in either order


class Attempt(NamedTuple):
    """A module to export, and the example call."""

    module: nn.Module
    given: Given


def write_first(module: nn.Module, given: Given, write: Callable[[Attempt], Any]) -> None:
    """Write the best form of a model that can be exported.

    The first attempt converts its LSTMs, GRUs and RNNs, and makes batch and time dynamic unless ``given`` specifies
    sizes. If that fails, the model is exported unchanged, with only the dynamic sizes that ``given`` names.

    Args:
        module: the model.
        given: the example call.
        write: exports and writes an attempt; returns the ``onnx.ModelProto``.

    Raises:
        ExportError, ArgumentError: no form can be exported; the message gives the reason for the first one.
    """
    converted, left = _converted(module)
    shapes = given.dynamic_shapes if given.dynamic_shapes is not None else _open_shapes(module, given)
    best, plain = Attempt(converted, given._replace(dynamic_shapes=shapes)), Attempt(module, given)
    try:
        _warn_of_ones(write(best), given)
    except (ExportError, ArgumentError) as error:
        reason = type(error)(f"{str(error).rstrip('.')}. {left}" if left else str(error))
        if converted is module and shapes is given.dynamic_shapes:
            raise reason from error.__cause__
        _write_plain(plain, write, reason)


def _write_plain(plain: Attempt, write: Callable[[Attempt], Any], reason: Exception) -> None:
    """Export the model unchanged, or raise the reason why its better form failed."""
    try:
        write(plain)
    except (ExportError, ArgumentError):
        raise reason from None
    if plain.given.dynamic_shapes is None:
        warnings.warn(f"the file takes only inputs of the example's sizes, since others fail: {reason}", stacklevel=4)


def _converted(module: nn.Module) -> tuple[nn.Module, str]:
    """Return a copy with converted layers and a sentence about the others; the module itself if there are none."""
    theirs = [path for path, part in module.named_modules() if isinstance(part, TORCH_LAYERS)]
    if not theirs:
        return module, ""
    try:
        made = convert(module)
    except ArgumentError as error:  # the module can't be copied
        return module, _hint(f"{', '.join(map(repr, theirs))}: {error}")
    left = conversion_report(made).left
    return made, _hint("; ".join(f"{one.paths[0]!r}: {one.reason}" for one in left)) if left else ""


def _hint(reasons: str) -> str:
    return (
        "torch's own layers are exported for the example's sizes only: convert them with hs.convert(model), which "
        f"could not be done here ({reasons})"
    )


def _open_shapes(module: nn.Module, given: Given) -> Mapping[str, Any] | None:
    """Make the first axes of every tensor dynamic, as far as the model allows."""
    try:
        arguments = inspect.signature(module.forward).bind(*given.args, **given.kwargs).arguments
    except (TypeError, ValueError):  # the arguments do not match the module's signature; torch reports that itself
        return None
    shapes: Mapping[str, Any] = pytree.tree_map(_open_axes, dict(arguments))
    return shapes


def _open_axes(leaf: object) -> dict[int, Any] | None:
    return dict.fromkeys(range(min(leaf.dim(), OPEN_AXES)), torch.export.Dim.AUTO) if isinstance(leaf, Tensor) else None


def _warn_of_ones(model: Any, given: Given) -> None:
    """Warn about axes that stay fixed because the example's size is 1, which torch.export treats as a constant.

    Only the first input is checked: in others, such as states, an axis of size 1 is often neither batch nor time.
    """
    if given.dynamic_shapes is not None or not model.graph.input:
        return
    first = model.graph.input[0]
    ones = [str(k) for k, dim in enumerate(first.type.tensor_type.shape.dim[:OPEN_AXES]) if dim.dim_value == 1]
    if ones:
        warnings.warn(
            f"the file takes only size 1 on axis {' and '.join(ones)} of {first.name!r}, since the example has size 1 "
            "there: give an example of at least 2 in args= to leave it open",
            stacklevel=4,
        )
