"""Counts the calls of torch's layers that ran on the engine, and why others did not."""

from collections import Counter
from dataclasses import dataclass, field

from hiddenstate.engine.dispatch import ComputedBy

MOST_REASONS = 50  # maximum number of distinct reasons, so that a long-running program does not fill memory with them
_NO_CALLS = (
    "None of torch's recurrent layers and cells was called in this process. (Processes that it spawned count for "
    "themselves. TorchScript modules, and those that torch has quantised, call other operators: use the model from "
    "before that.)"
)


@dataclass(frozen=True)
class AccelerationReport:
    """Counts of calls that ran on the engine or not, with reasons; ``print`` shows a table.

    Attributes:
        served: calls that ran on the engine, by path name.
        left: calls that torch or Keras computed, by reason.
        reference: calls with some or all layers computed by the reference in plain torch, by reason.
    """

    served: dict[str, int]
    left: dict[str, int]
    reference: dict[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The share of all calls that ran on the engine, 0 to 1; 0 without calls."""
        return sum(self.served.values()) / (self._calls or 1)

    @property
    def _calls(self) -> int:
        return sum(sum(counts.values()) for counts in (self.served, self.reference, self.left))

    def __str__(self) -> str:
        if not self._calls:
            return _NO_CALLS
        lines = [f"{sum(self.served.values()):,} of {self._calls:,} calls ran on the engine ({self.share:.1%})"]
        lines += [f"  {count:>9,}  on the path {name!r}" for name, count in _by_count(self.served)]
        owners = "torch and Keras" if any(why.startswith("Keras") for why in self.left) else "torch"
        for title, counts in (("computed by the reference:", self.reference), (f"left to {owners}:", self.left)):
            if counts:
                lines += [title, *(f"  {count:>9,}  {why}" for why, count in _by_count(counts))]
        return "\n".join(lines)


def _by_count(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: -item[1])


class CallTally:
    """Calls counted since some moment."""

    def __init__(self) -> None:
        self.served: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.reference: Counter[str] = Counter()

    def report(self) -> AccelerationReport:
        """Return the counts so far."""
        return AccelerationReport(dict(self.served), dict(self.left), dict(self.reference))


class Counts:
    """Counts calls as they are made, from any thread."""

    def __init__(self) -> None:
        self.now = CallTally()

    def begin(self) -> None:
        """Start counting from zero; earlier tallies are not changed."""
        self.now = CallTally()

    def add(self, by: ComputedBy) -> None:
        """Count a call."""
        tally = self.now
        if by.name == "engine":
            tally.served[by.detail] += 1
            return
        counts = tally.left if by.name == "torch" else tally.reference
        counts[by.detail if by.detail in counts or len(counts) < MOST_REASONS else "other reasons"] += 1
