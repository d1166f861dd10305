"""Edits of a run, as data. `LSTM.edit` activates them, and the engine applies them.

- `edit.py`: edits as frozen data
- `resolve.py`: the active edits, and edits resolved against one call
"""
