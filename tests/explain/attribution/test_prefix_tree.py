"""States that have become equal are run once, and the values are those of every set by itself."""

import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import hiddenstate as hs
from hiddenstate.explain.attribution.players import Players, make_players, masked_targets
from hiddenstate.explain.attribution.prefix_tree import Counts, PrefixTree, rows_joined
from hiddenstate.explain.attribution.shapley import from_sums, from_values
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import BatchRunner, readout_target, resolve_target
from random_lstms import LAW, both_types, random_lstm, subject_of
from support import random_state, seeds

FORGETFUL = ["one layer", "two layers", "projected", "no bias", "one unit"]


def game(
    lstm: Any, T: int, length: int, *, state: str = "baseline", word: int = -1, seed: int = 0
) -> tuple[BatchRunner, Players]:
    """The logit of a step, and windows of one length of random input as players."""
    subject = subject_of(lstm, T, state=isinstance(lstm, hs.LSTM), seed=seed)
    target = resolve_target(hs.explain.logit("2", word=word), subject)
    spans = [(t, t + length) for t in range(0, T, length)]
    return BatchRunner(subject, target), make_players(subject, torch.zeros_like(subject.x[:, 0]), spans, state)


def every_set(work: BatchRunner, players: Players) -> Tensor:
    """The target of every mask, each run by itself."""
    masks = torch.arange(2 ** len(players))
    return masked_targets(work, players, torch.stack([masks >> p & 1 for p in range(len(players))], dim=1).bool())


@both_types
@pytest.mark.parametrize("kind", FORGETFUL)
@pytest.mark.parametrize("seed", seeds(4, quick=1))
def test_windows_longer_than_the_memory_take_few_row_steps(kind: str, dtype: torch.dtype, seed: int) -> None:
    work, players = game(random_lstm(kind, dtype, seed, scale=1.0), 320, 40, state="player", seed=seed)
    tree = PrefixTree(work, players)
    values, took = tree.values(), work.cost
    want = every_set(work, players)
    assert float((values - want).abs().max()) <= 4 * LAW[dtype] * float(want.abs().max())
    assert took < tree.cost() // 4


@pytest.mark.parametrize("cell", [hs.GRU, hs.RNN])
def test_other_cells(cell: Any) -> None:
    torch.manual_seed(0)
    work, players = game(cell(3, 5), 320, 40)
    tree = PrefixTree(work, players)
    values = tree.values()
    assert work.cost < tree.cost() // 4
    assert torch.allclose(values, every_set(work, players), rtol=1e-5, atol=1e-6)


def test_what_is_never_forgotten_is_never_joined() -> None:
    lstm = random_lstm("one layer", torch.float32)
    with torch.no_grad():
        lstm.weight("l0.b_if").fill_(60.0)  # c keeps what it has: f = 1
    work, players = game(lstm, 160, 20)
    tree = PrefixTree(work, players)
    values = tree.values()
    assert work.cost == tree.cost()
    assert torch.allclose(values, every_set(work, players), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_a_small_unit_that_the_target_reads_is_not_rounding(seed: int) -> None:
    """Beside units of ordinary size that forget, one remembers numbers near 1e-6, and its head's weight is 1e5."""
    lstm = random_lstm("one layer", torch.float32, seed, scale=1.0)
    with torch.no_grad():
        for name in ("W_if", "W_hf", "b_hf", "b_ig", "b_hg"):
            lstm.weight(f"l0.{name}")[0] = 0
        lstm.weight("l0.b_if")[0] = 4
        for name in ("W_ig", "W_hg"):
            lstm.weight(f"l0.{name}")[0] *= 1e-6
    work, players = game(lstm, 320, 40, seed=seed)
    assert work.target.readout is not None
    (place, vector), *_ = work.target.readout.vectors.items()
    subject = replace(work.subject, head=None)
    readout = replace(work.target.readout, vectors={place: vector * torch.tensor([1e5, 1, 1, 1, 1])})
    work = BatchRunner(subject, readout_target("a logit", subject, readout))
    values, want = PrefixTree(work, players).values(), every_set(work, players)
    assert float((values - want).abs().max()) <= 4e-6 * float(want.abs().max())


@pytest.mark.parametrize("state", ["baseline", "player"])
@pytest.mark.parametrize("word", [-1, 16])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_sums_by_size_give_the_values_of_single_sets(state: str, word: int, scale: float) -> None:
    work, players = game(random_lstm("two layers", scale=scale), 24, 3, state=state, word=word)
    tree = PrefixTree(work, players)
    sums = tree.sums(2**9)
    assert sums is not None
    by_size, by_set = from_sums(sums, tree.inside), from_values(every_set(work, players), pairs=False)
    assert torch.allclose(by_size.parts, by_set.parts, rtol=1e-10, atol=1e-13)
    assert by_size.whole == pytest.approx(by_set.whole, abs=1e-13)
    assert by_size.none == pytest.approx(by_set.none, abs=1e-13)
    assert abs(by_size.residual) < 1e-13
    assert tree.sums(2**5) is None  # more rows would run together


def test_thirty_windows_are_exact() -> None:
    """The first 22 are forgotten: the others' values are those of a game without them."""
    subject = subject_of(random_lstm("one layer", torch.float32, scale=1.0), 300)
    of, spans = hs.explain.logit("2"), [(t, t + 10) for t in range(0, 300, 10)]
    told: list[tuple[int, int]] = []
    result = hs.explain.attribute(
        subject, of=of, spans=spans, occlusion=False, progress=lambda done, total: told.append((done, total))
    )
    assert told[-1] == (result.cost, result.cost)
    last = hs.explain.attribute(subject, of=of, spans=spans[22:], occlusion=False)
    assert result.exact
    assert result.cost < 300 * (2 + 200 * 29) / 20  # 1/20 of the row-steps that samples would take
    assert result.scores[:22].abs().max() < 1e-6
    assert torch.allclose(result.scores[22:], last.scores, atol=1e-6)
    assert abs(float(result.residual)) < 1e-12


def test_the_counts_of_earlier_windows_are_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Tensor]] = []
    alive: list[int] = []
    extended = Counts.extended

    def noted(self: Counts, sets: Any, R: int) -> Counts:
        made.append(weakref.ref(self.counts))
        alive.append(sum(counts() is not None for counts in made))
        return extended(self, sets, R)

    monkeypatch.setattr(Counts, "extended", noted)
    work, players = game(random_lstm("one layer", torch.float32, scale=1.0), 400, 10)
    assert PrefixTree(work, players).sums(2**12) is not None
    assert len(alive) == 40
    assert max(alive) <= 2


