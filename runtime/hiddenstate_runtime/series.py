"""A series model: linear layers and activations before and after one recurrent stack, with names, units, scales."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from operator import index
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hiddenstate_runtime.arrays import Array, as_floats
from hiddenstate_runtime.layer import GATES, Layer
from hiddenstate_runtime.shared.errors import (
    ArgumentError,
    ArgumentTypeError,
    FileFormatError,
    NameUnknownError,
    RankError,
    ShapeError,
)
from hiddenstate_runtime.tagger import matrix, vector

_erf = np.frompyfunc(math.erf, 1, 1)


def _sigmoid(x: Array) -> Array:
    return np.exp(-np.logaddexp(0, -x))


_ACTIVATIONS: dict[str, Callable[[Array], Any]] = {
    "": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "leaky_relu": lambda x: np.where(x < 0, np.float32(0.01) * x, x),
    "elu": lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x),
    "silu": lambda x: x * _sigmoid(x),
    "gelu": lambda x: x * (1 + _erf(x / math.sqrt(2)).astype(np.float32)) / 2,
    "softplus": lambda x: np.logaddexp(0, x),
}


class _Dense:
    """A linear layer, and the activation after it."""

    def __init__(self, file: Any, name: str, layer: Sequence[Any]) -> None:
        columns, rows, bias, then = layer
        self.sizes = index(columns), index(rows)
        self.weight = matrix(file, f"{name}.weight", rows, columns).T.copy()
        self.bias = vector(file, f"{name}.bias", rows) if bias else np.zeros(rows, np.float32)
        self.then = _ACTIVATIONS[then]

    def __call__(self, x: Array) -> Array:
        return np.asarray(self.then(x @ self.weight + self.bias), dtype=np.float32)


class SeriesModel:
    """A forecaster with constant weights, which threads may share.

    Attributes:
        features: the columns that it reads.
        targets: the columns that it forecasts.
        units: the unit of each column that has one.
        window: the only number of steps that it reads; None if it reads any.
        ahead: how many steps after the last one that it read each of its A forecasts is.
        rnn: its recurrent layer, as a `Layer`, to trace or edit.
    """

    def __init__(self, file: Any, config: dict[str, Any], columns: dict[str, Any]) -> None:
        self.features, self.targets = tuple(columns["features"]), tuple(columns["targets"])
        self.units: dict[str, str] = dict(columns["units"])
        self.window: int | None = None if config["window"] is None else index(config["window"])
        steps = index(config["steps"])
        self.ahead = tuple(range(1, steps + 1)) if steps else (index(config["horizon"]),)
        self._has_horizon, self._last = steps > 0, bool(config["last"])
        self._scale = _pairs(config["scale"], len(self.features))
        self._target_scale = _pairs(config["target_scale"], len(self.targets))
        self._before = [_Dense(file, f"before.{k}", layer) for k, layer in enumerate(config["before"])]
        self._after = [_Dense(file, f"after.{k}", layer) for k, layer in enumerate(config["after"])]
        self._then = _ACTIVATIONS[config["then"]]
        sizes = config["rnn"]
        if sizes["cell"] not in GATES or sizes["proj_size"]:
            raise FileFormatError(f"its layer is a {sizes['cell']!r:.20}, perhaps with a projection: not supported")
        shape = (index(sizes[name]) for name in ("input_size", "hidden_size", "num_layers"))
        self.rnn = Layer(file.layer("rnn.", *shape, sizes["bias"], sizes["bidirectional"], sizes["cell"]))
        C, H, both = sizes["input_size"], sizes["hidden_size"], 1 + sizes["bidirectional"]
        reads = [*(layer.sizes[0] for layer in self._before), C, *(layer.sizes[0] for layer in self._after)]
        gives = [*(layer.sizes[1] for layer in self._before), both * H, *(layer.sizes[1] for layer in self._after)]
        if [len(self.features), *gives] != [*reads, len(self.targets) * len(self.ahead)]:
            raise FileFormatError("the sizes of its layers do not fit each other, or its columns")
        if (self.window is not None and self.window < 1) or (steps and not self._last):
            raise FileFormatError("its window has no steps, or it gives a horizon at each step")

    @classmethod
    def from_file(cls, file: Any, metadata: Mapping[str, str]) -> "SeriesModel":
        """Read the model that a file describes."""
        return cls(file, json.loads(metadata["config"]), json.loads(metadata["vocabulary"]))

    def forecast(self, series: ArrayLike | Mapping[str, ArrayLike]) -> Array:
        """Return the forecasts for a series, in the units of the data.

        Args:
            series: ``[T, C]``, or ``[T, N, C]`` for N rows, in the order of the features; or a mapping (such as a frame
                of pandas) from a feature's name to ``[T]`` or ``[T, N]``. In the units of the data. A model that reads
                windows reads the last one.

        Returns:
            ``[T, N, K]`` if the model gives a forecast after each step, ``[N, K]`` if one after the last, or
            ``[A, N, K]`` for a horizon; without N as the series.

        Raises:
            NameUnknownError: a feature is missing.
            RankError, ShapeError, ArgumentError, ArgumentTypeError: the series does not fit, is shorter than a window,
                or has values that are not finite as float32.
        """
        x = self._read(series, 2)
        batched = x.ndim == 3
        x = x if batched else x[:, None]
        T = self.window or len(x)
        if not len(x) or len(x) < T:
            raise ShapeError(f"the series has {len(x)} steps, expected at least {T or 1}")
        out, _ = self.rnn(self._project(x[-T:]))
        values = self._of(out[-1] if self._last else out)
        return values if batched else values[..., 0, :]

    def stream(self, rows: int = 1) -> "SeriesStream":
        """Return a stream of ``rows`` series, which reads a step at a time and forecasts after each.

        Raises:
            ArgumentError: ``rows`` is below 1 or too large, or the model reads both ways, or windows.
        """
        if self.window is not None:
            raise ArgumentError(f"the model reads windows of {self.window} steps: give forecast() the last ones")
        return SeriesStream(self, rows)

    def _read(self, series: Any, least: int) -> Array:
        """Return a series ``[..., C]`` as the layers read it."""
        if isinstance(series, Mapping) or hasattr(series, "columns") or hasattr(series, "keys"):
            missing = [name for name in self.features if name not in series]
            if missing:
                raise NameUnknownError(f"the series has no {missing[0]!r}: the model reads {', '.join(self.features)}")
            columns = [_numbers(series[name], name) for name in self.features]
            if len(shapes := {column.shape for column in columns}) > 1:
                raise ShapeError(f"the features have different shapes: {', '.join(map(str, sorted(shapes)))}")
            series = np.stack(columns, axis=-1)
        with np.errstate(over="ignore"):
            as_floats(series, "the series")  # rejects what is no number
        values = np.asarray(series, np.float64)
        if values.ndim not in (least, least + 1):
            raise RankError(f"the series must have {least} or {least + 1} axes, got shape {list(values.shape)}")
        if values.shape[-1] != len(self.features):
            raise ShapeError(f"the series has {values.shape[-1]} features, expected {len(self.features)}")
        if not np.isfinite(values).all():
            raise ArgumentError("the series has values that are missing or infinite: fill them, or leave the steps out")
        with np.errstate(over="ignore"):
            scaled = np.asarray((values - self._scale[0]) / self._scale[1], dtype=np.float32)
        if not np.isfinite(scaled).all():
            raise ArgumentError("the series has values that are too large for float32: correct them")
        return scaled

    def _project(self, x: Array) -> Array:
        for layer in self._before:
            x = layer(x)
        return x

    def _of(self, out: Array) -> Array:
        """Return the forecasts ``[..., N, K]``, or ``[A, N, K]``, of the stack's outputs ``[..., N, F]``."""
        values = np.asarray(self._then(out), dtype=np.float32)
        for layer in self._after:
            values = layer(values)
        if self._has_horizon:
            values = np.moveaxis(values.reshape(*values.shape[:-1], len(self.ahead), len(self.targets)), -2, 0)
        return np.asarray(self._target_scale[0] + self._target_scale[1] * values, dtype=np.float32)


