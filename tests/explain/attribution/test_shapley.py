"""Shapley values satisfy the axioms, and equal brute force over orders and sets."""

from itertools import pairwise, permutations
from math import factorial
from typing import Any

import pytest
import torch
from torch import Tensor

import hiddenstate as hs
from hiddenstate.explain.attribution.shapley import from_values
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import resolve_target
from random_lstms import KINDS, every_kind, random_lstm, subject_of

TARGETS: list[Any] = [hs.explain.logit("2", word=3), hs.explain.log_probability("1"), "l0.c[0]", "l0.f[0]@2"]
ONE_WAY = [kind for kind, options in KINDS.items() if not options.get("bidirectional")]


def masked(subject: Subject, of: Any, present: list[bool], base: Tensor) -> float:
    """The target with some steps replaced, one run per mask, on the plain path."""
    target = resolve_target(of, subject)
    x = torch.where(torch.tensor(present)[:, None], subject.x[:, 0], base)
    with torch.no_grad():
        return float(target.of(subject.run(x[:, None], keep=target.keep, steps=target.steps))[0])


def by_sets(subject: Subject, of: Any, base: Tensor) -> list[float]:
    """Shapley's formula, set by set."""
    T = subject.T
    f = {m: masked(subject, of, [bool(m >> t & 1) for t in range(T)], base) for m in range(2**T)}
    values = []
    for p in range(T):
        total = 0.0
        for m in (m for m in f if not m >> p & 1):
            size = bin(m).count("1")
            total += factorial(size) * factorial(T - size - 1) / factorial(T) * (f[m | 1 << p] - f[m])
        values.append(total)
    return values


@every_kind
@pytest.mark.parametrize("of", TARGETS, ids=str)
def test_exact_values_are_those_of_brute_force(kind: str, of: Any) -> None:
    subject = subject_of(random_lstm(kind), T=5)
    base = torch.randn_like(subject.x[:, 0])
    found = hs.explain.attribute(subject, of=of, baseline=base)
    want = by_sets(subject, of, base)
    assert found.exact
    assert (
        float((found.scores - torch.tensor(want, dtype=torch.float64)).abs().max())
        <= 1e-10 * sum(map(abs, want)) + 1e-14
    )
    assert float(found.parts.sum()) == pytest.approx(found.value - float(found.references[0]), abs=1e-12)


@pytest.mark.parametrize("kind", ["two layers", "two layers, both directions"])
def test_8_steps_in_float32(kind: str) -> None:
    subject = subject_of(random_lstm(kind, torch.float32), T=8)
    of = hs.explain.logit("2", word=6)
    found = hs.explain.attribute(subject, of=of)
    want = by_sets(subject, of, torch.zeros_like(subject.x[:, 0]))
    assert float((found.scores - torch.tensor(want, dtype=torch.float64)).abs().max()) <= 1e-5 * sum(map(abs, want))


def test_the_mean_over_all_orders_is_the_same() -> None:
    subject = subject_of(random_lstm("two layers"), T=4)
    of, base = hs.explain.logit("2"), torch.zeros_like(subject.x[:, 0])
    total = torch.zeros(4, dtype=torch.float64)
    for order in permutations(range(4)):
        present = [False] * 4
        for t in order:
            before = masked(subject, of, present, base)
            present[t] = True
            total[t] += masked(subject, of, present, base) - before
    assert torch.allclose(hs.explain.attribute(subject, of=of).scores, total / 24, rtol=1e-10, atol=1e-14)


def test_a_dummy_gets_nothing() -> None:
    subject = subject_of(random_lstm("two layers"), T=6)
    base = torch.zeros_like(subject.x[:, 0])
    base[2] = subject.x[2, 0]  # replaced by itself
    found = hs.explain.attribute(subject, of=hs.explain.logit("2", word=4), baseline=base)
    assert float(found.scores[2]) == pytest.approx(0, abs=1e-14)
    assert float(found.scores[5]) == 0  # after the target
    assert found.scores[[0, 1, 3, 4]].all()


