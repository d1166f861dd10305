"""Other people's test suites, run as they are and on ours: which, how each is set up, and what came of it.

Nothing of their code lies here. `downstream.py` is the command; the plugin is what runs inside their Pythons.
"""
