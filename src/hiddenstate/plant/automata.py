"""Automata as data, any automaton as one LSTM or GRU layer, and stacks of brackets as automata."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import tanh
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from hiddenstate.base.scalars import check_int
from hiddenstate.base.validation import check_memory
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError
from hiddenstate.plant.planted import LEAK, SHARP, Plant, Wires, wired

Delta = Mapping[tuple[Any, Any], Any]  # mapping keys are invariant, so no narrower type accepts every table

ON = {"LSTM": tanh(1), "GRU": 1.0}  # the hidden state of a unit that is on, by kind of cell
MOST_UNITS = 1024  # at this size, the weights take 34 MB in float64
BRACKETS = (("(", ")"), ("[", "]"), ("{", "}"), ("<", ">"))
ERROR = "error"


@dataclass(frozen=True, eq=False)
class Machine:
    """A complete deterministic finite automaton, with a unit for each state and the symbol read in it.

    Attributes:
        delta: maps (state, symbol) to the next state.
        start: the initial state.
        states: every state, in the order of delta.
        symbols: every symbol; a symbol's index is its input feature.
        silent: the symbol that the zero input stands for, or None.
        on: the hidden state of a unit that is on; the others are 0.
    """

    delta: Delta
    start: Hashable
    states: tuple[Hashable, ...]
    symbols: tuple[Hashable, ...]
    silent: Hashable = None
    on: float = tanh(1)

    @property
    def pairs(self) -> list[tuple[Hashable, Hashable]]:
        """The meaning of each unit: (state, symbol read in it)."""
        return [(state, symbol) for state in self.states for symbol in self.symbols]

    def run(self, word: Sequence[Hashable]) -> list[Any]:
        """Return the state after each symbol, computed only from the table.

        Raises:
            NameUnknownError: no such symbol.
        """
        state, states = self.start, []
        for symbol in word:
            if symbol not in self.symbols:
                raise NameUnknownError(f"no symbol {symbol!r} in this automaton: it reads {self.symbols}")
            state = self.delta[state, symbol]
            states.append(state)
        return states

    def unit(self, state: Hashable, symbol: Hashable) -> int:
        """Return the unit that is on when a symbol was read in a state.

        Raises:
            NameUnknownError: no such state or symbol.
        """
        if state not in self.states or symbol not in self.symbols:
            raise NameUnknownError(f"this automaton has no state {state!r} with a symbol {symbol!r}")
        return self.states.index(state) * len(self.symbols) + self.symbols.index(symbol)

    def encode(self, word: Sequence[Hashable]) -> Tensor:
        """Return a word as inputs ``[T, 1, C]`` in float64: a 1 at each symbol's feature.

        Raises:
            NameUnknownError: no such symbol.
        """
        self.run(word)
        return self._rows(torch.tensor([self.symbols.index(symbol) for symbol in word], dtype=torch.int64))[:, None]

    def words(self, x: Tensor) -> list[list[Hashable]]:
        """Return the word of each row of inputs ``[T, N, C]``.

        Raises:
            ArgumentError: a step is not a symbol.
        """
        count = x.sum(-1)
        plain = bool(((x == 0) | (x == 1)).all() and (count <= 1).all())
        if not plain or (self.silent is None and not bool((count == 1).all())):
            many = "one 1" if self.silent is None else "at most one 1"
            raise ArgumentError(
                f"these inputs do not encode a word of this automaton: each step must have {many}; use encode()"
            )
        names = [*self.symbols, self.silent]
        return [[names[k] for k in torch.where(row.sum(-1) > 0, row.argmax(-1), -1).tolist()] for row in x.unbind(1)]

    def decode(self, h: Tensor) -> list[Any]:
        """Return, as one list, the automaton's state for each hidden state ``[..., H]``, read from the largest unit."""
        check_memory(h, "h")
        flat = h.reshape(-1, h.shape[-1])
        after = [*(self.delta[pair] for pair in self.pairs), self.start]
        top = flat.max(-1)
        return [after[k] for k in torch.where(top.values > self.on / 2, top.indices, -1).tolist()]

    def draw(self, generator: Generator, T: int) -> Tensor:
        """Draw a random word: ``[T, C]``."""
        return self._rows(torch.randint(0, len(self.symbols), (T,), generator=generator))

    def told(self, x: Tensor, unit: int) -> Tensor:
        """Return a unit's hidden state after each step of ``[T, N, C]``."""
        columns = []
        for word in self.words(x):
            before = [self.start, *self.run(word)[:-1]]
            columns.append([self.on * (self.unit(q, a) == unit) for q, a in zip(before, word, strict=True)])
        return torch.tensor(columns, dtype=x.dtype).T

    def _rows(self, numbers: Tensor) -> Tensor:
        rows = torch.eye(len(self.symbols), dtype=torch.float64)
        if self.silent is not None:
            rows[self.symbols.index(self.silent)] = 0
        return rows[numbers]


