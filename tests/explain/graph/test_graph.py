"""Graphs: edges into a node sum to its value, and flows to its part; edits confirm edges; top nodes matter."""

import json
import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, NameUnknownError
from hiddenstate.explain.attribution.frozen import frozen_layer, frozen_parts
from hiddenstate.explain.graph.run import Inflows, MemoryUnit
from hiddenstate.explain.subject.target import resolve_target
from support import draws, layer_options, pair, random_input, random_state


@settings(max_examples=draws(20))
@given(layer_options(), st.data(), st.booleans())
def test_what_flows_into_a_node_sums_to_its_value(options: dict[str, Any], data: st.DataObject, resets: bool) -> None:
    lstm, _ = pair({**options, "dtype": torch.float64}, 0)
    x, hx = random_input(lstm, 5, 1), random_state(lstm, 1)
    reset: dict[str, Any] = {"reset": torch.rand(x.shape[:2]) < 0.3} if resets else {}
    head = nn.Linear(lstm.sizes.output_size * lstm.sizes.directions, 3, dtype=torch.float64)
    subject = hs.explain.subject(lstm, x, hx=hx, head=head, **reset)
    target = resolve_target(hs.explain.logit(2, word=data.draw(st.integers(0, 4))), subject)
    trace = subject.trace()
    layers = {track.name: frozen_layer(subject, trace, track) for track in subject.sizes.layer_directions}
    inflows = Inflows(subject, layers, target.linear("a test"))
    whole = sum(one.amount for one in inflows.into_target())
    assert whole == pytest.approx(float(target.of(subject.run()).detach()), abs=1e-10)
    for _ in range(10):
        layer, reverse = data.draw(st.sampled_from(lstm.sizes.layer_directions))
        name = f"l{layer}{'r' if reverse else ''}"
        t, unit = data.draw(st.integers(0, 4)), data.draw(st.integers(0, lstm.hidden_size - 1))
        every = [one.amount for one in inflows.into(MemoryUnit(name, t, unit))]
        value = float(trace.values[f"{name}.c"][t, 0, unit].detach())
        assert sum(every) == pytest.approx(value, abs=1e-12 * max(1.0, sum(map(abs, every))))


@settings(max_examples=12)
@given(layer_options(), st.integers(1, 40), st.integers(1, 60))
def test_a_pruned_graph_keeps_its_sums(options: dict[str, Any], units: int, edges: int) -> None:
    lstm, _ = pair({**options, "dtype": torch.float64}, 0)
    x, hx = random_input(lstm, 5, 1), random_state(lstm, 1)
    head = nn.Linear(lstm.sizes.output_size * lstm.sizes.directions, 3, dtype=torch.float64)
    found = hs.explain.graph(lstm, x, of=hs.explain.logit(1, word=2), units=units, edges=edges, hx=hx, head=head)
    assert found.residual <= 1e-12 * 100
    for node in [*found.top(), found.node("target")]:
        every = found.into(node.name)
        assert sum(edge.amount for edge in every) == pytest.approx(node.value, abs=1e-10)
        assert sum(edge.flow for edge in every) == pytest.approx(node.part, abs=1e-10)
    assert len(found.top()) <= units
    assert sum(edge.kind != "others" for edge in found.edges) <= edges
    parts = [abs(node.part) for node in found.top()]
    assert parts == sorted(parts, reverse=True)


def test_what_a_word_gives_in_a_whole_graph_is_its_frozen_part() -> None:
    lstm, x = hs.LSTM(3, 4, 2, bidirectional=True, dtype=torch.float64), torch.randn(4, 1, 3).double()
    found = hs.explain.graph(lstm, x, of="l1.h[2]@3", units=2000, edges=10**6)
    subject = hs.explain.subject(lstm, x)
    parts = frozen_parts(subject, subject.trace(), resolve_target("l1.h[2]@3", subject).linear("a test"))
    for t, want in enumerate(parts.x.sum(1).tolist()):
        assert found.node(f"word@{t}").part == pytest.approx(want, abs=1e-12)
    assert not any(edge.kind == "others" for edge in found.edges)


def test_the_part_of_a_cell_is_what_a_linear_run_loses() -> None:
    plant = hs.plant.integrator(5)
    x = plant.inputs(0, T=6)
    found = hs.explain.graph(plant.lstm, x, of="l0.c[0]")
    for edge in found.edges:
        if edge.kind in ("memory", "input"):
            check = found.check(edge)
            assert check.real == pytest.approx(check.expected, abs=1e-12), "its gates never move, so the graph is right"
    last = found.into("l0.c[0]@5")
    assert {edge.kind for edge in last} == {"memory", "input"}


def test_removing_what_the_head_reads_is_exact() -> None:
    lstm, x, head = hs.LSTM(3, 6, 2, bidirectional=True, proj_size=2), torch.randn(5, 1, 3), nn.Linear(4, 3)
    found = hs.explain.graph(lstm, x, of=hs.explain.logit(1, word=2), head=head, units=60, edges=999)
    read = [edge for edge in found.into("target") if edge.kind == "read"]
    assert len(read) == 12
    for edge in read:
        check = found.check(edge)
        assert check.real == pytest.approx(check.expected, abs=1e-5)
    with pytest.raises(ArgumentError, match="outside the LSTM"):
        found.check(next(edge for edge in found.edges if edge.source == "head's bias"))


