"""Typical errors in the equations of a cell, with the states that they give."""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hiddenstate.course.exercises.answers import Typical, difference, explained, near, wrong
from hiddenstate.errors import AnswerError
from hiddenstate.structure.names import GATES

TORCH = "".join(GATES)
Gates = dict[str, Tensor]


def _z(read: tuple[Tensor, ...], weights: list[nn.Parameter], **scales: float) -> Gates:
    """Return the gates before σ and tanh; the scales leave out a term (0)."""
    x, h, _ = read
    terms = x @ weights[0].T, h @ weights[1].T, weights[2], weights[3]
    factors = [scales.get(name, 1) for name in ("x", "h", "b_ih", "b_hh")]
    z = torch.stack([(factor * term).expand_as(terms[0]) for factor, term in zip(factors, terms, strict=True)]).sum(0)
    return dict(zip(TORCH, z.chunk(4, dim=1), strict=True))


def _activated(z: Gates) -> Gates:
    return {name: value.tanh() if name == "g" else value.sigmoid() for name, value in z.items()}


def _step(gates: Gates, c: Tensor) -> tuple[Tensor, Tensor]:
    c = gates["f"] * c + gates["i"] * gates["g"]
    return gates["o"] * c.tanh(), c


def other_cell(
    result: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor], read: tuple[Tensor, ...], weights: list[nn.Parameter]
) -> AnswerError:
    """Explain how a cell differs from torch's: in both states, or else in c, or else in h."""
    z, c_prev = _z(read, weights), read[2]
    errors = list(_typical_cells(z, read, weights))
    for order in map("".join, itertools.permutations(GATES)):
        renamed = dict(zip(order, (z[name] for name in TORCH), strict=True))
        sentence = f"The rows are read in the order {' '.join(order)}; torch stacks them {' '.join(TORCH)}."
        errors.append(Typical(sentence, _step(_activated(renamed), c_prev), "M15"))
    known = next((error for error in errors if _same_states(result, error.result)), None)
    if known is not None:
        return wrong(known.sentence, known.about)
    gates = _activated(z)
    if not near(result[1], right[1]):
        return _explained_state("c", result[1], right[1], _typical_c(z, gates, *read[1:]))
    return _explained_state("h", result[0], right[0], _typical_h(z, gates, c_prev, right[1]))


def _same_states(result: tuple[Tensor, Tensor], other: object) -> bool:
    """Whether h and c are both those of a typical error."""
    return isinstance(other, tuple) and all(map(near, result, other))


def _explained_state(name: str, result: Tensor, right: Tensor, typical: Iterator[Typical]) -> AnswerError:
    error = explained(result, right, typical)
    if str(error) != difference(result, right):
        return error
    rule = {
        "c": "c = f·c_prev + i·g, with σ for i and f and tanh for g, of the sums x @ W_ih.T + b_ih + h @ W_hh.T + b_hh",
        "h": "h = o·tanh(c), with the new c",
    }[name]
    return wrong(f"{name} is wrong{' and c is right' if name == 'h' else ''}. {error} It is {rule}.")


def _typical_cells(z: Gates, read: tuple[Tensor, ...], weights: list[nn.Parameter]) -> Iterator[Typical]:
    c_prev = read[2]
    h, c = _step(_activated(z), c_prev)
    yield Typical("It returns c first and h second. torch returns h first: (h, c).", (c, h), "M3")
    gates = _activated(z)
    exchanged = gates | {"i": gates["f"], "f": gates["i"]}
    sentence = "f multiplies the new value here, and i the old one. It is c = f·c_prev + i·g: f keeps."
    yield Typical(sentence, _step(exchanged, c_prev), "M17")
    squashed = {name: value.sigmoid() for name, value in z.items()}
    yield Typical(
        "g goes through σ here, like a gate. It is the candidate, between -1 and 1: use tanh.",
        _step(squashed, c_prev),
        "M18",
    )
    tanh_only = {name: value.tanh() for name, value in z.items()}
    yield Typical(
        "i, f and o go through tanh here. A gate is a share between 0 and 1: use σ.", _step(tanh_only, c_prev)
    )
    turned = {name: value.sigmoid() if name == "g" else value.tanh() for name, value in z.items()}
    yield Typical("σ and tanh are swapped: i, f and o should go through σ, and g through tanh.", _step(turned, c_prev))
    yield Typical("Neither σ nor tanh is applied to the gates and g.", _step(z, c_prev))
    only_g = {name: value.tanh() if name == "g" else value for name, value in z.items()}
    yield Typical("The gates i, f and o are used without σ, so they aren't between 0 and 1.", _step(only_g, c_prev))
    yield Typical("σ and tanh are applied twice.", _step(_activated(gates), c_prev))
    for term, sentence, about in (
        ("b_hh", "b_hh is missing. Both biases are added at every step.", "M21"),
        ("b_ih", "b_ih is missing. Both biases are added at every step.", "M21"),
        ("h", "h is not read: W_hh @ h, the part from the previous step, is missing.", ""),
        ("x", "x is not read: W_ih @ x, the part from the input, is missing.", ""),
    ):
        yield Typical(sentence, _step(_activated(_z(read, weights, **{term: 0})), c_prev), about)
    by_unit = torch.cat(list(z.values()), dim=1).unflatten(1, (-1, len(TORCH))).unbind(2)
    yield Typical(
        "The four sums of a unit are read side by side; torch stacks all of i, then all of f, g, o: chunk(4, dim=1).",
        _step(_activated(dict(zip(TORCH, by_unit, strict=True))), c_prev),
    )
    yield Typical("Both biases are missing.", _step(_activated(_z(read, weights, b_ih=0, b_hh=0)), c_prev))


