"""Writes values for messages."""

import reprlib

from torch import Tensor


class _Short(reprlib.Repr):
    def repr_instance(self, x: object, level: int) -> str:
        # What a tensor holds may have been freed, and to print it then crashes.
        return f"<a tensor of {x.dtype}>" if isinstance(x, Tensor) else super().repr_instance(x, level)


_SHORT = _Short()
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = _SHORT.maxdict = _SHORT.maxarray = 8
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 100


def shorten(value: object) -> str:
    """Write a value for a message, shortened where it is long.

    >>> shorten(list(range(100)))
    '[0, 1, 2, 3, 4, 5, 6, 7, ...]'
    """
    try:
        return _SHORT.repr(value)
    except ValueError:  # an int of more digits than Python writes
        return f"an int of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"
