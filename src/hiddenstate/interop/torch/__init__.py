"""Converts every LSTM in a torch model to ours, and back, with a report.

- `conversion.py`: `convert`, `convert_back`, `from_torch`; `report.py`: the report
- `module_tree.py`: the modules of a model, and those that are TorchScript or quantised, which nothing here can change
- `accelerate/`: keeps the modules, and replaces the functions that they call
- `streaming/`: runs a whole module one step or chunk at a time: `hs.stream`
"""
