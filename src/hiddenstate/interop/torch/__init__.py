"""Converts every LSTM in a torch model to ours, and back, with a report.

- `conversion.py`: `convert`, `convert_back`, `from_torch`; the report; the modules of a model by path, and those that
  are TorchScript or quantised, which nothing here can change
- `accelerate/`: keeps the modules, and replaces the functions that they call
- `streaming/`: runs a whole module one step or chunk at a time: `hs.stream`
"""
