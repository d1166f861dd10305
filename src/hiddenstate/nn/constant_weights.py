"""A block in which weights are constant, so that repeated calls pack them only once."""

from torch import nn

from hiddenstate.base.messages import readable_name, shorten
from hiddenstate.base.native_module import InForce, Switch
from hiddenstate.base.scoped import Block
from hiddenstate.engine import kernels
from hiddenstate.engine.paths.packed import PackedLSTM
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.nn.packed_weights import shared_weights
from hiddenstate.nn.recurrent_parameters import RecurrentParameters

# The number of weights above which packing them takes longer than checking whether they changed.
WORTH_PACKING = 1 << 14
# Whether a block is open in any thread.
any_open = False
_opening = Switch(globals(), "any_open", True)


class _ConstantLayer:
    """The packed weights of an LSTM."""

    def __init__(self, lstm: RecurrentParameters) -> None:
        self.lstm = lstm  # keeps it alive, so that its id is not reused
        self.sizes = lstm.sizes
        self.packed = shared_weights(lstm)
        self.packed.check_again()
        self.is_worth_it = sum(value.numel() for value in lstm._stored().values() if value is not None) >= WORTH_PACKING


# The open blocks of all threads; LSTMs are stored by id, since a module class may define its own equality.
_blocks: "list[InForce[dict[int, _ConstantLayer]]]" = []


def constant_weights(module: nn.Module) -> Block:
    """Return a context manager in which calls of the `hiddenstate` layers in a module share packed weights.

    A call packs its weights into the engine's memory order, which takes as long as several steps of one row. In the
    block they are packed once, for plain calls without gradients, projection and ``reset=``, and for whole traces in
    float32 or float64 of such calls. All other calls run as usual, and so do layers with fewer than 16,384 weights, for
    which packing is cheaper than checking for changes. Results are identical, bit for bit.

    Weights that change within the block, through ``torch.optim``, ``load_state_dict``, ``copy_`` or a new parameter,
    are repacked. After a write that torch's version counters miss, such as one through ``.data`` or a NumPy array, call
    `hiddenstate.repack`. Blocks may be nested, and affect all threads.

    Args:
        module: a layer, or a module with layers inside.

    Raises:
        ArgumentTypeError: the argument is not a module.
        ArgumentError: there is no `hiddenstate.LSTM`, `GRU` or `RNN` in it.

    >>> import hiddenstate as hs, torch
    >>> lstm = hs.LSTM(4, 3).eval()
    >>> with torch.no_grad(), hs.constant_weights(lstm):
    ...     outs = [lstm(torch.zeros(5, 1, 4))[0] for _ in range(3)]
    >>> len(outs)
    3
    """
    if not isinstance(module, nn.Module):
        raise ArgumentTypeError(f"constant_weights takes a torch.nn.Module, got {type(module).__name__}")
    layers = [part for part in module.modules() if isinstance(part, RecurrentParameters)]
    if not layers:
        kinds = sorted({readable_name(type(part)) for part in module.modules()})
        raise ArgumentError(
            f"there is no hiddenstate.LSTM, GRU or RNN in the module, which has {shorten(kinds)}: "
            "hiddenstate.convert(model) replaces torch's"
        )
    layers_by_id = {id(layer): _ConstantLayer(layer) for layer in layers if layer.mode in kernels.CELLS}  # may raise
    return Block(_blocks, (layers_by_id,), (_opening,))


def packed_in_block(lstm: RecurrentParameters) -> PackedLSTM | None:
    """Return the current packed weights of an LSTM in a block, or None outside of one."""
    for block in [*_blocks]:  # a copy: other threads may open and close blocks
        for layers_by_id in block.entries:
            layer = layers_by_id.get(id(lstm))
            # Assigning a size replaces the sizes.
            if layer is not None and layer.is_worth_it and layer.sizes is lstm.sizes:
                return layer.packed.stepper()
    return None
