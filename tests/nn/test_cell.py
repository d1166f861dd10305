"""`hs.LSTMCell` against `torch.nn.LSTMCell`."""

import copy
import math
import pickle
import re
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import hiddenstate as hs
from hiddenstate.cells.lstm import LSTM
from hiddenstate.engine import kernels
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    DeviceError,
    DtypeError,
    IndexRangeError,
    NameUnknownError,
    RankError,
    ShapeError,
)
from support import SIZES, TOLERANCE, assert_all_close, assert_close, gradients


@given(
    SIZES,
    SIZES,
    st.booleans(),
    st.sampled_from(list(TOLERANCE)),
    st.one_of(st.none(), st.integers(1, 5)),
    st.booleans(),
    st.sampled_from(["auto", "reference"]),
)
def test_numbers_and_gradients_are_torchs(
    C: int, H: int, bias: bool, dtype: torch.dtype, N: int | None, with_state: bool, path: hs.engine.dispatch.Backend
) -> None:
    torch.manual_seed(H)
    ours = hs.LSTMCell(C, H, bias, dtype=dtype)
    torch.manual_seed(H)
    theirs = nn.LSTMCell(C, H, bias, dtype=dtype)
    assert repr(ours) == repr(theirs)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    batch = () if N is None else (N,)
    x = torch.randn(*batch, C, dtype=dtype, requires_grad=True)
    h, c = (torch.randn(*batch, H, dtype=dtype, requires_grad=True) for _ in range(2))
    state, leaves = ((h, c), [x, h, c]) if with_state else (None, [x])
    with hs.backend(path):
        got = ours(x, state)
        got_gradients = gradients(got, [*leaves, *ours.parameters()])
    want = theirs(x, state)
    assert_all_close(got, want, "h, c")
    assert_all_close(got_gradients, gradients(want, [*leaves, *theirs.parameters()]), "gradients")


@pytest.mark.parametrize(
    ("dtype", "of_c"),
    [(torch.float64, torch.float32), (torch.float64, torch.bfloat16), (torch.float32, torch.bfloat16)],
)
@pytest.mark.parametrize("grad", [True, False])
def test_a_narrower_cell_state_is_taken_as_by_torch(dtype: torch.dtype, of_c: torch.dtype, grad: bool) -> None:
    ours, theirs = hs.LSTMCell(4, 5, dtype=dtype), nn.LSTMCell(4, 5, dtype=dtype)
    theirs.load_state_dict(ours.state_dict())
    x, h, c = torch.randn(2, 4, dtype=dtype), torch.randn(2, 5, dtype=dtype), torch.randn(2, 5).to(of_c)
    with torch.set_grad_enabled(grad):
        want = theirs(x, (h, c))
        assert_all_close(ours(x, (h, c)), want, "h, c")
        assert_all_close(hs.trace(ours, x, (h, c)).out, want, "h, c of a traced step")


@pytest.mark.parametrize("of_c", [torch.float64, torch.int64])
def test_a_wider_cell_state_which_torch_takes_is_refused(of_c: torch.dtype) -> None:
    x, h, c = torch.randn(2, 4), torch.randn(2, 5), torch.ones(2, 5, dtype=of_c)
    assert {part.dtype for part in nn.LSTMCell(4, 5)(x, (h, c))} == {torch.promote_types(of_c, torch.float32)}
    with pytest.raises(DtypeError, match=r"hx\[1\] dtype"):
        hs.LSTMCell(4, 5)(x, (h, c))


@pytest.mark.parametrize("grad", [True, False])
def test_a_state_may_be_a_list(grad: bool) -> None:
    cell, x, h, c = hs.LSTMCell(4, 5), torch.randn(2, 4), torch.randn(2, 5), torch.randn(2, 5)
    sizes = cell.input_size, cell.hidden_size
    with torch.set_grad_enabled(grad):
        assert_all_close(cell(x, [h, c]), cell(x, (h, c)))
        given = x, [h, c], cell._parameters, sizes
        run = kernels.cell_steps["LSTM"].run
        assert (run(*given) is None) == (run(x, (h, c), *given[2:]) is None)
        for bad in ([h], [h, c, c]):
            with pytest.raises(ArgumentTypeError, match=f"got {len(bad)} values"):
                cell(x, bad)


def steps(cell: hs.LSTMCell, xs: torch.Tensor) -> torch.Tensor:
    state, outs = None, []
    for x in xs:
        state = cell(x, state)
        outs.append(state[0])
    return torch.stack(outs)


