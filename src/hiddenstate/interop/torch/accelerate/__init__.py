"""torch's own LSTMs on the engine: serves the functions beneath `torch.nn.LSTM` and `LSTMCell`, and leaves the classes.

What replaces a module by another is not here, but in `conversion`.
"""
