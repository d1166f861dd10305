"""The kinds of cells, one file for each; all other code takes names, order, equations and derivative from here.

- `cell.py`: `Cell`, the description that every kind fills in, and the weights of a step
- `lstm.py`, `gru.py`, `rnn.py`: the LSTM, the GRU, and the plain RNNs with tanh and relu
- `kinds.py`: all of them by name
"""
