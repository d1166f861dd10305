"""Targets: each is one number per row, and targets declared linear are linear."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, IndexRangeError, NameUnknownError
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import resolve_row, resolve_target
from support import assert_close


@pytest.fixture(params=[{}, {"bidirectional": True}, {"bidirectional": True, "proj_size": 2}], ids=str)
def subject(request: pytest.FixtureRequest) -> Subject:
    torch.manual_seed(0)
    lstm = hs.LSTM(3, 4, 2, **request.param)
    head = nn.Linear(lstm.sizes.directions * lstm.sizes.output_size, 3)
    tokens = [["v", "w", "x", "y", "z"]] * 2
    labels = ["a", "b", "c"]
    return hs.explain.subject(lstm, torch.randn(5, 2, 3), head=head, labels=labels, tokens=tokens, softmax=True)


def value(of: Any, subject: Subject) -> Tensor:
    target = resolve_target(of, subject)
    return target.of(subject.run(keep=target.keep, steps=target.steps)).detach()


def test_logits(subject: Subject) -> None:
    logits = subject.run().logits.detach()
    assert_close(value(hs.explain.logit("b", word="x"), subject), logits[2, :, 1])
    assert_close(value(hs.explain.logit(2), subject), logits[-1, :, 2])
    assert_close(value(hs.explain.logit("a", word=1, against="c"), subject), logits[1, :, 0] - logits[1, :, 2])


def test_log_probabilities(subject: Subject) -> None:
    want = subject.run().logits.detach().log_softmax(-1)
    assert_close(value(hs.explain.log_probability("b", word="x"), subject), want[2, :, 1])


@pytest.mark.parametrize("name", ["l0.c", "l1.h", "l1.f", "l0.g_pre"])
def test_places(subject: Subject, name: str) -> None:
    trace = subject.trace(pre=True)
    assert_close(value(f"{name}[1]@3", subject), trace.values[name][3, :, 1].detach())
    assert_close(value(f"{name}[-1]", subject), trace.values[name][-1, :, -1].detach())


def test_a_place_of_the_reverse_direction_is_read_last_at_step_0() -> None:
    lstm = hs.LSTM(3, 4, bidirectional=True)
    subject = hs.explain.subject(lstm, torch.randn(5, 3))
    assert resolve_target("l0r.c[2]", subject).t == 0
    assert_close(value("l0r.c[2]", subject), subject.run().state[1][1, :, 2].detach())


@pytest.mark.parametrize(
    "of", [hs.explain.logit("b", word=1), hs.explain.logit("b", against="a"), "l0.c[1]@2", "l1.h[0]", "l0.h[1]@0"]
)
def test_a_linear_target_is_what_its_readout_says(subject: Subject, of: Any) -> None:
    target, trace = resolve_target(of, subject), subject.trace()
    readout = target.linear("this")
    want = torch.full((2,), readout.bias, dtype=torch.float64)
    for place, vector in readout.vectors.items():
        want = want + trace.values[str(place)][readout.t].detach().double() @ vector
    assert_close(value(of, subject), want.float())


@pytest.mark.parametrize("of", [hs.explain.log_probability("b"), "l0.f[1]", lambda run: run.out[-1].sum(-1)])
def test_other_targets_are_not_linear(subject: Subject, of: Any) -> None:
    with pytest.raises(ArgumentError, match="frozen needs a target that is linear in c or h"):
        resolve_target(of, subject).linear("frozen")


def test_functions(subject: Subject) -> None:
    assert_close(
        value(lambda run: run.out[1:].norm(dim=(0, 2)), subject), subject.run().out[1:].norm(dim=(0, 2)).detach()
    )
    for wrong in (lambda run: 3, lambda run: run.out):
        with pytest.raises(ArgumentError, match="a target must return one number per row"):
            value(wrong, subject)


@pytest.mark.parametrize(
    ("of", "error", "match"),
    [
        (
            hs.explain.logit("d"),
            NameUnknownError,
            "this model has no label 'd'; expected one of the 3: 'a' 'b' 'c'",
        ),
        (hs.explain.logit("a", word="q"), NameUnknownError, "'q' stands nowhere"),
        ("b", NameUnknownError, r"is a label, not a place; its logit is the target hiddenstate.explain.logit\('b'\)"),
        (hs.explain.logit("a", word=5), IndexRangeError, "word=5"),
        ("l2.c[0]", NameUnknownError, "no place 'l2.c'"),
        ("l0.c[9]", IndexRangeError, "unit=9"),
        ("l0.c[1]@9", IndexRangeError, "t=9"),
        ("l0.c@1", ArgumentError, "has many units: choose one"),
        ("l0.c[1,2]@1", ArgumentError, "several units or steps"),
        ("l0.c[0:2]@1", ArgumentError, "several units or steps"),
        (7, ArgumentTypeError, "a target must be logit"),
    ],
)
def test_bad_targets_fail(subject: Subject, of: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        resolve_target(of, subject)


def test_rows() -> None:
    assert resolve_row("l0.c[1]@2,n=3", None) == 3
    assert resolve_row("l0.c[1]@2", 2) == 2
    assert resolve_row(hs.explain.logit("a"), None) == 0
    with pytest.raises(ArgumentError, match="names row 3, but row=1"):
        resolve_row("l0.c,n=3", 1)
    with pytest.raises(ArgumentError, match="several rows"):
        resolve_row("l0.c,n=0:2", None)
