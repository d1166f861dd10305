"""Runs torch's own LSTMs on the engine: replaces the functions beneath `torch.nn.LSTM` and `LSTMCell`, not the modules.

- `acceleration.py`: `accelerate` and its block; `hiddenstate/run.py` runs a program inside it
- `keras_layers.py`: the functions beneath Keras 3's recurrent layers on torch, and stand-ins for its layers
- `replacements.py`: the functions that replace torch's; counts the calls of each path
- `stand_ins.py`: represents one of torch's layers in traces and edits
"""
