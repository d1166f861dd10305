"""What the live figures of chapters 3 to 6 and 9 should show, computed in Python."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import torch

import hiddenstate as hs
from hiddenstate.course.figures.stills import (
    DAYS,
    LINE,
    SENTENCE,
    SPEECH,
    bits_of,
    ids_of,
    lost_by_number,
    rows_read,
    shakespeare,
    tagger,
    tiny,
)

State = Mapping[str, Any]


def tags(state: State) -> list[float]:
    words = SENTENCE.split()[: int(state["upto"])]
    found: list[float] = tagger().read(words).probabilities.flatten().tolist()
    return found


def surprise(state: State) -> list[float]:
    string, begin = unquote(state.get("text", LINE)), int(state["reset"])
    pieces = [string[:begin], string[begin:]] if begin else [string]
    with torch.no_grad():
        said, _ = shakespeare()(ids_of(pieces[-1]))
    after = (said[-1, 0] / float(state["temperature"])).softmax(-1).topk(8).values
    return [*(bits for piece in pieces for bits in bits_of(piece)), *after.tolist()]


def explorer(state: State) -> list[float]:
    model, unit = shakespeare(), int(state["unit"])
    ids = ids_of(SPEECH)
    # as in the page: the model has read a line end, and its state is carried on
    with torch.no_grad():
        _, begin = model.lstm(model.embed(ids[:1]))
        h = model.lstm(model.embed(ids[1:]), begin)[0][:, 0]
    values: list[float] = h[:, unit].tolist()
    if state["hold"] != "yes":
        return values
    mean, spread = h.double().mean(0), h.double().std(0, correction=0)
    others = [k for k in (spread - spread[unit]).abs().argsort(stable=True).tolist() if k != unit][:8]

    def bits(*edits: hs.Edit) -> float:
        with torch.no_grad(), model.lstm.edit(*edits):
            out, _ = model.lstm(model.embed(ids[1:-1]), begin)
        scores = model.head.log_probabilities(torch.cat([begin[0], out])).detach()
        return float(-scores.gather(2, ids[1:, :, None]).mean()) / 0.6931471805599453

    plain = bits()
    return values + [bits(hs.set("l0.h", to=float(mean[k]), unit=k)) - plain for k in (unit, *others)]


def rows(state: State) -> list[float]:
    lstm, _, _ = tiny()
    x = rows_read()
    reset = torch.zeros(x.shape[:2], dtype=torch.bool)
    if state["carry"] != "on":
        reset[:: int(state["chunk"])] = True
    if state["reset"] == "on":
        reset[12, 1] = True
    ended = state.get("ends") == "on"
    if ended:
        x[10:, 3] = 0
    lengths = [24, 24, 24, 10] if ended and state.get("lengths") == "on" else None
    with torch.no_grad():
        out, _ = lstm(x, reset=reset, lengths=lengths)
    found: list[float] = out[..., 0].T.flatten().tolist()
    return found


def lags(state: State) -> list[float]:
    return lost_by_number(int(state["day"]) - DAYS)


FRAMES: dict[str, tuple[str, Callable[[State], list[float]], list[dict[str, Any]]]] = {
    "tags": ("03-part-of-speech-tagging", tags, [{"upto": 3}, {"upto": 1}, {"upto": 4}, {"upto": 5}]),
    "surprise": (
        "04-next-character-next-word",
        surprise,
        [
            {"reset": 0, "temperature": 1},
            {"reset": 12, "temperature": 1},
            {"reset": 0, "temperature": 0.3},
            {"reset": 3, "temperature": 2, "text": "What news, my lord?"},
        ],
    ),
    "explorer": (
        "05-looking-inside",
        explorer,
        [
            {"unit": 488, "hold": "no"},
            {"unit": 488, "hold": "yes"},
            {"unit": 449, "hold": "yes"},
            {"unit": 3, "hold": "yes"},
        ],
    ),
    "rows": (
        "06-to-production",
        rows,
        [
            {"chunk": 24, "carry": "on", "reset": "off"},
            {"chunk": 6, "carry": "on", "reset": "on"},
            {"chunk": 6, "carry": "off", "reset": "off"},
            {"chunk": 1, "carry": "off", "reset": "on"},
            {"chunk": 24, "carry": "on", "reset": "off", "ends": "on", "lengths": "off"},
            {"chunk": 7, "carry": "on", "reset": "on", "ends": "on", "lengths": "on"},
        ],
    ),
    "lags": ("09-numbers", lags, [{"day": 60}, {"day": 30}, {"day": 214}, {"day": 394}]),
}
