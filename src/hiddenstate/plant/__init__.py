"""Planted networks: LSTMs and GRUs with weights set by hand, so that their function is known and available as data.

They are used to test explanation tools, because a correct method must find what was planted. A plant contains an
ordinary `hiddenstate.LSTM` or `GRU` and does not depend on explanation tools.

- `planted.py`: `Plant`: the layer, its function, the roles of its units, inputs, and expected results
- `wiring.py`: sets weights by hand
- `cells.py`: one-unit plants: latches, an integrator, a counter, two stable points
- `gru.py`: a one-unit latch and a one-unit counter, as GRUs
- `copies.py`: two layers, with a copy that nothing reads
- `machine.py`: automata as data: run over words, encoded as inputs and hidden states
- `automata.py`: any automaton as one layer; a switch; stacks of brackets
- `expected.py`: the expected result of each attribution method on each plant, and why
"""

from hiddenstate.plant.automata import AutomatonPlant, automaton, dyck, flip_flop
from hiddenstate.plant.cells import bistable, counter, integrator, latch
from hiddenstate.plant.copies import copied_unread
from hiddenstate.plant.expected import EXPECTED, Expectation, Verdict, garden
from hiddenstate.plant.gru import gru_counter, gru_latch
from hiddenstate.plant.machine import Machine
from hiddenstate.plant.planted import Plant

__all__ = [
    "EXPECTED",
    "AutomatonPlant",
    "Expectation",
    "Machine",
    "Plant",
    "Verdict",
    "automaton",
    "bistable",
    "copied_unread",
    "counter",
    "dyck",
    "flip_flop",
    "garden",
    "gru_counter",
    "gru_latch",
    "integrator",
    "latch",
]
