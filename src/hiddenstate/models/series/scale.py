"""The scaling of columns: ``value = offset + factor * scaled``, one pair for each column, by name."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.messages import readable_name, shorten
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError, ShapeError

Array = np.ndarray[Any, Any]
Pairs = Mapping[str, tuple[Any, Any]]  # the offset and the factor of each column


class Scale(NamedTuple):
    """The affine scaling of some columns; both tensors are float64, ``[C]``."""

    offset: Tensor
    factor: Tensor

    @property
    def changes(self) -> list[bool]:
        """Whether each column is changed at all."""
        return ((self.offset != 0) | (self.factor != 1)).tolist()

    def scaled(self, values: Tensor) -> Tensor:
        """Return values ``[..., C]`` as the module reads them."""
        return (values - self.offset.to(values)) / self.factor.to(values)

    def in_units(self, scaled: Tensor) -> Tensor:
        """Return a module's values ``[..., C]`` in the units of the data; those in half precision as float32."""
        scaled = scaled.to(torch.promote_types(scaled.dtype, torch.float32))
        return self.offset.to(scaled) + self.factor.to(scaled) * scaled


def scale_of(columns: Sequence[str], pairs: Pairs, name: str) -> Scale:
    """Return the scale of these columns; those that the pairs do not name are not scaled."""
    checked = [_checked(name, column, *pairs.get(column, (0.0, 1.0))) for column in columns]
    return Scale(*(torch.tensor(part, dtype=torch.float64, device="cpu") for part in zip(*checked, strict=True)))


def _checked(name: str, column: str, offset: Any, factor: Any) -> tuple[float, float]:
    try:
        pair = float(offset), float(factor)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(f"{name} of {column!r} must be two numbers, got {offset!r} and {factor!r}") from error
    if pair[1] == 0:
        raise ArgumentError(
            f"{name} of {column!r} is 0, because the column was constant where it was computed: leave the column out, "
            "or give its standard deviation as 1"
        )
    if not all(map(np.isfinite, pair)):
        raise ArgumentError(f"{name} of {column!r} must be finite, got {pair[0]} and {pair[1]}")
    return pair


def pairs_by_name(scale: object, columns: Sequence[str], name: str) -> Pairs:
    """Return the offset and factor of each column that a scale covers, by name or in the order of ``columns``."""
    if scale is None:
        return {}
    if isinstance(scale, Mapping):
        return {str(column): _pair(pair, f"{name}[{column!r}]") for column, pair in scale.items()}
    if hasattr(scale, "inverse_transform"):
        return _pairs_of_scaler(scale, columns, name)
    mean, std = (_by_column(part, columns, name) for part in _pair(scale, name))
    return dict(zip(columns, zip(mean, std, strict=True), strict=True))


def _pair(value: Any, name: str) -> tuple[Any, Any]:
    if isinstance(value, str) or not hasattr(value, "__len__") or len(value) != 2:
        raise ArgumentTypeError(
            f"{name} must be a mean and a standard deviation (numbers, or one for each column), a dict from names to "
            f"such pairs, or a fitted scaler of scikit-learn, got {shorten(value)}"
        )
    first, second = value
    return first, second


def _by_column(value: Any, columns: Sequence[str], name: str) -> Array:
    """Return one number for each column; a pandas Series or a dict is read by name."""
    named = value if isinstance(value, Mapping) else value.to_dict() if hasattr(value, "to_dict") else None
    if named is not None:
        missing = [column for column in columns if column not in named]
        if missing:
            raise NameUnknownError(f"{name} has no number for {missing[0]!r}: it names {shorten(list(named))}")
        value = [named[column] for column in columns]
    try:
        numbers = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(f"{name} must be numbers, got {shorten(value)}") from error
    if numbers.size not in (1, len(columns)):
        raise ShapeError(f"{name} has {numbers.size} numbers, expected one for each of the {len(columns)} columns")
    return np.broadcast_to(numbers.reshape(-1), (len(columns),))


def _pairs_of_scaler(scaler: Any, columns: Sequence[str], name: str) -> Pairs:
    """Return the pairs of a fitted scaler of scikit-learn.

    Standard: ``x = mean_ + scale_ * z``; robust: ``x = center_ + scale_ * z``; by the largest value: ``x = scale_ *
    z``; by minimum and maximum: ``z = x * scale_ + min_``. Each sets the scale of a constant column to 1.
    """
    kind = readable_name(type(scaler))
    count = getattr(scaler, "n_features_in_", None)
    if count is None:
        raise ArgumentError(f"{name}: this {kind} is not fitted: give the one that scaled the training data")
    names = [str(column) for column in getattr(scaler, "feature_names_in_", columns)]
    if len(names) != count:
        raise ShapeError(f"{name}: this {kind} was fitted to {count} columns without names, expected {len(columns)}")
    if not hasattr(scaler, "scale_") or hasattr(scaler, "lambdas_"):
        raise ArgumentTypeError(
            f"{name}: a {kind} does not scale each column by one offset and one factor; expected a StandardScaler, "
            "MinMaxScaler, RobustScaler or MaxAbsScaler. Apply other transformations to the frame"
        )
    if getattr(scaler, "clip", False):
        raise ArgumentError(f"{name}: this {kind} clips values, which can't be undone: fit one with clip=False")
    factor = np.ones(count) if scaler.scale_ is None else np.asarray(scaler.scale_, dtype=np.float64)
    spread = next(
        (part for key in ("var_", "data_range_", "max_abs_") if (part := getattr(scaler, key, None)) is not None),
        factor,
    )
    if hasattr(scaler, "min_"):
        factor = 1 / factor
        offset = -np.asarray(scaler.min_) * factor
    else:
        centres = {"with_mean": "mean_", "with_centering": "center_"}
        centre = next((key for option, key in centres.items() if getattr(scaler, option, False)), None)
        offset = np.zeros(count) if centre is None else np.asarray(getattr(scaler, centre))
    return dict(zip(names, zip(offset, np.where(np.asarray(spread) == 0, 0.0, factor), strict=True), strict=True))
