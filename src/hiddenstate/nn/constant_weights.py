"""A block in which weights stay as they are, so that calls that repeat pack them once."""

from torch import nn

from hiddenstate.base.messages import shorten
from hiddenstate.base.native_module import InForce, Switch
from hiddenstate.base.scoped import Block
from hiddenstate.engine.packed import PackedLSTM
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.nn.lstm_parameters import LSTMParameters
from hiddenstate.nn.packed_weights import pack_for_owner

# Numbers in the matrices of an LSTM from which on packing them takes longer than to see whether they changed.
WORTH_PACKING = 1 << 14
# Whether any block is open, in any thread.
any_open = False
_opening = Switch(globals(), "any_open", True)


class _Held:
    """The packed weights of an LSTM."""

    def __init__(self, lstm: LSTMParameters) -> None:
        self.lstm = lstm  # kept alive, so that no other takes its id
        self.sizes = lstm.sizes
        self.packed = pack_for_owner(lstm)
        self.is_worth_it = sum(value.numel() for value in lstm._stored().values() if value is not None) >= WORTH_PACKING


# The blocks that are open, in any thread; LSTMs by id, since modules may say that they are equal to others.
_blocks: "list[InForce[dict[int, _Held]]]" = []


def constant_weights(module: nn.Module) -> Block:
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
            f"there is no hiddenstate.LSTM in the module, which has {shorten(kinds)}: hiddenstate.convert(model) puts "
            "them in place of torch's"
        )
    held = {id(lstm): _Held(lstm) for lstm in lstms}  # which may refuse one
    return Block(_blocks, (held,), (_opening,))


def packed_in_block(lstm: LSTMParameters) -> PackedLSTM | None:
    """Return the packed weights of an LSTM in a block, as its weights are now; else None."""
    for block in [*_blocks]:  # other threads may open and close some meanwhile
        for held in block.entries:
            found = held.get(id(lstm))
            # An assigned size makes other sizes.
            if found is not None and found.is_worth_it and found.sizes is lstm.sizes:
                return found.packed.stepper()
    return None
