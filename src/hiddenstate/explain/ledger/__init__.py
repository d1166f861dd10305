"""Finds what wrote and erased a memory: `ledger`.

- `run.py`: `ledger`; the ledger of a target that is linear in states, such as a logit: `ReadoutLedger`
- `cell.py`: the ledger of a cell state, `Ledger`
- `cell_decomposition.py`: the cell states of one layer and direction as sums of what each step wrote
"""
