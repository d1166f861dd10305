"""Imports the native module (None if it can't be loaded) and the block classes, in C++ or in Python."""

import importlib.util
import warnings
from typing import TYPE_CHECKING

absence = "could not be loaded"  # for messages about a missing native module

try:
    from hiddenstate import _native as _native
except ImportError as error:  # torch is used instead
    _native = None  # type: ignore[assignment]
    if importlib.util.find_spec("hiddenstate._native") is None:
        absence = "could not be loaded: it was not built at installation, which needs GCC 12 or later, or Clang"
        remedy = "Reinstall hiddenstate with one of these compilers to get the native speed"
    else:  # for example, built for a different machine
        absence = f"could not be loaded ({error})"
        remedy = "Reinstalling hiddenstate on this machine usually fixes this"
    warnings.warn(f"hiddenstate's native module {absence}. Everything runs in plain torch. {remedy}", stacklevel=2)

if TYPE_CHECKING:  # other files import these types from here, the only file that imports the native module
    from hiddenstate._native import Block as Block
    from hiddenstate._native import InForce as InForce
    from hiddenstate._native import StreamStep as StreamStep
    from hiddenstate._native import Switch as Switch
elif _native is None:
    from hiddenstate.base.plain_blocks import Block, InForce, Switch
else:
    Block, InForce, Switch = _native.Block, _native.InForce, _native.Switch
