"""Runs a file in onnxruntime on inputs of several sizes, and compares its outputs with the module's own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from hiddenstate.base.validation import optional_package
from hiddenstate.errors import ExportError
from hiddenstate.interop.onnx.lstm import ModelValue, Signature

INFINITE = float("inf")
ERRORS_ONLY = 4  # onnxruntime's log level for fatal errors; other errors are raised anyway
SIZES = ((1, 1), (5, 3), (12, 4))  # time steps and rows of a layer's calls
GROWTH = (0, 1, 2)  # growth of a model's dynamic sizes: as given, larger, and larger again


class ExampleCall(NamedTuple):
    """The arguments of the module's example call, and of the exporter."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    dynamic_shapes: Any
    input_names: Sequence[str] | None
    output_names: Sequence[str] | None

    def tensors(self) -> list[Tensor]:
        """The arguments that become the model's inputs, in its order."""
        return [leaf for leaf in pytree.tree_leaves((self.args, dict(self.kwargs))) if isinstance(leaf, Tensor)]

    def call(self, module: nn.Module, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Call the module with other tensors instead of the example's, and return the model's outputs."""
        leaves, form = pytree.tree_flatten((self.args, dict(self.kwargs)))
        left = iter(tensors)
        filled = [next(left) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        args, kwargs = pytree.tree_unflatten(filled, form)
        return [leaf for leaf in pytree.tree_leaves(module(*args, **kwargs)) if isinstance(leaf, Tensor)]


@dataclass(frozen=True, eq=False)
class CheckedRun:
    """A model's inputs by name, its expected outputs in order, and a description of the run."""

    inputs: Mapping[str, Tensor]
    outputs: list[Tensor]
    what: str


def result_names(spec: pytree.TreeSpec) -> list[str]:
    """Return the names of a model's results: ``out``, or for several ``out.0`` or by the names of a dict."""
    leaves = pytree.tree_leaves_with_path(pytree.tree_unflatten([0] * spec.num_leaves, spec))
    return [".".join(["out", *map(_key_of, path)]) for path, _ in leaves]


def _key_of(part: Any) -> str:
    """Return a key of a dict, an index or a field's name."""
    return str(next(getattr(part, name) for name in ("key", "idx", "name") if hasattr(part, name)))


def runtime() -> Any:
    """Import onnxruntime; raise MissingDependencyError if it is not installed."""
    return optional_package("onnxruntime", "onnx", "checking an ONNX file (leave it out with check=False)")


def check_file(path: Path, runs: Iterable[CheckedRun], tolerance: float) -> None:
    """Run a file, and reject it if an output differs by more than ``tolerance`` times the largest value."""
    session = session_of(path)
    declared = session.get_outputs()
    for run in runs:
        got = outputs_of(session, run.inputs, run.what)
        if len(got) != len(run.outputs):
            names = ", ".join(output.name for output in declared)
            raise ExportError(f"the file has {len(got)} outputs, {names}, expected {len(run.outputs)}")
        for output, a, b in zip(declared, got, run.outputs, strict=True):
            what = f"{output.name} of the file on {run.what}"
            compare(a, b.detach().cpu(), tolerance, what)
            _compare_shape(output.shape, a, what)


def session_of(path: Path) -> Any:
    """Load a file."""
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base class
        raise ExportError(f"onnxruntime can't load the file: {error}") from error


def outputs_of(session: Any, inputs: Mapping[str, Tensor], what: str) -> list[Tensor]:
    """Run a file."""
    feeds = {name: value.detach().cpu().numpy() for name, value in inputs.items()}
    try:
        return [torch.as_tensor(value) for value in session.run(None, feeds)]
    except Exception as error:
        raise ExportError(f"onnxruntime can't run the file on {what}: {error}") from error


def compare(got: Tensor, want: Tensor, tolerance: float, what: str) -> None:
    """Reject an output that differs by more than ``tolerance`` times the largest value."""
    if got.shape != want.shape or got.dtype != want.dtype:
        raise ExportError(
            f"{what} is {got.dtype} {list(got.shape)}, expected {want.dtype} {list(want.shape)}. Nothing was written"
        )
    gap, size = _gap(got, want)
    if gap > tolerance * size:
        raise ExportError(
            f"{what} differs by {gap:.3g}, with values up to {size:.3g}: more than the tolerance, {tolerance:g} times "
            "the largest value. "
            "Nothing was written"
        )


def _compare_shape(declared: Sequence[int | str | None], got: Tensor, what: str) -> None:
    """Reject a file whose output does not have the declared sizes; named sizes may have any value."""
    fits = len(declared) == got.dim() and all(
        size == have for size, have in zip(declared, got.shape, strict=True) if isinstance(size, int)
    )
    if not fits:
        raise ExportError(f"{what} is {list(got.shape)}, but the file declares {list(declared)}. Nothing was written")


def _gap(got: Tensor, want: Tensor) -> tuple[float, float]:
    """Return the largest difference and the largest value (at least 1). Values that are not finite must be equal."""
    if not want.numel():
        return 0.0, 1.0
    a, b = got.double(), want.double()
    same = (a == b) | (a.isnan() & b.isnan())
    difference = (a - b).abs().masked_fill(same, 0).nan_to_num(nan=INFINITE, posinf=INFINITE)
    return float(difference.max()), max(1.0, float(b.abs().nan_to_num(0, 0).max()))


def runs_of_lstm(lstm: nn.Module, signature: Signature, like: Tensor) -> Iterator[CheckedRun]:
    """Yield calls on random inputs with the type and device of ``like``, and the layer's outputs."""
    generator = torch.Generator().manual_seed(0)
    for T, N in SIZES:
        sizes = {signature.T: T, signature.N: N}
        inputs = {value.name: _random(value, sizes, T, generator).to(like.device) for value in signature.inputs()}
        inputs = {name: value.to(like.dtype) if value.is_floating_point() else value for name, value in inputs.items()}
        yield CheckedRun(inputs, _of_lstm(lstm, signature, inputs), f"{T} time steps of {N} rows")


def _random(value: ModelValue, sizes: Mapping[int | str, int], T: int, generator: torch.Generator) -> Tensor:
    """Draw random numbers or lengths; with several rows, the first is full and the last is empty."""
    shape = [int(sizes.get(dim, dim)) for dim in value.shape]
    if not value.whole:
        return torch.randn(shape, generator=generator)
    lengths = torch.randint(T + 1, shape, generator=generator)
    lengths[-1], lengths[0] = 0, T
    return lengths


@torch.no_grad()
def _of_lstm(lstm: nn.Module, signature: Signature, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """Return the layer's outputs, in the order of the signature."""
    kind = signature.sizes.kind
    state = kind.as_given([inputs[name] for name in signature.initial]) if signature.states else None
    x, time = inputs["x"], 0
    if signature.form == "step":
        time = 1 if signature.batch_first else 0
        x = x.unsqueeze(time)
    out, final = lstm(x, state, lengths=inputs.get("lengths"))
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


def fixed_axes(module: nn.Module, example: ExampleCall, model: Any) -> list[FixedAxis]:
    """Return the declared-dynamic axes on which the module itself fails: an ONNX graph lacks its checks."""
    tensors, inputs = example.tensors(), model.graph.input
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
            _of_model(module, example, values, axis)
        except ExportError as error:
            reasons[axis] = str(error.__cause__)
    return [
        FixedAxis(value.name, tensor, k, reasons[axis])
        for value, tensor, of in zip(inputs, tensors, axes.of_inputs, strict=True)
        for k, axis in of.items()
        if axis in reasons
    ]


def runs_of_model(module: nn.Module, example: ExampleCall, model: Any) -> Iterator[CheckedRun]:
    """Yield the example, and two larger calls for dynamic sizes that keep rows whole, with the outputs."""
    tensors, inputs = example.tensors(), model.graph.input
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
        yield CheckedRun(dict(zip(names, values, strict=True)), _of_model(module, example, values, what), what)


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
def _of_model(module: nn.Module, example: ExampleCall, tensors: list[Tensor], what: str) -> list[Tensor]:
    try:
        return example.call(module, tensors)
    except Exception as error:
        raise ExportError(
            f"the module itself fails on {what}, which the exported model accepts: {error}. Make fewer sizes dynamic "
            "with dynamic_shapes=, or pass check=False"
        ) from error
