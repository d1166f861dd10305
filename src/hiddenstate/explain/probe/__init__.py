"""Probes: can a label or a number be read from a place, and does the model use it?

- `run.py`: `probe`: trains a linear probe of labels and its controls
- `linear.py`: one linear probe, split by sequence, with an interval; removes everything that it can read (LEACE)
- `result.py`: its result, with edits that test it; the states of sequences at a place, with their labels and words
- `number_probe.py`: a probe of numbers, its controls and its result, with edits in the target's units
- `numbers.py`: the numbers of a series' steps, with the states at a place
- `ridge.py`: ridge regressions with their penalty, split by sequence or by time; R² with its interval
"""
