"""`limits`: what a target can never exceed, because states are bounded and a linear layer reads them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hiddenstate.edits.resolve import edits_in_force
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.result.explanation import Explanation, Row
from hiddenstate.explain.result.terminal import bar, definite, number, sentence
from hiddenstate.explain.subject.series import SeriesCase, SeriesTarget, are_equal, linear_target, series_case
from hiddenstate.explain.subject.series_sources import explained_series
from hiddenstate.explain.subject.subject import Subject, weights_of_gates
from hiddenstate.explain.subject.target import Target
from hiddenstate.structure.names import Place
from hiddenstate.structure.tables import table

MOST_UNITS = 10


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Limits(Explanation):
    """The bounds of a target over all inputs. Returned by `limits`.

    Attributes:
        target: a description of the target.
        unit: its unit, or empty.
        low: no input gives less, up to rounding.
        high: no input gives more.
        places: the place and the number of each unit that is read.
        reach: how far each unit can move the target from the middle, in either direction.
        values: ``[N]``, the target in the rows that were given.
    """

    kind = "limits"
    _saved = "target unit low high places reach values cost"

    target: str
    unit: str
    low: float
    high: float
    places: tuple[str, ...]
    reach: Tensor
    values: Tensor
    cost: int

    def rows(self) -> list[Row]:
        """Return one row for each unit that is read."""
        return [{"unit": place, "reach": reach} for place, reach in zip(self.places, self.reach.tolist(), strict=True)]

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        order = self.reach.argsort(descending=True, stable=True)[:MOST_UNITS].tolist()
        body = [
            [self.places[k], f"{float(self.reach[k]):.3g}", bar(float(self.reach[k]), float(self.reach.max()))[13:]]
            for k in order
        ]
        few = f" ({len(order)} of {len(self.places)})" if len(order) < len(self.places) else ""
        low, high = float(self.values.min()), float(self.values.max())
        possible = f"{number(self.low)} and {number(self.high)}{unit}"
        lines = [
            sentence(f"Whatever the input, {definite(self.target)} is between {possible}."),
            sentence(
                f"In the {len(self.values):,} given rows it is between {number(low)} and {number(high)}{unit}."
                if len(self.values) > 1
                else f"In the given row it is {number(low)}{unit}."
            ),
            "",
            table([f"unit{few}", "moves it at most by", ""], body, "lrl"),
        ]
        return "\n".join(lines)

    def _draw(self, axes: Any) -> None:
        """Draw the bounds and the values of the rows."""
        axes.figure.set_size_inches(7, 1.8)
        axes.axvspan(self.low, self.high, color="#dddddd", label="possible")
        axes.plot(
            self.values.tolist(), [0.5] * len(self.values), "|", color="#0072b2", markersize=18, label="given rows"
        )
        axes.set_yticks([])
        axes.set_ylim(0, 1)
        axes.set_xlabel(f"{self.target}{f' [{self.unit}]' if self.unit else ''}", parse_math=False)
        axes.legend(fontsize=8, loc="upper right")


def limits(model: Any, x: Any, *, of: SeriesTarget = None, **options: Any) -> Limits:
    """Compute the bounds of a target over all inputs of any size.

    They follow from the bounds of the states that a linear layer reads: an LSTM's h is an output gate below 1 times
    tanh(c), and after n steps |c| is at most n more than at first; a GRU's h, and that of an RNN with tanh, is at most
    1. A forecaster cannot give more, however extreme its input: compare the bounds with what it has to forecast.

    Args:
        model: a `SeriesModel`, a module with a recurrent layer, a layer, or a `Subject`.
        x: an input, as long as the runs; see `attribute` with ``features=``.
        of: the target: an output that one linear layer gives from the layer's states, a logit, or a unit's h.
        options: the options of `attribute`.

    Returns:
        The `Limits`.

    Raises:
        ArgumentError: no linear layer reads the target from the states, or they are not bounded.
        HiddenStateError: any error of `attribute`.
    """
    series = explained_series(model, x, **options)
    case = series_case(series, of, 0, inside=False)
    layer, target = _linear(case)
    if edits_in_force(layer.lstm):
        raise ArgumentError("limits holds for runs without edits, but edits are active: exit their block first")
    readout = target.linear("limits")
    bounds = {place: _bound(layer, place, readout.t) for place in readout.vectors}
    reach = torch.cat([vector.abs() * bounds[place] for place, vector in readout.vectors.items()])
    places = [f"{place}[{k}]" for place, vector in readout.vectors.items() for k in range(len(vector))]
    return Limits(
        target=target.name,
        unit=case.unit,
        low=readout.bias - float(reach.sum()),
        high=readout.bias + float(reach.sum()),
        places=tuple(places),
        reach=reach,
        values=case.of_rows(series.x),
        cost=series.x.shape[0] * series.x.shape[1],
    )


def _linear(case: SeriesCase) -> tuple[Subject, Target]:
    """Return the layer whose states one linear layer reads for the target, and the target as that."""
    if isinstance(case.explained, Subject):
        return case.explained, case.target
    single = case.explained
    reason = "its output is not what one linear layer reads from the states"
    for x in (single.x.flip(0), single.x):  # the linear layer must give the output for both
        layer = case.series.find_layer(x, any_input=True)
        if isinstance(layer, str):
            reason = layer
            break
        target = linear_target(case, layer)
        if target is None:
            break
        with torch.no_grad():
            got = target.of(layer.run(keep=target.keep, steps=target.steps))
            if not are_equal(got, case.target.of(single.run(x, None)), target):
                break
    else:
        return layer, target  # type: ignore[return-value]  # the loop was not left
    raise ArgumentError(
        f"limits needs a target that one linear layer reads from a recurrent layer's states. Here, {reason}"
    )


def _bound(layer: Subject, place: Place, t: int) -> Tensor:
    """Return the largest absolute value of each unit of a state at a step, whatever the input."""
    kind, number = layer.sizes.kind, layer.sizes.layer_directions.index(place.layer_direction)
    states = dict(zip(kind.carried, kind.parts_of(layer.initial), strict=True))
    begins = {name: state[number, 0].detach().double().cpu().abs() for name, state in states.items()}
    steps = layer.T - t if place.reverse else t + 1
    if kind.name == "LSTM":
        c = begins["c"] + steps
        if place.quantity == "c":
            return c
        projection = weights_of_gates(layer, place.layer, place.reverse).projection
        return c.tanh() if projection is None else projection.abs() @ c.tanh()
    if kind.is_bounded:
        return begins["h"].clamp(min=1)
    raise ArgumentError(f"states of {kind.name} cells are not bounded, so there are no limits")
