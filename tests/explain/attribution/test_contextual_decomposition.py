"""Contextual decomposition: β + γ = h, the CD of everything is h, and the numbers follow the paper's equations."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import hiddenstate as hs
from hiddenstate.explain.attribution.contextual_decomposition import decomposed
from random_lstms import LAW, both_types, every_kind, random_lstm, subject_of


@every_kind
@both_types
@pytest.mark.parametrize("reset", [False, True])
def test_the_two_parts_add_up_to_every_state(kind: str, dtype: torch.dtype, reset: bool) -> None:
    subject = subject_of(random_lstm(kind, dtype), reset=reset)
    inside = torch.rand(subject.T, 4, generator=torch.Generator().manual_seed(0)) < 0.5
    initial = torch.tensor([True, False, True, False])
    trace = subject.trace()
    for place, split in decomposed(subject, inside, initial).items():
        real = trace.values[str(place)].double()
        sizes = split.beta.abs() + split.gamma.abs() + 1
        assert torch.all((real - split.beta - split.gamma).abs() <= LAW[dtype] * sizes), place


@every_kind
def test_everything_inside_is_the_state(kind: str) -> None:
    subject = subject_of(random_lstm(kind), state=False)
    with_state = subject_of(random_lstm(kind))
    for one, initial in ((subject, False), (with_state, True)):
        trace = one.trace()
        split = decomposed(one, torch.ones(one.T, 1, dtype=torch.bool), torch.tensor([initial]))
        for place, parts in split.items():
            assert torch.allclose(parts.beta[:, 0], trace.values[str(place)][:, 0].double(), rtol=1e-10, atol=1e-12)
            assert parts.gamma.abs().max() < 1e-12


def test_nothing_inside_is_nothing() -> None:
    subject = subject_of(random_lstm("two layers, both directions"))
    split = decomposed(subject, torch.zeros(subject.T, 1, dtype=torch.bool), torch.tensor([False]))
    assert all(not parts.beta.any() for parts in split.values())


def scalar(z: list[tuple[float, float, float]], c: tuple[float, float], inside: bool) -> Any:
    """One unit, one step, by the equations of Murdoch et al.; z holds (β, γ, bias) for i, f, g, o."""

    def sigmoid(v: float) -> float:
        return 1 / (1 + math.exp(-v))

    def parts(k: int, act: Any) -> tuple[float, float, float]:
        beta, gamma, bias = z[k]
        orders = [(act(bias + beta) - act(bias), act(bias + beta + gamma) - act(bias + beta))]
        orders += [(act(bias + gamma + beta) - act(bias + gamma), act(bias + gamma) - act(bias))]
        return sum(o[0] for o in orders) / 2, sum(o[1] for o in orders) / 2, act(bias)

    i, f, g = parts(0, sigmoid), parts(1, sigmoid), parts(2, math.tanh)
    o = sigmoid(sum(z[3]))
    beta_u = gamma_u = 0.0
    for p, first in enumerate(i):
        for q, second in enumerate(g):
            within = inside if (p, q) == (2, 2) else 1 not in (p, q)
            beta_u, gamma_u = (beta_u + first * second, gamma_u) if within else (beta_u, gamma_u + first * second)
    new = (f[0] + f[2]) * c[0] + beta_u, sum(f) * c[1] + f[1] * c[0] + gamma_u
    share = [(math.tanh(new[0]) + math.tanh(sum(new)) - math.tanh(new[1])) / 2]
    share.append((math.tanh(new[1]) + math.tanh(sum(new)) - math.tanh(new[0])) / 2)
    return new, (o * share[0], o * share[1])


def test_the_numbers_are_those_of_the_equations() -> None:
    lstm = random_lstm("one layer")
    subject = subject_of(lstm)
    inside = [False, True, True, False, False, True, False]
    split = decomposed(subject, torch.tensor(inside)[:, None], torch.tensor([False]))
    h = [torch.zeros(5, dtype=torch.float64), subject.initial[0][0, 0]]
    c: list[tuple[float, float]] = [(0.0, value) for value in subject.initial[1][0, 0].tolist()]
    for t, within in enumerate(inside):
        x = subject.x[t, 0]
        read = [x if within else 0 * x, 0 * x if within else x]
        z = {gate: [_z(lstm, gate, read[k], h[k]) for k in (0, 1)] for gate in "ifgo"}
        bias = {gate: (lstm.weight(f"l0.b_i{gate}") + lstm.weight(f"l0.b_h{gate}")).tolist() for gate in "ifgo"}
        units = [scalar([(z[g][0][u], z[g][1][u], bias[g][u]) for g in "ifgo"], c[u], within) for u in range(5)]
        c = [unit[0] for unit in units]
        h = [torch.tensor([unit[1][k] for unit in units], dtype=torch.float64) for k in (0, 1)]
        for place, parts in split.items():
            want = torch.tensor(c, dtype=torch.float64).T if place.quantity == "c" else torch.stack(h)
            assert torch.allclose(torch.stack([parts.beta[t, 0], parts.gamma[t, 0]]), want, rtol=1e-10, atol=1e-14)


def _z(lstm: hs.LSTM, gate: str, x: Tensor, h: Tensor) -> list[float]:
    found: list[float] = (lstm.weight(f"l0.W_i{gate}") @ x + lstm.weight(f"l0.W_h{gate}") @ h).tolist()
    return found


@every_kind
def test_as_an_attribution(kind: str) -> None:
    subject = subject_of(random_lstm(kind))
    found = hs.explain.attribute(subject, of=hs.explain.logit("2"), method="cd", spans=[(0, 2), (2, 3), (5, 7)])
    assert found.gamma is not None
    assert found.residual < 1e-12
    whole = found.parts[0] + found.gamma + found.rest["the head's bias"]
    assert whole.tolist() == pytest.approx([found.value] * 3, rel=1e-10)
    joint = hs.explain.attribute(subject, of=hs.explain.logit("2"), method="cd", spans=[(0, 3)])
    assert found.between(0, 1) == pytest.approx(float(joint.parts[0, 0] - found.parts[0, 0] - found.parts[0, 1]))
    state = hs.explain.attribute(subject, of=hs.explain.logit("2"), method="cd", state="player")
    assert state.players[0].name == "initial state"
    alone = decomposed(subject, torch.zeros(subject.T, 1, dtype=torch.bool), torch.tensor([True]))
    assert any(parts.beta.any() for parts in alone.values())
