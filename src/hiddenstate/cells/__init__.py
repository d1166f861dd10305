"""What a kind of cell is. One file for each kind; everything else takes names, order, equations and derivative from it.

- `cell.py`: `Cell`, the description that every kind fills in, and the tensors that a step works on
- `lstm.py`: the LSTM
"""
