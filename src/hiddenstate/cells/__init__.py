"""The kinds of cells, one file each. All other code takes gate names, order and equations from here.

- `cell.py`: `Cell`, which describes a kind of cell, and the weights of a step
- `lstm.py`, `gru.py`, `rnn.py`: the LSTM, the GRU, and the plain RNNs with tanh and relu
- `kinds.py`: all of them by name
"""
