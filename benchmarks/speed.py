"""The main table: every regime, ours against its peers and against the floor."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from ceilings import Ceilings
from measure import medians
from regime import Regime, enter
from report import Column, Part, Row, Table, as_ratio, as_share, in_microseconds, microseconds

COLUMNS = (
    Column("us", "µs", in_microseconds),
    Column("ratio", "against ours", as_ratio),
    Column("of_floor", "floor / ours", as_share),
)


@dataclass
class Absent:
    """Who was not measured: peers that are not here, and those whose numbers are others."""

    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def table(regimes: Sequence[Regime], ceilings: Ceilings | None, absent: Absent) -> Table:
    """Those regimes; who is absent is added as it shows."""
    parts = [Part(regime.name, partial(_measure, regime, ceilings, absent)) for regime in regimes]
    return Table("speed", "Medians, and how many times as long as ours (above 1: ours is faster)", COLUMNS, parts)


def _measure(regime: Regime, ceilings: Ceilings | None, absent: Absent, seconds: float) -> list[Row]:
    entered = enter(regime)
    absent.missing += [line for line in entered.missing if line not in absent.missing]
    absent.wrong += entered.wrong
    times = medians(entered.contestants, seconds)
    floor = regime.floor(regime.shape, ceilings) if regime.floor and ceilings else None
    return [
        {
            "regime": regime.name,
            "contestant": contestant.name,
            "us": microseconds(time),
            "ratio": time / times[0] if k else None,
            "of_floor": floor / time if floor and not k else None,
        }
        for k, (contestant, time) in enumerate(zip(entered.contestants, times, strict=True))
    ]
