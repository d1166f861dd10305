"""The calls that check a file: inputs of several sizes, with the module's own outputs."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hiddenstate.errors import ExportError
from hiddenstate.interop.onnx.check import Run
from hiddenstate.interop.onnx.program import Given
from hiddenstate.interop.onnx.signature import Signature, Value

SIZES = ((1, 1), (5, 3), (12, 4))  # time steps and rows of a layer's calls
GROWTH = (0, 1, 2)  # growth of a model's dynamic sizes: as given, larger, and larger again


def runs_of_lstm(lstm: nn.Module, signature: Signature, like: Tensor) -> Iterator[Run]:
    """Yield calls on random inputs with the type and device of ``like``, and the layer's outputs."""
    generator = torch.Generator().manual_seed(0)
    for T, N in SIZES:
        sizes = {signature.T: T, signature.N: N}
        given = {value.name: _random(value, sizes, T, generator).to(like.device) for value in signature.inputs()}
        given = {name: value.to(like.dtype) if value.is_floating_point() else value for name, value in given.items()}
        yield Run(given, _of_lstm(lstm, signature, given), f"{T} time steps of {N} rows")


def _random(value: Value, sizes: Mapping[int | str, int], T: int, generator: torch.Generator) -> Tensor:
    """Draw random numbers or lengths; with several rows, the first is full and the last is empty."""
    shape = [int(sizes.get(dim, dim)) for dim in value.shape]
    if not value.whole:
        return torch.randn(shape, generator=generator)
    lengths = torch.randint(T + 1, shape, generator=generator)
    lengths[-1], lengths[0] = 0, T
    return lengths


@torch.no_grad()
def _of_lstm(lstm: nn.Module, signature: Signature, given: Mapping[str, Tensor]) -> list[Tensor]:
    """Return the layer's outputs, in the order of the signature."""
    kind = signature.sizes.kind
    state = kind.as_given([given[name] for name in signature.initial]) if signature.states else None
    x, time = given["x"], 0
    if signature.form == "step":
        time = 1 if signature.batch_first else 0
        x = x.unsqueeze(time)
    out, final = lstm(x, state, lengths=given.get("lengths"))
    outputs = [out.squeeze(time) if signature.form == "step" else out]
    return [*outputs, *kind.parts_of(final)] if signature.states else outputs


class _Axes(NamedTuple):
    """The dynamic axes of a model's inputs: for each input, their names by index; and their sizes."""

    of_inputs: list[dict[int, str]]
    sizes: dict[str, int]

    def drawn(self, growth: int, generator: torch.Generator, only: str | None = None) -> dict[str, Tensor]:
        """Draw random indices along each axis, or ``only`` one: as many as its size, plus the growth."""
        return {
            axis: torch.randint(size, (size + growth * (3 + k),), generator=generator)
            if growth and only in (None, axis)
            else torch.arange(size)
            for k, (axis, size) in enumerate(self.sizes.items())
        }

    def are_free(self) -> bool:
        """Whether no axis is computed from another (2*T), which only its name shows."""
        return all(axis.isidentifier() for axis in self.sizes)


class FixedAxis(NamedTuple):
    """An axis of an input that the module accepts only with the example's size, and the module's error."""

    name: str  # of the input
    tensor: Tensor
    dim: int
    reason: str


def fixed_axes(module: nn.Module, given: Given, model: Any) -> list[FixedAxis]:
    """Return the axes that a model declares dynamic although the module itself fails on other sizes.

    Exporting does not show these, because the module's own checks of sizes are left out of an ONNX graph.
    """
    tensors, inputs = given.tensors(), model.graph.input
    if len(tensors) != len(inputs):  # the check of the file reports this
        return []
    axes, generator = _axes(inputs, tensors), torch.Generator().manual_seed(0)
    if not axes.are_free():
        return []
    reasons: dict[str, str] = {}
    for axis in axes.sizes:
        drawn = axes.drawn(1, generator, only=axis)
        values = [_taken(value, of, drawn) for value, of in zip(tensors, axes.of_inputs, strict=True)]
        try:
            _of_model(module, given, values, axis)
        except ExportError as error:
            reasons[axis] = str(error.__cause__)
    return [
        FixedAxis(value.name, tensor, k, reasons[axis])
        for value, tensor, of in zip(inputs, tensors, axes.of_inputs, strict=True)
        for k, axis in of.items()
        if axis in reasons
    ]


def runs_of_model(module: nn.Module, given: Given, model: Any) -> Iterator[Run]:
    """Yield the example call, and two larger ones if the model has dynamic sizes, with the module's outputs.

    The larger ones resample the example's values along the dynamic axes: values that belong together, such as a row
    and its length, stay together.

    Raises:
        ExportError: the module fails on sizes that the model declares dynamic.
    """
    tensors, inputs = given.tensors(), model.graph.input
    if len(tensors) != len(inputs):
        raise ExportError(
            f"the model has {len(inputs)} inputs, but {len(tensors)} tensors were given, so it can't be checked: pass "
            "check=False"
        )
    axes, generator = _axes(inputs, tensors), torch.Generator().manual_seed(0)
    for growth in GROWTH if axes.sizes and axes.are_free() else GROWTH[:1]:
        drawn = axes.drawn(growth, generator)
        values = [_taken(value, of, drawn) for value, of in zip(tensors, axes.of_inputs, strict=True)]
        what = "inputs with " + (
            ", ".join(f"{axis} = {len(places)}" for axis, places in drawn.items()) or "fixed sizes"
        )
        names = [value.name for value in inputs]
        yield Run(dict(zip(names, values, strict=True)), _of_model(module, given, values, what), what)


def _axes(inputs: Any, tensors: list[Tensor]) -> _Axes:
    of_inputs = [
        {k: dim.dim_param for k, dim in enumerate(value.type.tensor_type.shape.dim) if dim.dim_param}
        for value in inputs
    ]
    sizes = {axis: t.shape[k] for t, axes in zip(tensors, of_inputs, strict=True) for k, axis in axes.items()}
    return _Axes(of_inputs, sizes)


def _taken(value: Tensor, axes: Mapping[int, str], drawn: Mapping[str, Tensor]) -> Tensor:
    for k, axis in axes.items():
        value = value.index_select(k, drawn[axis].to(value.device))
    return value


@torch.no_grad()
def _of_model(module: nn.Module, given: Given, tensors: list[Tensor], what: str) -> list[Tensor]:
    try:
        return given.call(module, tensors)
    except Exception as error:
        raise ExportError(
            f"the module itself fails on {what}, which the exported model accepts: {error}. Make fewer sizes dynamic "
            "with dynamic_shapes=, or pass check=False"
        ) from error
