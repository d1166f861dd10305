"""Planted networks: LSTMs whose weights are set by hand, so that what they compute is known, with that truth as data.

Tools of explanation are tested on them: a correct method must find what was planted. A plant holds an ordinary
`hiddenstate.LSTM` and knows nothing about how it is explained.

- `planted.py`: `Plant`: the LSTM, what it computes, who does what, inputs, what to expect
- `wiring.py`: sets weights by hand
- `cells.py`: plants of one unit: latches, an integrator, a counter, two stable points
- `copies.py`: two layers, where something is copied that nothing reads
- `machine.py`: automata as data: run over words, coded as inputs and hidden states
- `automata.py`: any automaton as one layer; a switch; stacks of brackets
- `expected.py`: what each method of attribution should find on each plant, and why
"""

from hiddenstate.plant.automata import AutomatonPlant, automaton, dyck, flip_flop
from hiddenstate.plant.cells import bistable, counter, integrator, latch
from hiddenstate.plant.copies import copied_unread
from hiddenstate.plant.expected import EXPECTED, Expectation, Verdict, garden
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
    "integrator",
    "latch",
]
