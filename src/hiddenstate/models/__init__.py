"""The tagger and the language models: what they are, what they say, their folders, and how each is trained.

They use the library as anyone would: `hiddenstate.LSTM`, its traces and its streams.
"""
