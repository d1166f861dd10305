"""The behaviour of every unit of a model over a corpus.

- `table.py`: `units`: all units, each with the label that it correlates with, confirmed on the other half of the corpus
- `card.py`: `unit`: one unit: contexts, distribution, label, and the effect of zeroing it
- `effects.py`: the cost of edits, such as zeroing a unit, at each step
- `permutation.py`: the probability that a correlation arises by chance
"""
