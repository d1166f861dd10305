"""Gradient and integrated gradients: finite differences, an independent quadrature, and captum's numbers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import hiddenstate as hs
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.subject import target as targets
from hiddenstate.explain.subject.subject import Subject
from random_lstms import every_kind, random_lstm, subject_of
from support import diagonal

TARGETS: list[Any] = [hs.explain.logit("2", word=3), hs.explain.log_probability("1"), "l0.c[0]@4", "l0.f[0]@2"]


def value(subject: Subject, of: Any, x: Tensor) -> Tensor:
    """The target of one input ``[T, C]``, by the plain reference."""
    from hiddenstate.explain.subject.target import resolve_target

    target = resolve_target(of, subject)
    with hs.backend("reference"):
        return target.of(subject.run(x[:, None], keep=target.keep, steps=target.steps))[0]


@every_kind
@pytest.mark.parametrize("of", TARGETS, ids=str)
def test_the_gradient_is_that_of_finite_differences(kind: str, of: Any) -> None:
    subject = subject_of(random_lstm(kind))
    x, base = subject.x[:, 0], torch.randn_like(subject.x[:, 0])
    found = hs.explain.attribute(subject, of=of, method="gradient", baseline=base)
    want = []
    for t in range(subject.T):
        way = torch.zeros_like(x)
        way[t] = x[t] - base[t]
        step = 1e-5
        want.append(float(value(subject, of, x + step * way) - value(subject, of, x - step * way)) / (2 * step))
    assert found.scores.tolist() == pytest.approx(want, rel=1e-6, abs=1e-8)


@every_kind
@pytest.mark.parametrize("of", TARGETS, ids=str)
def test_64_points_add_up_on_random_lstms(kind: str, of: Any) -> None:
    subject = subject_of(random_lstm(kind, scale=1.0))
    found = hs.explain.attribute(subject, of=of, method="integrated_gradients", points=64)
    difference = found.value - float(found.references[0])
    assert abs(float(found.parts.sum()) - difference) <= 1e-3 * abs(difference)
    assert found.points == 64
    assert found.residual == pytest.approx(difference - float(found.parts.sum()), abs=1e-14)


@pytest.mark.parametrize(("kind", "of"), diagonal(["two layers, both directions", "projected"], TARGETS), ids=str)
def test_an_independent_quadrature_gives_the_same(kind: str, of: Any) -> None:
    """Simpson's rule with 128 intervals, point by point, through the reference."""
    subject = subject_of(random_lstm(kind))
    x, base = subject.x[:, 0], torch.randn_like(subject.x[:, 0])
    found = hs.explain.attribute(subject, of=of, method="integrated_gradients", baseline=base, points=128)
    intervals = 128
    total = torch.zeros_like(x)
    for k in range(intervals + 1):
        at = (base + k / intervals * (x - base)).requires_grad_()
        (slope,) = torch.autograd.grad(value(subject, of, at), at)
        total += slope * (1 if k in (0, intervals) else 4 if k % 2 else 2) / (3 * intervals)
    want = (total * (x - base)).sum(-1)
    assert found.scores.tolist() == pytest.approx(want.tolist(), rel=1e-6, abs=1e-8)


def test_captum_gives_the_same() -> None:
    captum = pytest.importorskip("captum.attr")
    subject = subject_of(random_lstm("two layers, both directions"))

    def logit(x: Tensor) -> Tensor:
        return subject.run(x.transpose(0, 1)).logits[3, :, 2]

    base = torch.randn_like(subject.x[:, 0])
    many = captum.IntegratedGradients(logit).attribute(
        subject.x.transpose(0, 1), base[None], n_steps=50, method="gausslegendre"
    )
    found = hs.explain.attribute(
        subject, of=hs.explain.logit("2", word=3), method="integrated_gradients", baseline=base, points=50
    )
    want = many[0].sum(-1)
    assert float((found.scores - want).abs().max()) <= 1e-6 * max(1.0, float(want.abs().max()))


def test_points_are_doubled_until_they_serve() -> None:
    subject = subject_of(random_lstm("two layers"))
    found = hs.explain.attribute(subject, of=hs.explain.logit("2"), method="integrated_gradients")
    difference = abs(found.value - float(found.references[0]))
    assert found.exact
    assert found.points in (16, 32, 64, 128, 256, 512, 1024)
    assert abs(found.residual) <= 1e-3 * max(difference, 0.1)
    if found.points > 16:
        fewer = hs.explain.attribute(
            subject, of=hs.explain.logit("2"), method="integrated_gradients", points=found.points // 2
        )
        assert not fewer.exact


