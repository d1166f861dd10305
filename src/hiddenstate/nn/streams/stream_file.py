"""Saves the state of a stream to a file, and loads it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from hiddenstate.base.files import read_tensors, write_tensors
from hiddenstate.base.reading import reading
from hiddenstate.errors import FileFormatError

KIND = "hiddenstate.stream/1"
_LATEST = 2**63  # time steps


class Saved(NamedTuple):
    """The contents of a file: the states by name, and the number of time steps taken."""

    state: Mapping[str, Tensor]
    t: int


def save(path: str | Path, saved: Saved) -> None:
    """Write a safetensors file, which also records whether all values are finite."""
    write_tensors(path, KIND, dict(saved.state), {"t": str(saved.t), "finite": str(_is_finite(saved.state))})


def load(path: str | Path, names: Sequence[str]) -> Saved:
    """Read a file that `save` wrote, with the states of these names.

    Raises:
        FileFormatError: it is not such a file, has other states, or is damaged.
    """
    tensors, metadata = read_tensors(path, KIND)
    with reading(path):
        try:
            t, state = int(metadata["t"]), {name: tensors[name] for name in names}
        except (KeyError, ValueError) as error:
            raise FileFormatError(f"{path} is damaged: it lacks parts of a stream's state ({error!r})") from error
        if tensors.keys() != state.keys():
            there = " and ".join(sorted(tensors))
            raise FileFormatError(
                f"{path} has the states {there}, expected {' and '.join(names)}: it belongs to a different cell"
            )
        if not 0 <= t < _LATEST:
            raise FileFormatError(f"{path} is damaged: its number of steps is {t}, expected 0..{_LATEST - 1}")
        # A state may legitimately be NaN. In the file, NaN is a sign of damage only if the saved state was finite.
        if metadata.get("finite") == str(True) and not _is_finite(state):
            raise FileFormatError(f"{path} is damaged: it contains values that are not finite, but is marked as finite")
    return Saved(state, t)


def _is_finite(state: Mapping[str, Tensor]) -> bool:
    return all(bool(part.isfinite().all()) for part in state.values())
