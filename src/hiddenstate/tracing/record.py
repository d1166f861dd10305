"""A record: everything an LSTM computed in one call, by name, as frozen data."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from hiddenstate.base.indexing import Index, freeze, resolve, resolve_one
from hiddenstate.base.memory import check_memory_of
from hiddenstate.base.validation import check_memory
from hiddenstate.errors import IndexRangeError, NameUnknownError
from hiddenstate.structure.axis_order import Layout, from_time_first
from hiddenstate.structure.names import PRE_ACTIVATIONS, QUANTITIES, Place, parse_place
from hiddenstate.tracing.unit_step import Moment


@dataclass(frozen=True, eq=False, repr=False)
class Record:
    """What one call of an LSTM computed.

    ``record["l0.f"]`` is a tensor laid out as the call's input was: ``[T, N, H]``, ``[N, T, H]`` with
    ``batch_first``, ``[T, H]`` unbatched. Past a row's end (``lengths``) it is zero. T counts the recorded steps.

    Attributes:
        out: the output, as the plain call returns it.
        state: ``(h_n, c_n)``, as the plain call returns it.
        initial: ``(h0, c0)`` that the run began with, ``[L*D, N, P]`` and ``[L*D, N, H]``.
        values: place (``"l0.f"``) to recorded values, time first whatever the layout: ``[steps, N, H or P]``.
        carried: layer and direction (``"l0"``) to the cell state handed on, ``[steps, N, H]``, if a readout edit made
            the cell state that was read differ from it; empty otherwise.
        steps: the time steps that were recorded.
        length: T, the time steps of the whole input.
        num_layers: L.
        bidirectional: whether there is a reverse direction.
        layout: ``"TN"``, ``"NT"`` or ``"T"``: the order of the axes in ``out`` and in what ``[]`` returns.
        lengths: ``[N]``, steps of each row, or None when all are whole.
        reset: bool ``[T, N]``, or None.
        tokens: for each row the words that stand at its steps, or None.
        reset_to: ``(h, c)``, what came in behind borders, ``[L*D, K, P]`` and ``[L*D, K, H]``: of each row (K = N), or
            of step t and row n the number t*N + n (K = T*N); None for zero.
    """

    out: Tensor | PackedSequence
    state: tuple[Tensor, Tensor]
    initial: tuple[Tensor, Tensor]
    values: Mapping[str, Tensor]
    carried: Mapping[str, Tensor]
    steps: tuple[int, ...]
    length: int
    num_layers: int
    bidirectional: bool
    layout: Layout
    lengths: Tensor | None = None
    reset: Tensor | None = None
    tokens: tuple[tuple[str, ...], ...] | None = None
    reset_to: tuple[Tensor, Tensor] | None = None

    @property
    def batch(self) -> int:
        """Rows of the batch, N (1 for an unbatched run)."""
        return self.initial[0].shape[1]

    @property
    def names(self) -> tuple[str, ...]:
        """The recorded places."""
        return tuple(self.values)

    @property
    def nbytes(self) -> int:
        """Bytes that the recorded values take."""
        return sum(v.nbytes for v in (*self.values.values(), *self.carried.values()))

    def __getitem__(self, name: str) -> Tensor:
        return from_time_first(self.recorded(name), self.layout)

    def __contains__(self, name: object) -> bool:
        return name in self.values

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.steps)} of {self.length} steps, {self.batch} rows, "
            f"{self.nbytes:,} bytes: {' '.join(self.names)})"
        )

    def words(self, row: int = 0) -> tuple[str, ...] | None:
        """Tokens of one row, or None when the run was given none."""
        return None if self.tokens is None else self.tokens[row]

    def row_length(self, row: int = 0) -> int:
        """Real time steps of one row."""
        return self.length if self.lengths is None else int(self.lengths[row])

    def pick(
        self, name: str, *, t: Index = None, row: Index = None, unit: Index = None
    ) -> tuple[Tensor, tuple[int, ...]]:
        """Values of one place as ``[steps, rows, units]``, whatever the layout, with their time steps.

        Negative steps count from the end of the whole input, also where a row ends earlier.

        Raises:
            NameUnknownError: the place was not recorded.
            IndexRangeError: a step, row or unit does not exist, or the step was not recorded.
            ArgumentTypeError, ArgumentError: an index of a wrong type, or one that names a position twice.
        """
        values = self.recorded(name)
        times = self.steps if t is None else tuple(resolve(freeze(t, "t"), self.length, "t"))
        at_step = [self._position(k) for k in times]
        rows = resolve(freeze(row, "row"), values.shape[1], "row")
        units = resolve(freeze(unit, "unit"), values.shape[2], "unit")
        return values[at_step][:, list(rows)][:, :, list(units)], times

    def at(self, t: int, unit: int, *, layer: int = 0, reverse: bool = False, row: int = 0) -> Moment:
        """All values of one unit at one time step; ``print`` shows the equations with the numbers in them.

        Args:
            t: time step of the input; -1 is the last of the recorded input (of this row, with ``lengths``).
            unit: hidden unit.
            layer: layer, from 0.
            reverse: the reverse direction.
            row: batch row.

        Raises:
            IndexRangeError: no such step, unit or row, or the step was not recorded.
            NameUnknownError: no such layer or direction.
        """
        self._check_memory()
        row = resolve_one(row, self.batch, "row")
        t = resolve_one(t, self.row_length(row), "t")
        unit = resolve_one(unit, self.initial[1].shape[2], "unit")
        names = {q: str(Place(layer, reverse, q)) for q in QUANTITIES + PRE_ACTIVATIONS}
        parse_place(names["c"], self.num_layers, self.bidirectional)
        if self.projected:  # h then has other units than the gates; what unit K puts out is o·tanh(c)
            del names["h"]
        k = self._position(t)
        values = {q: self.values[name][k, row, unit].item() for q, name in names.items() if name in self.values}
        before = self._cell_before(Place(layer, reverse, "c"), t, row)
        if before is not None:
            values["c_prev"] = before[unit].item()
        if self.projected and {"o", "c"} <= values.keys():
            values["m"] = values["o"] * math.tanh(values["c"])
        words = self.words(row)
        types = [self.values[name].dtype for name in names.values() if name in self.values]
        # The coarsest type that was computed in: under autocast the gates are coarser than the states.
        rounding = max((torch.finfo(dtype) for dtype in [*types, self.initial[1].dtype]), key=lambda info: info.eps)
        return Moment(t, unit, layer, reverse, row, words[t] if words else None, values, rounding.eps, rounding.tiny)

    @property
    def projected(self) -> bool:
        """Whether the hidden state is a projection of the cell's output (``proj_size > 0``)."""
        return self.initial[0].shape[2] != self.initial[1].shape[2]

    def recorded(self, name: str) -> Tensor:
        """Values of one place, time first whatever the layout: ``[steps, N, units]``.

        Raises:
            NameUnknownError: the place was not recorded.
            DtypeError: its memory was freed.
        """
        if name in self.values:
            check_memory(self.values[name], name)
            return self.values[name]
        parse_place(name, self.num_layers, self.bidirectional)  # first: does the LSTM have such a place at all?
        raise NameUnknownError(
            f"{name!r} was not recorded; recorded are {' '.join(self.names)}. Name it in keep=, or drop keep= "
            "(pre-activations are recorded with pre=True)"
        )

    def _check_memory(self) -> None:
        """Check that every recorded tensor still has its memory.

        Raises:
            DtypeError: the memory of one was freed.
        """
        check_memory_of((f"trace.{field.name}", getattr(self, field.name)) for field in fields(self))

    def __reduce_ex__(self, protocol: Any) -> Any:  # how records are copied and pickled
        self._check_memory()
        return super().__reduce_ex__(protocol)

    def _position(self, t: int) -> int:
        if t not in self._positions:
            raise IndexRangeError(
                f"step {t} was not recorded; recorded are {_spans(self.steps)}. Trace again with steps= that hold it"
            )
        return self._positions[t]

    @cached_property
    def _positions(self) -> Mapping[int, int]:
        return {t: k for k, t in enumerate(self.steps)}

    def cell_before(self, layer: int = 0, reverse: bool = False, row: int = 0) -> Tensor:
        """Cell state that came into each recorded real step of one row: ``[steps, H]``.

        That is the cell state of the step read before, the initial one, or behind a reset zero or what it was reset
        to; NaN where the step read before was not recorded.

        Raises:
            NameUnknownError: no such layer or direction.
            IndexRangeError: no such row.
        """
        self._check_memory()
        place = parse_place(str(Place(layer, reverse, "c")), self.num_layers, self.bidirectional)
        row = resolve_one(row, self.batch, "row")
        unknown = torch.full_like(self.initial[1][0, row], float("nan"))
        source = self._cell_states(place)
        if source is not None and self.reset is None and len(self.steps) == self.length:  # all at once
            first, known = self.initial[1][None, self._layer_number(place), row], source[: self.row_length(row), row]
            return torch.cat([known[1:], first] if place.reverse else [first, known[:-1]])[: len(known)]
        real = [t for t in self.steps if t < self.row_length(row)]
        found = [self._cell_before(place, t, row) for t in real]
        if not found:
            return unknown.new_empty(0, len(unknown))
        return torch.stack([unknown if state is None else state for state in found])

    def _cell_before(self, place: Place, t: int, row: int) -> Tensor | None:
        """Cell state ``[H]`` that came into a step, or None when the step before it was not recorded."""
        step_before, border = (t + 1, t + 1) if place.reverse else (t - 1, t)
        first = self.row_length(row) - 1 if place.reverse else 0
        initial = self.initial[1][self._layer_number(place), row]
        entered = place.reverse and t == first  # a border behind a row's last step is none of its own
        if self.reset is not None and border < self.length and self.reset[border, row] and not entered:
            return torch.zeros_like(initial) if self.reset_to is None else self._behind(place, border, row)
        if t == first:
            return initial
        source = self._cell_states(place)
        if source is None or step_before not in self._positions:
            return None
        return source[self._position(step_before), row]

    def _behind(self, place: Place, border: int, row: int) -> Tensor:
        """Cell state ``[H]`` that came in behind the border before a step."""
        assert self.reset_to is not None
        states = self.reset_to[1][self._layer_number(place)]
        return states[row if len(states) == self.batch else border * self.batch + row]

    def _layer_number(self, place: Place) -> int:
        """Where a place's layer and direction stand among all."""
        return place.layer * (1 + self.bidirectional) + place.reverse

    def _cell_states(self, place: Place) -> Tensor | None:
        """Cell states that were handed on, ``[steps, N, H]``, where they were recorded."""
        return self.carried.get(place.layer_direction.name, self.values.get(str(place)))


def _spans(steps: Iterable[int]) -> str:
    """Write a list of steps shortly.

    >>> _spans([0, 1, 2, 5])
    '0-2, 5'
    """
    spans: list[list[int]] = []
    for t in steps:
        if spans and t == spans[-1][1] + 1:
            spans[-1][1] = t
        else:
            spans.append([t, t])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans) or "none"
