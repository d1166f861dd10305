"""The effect of patching every place, unit and step: `sweep`.

- `run.py`: `sweep`, which runs one row many times with different values patched in, or estimates that by the gradient
- `result.py`: its result, `Sweep`
"""
