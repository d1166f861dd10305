"""The runtime without torch beside hiddenstate with it: the same results, and the time of each.

    python benchmarks/without_torch.py --runtime FOLDER [--text TEST.conllu] [--rtneural FOLDER] [--turns 5]

FOLDER contains the package `hiddenstate_runtime` (an unpacked wheel of `make runtime`). With `--text` its sentences are
tagged. `--rtneural` is a checkout of RTNeural, whose published vectors are compared. If `silero-vad` and onnxruntime
are installed, silero's LSTM runs on what its own network computes, against onnxruntime. Each time is the least of the
turns, which the contestants take one after another on one thread, except where threads are what is measured.
"""

import argparse
import importlib
import importlib.util
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import hiddenstate as hs
from hiddenstate.models.language.language_model import generate
from hiddenstate.models.language.sampling import Sampling
from hiddenstate.models.model_folder import load_language_model, load_tagger
from hiddenstate.text.conllu import read_conllu

hr: Any = None  # hiddenstate_runtime, once its folder is known
WRITTEN = 40_000
THREADS, STEPS = 8, 2000
ROWS, ROUNDS, COMING = 1000, 50, 50
UNITS = 128
PUBLISHED = {"lstm": hs.LSTM, "lstm_1d": hs.LSTM, "gru": hs.GRU, "gru_1d": hs.GRU}
PUBLISHED_OF_TORCH = {"lstm_torch": hs.LSTM, "gru_torch": hs.GRU}
CHUNK, CONTEXT = 512, 64  # samples that silero reads at a time, and those it reads again


def carried(model: Any, folder: Path) -> Any:
    """A model, in the runtime."""
    hs.save(model, folder / "model.safetensors")
    return hr.load(folder / "model.safetensors")


def compared(
    what: str,
    ways: Mapping[str, Callable[[], Any]],
    turns: int,
    per: int = 1,
    unit: float = 1.0,
    tolerance: float = 0.0,
) -> None:
    """Run each way in turns, check that all give the same, and print the least time of each, divided by `per`."""
    least, results = dict.fromkeys(ways, float("inf")), dict[str, Any]()
    for _ in range(turns):
        for name, way in ways.items():
            begin = time.perf_counter()
            results[name] = way()
            least[name] = min(least[name], time.perf_counter() - begin)
    one, other = results.values()
    if not (np.allclose(one, other, rtol=0, atol=tolerance) if tolerance else np.array_equal(one, other)):
        raise SystemExit(f"{what}: the results differ")
    times = ", ".join(f"{name} {seconds / per / unit:.3g}" for name, seconds in least.items())
    first, second = least.values()
    print(f"{what}: {times}; ratio {first / second:.2f}")


def tagging(path: Path, folder: Path, turns: int) -> None:
    """All sentences of a treebank."""
    hs.save(load_tagger("tagger-en"), folder / "model.safetensors")
    ours: Any = hs.load(folder / "model.safetensors")
    theirs = hr.load(folder / "model.safetensors")
    rows = [sentence.forms for sentence in read_conllu(path)]

    def tags(tag: Callable[[Any], Sequence[Any]]) -> list[str]:
        return [tag for sentence in tag(rows) for tag in sentence.tags]

    ways = {"torch": partial(tags, ours.tag), "runtime": partial(tags, theirs.tag_many)}
    compared(f"tags of {sum(map(len, rows)):,} words, s", ways, turns)


def writing(folder: Path, turns: int) -> None:
    """A text of the shipped language model."""
    model, prompt = load_language_model("shakespeare"), "ROMEO:\n"
    theirs = carried(model, folder)
    ids = model.tokens.encode(prompt)

    def ours() -> str:
        written = generate(model, ids, WRITTEN, Sampling(seed=1))
        text: str = model.tokens.text_of(list(written), int(ids[-1]))
        return text

    ways = {"torch": ours, "runtime": lambda: "".join(theirs.generate(prompt, WRITTEN, hr.Sampling(seed=1)))}
    compared(f"{WRITTEN:,} characters written, µs each", ways, turns, WRITTEN, 1e-6)