def _typical_c(z: Gates, gates: Gates, h: Tensor, c: Tensor) -> Iterator[Typical]:
    i, f, g, o = (gates[name] for name in TORCH)
    yield Typical(
        "c is (1 - f)·c_prev + i·g here. f is the fraction kept, not the fraction forgotten.",
        (1 - f) * c + i * g,
        "M17",
    )
    yield Typical(
        "g goes through σ here, like a gate. It is the candidate: use tanh.", f * c + i * z["g"].sigmoid(), "M18"
    )
    yield Typical(
        "c is squashed by tanh before it is kept. Only h is o·tanh(c); c has no bounds.", (f * c + i * g).tanh(), "M19"
    )
    yield Typical("i is missing: c is f·c_prev + g here. i decides how much of g is written.", f * c + g)
    yield Typical("f is missing, so nothing is forgotten: c is c_prev + i·g here.", c + i * g)
    yield Typical("i·g is subtracted. It is added: c = f·c_prev + i·g.", f * c - i * g)
    yield Typical("Only what is kept, f·c_prev, is there: this step's write, i·g, is missing.", f * c)
    yield Typical("Only what is written, i·g, is there: what is kept, f·c_prev, is missing.", i * g)
    yield Typical("c is the old c, unchanged. It should be f·c_prev + i·g.", c)
    yield Typical("o lets the candidate in here. It is i: c = f·c_prev + i·g.", f * c + o * g)
    yield Typical("The old c is kept by o here. It is f: c = f·c_prev + i·g.", o * c + i * g)
    yield Typical("1 - f is in place of i, as in a GRU: c = f·c_prev + i·g.", f * c + (1 - f) * g)
    yield Typical("f multiplies the sum here. It scales c_prev only: c = f·c_prev + i·g.", f * (c + i * g))
    yield Typical("c is f·c_prev·i·g here. What is kept and what is written are added: f·c_prev + i·g.", f * c * i * g)
    yield Typical("g is used without tanh: c is f·c_prev + i·z_g here.", f * c + i * z["g"])
    yield Typical("tanh is applied to c_prev: c is f·tanh(c_prev) + i·g here.", f * c.tanh() + i * g)
    yield Typical("tanh is applied to g twice.", f * c + i * g.tanh())
    yield Typical("f multiplies the old h here. It keeps the old c: c = f·c_prev + i·g.", f * h + i * g)
    yield Typical("i is used without σ, so it isn't between 0 and 1.", f * c + z["i"] * g)
    yield Typical("f is used without σ, so it isn't between 0 and 1.", z["f"] * c + i * g)


def _typical_h(z: Gates, gates: Gates, c_prev: Tensor, c: Tensor) -> Iterator[Typical]:
    o = gates["o"]
    yield Typical("o is used without σ, so it isn't between 0 and 1.", z["o"] * c.tanh())
    yield Typical("h is o·c here, as if c were bounded. It is not, so h is o·tanh(c).", o * c, "M19")
    yield Typical("h uses the old c. First compute the new c, then h = o·tanh(c).", o * c_prev.tanh())
    yield Typical("h is c itself here. h = o·tanh(c) is only what the unit outputs.", c, "M3")
    yield Typical("o is missing: h is tanh(c) here. o decides how much of it is output.", c.tanh())
    yield Typical("o is inside tanh: h is tanh(o·c) here, and should be o·tanh(c).", (o * c).tanh())
    yield Typical("c goes through σ here: h is o·σ(c), and should be o·tanh(c).", o * c.sigmoid())
    yield Typical("tanh is applied to o, not to c.", o.tanh() * c)
    yield Typical("h is only o here. It should be o·tanh(c).", o)
    yield Typical("tanh is applied twice: h is o·tanh(tanh(c)) here.", o * c.tanh().tanh())
    yield Typical("h is o·tanh(g) here: it comes from c, not from the candidate.", o * gates["g"].tanh())
    yield Typical("h is o·g here: it comes from c, not from the candidate.", o * gates["g"])
    yield Typical("o and tanh(c) are added. They are multiplied.", o + c.tanh())
    for name in "if":
        yield Typical(f"{name} decides what is output here. It is o: h = o·tanh(c).", gates[name] * c.tanh())
