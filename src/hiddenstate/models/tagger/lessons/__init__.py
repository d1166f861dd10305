"""What a tagger learns from.

- `batch_plan.py`, `losses.py`: the sentences of each epoch, the loss; `variants.py`: altered sentences
- `teachers.py`, `warm_start.py`: teachers for distillation, a tagger to start from
"""
