"""The target as one input moves, and what it can never exceed: `response` and `limits`.

- `run.py`: `response`: moves one feature at one lag over a range, with each gate held in turn; `Response`
- `bounds.py`: `limits`: the bounds that follow from bounded states and a linear head; `Limits`
"""
