"""``hiddenstate explain ledger``: who wrote what an LSTM remembers."""

from typing import TYPE_CHECKING, Annotated

import typer

from hiddenstate.cli.explain_options import AgainstOption, LabelOption, WordOption
from hiddenstate.errors import ArgumentError

if TYPE_CHECKING:
    from hiddenstate.cli.explain_read import Read
    from hiddenstate.explain.result.explanation import Explanation


def ledger(
    read: "Read",
    place: Annotated[
        str | None,
        typer.Option(
            help="Cell state to take apart, such as l1.c[125] or l1.c[125]@7; without a unit all of them.",
            metavar="PLACE",
            show_default=False,
        ),
    ] = None,
    word: WordOption = None,
    label: LabelOption = None,
    against: AgainstOption = None,
) -> "Explanation":
    """Say who wrote what a unit remembers, and what erased it.

    The parts add up exactly. Without --place it takes apart what the last layer remembers for a tag, or for the next
    character.

    Example: hiddenstate explain ledger "The old man the boats." --place "l1.c[125]" --word the
    """
    from hiddenstate.explain.ledger import run as ledgers

    if place is not None and (label, against) != (None, None):
        raise ArgumentError("--label and --against choose a logit, and --place a state; give one of them")
    if place is None:
        return ledgers.ledger(read.subject, place=read.target(word, label, against, linear=True))
    if word is not None:
        if "@" in place:
            raise ArgumentError(f"{place!r} says the step, and --word {word} too; say it once")
        place = f"{place}@{read.step_of(word)}"
    return ledgers.ledger(read.subject, place=place)
