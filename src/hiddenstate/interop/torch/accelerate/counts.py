"""Counts the calls of torch's LSTMs that ran on the engine, and the reasons why others did not."""

from collections import Counter
from dataclasses import dataclass, field

from hiddenstate.interop.torch.accelerate.unseen import unseen_lstms

MOST_REASONS = 50  # maximum number of distinct reasons, so that a long-running program does not fill memory with them


_NO_CALLS = "No LSTM of torch was called in this process. (Processes that it spawned count for themselves.)"


@dataclass(frozen=True)
class AccelerationReport:
    """Counts of calls that ran on the engine or not, with reasons; ``print`` shows a table.

    Attributes:
        served: calls that ran on the engine, by path name.
        left: calls that torch computed, by reason.
        unseen: if no call was counted, the LSTMs in this process whose calls can't be counted, by kind.
    """

    served: dict[str, int]
    left: dict[str, int]
    unseen: dict[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The share of all calls that ran on the engine, 0 to 1; 0 without calls."""
        served = sum(self.served.values())
        return served / ((served + sum(self.left.values())) or 1)

    def __str__(self) -> str:
        calls = sum(self.served.values()) + sum(self.left.values())
        if not calls:
            unseen = [f"  {count:>9,}  {what}" for what, count in _by_count(self.unseen)]
            return "\n".join([_NO_CALLS, *(["in this process are:", *unseen] if unseen else [])])
        lines = [f"{sum(self.served.values()):,} of {calls:,} calls ran on the engine ({self.share:.1%})"]
        lines += [f"  {count:>9,}  on the path {name!r}" for name, count in _by_count(self.served)]
        if self.left:
            lines += ["left to torch:", *(f"  {count:>9,}  {why}" for why, count in _by_count(self.left))]
        return "\n".join(lines)


def _by_count(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: -item[1])


class Tally:
    """Calls counted since some moment."""

    def __init__(self) -> None:
        self.served: Counter[str] = Counter()
        self.left: Counter[str] = Counter()

    def report(self) -> AccelerationReport:
        """Return the counts so far."""
        called = bool(self.served or self.left)
        return AccelerationReport(dict(self.served), dict(self.left), {} if called else unseen_lstms())


class Counts:
    """Counts calls as they are made, from any thread."""

    def __init__(self) -> None:
        self.now = Tally()

    def begin(self) -> None:
        """Start counting from zero; earlier tallies are not changed."""
        self.now = Tally()

    def served(self, path: str) -> None:
        """Count a call that ran on the engine."""
        self.now.served[path] += 1

    def left(self, why: str) -> None:
        """Count a call that torch computed."""
        left = self.now.left
        left[why if why in left or len(left) < MOST_REASONS else "other reasons"] += 1
