"""Saves the state of a stream to a file, and loads it."""

from pathlib import Path
from typing import NamedTuple

from hiddenstate.base.files import read_tensors, write_tensors
from hiddenstate.base.reading import reading
from hiddenstate.base.validation import State
from hiddenstate.errors import FileFormatError

KIND = "hiddenstate.stream/1"
_LATEST = 2**63  # time steps


class Saved(NamedTuple):
    """The contents of a file: the state, and the number of time steps taken."""

    state: State
    t: int


def save(path: str | Path, saved: Saved) -> None:
    """Write a safetensors file, which also records whether all values are finite."""
    h, c = saved.state
    write_tensors(path, KIND, {"h": h, "c": c}, {"t": str(saved.t), "finite": str(_is_finite(saved.state))})


def load(path: str | Path) -> Saved:
    """Read what `save` wrote.

    Raises:
        FileFormatError: it is not such a file, or is damaged.
    """
    tensors, metadata = read_tensors(path, KIND)
    with reading(path):
        try:
            t, state = int(metadata["t"]), (tensors["h"], tensors["c"])
        except (KeyError, ValueError) as error:
            raise FileFormatError(f"{path} is damaged: it lacks parts of a stream's state ({error!r})") from error
        if not 0 <= t < _LATEST:
            raise FileFormatError(f"{path} is damaged: its count of steps is {t}, expected 0..{_LATEST - 1}")
        # A state may legitimately be NaN; in the file it is damage only if the saved state was finite.
        if metadata.get("finite") == str(True) and not _is_finite(state):
            raise FileFormatError(f"{path} is damaged: it contains values that are not finite, but is marked as finite")
    return Saved(state, t)


def _is_finite(state: State) -> bool:
    return all(bool(part.isfinite().all()) for part in state)
