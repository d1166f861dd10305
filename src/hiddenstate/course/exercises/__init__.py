"""The checks of the exercises, by chapter.

- `answers.py`: run an answer, compare its result, and name the typical error that would give that result
- `chapter_*.py`: the checks of each chapter's exercises
- `cell_errors.py`: typical errors in the equations of a cell
- `language_models.py`: small language models with known predictions
- `losses.py`: properties of the losses of a text or a series
- `training_loops.py`: the right training loop, and those with a typical error
"""
