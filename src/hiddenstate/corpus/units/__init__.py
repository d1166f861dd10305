"""The behaviour of every unit of a model over a corpus.

- `table.py`: `units`: all units, each with the label that it correlates with, confirmed on the other half of the corpus
- `card.py`: `unit`: one unit: contexts, distribution, label, and the effect of zeroing it
- `covariates.py`: `follows`: which unit of a series follows which column, at which lag, and whether it is used
- `evidence.py`: a unit's correlation on held-out sequences and its probability by chance; the cost of edits, such as
  zeroing it, at each step
"""