def test_players_who_do_the_same_get_the_same() -> None:
    """A game in which only the number of players matters, and one in which two players are equivalent."""
    sizes = torch.tensor([bin(m).count("1") for m in range(2**5)], dtype=torch.float64)
    assert torch.allclose(from_values(sizes**2, False).parts, torch.full((5,), 5.0, dtype=torch.float64))
    game = torch.rand(2**3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    game[0b001], game[0b101] = game[0b010], game[0b110]
    found = from_values(game, True).parts
    assert float(found[0]) == pytest.approx(float(found[1]))


def test_interaction_of_a_game_that_is_a_product() -> None:
    """f = 3·[0 and 1] + 5·[2]: only two players interact."""
    game = torch.tensor([3.0 * (m & 3 == 3) + 5.0 * (m >> 2 & 1) for m in range(8)], dtype=torch.float64)
    found = from_values(game, True)
    assert found.parts.tolist() == pytest.approx([1.5, 1.5, 5.0])
    assert found.interaction is not None
    assert found.interaction.tolist() == [[0.0, 3.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert found.alone is not None
    assert found.alone.tolist() == [0.0, 0.0, 5.0]


@pytest.mark.parametrize("kind", ONE_WAY)
def test_the_tree_runs_each_prefix_once(kind: str) -> None:
    subject = subject_of(random_lstm(kind), T=6)
    found = hs.explain.attribute(subject, of=hs.explain.logit("2"), occlusion=False)
    assert found.cost == 2**7 - 2
    early = hs.explain.attribute(subject, of=hs.explain.logit("2", word=3), occlusion=False)
    assert early.cost == 2**5 - 2
    state = hs.explain.attribute(subject, of=hs.explain.logit("2"), occlusion=False, state="player")
    assert state.cost == 2 * (2**7 - 2)
    spans = hs.explain.attribute(subject, of=hs.explain.logit("2"), occlusion=False, spans=[(0, 2), (3, 6)])
    assert spans.cost == 2 * 2 + 2 * 1 + 4 * 3
    both = subject_of(random_lstm("both directions"), T=6)
    assert hs.explain.attribute(both, of=hs.explain.logit("2"), occlusion=False).cost == 6 * 2**6


@pytest.mark.parametrize("kind", ONE_WAY)
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("state", ["baseline", "player"])
def test_the_tree_gives_what_masks_one_by_one_give(kind: str, reset: bool, state: Any, monkeypatch: Any) -> None:
    subject = subject_of(random_lstm(kind), T=6, reset=reset)
    options: dict[str, Any] = {"of": hs.explain.log_probability("2", word=4), "state": state, "spans": [(0, 1), (2, 4)]}
    tree = hs.explain.attribute(subject, **options)
    monkeypatch.setattr("hiddenstate.explain.attribution.prefix_tree.BYTES", 1)  # two rows at a time
    blocks = hs.explain.attribute(subject, **options)
    monkeypatch.setattr("hiddenstate.explain.attribution.shapley._serves_tree", lambda work: False)
    brute = hs.explain.attribute(subject, **options)
    assert brute.cost != tree.cost == blocks.cost
    for other in (tree, blocks):
        assert torch.allclose(other.parts, brute.parts, rtol=1e-10, atol=1e-13)
        assert other.interaction is not None
        assert brute.interaction is not None
        assert torch.allclose(other.interaction, brute.interaction, rtol=1e-9, atol=1e-12)


def test_edits_in_force_hold_in_every_row() -> None:
    subject = subject_of(random_lstm("two layers"), T=5)
    of, base = hs.explain.logit("2"), torch.zeros_like(subject.x[:, 0])
    with subject.lstm.edit(hs.zero("l0.f[1]@3"), hs.set("l1.c[0]@2", to=0.5)):
        found = hs.explain.attribute(subject, of=of)
        want = by_sets(subject, of, base)
    assert found.scores.tolist() == pytest.approx(want, abs=1e-12)
    assert not torch.allclose(found.scores, hs.explain.attribute(subject, of=of).scores)


def test_any_function_is_explained() -> None:
    subject = subject_of(random_lstm("two layers"), T=5)
    found = hs.explain.attribute(subject, of=lambda run: run.out.norm(dim=(0, 2)))
    want = by_sets(subject, lambda run: run.out.norm(dim=(0, 2)), torch.zeros_like(subject.x[:, 0]))
    assert found.scores.tolist() == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize(("kind", "T"), [("two layers", 17), ("both directions", 13)])
def test_more_players_are_sampled_and_said(kind: str, T: int) -> None:
    subject = subject_of(random_lstm(kind), T=T)
    of = hs.explain.logit("2", word=T - 1)
    found = hs.explain.attribute(subject, of=of, samples=60)
    assert not found.exact
    assert found.error is not None
    assert found.error.min() > 0
    assert "sampled; ± is the standard error" in str(found)
    assert float(found.parts.sum()) == pytest.approx(found.value - float(found.references[0]), rel=1e-9)
    again = hs.explain.attribute(subject, of=of, samples=60)
    assert torch.equal(found.parts, again.parts)
    assert not torch.equal(found.parts, hs.explain.attribute(subject, of=of, samples=60, seed=1).parts)


def test_samples_come_near_the_exact_values(monkeypatch: Any) -> None:
    subject = subject_of(random_lstm("two layers"), T=8)
    of = hs.explain.logit("2")
    exact = hs.explain.attribute(subject, of=of)
    for name in ("EXACT_STEPS", "EXACT_BRUTE"):
        monkeypatch.setattr(f"hiddenstate.explain.attribution.shapley.{name}", 1)
    monkeypatch.setattr("hiddenstate.explain.attribution.shapley._serves_tree", lambda work: False)
    found = hs.explain.attribute(subject, of=of, samples=2000)
    assert found.error is not None
    assert not found.exact
    assert torch.all((found.scores - exact.scores).abs() <= 5 * found.error[0] + 1e-12)
    assert found.error.max() < 0.1 * exact.scores.abs().max()


def test_progress_is_told_and_can_stop_it() -> None:
    subject = subject_of(random_lstm("two layers"), T=8)
    told: list[tuple[int, int]] = []
    hs.explain.attribute(subject, of=hs.explain.logit("2"), progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] >= 2**9 - 2
    assert all(a[0] < b[0] for a, b in pairwise(told))
    assert all(done <= total for done, total in told)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hs.explain.attribute(subject, of=hs.explain.logit("2"), progress=stop)
    assert subject.lstm.training
