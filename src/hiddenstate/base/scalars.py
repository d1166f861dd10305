"""Checks of single arguments: integers, bools, seeds."""

import operator

import numpy as np

from hiddenstate.errors import ArgumentError, ArgumentTypeError


def check_int(name: str, value: object) -> int:
    """Return any integer, including NumPy's, as an int; ArgumentTypeError for anything else."""
    try:
        if not isinstance(value, bool):
            return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        pass
    raise ArgumentTypeError(f"{name} should be of type int, got: {type(value).__name__}")


def check_at_least(name: str, value: object, least: int) -> int:
    """Return an integer as an int; raise ArgumentError if it is less than ``least``."""
    number = check_int(name, value)
    if number < least:
        raise ArgumentError(f"{name} must be at least {least}, got {number}")
    return number


def check_seed(value: object) -> int:
    """Return a seed as an int that the generators of torch, NumPy and Python all accept."""
    seed = check_int("seed", value)
    if not 0 <= seed < 2**64:
        raise ArgumentError(f"seed must be in 0..2**64 - 1, got {seed}")
    return seed


def check_bool(name: str, value: object, *, number: bool = False) -> bool:
    """Return a bool, even NumPy's (with ``number``, also 0 or 1), as a bool; ArgumentTypeError for anything else."""
    if isinstance(value, (bool, np.bool_)) or (number and isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise ArgumentTypeError(f"{name} should be of type bool, got: {type(value).__name__} {value!r}")
