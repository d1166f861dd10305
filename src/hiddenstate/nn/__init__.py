"""The faces: `hiddenstate.LSTM`, `hiddenstate.LSTMCell` and `hiddenstate.Stream`.

They hold parameters, check what they are given, and hand it to the engine; nothing here computes.
"""
