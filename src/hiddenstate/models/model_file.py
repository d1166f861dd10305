"""A model as one file, which `hiddenstate_runtime` and the C library read without torch.

The file is a safetensors file. Its metadata, which are all strings, describe the tensors:

===========  ==========================================================================================================
``format``   ``hiddenstate.model/1``
``kind``     ``layer``, ``tagger`` or ``language-model``
for a layer  ``cell`` (``LSTM``, ``GRU``, ``RNN_TANH`` or ``RNN_RELU``), ``gates`` (``i f g o``, ``r z n`` or ``h``:
             the order in which gates are stacked), and its sizes by the names of torch's arguments, as decimal numbers;
             booleans are ``0`` or ``1``. ``batch_first`` and ``dropout`` are for `read_layer` only: without torch,
             inputs are always ``[T, N, C]``.
for a model  ``config`` and ``vocabulary``, as JSON: those of a model folder; for a tagger ``tokeniser``, the
             patterns of ``text/tokenise.json``
===========  ==========================================================================================================

Tensors have the names of the ``state_dict``. A layer's are float32 or bfloat16, or int8 with their scales under
``NAME_scale``; a model's are those of its folder.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hiddenstate.base.files import read_metadata, read_tensors, write_tensors
from hiddenstate.base.memory import check_memory_of
from hiddenstate.cells.kinds import CELLS
from hiddenstate.errors import DtypeError, FileFormatError
from hiddenstate.nn.quantised import SCALE, WeightType
from hiddenstate.nn.rnn import Layer, new_layer
from hiddenstate.structure.parameters import parameter_names
from hiddenstate.structure.sizes import Sizes
from hiddenstate.text.tokenise import PATTERN

FORMAT = "hiddenstate.model/1"
SUFFIX = ".safetensors"
LAYER = "layer"
SIZES = ("input_size", "hidden_size", "num_layers", "bias", "bidirectional", "proj_size")
_TYPES = (torch.float32, torch.bfloat16, torch.int8)
_MOST_LAYERS = 1024  # checked before even a layer without memory is created

Path = str | os.PathLike[str]


def is_model_file(path: object) -> bool:
    """Whether a path is that of a model file, by its suffix, and not of a model folder."""
    return isinstance(path, str | os.PathLike) and os.fspath(path).endswith(SUFFIX)


def write_layer(layer: Layer, path: Path) -> None:
    """Write an LSTM, a GRU or a plain RNN as a model file.

    Raises:
        DtypeError: its weights are not float32, bfloat16 or int8, or their memory was freed.
        FileWriteError: the file cannot be written.
    """
    names = [name for of_layer in parameter_names(layer.sizes) for name in of_layer if name is not None]
    tensors: dict[str, Tensor] = {name: getattr(layer, name) for name in names}
    scales = [name + SCALE for name, value in tensors.items() if value.dtype is torch.int8]
    tensors |= {name: getattr(layer, name) for name in scales}
    check_memory_of(tensors.items())
    for name, value in tensors.items():
        if value.dtype not in _TYPES:
            raise DtypeError(
                f"{name} has dtype {value.dtype}, but a model file has float32, bfloat16 or int8: convert it first, "
                "with layer.float()"
            )
    cell = layer.sizes.kind
    head = {"kind": LAYER, "cell": cell.name, "gates": " ".join(cell.gate_names)}
    sizes = {name: str(int(getattr(layer.sizes, name))) for name in SIZES}
    options = {"batch_first": str(int(layer.batch_first)), "dropout": repr(float(layer.dropout))}
    write_tensors(os.fspath(path), FORMAT, tensors, {**head, **sizes, **options})


def write_model(
    kind: str, tensors: Mapping[str, Tensor], config: Mapping[str, Any], vocabulary: Mapping[str, Any], path: Path
) -> None:
    """Write a tagger or a language model as a model file, from the contents of its folder.

    Raises:
        FileWriteError: the file cannot be written.
    """
    described = {"config": config, "vocabulary": vocabulary, **({"tokeniser": PATTERN} if kind == "tagger" else {})}
    as_text = {name: json.dumps(data, ensure_ascii=False) for name, data in described.items()}
    write_tensors(os.fspath(path), FORMAT, tensors, {"kind": kind, **as_text})


def read_layer(path: Path) -> Layer:
    """Read the layer of a model file.

    Raises:
        FileFormatError: it is not the file of a layer, is damaged, or of a later version.
    """
    tensors, metadata = read_tensors(os.fspath(path), FORMAT)
    try:
        kind = CELLS.get(metadata["cell"])
        if kind is None or metadata["gates"] != " ".join(kind.gate_names):
            raise ValueError(f"it has the cell {metadata['cell']!r:.40} with gates {metadata['gates']!r:.40}")
        numbers = [int(metadata[name][:10]) for name in SIZES]
        input_size, hidden_size, num_layers, bias, bidirectional, proj_size = numbers
        sizes = Sizes(input_size, hidden_size, num_layers, bool(bias), bool(bidirectional), proj_size, kind.name)
        is_batch_first, dropout = metadata.get("batch_first", "0") == "1", float(metadata.get("dropout", "0"))
        return make_layer(sizes, tensors, batch_first=is_batch_first, dropout=dropout)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FileFormatError(f"{path} is damaged: {error}; get the model again") from error


def make_layer(sizes: Sizes, tensors: Mapping[str, Tensor], **options: Any) -> Layer:
    """Make a layer from stored weights, in evaluation mode.

    Args:
        sizes: its sizes and kind of cell.
        tensors: its ``state_dict``.
        options: ``batch_first`` and ``dropout``.

    Raises:
        ValueError: the weights are not those of a layer of these sizes.
    """
    if sizes.num_layers > min(_MOST_LAYERS, len(tensors)):
        raise ValueError("it declares more layers than it has weights for")
    types = {value.dtype for value in tensors.values()}
    (dtype,) = types - {torch.int8}
    # Created without memory first, because absurd sizes do not fit the tensors.
    weights: WeightType = "int8" if torch.int8 in types else "float"
    layer: Layer = new_layer(sizes, **options, dtype=dtype, device="meta", weights=weights)
    expected = {name: value.shape for name, value in layer.state_dict().items()}
    if expected != {name: value.shape for name, value in tensors.items()}:
        raise ValueError(f"its tensors do not have the names and shapes of {sizes}")
    layer.load_state_dict(tensors, assign=True)
    return layer.eval()


def read_head(path: Path) -> dict[str, str]:
    """Return the metadata of a model file, without reading its tensors.

    Raises:
        FileFormatError: it is not a model file, or of a later version.
    """
    return read_metadata(os.fspath(path), FORMAT)


def parse_description(metadata: Mapping[str, str], path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the config and the vocabulary in the metadata of a tagger or language model.

    Raises:
        FileFormatError: they are missing, or not JSON objects.
    """
    found = []
    for name in ("config", "vocabulary"):
        try:
            data = json.loads(metadata[name])
        except (KeyError, ValueError, RecursionError) as error:
            raise FileFormatError(f"{path} is damaged: it has no {name} in JSON; get the model again") from error
        if not isinstance(data, dict):
            raise FileFormatError(f"{path} is damaged: its {name} is not a JSON object; get the model again")
        found.append(data)
    return found[0], found[1]
