"""A block in which weights stay as they are, so that calls that repeat pack them once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from hiddenstate.base.messages import shown
from hiddenstate.engine.packed import Stepper
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.nn.lstm_parameters import LSTMParameters
from hiddenstate.nn.packed_weights import packed_of

# Numbers in the matrices of an LSTM from which on packing them takes longer than to see whether they changed.
WORTH_PACKING = 1 << 14
# Whether any block is open, in any thread.
any_open = False
_changing = threading.Lock()


class _Held:
    """The packed weights of an LSTM, and how many blocks hold them."""

    def __init__(self, lstm: LSTMParameters) -> None:
        self.lstm = lstm  # kept alive, so that no other takes its id
        self.sizes = lstm.sizes
        self.packed = packed_of(lstm)
        self.is_worth_it = sum(value.numel() for value in lstm._stored().values() if value is not None) >= WORTH_PACKING
        self.blocks = 0


_held: dict[int, _Held] = {}  # by id: modules may say that they are equal to others


@contextmanager
def constant_weights(module: nn.Module) -> Iterator[None]:
    """Let the calls of every `hiddenstate.LSTM` in a module share packed weights within a block.

    A call packs its weights into the order that the engine reads, which takes as long as several steps of one row. In
    the block they are packed once, for plain calls and whole traces in float32 or float64 without gradients, projection
    and ``reset=``; all others run as they do elsewhere, and so do LSTMs of a few units, which are packed sooner than
    looked after. Numbers are the same, bit for bit.

    Weights that change within the block, by ``torch.optim``, ``load_state_dict``, ``copy_`` or a new parameter, are
    packed again. After a write that torch does not count, such as one through ``.data`` or a NumPy array, call
    `hiddenstate.repack`. Blocks may be nested, and hold in all threads.

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
    held = [_Held(lstm) for lstm in lstms]  # which may refuse one
    _count(held, 1)
    try:
        yield
    finally:
        _count(held, -1)


def _count(blocks: list[_Held], change: int) -> None:
    global any_open
    with _changing:
        for new in blocks:
            held = _held.setdefault(id(new.lstm), new)
            held.blocks += change
            if not held.blocks:
                del _held[id(new.lstm)]
        any_open = len(_held) > 0


def stepper_of(lstm: LSTMParameters) -> Stepper | None:
    """Return the packed weights of an LSTM in a block, as its weights are now; else None."""
    held = _held.get(id(lstm))
    if held is None or not held.is_worth_it or held.sizes is not lstm.sizes:  # an assigned size makes other sizes
        return None
    return held.packed.stepper()
