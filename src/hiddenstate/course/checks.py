"""The checks of all chapters, by exercise number."""

from hiddenstate.course.exercises import (
    chapter_1,
    chapter_2,
    chapter_3,
    chapter_4,
    chapter_5,
    chapter_6,
    chapter_8,
    chapter_9,
    chapter_10,
)
from hiddenstate.course.exercises.answers import Check, empty
from hiddenstate.errors import AnswerError, NameUnknownError

EXERCISES: dict[str, Check] = {}
for chapter in (chapter_1, chapter_2, chapter_3, chapter_4, chapter_5, chapter_6, chapter_8, chapter_9, chapter_10):
    EXERCISES |= chapter.CHECKS


def check(exercise: str, answer: object) -> None:
    """Check an answer to an exercise of the course, and print a comment if it is right.

    Args:
        exercise: its number, such as ``"1.2"``.
        answer: the answer; ``...`` and None count as no answer.

    Raises:
        AnswerError: the answer is wrong. The message gives its result, the expected one, and the misconception behind
            it.
        NameUnknownError: there is no such exercise.
    """
    if exercise not in EXERCISES:
        raise NameUnknownError(f"there is no exercise {exercise!r}; choose one of {' '.join(EXERCISES)}")
    try:
        if answer is None or answer is ...:
            raise empty()
        comment = EXERCISES[exercise](answer)
    except AnswerError as error:
        raise AnswerError(f"Exercise {exercise}: {error}", misconception=error.misconception) from None
    print(f"Exercise {exercise}: right. {comment}")
