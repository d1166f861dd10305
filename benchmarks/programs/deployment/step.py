"""One of deployment.py's processes: python step.py WHAT FOLDER STEPS."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZE = 128


def with_torch(folder: Path) -> Callable[[], Any]:
    """`torch.nn.LSTM`, called for one step at a time."""
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    lstm = torch.nn.LSTM(SIZE, SIZE)
    lstm.load_state_dict(torch.load(folder / "m.pt"))
    x, state = torch.full((1, 1, SIZE), 0.5), (torch.zeros(1, 1, SIZE), torch.zeros(1, 1, SIZE))

    def step() -> Any:
        nonlocal state
        out, state = lstm(x, state)
        return out.flatten()

    return step


def with_hiddenstate(folder: Path) -> Callable[[], Any]:
    """A stream of hiddenstate."""
    import torch

    import hiddenstate as hs

    torch.set_num_threads(1)
    lstm = hs.load(folder / "m.safetensors")
    assert isinstance(lstm, hs.LSTM)
    stream, x, out = lstm.stream(), torch.full((SIZE,), 0.5), torch.empty(SIZE)
    return lambda: stream.step(x, out=out)


def with_runtime(folder: Path) -> Callable[[], Any]:
    """A stream of hiddenstate_runtime."""
    import hiddenstate_runtime as hr
    import numpy as np

    stream = hr.load(str(folder / "m.safetensors")).stream()
    x, out = np.full(SIZE, 0.5, np.float32), np.empty(SIZE, np.float32)
    return lambda: stream.step(x, out=out)


def with_onnxruntime(folder: Path) -> Callable[[], Any]:
    """The exported graph, called for one step at a time."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "m.onnx"), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    state = [np.zeros((1, 1, SIZE), np.float32) for _ in names[1:]]
    x = np.full((1, 1, SIZE), 0.5, np.float32)

    def step() -> Any:
        out, *state[:] = session.run(None, dict(zip(names, (x, *state), strict=True)))
        return out.ravel()

    return step


WAYS = {
    "torch": with_torch,
    "hiddenstate": with_hiddenstate,
    "runtime": with_runtime,
    "onnxruntime": with_onnxruntime,
}


def main() -> None:
    """Print the figures."""
    _, what, folder, steps = sys.argv
    step = WAYS[what](Path(folder))
    print("out=" + " ".join(f"{float(value):.9g}" for value in step()))
    print(f"start={time.process_time()}")
    least = float("inf")
    for _ in range(int(steps)):
        begin = time.perf_counter()
        step()
        least = min(least, time.perf_counter() - begin)
    print(f"step={least}")
    status = Path("/proc/self/status").read_text()
    print(f"memory={1024 * int(status.split('VmHWM:')[1].split()[0])}")


main()
