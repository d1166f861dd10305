"""Probes: can a label be read from a place, and does the model use it?

- `run.py`: `probe`: trains a linear probe and its controls
- `states.py`: the states of sequences at a place, with their labels and words
- `classify.py`: one linear probe, split by sequence, with an interval
- `erasure.py`: removes everything that a linear probe can read, in closed form (LEACE)
- `result.py`: the result of `probe`, with edits that test it
"""

from hiddenstate.explain.probe.result import Probe, Score
from hiddenstate.explain.probe.run import probe

__all__ = ["Probe", "Score", "probe"]
