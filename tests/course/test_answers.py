"""Each question of the final check is answered by sentences of the chapters, which can be pointed at."""

import re

import pytest

from course.chapters import PAGES, ROLE
from coursebook.pages import parts_of

# For each question: the chapters' sentences from which its answer follows, in full or as far as they are needed.
ANSWERS: dict[str, list[tuple[str, str]]] = {
    "q1": [
        ("01", "`out` is `[2, 9, 14]`, N first, then T, then D·H."),
        ("01", "it turns x and `out`; h and c stay `[L·D, N, H]`."),
    ],
    "q2": [
        ("01", "With two vectors of biases they have 108 numbers."),
        ("01", "and has 108 parameters for any number of steps."),
    ],
    "q3": [
        ("01", "Without carrying, the two lines change places and nothing else moves."),
        ("01", "With the state carried, every line from the second on changes."),
    ],
    "q4": [
        ("01", "`out` has the *last layer's* h after *every step*. `h_n` has *every layer's* h after *its last step*."),
        ("01", "A **trace** is the record of a run: every gate and state at every step."),
    ],
    "q5": [("01", "its final state is `h_n[1]`, and the second half of `out[0]`.")],
    "q6": [("01", "With `batch_first=True` each sentence is read by itself, and h and c are still `[L·D, N, H]`.")],
    "q7": [("01", "Nothing raises here, and each sentence depends on those before it.")],
    "q8": [("01", "of five sentences in one layer, row 0 then has the forward states of two, and")],
    "q9": [("02", "First c = f·c_prev + i·g, then h = o·tanh(c).")],
    "q10": [
        (
            "02",
            "so the forget gate is the second quarter; in ONNX's i, o, f, c it is the third.",
        ),
    ],
    "q11": [("02", "At f = 1 a unit keeps all of its c, at f = 0 nothing.")],
    "q12": [("02", "filling both vectors with 1 makes 2: where x and h are 0, f = 0.881 and not 0.731.")],
    "q13": [("02", "with i, f, g and o at 1, c is 10 after ten steps, and h is nearly 1.")],
    "q14": [
        ("02", "2.5e-14 after 100 steps at a bias of 1, 0.51 at 5."),
        ("02", "So an LSTM *lets* the factor be near 1. It does not make it so."),
    ],
    "q15": [
        ("01", "two runs from different states leave all 108 parameters as they were."),
        ("01", "From one step to the next it carries a **hidden state** h and a **cell state** c"),
    ],
    "q16": [
        ("01", "With `lengths=`, a row of three steps ends in `out[2]`"),
        ("03", "without `lengths` the final states of all shorter sentences move"),
    ],
    "q17": [("03", "without, every reverse output of a shorter sentence is another, and so the loss is.")],
    "q18": [
        ("03", "with one layer nothing is dropped, and a warning says so."),
        ("03", "so at 0.5 they are doubled: then the mean stays what it was"),
        ("03", "In eval nothing is dropped"),
    ],
    "q19": [
        ("04", "`detach` keeps the values and stops the gradient."),
        ("04", "Zeros lose the values."),
        ("04", "With neither, the second `backward` raises."),
    ],
    "q20": [
        ("04", "row 3 of 10 reads 320 to 339 in its second window, its targets are one further"),
        ("04", "it begins where its first window ended."),
    ],
    "q21": [
        (
            "04",
            "nats are 2.08 bits, or 4.24 equally likely choices; uniform over its 66 characters would be 6.04 bits.",
        ),
    ],
    "q22": [
        (
            "06",
            "It is not so, and a stream refuses it; a finished sequence it may read.",
        ),
        ("04", "In this bidirectional model the scores for a character depend on that character"),
    ],
    "q23": [
        ("05", "With a random label the best of 512 correlates at about 0.1."),
        ("05", "So: choose on one text, test on another, and do the same with a control label."),
        ("05", "Holding the line's costs more than any of 20 units that move as much"),
    ],
    "q24": [
        ("06", "On a random walk the forecast correlates with what came, and has no skill."),
        (
            "06",
            "No forecast of a random walk whose steps have mean 0 has a lower expected squared error than",
        ),
    ],
}


def read(number: str) -> str:
    """The sentences of a chapter as they stand, outside of questions, cells and reasons; an exercise's task counts."""
    page = next(page for page in PAGES if page.stem.startswith(number))
    parts = [part for part in parts_of(page) if part.language in ("", "exercise")]
    text = " ".join(part.text.split("\n--- ")[0] for part in parts)
    return " ".join(ROLE.sub(lambda match: "" if match[1] in ("claim", "idea") else match[0], text).split())


def test_every_question_of_the_final_check_is_asked_for() -> None:
    assert list(ANSWERS) == [f"q{k}" for k in range(1, 25)]


@pytest.mark.parametrize("question", ANSWERS)
def test_a_question_is_answered_by_sentences_of_the_chapters(question: str) -> None:
    for chapter, sentence in ANSWERS[question]:
        assert chapter != "07", "the check itself answers nothing"
        assert re.sub(r"\s+([.,;:])", r"\1", sentence) in re.sub(r"\s+([.,;:])", r"\1", read(chapter)), sentence
