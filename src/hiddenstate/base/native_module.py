"""The native module, or None on a machine that can't load it, and the blocks that are written in both languages."""

import warnings
from typing import TYPE_CHECKING

try:
    from hiddenstate import _native as _native
except ImportError as error:  # a wheel for another machine, say: everything still works, in plain torch
    _native = None  # type: ignore[assignment]
    warnings.warn(
        f"hiddenstate's native module could not be loaded ({error}); computing goes on without it. Reinstalling "
        "hiddenstate on this machine usually mends it",
        stacklevel=2,
    )

if TYPE_CHECKING:  # other files take these types from here: this one alone imports the native module
    from hiddenstate._native import Block as Block
    from hiddenstate._native import InForce as InForce
    from hiddenstate._native import StreamStep as StreamStep
    from hiddenstate._native import Switch as Switch
elif _native is None:
    from hiddenstate.base.plain_blocks import Block, InForce, Switch
else:
    Block, InForce, Switch = _native.Block, _native.InForce, _native.Switch
