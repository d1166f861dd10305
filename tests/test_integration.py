"""The layer inside torch's own machinery: hooks, compilers, transformations, checkpoints, other devices."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, DtypeError
from support import assert_close


@pytest.fixture
def x() -> Tensor:
    return torch.randn(5, 2, 4)


@pytest.mark.filterwarnings("default")
def test_transformations(x: Tensor) -> None:
    lstm = hs.LSTM(4, 3)
    want = lstm(x)[0]
    over_rows = torch.func.vmap(lambda row: lstm(row)[0], in_dims=1, out_dims=1)(x)
    assert_close(over_rows, want)
    tangent = torch.randn_like(x)
    derivative = torch.func.jvp(lambda value: lstm(value)[0], (x,), (tangent,))[1]
    step = 1e-3
    numeric = (lstm(x + step * tangent)[0] - lstm(x - step * tangent)[0]) / (2 * step)
    assert (derivative - numeric).abs().max() < 1e-3


@pytest.mark.filterwarnings("default")
def test_jit_trace(x: Tensor) -> None:
    lstm = hs.LSTM(4, 3)
    assert_close(torch.jit.trace(lstm, (x,))(x)[0], lstm(x)[0])


def test_hooks_do_in_a_trace_what_they_do_in_a_call(x: Tensor) -> None:
    lstm = hs.LSTM(4, 3)
    prune.l1_unstructured(lstm, "weight_hh_l0", amount=0.5)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.add_(0.1)
    assert_close(lstm.trace(x).out, lstm(x)[0])  # type: ignore[arg-type]
    lstm.register_forward_pre_hook(lambda _, inputs: (inputs[0] * 0,))
    lstm.register_forward_hook(lambda _, __, result: (result[0] * 2, result[1]))
    trace = lstm.trace(x)
    assert_close(trace.out, lstm(x)[0])  # type: ignore[arg-type]
    assert_close(trace["l0.h"] * 2, trace.out)  # type: ignore[arg-type]


def test_a_stream_refuses_hooks(x: Tensor) -> None:
    lstm = hs.LSTM(4, 3)
    stream = lstm.stream(batch=2)
    prune.l1_unstructured(lstm, "weight_hh_l0", amount=0.5)
    with pytest.raises(ArgumentError, match="has forward hooks .* which a stream would pass over"):
        stream.step(x[0])
    prune.remove(lstm, "weight_hh_l0")
    assert_close(stream.step(x[0]), lstm(x[:1])[0][0].detach())


def test_an_lstm_called_inside_a_traced_ones_hook_is_not_traced(x: Tensor) -> None:
    lstm = hs.LSTM(4, 3)
    seen = []
    handle = lstm.register_forward_hook(lambda module, inputs, _: seen.append(module.forward(inputs[0] * 2)[0]))
    trace = lstm.trace(x)
    handle.remove()
    assert_close(trace.out, lstm(x)[0])  # type: ignore[arg-type]
    assert_close(seen[0], lstm(x * 2)[0])


def test_checkpointing_without_edits_is_exact(x: Tensor) -> None:
    lstm, leaf = hs.LSTM(4, 3), x.clone().requires_grad_()
    (want,) = torch.autograd.grad(lstm(leaf)[0].sum(), leaf)
    (got,) = torch.autograd.grad(checkpoint(lambda v: lstm(v)[0], leaf, use_reentrant=False).sum(), leaf)
    assert_close(got, want)


def test_another_default_device_is_no_matter(x: Tensor) -> None:
    lstm = hs.LSTM(4, 3)
    with torch.device("meta"), lstm.edit(hs.zero("l0.f", unit=[0, 2], t=1)):
        out, _ = lstm(x, lengths=[5, 3])
    assert out.device.type == "cpu"
    assert out.isfinite().all()


def test_a_stream_whose_lstm_changed_its_type(x: Tensor) -> None:
    lstm = hs.LSTM(4, 3)
    stream = lstm.stream(batch=2)
    stream.step(x[0])
    lstm.double()
    with pytest.raises(DtypeError, match=r"went from torch.float32 on cpu to torch.float64 .* reset\(\) the stream"):
        stream.step(x[0].double())
    stream.reset()
    assert stream.step(x[0].double()).dtype == torch.float64
    lstm.load_state_dict(hs.LSTM(4, 3).state_dict(), assign=True)
    stream.reset()
    assert_close(stream.step(x[0]), lstm(x[:1])[0][0].detach())


def test_numpys_numbers_are_numbers(x: Tensor) -> None:
    options: dict[str, Any] = {"num_layers": np.int64(2), "bidirectional": np.bool_(True), "dropout": np.float32(0.5)}
    lstm = hs.LSTM(np.int64(4), np.int32(3), **options).eval()  # type: ignore[arg-type]
    lengths = np.array([5, 3], dtype=np.uint16)
    trace = lstm.trace(x, lengths=lengths)  # type: ignore[arg-type]
    assert trace.at(np.int64(2), np.int8(1))["f"] == trace["l0.f"][2, 0, 1]  # type: ignore[arg-type]
    with lstm.edit(hs.set("l0.f", to=np.float32(0.5), unit=np.int64(1))):  # type: ignore[arg-type]
        assert lstm.trace(x)["l0.f"][..., 1].unique().tolist() == [0.5]


def test_sizes_of_a_made_layer_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        hs.LSTM(4, 3).num_layers = 2  # type: ignore[misc]


def test_star_import_leaves_pythons_set_alone() -> None:
    names: dict[str, Any] = {}
    exec("from hiddenstate import *", names)
    assert "set" not in names
    assert names["zero"] is hs.zero
    assert callable(hs.set)
