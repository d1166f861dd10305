"""Runs of a subject never change the LSTM that they explain, and do not depend on what other threads do with it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.parametrizations import weight_norm

import hiddenstate as hs
from hiddenstate.explain.subject.subject import Subject

X = torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(1))


def dropping_lstm() -> hs.LSTM:
    """An LSTM in training, with dropout."""
    torch.manual_seed(0)
    return hs.LSTM(4, 5, 2, dropout=0.5)


def settings(lstm: nn.Module) -> tuple[Any, ...]:
    """The settings that determine how an LSTM is trained."""
    return lstm.training, lstm.dropout, [weight.requires_grad for weight in lstm.parameters()]


def without_dropout(lstm: hs.LSTM) -> Tensor:
    """The output of an LSTM in eval mode."""
    lstm.eval()
    out: Tensor = lstm(X)[0].detach()
    lstm.train()
    return out


def test_settings_stay_while_an_explanation_runs() -> None:
    lstm = dropping_lstm()
    before, during = settings(lstm), []
    lstm.register_forward_hook(lambda *_: during.append(settings(lstm)))
    subject = hs.explain.subject(lstm, X)
    subject.run()
    subject.run(keep=["l0.c"])
    subject.trace()
    assert during == [before] * 3


def test_threads_explain_an_lstm_that_another_trains() -> None:
    lstm = dropping_lstm()
    subject = hs.explain.subject(lstm, X)
    before, want, ended = settings(lstm), subject.run().out, Event()

    def explain() -> list[Tensor]:
        return [subject.run().out if k % 2 else subject.trace()["l1.h"].detach() for k in range(30)]

    def train() -> list[tuple[Any, ...]]:
        seen: list[tuple[Any, ...]] = []
        while not ended.is_set() or not seen:
            out = lstm(X)[0]
            assert out.requires_grad
            out.sum().backward()
            seen.append(settings(lstm))
        return seen

    with ThreadPoolExecutor(3) as pool:
        trained, explained = pool.submit(train), [pool.submit(explain) for _ in range(2)]
        try:
            outs = [out for each in explained for out in each.result()]
        finally:
            ended.set()
        assert all(seen == before for seen in trained.result())
    assert all(out.equal(want) for out in outs)


def test_weights_written_in_place_are_seen() -> None:
    lstm = dropping_lstm()
    subject = hs.explain.subject(lstm, X)
    subject.run()
    with torch.no_grad():
        lstm.weight_hh_l0.mul_(2)  # type: ignore[operator]
    assert subject.run().out.equal(without_dropout(lstm))


def test_no_gradient_reaches_the_weights() -> None:
    lstm = dropping_lstm()
    subject = hs.explain.subject(lstm, X)
    x = subject.x.clone().requires_grad_()
    subject.run(x).out.sum().backward()
    assert x.grad is not None
    assert all(weight.grad is None for weight in lstm.parameters())


def test_edits_in_force_count() -> None:
    lstm = dropping_lstm()
    subject = hs.explain.subject(lstm, X)
    with lstm.edit(hs.zero("l0.c", unit=1), hs.set("l1.h", 0.5)):
        assert subject.run().out.equal(without_dropout(lstm))
        assert (subject.trace()["l1.h"] == 0.5).all()
    assert subject.run().out.equal(without_dropout(lstm))


def normed(lstm: hs.LSTM) -> None:
    weight_norm(lstm, "weight_hh_l0")


def spectrally_normed(lstm: hs.LSTM) -> None:
    parametrizations.spectral_norm(lstm, "weight_hh_l1")


def hooked(lstm: hs.LSTM) -> None:
    lstm.register_forward_hook(lambda _, __, given: (given[0] * 2, given[1]))


def normed_by_a_hook(lstm: hs.LSTM) -> None:
    nn.utils.weight_norm(lstm, "weight_hh_l0")


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("change", [normed, spectrally_normed, hooked, normed_by_a_hook])
def test_hooks_and_parametrizations_count(change: Callable[[hs.LSTM], None]) -> None:
    lstm = dropping_lstm()
    change(lstm)
    stored = {name: value.clone() for name, value in lstm.state_dict().items()}
    subject = hs.explain.subject(lstm, X)
    got = subject.run().out
    subject.run(keep=["l0.c"])
    assert all(value.equal(stored[name]) for name, value in lstm.state_dict().items())
    assert got.equal(without_dropout(lstm))


def test_weights_that_torch_caches_are_each_lstms_own() -> None:
    subjects: list[Subject] = []
    for seed in range(4):
        torch.manual_seed(seed)
        lstm = hs.LSTM(4, 5).eval()
        weight_norm(lstm, "weight_hh_l0")
        subjects.append(hs.explain.subject(lstm, X))
    with parametrize.cached():
        got = [subject.run().out for subject in subjects]
    assert all(out.equal(subject.lstm(X)[0]) for out, subject in zip(got, subjects, strict=True))


def test_int8_weights_are_packed_once() -> None:
    lstm = hs.LSTM(4, 5, weights="int8")
    subject = hs.explain.subject(lstm, X)
    assert subject.run().out.equal(lstm(X)[0])
    packed = lstm._packed_int8
    subject.run()
    assert lstm._packed_int8 is packed is not None


def test_torchs_lstm_stays_as_it_is() -> None:
    torch.manual_seed(0)
    lstm = nn.LSTM(4, 5, 2, dropout=0.5)
    before = settings(lstm)
    with hs.accelerate():
        subject = hs.explain.subject(lstm, X)
        during: list[Any] = []
        subject.lstm.register_forward_hook(lambda *_: during.append(settings(lstm)))
        x = subject.x.clone().requires_grad_()
        subject.run(x).out.sum().backward()
    assert during == [before]
    assert all(weight.grad is None for weight in lstm.parameters())
    lstm.eval()
    assert torch.allclose(subject.run().out, lstm(X)[0], atol=1e-6)
