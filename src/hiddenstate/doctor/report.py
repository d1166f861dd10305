"""The report of `check`: its findings, and what was tested and what was not, as text."""

import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from hiddenstate.doctor.misconceptions import MISCONCEPTIONS
from hiddenstate.errors import BrokenModelError

_WIDTH = 110
DOCS = "docs/howto/check.md"
_UNSEEN = (
    "Not seen: the rest of the data, and the training loop: optimizer, learning rate, zero_grad(), train() and eval()."
)


class Sign(NamedTuple):
    """A sign of a mistake: in which module, at which operation, and the numbers that show it."""

    module: str
    operation: str
    shows: str
    change: str = ""  # in place of the kind's
    idea: str = ""
    is_note: bool | None = None


class Kind(NamedTuple):
    """A kind of finding: the function that looks for it, which gives it its name, and what to change."""

    look: Callable[[Any], Iterator[Sign]]
    needs: str  # what it can't be tested without: "rows", "steps", "padding", "recurrence", "loss", "targets" or ""
    change: str
    idea: str = ""  # the misconception behind it
    is_note: bool = False

    @property
    def name(self) -> str:
        """The name, such as ``axes-exchanged``."""
        return self.look.__name__.replace("_", "-")


@dataclass(frozen=True)
class Finding:
    """One finding of `hiddenstate.check`.

    Attributes:
        kind: its name, such as ``axes-exchanged``.
        severity: "mistake", or "note" for what may be intended.
        module: the path of the module where it happens; "" for the model itself.
        operation: the operation there, with the line of code.
        shows: what was seen, with numbers.
        change: what to change.
        idea: the misconception behind it, a sentence of the course; "" if it has none.
        link: the section of the documentation that explains it.
    """

    kind: str
    severity: str
    module: str
    operation: str
    shows: str
    change: str
    idea: str
    link: str

    @property
    def is_mistake(self) -> bool:
        """Whether it is a mistake, not a note."""
        return self.severity == "mistake"

    def __str__(self) -> str:
        where = f"`{self.module}`" if self.module else "the model itself"
        head = f"{self.severity.upper()} {self.kind}, in {where}"
        lines = [head + (f", at {self.operation}" if self.operation else ""), self.shows, f"Change: {self.change}"]
        if self.idea:
            lines.append(f"The misconception behind it: {self.idea}")
        lines.append(f"See {self.link}")
        body = [textwrap.fill(line, _WIDTH, initial_indent="  ", subsequent_indent="  ") for line in lines[1:]]
        return "\n".join([lines[0], *body])


@dataclass(frozen=True)
class CheckReport:
    """The report of `hiddenstate.check` on a model; `print` shows it.

    Attributes:
        model: the name of the model's class.
        example: how the example was read, in words.
        findings: the findings, mistakes first.
        tested: the kinds of findings that were looked for.
        untested: the kinds that could not be looked for, and why.
        assumptions: what was assumed in reading the example, as sentences.
    """

    model: str
    example: str
    findings: tuple[Finding, ...]
    tested: tuple[str, ...]
    untested: Mapping[str, str]
    assumptions: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no mistake was found; there may be notes."""
        return not self.mistakes

    @property
    def mistakes(self) -> tuple[Finding, ...]:
        """The findings that are mistakes."""
        return tuple(finding for finding in self.findings if finding.is_mistake)

    @property
    def notes(self) -> tuple[Finding, ...]:
        """The findings that may be intended."""
        return tuple(finding for finding in self.findings if not finding.is_mistake)

    def raise_if_broken(self) -> None:
        """Raise an error that lists the mistakes, if there are any; for tests.

        Raises:
            BrokenModelError: the report has a mistake.
        """
        if self.mistakes:
            raise BrokenModelError("\n\n".join([self._head(), *map(str, self.mistakes)]))

    def __str__(self) -> str:
        parts = [self._head(), *self.assumptions, *map(str, self.findings)]
        reasons: dict[str, list[str]] = {}
        for kind, why in self.untested.items():
            reasons.setdefault(why, []).append(kind)
        lines = [f"Looked for: {', '.join(self.tested)}."] if self.tested else []
        lines += [f"Not tested, since {why}: {', '.join(kinds)}." for why, kinds in reasons.items()]
        lines.append(_UNSEEN)
        return "\n\n".join([*parts, "\n".join(textwrap.fill(line, _WIDTH) for line in lines)])

    __repr__ = __str__

    def _head(self) -> str:
        count = f"{counted(len(self.mistakes), 'mistake')}, {counted(len(self.notes), 'note')}"
        return f"check of {self.model}: {count} ({self.example})"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, such as "no mistakes" or "1 step"."""
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"


def finding_of(kind: Kind, sign: Sign) -> Finding:
    """Make a finding from a sign and its kind."""
    is_note = kind.is_note if sign.is_note is None else sign.is_note
    idea = MISCONCEPTIONS.get("" if is_note and not sign.idea else sign.idea or kind.idea, "")
    severity = "note" if is_note else "mistake"
    change = sign.change or kind.change
    return Finding(kind.name, severity, sign.module, sign.operation, sign.shows, change, idea, f"{DOCS}#{kind.name}")
