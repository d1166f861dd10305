"""GRUs and plain RNNs beside our own LSTM of the same size, torch's layers and onnxruntime's GRU.

    python benchmarks/kinds.py [--seconds S] [--threads K]

The best turns, as in grid.py, each contestant in a process of its own. The ratios say how many times as long as ours
the others take; the last column is the floor of floors.py as a share of our time.
"""

import argparse
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import ceilings
import floors
import machine
from ceilings import Ceilings
from contestants import SAME, Contestant, gap, itself
from measure import PACE, take_turns
from onnx_peers import SPINNING_SECONDS, session_of
from shapes import Case, Shape
from workers import Worker

KINDS: dict[str, Any] = {"GRU": nn.GRU, "RNN": nn.RNN, "LSTM": nn.LSTM}
GATES = {"GRU": 3, "RNN": 1}
STEP = "a step"
SIZES = {
    STEP: [Shape(1, 1, H) for H in (64, 128, 256)],
    "a sequence": [Shape(100, 1, 128), Shape(100, 1, 256), Shape(100, 32, 256), Shape(64, 64, 128)],
    "its gradients": [Shape(100, 1, 128), Shape(100, 32, 256), Shape(64, 64, 128)],
}
OTHERS = ("our LSTM", "torch", "onnxruntime")


class Problem(NamedTuple):
    """A row of the table."""

    kind: str
    work: str
    shape: Shape


def contestant(who: str, problem: Problem) -> Contestant:
    """Ours, or another's."""
    kind, work, shape = problem
    case = Case(shape, KINDS["LSTM" if who == "our LSTM" else kind])
    if who == "onnxruntime":
        return _onnx_step(case) if work == STEP else _onnx(case)
    layer, tolerance = (case.theirs, SAME) if who == "torch" else (case.ours, None)
    if work == "its gradients":
        return Contestant(who, partial(_gradients, layer, case.x), itself, tolerance)
    if work == STEP and who != "torch":
        stream = case.ours.stream(shape.N)
        return Contestant(who, partial(stream.step, case.x[0]), itself, tolerance)
    return Contestant(who, partial(_without_gradient, lambda x: layer(x)[0], case.x), itself, tolerance)


def _without_gradient(run: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = run(x)
    return found


def _gradients(layer: Any, x: Tensor) -> Tensor:
    out = layer.train()(x)[0]
    return torch.autograd.grad(out, [*layer.parameters()], torch.ones_like(out))[0]


def _onnx(case: Case) -> Contestant:
    session, given = session_of(case, {"session.force_spinning_stop": "1"}), {"x": case.x.numpy()}
    return Contestant("onnxruntime", lambda: session.run(["out"], given)[0], torch.from_numpy)


def _onnx_step(case: Case) -> Contestant:
    session, x = session_of(case, {}, stateful=True), case.x.numpy()
    h = case.zero_state()[0].numpy()

    def step() -> Any:
        nonlocal h
        out, h = session.run(None, {"x": x, "h0": h})
        return out

    return Contestant("onnxruntime", step, torch.from_numpy, rest=SPINNING_SECONDS)


def row(workers: dict[str, Worker], problem: Problem, seconds: float, limits: Ceilings) -> str:
    """Measure one row."""
    some = {who: worker for who, worker in workers.items() if who != "onnxruntime" or _has_onnx(problem)}
    for who, worker in some.items():
        worker.begin(partial(contestant, who, problem))
    entered = {who: worker.entered() for who, worker in some.items()}
    if problem.work != STEP:  # the first steps of streams, which warming up has left behind
        assert gap(entered["ours"].shown, entered["torch"].shown) <= SAME, problem
    lost: list[str] = []
    times = dict(zip(some, take_turns([*some.values()], seconds, PACE, lost, min), strict=True))
    ours = times["ours"]
    assert ours is not None, lost
    said = [f"{times[who] / ours:5.2f}" if times.get(who) else "    -" for who in OTHERS]  # type: ignore[operator]
    floor = floors.training if problem.work == "its gradients" else floors.forward
    said.append(f"{floor(problem.shape, limits, GATES[problem.kind]) / ours:4.0%}")
    return f"{problem.kind}  {problem.work:<14} {problem.shape!s:<22} {1e6 * ours:9.1f} us  " + "  ".join(said)


def _has_onnx(problem: Problem) -> bool:
    return problem.kind == "GRU" and problem.work != "its gradients"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2, help="measuring time of each row")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    limits = ceilings.measure(given.threads)
    print("\n".join([*machine.described(), ceilings.described(limits)]))
    print(f"ours, how many times as long: {', '.join(OTHERS)}; and the floor's share")
    workers = {who: Worker(who) for who in ("ours", *OTHERS)}
    for kind, work in product(("GRU", "RNN"), SIZES):
        for shape in SIZES[work]:
            print(row(workers, Problem(kind, work, shape), given.seconds, limits), flush=True)
    for worker in workers.values():
        worker.close()


if __name__ == "__main__":
    main()
