"""The first frames of the figures of chapters 3 to 6, which show the shipped models."""

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from hiddenstate.course.figures.drawing import svg, text
from hiddenstate.course.figures.first_lesson import tiny
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.model_folder import load_language_model, load_tagger, shipped
from hiddenstate.models.tagger.tagger import Tagger

SENTENCE, READ = "The ship sails fell .", 3
LINE = "To be, or not to be"
SPEECH = (
    "To be, or not to be: that is the question:\n"
    "Whether 'tis nobler in the mind to suffer\n"
    "The slings and arrows of outrageous fortune,\n"
)
FIRST = SPEECH.index("\n") + 1  # the part that is drawn
UNIT = 488
ROWS, STEPS = 4, 24
VISIBLE = {" ": "␣", "\n": "⏎"}


@cache
def tagger() -> Tagger:
    """Return the shipped tagger."""
    return load_tagger(shipped())


@cache
def shakespeare() -> LanguageModel:
    """Return the shipped language model."""
    return load_language_model(shipped("shakespeare"))


def rows_read() -> Tensor:
    """Return the input of the four rows: noise-like numbers, the same everywhere."""
    t, n, k = torch.meshgrid(*(torch.arange(size).double() for size in (STEPS, ROWS, 4)), indexing="ij")
    return torch.sin(1.7 * t + 2.3 * n + 0.9 * k + 0.37 * t * n).float()


def ids_of(string: str) -> Tensor:
    """Return a text as ids ``[T, 1]``, after the line end that precedes every text."""
    return torch.from_numpy(shakespeare().tokens.encode("\n" + string)).long()[:, None]


def bits_of(string: str) -> list[float]:
    """Return the surprise of each character of a text, in bits."""
    ids = ids_of(string)
    with torch.no_grad():
        log_probabilities, _ = shakespeare()(ids[:-1])
    bits: list[float] = (-log_probabilities[:, 0].gather(1, ids[1:])[:, 0] / math.log(2)).tolist()
    return bits


def _bars(values: list[float], signs: str, base: float, scale: float, kind: str) -> list[str]:
    step = max(14, min(30, 640 / len(values)))
    inside = []
    for k, (value, sign) in enumerate(zip(values, signs, strict=True)):
        height = min(base - 8, scale * abs(value))
        top = base - height if value > 0 else base
        inside += [
            f'<rect x="{4 + step * k:.1f}" y="{top:.1f}" width="{step - 3:.1f}" height="{height:.1f}" class="{kind}"/>',
            text(4 + step * k + step / 3, 128, VISIBLE.get(sign, sign)),
        ]
    return inside


def tags(model: str) -> str:
    """Draw the words with their tags: the first frame of `js/view-tags.js`."""
    words = SENTENCE.split()
    (tagging,) = tagger().tag([words[:READ]])
    inside = []
    for k, word in enumerate(words):
        left = 4 + 126 * k
        inside.append(text(left, 20, word if k < READ else "▒▒▒▒", "" if k < READ else "course-faint"))
        for row, (tag, p) in enumerate(tagging.top(3)[k].items() if k < READ else ()):
            y = 34 + 22 * row
            inside += [
                f'<rect x="{left}" y="{y}" width="{max(1, p * 114):.1f}" height="18" class="course-bar"/>',
                text(left + 4, y + 13, f"{tag} {p:.2f}", "course-small"),
            ]
    return svg(640, 108, "Words with their most probable tags", inside)


def surprise(model: str) -> str:
    """Draw a bar above each character: the first frame of `js/view-surprise.js`."""
    inside = _bars(bits_of(LINE), LINE, 112, 10, "course-bar")
    return svg(660, 136, "A bar above each character: its surprise, 10 bits at most", inside)


def explorer(model: str) -> str:
    """Draw one unit over a line of a text: the first frame of `js/view-explorer.js`."""
    model_read = shakespeare()
    with torch.no_grad():
        out, _ = model_read.lstm(model_read.embed(ids_of(SPEECH)))
    inside = _bars(out[1 : FIRST + 1, 0, UNIT].tolist(), SPEECH[:FIRST], 60, 50, "course-bar-h")
    return svg(660, 136, f"Hidden state of unit {UNIT}, from -1 to 1", inside)


def rows(model: str) -> str:
    """Draw four rows as strips: the first frame of `js/view-rows.js`."""
    lstm, _, _ = tiny()
    with torch.no_grad():
        out, _ = lstm(rows_read())
    inside = []
    for n in range(ROWS):
        inside.append(text(4, 24 + 34 * n, f"row {n}"))
        for t, value in enumerate(out[:, n, 0].tolist()):
            inside.append(
                f'<rect x="{60 + 25 * t}" y="{8 + 34 * n}" width="23" height="24" class="course-strip" '
                f'fill-opacity="{min(1, abs(value) * 1.6):.3f}" data-sign="{"-" if value < 0 else "+"}"/>'
            )
    return svg(668, 146, "Hidden state of unit 0 of each row, step by step", inside)


STILLS: dict[str, Callable[[str], str]] = {"tags": tags, "surprise": surprise, "explorer": explorer, "rows": rows}
