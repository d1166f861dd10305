"""The course: checks of its exercises, its notebooks, its data. Its pages are in `docs/course`.

- `misconceptions.py`: 35 misconceptions, with which checks name the idea behind a wrong answer
- `answers.py`: what a check uses: rejects an answer and names the idea behind it
- `chapter_*.py`: the checks of each chapter's exercises
- `checks.py`: `check`: all of them by number
- `files.py`: where data is; copies notebooks and data
- `data/`: a text written for the course: tagged sentences, stories
- `notebooks/`: the notebooks, made from `docs/course` by `make course`
"""

from hiddenstate.course.checks import check
from hiddenstate.course.files import data

__all__ = ["check", "data"]
