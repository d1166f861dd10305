"""Any complete deterministic finite automaton as one LSTM or GRU layer, and stacks of brackets as such automata."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Generator, Tensor

from hiddenstate.base.scalars import check_int
from hiddenstate.errors import ArgumentError
from hiddenstate.plant.machine import MOST_UNITS, Delta, Machine, check_machine
from hiddenstate.plant.planted import Plant
from hiddenstate.plant.wiring import LEAK, SHARP, Wires, wired

BRACKETS = (("(", ")"), ("[", "]"), ("{", "}"), ("<", ">"))
ERROR = "error"


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
