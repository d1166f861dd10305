"""The public classes that compute. They hold parameters, check arguments and hand them to the engine.

- `lstm.py`, `cell.py`, `stream.py`: `LSTM`, `LSTMCell` and `Stream`
- `lstm_parameters.py`: the base class: sizes, options, parameters, weights by gate; no forward
- `calls.py`: runs the calls of an LSTM: fast, or on the general path; traced; explained
- `scoped_edits.py`: the edits in force; `model_edits.py`: edits inside a whole model, by module path: `hs.edit`
- `packed_weights.py`: weights packed once, and again after they changed; `constant_weights.py`: a block whose calls
  share packed weights
- `quantised.py`: int8 weights in a module and in state dicts
- `runner.py`: what a stream needs of the LSTM that it runs; `stream_runner.py`: runs its next steps
- `stream_state.py`, `stream_rows.py`: the state of a stream; rows that join and leave
- `stream_arrays.py`, `stream_file.py`: tensors and NumPy arrays as tensors; the state in a file
- `torch_modules.py`: one layer rebuilt as another class: torch's as ours, and back
"""
