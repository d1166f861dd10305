"""The parts of the course's pages that are computed: first frames of figures, and answers to numeric questions.

The pages are built without torch, with a mark in place of each such part.

- `marks.py`: the marks, and what replaces them; the models of the live figures, as scripts
- `stills.py`: the first frames
- `numeric_answers.py`: the answers
- `recorded_training.py`: a training run, recorded, and its drawing
- `drawing.py`: text and the frame of a drawing
"""
