"""Edits: what they change, what they leave alone, and that they leave nothing behind."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

import hiddenstate as hs
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    DeviceError,
    DtypeError,
    IndexRangeError,
    NameUnknownError,
)
from hiddenstate.structure.names import PRE_ACTIVATIONS, QUANTITIES
from support import assert_close, layer_options, pair, random_input, random_state

PLACES = [f"l0.{quantity}" for quantity in QUANTITIES + PRE_ACTIVATIONS]
SCOPES = ["write", "readout"]


@pytest.fixture
def lstm() -> hs.LSTM:
    return hs.LSTM(4, 3)


@pytest.fixture
def one_path() -> Iterator[None]:
    """Run everything on the reference, so that whatever edits leave alone is equal to the last bit."""
    with hs.backend("reference"):
        yield


@pytest.fixture
def x() -> Tensor:
    return torch.randn(5, 2, 4)


def noops(place: str, scope: Any) -> list[hs.Edit]:
    return [hs.scale(place, by=1.0, scope=scope), hs.add(place, value=0.0, scope=scope)]


@given(layer_options(), st.data(), st.sampled_from(SCOPES))
def test_a_noop_edit_is_none(options: dict[str, Any], data: st.DataObject, scope: Any) -> None:
    lstm, _ = pair(options, 0)
    layer, reverse = data.draw(st.sampled_from(lstm.sizes.layer_directions))
    place = f"l{layer}{'r' if reverse else ''}.{data.draw(st.sampled_from(QUANTITIES + PRE_ACTIVATIONS))}"
    x, state = random_input(lstm, 4, 2), random_state(lstm, 2)
    with hs.backend("reference"):
        want, want_state = lstm(x, state)
        with lstm.edit(*noops(place, scope)):
            got, got_state = lstm(x, state)
    assert torch.equal(got, want)
    assert all(torch.equal(a, b) for a, b in zip(got_state, want_state, strict=True))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.usefixtures("one_path")
def test_set_puts_the_value_there_and_nowhere_else(place: str, lstm: hs.LSTM, x: Tensor) -> None:
    plain = lstm.trace(x, pre=True)
    with lstm.edit(hs.set(place, to=0.25, unit=1, t=2, row=0)):
        edited = lstm.trace(x, pre=True)
    assert edited[place][2, 0, 1] == 0.25
    untouched = torch.ones(2, 3, dtype=torch.bool)
    untouched[0, 1] = False
    assert torch.equal(edited[place][2][untouched], plain[place][2][untouched])
    got, want = edited["l0.h"], plain["l0.h"]
    assert torch.equal(got[:2], want[:2]), "earlier steps are left alone"
    assert torch.equal(got[:, 1], want[:, 1]), "other rows are left alone"
    assert not torch.equal(got[3:, 0], want[3:, 0]), "later steps see it"


@pytest.mark.parametrize(
    ("edit", "change"),
    [
        (hs.zero("l0.f"), lambda v: v * 0),
        (hs.set("l0.f", to=0.3), lambda v: v * 0 + 0.3),
        (hs.scale("l0.f", by=-2.0), lambda v: v * -2),
        (hs.add("l0.f", value=0.5), lambda v: v + 0.5),
    ],
)
def test_each_kind_against_the_equations(
    edit: hs.Edit, change: Callable[[Tensor], Tensor], lstm: hs.LSTM, x: Tensor
) -> None:
    plain = lstm.trace(x[:1])
    with lstm.edit(edit):
        out, (_, c_n) = lstm(x[:1], (torch.zeros(1, 2, 3), torch.ones(1, 2, 3)))
    c = change(plain["l0.f"]) + plain["l0.i"] * plain["l0.g"]
    assert_close(c_n, c)
    assert_close(out, plain["l0.o"] * torch.tanh(c))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_patching_every_state_gives_that_run(bidirectional: bool, x: Tensor) -> None:
    lstm = hs.LSTM(4, 3, 2, bidirectional=bidirectional)
    source = lstm.trace(torch.randn(5, 2, 4), random_state(lstm, 2))
    with hs.backend("reference"), lstm.edit(*(hs.patch(name, source=source) for name in source.names)):
        trace = lstm.trace(x)
    assert torch.equal(trace.out, source.out)  # type: ignore[arg-type]
    for name in source.names:
        assert torch.equal(trace[name], source[name])
    assert all(torch.equal(a, b) for a, b in zip(trace.state, source.state, strict=True))


def test_patch_of_some_steps_units_and_rows(lstm: hs.LSTM, x: Tensor) -> None:
    source = lstm.trace(torch.randn(5, 2, 4))
    with lstm.edit(hs.patch("l0.c", source=source, t=[1, 3], unit=[0, 2], row=1)):
        trace = lstm.trace(x)
    assert torch.equal(trace["l0.c"][[1, 3], 1][:, [0, 2]], source["l0.c"][[1, 3], 1][:, [0, 2]])
    assert not torch.equal(trace["l0.c"][2], source["l0.c"][2])


def test_patch_from_one_row_to_many_and_from_other_steps(lstm: hs.LSTM, x: Tensor) -> None:
    source = lstm.trace(torch.randn(2, 4))
    with lstm.edit(hs.patch("l0.c", source=source, t=4, source_t=1)):
        trace = lstm.trace(x)
    assert torch.equal(trace["l0.c"][4], source["l0.c"][1].expand(2, 3))
    pair_of_runs = lstm.trace(torch.randn(5, 2, 4))
    with lstm.edit(hs.patch("l0.h", source=pair_of_runs, t=0, row=0, source_row=1)):
        trace = lstm.trace(x)
    assert torch.equal(trace["l0.h"][0, 0], pair_of_runs["l0.h"][0, 1])


def test_patch_of_a_partial_trace_covers_what_was_recorded(lstm: hs.LSTM, x: Tensor) -> None:
    source = lstm.trace(torch.randn(5, 2, 4), keep=["l0.c"], steps=slice(1, 3))
    with lstm.edit(hs.patch("l0.c", source=source)):
        trace = lstm.trace(x)
    assert torch.equal(trace["l0.c"][1:3], source["l0.c"])
    with pytest.raises(NameUnknownError, match="'l0.f' was not recorded"):
        hs.patch("l0.f", source=source)
    with pytest.raises(IndexRangeError, match="step 4 was not recorded; the recorded steps are 1-2"):
        hs.patch("l0.c", source=source, t=4)


def test_patch_never_copies_padding(lstm: hs.LSTM, x: Tensor) -> None:
    source = lstm.trace(x, lengths=[2, 5])
    with pytest.raises(IndexRangeError, match="nothing to copy at step 2 of its row 0, which has 2 steps"):
        hs.patch("l0.c", source=source)
    with lstm.edit(hs.patch("l0.c", source=source, t=slice(2)), hs.patch("l0.c", source=source, row=1)):
        assert torch.equal(lstm.trace(x)["l0.c"][:, 1], source["l0.c"][:, 1])


def test_nothing_chosen_is_nothing_changed(lstm: hs.LSTM, x: Tensor) -> None:
    with hs.backend("reference"):
        want = lstm(x)[0]
        with lstm.edit(hs.zero("l0.f", unit=[]), hs.zero("l0.f", row=slice(0, 0)), hs.zero("l0.c", t=[])):
            assert torch.equal(lstm(x)[0], want)


@pytest.mark.parametrize("place", PLACES)
def test_readout_changes_this_output_only(place: str, lstm: hs.LSTM, x: Tensor) -> None:
    plain, (_, plain_c) = lstm(x)
    with lstm.edit(hs.set(place, to=0.9, t=2, scope="readout")):
        trace = lstm.trace(x)
    out = trace.out
    assert isinstance(out, Tensor)
    others = [0, 1, 3, 4]
    assert not torch.equal(out[2], plain[2])
    assert_close(out[others], plain[others])
    assert_close(trace.state[1], plain_c)
    if "_pre" not in place:
        assert torch.equal(trace[place][2], torch.full((2, 3), 0.9)), "the trace shows what the output is made of"


def test_readout_and_write_together(lstm: hs.LSTM, x: Tensor) -> None:
    with lstm.edit(hs.add("l0.c", value=0.5, t=1)):
        written, _ = lstm(x)
    with lstm.edit(hs.add("l0.c", value=0.5, t=1), hs.scale("l0.h", by=2.0, t=1, scope="readout")):
        both, _ = lstm(x)
    assert_close(both[1], written[1] * 2)
    assert_close(both[2:], written[2:])


def test_readout_of_a_lower_layer_reaches_the_one_above(x: Tensor) -> None:
    lstm = hs.LSTM(4, 3, 2)
    plain = lstm.trace(x)
    with lstm.edit(hs.zero("l0.h", t=1, scope="readout")):
        trace = lstm.trace(x)
    assert torch.equal(trace["l0.h"][1], torch.zeros(2, 3))
    assert_close(trace["l0.h"][2:], plain["l0.h"][2:])
    assert not torch.allclose(trace["l1.h"][1], plain["l1.h"][1])


@pytest.mark.usefixtures("one_path")
def test_the_reverse_direction_counts_steps_as_the_input_does(x: Tensor) -> None:
    lstm = hs.LSTM(4, 3, bidirectional=True)
    plain = lstm.trace(x)
    with lstm.edit(hs.set("l0r.c", to=2.0, t=3)):
        trace = lstm.trace(x)
    assert torch.equal(trace["l0r.c"][3], torch.full((2, 3), 2.0))
    assert torch.equal(trace["l0r.c"][4], plain["l0r.c"][4]), "read before step 3"
    assert not torch.equal(trace["l0r.c"][2], plain["l0r.c"][2]), "read after it"
    assert torch.equal(trace["l0.c"], plain["l0.c"])


def test_rows_each_with_their_own_edit_are_runs_of_their_own(lstm: hs.LSTM) -> None:
    x = torch.randn(5, 1, 4)
    edits = [hs.zero("l0.f", unit=u, t=t) for u in range(3) for t in range(5)]
    alone = []
    for edit in edits:
        with lstm.edit(edit):
            alone.append(lstm(x)[0])
    swept = [hs.zero(e.place, unit=e.unit, t=e.t, row=n) for n, e in enumerate(edits)]
    with lstm.edit(*swept):
        together, _ = lstm(x.expand(5, len(edits), 4))
    assert_close(together, torch.cat(alone, dim=1))


def test_values_broadcast_against_steps_rows_and_units(lstm: hs.LSTM, x: Tensor) -> None:
    values = torch.randn(2, 2, 2)
    for value, want in (
        (values, values),
        (values[0, 0], values[0, 0].expand(2, 2, 2)),
        (values[:, :1, :1], values[:, :1, :1].expand(2, 2, 2)),
        (torch.tensor(0.5), torch.full((2, 2, 2), 0.5)),
    ):
        with lstm.edit(hs.set("l0.c", to=value, t=[4, 1], unit=[2, 0])):
            got = lstm.trace(x)["l0.c"]
        assert torch.equal(got[[4, 1]][:, :, [2, 0]], want)


def test_edits_of_one_place_apply_in_order_and_inner_after_outer(lstm: hs.LSTM, x: Tensor) -> None:
    with lstm.edit(hs.set("l0.i", to=0.5), hs.scale("l0.i", by=3.0)), lstm.edit(hs.add("l0.i", value=1.0)):
        assert lstm.trace(x)["l0.i"].unique().tolist() == [2.5]
    with lstm.edit(hs.scale("l0.i", by=3.0)), lstm.edit(hs.set("l0.i", to=0.5)):
        assert lstm.trace(x)["l0.i"].unique().tolist() == [0.5]


def test_nothing_is_left_behind(lstm: hs.LSTM, x: Tensor) -> None:
    before, attributes = lstm(x)[0], set(vars(lstm))

    def fail_inside() -> None:
        with lstm.edit(hs.zero("l0.f")):
            assert not torch.equal(lstm(x)[0], before)
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail_inside()
    assert torch.equal(lstm(x)[0], before)
    assert set(vars(lstm)) == attributes
    assert not lstm._forward_hooks
    assert not lstm._forward_pre_hooks


def test_edits_are_for_one_lstm(x: Tensor) -> None:
    edited, other = hs.LSTM(4, 3), hs.LSTM(4, 3)
    want = other(x)[0]
    with edited.edit(hs.zero("l0.f")):
        assert torch.equal(other(x)[0], want)


def test_edits_are_for_one_thread(lstm: hs.LSTM, x: Tensor) -> None:
    plain = lstm(x)[0]
    results: dict[str, Tensor] = {}
    inside, done = threading.Event(), threading.Event()

    def edits() -> None:
        with lstm.edit(hs.zero("l0.o")):
            inside.set()
            done.wait(10)
            results["edited"] = lstm(x)[0]

    thread = threading.Thread(target=edits)
    thread.start()
    assert inside.wait(10)
    results["plain"] = lstm(x)[0]
    done.set()
    thread.join()
    assert torch.equal(results["plain"], plain)
    assert torch.equal(results["edited"], torch.zeros_like(plain))


@pytest.mark.parametrize("kind", ["set", "scale", "add", "patch"])
@pytest.mark.parametrize("scope", SCOPES)
def test_gradient_of_the_value_is_finite_differences(kind: str, scope: Any) -> None:
    lstm, x = hs.LSTM(2, 2, dtype=torch.float64), torch.randn(4, 1, 2, dtype=torch.float64)
    other = torch.randn(4, 1, 2, dtype=torch.float64, requires_grad=True)
    value = torch.randn(2, dtype=torch.float64, requires_grad=True)

    def run(leaf: Tensor) -> Tensor:
        edit = {
            "set": lambda: hs.set("l0.c", to=leaf, t=1, scope=scope),
            "scale": lambda: hs.scale("l0.g_pre", by=leaf, t=1, scope=scope),
            "add": lambda: hs.add("l0.f_pre", value=leaf, t=slice(1, 3), scope=scope),
            "patch": lambda: hs.patch("l0.c", source=lstm.trace(leaf), t=1, scope=scope),
        }[kind]()
        with lstm.edit(edit):
            out: Tensor = lstm(x)[0]
        return out

    assert torch.autograd.gradcheck(run, other if kind == "patch" else value)


@pytest.mark.usefixtures("one_path")
def test_with_lengths_an_edit_past_an_end_does_nothing(lstm: hs.LSTM, x: Tensor) -> None:
    want, (want_h, _) = lstm(x, lengths=[5, 2])
    with lstm.edit(hs.set("l0.c", to=9.0, t=3, row=1), hs.set("l0.h", to=9.0, t=3, row=1, scope="readout")):
        got, (h_n, _) = lstm(x, lengths=[5, 2])
    assert torch.equal(got, want)
    assert torch.equal(h_n, want_h)


@pytest.mark.usefixtures("one_path")
def test_rows_of_a_packed_sequence_are_those_of_the_batch(lstm: hs.LSTM) -> None:
    packed = pack_sequence([torch.randn(2, 4), torch.randn(3, 4)], enforce_sorted=False)
    want = pad_packed_sequence(lstm(packed)[0])[0]
    with lstm.edit(hs.zero("l0.o", row=1)):
        got = pad_packed_sequence(lstm(packed)[0])[0]
    assert torch.equal(got[:, 1], torch.zeros(3, 3))
    assert torch.equal(got[:, 0], want[:, 0])


def test_set_replaces_even_a_nan(lstm: hs.LSTM, x: Tensor) -> None:
    x[1] = float("nan")
    with lstm.edit(hs.zero("l0.c", t=1), hs.zero("l0.h", t=1)):
        assert lstm(x)[0].isfinite().all()


def test_an_edit_of_the_projected_hidden_state_has_its_units(x: Tensor) -> None:
    lstm = hs.LSTM(4, 3, proj_size=2)
    with lstm.edit(hs.zero("l0.h", unit=1), hs.zero("l0.c", unit=2)):
        trace = lstm.trace(x)
    assert not trace["l0.h"][..., 1].any()
    assert not trace["l0.c"][..., 2].any()
    with (
        pytest.raises(IndexRangeError, match="unit=2 is out of range: there are 2"),
        lstm.edit(hs.zero("l0.h", unit=2)),
    ):
        pass


def test_is_frozen_data() -> None:
    edit = hs.set("l0.f", unit=np.int64(2), t=torch.tensor([1, 2]), row=range(2), to=1)  # type: ignore[arg-type]
    assert repr(edit) == repr(hs.Edit("l0.f", "set", 1.0, 2, (1, 2), range(2)))
    with pytest.raises(FrozenInstanceError):
        edit.place = "l0.c"  # type: ignore[misc]


BAD_EDITS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: hs.zero("f"), NameUnknownError, "unknown place 'f'"),
    (lambda: hs.zero("l1.f"), NameUnknownError, "no place 'l1.f' in this LSTM"),
    (lambda: hs.zero("l0r.f"), NameUnknownError, "no place 'l0r.f'"),
    (lambda: hs.zero("l0.c_pre"), NameUnknownError, "unknown place 'l0.c_pre'"),
    (lambda: hs.zero("l0.f", unit=3), IndexRangeError, "unit=3 is out of range: there are 3"),
    (lambda: hs.zero("l0.f", t=5), IndexRangeError, "t=5 is out of range: there are 5"),
    (lambda: hs.zero("l0.f", row=-3), IndexRangeError, "row=-3 is out of range: there are 2"),
    (lambda: hs.zero("l0.f", t=1.0), ArgumentTypeError, "t= must be an int, a slice"),  # type: ignore[arg-type]
    (lambda: hs.zero("l0.f", t=True), ArgumentTypeError, "t= must be an int"),
    (lambda: hs.zero("l0.f", t="12"), ArgumentTypeError, "t= must be an int"),
    (lambda: hs.zero("l0.f", unit=[0, 0]), ArgumentError, "repeats a position"),
    (lambda: hs.zero("l0.f", unit=[0, -3]), ArgumentError, "repeats a position"),
    (lambda: hs.zero("l0.f", scope="both"), ArgumentError, "unknown scope 'both'"),  # type: ignore[arg-type]
    (lambda: replace(hs.zero("l0.f"), scope="wirte"), ArgumentError, "unknown scope 'wirte'"),  # type: ignore[arg-type]
    (lambda: hs.Edit("l0.f", "zap", 0.0), ArgumentError, "unknown kind 'zap'"),  # type: ignore[arg-type]
    (lambda: [hs.zero("l0.f")], ArgumentTypeError, r"got list; write edit\(\*edits\)"),
    (lambda: hs.zero("l00.f"), NameUnknownError, "unknown place 'l00.f'"),
    (lambda: hs.set("l0.f", to="1"), ArgumentTypeError, "must be a number or a tensor, got str"),  # type: ignore[arg-type]
    (lambda: hs.set("l0.f", to=torch.tensor(1j)), ArgumentTypeError, "must be real"),
    (lambda: hs.set("l0.f", to=torch.zeros(4)), ArgumentError, r"shape \[4\], which does not broadcast .* \[5, 2, 3\]"),
    (lambda: hs.set("l0.f", to=torch.zeros(1, 1, 1, 3)), ArgumentError, r"shape \[1, 1, 1, 3\]"),
    (lambda: "l0.f", ArgumentTypeError, "edit.. takes edits, such as those made by hs.zero.*got str"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD_EDITS)
def test_bad_edits_fail(
    make: Callable[[], Any], error: type[Exception], message: str, lstm: hs.LSTM, x: Tensor
) -> None:
    def run() -> None:
        with lstm.edit(make()):
            lstm(x)

    with pytest.raises(error, match=message):
        run()
    lstm(x)  # and nothing of it remains


@pytest.mark.parametrize("name", ["unit", "t", "row"])
def test_a_range_is_taken_as_one(lstm: hs.LSTM, x: Tensor, name: str) -> None:
    far: Any = {name: range(2**62)}
    with pytest.raises(IndexRangeError, match=f"{name}={2**62 - 1} is out of range"):
        call_with(lstm, x, hs.zero("l0.f", **far))
    some: Any = {name: range(1, 3) if name != "row" else range(1, 2)}
    listed: Any = {name: list(some[name])}
    assert torch.equal(call_with(lstm, x, hs.zero("l0.f", **some)), call_with(lstm, x, hs.zero("l0.f", **listed)))


def test_a_stream_waits_for_steps_however_far_they_lie(lstm: hs.LSTM) -> None:
    x = torch.randn(6, 1, 4)
    ahead: list[Any] = [range(3, 2**62, 2), slice(3, 2**62, 2)]
    listed = [hs.add("l0.f", value=0.5, t=[3, 5])]
    outs = []
    for edits in (*([hs.add("l0.f", value=0.5, t=t)] for t in ahead), listed):
        with lstm.edit(*edits):
            outs.append(lstm.stream().feed(x))
    assert torch.equal(outs[0], outs[2])
    assert torch.equal(outs[1], outs[2])


def test_values_for_steps_that_lie_ahead_of_a_stream(lstm: hs.LSTM) -> None:
    x, values = torch.randn(5, 1, 4), torch.rand(2, 1, 3)
    with lstm.edit(hs.set("l0.f", t=[2, 4], to=values)):
        stream = lstm.stream()
        assert_close(torch.stack([stream.step(step) for step in x]), lstm(x)[0])


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_a_value_whose_memory_was_freed_is_refused(lstm: hs.LSTM, x: Tensor, backend: Any) -> None:
    value = torch.zeros(len(x), 1, 3)
    with hs.backend(backend), lstm.edit(hs.set("l0.f", to=value)):
        stream = lstm.stream(x.shape[1])
        value.untyped_storage().resize_(0)
        for call in (lambda: lstm(x), lambda: lstm.trace(x), lambda: stream.feed(x)):
            with pytest.raises(DtypeError, match="the value of the edit of 'l0.f' has shape .* its memory was freed"):
                call()


def test_values_without_plain_numbers_are_refused(lstm: hs.LSTM, x: Tensor) -> None:
    with pytest.raises(DtypeError, match="an edit's value has the layout torch.sparse_coo"):
        hs.set("l0.f", to=torch.ones(1, 1, 3).to_sparse())
    with pytest.raises(ArgumentError, match="too large for a float: 1000"):
        hs.set("l0.f", to=10**400)
    with pytest.raises(DeviceError, match="on the meta device, which has no values"):
        call_with(lstm, x, hs.set("l0.f", to=torch.ones(1, 1, 3, device="meta")))


def call_with(lstm: hs.LSTM, x: Tensor, *edits: hs.Edit) -> Tensor:
    with lstm.edit(*edits):
        out: Tensor = lstm(x)[0]
    return out


def test_an_address_says_unit_step_and_row() -> None:
    edit = hs.set("l1.c[125]@7,n=2", to=0.5)
    assert (edit.place, edit.unit, edit.t, edit.row) == ("l1.c", 125, 7, 2)
    assert hs.zero("l0.f@3", unit=[1, 2]).unit == (1, 2)


def test_a_patch_takes_an_address() -> None:
    lstm = hs.LSTM(3, 4)
    source = lstm.trace(torch.randn(5, 1, 3))
    edit = hs.patch("l0.c[1,3]@2", source=source)
    assert (edit.place, edit.unit, edit.t) == ("l0.c", (1, 3), 2)
    assert isinstance(edit.value, torch.Tensor)
    assert torch.equal(edit.value[0, 0], source["l0.c"][2, 0, [1, 3]])


def test_an_index_in_the_address_and_beside_it_fails() -> None:
    with pytest.raises(ArgumentError, match="'l0.f.3.' already contains unit, but unit=4 is also given"):
        hs.zero("l0.f[3]", unit=4)
    with pytest.raises(NameUnknownError, match="cannot read 'l0.f.3'"):
        hs.zero("l0.f[3")


def test_values_may_stand_second() -> None:
    for made, named in (
        (hs.set("l0.f", 0.5), hs.set("l0.f", to=0.5)),
        (hs.scale("l0.f", 2.0), hs.scale("l0.f", by=2.0)),
        (hs.add("l0.f", 1.0), hs.add("l0.f", value=1.0)),
    ):
        assert repr(made) == repr(named)


def test_a_patch_copies_from_a_trace() -> None:
    with pytest.raises(TypeError, match=r"got LSTM: record one, with source=lstm\.trace\(x\)"):
        hs.patch("l0.f", source=hs.LSTM(4, 3))  # type: ignore[arg-type]


def test_structure_of_takes_sizes() -> None:
    with pytest.raises(TypeError, match=r"got LSTM: use its method structure\(\)"):
        hs.structure_of(hs.LSTM(4, 3))  # type: ignore[arg-type]
