"""The first frames of the beginning's two figures; their scripts copy a drawing and change its numbers."""

import math

from hiddenstate.course.figures.drawing import svg, text

WORDS = ["The", "keys", "that", "she", "left", "in", "the", "drawer", "of", "the", "old", "cabinet"]
KEYS = WORDS.index("keys")
PITCH, BAR = 76, 60  # pixels from word to word, and of a bar of 1
WIDEST = 9  # pixels of a wire that carries 1 or more
_NODES = ((112, 80, "×"), (224, 80, "+"), (224, 160, "×"), (352, 140, "tanh"), (352, 210, "×"))


def _number(x: float, y: float, key: str, value: float, kind: str = "", digits: int = 2) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" data-number="{key}">{value:.{digits}f}</text>'


def _bar(left: float, foot: float, key: str, value: float, kind: str) -> str:
    height = BAR * min(1.0, value)
    return (
        f'<rect x="{left:g}" y="{foot - height:.2f}" width="28" height="{height:.2f}" '
        f'data-bar="{key}" data-foot="{foot:g}" class="course-bar course-bar-{kind}"/>'
    )


def memory(model: str) -> str:
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


def _box(left: int, top: int, width: int, said: str, key: str, value: float) -> list[str]:
    kind = f"course-{key[0]}"
    return [
        f'<rect x="{left}" y="{top}" width="{width}" height="48" rx="6" class="course-cell"/>',
        text(left + 6, top + 19, said, kind),
        _number(left + 6, top + 39, key, value, kind),
    ]


def _node(x: int, y: int, said: str) -> list[str]:
    kind, shift = ("course-small", 12.5) if len(said) > 1 else ("", 4.5)
    return [f'<circle cx="{x}" cy="{y}" r="17" class="course-cell"/>', text(x - shift, y + 4, said, kind)]


def cell(model: str) -> str:
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
    for x, y, said, key, value in (
        (134, 46, "f·c kept", "kept", kept),
        (240, 112, "i·g written", "wrote", wrote),
        (376, 144, "tanh(c)", "tanh", shown),
    ):
        inside += [text(x, y, said, "course-faint"), _number(x, y + 18, key, value)]
    return svg(480, 310, "An LSTM cell: c is multiplied by f, i times g is added, and o times tanh(c) is h", inside)


STILLS = {"memory": memory, "cell": cell}
