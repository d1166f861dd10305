"""``hiddenstate explain sweep``: which value, patched from another text, changes what the model says."""

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from hiddenstate.cli.explain_options import LabelOption, OfOption, WordOption

if TYPE_CHECKING:
    from hiddenstate.cli.explain_read import Read
    from hiddenstate.explain.subject.resolve_target import TargetLike
    from hiddenstate.explain.subject.subject import Subject
    from hiddenstate.explain.sweep.result import Sweep


class Direction(str, Enum):
    """Which run is patched."""

    noising = "noising"
    denoising = "denoising"


def sweep(
    read: "Read",
    other: Annotated[
        str, typer.Option(help="Another text of as many words, whose values are patched in.", metavar="TEXT")
    ],
    word: WordOption = None,
    label: LabelOption = None,
    of: OfOption = None,
    places: Annotated[str, typer.Option(help="Which gates and states are patched, as patterns.")] = "*.c,*.h",
    direction: Annotated[
        Direction, typer.Option(help="Patch the text from the other (noising), or the other way.")
    ] = Direction.noising,
    top: Annotated[
        int, typer.Option(min=0, help="Estimate all by the gradient, and run so many; 0: run them all.")
    ] = 0,
) -> "Sweep":
    """Say which single state carries a difference of two texts.

    Each state of one text is patched into the other, one at a time, to see what that does to a logit. Without --word of
    a tagger it is the first word that the two texts give different tags; without --label the logit of what the text
    gets there, less that of what the other text gets.

    Example: hiddenstate explain sweep "I can fish" --other "I eat fish" --word 1
    """
    from hiddenstate.explain.subject.sources import subject
    from hiddenstate.explain.sweep import run as sweeps

    clean, corrupt = read.subject, subject(read.model, other)
    target: TargetLike
    if of is not None:
        target = of
    elif label is None and clean.T == corrupt.T:
        target = _told_apart(clean, corrupt, None if word is None else read.step_of(word))
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
    """What one text gets at a step, less what the other does; without a step, where they first get different things."""
    import torch

    from hiddenstate.explain.subject.resolve_target import logit

    with torch.no_grad():
        best, others = (one.run().logits[:, 0].argmax(-1).tolist() for one in (clean, corrupt))
    differ = [k for k, (mine, its) in enumerate(zip(best, others, strict=True)) if mine != its]
    step = t if t is not None else differ[0] if differ else clean.T - 1
    return logit(best[step], word=step, against=None if best[step] == others[step] else others[step])
