import pytest
import safetensors.torch
import torch

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, IndexRangeError
from hiddenstate.studio.bundles.bundle import bundle_trace


def test_a_row() -> None:
    lstm = hs.LSTM(4, 3, num_layers=2, bidirectional=True, proj_size=2)
    trace = lstm.trace(torch.randn(5, 2, 4), lengths=[5, 3], pre=True, tokens=[list("abcde"), list("fgh")])
    bundle = bundle_trace(trace, row=1)
    found = safetensors.torch.load(bundle.weights)
    places = {f"given.{track}.{quantity}" for track in ("l0", "l0r", "l1", "l1r") for quantity in "ifgoch"}
    assert set(found) == places | {"given.h0", "given.c0"}
    assert torch.equal(found["given.l1r.c"], trace.values["l1r.c"][:3, 1])
    assert found["given.l0.h"].shape == (3, 2)
    assert found["given.h0"].shape == (4, 2)
    assert bundle.given is not None
    assert (bundle.given.steps, bundle.given.tokens) == (3, ["f", "g", "h"])
    sizes = {"input_size": 0, "hidden_size": 3, "num_layers": 2, "bias": True, "bidirectional": True, "proj_size": 2}
    assert bundle.config == sizes


def test_what_was_carried_and_what_was_kept() -> None:
    lstm = hs.LSTM(4, 3)
    with lstm.edit(hs.zero("l0.c", t=1, scope="readout")):
        trace = lstm.trace(torch.randn(5, 4), keep=["l0.c", "l0.f"])
    bundle = bundle_trace(trace, "mine")
    found = safetensors.torch.load(bundle.weights)
    assert set(found) == {"given.l0.c", "given.l0.f", "given.h0", "given.c0", "given.carried.l0"}
    assert torch.equal(found["given.carried.l0"], trace.carried["l0"][:, 0])
    assert bundle.name == "mine"


@pytest.mark.parametrize(("layer", "names"), [(hs.GRU(4, 3), {"r", "z", "n", "h"}), (hs.RNN(4, 3), {"h"})])
def test_other_cells(layer: hs.GRU | hs.RNN, names: set[str]) -> None:
    trace = layer.trace(torch.randn(5, 2, 4), pre=True)
    bundle = bundle_trace(trace, row=1)
    assert bundle.head()["cell"] == layer.mode
    found = safetensors.torch.load(bundle.weights)
    assert set(found) == {f"given.l0.{name}" for name in names} | {"given.h0"}
    assert torch.equal(found["given.l0.h"], trace["l0.h"][:, 1])


def test_fails() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(5, 2, 4)
    with pytest.raises(
        ArgumentError, match="only 1 of 5 steps were recorded; the studio shows whole runs: trace again without steps="
    ):
        bundle_trace(lstm.trace(x, steps=[2]))
    reset = torch.zeros(5, 2, dtype=torch.bool)
    bundle_trace(lstm.trace(x, reset=reset))
    reset[2, 1] = True
    with pytest.raises(ArgumentError, match="this trace has resets"):
        bundle_trace(lstm.trace(x, reset=reset))
    with pytest.raises(ArgumentError, match="this row of the trace has no steps to show"):
        bundle_trace(lstm.trace(x, lengths=[5, 0]), row=1)
    with pytest.raises(IndexRangeError):
        bundle_trace(lstm.trace(x), row=2)
