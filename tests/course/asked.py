"""Twelve questions by somebody who had not seen the course, and the places in it from which their answers follow."""

import re
from dataclasses import dataclass

from course.chapters import FOLDER, PAGES
from pages import DOCS


@dataclass(frozen=True)
class Asked:
    """A question, what two readers said of the course before it was mended, and chapters with what stands there."""

    about: str
    before: tuple[str, str]
    places: tuple[tuple[str, str], ...]


ASKED = (
    Asked(
        "shapes of the weights of two layers, their number, and that for longer sentences",
        ("partly", "partly"),
        (
            ("01", "reads the hidden state of the step before and is `[4H, H]`"),
            ("01", "`weight_ih_l1` is `[4H, H]`"),
            ("01", "`LSTM(10, 16, num_layers=2)` has 1792 + 2176 = 3968 parameters"),
            ("01", "and has 108 parameters for any number of steps"),
        ),
    ),
    Asked(
        "what `h_n.view(N, -1)` gives with two directions, and the right line",
        ("yes", "yes"),
        (
            ("01", "it turns x and `out`; h and c stay `[L·D, N, H]`"),
            ("01", "of five sentences row 2 has the last one's forward and the first one's reverse state"),
            ("01", "Exchange the axes first: `h_n.transpose(0, 1).reshape(N, -1)`"),
        ),
    ),
    Asked(
        "a tagger without `batch_first`: what a changed word moves",
        ("yes", "yes"),
        (
            ("01", "The exchange raises nothing, and each sentence depends on those before it."),
            ("01", "each sentence is read by itself"),
            ("03", "Words at the same place of different sentences are read as one sequence."),
        ),
    ),
    Asked(
        "one step by hand from four pre-activations; is an open forget gate one that keeps?",
        ("yes", "yes"),
        (
            ("02", "i, f, g, o = z.chunk(4)  # torch's order"),
            ("02", "c = f * c + i * g  # keep some of the old, write some of the new"),
            ("02", "At f = 1 a unit keeps all of its c, at f = 0 nothing."),
        ),
    ),
    Asked(
        "what filling the second quarter of every bias with 1 really does",
        ("yes", "yes"),
        (
            ("02", "the share that is left is f multiplied with itself"),
            ("02", "it draws all biases between -1/√H and 1/√H"),
            ("02", "filling both vectors with 1 makes 2: where x and h are 0, f = 0.881"),
        ),
    ),
    Asked(
        "W, R and B of an ONNX node by hand, and what rows as they are do",
        ("partly", "partly"),
        (
            ("06", 'Its order is i, o, f, g (it calls g "c").'),
            ("06", "A layer has three arrays, W `[D, 4H, C]`, R `[D, 4H, H]` and B `[D, 8H]`"),
            ("06", "in B `bias_ih` comes first, then `bias_hh`"),
            ("06", "A wrong order raises nothing."),
        ),
    ),
    Asked(
        "which iteration fails where the state is carried as it is; `retain_graph`; `detach`",
        ("yes", "yes"),
        (
            ("04", "`detach` keeps the values and stops the gradient."),
            ("04", "With neither, the second `backward` raises."),
            ("04", "only leads to the next error: the optimizer has changed the weights"),
        ),
    ),
    Asked(
        "inputs and targets of the second batch of a text in two rows, and the state at a new epoch",
        ("yes", "yes"),
        (
            ("04", "each pass begins at the beginning of every row"),
            ("04", "The state of a row goes to the same row of the next window."),
            ("04", "row 3 of 10 reads 320 to 339 in its second window, its targets are one further"),
        ),
    ),
    Asked(
        "which of four calls of `cross_entropy` on `[N, T, tags]` raises, is wrong or is right; its mean",
        ("partly", "partly"),
        (
            ("03", "`cross_entropy` wants the tags on axis 1. Scores `[N, T, tags]` as they are raise"),
            ("03", "its mean is over the other words alone, so that equal scores for 15 tags cost ln 15 = 2.71"),
            ("03", "A log_softmax before `cross_entropy` is not needed and does no harm"),
        ),
    ),
    Asked(
        "what packing changes for the shorter of two rows, and where its final states stand",
        ("yes", "yes"),
        (
            ("01", "A row of three steps ends in `out[2]`; past its end its output is zero."),
            ("03", "the forward outputs of words stay, and the reverse ones change"),
            ("03", "without `lengths` the final states of all shorter sentences move"),
            ("03", "In `h_n[1]`, which is also the second half of `out[0]`"),
        ),
    ),
    Asked(
        "two faults of a server that answers step by step: a state thrown away, and dropout",
        ("partly", "yes"),
        (
            ("01", "give the next step the state that came back"),
            ("03", "each value on its way from layer 0 to layer 1 is set to 0"),
            ("03", "`torch.no_grad()` does not turn dropout off"),
            ("06", "Any cuts give the numbers of the whole."),
        ),
    ),
    Asked(
        "what a correlation and a unit zeroed after the run show of it; a real ablation, and is c part of it?",
        ("partly", "partly"),
        (
            ("05", "both units correlate alike with the feature"),
            ("05", "the other units have read its h at every step, and are as they were"),
            ("05", "it gives what `h[:, 17] = 0` after each step of an `LSTMCell` gives"),
            ("05", "c need not be zeroed as well"),
        ),
    ),
)


def line_of(chapter: str, said: str) -> int:
    """The line, from 1, at which something stands on a page; fails where it does not."""
    page = next(page for page in PAGES if page.stem.startswith(chapter))
    text = page.read_text(encoding="utf-8")
    found = re.search(r"\s+".join(map(re.escape, said.split())), text)
    assert found is not None, f"{page.name} no longer says: {said}"
    return text.count("\n", 0, found.start()) + 1


def asked() -> list[str]:
    """The questions as lines of Markdown, each with the lines of the pages that answer it."""
    head = ["| | question | reader 1 | reader 2 | answered at |", "|" + "---|" * 5]
    return [*head, *(_row(number, each) for number, each in enumerate(ASKED, start=1))]


def _row(number: int, question: Asked) -> str:
    places = []
    for chapter in dict.fromkeys(chapter for chapter, _ in question.places):
        page = next(page for page in PAGES if page.stem.startswith(chapter))
        lines = sorted({line_of(chapter, said) for where, said in question.places if where == chapter})
        link = f"[{int(chapter)}]({(FOLDER / page.name).relative_to(DOCS).as_posix()})"
        places.append(f"{link}: {', '.join(map(str, lines))}")
    return f"| {number} | {question.about} | {' | '.join(question.before)} | {'; '.join(places)} |"
