"""Options that several ``hiddenstate explain`` commands share, and their progress bar."""

from typing import Annotated

import typer

WordOption = Annotated[
    str | None,
    typer.Option(
        help="The word (or its number, from 0) whose prediction is explained. Default for a tagger: the word that "
        "it is least sure of; for a language model: the end of the text.",
        show_default=False,
    ),
]
LabelOption = Annotated[
    str | None,
    typer.Option(help="Tag, or next character or word, to explain; default: the most probable.", show_default=False),
]
AgainstOption = Annotated[
    str | None,
    typer.Option(
        help="Label whose logit is subtracted: why this one rather than that one. Default for a tagger, without "
        "--label: the second most probable tag.",
        show_default=False,
    ),
]
OfOption = Annotated[
    str | None,
    typer.Option(help="State or gate to explain instead, such as l1.c[125]@7.", metavar="PLACE", show_default=False),
]
