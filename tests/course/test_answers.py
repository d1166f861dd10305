"""Each question of the final check is answered by specific sentences of the chapters."""

import re

import pytest

from course.chapters import PAGES, ROLE
from coursebook.pages import parts_of

# For each question: the chapters' sentences from which its answer follows, in full or the relevant part.
ANSWERS: dict[str, list[tuple[str, str]]] = {
    "q1": [
        ("01", "`out` is `[2, 9, 14]`, N first, then T, then D·H."),
        ("01", "`batch_first` changes x and `out`; h and c stay `[L·D, N, H]`."),
    ],
    "q2": [
        ("01", "With two bias vectors, `[4H]` each, they have 108 numbers."),
        ("01", "`LSTM(4, 3)` has 108 parameters for any number of steps."),
    ],
    "q3": [
        ("01", "Without carrying, the two outputs are just swapped."),
        ("01", "With the state carried, every output from the second on changes."),
    ],
    "q4": [
        ("01", "`out` has the *last layer's* h after *every step*. `h_n` has *every layer's* h after *its last step*."),
        ("01", "A **trace** records every gate and state at every step."),
    ],
    "q5": [("01", "the final reverse h is `h_n[1]`, and the second half of `out[0]`")],
    "q6": [("01", "With `batch_first=True` each sentence is read by itself. h and c are still `[L·D, N, H]`:")],
    "q7": [("01", "No error is raised, and each sentence's output depends on earlier sentences.")],
    "q8": [("01", "five, row 0 has the forward states of the first two, and")],
    "q9": [("02", "First compute c = f·c_prev + i·g, then h = o·tanh(c).")],
    "q10": [
        (
            "02",
            "so the forget gate is the second quarter; ONNX i, o, f, c, where it is the third.",
        ),
    ],
    "q11": [("02", "At f = 1 a unit keeps all of its c, at f = 0 none.")],
    "q12": [("02", "filling both vectors with 1 gives 2, and f = 0.881 instead of 0.731 when x and h are 0.")],
    "q13": [("02", "with i, f, g and o at 1, c is 10 after ten steps, and h is nearly 1.")],
    "q14": [
        ("02", "2.5e-14 after 100 steps at a bias of 1, 0.51 at 5."),
        ("02", "So an LSTM only *allows* a factor near 1."),
    ],
    "q15": [
        ("01", "a run leaves all 108 parameters unchanged."),
        ("01", "carries a **hidden state** h and a **cell state** c, three numbers each, from one step to the next"),
    ],
    "q16": [
        ("01", "With `lengths=`, a sequence of three steps ends at `out[2]`"),
        ("03", "Without it, the final states of all shorter sentences change."),
    ],
    "q17": [("03", "they change every reverse output of a shorter sentence, and thus the loss.")],
    "q18": [
        ("03", "with one layer it drops nothing, and warns."),
        ("03", "so at 0.5 they are doubled: the expected value is the same in training as in eval"),
        ("03", "In eval nothing is dropped"),
    ],
    "q19": [
        ("04", "`detach` keeps the values and stops the gradient."),
        ("04", "Zeros lose the values."),
        ("04", "With neither, the second `backward` raises"),
    ],
    "q20": [
        ("04", "row 3's second window reads characters 320 to 339, with targets shifted by one"),
        ("04", "and starts from the first window's state."),
    ],
    "q21": [
        (
            "04",
            "are 2.08 bits, or 4.24 equally likely choices; 66 equally likely characters cost 6.04 bits.",
        ),
    ],
    "q22": [
        (
            "06",
            "A bidirectional LSTM reads finished sequences, not live input: `stream()` refuses it.",
        ),
        ("04", "The bidirectional model has read the answer; a forward model has not."),
    ],
    "q23": [
        ("05", "With a random label the best of 512 correlates at about 0.1."),
        ("05", "So choose a unit on one text, test it on another, and repeat this with a control label."),
        ("05", "Holding the line unit costs more than holding any of 20 that vary nearly as much"),
    ],
    "q24": [
        ("06", "The forecasts also correlate, but have no skill."),
        (
            "06",
            "No forecast of a random walk whose steps have mean 0 has a lower expected squared error than",
        ),
    ],
}


def read(number: str) -> str:
    """The sentences of a chapter outside questions, cells and reasons; an exercise's task counts."""
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
