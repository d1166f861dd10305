"""Edits of a run, as data. `LSTM.edit` puts them in force, and the engine applies them.

- `edit.py`: edits as frozen data
- `resolve.py`: the edits in force, and edits resolved against one call
"""
