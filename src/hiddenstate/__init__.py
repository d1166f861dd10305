"""The LSTM you can see into.

>>> import hiddenstate as hs
>>> lstm = hs.LSTM(input_size=4, hidden_size=3)
"""

from importlib.metadata import version as _version

from hiddenstate.cell import LSTMCell
from hiddenstate.edit import Edit, add, patch, scale, zero
from hiddenstate.edit import set as set  # noqa: A004 (hs.set reads as what it does)
from hiddenstate.errors import HiddenStateError
from hiddenstate.interop.onnx_export import export_onnx
from hiddenstate.lstm import LSTM, from_torch
from hiddenstate.moment import Moment
from hiddenstate.scan import backend
from hiddenstate.sizes import Sizes
from hiddenstate.stream import Stream
from hiddenstate.structure import Structure, structure_of
from hiddenstate.trace import Trace

__version__ = _version("hiddenstate")

__all__ = [
    "LSTM",
    "Edit",
    "HiddenStateError",
    "LSTMCell",
    "Moment",
    "Sizes",
    "Stream",
    "Structure",
    "Trace",
    "__version__",
    "add",
    "backend",
    "export_onnx",
    "from_torch",
    "patch",
    "scale",
    # hs.set is left out: `from hiddenstate import *` must not take Python's own set away
    "structure_of",
    "zero",
]
