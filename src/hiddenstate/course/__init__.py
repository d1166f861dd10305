"""The course: checks of its exercises, its notebooks, its data. Nothing that computes lives here.

The pages of the course stand in `docs/course`; the notebooks here are made from them.
"""

from hiddenstate.course.checks import check
from hiddenstate.course.files import data

__all__ = ["check", "data"]
