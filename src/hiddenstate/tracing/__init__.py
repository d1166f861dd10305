"""What a run computed, by name: records and traces, who asks for them, and their tables, pictures and files.

A recorder asks for a `Traceable` module: nothing here knows `hiddenstate.LSTM` or the studio.
"""
