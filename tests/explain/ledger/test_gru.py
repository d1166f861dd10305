"""The ledger of a GRU: exact, with edits and resets; a plain RNN has none."""

from typing import Any

import pytest
import torch
from torch import nn

import hiddenstate as hs
from hiddenstate import explain
from hiddenstate.errors import ArgumentError


def gru(**options: Any) -> hs.GRU:
    torch.manual_seed(0)
    return hs.GRU(3, 5, 2, bidirectional=True, dtype=torch.float64, **options)


@pytest.mark.parametrize("place", ["l0.h", "l0r.h", "l1.h@3", "l1r.h@3"])
def test_parts_add_up_to_the_hidden_state(place: str) -> None:
    layer, x, h0 = gru(), torch.randn(6, 1, 3).double(), torch.randn(4, 1, 5).double()
    reset = torch.zeros(6, 1, dtype=torch.bool)
    options: list[dict[str, Any]] = [{}, {"reset": reset.index_fill(0, torch.tensor([2]), True)}]
    for given in options:
        found = explain.ledger(layer, x, place=place, hx=h0, **given)
        assert isinstance(found, explain.Ledger)
        trace = layer.trace(x, h0, **given)
        value = trace[str(found.place)][found.t, 0].detach()
        torch.testing.assert_close(found.parts.sum(0) + found.initial, value)
        assert found.residual < 1e-14
        steps = list(found.steps)
        z, n = (trace[f"{place.partition('.')[0]}.{gate}"][steps, 0].detach() for gate in "zn")
        torch.testing.assert_close(found.written, (1 - z) * n)
        later = torch.cat([found.forget[1:], torch.ones(1, 5).double()])
        torch.testing.assert_close(found.kept, later.flip(0).cumprod(0).flip(0))


def test_an_edit_of_the_state_is_a_part_of_its_own_and_a_step_can_be_kept_from_writing() -> None:
    layer, x = gru(), torch.randn(6, 1, 3).double()
    with layer.edit(hs.add("l0.h", 1.0, t=2, unit=1)):
        found = explain.ledger(layer, x, place="l0.h[1]@5")
        assert isinstance(found, explain.Ledger)
        z = layer.trace(x)["l0.z"][3:, 0, 1].prod().item()
    assert found.edited.sum().item() == pytest.approx(z)
    assert found.residual < 1e-14
    assert "wrote (1-z)·n" in str(found)
    assert "by an edit" in str(found)
    plain = explain.ledger(layer, x, place="l0.h[1]@5")
    assert isinstance(plain, explain.Ledger)
    with layer.edit(plain.edit(5)):
        without = layer.trace(x)["l0.h"][5, 0, 1].item()
    assert without == pytest.approx((plain.value - plain.parts[-1]).item())


def test_parts_add_up_to_a_logit() -> None:
    layer, x, head = gru(batch_first=True), torch.randn(1, 6, 3).double(), nn.Linear(10, 4).double()
    found = explain.ledger(layer, x, place=explain.logit(1, word=3), head=head)
    assert isinstance(found, explain.ReadoutLedger)
    assert found.value == pytest.approx(head(layer(x)[0])[0, 3, 1].item())
    assert abs(found.residual) < 1e-14
    assert {edit.place for edit in found.edits(3)} == {"l1.n", "l1r.n"}


def test_a_gru_in_a_module_is_found_with_its_head() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = nn.GRU(3, 5), nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> Any:
            return self.head(self.gru(x)[0])

    x = torch.randn(4, 1, 3)
    found = explain.ledger(hs.convert(Model()), x, place=explain.logit(0, word=3))
    assert abs(found.residual) < 1e-6


def test_a_plain_rnn_has_no_ledger() -> None:
    with pytest.raises(ArgumentError, match="a plain RNN keeps nothing by addition"):
        explain.ledger(hs.RNN(3, 5), torch.randn(4, 1, 3), place="l0.h[1]")
