"""Planted networks: LSTMs and GRUs with weights set by hand, so that their function is known and available as data.

They are used to test explanation tools, because a correct method must find what was planted. A plant contains an
ordinary `hiddenstate.LSTM` or `GRU` and does not depend on explanation tools.

- `planted.py`: `Plant`: the layer, its function, the roles of its units, inputs, and expected results; sets weights
- `cells.py`: one-unit plants: latches, an integrator, counters, two stable points; two layers with an unread copy
- `automata.py`: automata as data; any automaton as one layer; a switch; stacks of brackets
- `series.py`: plants that read several features: a delay, a sum, a gate that one feature opens for another
- `expected.py`: the expected result of each attribution method on each plant, and why
"""

from hiddenstate.plant.automata import AutomatonPlant, Machine, automaton, dyck, flip_flop
from hiddenstate.plant.cells import bistable, copied_unread, counter, gru_counter, gru_latch, integrator, latch
from hiddenstate.plant.expected import EXPECTED, Expectation, Verdict, garden
from hiddenstate.plant.planted import Plant
from hiddenstate.plant.series import accumulator, delay, opened

__all__ = [
    "EXPECTED",
    "AutomatonPlant",
    "Expectation",
    "Machine",
    "Plant",
    "Verdict",
    "accumulator",
    "automaton",
    "bistable",
    "copied_unread",
    "counter",
    "delay",
    "dyck",
    "flip_flop",
    "garden",
    "gru_counter",
    "gru_latch",
    "integrator",
    "latch",
    "opened",
]
