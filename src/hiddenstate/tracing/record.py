"""A record: the values that one call computed, by name, as frozen data."""

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
from hiddenstate.cells.cell import Cell, Gate, State
from hiddenstate.cells.kinds import cell_named
from hiddenstate.cells.lstm import LSTM
from hiddenstate.errors import IndexRangeError, NameUnknownError
from hiddenstate.structure.names import AxisOrder, LayerDirection, Layers, Place, from_time_first, parse_place


@dataclass(frozen=True, eq=False, repr=False)
class Record:
    """The values that one call of an LSTM, or of a layer with another kind of cell, computed.

    ``record["l0.f"]`` is a tensor with the layout of the call's input: ``[T, N, H]``, ``[N, T, H]`` with
    ``batch_first``, ``[T, H]`` unbatched. Past a row's end (``lengths``) it is zero. T is the number of recorded steps.

    Attributes:
        out: the output, as the plain call returns it.
        state: ``(h_n, c_n)``, as the plain call returns it; only ``h_n`` if there is no cell state.
        initial: the initial ``(h0, c0)``, ``[L*D, N, P]`` and ``[L*D, N, H]``; or only ``h0``.
        values: maps a place (``"l0.f"``) to recorded values, time first whatever the layout: ``[steps, N, H or P]``.
        carried: maps a layer and direction (``"l0"``) to the cell state that was passed on, ``[steps, N, H]``, or the
            hidden state if there is no cell state. Only if a readout edit made the state that was read differ from it;
            otherwise empty.
        steps: the time steps that were recorded.
        length: T, the time steps of the whole input.
        num_layers: L.
        bidirectional: whether there is a reverse direction.
        layout: ``"TN"``, ``"NT"`` or ``"T"``: the order of the axes in ``out`` and in the tensors that ``[]`` returns.
        lengths: ``[N]``, the number of steps of each row, or None if all have T.
        reset: bool ``[T, N]``, or None.
        tokens: the words of each row, one for each step, or None.
        reset_to: ``(h, c)``, the states after borders, ``[L*D, K, P]`` and ``[L*D, K, H]``: one for each row (K = N),
            or for each step and row (K = T*N, at index t*N + n); None for zero. Only h if there is no cell state.
        cell: the kind of cell, as in `hiddenstate.Sizes`.
    """

    out: Tensor | PackedSequence
    state: Any
    initial: Any
    values: Mapping[str, Tensor]
    carried: Mapping[str, Tensor]
    steps: tuple[int, ...]
    length: int
    num_layers: int
    bidirectional: bool
    layout: AxisOrder
    lengths: Tensor | None = None
    reset: Tensor | None = None
    tokens: tuple[tuple[str, ...], ...] | None = None
    reset_to: Any = None
    cell: str = "LSTM"

    @property
    def layers(self) -> Layers:
        """The layers, directions and kind of cell, which determine the places."""
        return Layers(self.num_layers, self.bidirectional, cell_named(self.cell))

    @property
    def _initial(self) -> tuple[Tensor, ...]:
        """The initial states; the last one is that of the memory."""
        return self.layers.cell.parts_of(self.initial)

    @property
    def batch(self) -> int:
        """The number of batch rows, N (1 for an unbatched run)."""
        return self._initial[0].shape[1]

    @property
    def names(self) -> tuple[str, ...]:
        """The recorded places."""
        return tuple(self.values)

    @property
    def nbytes(self) -> int:
        """The size of the recorded values in bytes."""
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
        """Return the tokens of one row, or None if the run has no tokens."""
        return None if self.tokens is None else self.tokens[row]

    def row_length(self, row: int = 0) -> int:
        """Return the number of real time steps of one row."""
        return self.length if self.lengths is None else int(self.lengths[row])

    def pick(
        self, name: str, *, t: Index = None, row: Index = None, unit: Index = None
    ) -> tuple[Tensor, tuple[int, ...]]:
        """Return the values of one place as ``[steps, rows, units]``, whatever the layout, and their time steps.

        Negative steps count from the end of the whole input, even if a row ends earlier.

        Raises:
            NameUnknownError: the place was not recorded.
            IndexRangeError: a step, row or unit does not exist, or the step was not recorded.
            ArgumentTypeError, ArgumentError: an index has a wrong type or repeats a position.
        """
        values = self.recorded(name)
        times = self.steps if t is None else tuple(resolve(freeze(t, "t"), self.length, "t"))
        at_step = [self._position(k) for k in times]
        rows = resolve(freeze(row, "row"), values.shape[1], "row")
        units = resolve(freeze(unit, "unit"), values.shape[2], "unit")
        # Each indexing operation copies, so an axis that is needed in full is not indexed, and rows come first.
        if row is not None:
            values = values[:, list(rows)]
        values = values[at_step]
        return values if unit is None else values[:, :, list(units)], times

    def at(self, t: int, unit: int, *, layer: int = 0, reverse: bool = False, row: int = 0) -> "Moment":
        """Return all values of one unit at one time step; print the result to see the equations with their numbers.

        Args:
            t: the time step of the input; -1 is the last one (of this row, with ``lengths``).
            unit: the hidden unit.
            layer: the layer, from 0.
            reverse: whether to use the reverse direction.
            row: the batch row.

        Raises:
            IndexRangeError: no such step, unit or row, or the step was not recorded.
            NameUnknownError: no such layer or direction.
        """
        self._check_memory()
        row = resolve_one(row, self.batch, "row")
        t = resolve_one(t, self.row_length(row), "t")
        initial, cell = self._initial, self.layers.cell
        unit = resolve_one(unit, initial[-1].shape[2], "unit")
        names = {q: str(Place(layer, reverse, q)) for q in (*cell.quantities, *cell.pre_activations)}
        parse_place(names[cell.memory], *self.layers)
        if self.projected:  # h has different units than the gates; the output of unit K is o·tanh(c)
            del names["h"]
        k = self._position(t)
        values = {q: self.values[name][k, row, unit].item() for q, name in names.items() if name in self.values}
        before = self._cell_before(Place(layer, reverse, cell.memory), t, row)
        if before is not None:
            values[f"{cell.memory}_prev"] = before[unit].item()
        if self.projected and {"o", "c"} <= values.keys():
            values["m"] = values["o"] * math.tanh(values["c"])
        words = self.words(row)
        types = [self.values[name].dtype for name in names.values() if name in self.values]
        # The least precise type in the computation; under autocast, the gates are less precise than the states.
        rounding = max((torch.finfo(dtype) for dtype in [*types, initial[-1].dtype]), key=lambda info: info.eps)
        return Moment(
            t, unit, layer, reverse, row, words[t] if words else None, values, rounding.eps, rounding.tiny, cell
        )

    @property
    def projected(self) -> bool:
        """Whether the hidden state is a projection of the cell's output (``proj_size > 0``)."""
        initial = self._initial
        return initial[0].shape[2] != initial[-1].shape[2]

    def recorded(self, name: str) -> Tensor:
        """Return the values of one place, always time first: ``[steps, N, units]``.

        Raises:
            NameUnknownError: the place was not recorded.
            DtypeError: its memory was freed.
        """
        if name in self.values:
            check_memory(self.values[name], name)
            return self.values[name]
        parse_place(name, *self.layers)  # first checks whether the LSTM has this place at all
        raise NameUnknownError(
            f"{name!r} was not recorded; the recorded places are {' '.join(self.names)}. Add it to keep=, or omit "
            "keep= (pre-activations are recorded with pre=True)"
        )

    def _check_memory(self) -> None:
        """Check that every recorded tensor still has its memory."""
        check_memory_of((f"trace.{field.name}", getattr(self, field.name)) for field in fields(self))

    def __reduce_ex__(self, protocol: Any) -> Any:  # how records are copied and pickled
        self._check_memory()
        return super().__reduce_ex__(protocol)

    def _position(self, t: int) -> int:
        if t not in self._positions:
            raise IndexRangeError(
                f"step {t} was not recorded; the recorded steps are {_spans(self.steps)}. Trace again with steps= that "
                "include it"
            )
        return self._positions[t]

    @cached_property
    def _positions(self) -> Mapping[int, int]:
        return {t: k for k, t in enumerate(self.steps)}

    def cell_before(self, layer: int = 0, reverse: bool = False, row: int = 0) -> Tensor:
        """Return the cell state before each recorded real step of one row: ``[steps, H]``.

        That is the cell state (the hidden state, if there is no cell state) of the step read before, the initial state,
        or (after a reset) zero or the state from ``reset_to``; NaN if the step read before was not recorded.

        Raises:
            NameUnknownError: no such layer or direction.
            IndexRangeError: no such row.
        """
        self._check_memory()
        place = parse_place(str(Place(layer, reverse, self.layers.cell.memory)), *self.layers)
        row = resolve_one(row, self.batch, "row")
        begins = self._initial[-1]
        unknown = torch.full_like(begins[0, row], float("nan"))
        source = self._cell_states(place)
        if source is not None and self.reset is None and len(self.steps) == self.length:  # takes all steps at once
            first, known = begins[None, self._layer_number(place), row], source[: self.row_length(row), row]
            return torch.cat([known[1:], first] if place.reverse else [first, known[:-1]])[: len(known)]
        real = [t for t in self.steps if t < self.row_length(row)]
        states = [self._cell_before(place, t, row) for t in real]
        if not states:
            return unknown.new_empty(0, len(unknown))
        return torch.stack([unknown if state is None else state for state in states])

    def _cell_before(self, place: Place, t: int, row: int) -> Tensor | None:
        """Return the cell state ``[H]`` before a step, or None if the step read before was not recorded."""
        step_before, border = (t + 1, t + 1) if place.reverse else (t - 1, t)
        first = self.row_length(row) - 1 if place.reverse else 0
        initial = self._initial[-1][self._layer_number(place), row]
        entered = place.reverse and t == first  # a border after a row's last step does not belong to it
        if self.reset is not None and border < self.length and self.reset[border, row] and not entered:
            if self.reset_to is None:
                return torch.zeros_like(initial)
            states = self.layers.cell.parts_of(self.reset_to)[-1][self._layer_number(place)]
            return states[row if len(states) == self.batch else border * self.batch + row]
        if t == first:
            return initial
        source = self._cell_states(place)
        if source is None or step_before not in self._positions:
            return None
        return source[self._position(step_before), row]

    def _layer_number(self, place: Place) -> int:
        return place.layer * (1 + self.bidirectional) + place.reverse

    def _cell_states(self, place: Place) -> Tensor | None:
        """Return the cell states that were passed on, ``[steps, N, H]``, if they were recorded."""
        return self.carried.get(place.layer_direction.name, self.values.get(str(place)))


