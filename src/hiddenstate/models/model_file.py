"""A model as one file, which `hiddenstate_runtime` and the C library read without torch.

The file is a safetensors file. Its metadata, which are all strings, describe the tensors:

===========  ==========================================================================================================
``format``   ``hiddenstate.model/1``
``kind``     ``layer``, ``tagger``, ``language-model``, ``series-model`` or ``graph``
for a layer  ``cell`` (``LSTM``, ``GRU``, ``RNN_TANH`` or ``RNN_RELU``), ``gates`` (``i f g o``, ``r z n`` or ``h``:
             the order in which gates are stacked), and its sizes by the names of torch's arguments: decimal numbers of
             at most nine digits, up to 4,096 layers and 2^24 features or units; booleans are ``0`` or ``1``.
             ``batch_first`` may be absent, and concerns Python only: C takes ``[T, N, C]``, and JavaScript one
             sequence. ``dropout`` is for `read_layer` only.
for a model  ``config`` and ``vocabulary``, as JSON: those of a model folder (for a series model, which C does not
             read, its columns); for a tagger ``tokeniser``, the patterns of ``text/tokenise.json``
for a graph  ``graph``, as JSON: `hiddenstate.models.graph.graph`; Python alone reads it
===========  ==========================================================================================================

Tensors have the names of the ``state_dict``, and there are no others. A layer's are all float32 or all bfloat16, or its
matrices are int8, with their scales under ``NAME_scale``; a model's are those of its folder. All numbers are finite,
and no scale is negative. The metadata have at most 4,096 entries. Every reader refuses files that break these rules, or
those of safetensors (``tests/runtime/hostile_models.py`` is run through all readers).
"""

import json
import os
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hiddenstate.base.files import read_metadata, read_tensors, write_tensors
from hiddenstate.base.memory import check_memory_of
from hiddenstate.cells.kinds import CELLS
from hiddenstate.engine.weights import dequantise
from hiddenstate.errors import ArgumentError, DtypeError, FileFormatError
from hiddenstate.nn.quantised import SCALE, WeightType
from hiddenstate.nn.rnn import Layer, new_layer
from hiddenstate.structure.sizes import Sizes
from hiddenstate.text.tokenise import PATTERN

FORMAT = "hiddenstate.model/1"
SUFFIX = ".safetensors"
LAYER = "layer"
SIZES = ("input_size", "hidden_size", "num_layers", "bias", "bidirectional", "proj_size")
FLAGS = ("bias", "bidirectional", "batch_first")
_TYPES = (torch.float32, torch.bfloat16, torch.int8)
MOST_LAYERS, LARGEST_SIZE, MOST_ENTRIES = 4096, 2**24, 4096  # as in native/runtime
_NUMBER = re.compile("[0-9]{1,9}")

Path = str | os.PathLike[str]


def is_model_file(path: object) -> bool:
    """Whether a path names a model file, by its suffix, rather than a model folder."""
    return isinstance(path, str | os.PathLike) and os.fspath(path).endswith(SUFFIX)


def write_layer(layer: Layer, path: Path) -> None:
    """Write an LSTM, a GRU or a plain RNN as a model file."""
    _check_sizes(layer.sizes)
    tensors = layer._named_weights()
    check_memory_of(tensors.items())
    for name, value in tensors.items():
        if value.dtype not in _TYPES:
            raise DtypeError(
                f"{name} has dtype {value.dtype}, but a model file has float32, bfloat16 or int8: convert it first, "
                "with layer.float()"
            )
    _check_numbers(tensors)
    cell = layer.sizes.kind
    head = {"kind": LAYER, "cell": cell.name, "gates": " ".join(cell.gate_names)}
    sizes = {name: str(int(getattr(layer.sizes, name))) for name in SIZES}
    options = {"batch_first": str(int(layer.batch_first)), "dropout": repr(float(layer.dropout))}
    write_tensors(os.fspath(path), FORMAT, tensors, {**head, **sizes, **options})


