"""The laws of explanations, each checked on many random LSTMs: ragged rows, resets, saturated gates, two types."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import hiddenstate as hs
from hiddenstate.explain.attribution.frozen import frozen_parts
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import Target, TargetLike, resolve_target
from random_lstms import LAW, tracks_of
from support import draws, layer_options, pair, random_input, random_state


@st.composite
def subjects(draw: st.DrawFn) -> tuple[Subject, int, TargetLike]:
    """Some rows of an LSTM with a head; one of them, and a target that is linear in c or h."""
    lstm, _ = pair(draw(layer_options()), draw(st.integers(0, 99)))
    with torch.no_grad():
        for weight in lstm.parameters():
            weight.mul_(draw(st.sampled_from([1.0, 3.0, 20.0])))
    T, N = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    x, lengths = random_input(lstm, T, N), [draw(st.integers(1, T)) for _ in range(N)]
    reset = torch.rand(x.shape[:2]) < draw(st.sampled_from([0.0, 0.4]))
    head = nn.Linear(lstm.sizes.directions * lstm.sizes.output_size, 3, dtype=x.dtype)
    subject = hs.explain.subject(
        lstm, x, hx=random_state(lstm, N), lengths=torch.tensor(lengths), reset=reset, head=head
    )
    row = draw(st.integers(0, N - 1))
    t, name = draw(st.integers(0, lengths[row] - 1)), draw(st.sampled_from(tracks_of(lstm)))
    targets: list[TargetLike] = [f"{name}.{q}[{lstm.sizes.units(q) - 1}]@{t}" for q in "ch"]
    return subject, row, draw(st.sampled_from([hs.explain.logit(2, word=t, against=0), *targets]))


def run(target: Target, subject: Subject, x: Any = None) -> float:
    with torch.no_grad():
        return float(target.of(subject.run(x, keep=target.keep, steps=target.steps)))


@settings(max_examples=draws(40))
@given(subjects())
def test_parts_add_up(drawn: tuple[Subject, int, TargetLike]) -> None:
    subject, row, of = drawn
    one = subject.only(row)
    law, trace, target = LAW[one.x.dtype], one.trace(), resolve_target(of, one)
    value = run(target, one)
    for name in tracks_of(subject.lstm):
        ledger = hs.explain.ledger(subject, place=f"{name}.c", row=row)
        sizes = ledger.parts.abs().sum(0) + ledger.initial.abs()
        underflow = one.T * torch.finfo(one.x.dtype).tiny  # the run rounds smaller states to zero
        assert bool(((ledger.parts.sum(0) + ledger.initial - ledger.value).abs() <= law * sizes + underflow).all())
    frozen = hs.explain.attribute(subject, of=of, method="frozen", row=row)
    parts = frozen_parts(one, trace, target.linear("a test"))
    size = parts.x.abs().sum() + sum(b.abs().sum() for b in parts.biases.values()) + parts.initial.abs().sum()
    whole = float(size) + abs(parts.bias)
    assert abs(frozen.residual) <= law * whole
    assert float(frozen.parts.sum()) + sum(frozen.rest.values()) == pytest.approx(value, abs=2 * law * whole)
    decomposed = hs.explain.attribute(subject, of=of, method="cd", row=row)
    largest = max(float(values.detach().abs().max()) for values in trace.values.values())
    assert abs(decomposed.residual) <= 100 * law * (1 + largest)
    shapley = hs.explain.attribute(subject, of=of, row=row)
    assert shapley.exact
    assert float(shapley.parts.sum()) == pytest.approx(
        value - float(shapley.references[0]), abs=1e-5 * (1 + abs(value))
    )
    graph = hs.explain.graph(subject, of=of, row=row, units=40)
    for node in [*graph.top(), graph.node("target")]:
        edges = graph.into(node.name)
        largest = sum(abs(edge.amount) for edge in edges) + abs(node.value)
        assert sum(edge.amount for edge in edges) == pytest.approx(node.value, abs=100 * law * largest)


@settings(max_examples=draws(40))
@given(subjects(), st.booleans(), st.integers(0, 99))
def test_each_effect_is_what_happens(drawn: tuple[Subject, int, TargetLike], denoising: bool, seed: int) -> None:
    subject, row, of = drawn
    one, generator = subject.only(row), torch.Generator().manual_seed(seed)
    target, lstm = resolve_target(of, one), one.lstm
    law = {torch.float32: 1e-5, torch.float64: 1e-12}[one.x.dtype]
    gone = hs.explain.attribute(subject, of=of, method="occlusion", row=row)
    step = int(torch.randint(0, one.T, (1,), generator=generator))
    without = one.x.clone()
    without[step] = 0
    assert float(gone.scores[step]) == pytest.approx(
        gone.value - run(target, one, without), abs=law * (1 + abs(gone.value))
    )
    other = hs.explain.subject(
        lstm,
        (one.x + 1).transpose(0, 1) if lstm.batch_first else one.x + 1,
        hx=one.initial,
        reset=one.reset.transpose(0, 1) if lstm.batch_first and one.reset is not None else one.reset,
    )
    swept = hs.explain.sweep(
        lstm, one, other, of=of, places="*", units=[0], direction="denoising" if denoising else "noising"
    )
    for k in torch.randperm(swept.effect.size, generator=generator)[:5].tolist():
        patch = swept._effect(k)
        base = other if denoising else one
        with lstm.edit(swept.edit(patch.place, patch.t, patch.unit)):
            got = run(target, base) - swept.base
        assert got == pytest.approx(patch.effect, abs=law * (1 + abs(swept.base)))