def test_an_edge_is_removed_by_its_edit_alone() -> None:
    lstm, x = hs.LSTM(3, 4, 2, dtype=torch.float64), torch.randn(5, 1, 3).double()
    found = hs.explain.graph(lstm, x, of="l1.c[1]")
    plain = lstm.trace(x)
    for edge in [edge for edge in found.edges if edge.kind in ("below", "recurrent", "memory", "input", "bias")][:20]:
        end = found.node(edge.target)
        with torch.no_grad(), lstm.edit(found.edit(edge)):
            got = lstm.trace(x)[f"{end.track}.c"][end.t, 0, end.unit]
        want = plain[f"{end.track}.c"][end.t, 0, end.unit].detach() - edge.amount
        assert float(got) == pytest.approx(float(want), abs=1e-12)


def test_what_only_a_gate_did_is_not_seen_and_the_check_shows_it() -> None:
    plant = hs.plant.latch(content="gate")
    x = plant.inputs(1, T=6)
    found = hs.explain.graph(plant.lstm, x, of="l0.c[0]")
    inputs = [edge for edge in found.edges if edge.kind == "input"]
    assert not any(abs(edge.flow) > 1e-9 for edge in inputs), "the writer's word has no part"
    written = max((edge for edge in found.edges if edge.kind == "bias"), key=lambda edge: abs(edge.flow))
    assert written.flow == pytest.approx(found.value, abs=1e-6), "all comes from the bias of g"


def test_the_top_nodes_matter_more_than_matched_random_ones() -> None:
    """Setting the 10 cell states with the largest parts to 0, compared with 10 others in the same layers and steps."""
    torch.manual_seed(1)
    lstm, head, draw = hs.LSTM(8, 48, 2, dtype=torch.float64), nn.Linear(48, 5, dtype=torch.float64), random.Random(0)
    wins = 0
    for _ in range(100):
        x = torch.randn(6, 1, 8, dtype=torch.float64)
        found = hs.explain.graph(lstm, x, of=hs.explain.logit(3), head=head)
        subject = hs.explain.subject(lstm, x, head=head)
        mine = found.ablation(10)
        chosen = {(edit.place, edit.t, edit.unit) for edit in mine}
        others = []
        for edit in mine:
            unit = draw.choice([u for u in range(48) if (edit.place, edit.t, u) not in chosen])
            chosen.add((edit.place, edit.t, unit))
            others.append(hs.zero(edit.place, unit=unit, t=edit.t))
        moved = []
        for edits in (mine, others):
            with torch.no_grad(), lstm.edit(*edits):
                moved.append(abs(float(subject.run().logits[-1, 0, 3]) - found.value))
        wins += moved[0] > moved[1]
    assert wins >= 80, wins


def test_a_checked_graph_tells_what_the_target_really_loses() -> None:
    lstm, x, head = hs.LSTM(3, 6, 2, dtype=torch.float64), torch.randn(5, 1, 3).double(), nn.Linear(6, 3).double()
    plain = hs.explain.graph(lstm, x, of=hs.explain.logit(1), head=head)
    found = plain.checked()
    assert {edge.kind for edge in found.real} >= {"read", "below", "others"}
    assert not any(edge.source in ("head's bias", "all others") and edge.target == "target" for edge in found.real)
    for edge, real in found.real.items():
        assert real == pytest.approx(plain.check(edge).real, abs=1e-12)
        assert f"({real:+.3f})" in str(found) or abs(real) < 0.0005
    assert found.cost == plain.cost + (1 + len(found.real)) * 5
    assert [row.get("real") for row in found.rows()] == [found.real.get(edge) for edge in found.edges]
    assert "real" not in plain.rows()[0]
    assert "what the target really loses when an edit removes the edge" in " ".join(str(found).split())
    assert json.loads(found.to_json())["edges"][0]["real"] == found.real.get(found.edges[0])


def test_it_is_told_in_every_form() -> None:
    lstm, x, head = hs.LSTM(3, 6, 2), torch.randn(5, 1, 3), nn.Linear(6, 3)
    found = hs.explain.graph(
        lstm, x, of=hs.explain.logit("up"), head=head, labels=["up", "down", "on"], tokens=list("abcde")
    )
    data = json.loads(found.to_json())
    assert {node["name"] for node in data["nodes"]} >= {edge["target"] for edge in data["edges"]}
    assert {node["name"] for node in data["nodes"]} >= {edge["source"] for edge in data["edges"]}
    assert str(found).startswith("output 'up' at e (step 4)")
    assert len(found.to_dataframe()) == len(found.edges)
    assert found.plot().axes


def test_graph_fails() -> None:
    lstm, x = hs.LSTM(3, 4), torch.randn(5, 1, 3)
    with pytest.raises(ArgumentError, match="linear in c or h"):
        hs.explain.graph(lstm, x, of="l0.f[1]")
    with pytest.raises(ArgumentError, match="1 to 2000 units"):
        hs.explain.graph(lstm, x, of="l0.c[1]", units=0)
    with lstm.edit(hs.zero("l0.f")), pytest.raises(ArgumentError, match="without edits"):
        hs.explain.graph(lstm, x, of="l0.c[1]")
    with pytest.raises(NameUnknownError, match="no node"):
        hs.explain.graph(lstm, x, of="l0.c[1]").into("l3.c[0]@0")
