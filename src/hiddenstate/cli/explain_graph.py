"""``hiddenstate explain graph``: shows the paths from words through units and steps to the prediction."""

from typing import TYPE_CHECKING, Annotated

import typer

from hiddenstate.cli.explain_options import AgainstOption, LabelOption, OfOption, WordOption

if TYPE_CHECKING:
    from hiddenstate.cli.explain_read import Read
    from hiddenstate.explain.graph.result import Graph
    from hiddenstate.explain.subject.target import TargetLike


def graph(
    read: "Read",
    word: WordOption = None,
    label: LabelOption = None,
    against: AgainstOption = None,
    of: OfOption = None,
    units: Annotated[int, typer.Option(min=1, help="Number of cell states to keep in the graph.")] = 30,
    check: Annotated[
        bool, typer.Option(help="Also remove each edge with an edit, and show what the target actually loses.")
    ] = True,
) -> "Graph":
    """Trace a logit back through units and steps to the words.

    Gates are held fixed; --check, on by default, removes each edge by an edit, to show the effect with free gates.

    Example: hiddenstate explain graph "The old man the boats ." --word man --plot graph.png
    """
    from hiddenstate.explain.graph import run as graphs

    target: TargetLike = of or read.target(word, label, against, linear=True)
    found = graphs.graph(read.subject, of=target, units=units)
    return found.checked() if check else found
