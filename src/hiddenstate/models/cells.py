"""The setting that chooses a model's cells, without torch, as the command line's help needs it."""

from hiddenstate.training.settings import choice

# By the setting's values; the first is the default.
CELL_NAMES = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN_TANH", "rnn_relu": "RNN_RELU"}

# What format versions before 5 implied.
VERSION_5 = {"cell": "lstm"}


def cell_choice() -> str:
    """Declare the setting."""
    return choice(*CELL_NAMES)


def setting_of(cell: str) -> str:
    """Return the setting's value for a kind of cell, such as ``"RNN_TANH"``."""
    return next(value for value, name in CELL_NAMES.items() if name == cell)


def label_of(setting: str) -> str:
    """Return the name of a setting's cells in text: LSTM, GRU or RNN."""
    return CELL_NAMES[setting].partition("_")[0]
