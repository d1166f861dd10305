"""The course: checks for its exercises, notebooks and data. Its pages are in `docs/course`.

- `misconceptions.py`: 35 common misconceptions, which the checks name for wrong answers
- `exercises/`: the checks of each chapter's exercises
- `checks.py`: `check`: runs a check by its number
- `files.py`: finds the data; copies notebooks and data
- `opening.py`: prepares the pages for a browser
- `models.py`: the models of the live figures, as scripts
- `data/`: a text written for the course: tagged sentences, stories
- `notebooks/`: the notebooks, made from `docs/course` by `make course`

`make pages` builds the pages into the folder `pages`, which git ignores but every wheel contains.
"""

from hiddenstate.course.checks import check
from hiddenstate.course.files import data

__all__ = ["check", "data"]
