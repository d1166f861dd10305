"""Supports LSTMs, GRUs and plain RNNs of other frameworks: whole torch models, weights of other frameworks, ONNX.

Optional packages are imported when a function needs them.

- `torch/`: converts every LSTM, GRU and RNN inside a model in place, and back; runs torch's own LSTMs on the engine;
  streams whole models
- `onnx/`: writes ONNX files, checking each before it is kept, and reads them
- `keras/`: reads Keras files, without Keras
- `layouts.py`: how each framework stores each kind of cell, as a table; any framework's arrays as tensors
- `state_dict.py`, `jax_arrays.py`: weights from state dicts, checkpoint files, Flax and Equinox
- `find.py`, `found.py`: the layers in a file; `build.py`: builds a layer from weights
- `export_arrays.py`: weights for other frameworks
"""
