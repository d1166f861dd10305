"""compare: a model does not differ from itself; permuted units are matched; the check by a patch."""

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, IndexRangeError, NameUnknownError, ShapeError
from hiddenstate.explain.comparison.run import Check
from hiddenstate.models.model_folder import load_tagger, shipped


def permuted(lstm: hs.LSTM, orders: list[Tensor], signs: list[Tensor]) -> hs.LSTM:
    """A copy whose unit k of layer l is the original's unit orders[l][k], turned where signs[l][k] is -1."""
    copy = hs.LSTM(lstm.input_size, lstm.hidden_size, lstm.num_layers, dtype=lstm.weight("l0.W_ii").dtype)
    with torch.no_grad():
        for layer, (order, sign) in enumerate(zip(orders, signs, strict=True)):
            for gate in "ifgo":
                turn = sign if gate == "g" else torch.ones_like(sign)
                below = lstm.weight(f"l{layer}.W_i{gate}")
                if layer:
                    below = below[:, orders[layer - 1]] * signs[layer - 1]
                copy.weight(f"l{layer}.W_i{gate}").copy_(below[order] * turn[:, None])
                recurrent = lstm.weight(f"l{layer}.W_h{gate}")[order][:, order] * sign
                copy.weight(f"l{layer}.W_h{gate}").copy_(recurrent * turn[:, None])
                for side in "ih":
                    copy.weight(f"l{layer}.b_{side}{gate}").copy_(lstm.weight(f"l{layer}.b_{side}{gate}")[order] * turn)
    return copy


@settings(max_examples=15)
@given(st.sampled_from([1, 3, 17, 33]), st.integers(1, 3), st.integers(0, 99), st.booleans())
def test_a_permuted_copys_permutation_is_found(H: int, L: int, seed: int, single: bool) -> None:
    torch.manual_seed(seed)
    dtype = torch.float32 if single else torch.float64
    lstm, x = hs.LSTM(4, H, L, dtype=dtype), 2 * torch.randn(30, 3, 4, dtype=dtype)
    orders = [torch.randperm(H) for _ in range(L)]
    signs = [torch.randint(0, 2, (H,)) * 2.0 - 1 for _ in range(L)]
    copy = permuted(lstm, orders, [sign.to(dtype) for sign in signs])
    found = hs.compare(lstm, copy, x)
    for layer, (order, sign) in enumerate(zip(orders, signs, strict=True)):
        match = found.matches[f"l{layer}"]
        assert torch.equal(match.units, order.argsort()), "b's unit k is a's unit order[k]"
        assert torch.allclose(match.correlation, sign[order.argsort()].double(), atol=1e-5)
        assert float(found.cka[layer, layer]) == pytest.approx(1.0, abs=1e-5)
        patched, before = found.check(f"l{layer}.h"), hs.compare(copy, copy, x).mean
        assert before == 0.0
        assert patched.patched == pytest.approx(patched.before, abs=1e-5), "a's values in their places change nothing"


@settings(max_examples=10)
@given(st.integers(0, 99), st.booleans(), st.booleans())
def test_itself_is_no_different(seed: int, bidirectional: bool, ragged: bool) -> None:
    torch.manual_seed(seed)
    lstm, x = hs.LSTM(3, 5, 2, bidirectional=bidirectional, proj_size=2), torch.randn(7, 4, 3)
    lengths = torch.tensor([7, 1, 4, 0]) if ragged else None
    found = hs.compare(lstm, lstm, x, head=nn.Linear(2 * (1 + bidirectional), 3), lengths=lengths, softmax=True)
    assert found.measure == "KL"
    assert found.first is None
    assert found.mean == pytest.approx(0.0, abs=1e-12)
    assert found.residual <= 1e-9
    for match in found.matches.values():
        assert torch.equal(match.units, torch.arange(2))
        assert torch.allclose(match.correlation, torch.ones(2).double())
    assert torch.allclose(found.cka.diagonal(), torch.ones(len(found.cka)).double())
    assert "differ by at most" in str(found)
    if ragged:
        assert int((~found.differences[0].isnan()).sum()) == 12


