"""``python -m hiddenstate.run script.py``: runs a program as it is, with torch's LSTMs on the engine.

Nothing else lives here; what it switches on is `hiddenstate.accelerate`.
"""
