"""Which feature matters at which lag over a data set: `importance`.

- `run.py`: `importance`: attributes a target of every row, in blocks that a folder may keep
- `result.py`: its result, `Importance`
- `rows.py`: the rows of a data set (batches, frames, or windows of a series), and attributions of many at once
"""
