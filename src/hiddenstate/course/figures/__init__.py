"""The parts of the course's pages that are computed: first frames of figures, and answers to numeric questions.

The pages are built without torch, with a mark in place of each such part.

- `marks.py`: the marks, and what replaces them
- `stills.py`, `beginning_stills.py`, `model_stills.py`: the first frames; `first_lesson.py`: the LSTM of some;
  `drawing.py`: parts of them
- `numeric_answers.py`: the answers
"""
