"""Other people's trained models, converted or imported: the same numbers, and the measured speed-up.

Each is in a package that pip installs. To install all of them (the first three have many dependencies, none of which is
needed here; only fcd is used unchanged):

    pip install --no-deps resemblyzer BeatNet silero-vad
    pip install fcd hiddenstate[onnx]

A model whose package is not installed is left out.
"""

import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import hiddenstate as hs


class Run(NamedTuple):
    """One model on one input: as its authors run it, and with our LSTM."""

    model: str
    input: str
    theirs: Callable[[], Tensor]
    ours: Callable[[], Tensor]


def folder_of(package: str) -> Path | None:
    """The folder of a package, which is not imported."""
    spec = importlib.util.find_spec(package)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


class VoiceEncoder(nn.Module):
    """The network of Resemblyzer (Apache-2.0): spectrogram to voice embedding; resemblyzer/voice_encoder.py."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(40, 256, num_layers=3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, mels: Tensor) -> Tensor:
        """Embed ``[N, T, 40]`` as ``[N, 256]``."""
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(self.linear(hidden[-1]).relu())


def voices(package: Path) -> Iterator[Run]:
    """1.6 seconds of speech are 160 steps; a minute of it is 77 pieces."""
    checkpoint = torch.load(package / "pretrained.pt", map_location="cpu", weights_only=True)
    model = VoiceEncoder().eval()
    model.load_state_dict(
        checkpoint["model_state"], strict=False
    )  # the file also contains values that only training needs
    converted = hs.convert(model)
    for rows in (1, 8, 77):
        mels = torch.rand(rows, 160, 40)
        yield run_of("Resemblyzer", f"{rows} pieces of 160 steps", model, converted, mels)


def beats(package: Path) -> Iterator[Run]:
    """BeatNet (CC-BY-4.0) by its own code: beats and downbeats from live music, frame by frame."""
    spec = importlib.util.spec_from_file_location("beatnet_model", package / "model.py")
    assert spec
    assert spec.loader
    code = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(code)
    model = code.BDA(272, 150, 2, "cpu").eval()
    model.load_state_dict(torch.load(package / "models" / "model_1_weights.pt", weights_only=True), strict=False)
    converted = hs.convert(model)
    for frames in (1, 500):
        yield run_of("BeatNet", f"{frames} frames", afresh(model), afresh(converted), torch.rand(1, frames, 272))


def afresh(model: Any) -> Callable[[Tensor], Tensor]:
    """Run the model, which keeps its state between calls, from the same state each time."""

    def run(x: Tensor) -> Tensor:
        model.hidden, model.cell = torch.zeros(2, 1, 150), torch.zeros(2, 1, 150)
        out: Tensor = model(x)
        return out

    return run


def molecules(package: Path) -> Iterator[Run]:
    """ChemNet of FCD (LGPL-3.0) by its own code: a molecule, written as text, to its features."""
    model = importlib.import_module(package.name).load_ref_model()
    converted = hs.convert(model)
    for rows in (1, 128):
        letters = torch.zeros(rows, 35, 350).scatter_(1, torch.randint(0, 34, (rows, 1, 350)), 1.0)
        yield run_of("ChemNet", f"{rows} molecules", model, converted, letters)


def speech(package: Path) -> Iterator[Run]:
    """The LSTM in an ONNX file of Silero VAD (MIT), imported, against onnxruntime."""
    import onnx
    import onnxruntime

    graph = onnx.load(package / "data" / "silero_vad_16k_sequence.onnx").graph
    (node,) = (node for node in graph.node if node.op_type == "LSTM")
    weights = [value for value in graph.initializer if value.name in node.input]
    shapes: dict[str, list[str | int | None]] = {
        node.input[0]: ["T", 1, 128],
        "h": [1, 1, 128],
        "c": [1, 1, 128],
        node.output[0]: ["T", 1, 1, 128],
        node.output[1]: [1, 1, 128],
        node.output[2]: [1, 1, 128],
    }
    values = [onnx.helper.make_tensor_value_info(name, 1, shape) for name, shape in shapes.items()]
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "lstm", values[:3], values[3:], weights),
        opset_imports=[onnx.helper.make_opsetid("", 16)],
        ir_version=8,
    )
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # it would continue during our turn
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    lstm = hs.from_onnx(model)
    x, zeros = torch.randn(512, 1, 128), torch.zeros(1, 1, 128)

    def theirs(steps: int, state: list[Any]) -> Tensor:
        out, *state[:] = session.run(None, {node.input[0]: x[:steps].numpy(), "h": state[0], "c": state[1]})
        return torch.from_numpy(out)[:, 0]

    yield Run("Silero VAD (LSTM)", "512 windows", lambda: theirs(512, [zeros.numpy()] * 2), lambda: lstm(x)[0])
    stream, state = lstm.stream(), [zeros.numpy()] * 2
    yield Run("Silero VAD (LSTM)", "1 window, as it comes", lambda: theirs(1, state), lambda: stream.step(x[0])[None])


def run_of(name: str, about: str, model: Callable[[Tensor], Any], converted: Callable[[Tensor], Any], x: Tensor) -> Run:
    """A model and its converted copy, on one input."""
    return Run(name, about, lambda: model(x), lambda: converted(x))


def milliseconds(*calls: Callable[[], object], seconds: float = 2.0) -> list[float]:
    """The median time of each, taken in turns."""
    times: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 5:
        for call, taken in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            taken.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(taken) for taken in times]


MODELS = {"resemblyzer": voices, "BeatNet": beats, "fcd": molecules, "silero_vad": speech}


@torch.no_grad()
def main() -> None:
    """Compare what is installed, and print a table."""
    torch.manual_seed(0)
    print(f"{'model':20}{'input':28}{'theirs, ms':>12}{'ours, ms':>10}{'faster':>8}   largest difference")
    for package, runs in MODELS.items():
        found = folder_of(package)
        if found is None:
            print(f"{package} is not installed")
            continue
        for run in runs(found):
            want, got = run.theirs(), run.ours()
            gap = float((want - got).abs().max() / want.abs().max().clamp_min(1))
            assert gap < 1e-4, f"{run.model}: results differ by {gap}"
            theirs, ours = milliseconds(run.theirs, run.ours)
            print(f"{run.model:20}{run.input:28}{theirs:12.2f}{ours:10.2f}{theirs / ours:7.1f}×   {gap:.0e}")


if __name__ == "__main__":
    main()
