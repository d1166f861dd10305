"""``hiddenstate explain sweep``: shows which value, patched in from another text, changes the prediction."""

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from hiddenstate.cli.explain_options import LabelOption, OfOption, WordOption

if TYPE_CHECKING:
    from hiddenstate.cli.explain_read import Read
    from hiddenstate.explain.subject.subject import Subject
    from hiddenstate.explain.subject.target import TargetLike
    from hiddenstate.explain.sweep.result import Sweep


class Direction(str, Enum):
    """The run that is patched."""

    noising = "noising"
    denoising = "denoising"


def sweep(
    read: "Read",
    other: Annotated[
        str,
        typer.Option(help="A second text with the same number of words, whose values are patched in.", metavar="TEXT"),
    ],
    word: WordOption = None,
    label: LabelOption = None,
    of: OfOption = None,
    places: Annotated[
        str | None,
        typer.Option(help="Patterns of the gates and states to patch; all states by default.", show_default=False),
    ] = None,
    direction: Annotated[
        Direction, typer.Option(help="Patch values of the other text into this one (noising), or the reverse.")
    ] = Direction.noising,
    top: Annotated[
        int, typer.Option(min=0, help="Estimate all patches by gradient, and run only this many; 0: run them all.")
    ] = 0,
) -> "Sweep":
    """Show which single state carries the difference between two texts.

    Each state of one text is patched into the other, one at a time, to see how a logit changes. For a tagger, --word
    defaults to the first word whose tag differs between the texts; without --label, the logit is that of this text's
    prediction minus that of the other's.

    Example: hiddenstate explain sweep "I can fish" --other "I eat fish" --word 1
    """
    from hiddenstate.explain.subject.sources import subject
    from hiddenstate.explain.sweep import run as sweeps

    clean, corrupt = read.subject, subject(read.model, other)
    target: TargetLike
    if of is not None:
        target = of
    elif label is None and clean.T == corrupt.T:
        target = _told_apart(clean, corrupt, None if word is None else read.find_step(word))
    else:
        target = read.target(word, label, linear=True)
    return sweeps.sweep(
        read.model,
        clean,
        corrupt,
        of=target,
        places=places,
        direction=direction.value,
        mode="gradient+exact" if top else "exact",
        top=top,
    )


def _told_apart(clean: "Subject", corrupt: "Subject", t: int | None) -> "TargetLike":
    """Return one text's prediction minus the other's, at a step; by default the first step at which they differ."""
    import torch

    from hiddenstate.explain.subject.target import logit

    with torch.no_grad():
        best, others = (one.run().logits[:, 0].argmax(-1).tolist() for one in (clean, corrupt))
    differ = [k for k, (mine, its) in enumerate(zip(best, others, strict=True)) if mine != its]
    step = t if t is not None else differ[0] if differ else clean.T - 1
    return logit(best[step], word=step, against=None if best[step] == others[step] else others[step])
