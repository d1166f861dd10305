"""Resolves a target: a logit, a log-probability, a place, or any function of the outputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hiddenstate.base.indexing import resolve_one
from hiddenstate.base.scalars import check_int
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError
from hiddenstate.explain.subject.module_output import SOFTMAX
from hiddenstate.explain.subject.outputs import Outputs, needed_head, needed_probabilities
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import Readout, Target, readout_target, split_output
from hiddenstate.structure.addresses import Address, parse_address
from hiddenstate.structure.names import STATES, Place


@dataclass(frozen=True)
class Logit:
    """A logit, or the difference of two. Make one with `logit`."""

    label: str | int
    word: int | str = -1
    against: str | int | None = None


@dataclass(frozen=True)
class LogProbability:
    """The logarithm of a label's probability. Make one with `log_probability`."""

    label: str | int
    word: int | str = -1


TargetLike = str | Logit | LogProbability | Callable[[Outputs], Tensor] | Target


def logit(label: str | int, *, word: int | str = -1, against: str | int | None = None) -> Logit:
    """Name a logit, or any output of a head, as a target: ``hs.explain.logit("NOUN", word=3)``.

    Args:
        label: the label, or its number.
        word: the step, or a word that occurs once.
        against: another label, whose logit is subtracted; the target then shows why the model prefers one to the other.
    """
    return Logit(label, word, against)


def log_probability(label: str | int, *, word: int | str = -1) -> LogProbability:
    """Name the natural logarithm of a label's probability as a target. The head must feed a softmax; see `subject`.

    Args:
        label: the label, or its number.
        word: the step, or a word that occurs once.
    """
    return LogProbability(label, word)


def resolve_target(of: TargetLike, subject: Subject) -> Target:
    """Resolve a target against a subject of one row.

    Args:
        of: `logit`, `log_probability`, a place with unit and step such as ``"l1.c[125]@7"`` (by default the last step
            that its direction reads; optionally with the path of the LSTM's module, as in ``"encoder.l1.c[125]@7"``),
            or a function that takes `Outputs` and returns one number per row.
        subject: the subject that is explained.

    Raises:
        NameUnknownError: there is no such label, word or place.
        IndexRangeError: there is no such step or unit.
        ArgumentError: a place has more than one unit or step, or there is no head for a label.
        ArgumentTypeError: the target has the wrong type.
    """
    if isinstance(of, Target):
        return of
    if isinstance(of, Logit):
        return _logit(of, subject)
    if isinstance(of, LogProbability):
        return _log_probability(of, subject)
    if isinstance(of, str):
        return _place(of, subject)
    if callable(of):
        return Target(getattr(of, "__name__", "a function").replace("<lambda>", "a function of the outputs"), of)
    raise ArgumentTypeError(
        "a target must be logit(...), log_probability(...), a place such as 'l1.c[125]@7', or a function of the outputs"
        f", got {type(of).__name__}"
    )


def _place(name: str, subject: Subject) -> Target:
    try:
        return _value_at(parse_address(name), subject)
    except NameUnknownError as error:
        if subject.head is None or name not in subject.head.labels:
            raise
        raise NameUnknownError(
            f"{quote_label(name)} is a label, not a place; its logit is the target hiddenstate.explain.logit({name!r})"
        ) from error


def _logit(of: Logit, subject: Subject) -> Target:
    head, t = needed_head(subject.head, subject.no_head), subject.step_of(of.word)
    vector, bias = head.readout(of.label)
    name = _name_of_output(subject, head.index(of.label))
    if of.against is not None:
        other, offset = head.readout(of.against)
        vector, bias = vector - other, bias - offset
        name += f" minus {_name_of_output(subject, head.index(of.against), is_second=True)}"
    return readout_target(_add_place(name, subject, t, ("",)), subject, Readout(t, split_output(vector, subject), bias))


def _log_probability(of: LogProbability, subject: Subject) -> Target:
    head, t = needed_head(subject.head, subject.no_head), subject.step_of(of.word)
    k, log_probabilities = head.index(of.label), needed_probabilities(head)

    def value(outputs: Outputs) -> Tensor:
        return log_probabilities(outputs.out_at(t))[:, k]

    name = f"log-probability of {quote_label(head.labels[k])}"
    return Target(_add_place(name, subject, t, ("", *SOFTMAX)), value, t)


def _value_at(address: Address, subject: Subject) -> Target:
    place, unit, t = resolve_place(address, subject)
    if unit is None:
        raise ArgumentError(f"a target is one number, but {address} has many units: choose one, as in {place}[0]@{t}")
    name = _at(f"{place}[{unit}]", subject, t)
    if place.quantity in STATES:
        vector = torch.zeros(subject.sizes.units(place.quantity), dtype=torch.float64)
        vector[unit] = 1
        return readout_target(name, subject, Readout(t, {place: vector}))
    return Target(name, lambda outputs: outputs.at(place, t)[:, unit], t, (str(place),))


def resolve_place(address: Address, subject: Subject) -> tuple[Place, int | None, int]:
    """Return the place, the unit (None for all) and the step of an address; the default step is the one read last.

    Raises:
        NameUnknownError, IndexRangeError: there is no such place, unit or step.
        ArgumentError: the address has several units or steps.
    """
    place = subject.place(address.place)
    if not isinstance(address.unit, int | None) or not isinstance(address.t, int | None):
        raise ArgumentError(f"{address} has several units or steps: give one of each")
    units, steps = subject.sizes.units(place.quantity), subject.row_length()
    unit = None if address.unit is None else resolve_one(address.unit, units, "unit")
    if address.t is None:
        return place, unit, 0 if place.reverse else steps - 1
    return place, unit, resolve_one(address.t, steps, "t")


def resolve_row(of: object, row: int | None) -> int:
    """Return the requested row: ``row``, the one in an address, or the first.

    Raises:
        ArgumentError: both are given and differ, or the address has several rows.
        ArgumentTypeError: ``row`` is not an int.
    """
    row = None if row is None else check_int("row", row)
    said = parse_address(of).row if isinstance(of, str) else None
    if said is not None and not isinstance(said, int):
        raise ArgumentError(f"{of!r} has several rows: only one can be explained at a time")
    if row is not None and said is not None and row != said:
        raise ArgumentError(f"{of!r} names row {said}, but row={row} is also given: give it only once")
    return said if said is not None else row or 0


def quote_label(text: str) -> str:
    """Return a label or token in readable form: quoted if it is blank or a control character."""
    return text if text.isprintable() and text.strip() else repr(text)


def _name_of_output(subject: Subject, k: int, *, is_second: bool = False) -> str:
    label = needed_head(subject.head).labels[k]
    if subject.has_logits:
        return f"{'that' if is_second else 'logit'} of {quote_label(label)}"
    return f"output {label if label.isdigit() else repr(label)}"


def _add_place(name: str, subject: Subject, t: int, explained: Sequence[str]) -> str:
    """Add the step to an output's name, or the token before it, and a note if the module's output is different."""
    place = _at(name, subject, t, "after" if subject.foretells else "at")
    note = "" if subject.output is None else subject.output.note(t, explained)
    return f"{place} ({note})" if note else place


def _at(name: str, subject: Subject, t: int, where: str = "at") -> str:
    words = subject.words()
    return (
        f"{name} {where} {quote_label(words[t])} (step {t})"
        if subject.tokens is not None
        else f"{name} {where} step {t}"
    )
