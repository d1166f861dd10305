"""LSTMs of other frameworks: whole torch models, weights of other frameworks, ONNX.

Optional packages are imported when a function needs them, not with the room.

- `torch/`: replaces every LSTM inside a model in place, and back; runs torch's own LSTMs on the engine
- `onnx/`: writes ONNX files and runs each before it is put in place; reads them
- `keras/`: reads Keras files, without Keras
- `layouts.py`: how each framework stores an LSTM, as a table; `key_groups.py`: finds one LSTM's arrays by their names
- `state_dict.py`, `checkpoint.py`, `jax_arrays.py`: weights from state dicts, checkpoint files, Flax and Equinox
- `arrays.py`: any framework's arrays as tensors; `pickles.py`: inspects the pickles in torch files before torch does
- `find.py`, `found.py`: the LSTMs in a file; `build.py`: builds an `LSTM` from what was found
- `export_arrays.py`: weights for other frameworks
"""
