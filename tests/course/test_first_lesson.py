"""Nothing that the first lesson teaches is missing from the course."""

import pytest

from course.asked import line_of
from course.first_lesson import FIRST_LESSON, Statement


@pytest.mark.parametrize("statement", FIRST_LESSON, ids=lambda statement: statement.about[:50])
def test_the_course_makes_a_statement_of_the_first_lesson(statement: Statement) -> None:
    assert statement.places
    for chapter, words in statement.places:
        line_of(chapter, words)