EDITS = [
    hs.zero("l0.c", unit=1),
    hs.set("l0.f", to=0.25),
    hs.add("l0.i_pre", value=2.0, row=0),
    hs.clamp("l0.h", low=-0.1, high=0.1),
    hs.scale("l0.o", by=torch.tensor([2.0, 0.5, 1.0])),
]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.place)
def test_an_edit_of_every_step_is_that_of_a_layer_with_the_same_weights(edit: hs.Edit) -> None:
    cell, lstm, xs = hs.LSTMCell(4, 3), hs.LSTM(4, 3), torch.randn(5, 2, 4)
    lstm.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    plain = steps(cell, xs)
    with lstm.edit(edit):
        want = lstm(xs)[0]
    with cell.edit(edit):
        assert_close(steps(cell, xs), want)
        with torch.no_grad():
            assert_close(steps(cell, xs), want)
    assert torch.equal(steps(cell, xs), plain)
    assert not torch.allclose(want, plain)
    with cell.edit(replace(edit, place=edit.place.removeprefix("l0."))):  # a cell has no other layer
        assert_close(steps(cell, xs), want)


def test_edits_of_a_cell_are_traced_and_differentiated_and_may_be_within_a_model() -> None:
    cell, x = hs.LSTMCell(4, 3), torch.randn(2, 4)
    model, factor = nn.ModuleDict({"decoder": cell}), torch.tensor(2.0, requires_grad=True)
    with hs.edit(model, hs.zero("decoder.l0.f"), hs.scale("decoder.l0.c", by=factor)):
        run = hs.trace(model, x, call=cell)["decoder"]
        h, c = cell(x)
    assert not run["l0.f"].any()
    assert torch.equal(run["l0.c"][0], c)
    assert_close(c, 2 * cell(x)[1], "with f of zero and no state before, c is i * g")
    assert torch.autograd.grad(h.sum(), factor)[0] != 0
    assert cell(x[0])[0].shape == (3,)
    with cell.edit(hs.zero("h", unit=2)):
        assert cell(x[0])[0][2] == 0


@pytest.mark.parametrize(
    ("edit", "error", "says"),
    [
        (hs.zero("l1.c"), NameUnknownError, "l1.c"),
        (hs.zero("q"), NameUnknownError, "q"),
        (hs.zero("c", unit=3), IndexRangeError, "unit"),
        (hs.zero("c", scope="readout"), ArgumentError, "readout"),
        ("c", ArgumentTypeError, "takes edits"),
    ],
)
def test_bad_edits_of_a_cell_fail(edit: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        hs.LSTMCell(4, 3).edit(edit)


@pytest.mark.parametrize("edit", [hs.zero("c", t=1), hs.zero("c", row=2)])
def test_steps_and_rows_that_a_call_of_a_cell_has_not_fail(edit: hs.Edit) -> None:
    cell = hs.LSTMCell(4, 3)
    with cell.edit(edit), pytest.raises(IndexRangeError):
        cell(torch.randn(2, 4))


@given(
    SIZES,
    SIZES,
    st.booleans(),
    st.sampled_from([*TOLERANCE, torch.bfloat16]),
    st.sampled_from([None, 1, 2, 3, 9]),
    st.booleans(),
)
def test_a_step_without_gradients_is_the_references(
    C: int, H: int, bias: bool, dtype: torch.dtype, N: int | None, with_state: bool
) -> None:
    cell = hs.LSTMCell(C, H, bias, dtype=dtype)
    batch = () if N is None else (N,)
    x, h, c = (torch.randn(*batch, units, dtype=dtype) for units in (C, H, H))
    state = (h, c) if with_state else None
    # bfloat16 is compared with the reference in float32: only the result is rounded.
    exact = copy.deepcopy(cell).to(torch.float32) if dtype is torch.bfloat16 else cell
    with torch.no_grad():
        got = cell(x, state)
        with hs.backend("reference"):
            want = exact(x.to(exact.weight_ih.dtype), state and tuple(part.to(exact.weight_ih.dtype) for part in state))
    for one, should in zip(got, want, strict=True):
        assert one.dtype is dtype
        assert one.shape == should.shape
        if dtype is torch.bfloat16:
            assert torch.allclose(one.float(), should, rtol=2**-6, atol=1e-2)  # torch rounds each sum and gate
        else:
            assert_all_close([one], [should])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e38, 1e-40])