def write_model(
    kind: str, tensors: Mapping[str, Tensor], config: Mapping[str, Any], vocabulary: Mapping[str, Any], path: Path
) -> None:
    """Write a tagger or a language model as a model file, from the contents of its folder."""
    described = {"config": config, "vocabulary": vocabulary, **({"tokeniser": PATTERN} if kind == "tagger" else {})}
    as_text = {name: json.dumps(data, ensure_ascii=False) for name, data in described.items()}
    write_tensors(os.fspath(path), FORMAT, tensors, {"kind": kind, **as_text})


def read_layer(path: Path) -> Layer:
    """Read the layer of a model file."""
    tensors, metadata = read_tensors(os.fspath(path), FORMAT)
    try:
        kind = CELLS.get(metadata["cell"])
        if kind is None or metadata["gates"] != " ".join(kind.gate_names):
            raise ValueError(f"it has the cell {metadata['cell']!r:.40} with gates {metadata['gates']!r:.40}")
        if len(metadata) > MOST_ENTRIES:
            raise ValueError(f"its metadata have more than {MOST_ENTRIES:,} entries")
        options = {name: _option(metadata, name) for name in SIZES}
        sizes = Sizes(**options, cell=kind.name)
        _check_sizes(sizes)
        if not {value.dtype for value in tensors.values()} <= {*_TYPES}:
            raise ValueError("its tensors are not all float32, bfloat16 or int8")
        is_batch_first = bool(_option({"batch_first": "0", **metadata}, "batch_first"))
        layer = make_layer(sizes, tensors, batch_first=is_batch_first, dropout=float(metadata.get("dropout", "0")))
        _check_numbers(tensors)
        return layer
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FileFormatError(f"{path} is damaged: {error}; get the model again") from error


def _option(metadata: Mapping[str, str], name: str) -> Any:
    """Return the number, or the boolean, under a name of the metadata."""
    text, is_flag = metadata[name], name in FLAGS
    if not (text in ("0", "1") if is_flag else _NUMBER.fullmatch(text)):
        expected = "0 or 1" if is_flag else "a decimal number of at most nine digits"
        raise ValueError(f"its {name} is {text!r:.40}, expected {expected}")
    return text == "1" if is_flag else int(text)


def _check_sizes(sizes: Sizes) -> None:
    if sizes.num_layers > MOST_LAYERS or max(sizes.input_size, sizes.hidden_size) > LARGEST_SIZE:
        raise ArgumentError(
            f"a layer with input_size {sizes.input_size}, hidden_size {sizes.hidden_size} and {sizes.num_layers} "
            f"layers: a model file has at most {LARGEST_SIZE:,} features and units, and {MOST_LAYERS:,} layers"
        )


def _check_numbers(tensors: Mapping[str, Tensor]) -> None:
    """Reject weights that are not finite, and scales that are negative or whose products are not finite."""
    for name, value in tensors.items():
        scale = tensors.get(name + SCALE)
        product = value if scale is None else dequantise(value, scale, name)
        is_scale = name.endswith(SCALE) and name.removesuffix(SCALE) in tensors
        if value.is_floating_point() and not value.isfinite().all():
            raise ArgumentError(f"{name} has values that are not finite: check the training")
        if (is_scale and (value < 0).any()) or not product.isfinite().all():
            raise ArgumentError(f"{name} is an int8 matrix, or its scales, with a negative scale or infinite products")


def make_layer(sizes: Sizes, tensors: Mapping[str, Tensor], **options: Any) -> Layer:
    """Make a layer from stored weights, in evaluation mode."""
    if sizes.num_layers > min(MOST_LAYERS, len(tensors)):
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
    """Return the metadata of a model file, without reading its tensors."""
    return read_metadata(os.fspath(path), FORMAT)


def parse_description(metadata: Mapping[str, str], path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the config and the vocabulary in the metadata of a tagger or language model."""
    described = []
    for name in ("config", "vocabulary"):
        try:
            data = json.loads(metadata[name])
        except (KeyError, ValueError, RecursionError) as error:
            raise FileFormatError(f"{path} is damaged: it has no {name} in JSON; get the model again") from error
        if not isinstance(data, dict):
            raise FileFormatError(f"{path} is damaged: its {name} is not a JSON object; get the model again")
        described.append(data)
    return described[0], described[1]
