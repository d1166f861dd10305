"""Finds what wrote and erased a memory: `ledger`.

- `run.py`: `ledger`
- `cell.py`: the ledger of a cell state, `Ledger`
- `readout.py`: the ledger of a target that is linear in states, such as a logit: `ReadoutLedger`
- `cell_decomposition.py`: the cell states of one layer and direction as sums of what each step wrote
"""

from hiddenstate.explain.ledger.cell import Ledger
from hiddenstate.explain.ledger.readout import ReadoutLedger
from hiddenstate.explain.ledger.run import ledger

__all__ = ["Ledger", "ReadoutLedger", "ledger"]