class SeriesStream:
    """A running series model. Returned by `SeriesModel.stream`. Only one thread may use it at a time."""

    def __init__(self, model: SeriesModel, rows: int) -> None:
        self.model, self._stream = model, model.rnn.stream(rows)

    def step(self, values: ArrayLike | Mapping[str, ArrayLike]) -> Array:
        """Read one step, and return the forecasts after it, in the units of the data.

        Args:
            values: ``[C]`` with one row, or ``[N, C]``; or a mapping (such as a line of a frame of pandas) from a
                feature's name to a number, or ``[N]``.

        Returns:
            ``[K]`` or ``[N, K]``, or for a horizon ``[A, K]`` or ``[A, N, K]``.

        Raises:
            NameUnknownError, RankError, ShapeError, ArgumentError, ArgumentTypeError: the values do not fit.
        """
        x = self.model._read(values, 1)
        out = self._stream.step(self.model._project(x if x.ndim == 2 else x[None]))
        values = self.model._of(out)
        return values if x.ndim == 2 else values[..., 0, :]


def _numbers(values: Any, name: str) -> Any:
    """Return the values of a feature as float64; None is NaN."""
    try:
        given = np.asarray(values)
        is_text = given.dtype.kind == "O" and any(isinstance(value, str) for value in given.flat)
        if given.dtype.kind not in "SUcMm" and not is_text:
            return given.astype(np.float64)
    except (TypeError, ValueError):  # lists of different lengths, or objects
        pass
    raise ArgumentTypeError(f"the feature {name!r} must be real numbers, got {values!r:.60}")


def _pairs(scale: Any, count: int) -> tuple[Any, Any]:
    """Return the offsets and the factors of columns, float64."""
    pairs = np.array([[float(number) for number in pair] for pair in scale], dtype=np.float64)
    if pairs.shape != (count, 2) or not np.isfinite(pairs).all() or not pairs[:, 1].all():
        raise FileFormatError("a scale is not a pair of numbers, of which the second is not 0, for each column")
    return pairs[:, 0], pairs[:, 1]
