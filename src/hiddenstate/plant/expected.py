"""A table of the expected result of each attribution method on each plant: what it finds and misses, and why."""

from collections.abc import Mapping
from functools import partial
from typing import Literal, NamedTuple

from hiddenstate.plant.automata import flip_flop
from hiddenstate.plant.cells import bistable, copied_unread, counter, gru_counter, gru_latch, integrator, latch
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


_finds, _misled, _nothing = (partial(Expectation, verdict) for verdict in ("finds", "misled", "sees nothing"))


_SATURATED = "the gate is saturated on either side of its threshold, so its derivative is 0"
_REMOVED = "the true worth of a step is what the target loses when its input becomes zero: exactly what this measures"
_ONE_PATH = "its parts sum to the change in the target, and a step whose input is zero gets none"
_ORDERS = "it averages over all orders of the steps; only a step that changes the target in some order gets a share"
_CELL = "the cell state is the sum of what was written, scaled by the forget gates"
_CONTENT = "the content enters through g; with frozen gates, the cell state is a sum of what entered through g"
_CONSTANT = "g is constant, so its bias gets everything; that a gate opened is not counted"
_STATE = "h is the sum of what was written, scaled by the update gates"
_START = "the start wrote h and is worth the most; ups fade it by the gate alone, which is not counted"
_STEEPER = Expectation(
    "in part", "each wait makes the switch steeper, until no number of points resolves it; the sum is then wrong"
)
_SPAN = "it follows a span through the gates too, by dividing their values among the inputs"

_LSTMS = ("latch", "latch, gate", "bistable", "counter", "automaton", "integrator", "copied_unread")
_EVERY = (*_LSTMS, "GRU latch", "GRU counter", "GRU automaton")

# Maps methods, then plants, to the expected finding.
EXPECTED: Mapping[str, Mapping[str, Expectation]] = {
    "gradient": {
        "latch": _finds("g is not saturated, so c changes with the value that was written"),
        "latch, gate": _nothing(_SATURATED),
        "bistable": _misled("the state returns to its stable point, so only the last small pushes still move it"),
        "counter": _nothing(
            "g is saturated at 1 or -1; where both inputs are 0, its slope is multiplied by an input of 0"
        ),
        "automaton": _nothing(_SATURATED),
        "integrator": _finds("tanh is nearly linear for inputs below 1"),
        "copied_unread": _finds("tanh is nearly linear for inputs below 1, and no path leads on from the unread copy"),
        "GRU latch": _finds("n is not saturated, so h changes with the value that was written"),
        "GRU counter": _misled("z and n are saturated at a start; only z at the ups has a slope"),
        "GRU automaton": _nothing(_SATURATED),
    },
    "integrated_gradients": {
        **dict.fromkeys(_EVERY, _finds(_ONE_PATH)),
        "latch, gate": _finds("the path from zero to the input crosses the gate's threshold"),
        "bistable": _finds(
            "if there are enough points: near zero, where the state leaves the saddle, the target changes abruptly"
        ),
        "automaton": _STEEPER,
        "GRU automaton": _STEEPER,
    },
    "frozen": {
        **dict.fromkeys(_EVERY, _finds(_CONTENT)),
        "latch, gate": _nothing(_CONSTANT),
        "bistable": _finds("the state returns through g, so it can be traced back to the push that caused it"),
        "automaton": _nothing(_CONSTANT),
        "GRU latch": _finds("the content enters through n; with frozen gates, h is a sum of what entered through n"),
        "GRU counter": _finds(_START),
        "GRU automaton": _nothing("the bias of n gets everything; that r let the state through is not counted"),
    },
    "cd": dict.fromkeys(_LSTMS, _finds(_SPAN)),  # cd has no rule for a GRU
    "ledger": {
        **dict.fromkeys(_EVERY, _finds(_CELL)),
        "bistable": _misled("the cell forgets at once; the state survives through h, from which it is rewritten"),
        "automaton": _misled("the cell is rewritten at every step; the state survives through h"),
        "copied_unread": _finds("layer 1 sums what it reads at each step, and it reads only the first copy"),
        "GRU latch": _finds(_STATE),
        "GRU counter": _finds(_START),
        "GRU automaton": _misled("h is overwritten at every step; the state survives through r"),
    },
    "occlusion": dict.fromkeys(_EVERY, _finds(_REMOVED)),
    "shapley": dict.fromkeys(_EVERY, _finds(_ORDERS)),
}
