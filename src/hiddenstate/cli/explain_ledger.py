"""``hiddenstate explain ledger``: shows which steps wrote what an LSTM remembers."""

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
            help="Cell state to decompose, such as l1.c[125] or l1.c[125]@7; without a unit, all units.",
            metavar="PLACE",
            show_default=False,
        ),
    ] = None,
    word: WordOption = None,
    label: LabelOption = None,
    against: AgainstOption = None,
) -> "Explanation":
    """Show which steps wrote what a unit remembers, and which erased it.

    The parts add up exactly. Without --place, it decomposes what the last layer remembers for a tag, or for the next
    character.

    Example: hiddenstate explain ledger "The old man the boats." --place "l1.c[125]" --word the
    """
    from hiddenstate.explain.ledger import run as ledgers

    if place is not None and (label, against) != (None, None):
        raise ArgumentError("--label and --against choose a logit, --place chooses a state; give only one of the two")
    if place is None:
        return ledgers.ledger(read.subject, place=read.target(word, label, against, linear=True))
    if word is not None:
        if "@" in place:
            raise ArgumentError(f"{place!r} already names a step, and so does --word {word}; drop one")
        place = f"{place}@{read.find_step(word)}"
    return ledgers.ledger(read.subject, place=place)
