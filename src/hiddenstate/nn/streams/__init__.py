"""Streams, which run one time step at a time and keep the state in between.

- `stream.py`: `Stream`
- `runner.py`: the interface between a stream and its layer; `stream_runner.py`: runs its next steps
- `stream_state.py`, `stream_rows.py`: the state of a stream; the rows that join and leave it
- `stream_arrays.py`: converts tensors and NumPy arrays; `stream_file.py`: saves and loads the state
"""
