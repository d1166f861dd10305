"""Where two models differ, and which units correspond: `compare`, available as `hs.compare`.

- `run.py`: `compare`, and its result, `Comparison`: how much the outputs of two runs differ, step by step
"""
