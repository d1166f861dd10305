"""Other people's test suites, run unchanged with torch's layers and with ours: the suites, their setup, their outcomes.

None of their code is here. `downstream.py` is the command; the plugin runs inside their Pythons.
"""
