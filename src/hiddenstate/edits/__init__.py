"""Edits of a run, as data. The engine applies edits, and `LSTM.edit` puts them in force.

- `edit.py`: edits as frozen data
- `resolve.py`: edits resolved against one call
"""