def test_the_first_difference_is_where_an_input_differs() -> None:
    lstm, x = hs.LSTM(3, 5), torch.randn(6, 2, 3)
    other = x.clone()
    other[3, 1] += 1
    found = hs.compare(lstm, lstm, x, other, tokens=[list("abcdef"), list("ghijkl")])
    assert found.measure == "state distance"
    assert found.first is not None
    assert found.first[:4] == (0, 1, 3, "j")
    want = (lstm(x)[0][3, 1] - lstm(other)[0][3, 1]).norm()
    assert found.first.amount == pytest.approx(float(want.detach()), rel=1e-5)
    assert found.largest()[0].row == 1


def test_the_divergence_is_torchs() -> None:
    lstm, other, head, x = hs.LSTM(3, 5), hs.LSTM(3, 5), nn.Linear(5, 4), torch.randn(6, 2, 3)
    found = hs.compare(lstm, other, x, head=head, softmax=True)
    p, q = (head(one(x)[0]).log_softmax(-1).detach() for one in (lstm, other))
    want = nn.functional.kl_div(q, p, reduction="none", log_target=True).sum(-1)
    assert torch.allclose(found.differences[0], want.double(), atol=1e-6)


def test_correlation_and_alignment_are_numpys() -> None:
    lstm, other, x = hs.LSTM(3, 5), hs.LSTM(3, 7), torch.randn(20, 2, 3)
    found = hs.compare(lstm, other, x)
    a, b = (one(x)[0].detach().double().flatten(0, 1) for one in (lstm, other))
    correlation = torch.corrcoef(torch.cat([a, b], dim=1).T)[:5, 5:]
    match = found.matches["l0"]
    assert found.measure == "none"
    assert torch.allclose(match.correlation, correlation[torch.arange(5), match.units], atol=1e-9)
    assert len(set(match.units.tolist())) == 5
    a, b = a - a.mean(0), b - b.mean(0)
    gram = [values @ values.T for values in (a, b)]
    want = (gram[0] * gram[1]).sum() / (gram[0].norm() * gram[1].norm())
    assert float(found.cka[0, 0]) == pytest.approx(float(want), abs=1e-9)
    swapped = hs.compare(other, lstm, x).matches["l0"]
    assert int((swapped.units == -1).sum()) == 2, "two of the seven have no match among five"


def test_patching_one_model_into_another_is_an_edit() -> None:
    lstm, x = hs.LSTM(3, 5, 2), torch.randn(6, 2, 3)
    other = hs.LSTM(3, 5, 2)
    found = hs.compare(lstm, other, x)
    check = found.check("l1.h")
    assert isinstance(check, Check)
    assert check.before == pytest.approx(found.mean)
    edit = found.edit("l0.c", unit=[1, 2], t=3)
    match = found.matches["l0"]
    signs = match.correlation[[1, 2]].sign()
    with torch.no_grad(), other.edit(edit):
        got = other.trace(x)["l0.c"][3][:, match.units[[1, 2]]]
    assert torch.allclose(got, lstm.trace(x)["l0.c"][3][:, [1, 2]].detach() * signs.float(), atol=1e-6)
    with pytest.raises(NameUnknownError, match="cannot patch"):
        found.edit("l0.f")
    with pytest.raises(IndexRangeError):
        found.edit("l0.h", unit=9)


def test_it_is_told_in_every_form() -> None:
    found = hs.compare(hs.LSTM(3, 5, 2), hs.LSTM(3, 5, 2), torch.randn(6, 2, 3))
    assert "first differ" in str(found)
    assert "CKA" in str(found)
    data: dict[str, Any] = json.loads(found.to_json())
    assert data["measure"] == "state distance"
    assert len(found.to_dataframe()) == 12
    assert found.plot().axes


def test_models_with_text_read_several() -> None:
    tagger = load_tagger(shipped())
    found = hs.compare(tagger, tagger, ["The old man", "the boats sank ."], ["The old man", "the boat sank ."])
    assert [len(values) for values in found.differences] == [3, 4]
    assert found.first is not None
    assert (found.first.item, found.measure) == (1, "KL")
    assert not found.differences[0].any()
    check = found.check("l0.h")
    assert check.patched < check.before


