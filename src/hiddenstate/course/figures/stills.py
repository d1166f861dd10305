"""The first frames of the figures, which pages show without a script, and on paper.

Those of the beginning are copied by the figures' scripts, which change their numbers.
"""

import csv
import math
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor

from hiddenstate.course.figures import recorded_training
from hiddenstate.course.figures.drawing import svg, text
from hiddenstate.course.figures.numeric_answers import parameters, shape, written
from hiddenstate.edits import edit
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.model_folder import load, load_language_model, load_tagger, shipped
from hiddenstate.models.series.frames import SeriesInput
from hiddenstate.models.series.series_model import SeriesModel
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.nn.lstm import LSTM

WORDS = ["The", "keys", "that", "she", "left", "in", "the", "drawer", "of", "the", "old", "cabinet"]
KEYS = WORDS.index("keys")
PITCH, BAR = 76, 60  # pixels from word to word, and of a bar of 1
WIDEST = 9  # pixels of a wire that carries 1 or more
_NODES = ((112, 80, "×"), (224, 80, "+"), (224, 160, "×"), (352, 140, "tanh"), (352, 210, "×"))
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
FIRST_DAY, DAYS = "2014-12-02", 30  # of the weather, and of a window
VISIBLE = {" ": "␣", "\n": "⏎"}


