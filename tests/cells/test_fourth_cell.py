"""A fourth kind of cell needs only one file, which anyone could write: an LSTM with layer normalisation.

Ba, Kiros & Hinton (2016), "Layer Normalization", without learned scales: the pre-activations of all gates are
normalised together, as in torchaudio's RNN-T, and so is the cell state.
"""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear

import hiddenstate as hs
from hiddenstate.cells.cell import ValueHook, Weights
from hiddenstate.cells.kinds import CELLS
from hiddenstate.cells.lstm import LSTM
from hiddenstate.errors import ArgumentError
from hiddenstate.interop.torch.accelerate import acceleration
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.nn.rnn import LAYERS
from hiddenstate.structure.sizes import Sizes


def step(xg: Tensor, states: tuple[Tensor, ...], w: Weights, see: ValueHook) -> tuple[Tensor, ...]:
    h, c = states
    pre = normalised(xg + linear(h, w.hh, w.b_hh)).chunk(4, dim=-1)
    i, f, g, o = (see(gate.name, gate(see(f"{gate.name}_pre", z))) for gate, z in zip(LSTM.gates, pre, strict=True))
    c = see("c", normalised(f * c + i * g))
    return see("h", o * torch.tanh(c)), c


def normalised(x: Tensor) -> Tensor:
    return layer_norm(x, x.shape[-1:])


CELL = replace(LSTM, name="NORMALISED_LSTM", step=step, is_additive=False)


class NormalisedLSTM(Recurrent[tuple[Tensor, Tensor], nn.LSTM]):
    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bidirectional: bool = False) -> None:
        sizes = Sizes(input_size, hidden_size, num_layers, True, bidirectional, cell=CELL.name)
        super().__init__(sizes, False, 0.0, None, torch.float64, "float")


@pytest.fixture(autouse=True)
def _cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CELLS, CELL.name, CELL)
    torch.manual_seed(0)


def by_hand(layer: NormalisedLSTM, x: Tensor) -> Tensor:
    """One layer, one direction, in a loop."""
    w_ih, w_hh, b_ih, b_hh = layer.parameters()
    h = c = x.new_zeros(x.shape[1], layer.hidden_size)
    outputs = []
    for x_t in x:
        i, f, g, o = normalised(x_t @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, dim=-1)
        c = normalised(f.sigmoid() * c + i.sigmoid() * g.tanh())
        h = o.sigmoid() * c.tanh()
        outputs.append(h)
    return torch.stack(outputs)


def test_outputs_and_gradients() -> None:
    layer, x = NormalisedLSTM(3, 5), torch.randn(7, 2, 3, dtype=torch.float64)
    out, expected = layer(x)[0], by_hand(layer, x)
    torch.testing.assert_close(out, expected)
    weight = torch.randn_like(out)
    for ours, theirs in zip(
        torch.autograd.grad((out * weight).sum(), list(layer.parameters())),
        torch.autograd.grad((expected * weight).sum(), list(layer.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_it_is_traced_edited_and_streamed() -> None:
    layer, x = NormalisedLSTM(3, 5, 2, bidirectional=True), torch.randn(7, 2, 3, dtype=torch.float64)
    lengths = torch.tensor([7, 3])
    plain, (h_n, c_n) = layer(x, lengths=lengths)
    run = layer.trace(x, lengths=lengths)
    assert {name.partition(".")[2] for name in run.values} == set("ifgoch")
    torch.testing.assert_close(run["l1r.c"][0, 1], c_n[3, 1])  # the reverse direction ends at its first step
    with layer.edit(hs.zero("l0.h[1]")):
        assert (layer.trace(x)["l0.h"][..., 1] == 0).all()
    torch.testing.assert_close(layer(x, lengths=lengths)[0], plain)
    assert h_n.shape == c_n.shape == (4, 2, 5)


def test_a_stream_is_the_sequence_step_by_step() -> None:
    layer, x = NormalisedLSTM(3, 5, 2), torch.randn(4, 1, 3, dtype=torch.float64)
    stream = layer.stream()
    steps = torch.stack([stream.step(each) for each in x])
    torch.testing.assert_close(steps, layer(x)[0])


def test_what_has_no_law_for_it_says_so() -> None:
    layer, x = NormalisedLSTM(3, 5), torch.randn(4, 1, 3, dtype=torch.float64)
    with pytest.raises(ArgumentError, match="NORMALISED"):
        hs.explain.ledger(layer, x, place="l0.c[1]")
    assert "native code does not support this cell yet: NORMALISED_LSTM" in str(layer.path(x))
    assert "torch has no NORMALISED" in str(layer.path(x))
    with pytest.raises(ArgumentError, match="torch has no NormalisedLSTM"):
        layer.to_torch()


def test_a_kind_that_torch_lacks_is_not_that_of_a_state_dict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYERS, CELL.name, NormalisedLSTM)
    assert repr(hs.from_state_dict(nn.LSTM(4, 3).state_dict())) == "LSTM(4, 3)"


def test_a_kind_that_torch_lacks_does_not_stop_acceleration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(acceleration._FUNCTIONS, CELL.name.lower(), acceleration._FUNCTIONS["lstm"])
    layer, x = nn.LSTM(4, 3), torch.randn(5, 2, 4)
    with torch.no_grad():
        want = layer(x)[0]
        with hs.accelerate():
            assert torch.allclose(layer(x)[0], want, atol=1e-6)
