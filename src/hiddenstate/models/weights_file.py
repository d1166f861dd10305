"""Weights in a safetensors file, fully checked; int8 rows are integers times the scales ``NAME.scale``."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from hiddenstate.base.reading import check_safetensors, reading
from hiddenstate.engine.weights import quantise
from hiddenstate.errors import ArgumentError, FileFormatError

_FLOATS = {"float16": torch.float16, "float32": torch.float32}


def as_stored(weights: Mapping[str, Tensor], dtype: str) -> dict[str, Tensor]:
    """Return weights as a file stores them, as ``float16``, ``float32`` or ``int8``."""
    tensors: dict[str, Tensor] = {}
    for name, value in weights.items():
        if dtype == "int8" and value.ndim > 1:
            tensors[name], tensors[scale_name(name)] = quantised(_finite(name, value, "float32"))
        else:
            tensors[name] = _finite(name, value, "float32" if dtype == "int8" else dtype)
    return tensors


def written(weights: Mapping[str, Tensor], dtype: str) -> bytes:
    """Return the bytes of a file that holds these weights."""
    return safetensors.torch.save(as_stored(weights, dtype))


def _finite(name: str, value: Tensor, dtype: str) -> Tensor:
    stored = value.detach().to("cpu", _FLOATS[dtype]).contiguous()
    if not torch.isfinite(stored).all():
        raise ArgumentError(
            f"weight {name!r} cannot be stored as {dtype}: it has values up to {float(value.abs().max()):.3g}; in "
            "training lower the learning rate, or set weights_dtype=float32 if they are intended"
        )
    return stored


def scale_name(name: str) -> str:
    """Return the name of a matrix's scales.

    >>> scale_name("head.weight")
    'head.weight.scale'
    """
    return name + ".scale"


def quantised(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row of a finite float32 matrix to int8 integers times a float32 scale, as `LSTM.quantize` does.

    A row of zeros (or of numbers below 1.5e-36) has scale 1. Quantising the result of `restored` gives the same again.

    >>> whole, scale = quantised(torch.tensor([[0.5, -1.0, 0.25]]))
    >>> whole.tolist()
    [[64, -127, 32]]
    """
    whole, scale = quantise(matrix.flatten(1), "the matrix")
    # A subnormal float32 scale has too few digits to reproduce the same integers.
    lost = scale < torch.finfo(torch.float32).tiny
    whole, scale = whole.masked_fill(lost[:, None], 0), scale.masked_fill(lost, 1.0)
    return whole.reshape(matrix.shape), scale


def restored(whole: Tensor, scale: Tensor) -> Tensor:
    """Return the float32 matrix: each integer times the scale of its row."""
    return whole.float() * scale.reshape(-1, *[1] * (whole.ndim - 1))


class WeightsFile:
    """A file of weights from an untrusted source; everything is checked before use, the shapes first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            self.shapes = {name: tuple(part.get_shape()) for name, part in parts.items()}
            self._whole = {name for name, part in parts.items() if part.get_dtype() == "I8"}

    def read(self, expected: Mapping[str, Tensor], described_by: str) -> dict[str, Tensor]:
        """Return the weights, in the precision of the expected ones."""
        self._check_shapes(expected, described_by)
        with self._opened() as file:
            return {name: self._weight(file, name).to(value.dtype) for name, value in expected.items()}

    def _check_shapes(self, expected: Mapping[str, Tensor], described_by: str) -> None:
        """Reject names and shapes other than those of the expected weights and their scales."""
        wanted = {name: tuple(value.shape) for name, value in expected.items()}
        scales = {
            scale_name(name): shape[:1] for name, shape in wanted.items() if name in self._whole and len(shape) > 1
        }
        wanted |= {name: shape for name, shape in scales.items() if name not in wanted}
        differing = sorted(self.shapes.keys() ^ wanted.keys())
        if differing:
            what = "missing" if differing[0] in wanted else "not expected"
            raise FileFormatError(f"{self.path} does not fit {described_by}: weight {differing[0]!r} is {what}")
        for name, shape in wanted.items():
            if self.shapes[name] != shape:
                raise FileFormatError(
                    f"{self.path} does not fit {described_by}: weight {name!r} has shape {list(self.shapes[name])}, "
                    f"expected {list(shape)}"
                )

    def _weight(self, file: Any, name: str) -> Tensor:
        stored = file.get_tensor(name)
        if name not in self._whole or stored.ndim < 2:
            return self._checked(name, stored)
        beside = scale_name(name)
        scale = self._checked(beside, file.get_tensor(beside))
        if scale.dtype != torch.float32 or not bool((scale > 0).all()):
            raise FileFormatError(
                f"{self.path} is damaged: {beside!r} must hold a float32 above 0 for each row, got "
                f"{scale.dtype} down to {float(scale.min()):.3g}; get the model again"
            )
        return self._checked(name, restored(stored, scale))

    def _checked(self, name: str, value: Tensor) -> Tensor:
        """Return the value, after checking that it is floating-point and finite."""
        if not value.is_floating_point():
            raise FileFormatError(
                f"{self.path} is damaged: weight {name!r} is of type {value.dtype}, expected a floating-point type (or "
                "int8, for a matrix with scales); get the model again"
            )
        if not torch.isfinite(value).all():
            raise FileFormatError(
                f"{self.path} is damaged: weight {name!r} has values that are not finite; get the model again"
            )
        return value

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        with reading(self.path):
            check_safetensors(self.path)
            with safe_open(self.path, framework="pt") as file:
                yield file
