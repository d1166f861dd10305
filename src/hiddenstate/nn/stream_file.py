"""The state of a stream in a file."""

from pathlib import Path
from typing import NamedTuple

from hiddenstate.base.files import read_tensors, write_tensors
from hiddenstate.base.reading import reading
from hiddenstate.base.validation import State
from hiddenstate.errors import FileFormatError

KIND = "hiddenstate.stream/1"
_LATEST = 2**63  # time steps


class Saved(NamedTuple):
    """What a file holds: the state, and the time steps that were taken."""

    state: State
    t: int


def save(path: str | Path, saved: Saved) -> None:
    """Write a safetensors file, which also says whether all numbers are finite."""
    h, c = saved.state
    write_tensors(path, KIND, {"h": h, "c": c}, {"t": str(saved.t), "finite": str(_is_finite(saved.state))})


def load(path: str | Path) -> Saved:
    """Read what `save` wrote.

    Raises:
        FileFormatError: it is no such file, or damaged.
    """
    tensors, metadata = read_tensors(path, KIND)
    with reading(path):
        try:
            t, state = int(metadata["t"]), (tensors["h"], tensors["c"])
        except (KeyError, ValueError) as error:
            raise FileFormatError(f"{path} is damaged: it lacks parts of a stream's state ({error!r})") from error
        if not 0 <= t < _LATEST:
            raise FileFormatError(f"{path} is damaged: its count of steps is {t}, expected 0..{_LATEST - 1}")
        # A state may be NaN, as any call's may: that it is so in the file is damage only if it was not when saved.
        if metadata.get("finite") == str(True) and not _is_finite(state):
            raise FileFormatError(f"{path} is damaged: it holds numbers that are not finite, and says there are none")
    return Saved(state, t)


def _is_finite(state: State) -> bool:
    return all(bool(part.isfinite().all()) for part in state)
