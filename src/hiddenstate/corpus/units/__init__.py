"""What every unit of a model does over a corpus.

- `table.py`: `units`: all units, with the label that each goes with, confirmed on the other half of the corpus
- `card.py`: `unit`: one unit: contexts, distribution, label, and what zeroing it does
- `effects.py`: what edits, such as zeroing a unit, cost at each step
- `permutation.py`: the probability of a correlation by chance
"""
