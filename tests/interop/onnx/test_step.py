"""One step of a whole module as ONNX: the states are named inputs and outputs, and the file equals the stream."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ExportError
from hiddenstate.interop.onnx import step
from interop.torch.streamed import (
    Acting,
    Decoder,
    Forecaster,
    FrameByFrame,
    RandomStreamable,
    RecurrentActor,
    VoiceActivity,
)

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def random_module(seed: int) -> tuple[nn.Module, tuple[Tensor, ...]]:
    model = RandomStreamable(seed)
    model.begins_learned = False
    return model, (model.example(2, 20),)


MODULES: dict[str, Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]] = {
    "random 6": lambda: random_module(6),
    "voice activity": lambda: (VoiceActivity(), (torch.randn(2, 20, 64),)),
    "frames": lambda: (FrameByFrame(), (torch.randn(3, 64), torch.zeros(2, 3, 16))),
    "acting": lambda: (Acting(RecurrentActor(nn.GRU)), (torch.randn(4, 5),)),
    "forecaster": lambda: (Forecaster(hs.LSTM), (torch.randn(2, 20, 2),)),
    "decoder": lambda: (Decoder(), (torch.randn(20, 3, 6),)),
    **{f"random {seed}": lambda seed=seed: random_module(seed) for seed in range(20, 30)},  # type: ignore[misc]
}


def export_and_run(name: str, folder: Path) -> list[str]:
    torch.manual_seed(0)
    model, args = MODULES[name]()
    path = folder / "model.onnx"
    try:
        hs.export_onnx(model.eval(), path, args=args, form="step")
    except ExportError:
        if not torch.__version__.startswith("2.8.") or not name.startswith("random"):
            raise
        pytest.skip("torch 2.8 fixes the number of rows of this module, so the file is refused")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    stream = hs.stream(model, *args, batch=5)
    letters, x = stream.layout, args[0]
    states = {name: part.numpy() for name, part in stream.state.items()}
    assert [value.name for value in session.get_inputs()] == ["x", *states]
    for _ in range(6):
        shape = [5 if letter == "N" else size for letter, size in zip(letters, x.shape, strict=True) if letter != "T"]
        value = torch.randn(shape)
        got = session.run(None, {"x": value.numpy(), **states})
        want = [leaf for leaf in pytree.tree_leaves(stream.step(value)) if isinstance(leaf, Tensor)]
        assert all(torch.allclose(torch.as_tensor(a), b, atol=1e-5) for a, b in zip(got, want, strict=False))
        states = dict(zip(states, got[len(want) :], strict=True))
    for name, part in stream.state.items():
        assert torch.allclose(torch.as_tensor(states[name]), part, atol=1e-5)
    return [value.name for value in session.get_outputs()]


def test_a_step_with_a_cell_a_layer_and_convolutions_equals_the_stream(tmp_path: Path) -> None:
    names = export_and_run("random 6", tmp_path)
    assert {"parts.0.h_next", "parts.2.inputs_next", "parts.4.c_next"} < set(names)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODULES if name != "random 6"][::2])
def test_steps_of_modules_equal_the_stream(name: str, tmp_path: Path) -> None:
    names = export_and_run(name, tmp_path)
    if name == "forecaster":
        assert names[:3] == ["out.forecast", "out.state.0", "out.state.1"]


def test_what_a_step_can_not_have_is_refused(tmp_path: Path) -> None:
    x = torch.randn(2, 20, 4)

    class Begun(nn.Module):
        def __init__(self, bidirectional: bool = False) -> None:
            super().__init__()
            self.gru = nn.GRU(4, 3, batch_first=True, bidirectional=bidirectional)

        def forward(self, x: Tensor) -> Any:
            return self.gru(x, x.new_ones(1, len(x), 3))[0] if not self.gru.bidirectional else self.gru(x)[0]

    bad: Any = (
        (Begun(), {}, "starts from its own initial state"),
        (Begun(bidirectional=True), {}, "`gru` is bidirectional"),
        (Begun(), {"input_names": ["x"]}, "input_names= is not for a step"),
        (Begun(), {"lengths": True}, "lengths= is only for an LSTM"),
    )
    for model, options, match in bad:
        with pytest.raises(ArgumentError, match=match):
            hs.export_onnx(model, tmp_path / "no.onnx", args=(x,), form="step", **options)
    assert not [*tmp_path.iterdir()]


def test_a_file_with_other_numbers_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, path = nn.Sequential(hs.GRU(4, 3, batch_first=True)).eval(), tmp_path / "model.onnx"
    forward = step.OneStep.forward
    monkeypatch.setattr(step.OneStep, "forward", lambda self, x, *states: forward(self, x, *[1.1 * s for s in states]))
    with pytest.raises(ExportError, match=r"at step 1 of 3 rows differs by"):
        hs.export_onnx(model, path, args=(torch.randn(2, 9, 4),), form="step")
    assert not path.exists()
