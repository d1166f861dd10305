"""Baselines: the neutral inputs that replace a step."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hiddenstate.base.validation import check_memory, check_plain_tensor
from hiddenstate.errors import ArgumentError, ArgumentTypeError, ShapeError
from hiddenstate.explain.subject.subject import Subject

Baseline = str | Tensor


def resolve_baselines(subject: Subject, given: Baseline | Sequence[Baseline] | None) -> dict[str, Tensor]:
    """Return the baselines ``[T, C]`` of a single-row subject, by name.

    Args:
        subject: a subject with one row.
        given: ``"zero"``; ``"mean"``, the mean of the model's training input or, if that is unknown, of this input's
            steps; ``"unk"``, an unknown word; a tensor ``[C]`` or ``[T, C]``; a list of these; or None for the
            subject's default.

    Raises:
        ArgumentError: the subject has no such baseline.
        ShapeError: a tensor has the wrong shape.
        ArgumentTypeError: a baseline is neither a name nor a tensor.
    """
    asked = subject.baseline if given is None else given
    several: Sequence[Baseline] = list(asked) if isinstance(asked, list | tuple) else [asked]  # type: ignore[list-item]
    if not several:
        raise ArgumentError("baseline= is empty: name one, such as 'zero'")
    found: dict[str, Tensor] = {}
    for number, one in enumerate(several):
        name = one if isinstance(one, str) else "given" if len(several) == 1 else f"given {number}"
        found[name] = _baseline(subject, one)
    return found


def _baseline(subject: Subject, one: Baseline) -> Tensor:
    x = subject.x[:, 0]
    if isinstance(one, str):
        if one == "zero":
            return torch.zeros_like(x)
        if one not in subject.vectors:
            known = " ".join(["zero", *subject.vectors])
            raise ArgumentError(f"there is no baseline {one!r} here; choose {known}, or give a tensor [C] or [T, C]")
        return subject.vectors[one]().detach().to(x).expand_as(x)
    if not isinstance(one, Tensor):
        raise ArgumentTypeError(f"a baseline must be a name or a tensor, got {type(one).__name__}")
    if one.shape not in (x.shape, x.shape[1:]):
        raise ShapeError(f"a baseline must have shape [C] or [T, C] = {list(x.shape)}, got {list(one.shape)}")
    check_plain_tensor(one, "baseline")
    check_memory(one, "baseline")
    return one.detach().to(x).expand_as(x)
