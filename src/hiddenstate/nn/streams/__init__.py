"""Streams, which run one time step at a time and keep the state in between.

- `stream.py`: `Stream`
- `stream_state.py`: the state of a stream in one object, and the numbers of its rows
- `stream_arrays.py`: converts tensors and NumPy arrays; `stream_file.py`: saves and loads the state
"""
