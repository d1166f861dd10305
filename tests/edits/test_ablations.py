"""Clamp, mean and resample ablation: the values they set, the path they run on, and the arguments they reject."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, IndexRangeError, NameUnknownError
from support import assert_close, layer_options, pair, random_input, random_state


@given(layer_options(), st.data(), st.sampled_from(["write", "readout"]))
def test_a_clamp_is_torchs_clamp_step_by_step(options: dict[str, Any], data: st.DataObject, scope: Any) -> None:
    lstm, _ = pair(options, 0)
    layer, reverse = data.draw(st.sampled_from(lstm.sizes.layer_directions))
    place = f"l{layer}{'r' if reverse else ''}.{data.draw(st.sampled_from('ifgoch'))}"
    x, state = random_input(lstm, 4, 2), random_state(lstm, 2)
    with torch.no_grad(), lstm.edit(hs.clamp(place, low=-0.05, high=0.4, t=[1, 2], row=0, scope=scope)):
        got = lstm.trace(x, state)
    held, _ = got.pick(place, t=[1, 2], row=0)
    assert float(held.min()) >= -0.05 - 1e-7
    assert float(held.max()) <= 0.4 + 1e-7
    # An edit that changes nothing is no edit.
    with torch.no_grad(), hs.backend("reference"):
        plain = lstm.trace(x, state)
        with lstm.edit(hs.clamp(place, low=-1e6, high=1e6, scope=scope)):
            wide = lstm.trace(x, state)
    assert all(torch.equal(wide[name], plain[name]) for name in plain)


def test_a_clamp_equals_the_set_that_it_comes_to() -> None:
    lstm, x = hs.LSTM(4, 5, 2), torch.randn(6, 3, 4)
    with torch.no_grad(), hs.backend("reference"):
        plain = lstm.trace(x).pick("l0.c", t=2)[0]
        with lstm.edit(hs.clamp("l0.c", low=0.0, t=2)):
            got, _ = lstm(x)
        with lstm.edit(hs.set("l0.c", to=plain.clamp(min=0.0), t=2)):
            want, _ = lstm(x)
    assert torch.equal(got, want)
    with lstm.edit(hs.clamp("l0.c", low=0.0)):
        assert "is a clamp" in str(lstm.path(x))


def test_a_clamp_passes_gradients_where_it_changes_nothing() -> None:
    lstm, x = hs.LSTM(2, 3).double(), torch.randn(4, 1, 2, dtype=torch.float64, requires_grad=True)

    def clamped(x: torch.Tensor) -> torch.Tensor:
        with lstm.edit(hs.clamp("l0.c", low=-0.1, high=0.1)):
            out: torch.Tensor = lstm(x)[0]
            return out

    assert torch.autograd.gradcheck(clamped, x)


@pytest.mark.parametrize("lengths", [None, torch.tensor([6, 2, 3])])
def test_a_mean_is_that_of_the_real_steps(lengths: torch.Tensor | None) -> None:
    lstm, x = hs.LSTM(4, 5, 2, bidirectional=True), torch.randn(6, 3, 4)
    with torch.no_grad():
        source = lstm.trace(x, lengths=lengths)
    real = torch.arange(6)[:, None] < (torch.full((3,), 6) if lengths is None else lengths)
    edit = hs.mean_ablation("l1r.c[1,4]@2", source=source)
    assert isinstance(edit.value, torch.Tensor)
    assert_close(edit.value.flatten(), source["l1r.c"][real][:, [1, 4]].mean(0))
    with torch.no_grad(), lstm.edit(edit):
        got = lstm.trace(torch.randn(4, 1, 4))
        assert "native" in lstm.path(x).name, "it is a set, which the engine supports"
    assert_close(got["l1r.c"][2, 0, [1, 4]], edit.value.flatten())


def test_a_resample_is_a_patch_from_a_row_drawn_by_its_seed() -> None:
    lstm, x = hs.LSTM(4, 5), torch.randn(6, 3, 4)
    with torch.no_grad():
        source = lstm.trace(torch.randn(6, 9, 4), lengths=torch.tensor([6, 1, 6, 6, 6, 1, 6, 6, 6]))
    drawn = set()
    for seed in range(20):
        edit = hs.resample_ablation("l0.c", source=source, seed=seed, t=[2, 3], row=[0, 2])
        again = hs.resample_ablation("l0.c", source=source, seed=seed, t=[2, 3], row=[0, 2])
        assert isinstance(edit.value, torch.Tensor)
        assert isinstance(again.value, torch.Tensor)
        assert torch.equal(edit.value, again.value)
        for k in (0, 1):
            rows = [n for n in range(9) if torch.equal(edit.value[:, k], source["l0.c"][2:4, n])]
            assert len(rows) == 1
            drawn.add(rows[0])
    assert len(drawn) > 3
    assert not drawn & {1, 5}, "rows that ended are not drawn"
    one = hs.resample_ablation("l0.c", source=source, seed=1, t=2)
    assert isinstance(one.value, torch.Tensor)
    row = next(n for n in range(9) if torch.equal(one.value[0, 0], source["l0.c"][2, n]))
    with torch.no_grad(), lstm.edit(one):
        got, _ = lstm(x)
    with torch.no_grad(), lstm.edit(hs.patch("l0.c", source=source, t=2, source_row=row)):
        want, _ = lstm(x)
    assert torch.equal(got, want)


def test_a_clamp_says_its_bounds() -> None:
    assert repr(hs.clamp("l0.c[3]", low=-1, high=2)) == (
        "Edit(place='l0.c', kind='clamp', value=-1.0, unit=3, t=None, row=None, scope='write', upper=2.0)"
    )


def test_ablations_fail() -> None:
    lstm, x = hs.LSTM(4, 5), torch.randn(6, 3, 4)
    source = lstm.trace(x, keep=["l0.c"], lengths=torch.tensor([0, 2, 3]))
    for bounds in ({"low": 1, "high": 0}, {"low": float("nan")}):
        with pytest.raises(ArgumentError, match="cannot clamp"):
            hs.clamp("l0.c", **bounds)
    with pytest.raises(ArgumentTypeError, match="number or a tensor"):
        hs.clamp("l0.c", low="a")  # type: ignore[arg-type]
    with pytest.raises(NameUnknownError, match="was not recorded"):
        hs.mean_ablation("l0.f", source=source)
    with pytest.raises(IndexRangeError, match="no row of the source"):
        hs.resample_ablation("l0.c", source=source, seed=0, t=5)
    with pytest.raises(ArgumentTypeError, match="must be listed by number"):
        hs.resample_ablation("l0.c", source=source, seed=0, t=1, row=slice(2))
    with pytest.raises(ArgumentError, match="no real step"):
        hs.mean_ablation("l0.c", source=lstm.trace(x, lengths=torch.zeros(3, dtype=torch.int64)))
