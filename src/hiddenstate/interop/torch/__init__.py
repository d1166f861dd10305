"""Whole torch models: every LSTM in them replaced by ours, and back, with a report.

- `conversion.py`: `convert`, `convert_back`; `report.py`: the report
- `class_swap.py`: changes a module's class in place; `module_tree.py`: the modules of a model
- `from_torch.py`: one layer; `rounding.py`: int8 weights in a converted model
- `accelerate/`: leaves the modules, and serves the function beneath them
"""
