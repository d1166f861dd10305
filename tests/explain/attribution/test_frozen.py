"""`frozen`: parts add up to the target, and equal those of a network with detached gates."""

from typing import Any

import pytest
import torch
from torch import Tensor

import hiddenstate as hs
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.attribution.frozen import frozen_parts
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import resolve_target
from random_lstms import KINDS, LAW, random_lstm, subject_of
from support import thinned

TARGETS: list[Any] = [hs.explain.logit("2", word=3), hs.explain.logit("0", against="3"), "l0.c[0]@4", "l0.h[0]@2"]


@pytest.mark.parametrize(("kind", "dtype", "of", "reset"), thinned(KINDS, LAW, TARGETS, [False, True]), ids=str)
def test_parts_add_up(kind: str, dtype: torch.dtype, of: Any, reset: bool) -> None:
    subject = subject_of(random_lstm(kind, dtype), reset=reset)
    found = hs.explain.attribute(subject, of=of, method="frozen")
    parts = frozen_parts(subject, subject.trace(), resolve_target(of, subject).linear("frozen"))
    size = parts.x.abs().sum() + sum(b.abs().sum() for b in parts.biases.values()) + parts.initial.abs().sum()
    assert abs(found.residual) <= LAW[dtype] * (float(size) + abs(parts.bias))
    assert found.value == pytest.approx(float(found.parts.sum()) + sum(found.rest.values()), abs=1e-4)


@pytest.mark.parametrize(("kind", "of", "reset"), thinned(KINDS, TARGETS, [False, True]), ids=str)
def test_parts_are_gradients_of_a_network_whose_gates_are_detached(kind: str, of: Any, reset: bool) -> None:
    subject = subject_of(random_lstm(kind), reset=reset)
    readout = resolve_target(of, subject).linear("frozen")
    x, h0, c0 = (part.detach().clone().requires_grad_() for part in (subject.x[:, 0], *subject.initial))
    states = detached(subject, x, h0[:, 0], c0[:, 0])
    value = sum((states[str(place)][readout.t] @ vector for place, vector in readout.vectors.items()), torch.zeros(()))
    slopes = torch.autograd.grad(value, (x, h0, c0), allow_unused=True, materialize_grads=True)
    found = frozen_parts(subject, subject.trace(), readout)
    assert torch.allclose(found.x, slopes[0] * x.detach(), rtol=1e-9, atol=1e-12)
    initial = (slopes[1] * h0).sum((1, 2)) + (slopes[2] * c0).sum((1, 2))
    assert torch.allclose(found.initial, initial.detach(), rtol=1e-9, atol=1e-12)


def detached(subject: Subject, x: Tensor, h0: Tensor, c0: Tensor) -> dict[str, Tensor]:
    """Every h and c ``[T, units]`` by the equations, with i, f, o and the secants of both tanh detached."""
    lstm, T, found = subject.lstm, subject.T, dict[str, Tensor]()
    reset = torch.zeros(T, dtype=torch.bool) if subject.reset is None else subject.reset[:, 0]
    for number, (layer, reverse) in enumerate(subject.sizes.layer_directions):
        name = f"l{layer}{'r' if reverse else ''}"
        ways = ("", "r") if subject.sizes.bidirectional else ("",)
        read = x if layer == 0 else torch.cat([found[f"l{layer - 1}{way}.h"] for way in ways], -1)

        def linear(gate: str, inputs: Tensor, h: Tensor, name: str = name) -> Tensor:
            z = lstm.weight(f"{name}.W_i{gate}") @ inputs + lstm.weight(f"{name}.W_h{gate}") @ h
            return z + lstm.weight(f"{name}.b_i{gate}") + lstm.weight(f"{name}.b_h{gate}") if lstm.bias else z

        h, c = h0[number], c0[number]
        states: dict[int, tuple[Tensor, Tensor]] = {}
        for t in range(T - 1, -1, -1) if reverse else range(T):
            border = t + 1 if reverse else t
            if border < T and reset[border]:
                h, c = torch.zeros_like(h), torch.zeros_like(c)
            i, f, o = (torch.sigmoid(linear(gate, read[t], h)).detach() for gate in "ifo")
            z = linear("g", read[t], h)
            c = f * c + i * (z.tanh() / z).detach() * z
            h = o * (c.tanh() / c).detach() * c
            if lstm.proj_size:
                h = lstm.weight(f"{name}.W_hr") @ h
            states[t] = h, c
        found[f"{name}.h"], found[f"{name}.c"] = (torch.stack([states[t][k] for t in range(T)]) for k in (0, 1))
    return found


