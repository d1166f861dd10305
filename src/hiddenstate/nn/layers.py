"""Layers of every kind, by the name of their cell."""

from dataclasses import asdict
from typing import Any

from hiddenstate.nn.gru import GRU
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.rnn import MODES, RNN
from hiddenstate.structure.sizes import Sizes

Layer = LSTM | GRU | RNN

LAYERS: dict[str, type[Layer]] = {"LSTM": LSTM, "GRU": GRU, **dict.fromkeys(MODES.values(), RNN)}


def layer_of(sizes: Sizes, **options: Any) -> Any:
    """Make an `LSTM`, a `GRU` or an `RNN` of these sizes.

    Args:
        sizes: its sizes and kind of cell.
        options: the other arguments of the class, such as ``batch_first`` and ``dropout``.
    """
    given = asdict(sizes)
    cell = given.pop("cell")
    if not sizes.proj_size:
        del given["proj_size"]  # which only an LSTM takes
    for nonlinearity, mode in MODES.items():
        if cell == mode:
            given["nonlinearity"] = nonlinearity
    return LAYERS[cell](**given, **options)