def test_a_cliff_is_flagged() -> None:
    """A gate that opens within a ten-thousandth of the line: no quadrature with 1024 points resolves it."""
    lstm = hs.LSTM(1, 1, dtype=torch.float64)
    with torch.no_grad():
        for weight in lstm.parameters():
            weight.zero_()
        lstm.weight("l0.W_ii").fill_(1e6)
        lstm.weight("l0.b_ii").fill_(-0.31234e6)
        lstm.weight("l0.b_ig").fill_(2.0)
    found = hs.explain.attribute(
        lstm, torch.ones(3, 1, dtype=torch.float64), of="l0.c[0]", method="integrated_gradients"
    )
    assert not found.exact
    assert found.points == 1024
    assert "NOT CONVERGED" in str(found)
    assert abs(found.residual) > 1e-3 * abs(found.value - float(found.references[0]))


def test_the_initial_state_as_a_player() -> None:
    subject = subject_of(random_lstm("two layers"))
    of = hs.explain.logit("2")
    found = hs.explain.attribute(subject, of=of, method="integrated_gradients", state="player", points=128)
    difference = found.value - float(found.references[0])
    assert float(found.parts.sum()) == pytest.approx(difference, rel=1e-6)
    h0, c0 = subject.initial
    nothing = subject.run(torch.zeros_like(subject.x), (0 * h0, 0 * c0))
    assert float(found.references[0]) == pytest.approx(float(nothing.logits[-1, 0, 2]))


def test_spans_leave_other_steps_as_they_are() -> None:
    subject = subject_of(random_lstm("two layers"))
    of = hs.explain.logit("2")
    found = hs.explain.attribute(subject, of=of, method="integrated_gradients", spans=[(1, 3)], points=64)
    x = subject.x.clone()
    x[1:3] = 0
    assert float(found.references[0]) == pytest.approx(float(subject.run(x).logits[-1, 0, 2]))
    assert float(found.parts.sum()) == pytest.approx(found.value - float(found.references[0]), rel=1e-6)
    with pytest.raises(ArgumentError, match="interactions were not computed"):
        found.between(0, 0)


def test_weights_and_mode_are_as_they_were() -> None:
    lstm = hs.LSTM(3, 4, 2, dropout=0.5)
    frozen = lstm.get_parameter("weight_hh_l0").requires_grad_(False)
    hs.explain.attribute(lstm, torch.randn(4, 3), of="l0.c[1]", method="gradient")
    assert lstm.training
    assert lstm.dropout == 0.5
    assert [weight is frozen for weight in lstm.parameters()] == [
        not weight.requires_grad for weight in lstm.parameters()
    ]
    assert all(weight.grad is None for weight in lstm.parameters())


def test_it_runs_in_inference_mode() -> None:
    subject = subject_of(random_lstm("two layers"))
    want = hs.explain.attribute(subject, of=hs.explain.logit("2"), method="gradient")
    with torch.inference_mode():
        read_inside = hs.explain.subject(
            subject.lstm, subject.x[:, 0] + 0, hx=(subject.initial[0][:, 0] + 0, subject.initial[1][:, 0] + 0)
        )
        for one in (subject, replace(read_inside, head=subject.head)):
            found = hs.explain.attribute(one, of=hs.explain.logit("2"), method="gradient")
            assert torch.allclose(found.parts, want.parts)
            hs.explain.attribute(one, of=hs.explain.logit("2"), method="integrated_gradients", state="player")


def test_results_do_not_depend_on_how_many_rows_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = subject_of(random_lstm("two layers"))
    of = hs.explain.logit("2")
    whole = [hs.explain.attribute(subject, of=of, method=m).scores for m in ("integrated_gradients", "occlusion")]
    monkeypatch.setattr(targets, "ROW_STEPS_AT_ONCE", 5 * subject.T)
    parts = [hs.explain.attribute(subject, of=of, method=m).scores for m in ("integrated_gradients", "occlusion")]
    for a, b in zip(whole, parts, strict=True):
        assert np.allclose(a, b, rtol=1e-10, atol=1e-13)
