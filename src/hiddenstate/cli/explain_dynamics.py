"""``hiddenstate explain dynamics``: shows time scales, saturated gates, fixed points and spectra."""

from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hiddenstate.cli.explain_read import Read
    from hiddenstate.explain.result.explanation import Explanation


class View(str, Enum):
    """The view to show."""

    timescales = "timescales"
    saturation = "saturation"
    fixed_points = "fixed-points"
    spectrum = "spectrum"


def dynamics(
    read: "Read",
    view: Annotated[
        View,
        typer.Option(
            help="How long units remember; how often gates are closed or open; states that a step without input leaves "
            "unchanged; how much small changes grow at each word."
        ),
    ] = View.timescales,
    starts: Annotated[
        int, typer.Option(min=1, help="Number of states from which the search for fixed points starts.")
    ] = 16,
) -> "Explanation":
    """Show the dynamics of a model's LSTM while it reads a text.

    Fixed points and spectra need an LSTM that reads only forward, such as a language model's; without --model they
    are shown for shakespeare.

    Example: hiddenstate explain dynamics "To be, or not to be" --model shakespeare
    """
    from hiddenstate.explain.dynamics import run as dynamics_of

    found = dynamics_of.dynamics(read.subject)
    views: dict[View, Callable[[], Explanation]] = {
        View.timescales: found.timescales,
        View.saturation: found.saturation,
        View.fixed_points: partial(found.fixed_points, starts=starts),
        View.spectrum: found.spectrum,
    }
    return views[view]()


def default_model(options: Mapping[str, Any]) -> str:
    """Return the shipped model that is used without ``--model``, which supports this view."""
    return "shakespeare" if options["view"] in (View.fixed_points, View.spectrum) else "tagger-en"
