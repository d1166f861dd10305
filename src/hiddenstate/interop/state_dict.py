"""Finds LSTMs in a torch state dict by the names and shapes of its tensors."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from hiddenstate.base.reading import reading, unpacked_limit
from hiddenstate.errors import ArgumentTypeError, FileFormatError
from hiddenstate.interop.build import build_cell, build_lstm
from hiddenstate.interop.checkpoint import read_checkpoint
from hiddenstate.interop.found import Found
from hiddenstate.interop.key_groups import Group, find_groups
from hiddenstate.nn.cell import LSTMCell
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.quantised import keep, stored_names

# Dicts in a file may be nested, even in themselves: beyond this depth it is not a state dict.
_DEEPEST, _MOST_ENTRIES = 100, 1_000_000

Source = str | Path | Mapping[Any, Any]


@overload
def from_state_dict(
    source: Source,
    prefix: str | None = None,
    *,
    cell: Literal[False] = False,
    batch_first: bool = False,
    dropout: float = 0.0,
) -> LSTM: ...


@overload
def from_state_dict(source: Source, prefix: str | None = None, *, cell: Literal[True]) -> LSTMCell: ...


def from_state_dict(
    source: Source,
    prefix: str | None = None,
    *,
    cell: bool = False,
    batch_first: bool = False,
    dropout: float = 0.0,
) -> LSTM | LSTMCell:
    """Make an LSTM from a torch state dict, which may belong to a larger model.

    Its layers, directions, biases and projection follow from the names and shapes; the weights of a
    `torch.nn.LSTMCell` make one layer. Values are copied unchanged; weight norm is folded in. int8 weights, as saved by
    an LSTM with ``weights="int8"``, stay int8; a cell gets their float values.

    Args:
        source: a state dict, a dict that contains state dicts (such as a training checkpoint), or the path of a
            ``.safetensors`` file or a file of `torch.save`. Only tensors are read from a file; no code in it is run.
        prefix: the LSTM, if there are several: the prefix of its keys, such as ``"encoder.lstm"``; ``""`` for keys
            without a prefix.
        cell: return an `LSTMCell`, if the LSTM has one layer, one direction and no projection.
        batch_first: the LSTM's option, which weights do not determine.
        dropout: the LSTM's option, which weights do not determine.

    Raises:
        NameUnknownError: there is no LSTM, or none with this prefix, or some of its tensors are missing.
        ArgumentError: there are several (the message lists them), it is a GRU or a plain RNN, or it has a
            parametrization other than weight norm.
        ShapeError, RankError, DtypeError: its tensors do not match each other.
        FileFormatError: the file is damaged, of another kind, or has more than tensors.
        FileNotFoundError, IsADirectoryError: the file does not exist, or is a folder.

    >>> model = nn.Sequential(nn.Embedding(9, 4), nn.LSTM(4, 3, num_layers=2))
    >>> from_state_dict(model.state_dict())
    LSTM(4, 3, num_layers=2)
    """
    found = in_state_dict(source, batch_first=batch_first, dropout=dropout)
    lstm = found.one(prefix and prefix.removesuffix("."))
    if not cell:
        return lstm
    return build_cell(lstm.dequantize() if lstm.weights == "int8" else lstm)


def in_state_dict(source: Source, *, batch_first: bool = False, dropout: float = 0.0) -> Found:
    """List the LSTMs in a state dict or checkpoint file; see `from_state_dict`."""
    if not isinstance(source, (str, Path, Mapping)):
        hint = "; give its state_dict(), or use hs.from_torch" if isinstance(source, nn.Module) else ""
        raise ArgumentTypeError(f"expected a state dict or the path of a file, got {type(source).__name__}{hint}")
    if isinstance(source, Mapping):
        return _find_lstms("this state dict", dict(_flattened(source)), batch_first, dropout)
    loaded = read_checkpoint(source)
    with reading(source):
        tensors = dict(_flattened(loaded))
        # A view of a few bytes can claim any size; here views are copied.
        size, limit = sum(tensor.nbytes for tensor in tensors.values()), unpacked_limit(source)
        if size > limit:
            raise FileFormatError(
                f"{source} claims {size:,} bytes of tensors, more than this file can hold (at most {limit:,})"
            )
        return _find_lstms(str(source), tensors, batch_first, dropout)


def _find_lstms(where: str, tensors: Mapping[str, Tensor], batch_first: bool, dropout: float) -> Found:
    groups = find_groups(tensors)
    build = partial(_build, batch_first=batch_first, dropout=dropout)
    lstms = {group.name: partial(build, group) for group in groups if group.kind == "LSTM"}
    others = {group.name: group.what for group in groups if group.kind != "LSTM"}
    return Found(where, lstms, others, chooser="prefix")


def _build(group: Group, *, batch_first: bool, dropout: float) -> LSTM:
    lstm = build_lstm(group.weights(), bidirectional=group.bidirectional, batch_first=batch_first, dropout=dropout)
    if group.is_int8 and not group.is_cell:
        kept = group.as_kept()
        keep(lstm, {name: kept[name].clone(memory_format=torch.contiguous_format) for name in stored_names(lstm)})
    return lstm


def _flattened(state: Mapping[Any, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a state dict and of those inside it, by their keys joined with dots.

    Raises:
        FileFormatError: the nesting is too deep.
    """
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
