"""What to record of a call."""

from collections.abc import Sequence
from dataclasses import dataclass

from hiddenstate.structure.names import Place


@dataclass(frozen=True)
class RecordSpec:
    """What to record of a call: places and time steps."""

    places: Sequence[Place]
    steps: Sequence[int]
