"""Every kind of cell, by name."""

from hiddenstate.cells.cell import Cell
from hiddenstate.cells.gru import GRU
from hiddenstate.cells.lstm import LSTM
from hiddenstate.cells.rnn import RNN_RELU, RNN_TANH
from hiddenstate.errors import ArgumentError

CELLS = {cell.name: cell for cell in (LSTM, GRU, RNN_TANH, RNN_RELU)}


def cell_named(name: str) -> Cell:
    """Return the kind of cell with this name; raise ArgumentError if there is none."""
    cell = CELLS.get(name) if isinstance(name, str) else None
    if cell is None:
        raise ArgumentError(f"there is no cell {name!r:.50}: expected one of {' '.join(CELLS)}")
    return cell
