"""Deterministic finite automata as data: run over words, encoded as the inputs and states of a planted LSTM."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import tanh
from typing import Any

import torch
from torch import Generator, Tensor

from hiddenstate.base.validation import check_memory
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError

Delta = Mapping[tuple[Any, Any], Any]  # mapping keys are invariant, so no narrower type accepts every table

ON = {"LSTM": tanh(1), "GRU": 1.0}  # the hidden state of a unit that is on, by kind of cell
MOST_UNITS = 1024  # at this size, the weights take 34 MB in float64


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
        """Return, as one list, the automaton's state for each hidden state ``[..., H]``: that of the largest unit."""
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
    """Check an automaton's table.

    Raises:
        ArgumentError: it is not complete, has more than 1,024 units, or no such start or silent symbol; or the cell is
            neither an LSTM nor a GRU.
        ArgumentTypeError: it is not a mapping from pairs.
    """
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
