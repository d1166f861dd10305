"""Groups of tensors in a state dict, and missing or strange ones."""

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from hiddenstate.errors import ArgumentError, DtypeError, NameUnknownError, ShapeError
from hiddenstate.interop.state_dict import from_state_dict
from support import assert_close


def old_weight_norm(lstm: nn.LSTM, dim: int | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's older weight norm is deprecated, but files with it are not
        for name in ("weight_hh_l0", "weight_ih_l0"):
            weight_norm(lstm, name, dim)  # type: ignore[arg-type]


def new_weight_norm(lstm: nn.LSTM, dim: int | None) -> None:
    for name in ("weight_hh_l0", "weight_ih_l0"):
        parametrizations.weight_norm(lstm, name, dim)  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", [old_weight_norm, new_weight_norm])
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("sizes", [(4, 3), (1, 3), (4, 1)])
def test_weight_norm_is_folded(
    norm: Callable[[nn.LSTM, int | None], None], dim: int | None, sizes: tuple[int, int]
) -> None:
    theirs = nn.LSTM(*sizes)
    norm(theirs, dim)
    for parameter in theirs.parameters():
        parameter.data *= 1.5
    x = torch.randn(3, 2, sizes[0])
    assert_close(from_state_dict(theirs.state_dict())(x)[0], theirs(x)[0])


def test_tensors_missing_or_of_wrong_shape_fail() -> None:
    state = nn.LSTM(4, 3, 3, bidirectional=True).state_dict()
    without = {key: value for key, value in state.items() if "_l1_reverse" not in key}
    with pytest.raises(NameUnknownError, match="has tensors for l0, l0r, l1, l2, l2r, but none for l1r"):
        from_state_dict(without)
    for key in state:
        with pytest.raises((NameUnknownError, ShapeError)):
            from_state_dict({k: v for k, v in state.items() if k != key})
        with pytest.raises(ShapeError):
            from_state_dict({**state, key: state[key].repeat_interleave(2, dim=-1)})
    with pytest.raises(ShapeError, match=r"weight_ih of l1 has shape \[12, 5\], expected \[12, 6\]"):
        from_state_dict({**state, "weight_ih_l1": torch.zeros(12, 5)})
    with pytest.raises(DtypeError, match="must be floats of one type"):
        from_state_dict({**state, "weight_ih_l1": torch.zeros(12, 6).double()})
    with pytest.raises(
        DtypeError, match="weights of l1 are torch.float64, but those of the first layer are torch.float32"
    ):
        from_state_dict({k: v.double() if "_l1" in k else v for k, v in state.items()})
    with pytest.raises(ArgumentError, match="l0 and l2 must both have biases, or neither"):
        from_state_dict({k: v for k, v in state.items() if not k.startswith("bias") or "_l2" not in k})


def orthogonal(lstm: nn.LSTM) -> nn.Module:
    return parametrizations.orthogonal(lstm, "weight_hh_l0")


def pruned(lstm: nn.LSTM) -> nn.Module:
    return prune.l1_unstructured(lstm, "weight_hh_l0", amount=0.5)  # type: ignore[no-any-return]


def spectral(lstm: nn.LSTM) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated
        return spectral_norm(lstm, "weight_hh_l0")


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (orthogonal, "parametrizations.weight_hh_l0.0.base"),
        (pruned, "weight_hh_l0_mask"),
        (spectral, "weight_hh_l0_v"),
    ],
)
def test_other_parametrizations_fail(change: Callable[[nn.LSTM], nn.Module], left: str) -> None:
    with pytest.raises(ArgumentError, match=f"an unknown parametrization .*it left {left}"):
        from_state_dict(change(nn.LSTM(4, 3)).state_dict())


def test_weight_norm_that_does_not_fit_fails() -> None:
    theirs = nn.LSTM(4, 3)
    new_weight_norm(theirs, 0)
    state = theirs.state_dict()
    state["parametrizations.weight_hh_l0.original0"] = torch.ones(3, 1)
    with pytest.raises(ArgumentError, match="it left parametrizations.weight_hh_l0.original"):
        from_state_dict(state)
