"""Which feature matters at which lag over a data set: `importance`.

- `run.py`: `importance`: attributes a target of every row, in blocks that a folder may keep
- `batched.py`: attributions of many rows at once, by gradients and occlusion
- `result.py`: its result, `Importance`
- `rows.py`: the rows of a data set: those of batches and frames, or the windows of a long series
"""
