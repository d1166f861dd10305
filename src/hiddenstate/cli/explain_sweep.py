"""``hiddenstate explain sweep``: which value, patched from another text, changes what the model says."""

from enum import Enum
from typing import Annotated

import typer

from hiddenstate.cli.explain_options import (
    AsCsv,
    AsJson,
    Label,
    Model,
    Place,
    Plot,
    Text,
    Word,
    check_forms,
    given_text,
    likeliest,
    model_of,
    progress_on_terminal,
    show,
    step_of,
    target_of,
)
from hiddenstate.explain.subjects import subject
from hiddenstate.explain.sweeps import sweep
from hiddenstate.explain.targets import Logit


class Direction(str, Enum):
    """Which run is patched."""

    noising = "noising"
    denoising = "denoising"


def sweep_command(
    text: Text,
    against: Annotated[str, typer.Option(help="Another text of as many words, whose values are patched in.")],
    word: Word = None,
    label: Label = None,
    place: Place = None,
    places: Annotated[str, typer.Option(help="Which gates and states, as patterns.")] = "*.c,*.h",
    direction: Annotated[
        Direction, typer.Option(help="Patch the text from the other (noising), or the other way.")
    ] = Direction.noising,
    top: Annotated[
        int, typer.Option(min=0, help="Estimate all by the gradient, and run so many; 0: run them all.")
    ] = 0,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    plot: Plot = None,
    model: Model = None,
) -> None:
    """Patch each state of one text into another, one at a time, and show what that does to a logit.

    Without --label it is the logit of what the text gets at that word, less that of what the other text gets.

    Example: hiddenstate explain sweep "The old man the boats ." --against "The old men the boats ." --word boats
    """
    check_forms(as_json, as_csv, plot)
    loaded = model_of(model)
    clean, corrupt = subject(loaded, given_text(text)), subject(loaded, against)
    of = target_of(clean, word, label, place)
    if isinstance(of, Logit) and label is None and clean.T == corrupt.T:
        step = step_of(clean, word)
        other = likeliest(corrupt, step)
        of = Logit(of.label, step, None if other == of.label else other)
    found = sweep(
        loaded, clean, corrupt, of=of, places=places, direction=direction.value,
        mode="gradient+exact" if top else "exact", top=top, progress=progress_on_terminal(),
    )  # fmt: skip
    show(found, as_json, as_csv, plot)