def check_machine(delta: Delta, start: Hashable, silent: Hashable = None, cell: str = "LSTM") -> Machine:
    """Check an automaton's table."""
    if cell not in ON:
        raise ArgumentError(f"an automaton can only be planted in an {' or a '.join(ON)}, got cell={cell!r:.50}")
    if not isinstance(delta, Mapping) or not delta or not all(isinstance(k, tuple) and len(k) == 2 for k in delta):
        raise ArgumentTypeError(
            "delta must be a mapping from (state, symbol) to the next state, with at least one entry"
        )
    states, symbols = (tuple(dict.fromkeys(key[part] for key in delta)) for part in (0, 1))
    if len(states) * len(symbols) > MOST_UNITS:
        raise ArgumentError(
            f"{len(states)} states times {len(symbols)} symbols are more than {MOST_UNITS} units; give a smaller "
            "automaton"
        )
    for state in dict.fromkeys((*states, *delta.values(), start)):
        missing = [symbol for symbol in symbols if (state, symbol) not in delta]
        if missing:
            raise ArgumentError(
                f"delta has no entry for state {state!r} and symbol {missing[0]!r}; each state needs every symbol"
            )
    if silent is not None and silent not in symbols:
        raise ArgumentError(f"the silent symbol {silent!r} is not one of delta's symbols: {symbols}")
    return Machine(dict(delta), start, states, symbols, silent, ON[cell])


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AutomatonPlant(Plant):
    """A plant that is a deterministic finite automaton.

    Attributes:
        machine: the automaton: its table, the meaning of each unit, and conversions of words to inputs and of hidden
            states to states.
    """

    machine: Machine


def automaton(
    delta: Delta,
    start: Hashable,
    *,
    silent: Hashable = None,
    cell: Literal["LSTM", "GRU"] = "LSTM",
    dtype: torch.dtype = torch.float64,
) -> AutomatonPlant:
    """Plant a complete deterministic finite automaton as one layer of (states x symbols) units.

    Unit (q, a) means "a was read in q": ``f = 0``, ``g = o = 1`` and ``i = σ(L(Σ h_(p,e)/tanh 1 + x_a - 3/2))``, summed
    over the (p, e) that lead to q, with L = 40. For the start state ``i = σ(L(x_a - 1/2 - Σ h_(p,e)/tanh 1))``, summed
    over the (p, e) that lead elsewhere, so that the zero state is the start. In a GRU, r is that gate, ``z = 0`` and
    ``n = tanh(r·L)``, and h itself takes the place of ``h / tanh 1``.

    Args:
        delta: maps (state, symbol) to the next state, for every state and symbol.
        start: the initial state.
        silent: a symbol that is encoded as the zero input instead of as a 1 in its own feature, so that removing a
            step's input replaces its symbol with this one.
        cell: the kind of cell, ``"LSTM"`` or ``"GRU"``.
        dtype: the data type of the parameters.

    Raises:
        ArgumentError: the automaton is not complete, has more than 1,024 units, or no such start or silent symbol; or
            the cell is of another kind.
        ArgumentTypeError: delta is not a mapping from pairs, or the dtype is not precise enough.

    >>> parity = automaton({("even", 1): "odd", ("odd", 1): "even"}, "even")
    >>> parity.machine.run([1, 1, 1])
    ['odd', 'even', 'odd']
    """
    machine = check_machine(delta, start, silent, cell)
    return _planted(_name(cell), machine, machine.unit(start, machine.symbols[0]), machine.draw, dtype, cell)


def flip_flop(*, cell: Literal["LSTM", "GRU"] = "LSTM", dtype: torch.dtype = torch.float64) -> AutomatonPlant:
    """Plant the automaton of a switch: ``set`` turns it on, ``reset`` turns it off, ``wait`` (the zero input) keeps it.

    The target is on if the last symbol was ``wait`` and the switch is on.

    Args:
        cell: the kind of cell, ``"LSTM"`` or ``"GRU"``.
        dtype: the data type of the parameters.

    Raises:
        ArgumentError: the kind of cell is not supported.
        ArgumentTypeError: the dtype is not precise enough.
    """
    states = ("off", "on")
    delta = {(q, a): {"set": "on", "reset": "off", "wait": q}[a] for q in states for a in ("set", "reset", "wait")}
    machine = check_machine(delta, "off", "wait", cell)
    return _planted(_name(cell), machine, machine.unit("on", "wait"), partial(_one_set, machine), dtype, cell)


