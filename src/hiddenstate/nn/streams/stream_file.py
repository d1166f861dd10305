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
_ASSIGN = "To use it nevertheless, read it with safetensors.torch.load_file and assign it to stream.state"


class SavedStream(NamedTuple):
    """The contents of a file."""

    state: Mapping[str, Tensor]  # by name
    t: int  # the number of time steps taken
    cell: str  # the kind of cell that computed them
    weights: str  # the fingerprint of the weights with which they were computed


def save(path: str | Path, saved: SavedStream) -> None:
    """Write a safetensors file, which also records whether all values are finite."""
    about = {"t": str(saved.t), "cell": saved.cell, "weights": saved.weights, "finite": str(_is_finite(saved.state))}
    write_tensors(path, KIND, dict(saved.state), about)


def load(path: str | Path, cell: str, carried: Sequence[str] | None) -> SavedStream:
    """Read a file that `save` wrote, of this kind of cell and with its states, or with any.

    Raises:
        FileFormatError: it is not such a file, is for a different kind of cell, or is damaged.
    """
    tensors, about = read_tensors(path, KIND)
    with reading(path):
        if about.keys().isdisjoint(("cell", "weights")):
            raise FileFormatError(
                f"{path} does not record which weights its state belongs to: an earlier version wrote it. {_ASSIGN}"
            )
        if about.get("cell", cell) != cell:
            raise FileFormatError(
                f"{path} is the state of a stream of the cell {about['cell']!r:.40}, expected {cell!r}: load it "
                "into a stream of the layer that computed it"
            )
        try:
            t, weights = int(about["t"]), about["weights"]
            state = {name: tensors.pop(name) for name in carried or sorted(tensors)}
        except (KeyError, ValueError) as error:
            raise FileFormatError(f"{path} is damaged: it lacks parts of a stream's state ({error!r})") from error
        if tensors:
            raise FileFormatError(f"{path} is damaged: it has the states {', '.join([*state, *sorted(tensors)])}")
        if not 0 <= t < _LATEST:
            raise FileFormatError(f"{path} is damaged: its number of steps is {t}, expected 0..{_LATEST - 1}")
        # A state may legitimately be NaN. In the file, NaN is a sign of damage only if the saved state was finite.
        if about.get("finite") == str(True) and not _is_finite(state):
            raise FileFormatError(f"{path} is damaged: it contains values that are not finite, but is marked as finite")
    return SavedStream(state, t, cell, weights)


def check_weights(path: str | Path, saved: SavedStream, weights: str, part: str = "layer") -> None:
    """Raise FileFormatError if the state was not computed with the weights of this fingerprint."""
    if saved.weights != weights:
        raise FileFormatError(
            f"the state in {path} was computed with other weights than those of this {part}: load it into a stream of "
            f"the {part} that computed it. {_ASSIGN}"
        )


def _is_finite(state: Mapping[str, Tensor]) -> bool:
    return all(bool(part.isfinite().all()) for part in state.values())
