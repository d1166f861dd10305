"""Per-sample gradients with torch's expanded weights, which replace the weights while a call runs."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils._per_sample_grad import call_for_per_sample_grads
from torch.nn.utils.rnn import pack_padded_sequence

import hiddenstate as hs
from support import assert_all_close

OPTIONS: list[dict[str, Any]] = [
    {}, {"batch_first": True}, {"num_layers": 2, "bidirectional": True}, {"bias": False}, {"proj_size": 2},
    {"proj_size": 1, "batch_first": True, "bidirectional": True},
]  # fmt: skip


def row_by_row(lstm: hs.LSTM, x: Tensor, lengths: list[int] | None = None) -> list[Tensor]:
    """The gradients of each row's summed outputs with respect to the parameters, stacked."""
    rows = x.unbind(0 if lstm.batch_first else 1)
    found = []
    for k, row in enumerate(rows):
        out = lstm(row[: lengths[k]] if lengths else row)[0]
        found.append(torch.autograd.grad(out.sum(), list(lstm.parameters())))
    return [torch.stack(of_parameter) for of_parameter in zip(*found, strict=True)]


def samples(lstm: nn.Module) -> list[Any]:
    return [vars(parameter)["grad_sample"] for parameter in lstm.parameters()]


@pytest.mark.parametrize("options", OPTIONS)
def test_gradients_of_each_row(options: dict[str, Any]) -> None:
    lstm, x = hs.LSTM(4, 3, **options).double(), torch.randn(5, 2, 4, dtype=torch.float64).requires_grad_()
    want = row_by_row(lstm, x)
    run = call_for_per_sample_grads(
        lstm, batch_size=len(want[0]), loss_reduction="sum", batch_first=bool(options.get("batch_first"))
    )
    run(x)[0].sum().backward()
    assert_all_close(samples(lstm), want)


@pytest.mark.parametrize("options", OPTIONS)
def test_gradients_of_each_row_of_data(options: dict[str, Any]) -> None:
    """For an input that needs no gradient, through outputs and final states."""
    lstm, x = hs.LSTM(4, 3, **options), torch.randn(3, 2, 4)
    rows = x.unbind(0 if lstm.batch_first else 1)
    parameters = list(lstm.parameters())
    want = [torch.autograd.grad(total(*lstm(row)), parameters) for row in rows]
    run = call_for_per_sample_grads(
        lstm, batch_size=len(rows), loss_reduction="sum", batch_first=bool(options.get("batch_first"))
    )
    total(*run(x)).backward()
    assert_all_close(samples(lstm), [torch.stack(of_parameter) for of_parameter in zip(*want, strict=True)])
    assert not x.requires_grad


def total(out: Tensor, state: tuple[Tensor, Tensor]) -> Tensor:
    return out.sum() + (state[0] ** 2).sum() + (state[1] ** 2).sum()


def test_gradients_of_each_row_of_a_packed_sequence() -> None:
    lstm, x, lengths = hs.LSTM(4, 3, 2).double(), torch.randn(5, 3, 4, dtype=torch.float64).requires_grad_(), [5, 3, 1]
    want = row_by_row(lstm, x, lengths)
    run = call_for_per_sample_grads(lstm, batch_size=3, loss_reduction="sum", batch_first=False)
    run(pack_padded_sequence(x, lengths))[0].data.sum().backward()
    assert_all_close(samples(lstm), want)


def test_no_gradient_of_each_row_without_them() -> None:
    lstm, x = nn.Sequential(hs.LSTM(4, 3)), torch.randn(5, 2, 4)
    lstm(x)[0].sum().backward()
    assert not any(hasattr(parameter, "grad_sample") for parameter in lstm.parameters())