@pytest.mark.parametrize("where", ["x", "h", "c", "weight"])
def test_extreme_values_of_a_step_without_gradients(where: str, value: float) -> None:
    cell, x, h, c = hs.LSTMCell(17, 19), torch.randn(2, 17), torch.randn(2, 19), torch.randn(2, 19)
    with torch.no_grad():
        {"x": x, "h": h, "c": c, "weight": cell.weight_ih}[where][1, 3] = value
        got = cell(x, (h, c))
        with hs.backend("reference"):
            want = cell(x, (h, c))
    for one, should in zip(got, want, strict=True):
        assert torch.allclose(one, should, atol=1e-5, equal_nan=True)


def test_a_step_without_gradients_sees_every_change_of_a_weight() -> None:
    cell, x = hs.LSTMCell(4, 3), torch.randn(2, 4)

    def check() -> None:
        with torch.no_grad():
            got = cell(x)
            with hs.backend("reference"):
                assert_all_close(got, cell(x))

    check()
    cell.weight_ih.data.mul_(2)  # torch does not record it
    check()
    cell.weight_hh = nn.Parameter(torch.randn(12, 3))
    check()
    cell.bias_ih = nn.Parameter(torch.randn(24)[::2])  # not contiguous
    check()
    cell.weight_ih.detach().numpy()[:] = 3
    check()


@pytest.mark.parametrize("forms", ["transposed", "strided", "negative", "grad", "inference", "subclass"])
def test_forms_that_a_step_without_gradients_is_given(forms: str) -> None:
    cell, x, state = hs.LSTMCell(4, 3), torch.randn(2, 4), (torch.randn(2, 3), torch.randn(2, 3))
    x = {
        "transposed": lambda: x.t().contiguous().t(),
        "strided": lambda: torch.stack([x, x], dim=-1)[..., 0],
        "negative": lambda: torch._neg_view(x),  # type: ignore[no-untyped-call]
        "grad": lambda: x.requires_grad_(),
        "inference": lambda: x,
        "subclass": lambda: nn.Parameter(x),
    }[forms]()
    with torch.inference_mode() if forms == "inference" else torch.no_grad():
        got = cell(x, state)
        assert not got[0].requires_grad
        with hs.backend("reference"):
            assert_all_close(got, cell(x, state))


