"""Probes: can a label be read from a place, and does the model use it?

- `run.py`: `probe`: trains a linear probe and its controls
- `linear.py`: one linear probe, split by sequence, with an interval; removes everything that it can read (LEACE)
- `result.py`: its result, with edits that test it; the states of sequences at a place, with their labels and words
"""
