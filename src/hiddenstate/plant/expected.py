"""A table of the expected result of each attribution method on each plant: what it finds and misses, and why."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from hiddenstate.plant.automata import flip_flop
from hiddenstate.plant.cells import bistable, counter, integrator, latch
from hiddenstate.plant.copies import copied_unread
from hiddenstate.plant.gru import gru_counter, gru_latch
from hiddenstate.plant.planted import Plant

Verdict = Literal["finds", "in part", "misled", "sees nothing"]


class Expectation(NamedTuple):
    """The expected result of a method on a plant, and the reason.

    ``"finds"``: its scores are proportional to each step's worth. ``"in part"``: they tend to be.
    ``"misled"``: it scores other steps. ``"sees nothing"``: its scores are zero or nearly zero.
    """

    verdict: Verdict
    why: str


def garden(cell: Literal["LSTM", "GRU"] | None = None) -> dict[str, Plant]:
    """Return one plant of each kind on which attributions are tested, by name.

    `hiddenstate.plant.dyck` is omitted: the zero input is not one of its symbols, so no step can be removed.

    Args:
        cell: only plants with this kind of cell.
    """
    plants = (
        latch(),
        latch(content="gate"),
        bistable(),
        counter(),
        flip_flop(),
        integrator(),
        copied_unread(),
        gru_latch(),
        gru_counter(),
        flip_flop(cell="GRU"),
    )
    return {plant.name: plant for plant in plants if cell in (None, plant.lstm.mode)}


def _finds(why: str) -> Expectation:
    return Expectation("finds", why)


def _nothing(why: str) -> Expectation:
    return Expectation("sees nothing", why)


_SATURATED = "the gate that opens is flat on either side of its threshold, so its derivative is 0"
_REMOVED = "the truth is what the target loses when a step's input becomes zero, which is what it measures"
_ONE_PATH = "its parts sum to the change of the target, and a step of zero input gets none"
_ORDERS = "averaged over all orders of the steps, only a step that changes the target in some order gets a share"
_CELL = "what the cell holds is the sum of what was written, kept by the forget gates"
_CONTENT = "the content comes through g, and with the gates frozen the cell is a sum over what came through g"
_CONSTANT = "g is constant, so all goes to its bias: that a gate opened is not in what it shares out"
_STATE = "what h holds is the sum of what was written, kept by the update gates"
_START = "the start wrote h and is worth the most; that ups fade it, by the gate alone, is not in what it shares out"
_SPAN = "the part of a span goes through the gates too, which it splits into their share of each input"

_LSTMS = ("latch", "latch, gate", "bistable", "counter", "automaton", "integrator", "copied_unread")
_EVERY = (*_LSTMS, "GRU latch", "GRU counter", "GRU automaton")

# Maps methods, then plants, to the expected finding.
EXPECTED: Mapping[str, Mapping[str, Expectation]] = {
    "gradient": {
        "latch": _finds("where g is not saturated its slope is open: c changes with the value that was written"),
        "latch, gate": _nothing(_SATURATED),
        "bistable": Expectation("misled", "the state is drawn to its stable point: only the last small pushes move it"),
        "counter": _nothing("g is saturated at 1, -1 and, where both inputs are 0, multiplied by an input of 0"),
        "automaton": _nothing(_SATURATED),
        "integrator": _finds("tanh is nearly straight for inputs below 1"),
        "copied_unread": _finds("tanh is nearly straight for inputs below 1; no path leads on from the unread copy"),
        "GRU latch": _finds("where n is not saturated its slope is open: h changes with the value that was written"),
        "GRU counter": Expectation(
            "misled", "z and n are flat at a start, so only the ups, where z is not, have a slope"
        ),
        "GRU automaton": _nothing(_SATURATED),
    },
    "integrated_gradients": {
        "latch": _finds(_ONE_PATH),
        "latch, gate": _finds("the way from zero to the input goes through the gate's threshold"),
        "bistable": _finds("with points enough: near zero, where the state leaves the saddle, the way is very steep"),
        "counter": _finds(_ONE_PATH),
        "automaton": Expectation(
            "in part", "each wait makes the switch steeper, so that no number of points meets it; the sum is then off"
        ),
        "integrator": _finds(_ONE_PATH),
        "copied_unread": _finds(_ONE_PATH),
        "GRU latch": _finds(_ONE_PATH),
        "GRU counter": _finds(_ONE_PATH),
        "GRU automaton": Expectation(
            "in part", "each wait makes the switch steeper, so that no number of points meets it; the sum is then off"
        ),
    },
    "frozen": {
        "latch": _finds(_CONTENT),
        "latch, gate": _nothing(_CONSTANT),
        "bistable": _finds("the state comes back through g, so it can be followed to the push that brought it"),
        "counter": _finds(_CONTENT),
        "automaton": _nothing(_CONSTANT),
        "integrator": _finds(_CONTENT),
        "copied_unread": _finds(_CONTENT),
        "GRU latch": _finds(
            "the content comes through n, and with the gates frozen h is a sum over what came through n"
        ),
        "GRU counter": _finds(_START),
        "GRU automaton": _nothing("n gets all from its bias: that r let it through is not in what it shares out"),
    },
    "cd": {name: _finds(_SPAN) for name in _LSTMS},  # cd has no rule for a GRU
    "ledger": {
        "latch": _finds(_CELL),
        "latch, gate": _finds(_CELL),
        "bistable": Expectation("misled", "the cell forgets at once; the state lives on through h, written anew"),
        "counter": _finds(_CELL),
        "automaton": Expectation("misled", "the cell is written anew at every step; the state goes round through h"),
        "integrator": _finds(_CELL),
        "copied_unread": _finds("layer 1 sums what it read at each step, and reads only the first copy"),
        "GRU latch": _finds(_STATE),
        "GRU counter": _finds(_START),
        "GRU automaton": Expectation("misled", "h is overwritten at every step; the state goes round through r"),
    },
    "occlusion": {name: _finds(_REMOVED) for name in _EVERY},
    "shapley": {name: _finds(_ORDERS) for name in _EVERY},
}