def test_a_step_without_gradients_is_seen_by_modes_and_hooks() -> None:
    cell, x = hs.LSTMCell(4, 3), torch.randn(2, 4)
    seen: list[str] = []

    class Watching(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    with torch.no_grad(), Watching():
        cell(x)
    assert any("mm" in name for name in seen)
    cell.register_forward_hook(lambda _module, _given, result: (result[0] * 0, result[1]))
    with torch.no_grad():
        assert not cell(x)[0].any()


def test_same_seed_same_values() -> None:
    torch.manual_seed(3)
    ours = hs.LSTMCell(4, 5)
    torch.manual_seed(3)
    theirs = nn.LSTMCell(4, 5)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_copies() -> None:
    cell, x = hs.LSTMCell(4, 5), torch.randn(2, 4)
    for other in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        assert torch.equal(other(x)[0], cell(x)[0])


@pytest.mark.parametrize("path", ["auto", "reference"])
def test_nothing_in_nothing_out(path: hs.engine.dispatch.Backend) -> None:
    with hs.backend(path):
        assert hs.LSTMCell(4, 5)(torch.zeros(0, 4))[0].shape == (0, 5)
        assert hs.LSTMCell(0, 5)(torch.zeros(2, 0))[0].shape == (2, 5)
        assert hs.LSTMCell(4, 0)(torch.zeros(2, 4))[0].shape == (2, 0)


Z = torch.zeros
BAD_CALLS: list[tuple[Any, Any, type[Exception], str]] = [
    (Z(2, 2, 4), None, RankError, "LSTMCell: Expected input to be 1D or 2D, got 3D instead"),
    (Z(2, 3), None, ShapeError, "input has inconsistent input_size: got 3 expected 4"),
    (
        Z(2, 4).double(),
        None,
        DtypeError,
        r"RNN input dtype \(torch.float64\) does not match weight dtype \(torch.float32\)",
    ),
    (Z(2, 4, device="meta"), None, DeviceError, "not at the same device"),
    ([1.0], None, ArgumentTypeError, "input must be a torch.Tensor, got list"),
    (Z(2, 4), Z(2, 5), ArgumentTypeError, "hx must be a tuple of two tensors.*got Tensor"),
    (Z(2, 4), (Z(2, 5),), ArgumentTypeError, "got 1 values"),
    (Z(2, 4), (Z(2, 5), 3), ArgumentTypeError, r"hx\[1\] must be a torch.Tensor, got int"),
    (Z(2, 4), (Z(1, 2, 5), Z(2, 5)), RankError, r"LSTMCell: Expected hx\[0\] to be 1D or 2D, got 3D"),
    (Z(2, 4), (Z(3, 5), Z(2, 5)), ShapeError, "Input batch size 2 doesn't match hidden0 batch size 3"),
    (Z(2, 4), (Z(2, 5), Z(2, 4)), ShapeError, "hidden1 has inconsistent hidden_size: got 4, expected 5"),
    (Z(2, 4), (Z(5), Z(5)), ShapeError, r"batch size none: hx\[0\] must be \[2, 5\]"),
    (Z(2, 4), (Z(2, 5), Z(2, 5).double()), DtypeError, r"hx\[1\] dtype \(torch.float64\)"),
    # If both size and type are wrong, torch reports the size.
    (Z(2, 3).double(), None, ShapeError, "input has inconsistent input_size: got 3 expected 4"),
    (Z(2, 4).double(), (Z(2, 3), Z(2, 5)), ShapeError, "hidden0 has inconsistent hidden_size: got 3, expected 5"),
]


@pytest.mark.parametrize(("given_input", "state", "error", "message"), BAD_CALLS)
def test_bad_calls_fail(given_input: Any, state: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        hs.LSTMCell(4, 5)(given_input, state)


def test_bad_sizes_fail() -> None:
    with pytest.raises(ArgumentTypeError, match="hidden_size should be of type int, got: float"):
        hs.LSTMCell(4, 2.5)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="input_size must not be negative, got -1"):
        hs.LSTMCell(-1, 2)


# The compilers warn about their own internals.
@pytest.mark.filterwarnings("default")
def test_what_a_block_holds_is_not_compiled_in() -> None:
    cell, x = hs.LSTMCell(4, 5), torch.randn(2, 4)
    torch._dynamo.reset()
    compiled = torch.compile(cell, backend="eager")
    want = compiled(x)
    broken = replace(LSTM, step=mock.Mock(side_effect=ZeroDivisionError))
    with mock.patch.object(hs.LSTMCell, "_kind", broken):
        with hs.backend("reference"), pytest.raises(ZeroDivisionError):
            compiled(x)
        with hs.backend("auto"):
            assert_all_close(compiled(x), want)
        assert_all_close(compiled(x), want)


@pytest.mark.parametrize("name", ["weight_hh", "bias_ih", "bias_hh"])
def test_a_weight_of_another_type_or_freed_is_refused(name: str) -> None:
    cell, x = hs.LSTMCell(4, 3), torch.randn(2, 4)
    weight: nn.Parameter = getattr(cell, name)
    weight.data = weight.data.double()
    with pytest.raises(DtypeError, match=f"{name} has dtype torch.float64 and weight_ih has torch.float32"):
        cell(x)
    cell.float()
    weight.data.untyped_storage().resize_(0)
    with pytest.raises(DtypeError, match=f"{name} has shape .* its memory was freed"):
        cell(x)


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("name", ["weight_ih", "weight_hh", "bias_ih", "bias_hh"])
def test_a_weight_of_another_shape_is_refused(name: str, backend: Any) -> None:
    cell, x = hs.LSTMCell(4, 3), torch.randn(2, 4)
    weight: nn.Parameter = getattr(cell, name)
    was = list(weight.shape)
    for other in (weight.data[:-1], weight.data[None], weight.data.new_zeros(0)):
        weight.data = other.clone()
        want = f"{name} has shape {list(weight.shape)}, expected {was} by the sizes: was it or a size replaced?"
        with hs.backend(backend), pytest.raises(ShapeError, match=re.escape(want)):
            cell(x)


def test_a_weight_on_another_device_is_refused() -> None:
    cell = hs.LSTMCell(4, 3)
    cell.weight_hh = nn.Parameter(torch.empty(12, 3, device="meta"))
    with pytest.raises(DeviceError, match="weight_hh is on meta and weight_ih on cpu"):
        cell(torch.randn(2, 4))


@pytest.mark.parametrize("size", ["3", 3.0, 2**70, None])
@pytest.mark.parametrize("grad", [False, True])
def test_a_size_that_was_assigned_what_is_none_is_refused(size: Any, grad: bool) -> None:
    cell = hs.LSTMCell(4, 3)
    cell.hidden_size = size
    with torch.set_grad_enabled(grad), pytest.raises((ArgumentError, ArgumentTypeError, ShapeError)):
        cell(torch.zeros(1, 4))