def test_a_long_memory_is_sampled_as_before() -> None:
    subject = subject_of(random_lstm("one layer", scale=4.0), 60)
    spans = [(t, t + 3) for t in range(0, 60, 3)]
    result = hs.explain.attribute(subject, of=hs.explain.logit("2"), spans=spans, samples=20, occlusion=False)
    rows = 2 + 20 * 19
    assert not result.exact
    assert 60 * rows < result.cost < 1.5 * 60 * rows


def test_the_values_do_not_depend_on_threads() -> None:
    lstm, threads = random_lstm("wide", torch.float32, scale=1.0), torch.get_num_threads()
    values = []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            values.append(PrefixTree(*game(lstm, 120, 12)).values())
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(values[0], values[1])
    assert torch.equal(values[0], values[2])


def states_of(rows: Tensor) -> tuple[Tensor, ...]:
    """States of two tensors ``[1, R, ...]`` from ``[R, n]``."""
    return tuple(rows[None].chunk(2, dim=-1))


@both_types
@pytest.mark.parametrize("seed", range(10))
def test_rows_are_joined_if_they_differ_by_rounding(dtype: torch.dtype, seed: int) -> None:
    torch.manual_seed(seed)
    groups, R, n = 7, 40, 12
    group = torch.randint(groups, (R,))
    branch = torch.randint(2, (R,))
    noise = (torch.rand(R, n) - 0.5).to(dtype) * torch.finfo(dtype).eps
    rows = torch.randn(groups, n, dtype=dtype)[group] * (1 + noise)
    row_of = rows_joined(states_of(rows), branch)
    assert torch.equal(row_of[row_of], row_of)
    same = (row_of[:, None] == row_of[None]).tolist()
    assert same == ((group[:, None] == group[None]) & (branch[:, None] == branch[None])).tolist()


def test_rows_are_not_joined_by_a_chain_a_large_unit_or_nan() -> None:
    one_way = torch.zeros(60, dtype=torch.long)
    chain = torch.ones(60, 4) + torch.arange(60)[:, None] * 3e-7
    joined = chain[rows_joined(states_of(chain), one_way)]
    assert float((chain - joined).abs().max()) < 6e-7
    beside = torch.full((60, 4), 0.5)
    beside[:, 0] = 1e6  # a counter
    beside[:, 1] += torch.arange(60) * 1e-5
    assert len(rows_joined(states_of(beside), one_way).unique()) == 60
    beside[:, 0] = 0.5
    beside[0] = 1e6  # a row with large values says nothing of others
    assert len(rows_joined(states_of(beside), one_way).unique()) == 60
    small = torch.arange(60)[:, None] * 1e-12 + torch.full((60, 4), 1e-7)
    assert len(rows_joined(states_of(small), one_way).unique()) == 60
    assert len(rows_joined(states_of(torch.full((60, 4), float("nan"))), one_way).unique()) == 60


def test_half_precision_is_compared_as_float32() -> None:
    rows = torch.tensor([[1.0, 0.5], [1.0, 0.5], [1.0078125, 0.5]], dtype=torch.bfloat16)
    assert len(rows_joined(states_of(rows), torch.zeros(3, dtype=torch.long)).unique()) == 2


def test_a_stream_s_state_as_a_player_is_forgotten_too() -> None:
    lstm = random_lstm("two layers", scale=1.0)
    hx = tuple(part[:, 0] for part in random_state(lstm, 1))
    x = torch.randn(120, 3, dtype=torch.float64)
    subject: Subject = hs.explain.subject(lstm, x, hx=hx)
    spans = [(t, t + 15) for t in range(0, 120, 15)]
    result = hs.explain.attribute(subject, of="l1.c[0]", spans=spans, state="player", occlusion=False)
    assert abs(float(result.scores[0])) < 1e-10
