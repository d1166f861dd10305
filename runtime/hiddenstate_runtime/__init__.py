"""Runs models from files with NumPy, without torch: recurrent layers, models around them, models of text and of series.

- `files.py`: `load`, which reads a model file
- `layer.py`: `Layer`, an LSTM, a GRU or a plain RNN over whole sequences; `Trace`, its gates and states by name
- `stream.py`: `Stream`, a layer one time step at a time
- `edits.py`: edits of gates and states
- `arrays.py`: converts arrays to the form that native code reads
- `graph_model.py`: `GraphModel`, a whole model as a graph of operations; `GraphStream`, one step at a time
- `tagger.py`, `language.py`, `series.py`: `Tagger`, `LanguageModel`, `SeriesModel`
- `shared/`: modules of hiddenstate, copied when this package is built; they import only each other and NumPy

>>> import hiddenstate_runtime as hr
>>> lstm = hr.load("lstm.safetensors")  # doctest: +SKIP
>>> out, (h, c) = lstm(x)  # doctest: +SKIP
"""

from hiddenstate_runtime._native import __version__
from hiddenstate_runtime.edits import Edit, add, scale, set_to, zero
from hiddenstate_runtime.files import load
from hiddenstate_runtime.graph_model import GraphModel, GraphStream
from hiddenstate_runtime.language import LanguageModel
from hiddenstate_runtime.layer import Layer, Trace
from hiddenstate_runtime.series import SeriesModel, SeriesStream
from hiddenstate_runtime.shared.errors import HiddenStateError
from hiddenstate_runtime.shared.sampling import Sampling
from hiddenstate_runtime.stream import Stream
from hiddenstate_runtime.tagger import Tagger

__all__ = [
    "Edit",
    "GraphModel",
    "GraphStream",
    "HiddenStateError",
    "LanguageModel",
    "Layer",
    "Sampling",
    "SeriesModel",
    "SeriesStream",
    "Stream",
    "Tagger",
    "Trace",
    "__version__",
    "add",
    "load",
    "scale",
    "set_to",
    "zero",
]
