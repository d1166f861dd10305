"""The course: checks for its exercises, notebooks and data. Its pages are in `docs/course`.

- `exercises/`: the checks of each chapter's exercises
- `checks.py`: `check`: runs a check by its number
- `files.py`: finds the data, makes the sentences about the keys, copies notebooks and data
- `opening.py`: prepares the pages for a browser
- `figures/`: the computed parts of the pages, and the models of the live figures
- `data/`: a text written for the course: tagged sentences, stories
- `notebooks/`: the notebooks, made from `docs/course` by `make course`

Installation builds the pages into the folder `pages`, which git ignores; `make pages` builds them again.
"""

from hiddenstate.base.later import on_first_use

# Lazily, so that the pages can be built before torch is installed, and opened without loading it.
__getattr__, __dir__ = on_first_use(__name__, __file__)

__all__ = ["check", "data", "keys_sentences"]
