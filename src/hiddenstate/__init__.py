"""The LSTM you can see into.

>>> import hiddenstate as hs
>>> lstm = hs.LSTM(input_size=4, hidden_size=3)

The package's modules, and torch with them, are loaded when one of its names is first used, so that a command that only
shows its help loads neither.
"""

import sys as _sys
from importlib import import_module as _import_module
from types import ModuleType as _ModuleType
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from hiddenstate.base import forks as _forks  # noqa: F401 (notices forks from here on)
from hiddenstate.base import later as _given_later

if _TYPE_CHECKING:
    from hiddenstate import explain as explain
    from hiddenstate import plant as plant
    from hiddenstate.corpus.opened import Index as Index
    from hiddenstate.corpus.opened import index as index
    from hiddenstate.corpus.opened import open_index as open_index
    from hiddenstate.edits.edit import Edit, add, clamp, mean_ablation, patch, resample_ablation, scale, zero
    from hiddenstate.edits.edit import set as set  # noqa: A004 (hs.set reads well)
    from hiddenstate.engine.dispatch import backend
    from hiddenstate.errors import HiddenStateError
    from hiddenstate.explain.comparison.run import compare as compare
    from hiddenstate.interop.export_arrays import equinox_weights, flax_weights, keras_weights, onnx_weights
    from hiddenstate.interop.find import find_lstms
    from hiddenstate.interop.jax_arrays import from_equinox, from_flax
    from hiddenstate.interop.keras.importer import from_keras
    from hiddenstate.interop.onnx.export import export_onnx
    from hiddenstate.interop.onnx.importer import from_onnx
    from hiddenstate.interop.state_dict import from_state_dict
    from hiddenstate.interop.torch.accelerate.acceleration import Acceleration, accelerate
    from hiddenstate.interop.torch.accelerate.counts import AccelerationReport
    from hiddenstate.interop.torch.conversion import conversion_report, convert, convert_back
    from hiddenstate.interop.torch.from_torch import from_torch
    from hiddenstate.interop.torch.report import ConversionReport
    from hiddenstate.models.from_modules import language_model as language_model
    from hiddenstate.models.from_modules import tagger as tagger
    from hiddenstate.models.model_folder import load_saved as load
    from hiddenstate.models.model_folder import save as save
    from hiddenstate.nn.cell import GRUCell, LSTMCell, RNNCell
    from hiddenstate.nn.constant_weights import constant_weights
    from hiddenstate.nn.gru import GRU
    from hiddenstate.nn.lstm import LSTM
    from hiddenstate.nn.model_edits import edit
    from hiddenstate.nn.packed_weights import repack
    from hiddenstate.nn.rnn import RNN
    from hiddenstate.nn.streams.stream import Stream
    from hiddenstate.structure.sizes import Sizes
    from hiddenstate.structure.structure import Structure, structure_of
    from hiddenstate.studio.view import Studio, studio
    from hiddenstate.tracing.models import ModelTrace, trace
    from hiddenstate.tracing.trace import Trace
    from hiddenstate.tracing.unit_step import Moment

    __version__: str

# The module of every public name. All are loaded together, so that no import happens in the middle of a call.
_HOMES = {
    "plant": "",
    "edits.edit": "Edit add clamp mean_ablation patch resample_ablation scale zero set",
    "engine.dispatch": "backend",
    "errors": "HiddenStateError",
    "interop.export_arrays": "equinox_weights flax_weights keras_weights onnx_weights",
    "interop.find": "find_lstms",
    "interop.jax_arrays": "from_equinox from_flax",
    "interop.keras.importer": "from_keras",
    "interop.onnx.export": "export_onnx",
    "interop.onnx.importer": "from_onnx",
    "interop.state_dict": "from_state_dict",
    "interop.torch.accelerate.acceleration": "Acceleration accelerate",
    "interop.torch.accelerate.counts": "AccelerationReport",
    "interop.torch.conversion": "conversion_report convert convert_back",
    "interop.torch.from_torch": "from_torch",
    "interop.torch.report": "ConversionReport",
    "nn.cell": "GRUCell LSTMCell RNNCell",
    "nn.constant_weights": "constant_weights",
    "nn.gru": "GRU",
    "nn.lstm": "LSTM",
    "nn.model_edits": "edit",
    "nn.packed_weights": "repack",
    "nn.rnn": "RNN",
    "nn.streams.stream": "Stream",
    "structure.sizes": "Sizes",
    "structure.structure": "Structure structure_of",
    "studio.view": "Studio studio",
    "tracing.models": "ModelTrace trace",
    "tracing.trace": "Trace",
    "tracing.unit_step": "Moment",
}
_NAMES = frozenset(name for names in _HOMES.values() for name in names.split())
# These modules take the longest to load.
_later = _given_later.on_first_use(
    __name__,
    {
        "Index": "corpus.opened",
        "compare": "explain.comparison",
        "explain": "explain:",
        "index": "corpus.opened",
        "language_model": "models.from_modules",
        "load": "models.model_folder:load_saved",
        "open_index": "corpus.opened",
        "save": "models.model_folder",
        "tagger": "models.from_modules",
    },
)


class _Package(_ModuleType):
    """The package, in which ``hiddenstate.studio`` is the function, although a module has the same name."""

    def __setattr__(self, name: str, value: object) -> None:
        # The import system sets every loaded submodule as an attribute of the package.
        if not (isinstance(value, _ModuleType) and name in _NAMES):
            super().__setattr__(name, value)


def __getattr__(name: str) -> _Any:
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    if name.startswith(
        "_"
    ):  # one of our own modules that is being imported, or a name that Python looks up in every module
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _load()
    if name in globals():
        return globals()[name]
    return _later(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _load() -> None:
    """Load every name of `_HOMES`."""
    loaded = {home: _import_module(f"{__name__}.{home}") for home in _HOMES}
    globals().update({name: getattr(loaded[home], name) for home, names in _HOMES.items() for name in names.split()})


_sys.modules[__name__].__class__ = _Package
_given_later.exporters.append(_given_later.called_later("hiddenstate.interop.onnx.symbols:run"))
_given_later.index_openers.append(_given_later.called_later("hiddenstate.corpus.answers:open_answers"))
_given_later.notebook_views.append(_given_later.called_later("hiddenstate.studio.view:trace_html"))
_given_later.stand_ins.append(
    _given_later.called_later("hiddenstate.interop.torch.accelerate.acceleration:find_traceable")
)

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Acceleration",
    "AccelerationReport",
    "ConversionReport",
    "Edit",
    "GRUCell",
    "HiddenStateError",
    "Index",
    "LSTMCell",
    "ModelTrace",
    "Moment",
    "RNNCell",
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
    "index",
    "keras_weights",
    "language_model",
    "load",
    "mean_ablation",
    "onnx_weights",
    "open_index",
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
