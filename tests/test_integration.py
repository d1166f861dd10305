"""The layer inside torch's machinery: hooks, compilers, other devices."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils._pytree import tree_leaves

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, DtypeError
from support import assert_all_close, assert_close


@pytest.fixture
def x() -> Tensor:
    return torch.randn(5, 2, 4)


@pytest.mark.filterwarnings("default")
def test_jit_trace(x: Tensor) -> None:
    lstm = hs.LSTM(4, 3)
    assert_close(torch.jit.trace(lstm, (x,))(x)[0], lstm(x)[0])


class Packer(nn.Module):
    """Packs rows for its LSTM."""

    def __init__(self, lstm: nn.Module) -> None:
        super().__init__()
        self.lstm = lstm

    def forward(self, x: Tensor, lengths: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        packed, (h_n, c_n) = self.lstm(pack_padded_sequence(x, lengths), (h, c))
        return pad_packed_sequence(packed)[0], h_n, c_n


@pytest.mark.filterwarnings("ignore:Converting a tensor", "ignore:torch.as_tensor", "ignore:Using len")
@pytest.mark.filterwarnings("ignore:`torch.jit.trace` is:DeprecationWarning")
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"num_layers": 2, "batch_first": True}])
def test_a_jit_trace_of_packed_rows_takes_others(options: dict[str, Any]) -> None:
    lstm = hs.LSTM(4, 3, **options)
    tracks = lstm.num_layers * (2 if lstm.bidirectional else 1)

    def given(steps: int, lengths: list[int]) -> tuple[Tensor, ...]:
        states = (torch.randn(tracks, len(lengths), 3) for _ in range(2))
        return torch.randn(steps, len(lengths), 4), torch.tensor(lengths), *states

    traced = torch.jit.trace(Packer(lstm), given(5, [3, 2, 1]))
    for other in (given(7, [7, 5, 2]), given(9, [6, 5, 2, 1]), given(1, [1])):
        assert_all_close(traced(*other), Packer(lstm.to_torch())(*other))


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


def test_hooks_see_what_those_of_torchs_layer_see(x: Tensor) -> None:
    """Forward hooks see the call and its result; backward hooks see the gradients of input and output."""
    ours, state = hs.LSTM(4, 3), (torch.randn(1, 2, 3), torch.randn(1, 2, 3))
    seen: list[list[Tensor]] = []
    for lstm in (ours, ours.to_torch()):
        found: list[Tensor] = []

        def forward(_: nn.Module, args: Any, kwargs: Any, result: Any, found: list[Tensor] = found) -> None:
            found += tree_leaves((args, kwargs, result))

        def backward(_: nn.Module, of_input: Any, of_output: Any, found: list[Tensor] = found) -> None:
            found += [value for value in tree_leaves((of_input, of_output)) if value is not None]

        lstm.register_forward_hook(forward, with_kwargs=True)
        lstm.register_full_backward_hook(backward)
        lstm(x.clone().requires_grad_(), hx=state)[0].square().sum().backward()
        seen.append(found)
    assert len(seen[0]) == 8
    assert_all_close(seen[0], seen[1])


def test_a_stream_refuses_hooks(x: Tensor) -> None:
    lstm = hs.LSTM(4, 3)
    stream = lstm.stream(batch=2)
    prune.l1_unstructured(lstm, "weight_hh_l0", amount=0.5)
    with pytest.raises(ArgumentError, match="has forward hooks .* which a stream would not run"):
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
    with pytest.raises(DtypeError, match=r"is now torch.float64 on cpu, .* reset\(\) the stream"):
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


def test_star_import_leaves_pythons_set_alone() -> None:
    names: dict[str, Any] = {}
    exec("from hiddenstate import *", names)
    assert "set" not in names
    assert names["zero"] is hs.zero
    assert callable(hs.set)
