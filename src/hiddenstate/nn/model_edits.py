"""Edits of the LSTMs inside a whole model, by module path."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from difflib import get_close_matches

from torch import nn

from hiddenstate.edits.edit import Edit
from hiddenstate.errors import ArgumentTypeError, NameUnknownError
from hiddenstate.nn.cell import LSTMCell
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.scoped_edits import check_edit
from hiddenstate.tracing.traceable import traceable_of


@contextmanager
def edit(model: nn.Module, *edits: Edit) -> Iterator[None]:
    """Open a block in which edits hold for LSTMs and cells inside a model; each names its LSTM by module path.

    ``hs.edit(model, hs.zero("encoder.l0.f"))`` is ``model.encoder.edit(hs.zero("l0.f"))``; of a model that is an LSTM
    itself the place is plain, ``"l0.f"``. The edits hold as those of `hiddenstate.LSTM.edit` do. While
    `hiddenstate.accelerate` is active, LSTMs of torch's can be edited too.

    Args:
        model: any module.
        edits: made by `hiddenstate.zero`, `set` and the others, with a module's path before the place.

    Raises:
        NameUnknownError: there is no LSTM at that path, or it has no such place.
        IndexRangeError: a unit does not exist.
        ArgumentTypeError: the model is no module, or an edit is no `Edit`.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(f"edit takes a torch.nn.Module, got {type(model).__name__}")
    lstms = {path: found for path, module in model.named_modules(remove_duplicate=False) if (found := _lstm(module))}
    with ExitStack() as blocks:
        for one in edits:
            check_edit(one)
            path, place = _split(one.place)
            if path not in lstms:
                raise NameUnknownError(_unknown(path, one.place, lstms))
            blocks.enter_context(lstms[path].edit(replace(one, place=place)))
        yield


def _lstm(module: nn.Module) -> LSTM | LSTMCell | None:
    found = traceable_of(module)
    return found if isinstance(found, (LSTM, LSTMCell)) else None


def _split(place: str) -> tuple[str, str]:
    """Split ``"encoder.rnn.l0.f"`` into the module's path and the place in it."""
    before, dot, quantity = place.rpartition(".")
    path, _, layer = before.rpartition(".")
    return path, f"{layer}{dot}{quantity}"


def _unknown(path: str, place: str, lstms: Mapping[str, nn.Module]) -> str:
    near = get_close_matches(path, lstms, n=3) or list(lstms)
    there = ", ".join(repr(one) if one else "the model itself" for one in near) or "none"
    where = f"at {path!r}" if path else "that is the model itself"
    return (
        f"the edit of {place!r} is for an LSTM {where}: LSTMs that can be edited are {there}. Write the path of the "
        "module before the place, as in 'encoder.l0.f'; LSTMs of torch's can be edited inside hs.accelerate()"
    )
