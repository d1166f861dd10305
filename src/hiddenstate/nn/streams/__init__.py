"""Streams, which run one time step at a time and keep the state in between.

- `stream.py`: `Stream`
- `stream_runner.py`: runs a stream's next steps on its layer
- `stream_state.py`: the state of a stream, and the rows that join and leave it
- `stream_arrays.py`: converts tensors and NumPy arrays; `stream_file.py`: saves and loads the state
"""
