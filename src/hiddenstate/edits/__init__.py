"""What to change in a run. Nothing here runs anything: the engine applies edits, and `LSTM.edit` opens their block.

- `edit.py`: edits as frozen data
- `resolve.py`: edits resolved against one call
"""
