"""Planted networks: LSTMs whose weights are set by hand, so that what they compute is known, with that truth as data.

What explains an LSTM is tested on them: a method that is right must find here what was planted. A plant holds an
ordinary `hiddenstate.LSTM` and says nothing about how it is explained; the methods live above this room.
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
