"""The data and the loss from which a tagger learns.

- `batch_plan.py`: the sentences of each epoch; `losses.py`: the loss; `variants.py`: altered sentences
- `teachers.py`, `warm_start.py`: teachers for distillation, a tagger to start from
"""
