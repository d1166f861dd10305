"""Finds LSTMs, GRUs and plain RNNs in a torch state dict by the names and shapes of its tensors."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hiddenstate.base.reading import reading, unpacked_limit
from hiddenstate.errors import ArgumentTypeError, FileFormatError
from hiddenstate.interop.build import K, build_kind, build_layer, layer_class
from hiddenstate.interop.checkpoint import read_checkpoint
from hiddenstate.interop.found import Found
from hiddenstate.interop.key_groups import Group, find_groups
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.quantised import keep, stored_names
from hiddenstate.nn.rnn import rnn_mode

# Dicts in a file may be nested, even in themselves. Beyond this depth, the file is not a state dict.
_DEEPEST, _MOST_ENTRIES = 100, 1_000_000

Source = str | Path | Mapping[Any, Any]


def from_state_dict(
    source: Source,
    prefix: str | None = None,
    *,
    kind: type[K] = LSTM,  # type: ignore[assignment]
    batch_first: bool = False,
    dropout: float = 0.0,
    nonlinearity: str = "tanh",
) -> K:
    """Make an LSTM, a GRU or a plain RNN from a torch state dict, which may belong to a larger model.

    Its layers, directions, biases and projection are inferred from the names and shapes; the weights of a cell make one
    layer. Values are copied unchanged; weight norm is folded in. int8 weights, as saved by a layer with
    ``weights="int8"``, stay int8; a cell gets their float values.

    Args:
        source: a state dict, a dict that contains state dicts (such as a training checkpoint), or the path of a
            ``.safetensors`` file or a file of `torch.save`. Only tensors are read from a file; no code in it is run.
        prefix: the layer, if there are several of its kind: the prefix of its keys, such as ``"encoder.lstm"``;
            ``""`` for keys without a prefix.
        kind: the class to make: `LSTM`, `GRU`, `RNN`, or a cell of these. A cell is made of one layer and direction
            without a projection.
        batch_first: the layer's option, which weights do not determine.
        dropout: the layer's option, which weights do not determine.
        nonlinearity: for an `RNN`: ``"tanh"`` or ``"relu"``, which weights do not determine.

    Raises:
        NameUnknownError: there is no layer of this kind, or none with this prefix, or some of its tensors are missing.
        ArgumentError: there are several (the message lists them), it is of another kind, it has a parametrization other
            than weight norm, or the nonlinearity is unknown.
        ArgumentTypeError: the source has the wrong type, or ``kind`` is not such a class.
        ShapeError, RankError, DtypeError: its tensors do not match each other.
        FileFormatError: the file is damaged, of another kind, or contains more than tensors.
        FileNotFoundError, IsADirectoryError: the file does not exist, or is a folder.

    >>> model = nn.Sequential(nn.Embedding(9, 4), nn.LSTM(4, 3, num_layers=2))
    >>> from_state_dict(model.state_dict())
    LSTM(4, 3, num_layers=2)
    """
    rnn_mode(nonlinearity)
    options = {"batch_first": batch_first, "dropout": dropout, "nonlinearity": nonlinearity}
    layers = in_state_dict(source, kind=layer_class(kind), **options)
    return build_kind(layers.one(prefix and prefix.removesuffix(".")), kind)


def in_state_dict(source: Source, *, kind: type[Any] = LSTM, **options: Any) -> Found[Any]:
    """List the layers of a kind in a state dict or checkpoint file; see `from_state_dict`."""
    if not isinstance(source, (str, Path, Mapping)):
        hint = "; give its state_dict(), or use hs.from_torch" if isinstance(source, nn.Module) else ""
        raise ArgumentTypeError(f"expected a state dict or the path of a file, got {type(source).__name__}{hint}")
    if isinstance(source, Mapping):
        return _find_layers("this state dict", dict(_flattened(source)), kind, options)
    loaded = read_checkpoint(source)
    with reading(source):
        tensors = dict(_flattened(loaded))
        # A view of a few bytes can claim any size, and views are copied here.
        size, limit = sum(tensor.nbytes for tensor in tensors.values()), unpacked_limit(source)
        if size > limit:
            raise FileFormatError(
                f"{source} claims {size:,} bytes of tensors, more than this file can hold (at most {limit:,})"
            )
        return _find_layers(str(source), tensors, kind, options)


def _find_layers(where: str, tensors: Mapping[str, Tensor], kind: type[Any], options: Mapping[str, Any]) -> Found[Any]:
    groups = find_groups(tensors)
    builders = {group.name: partial(_build, group, kind, options) for group in groups if group.kind == kind.__name__}
    others = {group.name: group.what for group in groups if group.kind != kind.__name__}
    return Found(where, builders, others, chooser="prefix", kind=kind)


def _build(group: Group, kind: type[Any], options: Mapping[str, Any]) -> Any:
    layer = build_layer(group.weights(), kind, bidirectional=group.bidirectional, **options)
    if group.is_int8 and not group.is_cell:
        kept = group.as_kept()
        keep(layer, {name: kept[name].clone(memory_format=torch.contiguous_format) for name in stored_names(layer)})
    return layer


def _flattened(state: Mapping[Any, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a state dict and of those inside it, by their keys joined with dots."""
    around, seen = [("", iter(state.items()))], 0
    while around:
        prefix, entries = around[-1]
        for key, value in entries:
            seen += 1
            if seen > _MOST_ENTRIES or len(around) > _DEEPEST:
                raise FileFormatError(
                    f"dicts are nested more than {_DEEPEST} deep, or have more than {_MOST_ENTRIES:,} entries"
                )
            if isinstance(value, Mapping):
                around.append((f"{prefix}{key}.", iter(value.items())))
                break
            if isinstance(value, Tensor):
                yield f"{prefix}{key}", value.detach()
        else:
            around.pop()