def dyck(k: int = 2, m: int = 2, *, dtype: torch.dtype = torch.float64) -> AutomatonPlant:
    """Plant a stack: k kinds of brackets, nested at most m deep, as an automaton over the stack's contents.

    A state is the string of brackets that are open; a closing bracket that does not fit, or one opened too deep, leads
    to the state ``"error"`` for good. It has ``2k·(1 + Σ_{j ≤ m} k^j)`` units. The target is on if a pair of round
    brackets was just closed at the lowest level.

    Args:
        k: the number of kinds of brackets, 1 to 4: ``()``, ``[]``, ``{}``, ``<>``.
        m: the maximum depth.
        dtype: the data type of the parameters.

    Raises:
        ArgumentError: k or m is out of range, or there would be more than 1,024 units.
        ArgumentTypeError: k or m is not an int, or the dtype is not precise enough.
    """
    k, m = check_int("k", k), check_int("m", m)
    if not 1 <= k <= len(BRACKETS) or m < 1:
        raise ArgumentError(
            f"dyck takes 1 to {len(BRACKETS)} kinds of brackets and a depth of at least 1, got {k}, {m}"
        )
    states, depth = 2, 0  # the empty stack and the error state
    while depth < m and 2 * k * states <= MOST_UNITS:
        depth += 1
        states += k**depth
    if 2 * k * states > MOST_UNITS:
        raise ArgumentError(f"{k} kinds of brackets {m} deep take more than {MOST_UNITS} units; make k or m smaller")
    machine = check_machine(dict(_stack_rules(BRACKETS[:k], m)), "")
    return _planted("dyck", machine, machine.unit("(", ")"), partial(_mostly_balanced, machine, m), dtype)


def _name(cell: str) -> str:
    return "automaton" if cell == "LSTM" else f"{cell} automaton"


def _planted(
    name: str,
    machine: Machine,
    unit: int,
    draw: Callable[[Generator, int], Tensor],
    dtype: torch.dtype,
    cell: str = "LSTM",
) -> AutomatonPlant:
    units, states, symbols = (len(part) for part in (machine.pairs, machine.states, machine.symbols))
    return AutomatonPlant(
        name=name,
        lstm=wired((symbols, units, 1), _wires(machine, cell), dtype, cell),
        truth=f"an automaton of {states} states and {symbols} symbols, from {machine.start!r}",
        roles={f"l0.h[{u}]": f"{symbol!r} was read in {state!r}" for u, (state, symbol) in enumerate(machine.pairs)},
        target=f"l0.h[{unit}]",
        tolerance=2 * LEAK * (1 if cell == "LSTM" else SHARP),
        draw=draw,
        tell=partial(machine.told, unit=unit),
        machine=machine,
    )


def _wires(machine: Machine, cell: str) -> Wires:
    """Return the weights of `automaton`'s construction."""
    states, symbols = machine.states, machine.symbols
    mine = torch.tensor([states.index(q) for q, _ in machine.pairs])  # the state in which each unit was on
    leads_to = torch.tensor([states.index(machine.delta[pair]) for pair in machine.pairs])
    starts = (mine == states.index(machine.start))[:, None]
    here = mine[:, None] == leads_to
    recurrent = torch.where(starts, -(~here).double(), here.double()) * SHARP / machine.on
    bias = torch.where(starts[:, 0], -SHARP / 2, -3 * SHARP / 2).double()
    inputs = torch.eye(len(symbols), dtype=torch.float64).repeat(len(states), 1) * SHARP
    if machine.silent is not None:  # x of the silent token is 1 minus the sum of the others
        k = symbols.index(machine.silent)
        inputs[k :: len(symbols)], bias[k :: len(symbols)] = -SHARP, bias[k :: len(symbols)] + SHARP
        inputs[:, k] = 0
    held = torch.full((len(mine),), SHARP, dtype=torch.float64)
    gate = "i" if cell == "LSTM" else "r"
    others = {"f": -held, "g": held, "o": held} if cell == "LSTM" else {"z": -held}
    gates = {f"l0.b_i{name}": value for name, value in others.items()}
    gates |= {} if cell == "LSTM" else {"l0.b_hn": held}  # the part that r multiplies
    return {f"l0.W_i{gate}": inputs, f"l0.W_h{gate}": recurrent, f"l0.b_i{gate}": bias, **gates}


def _stack_rules(pairs: Sequence[tuple[str, str]], m: int) -> Iterator[tuple[tuple[str, str], str]]:
    stacks = [""]
    for stack in stacks:  # grows during the loop
        fits = len(stack) < m
        for opening, closing in pairs:
            yield (stack, opening), stack + opening if fits else ERROR
            yield (stack, closing), stack[:-1] if stack.endswith(opening) else ERROR
            stacks += [stack + opening] if fits else []
    for opening, closing in pairs:
        yield (ERROR, opening), ERROR
        yield (ERROR, closing), ERROR


def _one_set(machine: Machine, generator: Generator, T: int) -> Tensor:
    """Draw resets and waits, one set, then waits."""
    at = int(torch.randint(0, T - 1, (1,), generator=generator))
    before = ["reset" if reset else "wait" for reset in torch.rand(at, generator=generator) < 0.5]
    return machine.encode([*before, "set", *["wait"] * (T - 1 - at)])[:, 0]


def _mostly_balanced(machine: Machine, m: int, generator: Generator, T: int) -> Tensor:
    """Draw brackets that mostly match."""
    word: list[Hashable] = []
    state = machine.start
    for wish in torch.rand(T, generator=generator).tolist():
        fitting = [a for a in machine.symbols if machine.delta[state, a] != ERROR]
        choice = machine.symbols if not fitting or wish < 1 / (4 * m) / T else fitting
        word.append(choice[int(torch.randint(0, len(choice), (1,), generator=generator))])
        state = machine.delta[state, word[-1]]
    return machine.encode(word)[:, 0]
