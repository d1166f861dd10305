"""The main table: every regime, ours against its peers and against the floor."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from ceilings import Ceilings
from machine import Watch
from measure import Pace, take_turns
from regime import Field, Regime, entered
from report import Column, Part, Row, Table, as_ratio, as_share, in_microseconds, microseconds

COLUMNS = (
    Column("us", "µs", in_microseconds),
    Column("ratio", "against ours", as_ratio),
    Column("of_floor", "floor / ours", as_share),
    Column("others", "others' load", as_share),
)


@dataclass
class Notes:
    """Notes that a reader of the figures must know.

    Attributes:
        missing: peers that are not installed. wrong: those whose numbers differ. lost: those that died, hung or failed.
        disturbed: other load on the machine.
    """

    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    disturbed: list[str] = field(default_factory=list)

    def add(self, regime: Regime, found: Field) -> None:
        """Note the contestants of a regime that were left out; one missing in many is noted once."""
        self.missing += [line for line in found.missing if line not in self.missing]
        self.wrong += found.wrong
        self.lost += [f"{regime.name}: {line}" for line in found.lost]

    def failed(self) -> bool:
        """Whether an existing contestant was left out."""
        return bool(self.wrong or self.lost)

    def lines(self) -> list[str]:
        return self.missing + self.wrong + self.lost + self.disturbed


def table(regimes: Sequence[Regime], ceilings: Ceilings | None, notes: Notes, pace: Pace) -> Table:
    """Measure these regimes, and add notes as they come up."""
    parts = [Part(regime.name, partial(_measure, regime, ceilings, notes, pace)) for regime in regimes]
    title = "Medians in µs; in brackets, how many times as long as ours (above 1: ours is faster)"
    return Table("speed", title, COLUMNS, parts, others=_beside)


def _beside(row: Row) -> str:
    return f"{row['contestant']} {in_microseconds(row['us'])} ({as_ratio(row['ratio'])})"


def _measure(regime: Regime, ceilings: Ceilings | None, notes: Notes, pace: Pace, seconds: float) -> list[Row]:
    with entered(regime) as found:
        watch = Watch(worker.pid for worker in found.contestants)
        times = take_turns(found.contestants, seconds, pace, found.lost)
        others, disturbed = watch.others(), watch.warning()
    notes.add(regime, found)
    if disturbed:
        notes.disturbed.append(f"{regime.name}: {disturbed}, so do not trust its figures")
    measured = [(worker.name, time) for worker, time in zip(found.contestants, times, strict=True) if time is not None]
    floor = regime.floor(regime.shape, ceilings) if regime.floor and ceilings else None
    return [
        {
            "regime": regime.name,
            "contestant": name,
            "us": microseconds(time),
            "ratio": time / measured[0][1] if k else None,
            "of_floor": floor / time if floor and not k else None,
            "others": None if k else others,
        }
        for k, (name, time) in enumerate(measured)
    ]
