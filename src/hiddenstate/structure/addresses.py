"""Addresses: a place with units, a step and a batch row in one string.

An *address* selects values of a place::

    l1.c                 all units, steps and rows of the cell state of layer 1
    l1.c[125]            unit 125
    l1.c[125]@7          unit 125 at step 7
    l1.c[0:8,125]@-1     units 0 to 7 and 125 at the last step
    l1.c[125]@7,n=2      unit 125 at step 7 of row 2
"""

import re
from typing import NamedTuple

from hiddenstate.errors import NameUnknownError

_WHERE = re.compile(r"(?P<place>[^\[\]@,]+)(\[(?P<unit>[^\[\]]*)\])?(@(?P<t>[^\[\]@=]*?))?(,n=(?P<row>[^\[\]@=]*))?")
_NUMBER = r"-?[0-9]{1,18}"
_PART = re.compile(rf"(?P<one>{_NUMBER})|(?P<start>{_NUMBER})?:(?P<stop>{_NUMBER})?(:(?P<step>{_NUMBER}))?")

_MOST = 1 << 20  # maximum length of an expanded range; no layer has as many units
_LONGEST = 100  # maximum number of characters of an invalid address shown in a message

Chosen = int | slice | tuple[int, ...] | None  # in the form that edits store; None for all


class Address(NamedTuple):
    """A place by name, with units, steps and rows (all if None).

    >>> str(Address("l1.c", unit=125, t=7))
    'l1.c[125]@7'
    """

    place: str
    unit: Chosen = None
    t: Chosen = None
    row: Chosen = None

    def __str__(self) -> str:
        unit = "" if self.unit is None else f"[{_written(self.unit)}]"
        t = "" if self.t is None else f"@{_written(self.t)}"
        return f"{self.place}{unit}{t}" + ("" if self.row is None else f",n={_written(self.row)}")


def parse_address(text: str) -> Address:
    """Parse an address, without checking whether an LSTM has such a place.

    >>> parse_address("l1.c[125]@7,n=2")
    Address(place='l1.c', unit=125, t=7, row=2)
    >>> parse_address("l0r.f[3:5]").unit
    slice(3, 5, None)
    """
    match = _WHERE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise _unknown(text)
    return Address(match["place"].strip(), *(_read(match[name], text) for name in ("unit", "t", "row")))


def is_address(text: object) -> bool:
    """Whether a text contains more than a place: a unit, a step or a row."""
    return isinstance(text, str) and any(mark in text for mark in "[@,")


def _read(text: str | None, whole: str) -> Chosen:
    if text is None:
        return None
    parts = [_PART.fullmatch(part.strip()) for part in text.split(",")]
    if len(parts) == 1 and parts[0] is not None and parts[0]["one"] is None:
        return slice(*(None if parts[0][name] is None else int(parts[0][name]) for name in ("start", "stop", "step")))
    chosen: list[int] = []
    for part in parts:
        if part is None:
            raise _unknown(whole)
        chosen += [int(part["one"])] if part["one"] is not None else _counted(part, whole)
        if len(chosen) > _MOST:
            raise _unknown(whole)
    return chosen[0] if len(parts) == 1 else tuple(chosen)


def _counted(part: re.Match[str], whole: str) -> range:
    """Expand a range in a list; it must have both ends, since the size is not known here."""
    start, stop, step = (part[name] for name in ("start", "stop", "step"))
    if stop is None or int(stop) < 0 or int(start or 0) < 0 or int(step or 1) < 1:
        raise _unknown(whole)
    numbers = range(int(start or 0), int(stop), int(step or 1))
    if not 0 < len(numbers) <= _MOST:
        raise _unknown(whole)
    return numbers


def _written(index: Chosen) -> str:
    if isinstance(index, slice):
        ends = f"{_or_blank(index.start)}:{_or_blank(index.stop)}"
        return ends if index.step is None else f"{ends}:{index.step}"
    return ",".join(map(str, index)) if isinstance(index, tuple) else str(index)


def _or_blank(end: int | None) -> str:
    return "" if end is None else str(end)


def _unknown(text: object) -> NameUnknownError:
    shown = repr(text) if len(repr(text)) <= _LONGEST else f"{repr(text)[:_LONGEST]}..."
    return NameUnknownError(
        f"cannot read {shown} as an address: expected PLACE[UNITS]@STEPS,n=ROWS such as 'l1.c[125]@7' or "
        "'l1.c[125]@7,n=2'. All parts except the place may be omitted; units, steps and rows are numbers such as 125, "
        "lists such as 1,5 or ranges such as 0:8"
    )
