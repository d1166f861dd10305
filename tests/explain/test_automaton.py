"""Automata learned from LSTMs: planted ones are recovered; agreement is measured on fresh words."""

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError, ShapeError

pytest.importorskip("aalpy")


def alphabet(plant: hs.plant.AutomatonPlant) -> dict[Any, Tensor]:
    return {symbol: plant.machine.encode([symbol])[0, 0] for symbol in plant.machine.symbols}


@settings(max_examples=10)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 999))
def test_a_planted_automaton_is_learned_back(states: int, symbols: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    table = torch.randint(0, states, (states, symbols), generator=generator).tolist()
    delta = {(q, a): table[q][a] for q in range(states) for a in range(symbols)}
    plant = hs.plant.automaton(delta, 0)
    found = hs.explain.automaton(plant.lstm, alphabet(plant), output=plant.machine.decode, tests=200)
    assert (found.steps, found.words, found.disagreement) == (1.0, 1.0, None)
    assert found.complete
    reached, order = {0}, [0]
    for q in order:
        for a in range(symbols):
            if delta[q, a] not in reached:
                reached.add(delta[q, a])
                order.append(delta[q, a])
    assert len(found) == len(reached), "every state says its own name, so none can be merged"
    word = torch.randint(0, symbols, (30,), generator=generator).tolist()
    assert found.run(word) == plant.machine.run(word)


def test_states_that_say_the_same_forever_are_one() -> None:
    delta = {(q, a): (q + a) % 4 for q in range(4) for a in (0, 1)}
    plant = hs.plant.automaton(delta, 0)
    found = hs.explain.automaton(
        plant.lstm, alphabet(plant), output=lambda h: [q % 2 for q in plant.machine.decode(h)], tests=200
    )
    assert len(found) == 2
    assert found.steps == 1.0


def test_a_trained_parity_is_an_automaton_of_two_states() -> None:
    torch.manual_seed(0)
    lstm, head = hs.LSTM(1, 8), nn.Linear(8, 2)
    optimiser = torch.optim.Adam([*lstm.parameters(), *head.parameters()], lr=0.02)
    for _ in range(400):
        x = torch.randint(0, 2, (12, 32, 1)).float()
        odd = x[..., 0].cumsum(0).long() % 2
        optimiser.zero_grad()
        nn.functional.cross_entropy(head(lstm(x)[0]).flatten(0, 1), odd.flatten()).backward()
        optimiser.step()
    bits = {"0": torch.zeros(1), "1": torch.ones(1)}
    found = hs.explain.automaton(lstm, bits, head=head, labels=["even", "odd"], length=12)
    assert len(found) <= 4
    assert found.steps > 0.99
    assert found.run("0110100") == ["even", "odd", "even", "even", "odd", "odd", "odd"]


def test_what_is_no_automaton_is_told() -> None:
    plant = hs.plant.counter()
    steps = {"up": torch.tensor([1.0, 0]), "down": torch.tensor([0, 1.0])}

    def sign(h: Tensor) -> list[int]:
        return (h[:, 0] > 1e-6).int().tolist()  # more ups than downs: no finite automaton computes that

    found = hs.explain.automaton(plant.lstm, steps, output=sign, states=6, length=40)
    assert not found.complete
    assert found.steps < 1.0
    assert found.disagreement is not None
    word = found.disagreement
    said = [int(word[: k + 1].count("up") > word[: k + 1].count("down")) for k in range(len(word))]
    assert found.run(word)[-1] != said[-1]
    assert "distinguishes more" in str(found)


def test_it_is_told_in_every_form() -> None:
    plant = hs.plant.flip_flop()
    found = hs.explain.automaton(plant.lstm, alphabet(plant), output=plant.machine.decode, tests=50)
    data = json.loads(found.to_json())
    assert len(data["transitions"]) == 6
    assert found.plot().axes
    assert "100.00%" in str(found)
    again = hs.plant.automaton(found.delta, 0)
    assert again.machine.run(["set", "wait"]) == [1, 1], "and it can be planted"
    with pytest.raises(NameUnknownError, match="no symbol"):
        found.run(["jump"])


def test_automaton_fails() -> None:
    lstm, bits, head = hs.LSTM(1, 3), {"0": torch.zeros(1)}, nn.Linear(3, 2)
    anything: Any = hs.explain.automaton
    with pytest.raises(ArgumentError, match="not bidirectional"):
        anything(hs.LSTM(1, 3, bidirectional=True), bits, head=head)
    with pytest.raises(ArgumentTypeError, match="takes an hs.LSTM, hs.GRU or hs.RNN, got hs.GRUCell"):
        anything(hs.GRUCell(1, 3), bits, head=head)
    with pytest.raises(ArgumentError, match="either output= or head="):
        anything(lstm, bits)
    with pytest.raises(ArgumentError, match="one output, so its largest is always the same"):
        anything(lstm, bits, head=nn.Linear(3, 1))
    with pytest.raises(ArgumentTypeError, match="mapping from symbols"):
        anything(lstm, ["0"], head=head)
    with pytest.raises(ShapeError, match=r"must be \[1\]"):
        anything(lstm, {"0": torch.zeros(2)}, head=head)
    with pytest.raises(ArgumentError, match="at least 1"):
        anything(lstm, bits, head=head, states=0)
    with pytest.raises(ShapeError, match="one item for each"):
        anything(lstm, bits, output=lambda h: [1, 2, 3])
