"""Converts every LSTM in a torch model to ours, and back, with a report.

- `conversion.py`: `convert`, `convert_back`; `report.py`: the report
- `class_swap.py`: changes a module's class in place; `module_tree.py`: the modules of a model
- `from_torch.py`: one layer; `rounding.py`: int8 weights in a converted model
- `compiled.py`: recognises layers that are TorchScript or quantised, which can't be converted or accelerated
- `accelerate/`: keeps the modules, and replaces the functions that they call
"""
