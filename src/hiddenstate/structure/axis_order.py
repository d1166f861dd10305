"""The axis orders that users may choose, and the internal one: time first, ``[T, N, ...]``."""

from typing import Literal

from torch import Tensor

Layout = Literal["TN", "NT", "T"]  # time first, batch first, without a batch


def to_time_first(value: Tensor, layout: Layout) -> Tensor:
    """Convert a tensor from a layout to ``[T, N, ...]``."""
    if layout == "T":
        return value.unsqueeze(1)
    return value.transpose(0, 1) if layout == "NT" else value


def from_time_first(value: Tensor, layout: Layout) -> Tensor:
    """Convert a tensor ``[T, N, ...]`` to a layout."""
    if layout == "T":
        return value[:, 0]
    return value.transpose(0, 1) if layout == "NT" else value
