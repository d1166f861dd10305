"""The effect of patching every place, unit and step: `sweep`.

- `run.py`: `sweep`
- `result.py`: its result, `Sweep`
- `effects.py`: runs one row many times, each time with different values patched in, or estimates it by the gradient
"""
