"""What the live figures of the beginning and of chapters 1 and 2 should show, computed in Python."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

import hiddenstate as hs
from hiddenstate.course.figures import recorded_training
from hiddenstate.course.figures.stills import tiny

State = Mapping[str, Any]


def unroll(state: State) -> list[float]:
    lstm, x, start = tiny()
    x = x[[0, 3, 2, 1, 4]] if state.get("swap") == "on" else x
    found: list[float] = []
    hx = start
    for step in x:
        _, (h, c) = lstm(step[None], hx)
        hx = (h, c) if state.get("carry") == "on" else start
        found += [*h.flatten().tolist(), *c.flatten().tolist()]
    return found


def shapes(state: State) -> list[float]:
    T, N, C, H, L, D = (int(state[name]) for name in ("T", "N", "C", "H", "L", "directions"))
    lstm = hs.LSTM(C, H, num_layers=L, bidirectional=D == 2, batch_first=state["batch_first"] == "on")
    x = torch.randn((N, T, C) if lstm.batch_first else (T, N, C))
    out, (h_n, c_n) = lstm(x)
    return [*x.shape, *out.shape, *h_n.shape, *c_n.shape, sum(p.numel() for p in lstm.parameters())]


def unit(state: State) -> list[float]:
    lstm = hs.LSTM(1, 1)
    edits = []
    for gate in "ifgo":
        values = [float(state.get(f"{gate}@{t}", state[gate])) for t in range(41)]
        edits += [hs.set(f"l0.{gate}", to=value, t=t) for t, value in enumerate(values)]
    with torch.no_grad(), lstm.edit(*edits):
        trace = lstm.trace(torch.zeros(41, 1, 1))
    return [*trace["l0.c"].flatten().tolist(), *trace["l0.h"].flatten().tolist()]


def share(state: State) -> list[float]:
    """The derivatives of a real LSTM and a real RNN by autograd, in float64."""
    lstm, rnn = hs.LSTM(1, 1, dtype=torch.float64), torch.nn.RNN(1, 1, dtype=torch.float64)
    with torch.no_grad():
        for weight in (*lstm.parameters(), *rnn.parameters()):
            weight.zero_()
        lstm.weight("l0.b_if").fill_(float(state["bias"]))
        rnn.get_parameter("weight_hh_l0").fill_(float(state["w"]))
    x, zeros = torch.zeros(100, 1, 1).double(), torch.zeros(1, 1, 1).double()
    c0, h0 = zeros.clone().requires_grad_(), torch.full((1, 1, 1), 0.5).double().requires_grad_()
    c = lstm.trace(x, (zeros, c0))["l0.c"].flatten()
    h = rnn(x, h0)[0].flatten()
    slopes = [
        torch.autograd.grad(each, of, retain_graph=True)[0].item() for all_, of in ((c, c0), (h, h0)) for each in all_
    ]
    assert all(map(math.isfinite, slopes))
    return slopes


def memory(state: State) -> list[float]:
    """One of torch's plain RNNs over twelve words, in float64, and the derivative of its last h with respect to each
    h."""
    cell = torch.nn.RNNCell(1, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        cell.weight_ih.fill_(1.0)
        cell.weight_hh.fill_(float(state["w"]))
    h, hidden = torch.zeros(1, 1, dtype=torch.float64), []
    for k in range(12):
        x = torch.full((1, 1), float(state["x"]) if k == 1 else 0.0, dtype=torch.float64)
        h = cell(x, h)
        hidden.append(h)
    shares = torch.autograd.grad(hidden[-1], hidden)
    return [each.item() for each in (*hidden, *shares)]


def cell(state: State) -> list[float]:
    """One step of a real LSTM whose gates are set."""
    lstm = hs.LSTM(1, 1)
    c_prev, f, i, g, o = (float(state[name]) for name in ("c_prev", "f", "i", "g", "o"))
    gates = [hs.set(f"l0.{name}", to=value) for name, value in {"f": f, "i": i, "g": g, "o": o}.items()]
    with torch.no_grad(), lstm.edit(*gates):
        _, (h, c) = lstm(torch.zeros(1, 1, 1), (torch.zeros(1, 1, 1), torch.full((1, 1, 1), c_prev)))
    return [f * c_prev, i * g, c.item(), c.tanh().item(), h.item()]


def training(state: State) -> list[float]:
    moment = recorded_training.run()[int(state["frame"])]
    return [moment.loss, *moment.right]


HALF = {"i": 0.5, "f": 0.5, "g": 0.5, "o": 0.5}
SIZES = {"T": 4, "N": 1, "C": 6, "H": 3, "L": 1, "directions": 1, "batch_first": "off"}
GATED = {"c_prev": 0.5, "f": 0.9, "i": 0.5, "g": 0.8, "o": 0.7}
# figure: its page, the function that computes it in Python, and the compared states: the first frame and three more
FIGURES: dict[str, tuple[str, Callable[[State], list[float]], list[dict[str, Any]]]] = {
    "memory": (
        "00-before",
        memory,
        [{"w": 0.9, "x": 1}, {"w": 0.5, "x": 1}, {"w": 1.5, "x": 0.1}, {"w": 2, "x": 3}],
    ),
    "cell": (
        "00-before",
        cell,
        [GATED, GATED | {"c_prev": -1.5}, GATED | {"f": 1, "i": 0}, GATED | {"g": -1, "i": 1, "o": 0}],
    ),
    "unroll": (
        "01-structure-and-hidden-state",
        unroll,
        [{"carry": carry, "swap": swap} for carry in ("off", "on") for swap in ("off", "on")],
    ),
    "shapes": (
        "01-structure-and-hidden-state",
        shapes,
        [
            SIZES,
            SIZES | {"L": 2, "directions": 2},
            SIZES | {"batch_first": "on", "N": 3},
            SIZES | {"C": 1, "H": 12, "L": 3},
        ],
    ),
    "training": (
        "01-structure-and-hidden-state",
        training,
        [{"frame": 20}, {"frame": 0}, {"frame": 3}, {"frame": 8}],
    ),
    "unit": (
        "02-hidden-state-and-gates",
        unit,
        [
            HALF,
            {"i": 0, "i@3": 1, "f": 1, "g": 1, "o": 0, "o@40": 1},
            {"i": 0.3, "f": 0.9, "g": -0.7, "g@7": 1, "o": 0.6},
            {"i": 1, "f": 1, "g": 1, "o": 1},
        ],
    ),
    "share": (
        "02-hidden-state-and-gates",
        share,
        [{"bias": 1, "w": 0.9}, {"bias": 5, "w": 1.1}, {"bias": -1, "w": 0.5}, {"bias": 0, "w": 1.5}],
    ),
}
