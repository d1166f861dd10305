"""The main table: every regime, ours against its peers and against the floor."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from ceilings import Ceilings
from machine import Watch
from measure import medians
from regime import Regime, enter
from report import Column, Part, Row, Table, as_ratio, as_share, in_microseconds, microseconds

COLUMNS = (
    Column("us", "µs", in_microseconds),
    Column("ratio", "against ours", as_ratio),
    Column("of_floor", "floor / ours", as_share),
    Column("others", "others' load", as_share),
)


@dataclass
class Notes:
    """What a reader of the figures must know: peers that are not here, those whose numbers are others, disturbance."""

    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    disturbed: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        return self.missing + self.wrong + self.disturbed


def table(regimes: Sequence[Regime], ceilings: Ceilings | None, notes: Notes) -> Table:
    """Those regimes; what there is to note is added as it shows."""
    parts = [Part(regime.name, partial(_measure, regime, ceilings, notes)) for regime in regimes]
    return Table("speed", "Medians, and how many times as long as ours (above 1: ours is faster)", COLUMNS, parts)


def _measure(regime: Regime, ceilings: Ceilings | None, notes: Notes, seconds: float) -> list[Row]:
    entered = enter(regime)
    notes.missing += [line for line in entered.missing if line not in notes.missing]
    notes.wrong += entered.wrong
    watch = Watch()
    times = medians(entered.contestants, seconds)
    others, disturbed = watch.others(), watch.warning()
    if disturbed:
        notes.disturbed.append(f"{regime.name}: {disturbed}, so do not trust its figures")
    floor = regime.floor(regime.shape, ceilings) if regime.floor and ceilings else None
    return [
        {
            "regime": regime.name,
            "contestant": contestant.name,
            "us": microseconds(time),
            "ratio": time / times[0] if k else None,
            "of_floor": floor / time if floor and not k else None,
            "others": None if k else others,
        }
        for k, (contestant, time) in enumerate(zip(entered.contestants, times, strict=True))
    ]
