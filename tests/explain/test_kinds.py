"""Explanations of GRUs and plain RNNs, compared with autograd, edits and manual runs; undefined ones are rejected."""

from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.dynamics.fixed_points import make_state_map
from hiddenstate.explain.subject.target import resolve_target
from hiddenstate.explain.sweep import run as sweeps

T = 5
KINDS: dict[str, Any] = {
    "gru": lambda *sizes, **options: hs.GRU(*sizes, **options),
    "tanh": lambda *sizes, **options: hs.RNN(*sizes, **options),
    "relu": lambda *sizes, **options: hs.RNN(*sizes, **{**options, "nonlinearity": "relu"}),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def made(kind: str, **options: Any) -> tuple[Any, Tensor, nn.Linear]:
    torch.manual_seed(3)
    layer = KINDS[kind](3, 4, **{"num_layers": 2, "dtype": torch.float64, **options})
    directions = 2 if layer.bidirectional else 1
    return layer, torch.randn(T, 1, 3, dtype=torch.float64), nn.Linear(4 * directions, 2, dtype=torch.float64)


def value(layer: Any, x: Tensor, head: nn.Linear, hx: Any = None, **options: Any) -> Tensor:
    out: Tensor = head(layer(x, hx, **options)[0])[T - 1, 0, 1]
    return out


def number(*given: Any, **options: Any) -> float:
    return value(*given, **options).item()


OF = hs.explain.logit("b", word=T - 1)


@kinds
@pytest.mark.parametrize("bidirectional", [False, True])
def test_attribution_adds_up_and_measures_what_it_says(kind: str, bidirectional: bool) -> None:
    layer, x, head = made(kind, bidirectional=bidirectional)
    hx = torch.randn(4 if bidirectional else 2, 1, 4, dtype=torch.float64)
    options: Any = {"of": OF, "head": head, "labels": "ab", "hx": hx, "state": "player", "progress": False}
    whole = number(layer, x, head, hx)
    none = number(layer, torch.zeros_like(x), head)
    for method in ("shapley", "integrated_gradients"):
        found = hs.explain.attribute(layer, x, method=method, **options)
        assert float(found.scores.sum()) == pytest.approx(whole - none, abs=1e-9 if method == "shapley" else 2e-3)
    gone = hs.explain.attribute(layer, x, method="occlusion", **options).scores
    for t in range(T):
        without = x.clone()
        without[t] = 0
        assert float(gone[t + 1]) == pytest.approx(whole - number(layer, without, head, hx), abs=1e-9)
    given, begin = x.clone().requires_grad_(), hx.clone().requires_grad_()
    slopes = torch.autograd.grad(value(layer, given, head, begin), (given, begin))
    gradient = hs.explain.attribute(layer, x, method="gradient", **options).scores
    assert torch.allclose(gradient[1:], (slopes[0] * x).sum((1, 2)))
    assert float(gradient[0]) == pytest.approx(float((slopes[1] * hx).sum()))
    frozen = hs.explain.attribute(layer, x, method="frozen", **options)
    assert abs(frozen.residual) < 1e-12
    with pytest.raises(ArgumentError, match="method='cd' supports only LSTM, got"):
        hs.explain.attribute(layer, x, method="cd", **options)


@kinds
def test_shapley_values_are_those_of_all_orders(kind: str) -> None:
    layer, x, head = made(kind)
    players = hs.explain.attribute(
        layer, x, of=OF, head=head, labels="ab", spans=[(0, 2), (2, 3), (3, 5)], progress=False
    )

    def worth(present: tuple[int, ...]) -> float:
        kept = torch.zeros_like(x)
        for start, stop in (((0, 2), (2, 3), (3, 5))[k] for k in present):
            kept[start:stop] = x[start:stop]
        return number(layer, kept, head)

    for p in range(3):
        others = [k for k in range(3) if k != p]
        parts = [
            (worth((*chosen, p)) - worth(chosen)) / (3 if len(chosen) != 1 else 6)
            for size in range(3)
            for chosen in combinations(others, size)
        ]
        assert float(players.scores[p]) == pytest.approx(sum(parts), abs=1e-9)


@kinds
def test_frozen_is_the_gradient_with_gates_held_fixed(kind: str) -> None:
    """One layer, written out with gates and secants as constants."""
    layer, x, head = made(kind, num_layers=1)
    given, h = x.clone().requires_grad_(), torch.zeros(1, 4, dtype=torch.float64)
    w = layer._weights()[0]
    for t in range(T):
        if kind == "gru":
            xr, xz, xn = nn.functional.linear(given[t], w.ih, w.b_ih).chunk(3, dim=-1)
            hr, hz, hn = nn.functional.linear(h, w.hh, w.b_hh).chunk(3, dim=-1)
            r, z = torch.sigmoid(xr + hr).detach(), torch.sigmoid(xz + hz).detach()
            pre = xn + r * hn
            h = z * h + (1 - z) * (torch.tanh(pre) / pre).detach() * pre
        else:
            pre = nn.functional.linear(given[t], w.ih, w.b_ih) + nn.functional.linear(h, w.hh, w.b_hh)
            h = (getattr(torch, kind)(pre) / pre).detach() * pre
    (slope,) = torch.autograd.grad(head(h)[0, 1], given)
    found = hs.explain.attribute(
        layer, x, of=OF, head=head, labels="ab", method="frozen", occlusion=False, progress=False
    )
    assert torch.allclose(found.scores, (slope * x).sum((1, 2)))


@kinds
@pytest.mark.parametrize("bidirectional", [False, True])
def test_slopes_are_those_of_edits(kind: str, bidirectional: bool) -> None:
    """Central differences of an edit that adds a little to each value, with everything after it recomputed."""
    layer, x, head = made(kind, bidirectional=bidirectional)
    reset = torch.tensor([[False], [False], [True], [False], [False]])
    one = hs.explain.subject(layer, x, head=head, labels="ab", reset=reset)
    target = resolve_target(OF, one)
    slopes = sweeps.slopes(one, target)
    assert set(slopes) == {str(place) for place in one.trace()}
    eps = 1e-6
    for k, (place, slope) in enumerate(slopes.items()):
        t, unit = k % T, k % 4
        moved = []
        for sign in (1, -1):
            with layer.edit(hs.add(place, sign * eps, t=t, unit=unit)):
                moved.append(number(layer, x, head, reset=reset))
        assert float(slope[t, unit]) == pytest.approx((moved[0] - moved[1]) / (2 * eps), abs=1e-7), (place, t, unit)


@kinds
def test_an_exact_sweep_runs_each_patch(kind: str) -> None:
    layer, x, head = made(kind)
    other = torch.randn(T, 1, 3, dtype=torch.float64)
    found = hs.explain.sweep(
        layer, x, other, of=OF, head=head, labels="ab", mode="gradient+exact", top=1000, progress=False
    )
    assert found.residual < 1e-12
    assert set(found.places) == {"l0.h", "l1.h"}
    source = layer.trace(other)
    for p, place in enumerate(found.places):
        with layer.edit(hs.set(place, float(source[place][2, 0, 1].detach()), t=2, unit=1)):
            patched = number(layer, x, head)
        assert float(found.effect[p, 2, 1]) == pytest.approx(patched - number(layer, x, head), abs=1e-12)


@kinds
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_graph_adds_up_and_its_edges_can_be_removed(kind: str, bidirectional: bool) -> None:
    layer, x, head = made(kind, bidirectional=bidirectional)
    found = hs.explain.graph(layer, x, of=OF, head=head, labels="ab", units=12, progress=False)
    assert found.residual < 1e-12
    assert found.value == pytest.approx(number(layer, x, head))
    edge = next(edge for edge in found.edges if edge.kind == "read")
    node = found.node(edge.source)
    h = f"{node.track}.h"
    with layer.edit(hs.zero(h, unit=node.unit, t=node.t)):
        lost = found.value - number(layer, x, head)
    check = found.check(edge)
    assert check.real == pytest.approx(lost, abs=1e-12)
    assert check.expected == pytest.approx(edge.flow)
    assert all(edit.place.endswith(".h") for edit in found.ablation(3))
    inner = next((e for e in found.edges if e.kind in ("input", "recurrent", "below", "memory") and e.amount), None)
    assert inner is not None
    assert found.edit(inner).place == h.replace(node.track, found.node(inner.target).track)


@kinds
def test_the_jacobian_is_autograds(kind: str) -> None:
    layer, x, _ = made(kind)
    map_ = make_state_map(layer)
    assert map_.numbers == 8
    z = torch.randn(8, dtype=torch.float64)

    def step(flat: Tensor) -> Tensor:
        _, h = layer(x[:1], flat.view(2, 1, 4))
        flattened: Tensor = h.flatten()
        return flattened

    want = torch.autograd.functional.jacobian(step, z)
    assert torch.allclose(map_.jacobian(z[None], x[0])[0], want)
    assert torch.allclose(map_(z[None], x[0])[0], step(z))


@kinds
def test_fixed_points_stay_and_spectra_are_consistent(kind: str) -> None:
    layer, x, _ = made(kind)
    dynamics = hs.explain.dynamics(layer, x)
    points = dynamics.fixed_points(x[0, 0], starts=4, descent=40, progress=False)
    assert len(points) > 0
    begin: Any = points.state(0)
    assert begin.shape == (2, 1, 4)
    _, after = layer(x[:1], begin)
    assert torch.allclose(after, begin, atol=1e-8)
    spectrum = dynamics.spectrum(progress=False)
    assert spectrum.eigenvalues.shape == (T, 8)
    assert spectrum.residual < 1e-9 or kind == "relu"  # its Jacobian may be singular


def test_time_constants_and_saturation() -> None:
    layer, x, _ = made("gru")
    dynamics, trace = hs.explain.dynamics(layer, x), layer.trace(x)
    z = trace["l1.z"][:, 0].detach()
    assert torch.allclose(dynamics.timescales().constants["l1"], -1 / z.log().mean(0))
    assert "l1.h[" in str(dynamics.timescales())
    assert torch.allclose(dynamics.saturation().shut["l0.n"], (trace["l0.n"][:, 0] < -0.9).double().mean(0))
    assert "update gate" in str(dynamics.saturation())
    rnn = hs.explain.dynamics(hs.RNN(3, 4))
    assert "l0.h" in rnn.saturation().shut
    with pytest.raises(ArgumentError, match=r"timescales\(\) supports only LSTM.* and .*, got RNN: a plain RNN has no"):
        rnn.timescales()
    with pytest.raises(ArgumentError, match="relu has no upper bound"):
        hs.explain.dynamics(hs.RNN(3, 4, nonlinearity="relu")).saturation()


@kinds
def test_compare_finds_permuted_units(kind: str) -> None:
    a, _, head = made(kind, num_layers=1)
    x = torch.randn(40, 1, 3, dtype=torch.float64)
    order, gates = torch.tensor([2, 0, 3, 1]), len(a.sizes.kind.gates)
    b = KINDS[kind](3, 4, dtype=torch.float64)
    rows = torch.cat([order + 4 * k for k in range(gates)])
    with torch.no_grad():
        for name, parameter in b.named_parameters():
            theirs = a.get_parameter(name)[rows]
            parameter.copy_(theirs[:, order] if "hh" in name and theirs.dim() == 2 else theirs)
    turned = nn.Linear(4, 2, dtype=torch.float64)
    with torch.no_grad():
        turned.weight.copy_(head.weight[:, order])
        turned.bias.copy_(head.bias + torch.tensor([0.3, 0.0]))
    one, two = (hs.explain.subject(m, x, head=h, labels="ab") for m, h in ((a, head), (b, turned)))
    found = hs.compare(one, two, progress=False)
    assert found.mean > 1e-4
    assert torch.equal(found.matches["l0"].units[order], torch.arange(4))
    assert found.check("l0.h").patched == pytest.approx(found.mean)  # the states agree: only the heads differ
    assert hs.compare(one, one, progress=False).mean == 0
    with pytest.raises(hs.errors.NameUnknownError, match="cannot patch 'l0.c': expected h of l0"):
        found.edit("l0.c")
    both = hs.compare(a, hs.LSTM(3, 4, dtype=torch.float64), x, progress=False)
    assert both.mean > 0
    assert "l0.h" in str(both.edit("l0.h").place)


def test_an_automaton_is_learned_from_a_gru() -> None:
    pytest.importorskip("aalpy")
    plant = hs.plant.flip_flop(cell="GRU")
    alphabet = {a: plant.machine.encode([a])[0, 0] for a in plant.machine.symbols}
    found = hs.explain.automaton(plant.lstm, alphabet, output=plant.machine.decode, tests=50, length=8)
    assert found.words == 1
    assert set(found.outputs) == {"off", "on"}
    assert len(found.outputs) == 2


def test_a_plain_rnn_has_no_ledger() -> None:
    layer, x, _ = made("tanh")
    with pytest.raises(ArgumentError, match="a plain RNN keeps nothing by addition"):
        hs.explain.ledger(layer, x, place="l0.h[1]")
