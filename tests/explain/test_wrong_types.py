"""Arguments of a wrong type, and empty ones, are rejected with one of our errors."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, IndexRangeError, NameUnknownError


@pytest.mark.parametrize(
    "wrong", [{"points": "a"}, {"points": 1.5}, {"samples": "a"}, {"samples": True}, {"seed": "a"}, {"seed": None}]
)
def test_numbers_of_attribute(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentTypeError, match=next(iter(wrong))):
        hs.explain.attribute(hs.LSTM(2, 3), torch.randn(4, 2), of="l0.h[0]", **wrong)


def test_method_of_attribute() -> None:
    with pytest.raises(ArgumentError, match="unknown method"):
        hs.explain.attribute(hs.LSTM(2, 3), torch.randn(4, 2), of="l0.h[0]", method=["shapley"])  # type: ignore[call-overload]


@pytest.mark.parametrize("wrong", [{"places": ["*.c"]}, {"units": 3}])
def test_what_sweep_patches(wrong: dict[str, Any]) -> None:
    x = torch.randn(4, 2)
    with pytest.raises(ArgumentTypeError, match=next(iter(wrong))):
        hs.explain.sweep(hs.LSTM(2, 3), x, x + 1, of="l0.h[0]", **wrong)


@pytest.mark.parametrize("wrong", [{"top": 0}, {"top": -1}, {"steps": []}, {"steps": slice(9, 12)}])
def test_a_sweep_of_nothing(wrong: dict[str, Any]) -> None:
    x = torch.randn(4, 2)
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        hs.explain.sweep(hs.LSTM(2, 3), x, x + 1, of="l0.h[0]", mode="gradient+exact", **wrong)


def test_input_of_fixed_points() -> None:
    with pytest.raises(ArgumentTypeError, match="tensor"):
        hs.explain.dynamics(hs.LSTM(2, 3)).fixed_points([0.0, 0.0])  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 2**64, 2**70])
def test_seeds_that_a_generator_does_not_take(seed: int) -> None:
    lstm, x = hs.LSTM(2, 3), torch.randn(4, 2)
    tried: list[Callable[[], Any]] = [
        lambda: hs.explain.dynamics(lstm).fixed_points(seed=seed),
        lambda: hs.explain.attribute(lstm, x, of="l0.h[0]", seed=seed),
        lambda: hs.explain.automaton(lstm, {"a": torch.zeros(2)}, output=lambda h: [0] * len(h), seed=seed),
        lambda: hs.plant.latch().inputs(seed),
    ]
    for call in tried:
        with pytest.raises(ArgumentError, match=r"seed must be in 0\.\.2\*\*64 - 1, got"):
            call()


def test_the_largest_seed_goes() -> None:
    hs.explain.dynamics(hs.LSTM(2, 3)).fixed_points(seed=2**64 - 1, starts=2, descent=4)
    hs.plant.latch().inputs(2**64 - 1)


@pytest.mark.parametrize("method", [3, None, ["ledger"]])
def test_the_method_of_a_selfcheck(method: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="a method must be a function or the name of one, got"):
        hs.explain.selfcheck(method)


@pytest.mark.parametrize("scores", [None, "abc", [None], [[1.0], [2.0, 3.0]]])
def test_what_a_method_returns(scores: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="a method must return numbers"):
        hs.explain.selfcheck(lambda lstm, x, of: scores)


@pytest.mark.parametrize("plants", [3, [hs.plant.latch()], {"latch": hs.LSTM(2, 3)}])
def test_the_plants_of_a_selfcheck(plants: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="plants must be a mapping from names to plants"):
        hs.explain.selfcheck("occlusion", plants=plants)


def test_places_items_and_counts_of_a_comparison() -> None:
    lstm, x = hs.LSTM(2, 3), torch.randn(4, 2)
    found = hs.compare(lstm, hs.LSTM(2, 3), x)
    wrong: Any = 3
    for call in (found.check, found.edit):
        with pytest.raises(ArgumentTypeError, match=r"place must be a string such as 'l0\.h', got int"):
            call(wrong)
    with pytest.raises(IndexRangeError, match="item=1 is out of range"):
        found.edit("l0.h", item=1)
    with pytest.raises(ArgumentTypeError, match="count"):
        found.largest("a")  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["a", 1.5, True])
def test_counts_and_edges_of_a_graph(wrong: Any) -> None:
    found = hs.explain.graph(hs.LSTM(2, 3), torch.randn(4, 2), of="l0.h[0]")
    for call in (found.ablation, found.top):
        with pytest.raises(ArgumentTypeError, match="count"):
            call(wrong)
    for take in (found.check, found.edit):
        with pytest.raises(ArgumentTypeError, match="an edge must be one of the graph's edges, got"):
            take(wrong)


def test_numbers_of_players_points_and_patches() -> None:
    lstm, x = hs.LSTM(2, 3), torch.randn(4, 2)
    found = hs.explain.attribute(lstm, x, of="l0.h[0]", spans=[(0, 2), (2, 4)])
    with pytest.raises(IndexRangeError, match="player=2"):
        found.between(0, 2)
    with pytest.raises(ArgumentTypeError, match="player must be one int"):
        found.between(0, "a")  # type: ignore[arg-type]
    points = hs.explain.dynamics(lstm).fixed_points(starts=4)
    for call in (points.state, points.kind_of):
        with pytest.raises(IndexRangeError, match="k="):
            call(len(points))
    with pytest.raises(ArgumentTypeError, match="count"):
        hs.explain.sweep(lstm, x, x + 1, of="l0.h[0]").top("a")  # type: ignore[arg-type]


@pytest.mark.parametrize("folder", [3, None, b"tagger-en"])
def test_the_name_of_a_model(folder: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="the path or the name"):
        hs.load(folder)


@pytest.mark.parametrize("wrong", [torch.zeros(2), "a", 1.5])
def test_rows_and_steps(wrong: Any) -> None:
    lstm, x = hs.LSTM(2, 3), torch.randn(4, 2)
    ledger = hs.explain.ledger(lstm, x, place="l0.c")
    assert isinstance(ledger, hs.explain.Ledger)
    swept = hs.explain.sweep(lstm, x, x + 1, of="l0.h[0]")
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("row", lambda: hs.explain.attribute(lstm, x, of="l0.h[0]", row=wrong)),
        ("row", lambda: hs.explain.ledger(lstm, x, place="l0.c", row=wrong)),
        ("t", lambda: swept.edit("l0.c", wrong, 0)),
        ("step", lambda: ledger.edit(wrong)),
        ("unit", lambda: ledger.edit(0, unit=wrong)),
        ("unit", lambda: ledger.erased_at(wrong)),
    ]
    for name, call in calls:
        with pytest.raises(ArgumentTypeError, match=f"{name} should be of type int"):
            call()


@pytest.mark.parametrize("labels", [3, 1.5, object(), [3, 4, 5]])
def test_labels(labels: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="labels= must be a list of strings"):
        hs.explain.subject(hs.LSTM(2, 3), torch.randn(4, 2), head=torch.nn.Linear(3, 3), labels=labels)


def test_a_label_that_is_a_truth_value() -> None:
    subject = hs.explain.subject(hs.LSTM(2, 3), torch.randn(4, 2), head=torch.nn.Linear(3, 3))
    with pytest.raises(NameUnknownError, match="this model has no label True"):
        hs.explain.attribute(subject, of=hs.explain.logit(True))


def test_the_path_of_a_module() -> None:
    with pytest.raises(ArgumentTypeError, match="path= must be the name of a module, got list"):
        hs.explain.subject(torch.nn.Sequential(hs.LSTM(2, 3)), torch.randn(4, 2), path=[])  # type: ignore[arg-type]


def test_what_an_automaton_is_told() -> None:
    with pytest.raises(ArgumentTypeError, match="output must return a list of outputs, got NoneType"):
        hs.explain.automaton(hs.LSTM(2, 3), {"a": torch.zeros(2)}, output=lambda h: None)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("x", [3, None, [[1.0]]])
def test_the_input_of_a_plant(x: Any) -> None:
    for call in (hs.plant.latch().expected, hs.plant.latch().worth):
        with pytest.raises(ArgumentTypeError, match="x must be a tensor"):
            call(x)