def test_outputs_of_other_sizes_have_no_difference_to_undo() -> None:
    x = torch.randn(4, 1, 3)
    found = hs.compare(hs.LSTM(3, 4), hs.LSTM(3, 5), x)
    with pytest.raises(ArgumentError, match="outputs differ in size"):
        found.check("l0.h")


def test_compare_fails() -> None:
    lstm, x = hs.LSTM(3, 5), torch.randn(6, 2, 3)
    with pytest.raises(ShapeError, match="the same number of steps in each row"):
        hs.compare(lstm, lstm, x, x[:5])
    with pytest.raises(ShapeError, match="fewer than two steps"):
        hs.compare(lstm, lstm, x[:1, :1])
    with pytest.raises(ShapeError, match="the same number of items"):
        hs.compare(lstm, lstm, ["a b", "c d"], ["a b"])
    with pytest.raises(ArgumentError, match="not be below 0"):
        hs.compare(lstm, lstm, x, tolerance=-1)
    with pytest.raises(ArgumentTypeError, match="must be a number"):
        hs.compare(lstm, lstm, x, tolerance="small")  # type: ignore[arg-type]
    projected = hs.compare(hs.LSTM(3, 5, proj_size=2), hs.LSTM(3, 5, proj_size=2), x)
    with pytest.raises(ArgumentError, match="patch h"):
        projected.edit("l0.c")


def test_the_step_of_a_patch_is_counted_from_either_end_and_must_be_there() -> None:
    found = hs.compare(hs.LSTM(4, 3), hs.LSTM(4, 5), torch.randn(5, 2, 4))
    last, same = (found.edit("l0.h", t=t) for t in (-1, 4))
    assert isinstance(last.value, Tensor)
    assert isinstance(same.value, Tensor)
    assert torch.equal(last.value, same.value)
    assert last.t == same.t == 4
    assert last.value.shape == (1, 2, 3)
    with pytest.raises(IndexRangeError, match="t=5"):
        found.edit("l0.h", t=5)


def test_over_two_inputs_each_unit_of_an_lstm_is_its_own_match() -> None:
    lstm, x, y = hs.LSTM(3, 5, 2), torch.randn(6, 1, 3), torch.randn(6, 1, 3)
    found = hs.compare(lstm, lstm, x, y)
    for match in found.matches.values():
        assert torch.equal(match.units, torch.arange(5))
    h = [lstm.trace(one)["l1.h"][:, 0, 2].detach().double() for one in (x, y)]
    want = torch.corrcoef(torch.stack(h))[0, 1]
    assert float(found.matches["l1"].correlation[2]) == pytest.approx(float(want), abs=1e-6)
    assert found.check("l1.h").patched == pytest.approx(0.0, abs=1e-6), "the outputs are those hidden states"


def test_a_checked_comparison_tells_what_is_left() -> None:
    lstm, x, y = hs.LSTM(3, 5, 2), torch.randn(6, 1, 3), torch.randn(6, 1, 3)
    found = hs.compare(lstm, lstm, x, y)
    checked = found.checked()
    assert checked.patched == {name: found.check(f"{name}.h").patched for name in ("l0", "l1")}
    assert checked.cost == found.cost + 2 * 6
    assert "distance left" in str(checked)
    assert "check(" not in str(checked)
    assert "distance left" not in str(found)
    assert json.loads(checked.to_json())["patched"]["l0"] == pytest.approx(checked.patched["l0"])
    apart = hs.compare(lstm, hs.LSTM(3, 7), x)
    assert apart.checked() is apart, "outputs of other sizes cannot be compared"
    assert all(len(line) <= 80 for one in (checked, apart) for line in str(one).splitlines())


def test_two_subjects_need_no_data_beside_them() -> None:
    torch.manual_seed(0)
    a, b, x = hs.LSTM(3, 4), hs.LSTM(3, 4), torch.randn(5, 2, 3)
    subjects = [hs.explain.subject(lstm, x) for lstm in (a, b)]
    assert hs.compare(*subjects).to_json() == hs.compare(a, b, x).to_json()
    with pytest.raises(TypeError, match="an LSTM reads a tensor"):
        hs.compare(a, b)
