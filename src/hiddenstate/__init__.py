"""The LSTM you can see into.

>>> import hiddenstate as hs
>>> lstm = hs.LSTM(input_size=4, hidden_size=3)
"""

import sys as _sys
from importlib.metadata import version as _version
from typing import TYPE_CHECKING as _TYPE_CHECKING

from hiddenstate import _aliases, explain, plant
from hiddenstate.base.later import on_first_use as _on_first_use
from hiddenstate.edits.edit import Edit, add, clamp, mean_ablation, patch, resample_ablation, scale, zero
from hiddenstate.edits.edit import set as set  # noqa: A004 (hs.set reads as what it does)
from hiddenstate.engine.dispatch import backend
from hiddenstate.engine.dispatch import exporters as _exporters
from hiddenstate.errors import HiddenStateError
from hiddenstate.interop.export_arrays import equinox_weights, flax_weights, keras_weights, onnx_weights
from hiddenstate.interop.find import find_lstms
from hiddenstate.interop.jax_arrays import from_equinox, from_flax
from hiddenstate.interop.keras.importer import from_keras
from hiddenstate.interop.onnx.export import export_onnx
from hiddenstate.interop.onnx.importer import from_onnx
from hiddenstate.interop.onnx.symbols import run as _export_job
from hiddenstate.interop.state_dict import from_state_dict
from hiddenstate.interop.torch.accelerate.acceleration import Acceleration, accelerate
from hiddenstate.interop.torch.accelerate.acceleration import traceable_of as _stand_in_of
from hiddenstate.interop.torch.accelerate.counts import AccelerationReport
from hiddenstate.interop.torch.conversion import conversion_report, convert, convert_back
from hiddenstate.interop.torch.from_torch import from_torch
from hiddenstate.interop.torch.report import ConversionReport
from hiddenstate.nn.cell import LSTMCell
from hiddenstate.nn.constant_weights import constant_weights
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.model_edits import edit
from hiddenstate.nn.packed_weights import repack
from hiddenstate.nn.stream import Stream
from hiddenstate.structure.sizes import Sizes
from hiddenstate.structure.structure import Structure, structure_of
from hiddenstate.studio.view import Studio, studio
from hiddenstate.studio.view import trace_html as _trace_html
from hiddenstate.tracing.models import ModelTrace, trace
from hiddenstate.tracing.trace import Trace
from hiddenstate.tracing.trace import notebook_views as _notebook_views
from hiddenstate.tracing.traceable import stand_ins as _stand_ins
from hiddenstate.tracing.unit_step import Moment

if _TYPE_CHECKING:  # loaded when they are first used, as what they need takes longer than the rest
    from hiddenstate.explain.comparisons import compare as compare
    from hiddenstate.models.folder import load_any as load
    from hiddenstate.models.folder import save as save
    from hiddenstate.models.from_modules import language_model as language_model
    from hiddenstate.models.from_modules import tagger as tagger

__version__ = _version("hiddenstate")
# What lower rooms use and higher ones have.
_exporters.append(_export_job)
_notebook_views.append(_trace_html)
_stand_ins.append(_stand_in_of)
_aliases.install(
    _sys.modules[__name__],
    _on_first_use(
        __name__,
        {
            "compare": "explain.comparisons",
            "language_model": "models.from_modules",
            "load": "models.folder:load_any",
            "save": "models.folder",
            "tagger": "models.from_modules",
        },
    ),
)

__all__ = [
    "LSTM",
    "Acceleration",
    "AccelerationReport",
    "ConversionReport",
    "Edit",
    "HiddenStateError",
    "LSTMCell",
    "ModelTrace",
    "Moment",
    "Sizes",
    "Stream",
    "Structure",
    "Studio",
    "Trace",
    "__version__",
    "accelerate",
    "add",
    "backend",
    "clamp",
    "compare",
    "constant_weights",
    "conversion_report",
    "convert",
    "convert_back",
    "edit",
    "equinox_weights",
    "explain",
    "export_onnx",
    "find_lstms",
    "flax_weights",
    "from_equinox",
    "from_flax",
    "from_keras",
    "from_onnx",
    "from_state_dict",
    "from_torch",
    "keras_weights",
    "language_model",
    "load",
    "mean_ablation",
    "onnx_weights",
    "patch",
    "plant",
    "repack",
    "resample_ablation",
    "save",
    "scale",
    # hs.set is left out: `from hiddenstate import *` must not take Python's own set away
    "structure_of",
    "studio",
    "tagger",
    "trace",
    "zero",
]
