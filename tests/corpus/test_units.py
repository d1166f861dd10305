"""Units with a planted label rank first, and are used if and only if something reads them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import hiddenstate as hs
from corpus.corpora import arrays, lstm_of, make, words_of
from hiddenstate.corpus.index.sequences import half_of
from hiddenstate.corpus.units.evidence import SIGNIFICANT, chance, flip_p, groups_of, shift_p
from hiddenstate.errors import ArgumentError, NameUnknownError
from hiddenstate.explain.result.explanation import FORMAT
from hiddenstate.nn.rnn import new_layer

pytest.importorskip("pyarrow")

PLANTED = 3


def planted(*, is_read: bool, cell: str = "LSTM") -> tuple[Any, nn.Linear, list[torch.Tensor], list[list[str]]]:
    """A layer with one unit that is on where the first feature is; its head reads the unit, or only the others."""
    torch.manual_seed(0)
    lstm, head = new_layer(hs.Sizes(4, 8, cell=cell)), nn.Linear(8, 2)
    input_weight: Any = lstm.weight_ih_l0
    recurrent: Any = lstm.weight_hh_l0
    bias: Any = lstm.bias_ih_l0
    with torch.no_grad():
        for weight in (input_weight, recurrent):
            rows = torch.arange(PLANTED, len(weight), 8)
            weight[rows] = 0
            if weight.shape[1] == 8:
                weight[:, PLANTED] = 0
        input_weight[:, 0] = 0  # no other unit sees it
        gate = {name: PLANTED + 8 * k for k, name in enumerate(lstm.sizes.kind.gate_names)}
        if cell == "LSTM":
            input_weight[gate["g"], 0] = 6
            bias[[gate["i"], gate["o"]]] = 6  # open
            bias[gate["f"]] = -6  # shut
        else:
            input_weight[gate["n"], 0] = 6
            bias[gate["z"]] = -6  # nothing is kept
        head.weight.mul_(0.1)
        head.weight[:, PLANTED] = torch.tensor([-4.0, 4.0]) if is_read else 0
        head.bias.copy_(torch.tensor([2.0, -2.0]))
    generator = torch.Generator().manual_seed(1)
    xs = [torch.randn(20, 4, generator=generator) for _ in range(120)]
    for x in xs:
        x[:, 0] = (x[:, 0] > 1).float()
    return lstm.eval(), head, xs, [["on" if v > 0 else "off" for v in x[:, 0].tolist()] for x in xs]


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
@pytest.mark.parametrize("is_read", [True, False])
def test_a_planted_unit_ranks_first_and_its_use_is_told(tmp_path: Path, is_read: bool, cell: str) -> None:
    lstm, head, xs, labels = planted(is_read=is_read, cell=cell)
    made = hs.index(lstm, xs, tmp_path / "index", labels=labels, head=head, names=["off", "on"], softmax=True)
    for index in (made, hs.open_index(made.folder)):
        row = index.units().rows()[0]
        assert row["unit"] in (f"l0.h[{PLANTED}]", f"l0.c[{PLANTED}]")
        assert abs(row["held_out"]) > 0.95  # type: ignore[arg-type]
        card = index.unit(f"l0.h[{PLANTED}]")
        assert card.held_out is not None
        assert abs(card.held_out) > 0.95
        assert card.is_confirmed
        assert card.is_used is is_read
        assert ("it is used for that" in str(card)) is is_read
        if is_read:
            assert card.logits[0][0] == "on"
        assert card.to_json().count('"kind": "top"') == 8
        memory = index.unit(f"l0.{lstm.sizes.kind.memory}[{PLANTED}]")
        for each in (card, memory):
            assert {"format": FORMAT, "kind": "unit", **each.to_dict()} == json.loads(each.to_json())
        ends = memory.to_dict()["edges"][0], memory.to_dict()["edges"][-1]
        assert ends == ((None, None) if cell == "LSTM" else (-1.0, 1.0))
        assert max(each.value for each in card.contexts) == pytest.approx(index.statistics["l0.h"].top[PLANTED, 0])


def test_shuffled_labels_are_at_chance(tmp_path: Path) -> None:
    found = []
    for seed in range(12):
        xs = arrays(20, seed)
        index = make(tmp_path / str(seed), lstm_of(seed), xs, labels=words_of(xs, seed + 100), places="l1.h")
        p = index.unit("l1.h[2]").p
        assert p is not None
        found.append(p)
    assert np.mean(np.array(found) < 0.2) < 0.5
    assert min(found) > 1e-4
    assert 0.25 < np.mean(found) < 0.75


def test_p_is_uniform_for_slow_signals_without_a_relation() -> None:
    """Where neighbours are alike, as states are, a shuffle would call half of all pairs significant."""
    generator, found = np.random.default_rng(0), []
    for _ in range(200):
        a, b = (np.convolve(generator.normal(size=1100), np.ones(20), "valid") for _ in range(2))
        found.append(shift_p(a, b > 0)[1])
    assert np.mean(np.array(found) < 0.05) < 0.12
    r, p = shift_p(a, a > 0)
    assert r > 0.7
    assert p < 0.01
    assert shift_p(np.zeros(500), generator.normal(size=500) > 0) == (0.0, 1.0)
    assert shift_p(a[:10], a[:10] > 0) == (0.0, 1.0)


def test_p_is_uniform_for_labels_that_sequences_share() -> None:
    generator, found = np.random.default_rng(0), []
    for _ in range(200):
        lengths = generator.integers(5, 60, 60).tolist()
        values = np.concatenate([generator.normal() + 0.3 * generator.normal(size=n) for n in lengths])
        labels = np.concatenate([np.full(n, generator.random() < 0.4) for n in lengths])
        found.append(flip_p(values, labels, groups_of(labels, lengths), 500))
    assert 0.02 < np.mean(np.array(found) < 0.1) < 0.17
    assert abs(np.mean(found) - 0.5) < 0.08


def level_and_waves(generator: np.random.Generator, T: int) -> NDArray[np.float64]:
    """Slow values, around a level of their own."""
    waves = np.convolve(generator.normal(size=T + 19), np.ones(20) / 4, "valid")
    return np.asarray(2 * generator.normal() + 0.5 * waves)


def whole(generator: np.random.Generator, T: int) -> NDArray[np.bool_]:
    return np.full(T, generator.random() < 0.4)


def changing_once(generator: np.random.Generator, T: int) -> NDArray[np.bool_]:
    return (np.arange(T) < generator.integers(1, T)) ^ (generator.random() < 0.5)


def in_spells(generator: np.random.Generator, T: int) -> NDArray[np.bool_]:
    ends = np.cumsum(generator.geometric(1 / 40, T))
    return np.asarray((np.searchsorted(ends, np.arange(T)) + generator.integers(2)) % 2 == 0)


def often(generator: np.random.Generator, T: int) -> NDArray[np.bool_]:
    return generator.random(T) < generator.random()  # each sequence has its own rate


@pytest.mark.parametrize("label_of", [whole, changing_once, in_spells, often])
@pytest.mark.parametrize(("count", "longest"), [(2, 900), (6, 600), (20, 120), (31, 100), (40, 60)])
def test_labels_are_confirmed_by_chance_as_seldom_as_p_says(label_of: Any, count: int, longest: int) -> None:
    generator, confirmed = np.random.default_rng(0), 0
    for _ in range(150):
        lengths = generator.integers(longest // 4, longest, count).tolist()
        values = np.concatenate([level_and_waves(generator, n) for n in lengths])
        labels = np.concatenate([label_of(generator, n) for n in lengths])
        p = chance(values, labels, lengths, 300).p
        confirmed += p is not None and p < SIGNIFICANT
    assert confirmed <= 6  # more than 6 of 150 at 1 % happen in one of 1,000 runs


@pytest.mark.parametrize(
    ("label_of", "count", "longest", "effect"),
    [(whole, 20, 120, 5), (in_spells, 2, 900, 3), (in_spells, 20, 120, 2), (often, 6, 600, 4), (often, 40, 60, 3)],
)
def test_what_depends_on_a_label_is_confirmed(label_of: Any, count: int, longest: int, effect: float) -> None:
    generator, confirmed = np.random.default_rng(0), 0
    for _ in range(50):
        lengths = generator.integers(longest // 4, longest, count).tolist()
        labels = np.concatenate([label_of(generator, n) for n in lengths])
        values = np.concatenate([level_and_waves(generator, n) for n in lengths]) + effect * labels
        p = chance(values, labels, lengths, 300).p
        confirmed += p is not None and p < SIGNIFICANT
    assert confirmed >= 40


def test_what_too_few_sequences_cannot_show_is_unknown() -> None:
    generator = np.random.default_rng(0)
    for count in (2, 7, 8):
        labels = np.repeat(np.arange(count) % 2 > 0, 100)
        r, p = chance(labels + 0.1 * generator.normal(size=len(labels)), labels, [100] * count)
        assert r is not None
        assert r > 0.9
        assert (p is None) is (count < 8)
    few_of_many = np.repeat(np.arange(40) < 5, 100)  # a label that covers fewer than eight sequences
    assert chance(few_of_many + generator.normal(size=4000), few_of_many, [100] * 40).p is not None
    values, labels = generator.normal(size=100), np.arange(100) % 3 > 0
    for a, b in ((values[:60], labels[:60]), (values, labels | True), (np.ones(100), labels)):
        assert chance(a, b, [len(a)]) == (None, None)
    r, _ = chance(1e-12 * values, labels, [100])
    assert r == pytest.approx(np.corrcoef(values, labels)[0, 1])


def test_groups_are_sequences_or_windows_of_them() -> None:
    assert groups_of(np.arange(64) % 2 > 0, [3, 1] * 16).tolist() == [
        k for k in range(32) for _ in range((3, 1)[k % 2])
    ]
    assert groups_of(np.arange(72) % 2 > 0, [70, 2]).tolist() == [0] * 64 + [1] * 6 + [2] * 2
    assert groups_of(np.arange(72) < 70, [70, 2]).tolist() == [0] * 70 + [1] * 2


def test_a_sum_over_shifts_is_what_a_loop_gives() -> None:
    generator = np.random.default_rng(1)
    values, labels = generator.normal(size=101), generator.normal(size=101) > 0
    r, p = shift_p(values, labels, least=5)
    shifted = [abs(np.corrcoef(values, np.roll(labels, k))[0, 1]) for k in range(5, 97)]
    assert r == pytest.approx(np.corrcoef(values, labels)[0, 1])
    assert p == pytest.approx((sum(each >= abs(r) for each in shifted) + 1) / (len(shifted) + 1))


def test_a_language_model_and_a_tagger_have_cards(tmp_path: Path) -> None:
    data = Path(__file__).parents[1] / "data"
    (tmp_path / "text.txt").write_text("What is the matter?\nSpeak, I pray you.\n" * 400)
    cases: list[tuple[str, Path, str]] = [
        ("shakespeare", tmp_path / "text.txt", "l0.h[488]"),
        ("tagger-en", data / "tiny-train.conllu", "l1.h[12]"),
    ]
    for name, corpus, unit in cases:
        index = hs.index(hs.load(name), corpus, tmp_path / name, places=unit[:4], thresholds={})
        card: Any = hs.open_index(index.folder).unit(unit)
        assert card.label in index.statistics[unit[:4]].labels
        assert card.cost_name == "nats lost by the right output"
        assert len(card.matched) == 8
        assert card.logits
        assert card.tokens
        assert len(card.rows()) >= 12
    with pytest.raises(NameUnknownError, match="does not name one unit"):
        index.unit("l1.h")
    with pytest.raises(NameUnknownError, match="the index has no l0.c"):
        index.unit("l0.c[1]")


def test_what_a_card_does_not_claim(tmp_path: Path) -> None:
    torch.manual_seed(0)
    xs = [torch.randn(40, 3) for _ in range(60)]
    labels = [["a" if value > 0 else "b" for value in x[:, 0].tolist()] for x in xs]
    rare = [["rare" if (row, t) == (3, 5) else "b" for t in range(40)] for row in range(60)]
    constant = hs.LSTM(3, 4).eval()
    for weight in constant.parameters():
        nn.init.zeros_(weight)
    small, none = hs.LSTM(3, 4).eval(), "none correlates with the unit there"
    with_head = {"labels": labels, "head": nn.Linear(1, 2), "names": ["a", "b"], "softmax": True}
    cases: list[tuple[Any, list[torch.Tensor], dict[str, Any], str]] = [
        (constant, xs, {"labels": labels}, none),
        (small, xs, {}, "There are no labels"),
        (small, xs, {"labels": [["b"] * 40] * 60}, none),
        (small, xs, {"labels": rare}, "the unit or the label is constant"),
        (small, xs[:1], {"labels": labels[:1]}, none),
        (small, [xs[0][:1]], {"labels": [["a"]]}, none),
        (small, [x[:8] for x in xs[:12]], {"labels": [row[:8] for row in labels[:12]]}, "too few other sequences"),
        (hs.LSTM(3, 1).eval(), xs, with_head, "too few sequences, or units"),
    ]
    for k, (lstm, given, options, words) in enumerate(cases):
        index = hs.index(lstm, given, tmp_path / str(k), **options)
        card = index.unit("l0.h[0]")
        assert words in card.verdict, k
        assert not card.is_used
        assert card.label or not index.units().rows()[-1]["label"]
    lstm, _, given, on = planted(is_read=True)
    card = hs.index(lstm, given, tmp_path / "no head", labels=on).unit(f"l0.h[{PLANTED}]")
    assert "whether anything reads them is unknown" in card.verdict
    assert not card.is_used


def test_without_a_softmax_costs_are_distances_in_the_heads_unit(tmp_path: Path) -> None:
    lstm, head, xs, labels = planted(is_read=True)
    cards = []
    for k, scale in enumerate((1.0, 10.0)):
        scaled = nn.Linear(8, 2)
        with torch.no_grad():
            scaled.weight.copy_(head.weight * scale)
        index = hs.index(lstm, xs, tmp_path / str(k), labels=labels, head=scaled, names=["off", "on"])
        cards += [index.unit(f"l0.h[{PLANTED}]"), hs.open_index(index.folder).unit(f"l0.h[{PLANTED}]")]
    assert {card.cost_name for card in cards} == {"distance that the outputs move"}
    assert all("logit" not in str(card) and "\noutput  of +1 deviation" in str(card) for card in cards)
    assert cards[0].effect == cards[1].effect
    assert cards[2].effect.there == pytest.approx(10 * cards[0].effect.there, rel=1e-4)
    assert not any(card.is_used for card in cards)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "give the head too"),
        ({"head": nn.Linear(8, 1)}, "a softmax over one output is always 1"),
    ],
)
def test_a_softmax_without_several_outputs_is_refused(tmp_path: Path, options: dict[str, Any], match: str) -> None:
    lstm, _, xs, _ = planted(is_read=True)
    with pytest.raises(ArgumentError, match=match):
        hs.index(lstm, xs, tmp_path / "index", softmax=True, **options)
    assert not (tmp_path / "index").exists()


def test_labels_that_depend_on_nothing_are_not_used(tmp_path: Path) -> None:
    """Of untrained models with slow inputs, and labels that whole sequences share; the best units of each."""
    confirmed = 0
    for seed in range(4):
        torch.manual_seed(seed)
        generator = np.random.default_rng(seed)
        lengths = generator.integers(5, 60, 120).tolist()
        xs = [torch.randn(n, 4) + torch.randn(1, 4) for n in lengths]
        labels = [[str(generator.integers(0, 3))] * n for n in lengths]
        lstm, head = hs.LSTM(4, 16).eval(), nn.Linear(16, 3)
        nn.init.normal_(head.weight)
        options: dict[str, Any] = {"labels": labels, "head": head, "names": ["0", "1", "2"], "softmax": True}
        index = hs.index(lstm, xs, tmp_path / str(seed), **options)
        cards = [index.unit(str(row["unit"])) for row in index.units().rows()[:6]]
        assert not any(card.is_used for card in cards)
        confirmed += sum(card.is_confirmed for card in cards)
    assert confirmed <= 4


def test_few_sequences_that_a_label_covers_confirm_nothing_by_chance(tmp_path: Path) -> None:
    confirmed, unknown = 0, 0
    for seed in range(10):
        torch.manual_seed(seed)
        xs = [torch.randn(400, 3) + 2 * torch.randn(1, 3) for _ in range(40 if seed < 7 else 8)]
        labels = [[("on", "off")[(seed + k) % 2]] * 400 for k in range(len(xs))]
        index = hs.index(hs.LSTM(3, 8).eval(), xs, tmp_path / str(seed), labels=labels, places="l0.h", thresholds={})
        card = index.unit(str(index.units().rows()[0]["unit"]))
        confirmed += card.is_confirmed
        if card.p is None:
            unknown += 1
            assert card.held_out is not None
            assert "too few of them to know whether that is chance" in card.verdict
            assert card.to_dict()["p"] is None
            assert not card.is_used
    assert confirmed <= 2
    assert unknown == 3


def test_what_is_constant_on_other_sequences_is_unknown(tmp_path: Path) -> None:
    halves = half_of(0, np.arange(40))
    labels = [["often" if t % 3 else "first" if half == 0 else "often" for t in range(20)] for half in halves]
    xs = [torch.stack([(torch.tensor(label == "first")).float() + torch.randn(3) for label in row]) for row in labels]
    index = hs.index(hs.LSTM(3, 4).eval(), xs, tmp_path / "index", labels=labels, places="l0.h")
    card = index.unit("l0.h[0]")
    assert card.chosen is not None
    assert card.held_out is card.p is None
    assert "on other sequences, the unit or the label is constant" in card.verdict
    assert all(row["held_out"] is None and row["label"] for row in index.units().rows())
    assert "unknown" in str(index.units())
    assert json.loads(index.units().to_json())["units"][0]["held_out"] is None


def test_states_that_cannot_be_summed_are_refused(tmp_path: Path) -> None:
    lstm, rnn = hs.LSTM(3, 4).eval(), hs.RNN(3, 4, nonlinearity="relu").eval()
    weight: Any = lstm.weight_ih_l0
    recurrent: Any = rnn.weight_hh_l0
    with torch.no_grad():
        weight[0, 0] = float("nan")
        recurrent.copy_(1.5 * torch.eye(4))
    with pytest.raises(ArgumentError, match="infinite or NaN"):
        hs.index(lstm, [torch.ones(5, 3)], tmp_path / "nan")
    with pytest.raises(ArgumentError, match="infinite or NaN"):
        hs.index(rnn, [torch.randn(250, 3).abs()], tmp_path / "large")