def tiny() -> tuple[LSTM, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """Return the LSTM, its five inputs, and its initial state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        lstm = LSTM(4, 3)
        x = torch.stack([torch.randn(1, 4) for _ in range(5)])
        return lstm, x, (torch.randn(1, 1, 3), torch.randn(1, 1, 3))


def _number(x: float, y: float, key: str, value: float, kind: str = "", digits: int = 2) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" data-number="{key}">{value:.{digits}f}</text>'


def _bar(left: float, foot: float, key: str, value: float, kind: str) -> str:
    height = BAR * min(1.0, value)
    return (
        f'<rect x="{left:g}" y="{foot - height:.2f}" width="28" height="{height:.2f}" '
        f'data-bar="{key}" data-foot="{foot:g}" class="course-bar course-bar-{kind}"/>'
    )


def memory() -> str:
    """Draw a plain RNN that reads a sentence with w = 0.9, h and its gradient below each word."""
    w, h, hidden, shares = 0.9, 0.0, [], [1.0]
    for k in range(len(WORDS)):
        h = math.tanh(w * h + (k == KEYS))
        hidden.append(h)
    for h in hidden[:0:-1]:
        shares.insert(0, shares[0] * w * (1 - h * h))
    inside = []
    for k, word in enumerate(WORDS):
        left = 4 + PITCH * k
        inside += [
            text(left, 18, word, "course-h" if k == KEYS else ""),
            f'<rect x="{left}" y="28" width="60" height="84" rx="6" class="course-cell"/>',
            _bar(left + 16, 110, f"h{k}", hidden[k], "h"),
            _number(left + 16, 128, f"h{k}", hidden[k], "course-h"),
            _bar(left + 16, 210, f"s{k}", shares[k], "g"),
            _number(left + 12, 228, f"s{k}", shares[k], "course-g", 3),
        ]
        if k:
            inside.append(f'<path d="M{left - 16},70 h12 m-5,-4 l5,4 l-5,4" class="course-arrow"/>')
    inside.append(
        text(4, 252, "above: h after each word; below: the fraction of a change in h there that reaches the end")
    )
    return svg(912, 260, "A plain RNN reads a sentence: the memory h and its gradient at each word", inside)


def _wire(path: str, key: str, value: float, kind: str) -> str:
    width = 1 + (WIDEST - 1) * min(1.0, abs(value))
    return f'<path d="{path}" data-wire="{key}" stroke-width="{width:.2f}" class="course-wire course-line-{kind}"/>'


def _box(left: int, top: int, width: int, label: str, key: str, value: float) -> list[str]:
    kind = f"course-{key[0]}"
    return [
        f'<rect x="{left}" y="{top}" width="{width}" height="48" rx="6" class="course-cell"/>',
        text(left + 6, top + 19, label, kind),
        _number(left + 6, top + 39, key, value, kind),
    ]


def _node(x: int, y: int, label: str) -> list[str]:
    kind, shift = ("course-small", 12.5) if len(label) > 1 else ("", 4.5)
    return [f'<circle cx="{x}" cy="{y}" r="17" class="course-cell"/>', text(x - shift, y + 4, label, kind)]


def cell() -> str:
    """Draw a cell as a circuit: c above, gates below, h on the right."""
    c_prev, f, i, g, o = 0.5, 0.9, 0.5, 0.8, 0.7
    kept, wrote = f * c_prev, i * g
    c = kept + wrote
    shown = math.tanh(c)
    inside = [
        _wire("M76,80 H95", "c_prev", c_prev, "c"),
        _wire("M129,80 H207", "kept", kept, "c"),
        _wire("M241,80 H404", "c", c, "c"),
        _wire("M112,150 V97", "f", f, "f"),
        _wire("M185,220 L214,174", "i", i, "i"),
        _wire("M264,220 L234,174", "g", g, "g"),
        _wire("M224,143 V97", "wrote", wrote, "g"),
        _wire("M352,80 V123", "c", c, "c"),
        _wire("M352,157 V193", "tanh", shown, "h"),
        _wire("M352,256 V227", "o", o, "o"),
        _wire("M369,210 H404", "h", o * shown, "h"),
    ]
    boxes: tuple[tuple[int, int, int, str, str, float], ...] = (
        (4, 56, 72, "old c", "c_prev", c_prev),
        (404, 56, 72, "new c", "c", c),
        (70, 150, 84, "forget f", "f", f),
        (149, 220, 73, "input i", "i", i),
        (228, 220, 73, "value g", "g", g),
        (310, 256, 84, "output o", "o", o),
        (404, 186, 72, "h", "h", o * shown),
    )
    inside += [part for node in _NODES for part in _node(*node)]
    inside += [part for box in boxes for part in _box(*box)]
    for x, y, label, key, value in (
        (134, 46, "f·c kept", "kept", kept),
        (240, 112, "i·g written", "wrote", wrote),
        (376, 144, "tanh(c)", "tanh", shown),
    ):
        inside += [text(x, y, label, "course-faint"), _number(x, y + 18, key, value)]
    return svg(480, 310, "An LSTM cell: c is multiplied by f, i times g is added, and o times tanh(c) is h", inside)


def _two(values: Tensor) -> str:
    return " ".join(f"{value:.2f}" for value in values.tolist())


def unroll() -> str:
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
    return svg(910, 164, "Five steps of the LSTM with x, c and h", inside)


def shapes() -> str:
    """Write the shapes for the sliders' initial values: the first frame of `js/view-shapes.js`."""
    sizes: dict[str, Any] = {"N": 1, "T": 4, "input": 6, "hidden": 3}
    rows = {"x": [4, 1, 6], **{name: shape(name, **sizes) for name in ("out", "h_n", "c_n")}}
    inside = [text(10, 25 + 25 * k, f"{name:4} {written(size)}") for k, (name, size) in enumerate(rows.items())]
    inside.append(text(10, 125, f"parameters {parameters(6, 3)}"))
    return svg(300, 140, "Shapes of x, out, h_n and c_n", inside)


def curve(values: list[float], low: float, high: float, top: float, kind: str) -> str:
    """Draw values as steps, one for each step of time, in a strip of a drawing."""
    step = 560 / len(values)
    heights = [top + 50 * (high - value) / (high - low) for value in values]
    points = " ".join(f"{90 + step * k:.1f},{y:.1f} {90 + step * (k + 1):.1f},{y:.1f}" for k, y in enumerate(heights))
    return f'<polyline points="{points}" class="course-line course-line-{kind}"/>'


def unit() -> str:
    """Draw one unit whose gates are all half open: the first frame of `js/view-unit.js`."""
    lstm = LSTM(1, 1)
    with torch.no_grad(), lstm.edit(*(edit.set(f"l0.{gate}", to=0.5) for gate in "ifgo")):
        trace = lstm.trace(torch.zeros(41, 1, 1))
    curves: list[tuple[str, str, list[float], float]] = [(gate, gate, [0.5] * 41, 0) for gate in "ifgo"]
    curves += [(name, name, trace[f"l0.{name}"].flatten().tolist(), -1) for name in "ch"]
    curves.append(("Πf", "f", [0.5 ** max(0, k - 3) for k in range(41)], 0))
    inside = []
    for k, (name, kind, values, low) in enumerate(curves):
        low = -1 if name == "g" else low
        inside += [
            text(10, 40 + 60 * k, f"{name} {values[-1]:.2f}", f"course-{kind}"),
            curve(values, low, 1, 10 + 60 * k, kind),
        ]
    inside += [text(90 + 560 / 41 * t, 444, str(t) if t else "step 0") for t in (0, 10, 20, 30, 40)]
    title = "i, f, g, o, c, h and the running product of f, of one unit from step 0 to step 40"
    return svg(660, 450, title, inside)


def share() -> str:
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


def tags() -> str:
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


def surprise() -> str:
    """Draw a bar above each character: the first frame of `js/view-surprise.js`."""
    inside = _bars(bits_of(LINE), LINE, 112, 10, "course-bar")
    return svg(660, 136, "A bar above each character: its surprise, 10 bits at most", inside)


def explorer() -> str:
    """Draw one unit over a line of a text: the first frame of `js/view-explorer.js`."""
    model_read = shakespeare()
    with torch.no_grad():
        out, _ = model_read.lstm(model_read.embed(ids_of(SPEECH)))
    inside = _bars(out[1 : FIRST + 1, 0, UNIT].tolist(), SPEECH[:FIRST], 60, 50, "course-bar-h")
    return svg(660, 136, f"Hidden state of unit {UNIT}, from -1 to 1", inside)


@cache
def weather() -> tuple[SeriesModel, SeriesInput]:
    """Return the shipped forecaster, and the series that it forecasts in 2015."""
    model = cast("SeriesModel", load(shipped("seattle-weather")))
    with (shipped("seattle-weather") / "seattle-weather.csv").open(encoding="utf-8") as file:
        days = [row for row in csv.DictReader(file) if row["date"] >= FIRST_DAY]
    columns = {name: [float(row[name]) for row in days] for name in model.features}
    return model, model.prepare(columns, dates=[row["date"] for row in days])


def _strips(strips: dict[str, list[float]], left: int, pitch: int, scale: float) -> list[str]:
    inside = []
    for n, (name, values) in enumerate(strips.items()):
        inside.append(text(4, 24 + 34 * n, name))
        for t, value in enumerate(values):
            inside.append(
                f'<rect x="{left + pitch * t}" y="{8 + 34 * n}" width="{pitch - 2}" height="24" class="course-strip" '
                f'fill-opacity="{min(1, abs(value) * scale):.3f}" data-sign="{"-" if value < 0 else "+"}"/>'
            )
    return inside


def lags() -> str:
    """Draw the temperatures of the first window, and its map feature x lag: the first frame of `js/view-lags.js`."""
    model, series = weather()
    part = series.x[:DAYS, 0]
    lost = lost_by_number(0)[1 : 1 + part.numel()]
    strips = {name: lost[c :: part.shape[1]] for c, name in enumerate(model.features)}
    inside = _strips(strips, 110, 20, 1 / max(map(abs, lost)))
    return svg(718, 146, "What each feature of each of 30 days adds to the forecast", inside)


def lost_by_number(first: int) -> list[float]:
    """Return a window's forecast, and what it loses without each number ``[T, C]``, and each feature ``[C]``."""
    model, series = weather()
    x, mean = series.x[first : first + DAYS, 0], series.x[:, 0].mean(0)
    T, C = x.shape
    variants = x.repeat(1 + T * C + C, 1, 1)
    for k in range(T * C):
        variants[1 + k, k // C, k % C] = mean[k % C]
    for c in range(C):
        variants[1 + T * C + c, :, c] = mean[c]
    with torch.no_grad():
        values = model.forecast(variants.transpose(0, 1))[:, 0].double()
    return [float(values[0]), *(values[0] - values[1:]).tolist()]


def rows() -> str:
    """Draw four rows as strips: the first frame of `js/view-rows.js`."""
    lstm, _, _ = tiny()
    with torch.no_grad():
        out, _ = lstm(rows_read())
    inside = _strips({f"row {n}": out[:, n, 0].tolist() for n in range(ROWS)}, 60, 25, 1.6)
    return svg(668, 146, "Hidden state of unit 0 of each row, step by step", inside)


STILLS: dict[str, Callable[[], str]] = {
    "memory": memory,
    "cell": cell,  # of the beginning
    "unroll": unroll,
    "shapes": shapes,
    "training": recorded_training.draw,
    "unit": unit,
    "share": share,  # of chapters 1 and 2
    "tags": tags,
    "surprise": surprise,
    "explorer": explorer,
    "rows": rows,
    "lags": lags,  # of chapters 3 to 9: shipped models
}
