"""Runs a file in onnxruntime, and compares its outputs with the expected ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hiddenstate.base.validation import optional_package
from hiddenstate.errors import ExportError

INFINITE = float("inf")
ERRORS_ONLY = 4  # onnxruntime's log level for fatal errors; other errors are raised anyway


@dataclass(frozen=True, eq=False)
class Run:
    """A model's inputs by name, its expected outputs in order, and a description of the run."""

    inputs: Mapping[str, Tensor]
    outputs: list[Tensor]
    what: str


def runtime() -> Any:
    """Import onnxruntime; raise MissingDependencyError if it is not installed."""
    return optional_package("onnxruntime", "onnx", "checking an ONNX file (leave it out with check=False)")


def check_file(path: Path, runs: Iterable[Run], tolerance: float) -> None:
    """Run a file, and reject it if an output differs by more than ``tolerance`` times the largest value.

    Raises:
        ExportError: an output differs (the message names it, the difference and the inputs), or onnxruntime fails.
    """
    session = _session(path)
    declared = session.get_outputs()
    for run in runs:
        got = _outputs(session, run)
        if len(got) != len(run.outputs):
            names = ", ".join(output.name for output in declared)
            raise ExportError(f"the file has {len(got)} outputs, {names}, expected {len(run.outputs)}")
        for output, a, b in zip(declared, got, run.outputs, strict=True):
            what = f"{output.name} of the file on {run.what}"
            _compare(a, b.detach().cpu(), tolerance, what)
            _compare_shape(output.shape, a, what)


def _session(path: Path) -> Any:
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base class
        raise ExportError(f"onnxruntime can't load the file: {error}") from error


def _outputs(session: Any, run: Run) -> list[Tensor]:
    feeds = {name: value.detach().cpu().numpy() for name, value in run.inputs.items()}
    try:
        return [torch.as_tensor(value) for value in session.run(None, feeds)]
    except Exception as error:
        raise ExportError(f"onnxruntime can't run the file on {run.what}: {error}") from error


def _compare(got: Tensor, want: Tensor, tolerance: float, what: str) -> None:
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