def in_threads(folder: Path, turns: int) -> None:
    """A stream in each thread, of a layer that all share."""
    lstm = hs.LSTM(UNITS, UNITS)
    x = np.random.default_rng(0).standard_normal((THREADS, STEPS, UNITS), np.float32)

    def outputs(layer: Any) -> np.ndarray[Any, Any]:
        out = np.empty_like(x)

        def run(k: int) -> None:
            with torch.inference_mode():
                stream = layer.stream()
                for t in range(STEPS):
                    stream.step(x[k, t], out=out[k, t])

        threads = [threading.Thread(target=run, args=(k,)) for k in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return out

    ways = {"torch": partial(outputs, lstm), "runtime": partial(outputs, carried(lstm, folder))}
    compared(f"{THREADS} threads with a stream each, µs a step", ways, turns, THREADS * STEPS, 1e-6)


def coming_and_going(folder: Path, turns: int) -> None:
    """Rows of one stream, of which some leave and others join before each step."""
    lstm = hs.LSTM(UNITS, UNITS)

    def last(make: Callable[[], Any]) -> np.ndarray[Any, Any]:
        rng, stream = np.random.default_rng(0), make()
        with torch.inference_mode():
            for _ in range(ROUNDS):
                stream.leave(sorted(rng.choice(np.array(stream.rows), COMING, replace=False).tolist()))
                rows = list(stream.rows)
                out = stream.step(rng.standard_normal((len(rows), UNITS), np.float32), rows=rows)
                for _ in range(COMING):
                    stream.join()
        return np.asarray(out)

    theirs = carried(lstm, folder)
    ways = {
        "torch": lambda: last(lambda: lstm.stream(batch=ROWS)),
        "runtime": lambda: last(lambda: theirs.stream(ROWS)),
    }
    compared(f"{ROWS:,} rows, {COMING} leave and join at each step, ms a step", ways, turns, ROUNDS, 1e-3)


def published(checkout: Path, folder: Path) -> Iterator[tuple[str, float]]:
    """The largest difference between the runtime and each vector that RTNeural publishes."""

    def vector(name: str) -> np.ndarray[Any, Any]:
        return np.loadtxt(checkout / "test_data" / f"{name}_python.csv")

    def stepped(layer: Any, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        stream = carried(layer, folder).stream()
        return np.stack([stream.step(row) for row in x.astype(np.float32)])

    for name, kind in PUBLISHED.items():
        x = vector(f"{name}_x")[:, None]
        for layer in json.loads((checkout / "models" / f"{name}.json").read_text())["layers"]:
            weights = [np.array(each, np.float32) for each in layer["weights"]]
            if layer["type"] in ("lstm", "gru"):
                x = stepped(hs.from_keras(weights, kind=kind), x)
            else:
                x = x @ weights[0] + weights[1]
                x = {"": x, "tanh": np.tanh(x), "sigmoid": 1 / (1 + np.exp(-x))}[layer["activation"]]
        yield name, float(np.abs(x[:, 0] - vector(f"{name}_y")).max())
    for name, kind in PUBLISHED_OF_TORCH.items():
        data = json.loads((checkout / "models" / f"{name}.json").read_text())
        state = {key: torch.tensor(value) for key, value in data.items()}
        x = vector(f"{name}_x")[:, None]
        for prefix in (name.removesuffix("_torch") + ".", name.removesuffix("_torch") + "2."):
            part = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            x = stepped(hs.from_state_dict(part, kind=kind), x)
        x = x @ state["dense.weight"].numpy().T + state["dense.bias"].numpy()
        yield name, float(np.abs(x[:, 0] - vector(f"{name}_y")).max())


def silero(package: Path, folder: Path, turns: int) -> None:
    """The LSTM of silero-vad: its network's states, and the time of a step."""
    import onnx
    import onnxruntime

    model = onnx.load(package / "data" / "silero_vad_16k_op15.onnx")
    prefix = "model.decoder.rnn."
    weights = {
        f"{each.name.removeprefix(prefix)}_l0": torch.from_numpy(onnx.numpy_helper.to_array(each).copy())
        for each in model.graph.initializer
        if each.name.startswith(prefix)
    }
    lstm = hs.from_state_dict(weights)
    stream = carried(lstm, folder).stream()
    read = next(
        node.output[0] for node in reversed(model.graph.node) if node.op_type == "Relu" and "encoder" in node.name
    )
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(read))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    network = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    times = np.arange(16_000 * 5) / 16_000
    rng = np.random.default_rng(0)
    sound = (0.3 * np.sin(times * 900 * np.sin(times * 3)) + 0.05 * rng.standard_normal(len(times))).astype(np.float32)
    state, rate = np.zeros((2, 1, lstm.hidden_size), np.float32), np.array(16_000)
    inputs, ours, theirs = [], [], []
    for at in range(CONTEXT, len(sound) - CHUNK + 1, CHUNK):
        given = {"input": sound[None, at - CONTEXT : at + CHUNK], "state": state, "sr": rate}
        _, state, x = network.run(["output", "stateN", read], given)
        inputs.append(x.reshape(-1))
        ours.append(stream.step(inputs[-1]))
        theirs.append(state[0, 0])
    with torch.inference_mode():
        exact = lstm.to_torch().double()(torch.from_numpy(np.stack(inputs)).double())[0].numpy()
    gaps = [float(np.abs(np.stack(a) - b).max()) for a, b in ((ours, theirs), (ours, exact), (theirs, exact))]
    print(
        f"silero-vad's LSTM, {len(inputs)} steps of its network: at most {gaps[0]:.1e} apart; "
        f"from float64 {gaps[1]:.1e}, its network {gaps[2]:.1e}"
    )

    hs.export_onnx(lstm, folder / "lstm.onnx")
    alone = onnxruntime.InferenceSession(str(folder / "lstm.onnx"), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in alone.get_inputs()]

    def by_onnxruntime() -> np.ndarray[Any, Any]:
        held = [np.zeros((1, 1, lstm.hidden_size), np.float32) for _ in names[1:]]
        for x in inputs:
            _, *held = alone.run(None, dict(zip(names, (x[None, None], *held), strict=True)))
        return held[0].ravel()

    out = np.empty(lstm.hidden_size, np.float32)

    def by_runtime() -> np.ndarray[Any, Any]:
        stream.reset()
        for x in inputs:
            stream.step(x, out=out)
        return out

    ways = {"onnxruntime": by_onnxruntime, "runtime": by_runtime}
    compared("a step of silero-vad's LSTM, µs", ways, 20 * turns, len(inputs), 1e-6, tolerance=1e-6)


def main() -> None:
    """Print all that can be compared here."""
    global hr
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", type=Path, required=True, help="the folder that contains hiddenstate_runtime")
    parser.add_argument("--text", type=Path, help="CoNLL-U sentences to tag")
    parser.add_argument("--rtneural", type=Path, help="a checkout of RTNeural")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # read when the runtime is imported
    torch.set_num_threads(1)
    sys.path.append(str(options.runtime))
    hr = importlib.import_module("hiddenstate_runtime")
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.rtneural is not None:
            for name, gap in published(options.rtneural, folder):
                print(f"RTNeural's {name}: at most {gap:.1e} apart")
        package = importlib.util.find_spec("silero_vad")
        if package is not None and package.origin is not None and importlib.util.find_spec("onnxruntime"):
            silero(Path(package.origin).parent, folder, options.turns)
        if options.text is not None:
            tagging(options.text, folder, options.turns)
        writing(folder, options.turns)
        in_threads(folder, options.turns)
        coming_and_going(folder, options.turns)


if __name__ == "__main__":
    main()
