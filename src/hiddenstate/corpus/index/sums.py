"""Sums that can be added in any order with the same result: exact ones of two integers, and coarser ones of one.

An exact sum is ``high / 2^8 + low / 2^60`` with 0 <= low < 2^52; the last axis of its array has these two parts. It
holds squares of float32 values so exactly that a mean of any size can be subtracted from them afterwards.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate.errors import ArgumentError

UNIT = float(1 << 20)  # sums of one integer are in units of 1 / UNIT
HIGH_UNIT = 256.0
LOW_BITS = 52
MOST = 1 << 62  # the limit of integers, so that two of them can be added
LEAST = 2.0**-30  # values are subtracted as multiples of this, so that their squares are multiples of 2^-60

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def exact_sum(*terms: Floats) -> Ints:
    """Return the sum of arrays as an exact sum ``[..., 2]``; what is below 2^-60 is rounded."""
    parts = []
    for term in terms:
        scaled = _scaled(term, HIGH_UNIT)
        whole = np.floor(scaled)
        low = np.rint(np.ldexp(scaled - whole, LOW_BITS))
        parts.append(np.stack([whole, low], axis=-1).astype(np.int64))
    return add_exact(*parts)


def add_exact(*sums: Ints) -> Ints:
    """Return the sum of exact sums, if it is not too large."""
    total = np.sum(sums, axis=0)
    carry = total[..., 1] >> LOW_BITS
    high = checked(total[..., 0] + carry)
    return np.stack([high, total[..., 1] - (carry << LOW_BITS)], axis=-1)


def difference(a: Ints, b: Ints) -> Floats:
    """Return the difference of two exact sums, which is rounded only once."""
    high, low = np.moveaxis(a - b, -1, 0)
    carry = low >> LOW_BITS
    return np.asarray((high + carry + np.ldexp((low - (carry << LOW_BITS)).astype(np.float64), -LOW_BITS)) / HIGH_UNIT)


def exact_product(count: Any, value: Floats) -> Ints:
    """Return ``count * value`` as an exact sum, for counts below 2^48 and values rounded by `short`."""
    return exact_sum(*_halves(count, value))


def exact_square_product(count: Any, value: Floats) -> Ints:
    """Return ``count * value ** 2`` as an exact sum, for counts below 2^48 and values rounded by `short`."""
    square = value * value  # 48 bits: two numbers of 24
    rounded = square.astype(np.float32).astype(np.float64)
    return exact_sum(*_halves(count, rounded), *_halves(count, square - rounded))


def _halves(count: Any, value: Floats) -> tuple[Floats, Floats]:
    """Return two arrays whose sum is ``count * value``, both exact, for values of 24 bits."""
    upper = np.asarray(count) >> 24 << 24
    return np.asarray(upper * value), np.asarray((count - upper) * value)


def short(values: NDArray[Any]) -> Floats:
    """Return values rounded to float32 and to multiples of 2^-30, as float64."""
    with np.errstate(over="ignore"):
        return np.asarray((np.rint(values.astype(np.float64) / LEAST) * LEAST).astype(np.float32).astype(np.float64))


def to_integers(values: Floats) -> Ints:
    """Convert sums to integers, in units of 2^-20, if they are finite and not too large."""
    return checked(np.rint(_scaled(values, UNIT)).astype(np.int64))


def _scaled(values: Floats, unit: float) -> Floats:
    if not np.isfinite(values).all():
        raise ArgumentError("the model has states that are infinite or NaN, which an index cannot count")
    return np.clip(values * unit, -MOST, MOST)


def checked(sums: Ints) -> Ints:
    """Return sums; raise ArgumentError if they are so large that the sum of two could overflow."""
    if sums.size and max(int(sums.max()), -int(sums.min())) >= MOST:
        raise ArgumentError("the model has states so large that the sums of their squares overflow in an index")
    return sums
