"""The first frames of the figures of chapters 1 and 2."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hiddenstate.course.figures.drawing import svg, text
from hiddenstate.course.figures.first_lesson import tiny
from hiddenstate.course.figures.numeric_answers import parameters, shape, written
from hiddenstate.edits import edit
from hiddenstate.nn.lstm import LSTM


def _two(values: Tensor) -> str:
    return " ".join(f"{value:.2f}" for value in values.tolist())


def unroll(model: str) -> str:
    """Draw the tiny LSTM over its five inputs, each from the first state: the first frame of `js/view-unroll.js`."""
    lstm, x, (h0, c0) = tiny()
    inside = []
    for t in range(len(x)):
        left = 4 + 184 * t
        _, (h, c) = lstm(x[t : t + 1], (h0, c0))
        inside += [
            f'<rect x="{left}" y="34" width="164" height="104" rx="6" class="course-cell"/>',
            text(left + 8, 54, f"step {t} reads input {t}"),
            text(left + 8, 76, f"x {_two(x[t, 0])}", "course-small"),
            text(left + 8, 100, f"c {_two(c[0, 0])}", "course-c"),
            text(left + 8, 124, f"h {_two(h[0, 0])}", "course-h"),
            text(left + 8, 22, "begins at (h0, c0)", "course-faint"),
        ]
    return svg(910, 150, "Five steps of the LSTM with x, c and h", inside)


def shapes(model: str) -> str:
    """Write the shapes for the sliders' initial values: the first frame of `js/view-shapes.js`."""
    sizes: dict[str, Any] = {"N": 1, "T": 4, "input": 6, "hidden": 3}
    rows = {"x": [4, 1, 6], **{name: shape(name, **sizes) for name in ("out", "h_n", "c_n")}}
    inside = [text(10, 25 + 25 * k, f"{name:4} {written(size)}") for k, (name, size) in enumerate(rows.items())]
    inside.append(text(10, 125, f"parameters {parameters(6, 3)}"))
    return svg(300, 140, "Shapes of x, out, h_n and c_n", inside)


def curve(values: list[float], low: float, high: float, top: float, kind: str) -> str:
    """Draw a line through values, one a step, in a strip of a drawing."""
    step = 560 / (len(values) - 1)
    points = " ".join(f"{90 + step * k:.1f},{top + 50 * (high - v) / (high - low):.1f}" for k, v in enumerate(values))
    return f'<polyline points="{points}" class="course-line course-line-{kind}"/>'


def unit(model: str) -> str:
    """Draw one unit whose gates are all half open: the first frame of `js/view-unit.js`."""
    lstm = LSTM(1, 1)
    with torch.no_grad(), lstm.edit(*(edit.set(f"l0.{gate}", to=0.5) for gate in "ifgo")):
        trace = lstm.trace(torch.zeros(40, 1, 1))
    curves: list[tuple[str, str, list[float], float]] = [(gate, gate, [0.5] * 40, 0) for gate in "ifgo"]
    curves += [(name, name, trace[f"l0.{name}"].flatten().tolist(), -1) for name in "ch"]
    curves.append(("Πf", "f", [0.5 ** max(0, k - 2) for k in range(40)], 0))
    inside = []
    for k, (name, kind, values, low) in enumerate(curves):
        low = -1 if name == "g" else low
        inside += [
            text(10, 40 + 60 * k, f"{name} {values[-1]:.2f}", f"course-{kind}"),
            curve(values, low, 1, 10 + 60 * k, kind),
        ]
    return svg(660, 430, "i, f, g, o, c, h and the running product of f, of one unit over forty steps", inside)


def share(model: str) -> str:
    """Draw the gradient that is left after 1 to 100 steps, in powers of ten: the first frame of `js/view-share.js`."""
    forget = float(torch.sigmoid(torch.tensor(1.0)))
    lstm = [k * math.log10(forget) for k in range(1, 101)]
    plain, h, total = [], 0.5, 0.0
    for _ in range(100):
        h = math.tanh(0.9 * h)
        total += math.log10(0.9 * (1 - h * h))
        plain.append(total)
    inside = [curve(lstm, -16, 0, 20, "c"), curve(plain, -16, 0, 20, "g")]
    return svg(660, 90, "The fraction that is left after 1 to 100 steps: an LSTM's c, and a plain RNN", inside)


STILLS: dict[str, Callable[[str], str]] = {"unroll": unroll, "shapes": shapes, "unit": unit, "share": share}