def _spans(steps: Iterable[int]) -> str:
    """Format a list of steps compactly.

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


@dataclass(frozen=True)
class Moment(Mapping[str, float]):
    """The values of one unit, in one layer and direction, at one time step of one batch row.

    A mapping from names to numbers: the gates ``i f g o``, the cell state before and after the step (``c_prev``,
    ``c``), the hidden state ``h`` (with a projection, the unit's output ``m`` before it instead, since h mixes all
    units), and the pre-activations if they were recorded. For a GRU: ``r z n``, ``h_prev`` and ``h``. Names that the
    trace did not record are absent. ``str()`` writes the equations with their numbers.
    """

    t: int
    unit: int
    layer: int
    reverse: bool
    row: int
    token: str | None
    numbers: Mapping[str, float]
    eps: float  # relative rounding error of the run's data type
    tiny: float  # its smallest normal number, below which the rounding error is absolute
    cell: Cell = LSTM

    def __getitem__(self, name: str) -> float:
        return self.numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def __str__(self) -> str:
        gates = [line for gate in self.cell.gates for line in (*self._part_line(gate), *self._gate_line(gate))]
        return "\n  ".join([self._title(), *gates, *self.state_lines()])

    def _title(self) -> str:
        token = "" if self.token is None else f" {self.token!r}"
        return (
            f"{LayerDirection(self.layer, self.reverse).name}, step {self.t}{token}, unit {self.unit}, row {self.row}"
        )

    def _part_line(self, gate: Gate) -> list[str]:
        """Return the equation of the recurrent part of a gate that another gate multiplies."""
        names = [part.name for part in self.cell.parts if part.gate == gate.name]
        if gate.scale is None or not {gate.scale, *names} <= self.keys():
            return []
        before, after = names
        product = self[gate.scale] * self[before]
        numbers = f"{self._factor_text(gate.scale)}·{self._factor_text(before)} = {_n(product)}"
        line = f"{after} = {gate.scale}·{before} = {numbers}   {self.cell.meanings[after]}"
        return [line + self._edited(after, product, abs(product))]

    def _gate_line(self, gate: Gate) -> list[str]:
        name, pre = gate.name, f"{gate.name}_pre"
        if pre not in self:
            return [f"{name} = {_n(self[name])}   {gate.meaning}"] if name in self else []
        value = gate(torch.tensor(self[pre], dtype=torch.float64)).item()
        line = f"{name} = {gate.symbol}({_n(self[pre])}) = {_n(value)}   {gate.meaning}"
        return [line + self._edited(name, value, 1.0)]

    def state_lines(self) -> list[str]:
        """Return the equations of the states with their numbers, one line each."""
        return [line for state in self.cell.states if state.terms for line in self._state_line(state)]

    def _state_line(self, state: State) -> list[str]:
        name = "m" if state is self.cell.states[-1] and "m" in self else state.name
        factors = {factor: self._factor(factor) for term in state.terms for factor in term}
        if None in factors.values():
            return [f"{name} = {_n(self[name])}"] if name in self else []
        products = [math.prod(factors[factor] or 0.0 for factor in term) for term in state.terms]
        total = sum(products)
        numbers = " + ".join("·".join(self._factor_text(factor) for factor in term) for term in state.terms)
        sums = [f"{_n(products[0])}", *(f"{'-' if p < 0 else '+'} {_n(abs(p))}" for p in products[1:])]
        added = f" = {' '.join(sums)}" if len(products) > 1 else ""
        line = f"{name} = {state.equation('·')} = {numbers}{added} = {_n(total)}"
        return [line + self._edited(name, total, sum(map(abs, products)))]

    def _factor(self, factor: str) -> float | None:
        """Return the value of a factor of a state's equation, or None if the trace did not record it."""
        name = factor.removeprefix("tanh").removeprefix("(1-").removeprefix("(").removesuffix(")")
        if name not in self:
            return None
        if factor.startswith("(1-"):
            return 1 - self[name]
        return self[name] if name == factor else math.tanh(self[name])

    def _factor_text(self, factor: str) -> str:
        if factor.startswith("tanh("):
            return f"tanh({_n(self[factor[5:-1]])})"
        if factor.startswith("(1-"):
            return f"(1-{self._factor_text(factor[3:-1])})"
        return _n(self[factor]) if self[factor] >= 0 else f"({_n(self[factor])})"

    def _edited(self, name: str, computed: float, size: float) -> str:
        """Return a note if the run's value differs from the equation's result, which means that an edit set it."""
        held = self.get(name, computed)
        if not abs(held - computed) > 16 * (self.eps * size + self.tiny):  # NaN and infinity do not indicate an edit
            return ""
        return f"   (edited: the run has {_n(held)})"


def _n(value: float) -> str:
    return f"{value:.4f}"
