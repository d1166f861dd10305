"""Specifies what to record of a call."""

from collections.abc import Sequence
from dataclasses import dataclass

from hiddenstate.structure.names import Place


@dataclass(frozen=True)
class RecordSpec:
    """The places and time steps to record of a call."""

    places: Sequence[Place]
    steps: Sequence[int]
