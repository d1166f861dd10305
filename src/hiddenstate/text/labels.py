"""The labels of a sequence's steps, as names."""

from numbers import Integral, Number

import numpy as np
from torch import Tensor

from hiddenstate.base.validation import check_memory
from hiddenstate.errors import ArgumentTypeError


def label_names(labels: object, name: str) -> tuple[str | None, ...]:
    """Return the labels of steps as text, or None; measured numbers are refused, since each would be a class."""
    if isinstance(labels, Tensor):
        check_memory(labels, name)
        labels = labels.detach().cpu().tolist()
    elif isinstance(labels, np.ndarray):
        labels = labels.tolist()
    if not hasattr(labels, "__iter__"):
        raise ArgumentTypeError(f"{name} must have one label for each step, got {type(labels).__name__}")
    return tuple(_label_name(label, f"label {t} of {name}") for t, label in enumerate(labels))


def _label_name(label: object, name: str) -> str | None:
    if isinstance(label, Tensor | np.generic) and np.ndim(label) == 0:
        label = label.item()
    if isinstance(label, Number) and not isinstance(label, Integral):
        raise ArgumentTypeError(
            f"{name} is the number {label!r}, but labels are names of classes. Sort measured numbers into named "
            "classes, such as 'cold' and 'warm'; convert class numbers to integers; write None for a step without a "
            "label"
        )
    return None if label is None else str(label)
