"""`Target`: one number of a run, such as a logit, and the ways to name one; runs many rows for one target."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hiddenstate.base.indexing import resolve_one
from hiddenstate.base.scalars import check_int
from hiddenstate.base.validation import AnyState
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError
from hiddenstate.explain.result.terminal import readable
from hiddenstate.explain.subject.head import needed_head, needed_probabilities
from hiddenstate.explain.subject.module_output import SOFTMAX
from hiddenstate.explain.subject.progress_bar import Progress
from hiddenstate.explain.subject.subject import Explained, Outputs, Subject, check_row_steps
from hiddenstate.structure.addresses import Address, parse_address
from hiddenstate.structure.names import STATES, Place

ROW_STEPS_AT_ONCE = 2**16
BYTES_AT_ONCE = 2**27  # maximum size of outputs and states; gradients need several times as much


@dataclass(frozen=True, eq=False)
class Readout:
    """A target that is linear in states of one step: ``value = bias + Σ vector · place[t]``.

    Attributes:
        t: the step.
        vectors: the vector ``[units]`` for each place (a c or an h), float64 on the CPU.
        bias: the constant term.
    """

    t: int
    vectors: dict[Place, Tensor]
    bias: float = 0.0


@dataclass(frozen=True, eq=False)
class Target:
    """One number per row of a run. Created by `resolve_target` from the user's argument.

    Attributes:
        name: a description for readers.
        value: takes `Outputs` and returns one number per row, ``[R]``; differentiable.
        t: the only input step that it depends on, or None if it may depend on all.
        keep: the places that a run must record for it, at step t.
        readout: the target as a linear readout of c or h, or None if it is not linear.
    """

    name: str
    value: Callable[[Outputs], Tensor]
    t: int | None = None
    keep: tuple[str, ...] = ()
    readout: Readout | None = None

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps at which a run must record ``keep``."""
        return () if self.t is None else (self.t,)

    def of(self, outputs: Outputs) -> Tensor:
        """Return the target's value ``[R]`` in a run.

        Raises:
            ArgumentError: the user's function did not return one number per row.
        """
        R = outputs.out.shape[1]
        value = self.value(outputs)
        if not isinstance(value, Tensor) or value.shape != (R,):
            got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ArgumentError(
                f"a target must return one number per row, here a tensor [{R}], and {self.name} returned {got}; "
                "a run's tensors are [T, rows, ...], as in `lambda run: run.out[-1].sum(-1)`"
            )
        return value

    def linear(self, method: str) -> Readout:
        """Return the target as a linear readout; ArgumentError if it is not linear."""
        if self.readout is None:
            raise ArgumentError(
                f"{method} needs a target that is linear in c or h, such as a logit or a place 'l0.c[3]@7'; "
                f"{self.name} is not: use another method, such as occlusion or shapley"
            )
        return self.readout


def readout_target(name: str, subject: Subject, readout: Readout) -> Target:
    """Make a target from a readout."""
    last = subject.sizes.num_layers - 1
    keep = tuple(str(place) for place in readout.vectors if place.quantity != "h" or place.layer != last)
    like = subject.x
    vectors = {place: vector.to(like) for place, vector in readout.vectors.items()}

    def value(outputs: Outputs) -> Tensor:
        parts = [outputs.at(place, readout.t) @ vector for place, vector in vectors.items()]
        return torch.stack(parts).sum(0) + readout.bias

    return Target(name, value, readout.t, keep, readout)


def split_output(vector: Tensor, subject: Subject) -> dict[Place, Tensor]:
    """Split a vector ``[D*P]`` over the LSTM's output by the directions of the last layer."""
    sizes = subject.sizes
    parts: Sequence[Tensor] = vector.detach().cpu().double().split(sizes.output_size)
    ways = (False, True) if sizes.bidirectional else (False,)
    return {Place(sizes.num_layers - 1, way, "h"): part for way, part in zip(ways, parts, strict=True)}


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
    """Resolve a target against a subject of one row."""
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
            f"{readable(name)} is a label, not a place; its logit is the target hiddenstate.explain.logit({name!r})"
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

    name = f"log-probability of {readable(head.labels[k])}"
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
    """Return the place, the unit (None for all) and the step of an address; the default step is the one read last."""
    place = subject.place(address.place)
    if not isinstance(address.unit, int | None) or not isinstance(address.t, int | None):
        raise ArgumentError(f"{address} has several units or steps: give one of each")
    units, steps = subject.sizes.units(place.quantity), subject.row_length()
    unit = None if address.unit is None else resolve_one(address.unit, units, "unit")
    if address.t is None:
        return place, unit, 0 if place.reverse else steps - 1
    return place, unit, resolve_one(address.t, steps, "t")