def test_the_detached_network_has_the_values_of_the_real_one() -> None:
    subject = subject_of(random_lstm("projected, both directions"), reset=True)
    ours, trace = (
        detached(subject, subject.x[:, 0], subject.initial[0][:, 0], subject.initial[1][:, 0]),
        subject.trace(),
    )
    assert all(torch.allclose(value, trace.values[name][:, 0]) for name, value in ours.items())


def test_it_is_blind_to_what_only_opens_a_gate() -> None:
    """One unit: the first feature opens the input gate, and the written value is a constant from the biases."""
    lstm = hs.LSTM(2, 1, dtype=torch.float64)
    with torch.no_grad():
        for weight in lstm.parameters():
            weight.zero_()
        lstm.weight("l0.W_ii")[0, 0] = 20.0
        lstm.weight("l0.b_ii").fill_(-10.0)
        for name, value in (("b_if", 10.0), ("b_ig", 2.0), ("b_io", 10.0)):
            lstm.weight(f"l0.{name}").fill_(value)
    x = torch.zeros(5, 2, dtype=torch.float64)
    x[1, 0] = 1.0
    found = hs.explain.attribute(lstm, x, of="l0.c[0]", method="frozen")
    assert found.value > 0.9
    assert not found.parts.any()
    assert found.rest["biases of g in l0"] == pytest.approx(found.value)
    assert found.occlusion is not None
    assert float(found.occlusion[0, 1]) > 0.9
    assert found.disagreements == (1,)
    assert "≠ Part and occlusion disagree at 1 (1)." in str(found)


def test_spans_and_the_initial_state() -> None:
    subject = subject_of(random_lstm("two layers, both directions"))
    of = hs.explain.logit("1")
    single = hs.explain.attribute(subject, of=of, method="frozen")
    spans = hs.explain.attribute(subject, of=of, method="frozen", spans=[(4, 6), (0, 3)], state="player")
    assert [player.name for player in spans.players] == ["initial state", "0 1 2", "4 5"]
    want = [single.rest["initial state"], float(single.parts[0, :3].sum()), float(single.parts[0, 4:6].sum())]
    assert spans.parts[0].tolist() == pytest.approx(want)
    assert spans.rest["other words"] == pytest.approx(float(single.parts[0, [3, 6]].sum()))
    assert abs(spans.residual) < 1e-12


@pytest.mark.parametrize("of", [hs.explain.log_probability("1"), "l0.f[1]", lambda run: run.out[-1].sum(-1)])
@pytest.mark.parametrize("method", ["frozen", "cd"])
def test_targets_that_are_not_linear_are_refused(of: Any, method: Any) -> None:
    with pytest.raises(ArgumentError, match=f"{method} needs a target that is linear in c or h"):
        hs.explain.attribute(subject_of(random_lstm("two layers")), of=of, method=method)


@pytest.mark.parametrize("method", ["frozen", "cd"])
def test_edits_are_refused(method: Any) -> None:
    subject = subject_of(random_lstm("two layers"))
    with subject.lstm.edit(hs.zero("l0.f")), pytest.raises(ArgumentError, match="a run without edits"):
        hs.explain.attribute(subject, of=hs.explain.logit("1"), method=method)
