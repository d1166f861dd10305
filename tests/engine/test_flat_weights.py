"""`flatten_parameters` compared with `torch.nn.LSTM`'s, both made to believe that they are on a GPU.

Only a machine with a GPU shows whether cuDNN accepts the weights: see ``test_devices.py``, in which warnings are
errors.
"""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import hiddenstate as hs
from hiddenstate.nn import recurrent_parameters


class OnGpu(nn.Parameter):
    """A parameter that claims to be on a GPU."""

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True


def on_gpu(lstm: nn.Module) -> Any:
    for name, value in list(lstm.named_parameters(recurse=False)):
        setattr(lstm, name, OnGpu(value.detach()))
    return lstm


@pytest.fixture
def flattened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The arguments of each call that asks cuDNN to lay out weights."""
    asked: list[tuple[Any, ...]] = []
    torch_cudnn = torch.backends.cudnn
    monkeypatch.setattr(torch, "_use_cudnn_rnn_flatten_weight", lambda: True)
    monkeypatch.setattr(torch, "_cudnn_rnn_flatten_weight", lambda *arguments: asked.append(arguments))
    monkeypatch.setattr(torch_cudnn, "is_acceptable", lambda value: value.dtype is not torch.bfloat16)
    monkeypatch.setattr("torch.backends.cudnn.rnn.get_cudnn_mode", lambda mode: f"the number of {mode}")
    monkeypatch.setattr(recurrent_parameters, "_PLAIN", (nn.Parameter, OnGpu))
    return asked


OPTIONS: list[dict[str, Any]] = [
    {},
    {"bias": False},
    {"num_layers": 2, "bidirectional": True, "batch_first": True},
    {"proj_size": 2},
    {"proj_size": 2, "bias": False, "num_layers": 3},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_cudnn_is_asked_as_torchs_layer_asks(options: dict[str, Any], flattened: list[tuple[Any, ...]]) -> None:
    ours = hs.LSTM(4, 3, **options)
    theirs = ours.to_torch()
    for lstm in (ours, theirs):
        on_gpu(lstm).flatten_parameters()
    assert len(flattened) == 2
    (weights, *sizes), (their_weights, *their_sizes) = flattened
    assert sizes == their_sizes
    assert all(a is b for a, b in zip(weights, ours.parameters(), strict=True))
    assert [value.shape for value in weights] == [value.shape for value in their_weights]


def test_it_is_asked_when_the_lstm_is_moved_or_converted(flattened: list[tuple[Any, ...]]) -> None:
    for lstm in (on_gpu(hs.LSTM(4, 3)), on_gpu(nn.LSTM(4, 3))):
        flattened.clear()
        lstm.to(torch.float64)
        nn.Sequential(lstm).to(torch.float32)
        assert len(flattened) == 2


def test_it_is_not_asked_where_it_can_do_nothing(flattened: list[tuple[Any, ...]]) -> None:
    other_type, mixed, tied, less = (on_gpu(hs.LSTM(3, 3)) for _ in range(4))
    other_type.to(torch.bfloat16)
    mixed.weight_hh_l0.data = mixed.weight_hh_l0.data.double()
    tied.weight_hh_l0 = tied.weight_ih_l0
    less.bias_hh_l0 = None
    computed = hs.LSTM(3, 3)
    parametrizations.weight_norm(computed, "weight_hh_l0")
    flattened.clear()
    for lstm in (other_type, mixed, tied, less, on_gpu(computed), hs.LSTM(3, 3), hs.LSTM(3, 3, device="meta")):
        lstm.flatten_parameters()
    assert flattened == []


def test_a_computed_weight_is_not_computed_to_be_laid_out() -> None:
    """Computing it might draw random numbers again, for example."""
    lstm = hs.LSTM(4, 3)
    parametrizations.spectral_norm(lstm, "weight_hh_l0")
    before = {name: value.clone() for name, value in lstm.state_dict().items()}
    lstm.to(torch.float32).flatten_parameters()
    assert all(torch.equal(value, before[name]) for name, value in lstm.state_dict().items())
