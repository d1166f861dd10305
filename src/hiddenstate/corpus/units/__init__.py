"""The behaviour of every unit of a model over a corpus.

- `table.py`: `units`: all units, with the label that each goes with, confirmed on the other half of the corpus
- `card.py`: `unit`: one unit: contexts, distribution, label, and the effect of zeroing it
- `effects.py`: the cost of edits, such as zeroing a unit, at each step
- `permutation.py`: the probability of a correlation by chance
"""
