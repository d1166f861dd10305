"""The checks of all chapters by the number of their exercise."""

from hiddenstate.course import chapter_1, chapter_2, chapter_3, chapter_4, chapter_5, chapter_6
from hiddenstate.course.answers import Check, empty
from hiddenstate.errors import AnswerError, NameUnknownError

EXERCISES: dict[str, Check] = {
    **chapter_1.CHECKS,
    **chapter_2.CHECKS,
    **chapter_3.CHECKS,
    **chapter_4.CHECKS,
    **chapter_5.CHECKS,
    **chapter_6.CHECKS,
}


def check(exercise: str, answer: object) -> None:
    """Check an answer to an exercise of the course, and print what a right one shows.

    Args:
        exercise: its number, such as ``"1.2"``.
        answer: what the exercise asks for; three dots or None are no answer.

    Raises:
        AnswerError: the answer is not right. The message says what it gives, what was expected, and which idea is
            behind it.
        NameUnknownError: there is no such exercise.
    """
    if exercise not in EXERCISES:
        raise NameUnknownError(f"there is no exercise {exercise!r}; there is {' '.join(EXERCISES)}")
    try:
        if answer is None or answer is ...:
            raise empty()
        said = EXERCISES[exercise](answer)
    except AnswerError as error:
        raise AnswerError(f"Exercise {exercise}: {error}", misconception=error.misconception) from None
    print(f"Exercise {exercise}: right. {said}")
