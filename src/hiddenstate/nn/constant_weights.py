"""A block in which weights stay as they are, so that calls that repeat pack them once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from hiddenstate.base.messages import shown
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.nn.lstm_parameters import LSTMParameters
from hiddenstate.nn.packed_weights import Packed

# Numbers in the matrices of an LSTM from which on packing them takes longer than to see whether they changed.
WORTH_PACKING = 1 << 14
# Whether any block is open, in any thread.
any_open = False
_changing = threading.Lock()


class _Held:
    """The packed weights of an LSTM, and how many blocks hold them."""

    def __init__(self, lstm: LSTMParameters) -> None:
        self.packed = Packed(lstm, lstm.sizes, lstm._weights)
        self.is_worth_it = sum(value.numel() for value in lstm.parameters()) >= WORTH_PACKING
        self.blocks = 0


_held: "WeakKeyDictionary[LSTMParameters, _Held]" = WeakKeyDictionary()


@contextmanager
def constant_weights(module: nn.Module) -> Iterator[None]:
    """Let the calls of every `hiddenstate.LSTM` in a module share packed weights within a block.

    A call packs its weights into the order that the engine reads, which takes as long as several steps of one row. In
    the block they are packed once, for plain calls and whole traces in float32 or float64 without gradients, projection
    and ``reset=``; all others run as they do elsewhere, and so do LSTMs of a few units, which are packed sooner than
    looked after. Numbers are the same, bit for bit.

    Within the block do not write weights in place through ``.data`` or through a NumPy array, of which torch keeps no
    record. Every other change, by optimisers, ``load_state_dict`` or a new parameter, is seen, and packs anew. Blocks
    may be nested, and hold in all threads.

    Args:
        module: an LSTM, or a module with LSTMs inside.

    Raises:
        ArgumentTypeError: it is no module.
        ArgumentError: there is no `hiddenstate.LSTM` in it.

    >>> import hiddenstate as hs, torch
    >>> lstm = hs.LSTM(4, 3).eval()
    >>> with torch.no_grad(), hs.constant_weights(lstm):
    ...     outs = [lstm(torch.zeros(5, 1, 4))[0] for _ in range(3)]
    >>> len(outs)
    3
    """
    if not isinstance(module, nn.Module):
        raise ArgumentTypeError(f"constant_weights takes a torch.nn.Module, got {type(module).__name__}")
    lstms = [one for one in module.modules() if isinstance(one, LSTMParameters)]
    if not lstms:
        kinds = sorted({type(one).__name__ for one in module.modules()})
        raise ArgumentError(
            f"there is no hiddenstate.LSTM in the module, which has {shown(kinds)}: hiddenstate.convert(model) puts "
            "them in place of torch's"
        )
    _count(lstms, 1)
    try:
        yield
    finally:
        _count(lstms, -1)


def _count(lstms: list[LSTMParameters], change: int) -> None:
    global any_open
    with _changing:
        for lstm in lstms:
            held = _held.setdefault(lstm, _Held(lstm)) if change > 0 else _held[lstm]
            held.blocks += change
            if not held.blocks:
                del _held[lstm]
        any_open = len(_held) > 0


def packed_of(lstm: LSTMParameters) -> Any:
    """Return the native packed weights of an LSTM in a block, as its weights are now; else None."""
    held = _held.get(lstm)
    stepper = held.packed.stepper() if held is not None and held.is_worth_it else None
    return None if stepper is None else stepper.packed
