"""The public classes that compute: they own the parameters, check arguments and call the engine.

- `lstm.py`, `gru.py`, `rnn.py`: `LSTM`, `GRU`, and `RNN` with the layer class of each kind of cell; `cell.py`: cells
- `streams/`: `Stream`
- `recurrent.py`: the layers' common code; `recurrent_parameters.py`: its base class: sizes, options,
  parameters, weights by gate; no forward
- `calls.py`: runs the calls of a layer, on the fast or the general path, with or without a trace; a block
  whose calls share packed weights
- `model_edits.py`: edits inside a whole model, by module path: `hs.edit`
- `packed_weights.py`: packed weights, repacked after a change; hashes of weights
- `quantised.py`: int8 weights in a module and in state dicts
- `torch_modules.py`: changes the class of a layer, torch's or ours, in place or in a copy
"""