def resolve_row(of: object, row: int | None) -> int:
    """Return the requested row: ``row``, the one in an address, or the first."""
    row = None if row is None else check_int("row", row)
    named = parse_address(of).row if isinstance(of, str) else None
    if named is not None and not isinstance(named, int):
        raise ArgumentError(f"{of!r} has several rows: only one can be explained at a time")
    if row is not None and named is not None and row != named:
        raise ArgumentError(f"{of!r} names row {named}, but row={row} is also given: give it only once")
    return named if named is not None else row or 0


def _name_of_output(subject: Subject, k: int, *, is_second: bool = False) -> str:
    label = needed_head(subject.head).labels[k]
    if subject.has_logits:
        return f"{'that' if is_second else 'logit'} of {readable(label)}"
    return f"output {label if label.isdigit() else repr(label)}"


def _add_place(name: str, subject: Subject, t: int, explained: Sequence[str]) -> str:
    """Add the step to an output's name, or the token before it, and a note if the module's output is different."""
    place = _at(name, subject, t, "after" if subject.foretells else "at")
    note = "" if subject.output is None else subject.output.note(t, explained)
    return f"{place} ({note})" if note else place


def _at(name: str, subject: Subject, t: int, where: str = "at") -> str:
    words = subject.words()
    return (
        f"{name} {where} {readable(words[t])} (step {t})" if subject.tokens is not None else f"{name} {where} step {t}"
    )


@dataclass
class BatchRunner:
    """Runs a subject on many rows for one target."""

    explained: Explained  # a subject or a whole module, with one row
    target: Target  # the target, evaluated for each row
    progress: Progress | None = None  # called with cost and total after each run
    total: int = 0  # the total number of row-steps, as far as it is known
    cost: int = 0  # the number of row-steps run so far

    @property
    def subject(self) -> Subject:
        """The subject, for methods that look inside a layer; not for a whole module."""
        assert isinstance(self.explained, Subject)
        return self.explained

    @property
    def T(self) -> int:  # noqa: N802
        """Time steps."""
        return self.explained.T

    def run(self, x: Tensor, state: AnyState | None = None, *, first: int = 0) -> Outputs:
        """Run rows ``x [T', R, C]`` from step ``first`` on."""
        keep = self.target.keep if self.target.t is not None and first <= self.target.t < first + len(x) else ()
        outputs = self.explained.run(x, state, keep=keep, steps=self.target.steps if keep else (), first=first)
        self.count(x.shape[0] * x.shape[1])
        return outputs

    def values(self, x: Tensor, state: AnyState | None = None) -> Tensor:
        """Return the target's value ``[R]`` in each row of whole inputs ``x [T, R, C]``."""
        return self.target.of(self.run(x, state))

    def expect(self, row_steps: int) -> None:
        """Announce that at least this many more row-steps will be run."""
        cure = f"give fewer than T = {self.T:,} steps, join steps with spans=, or lower samples= or points="
        check_row_steps(row_steps, cure)
        self.total = max(self.total, self.cost + row_steps)

    def spare(self, row_steps: int) -> None:
        """Announce that some of the row-steps that were expected need not be run."""
        self.total -= row_steps
        self.count(0)

    def count(self, row_steps: int) -> None:
        """Count row-steps that were run, and report progress."""
        self.cost += row_steps
        if self.progress is not None:
            self.progress(self.cost, max(self.total, self.cost))

    @property
    def rows_at_once(self) -> int:
        """The number of rows of whole inputs to run together, so that memory stays bounded."""
        width, bytes_each = self.explained.numbers_per_step, self.explained.x.element_size()
        return max(1, min(BYTES_AT_ONCE // (self.T * width * bytes_each), ROW_STEPS_AT_ONCE // self.T))
