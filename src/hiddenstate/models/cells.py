"""The setting that chooses a model's cells; needs no torch, for the command line's help and hiddenstate_runtime."""

# The kinds of cells by the setting's value; the first is the default.
CELL_NAMES = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN_TANH", "rnn_relu": "RNN_RELU"}


def cell_setting(cell: str) -> str:
    """Return the setting's value for a kind of cell, such as ``"RNN_TANH"``."""
    return next(value for value, name in CELL_NAMES.items() if name == cell)
