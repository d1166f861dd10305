"""Options that commands of ``hiddenstate explain`` share, and the bar that shows how far they are."""

from typing import Annotated

import typer

WordOption = Annotated[
    str | None,
    typer.Option(
        help="The word (or its number, from 0) at which the target is looked at. Without it, of a tagger the word that "
        "it is least sure of, of a language model the end of the text.",
        show_default=False,
    ),
]
LabelOption = Annotated[
    str | None,
    typer.Option(help="Tag, or next character or word, to explain; the most probable without.", show_default=False),
]
AgainstOption = Annotated[
    str | None,
    typer.Option(
        help="Label whose logit is taken off: why the one rather than the other. Of a tagger the second most "
        "probable, where no --label is given.",
        show_default=False,
    ),
]
OfOption = Annotated[
    str | None,
    typer.Option(help="A state or gate to explain instead, such as l1.c[125]@7.", metavar="PLACE", show_default=False),
]
