import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hiddenstate.errors import ArgumentError, MissingDependencyError
from hiddenstate.training.checkpoint import RunFolder
from hiddenstate.training.loop import fit
from hiddenstate.training.machine import RunMachine, detect_machine, is_leader
from hiddenstate.training.settings import TrainConfig
from tasks import CONFIG, Line

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which two processes have run all of the training in ``ranks.py``."""
    folder = tmp_path_factory.mktemp("ranks")
    for name in ("quiet", "whole", "broken"):
        (folder / name).mkdir()
    paths = [str(TESTS), str(TESTS.parent / "src"), os.environ.get("PYTHONPATH", "")]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    result = subprocess.run(
        [*command, str(TESTS / "ranks.py"), str(folder)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    stopped = [f"rank {rank} stopped after step 4" for rank in range(2)]
    # A remaining group could abort Python at exit. Four runs, of which one was stopped, and the end of Python.
    ended = [f"rank {rank} leaves 0 groups, 0 threads" for rank in range(2)] * 5
    failed = [
        "rank 0: OSError: the disk is full",
        "rank 1: HiddenStateError: the first process failed: the disk is full",
    ]
    # Older versions of torch print the number of processes in pieces, from both processes at once.
    said = [line for line in result.stdout.splitlines() if line.startswith("rank ")]
    assert sorted(said) == sorted(ended + failed + stopped)
    return folder


def weights(path: Path) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value) for name, value in json.loads(path.read_text()).items()}


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_their_batches_together(trained: Path, tmp_path: Path) -> None:
    first, second = (weights(trained / "quiet" / f"{rank}.json") for rank in range(2))
    alone = Line(replace(CONFIG, optimizer="sgd"), batch=32, noisy=False)  # 16 + 16, and 8 that only one process has
    RunFolder(tmp_path / "run").begin("")
    fit(alone, RunFolder(tmp_path / "run"), tmp_path / "model", detect_machine(alone.config))
    for name, value in alone.model.state_dict().items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_two_processes_resume_to_the_same_weights(trained: Path, tmp_path: Path) -> None:
    ends = [weights(trained / name / f"{rank}.json") for name in ("whole", "broken") for rank in range(2)]
    assert all(torch.equal(end[name], ends[0][name]) for end in ends for name in ends[0])
    metrics = [(trained / name / "run" / "metrics.jsonl").read_text().splitlines() for name in ("whole", "broken")]
    assert len(metrics[0]) == len(metrics[1])
    with pytest.raises(ArgumentError, match="trained by 2 processes, but now there are 1"):
        fit(Line(batch=8), RunFolder(trained / "broken" / "run"), tmp_path, RunMachine(CONFIG), resume=True)


def test_one_process_needs_no_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    machine = detect_machine(TrainConfig())
    assert (machine.rank, machine.ranks, machine.leads, is_leader()) == (0, 1, True, True)
    assert machine.sum([1, 2.5]) == [1, 2.5]
    assert (machine.gather("a"), machine.once(lambda: 3)) == (["a"], 3)
    with pytest.raises(MissingDependencyError, match=r"need accelerate, .* pip install 'hiddenstate\[train\]'"):
        detect_machine(TrainConfig(device="auto"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert not is_leader()
    with pytest.raises(MissingDependencyError, match="need accelerate"):
        detect_machine(TrainConfig())


def test_precision() -> None:
    layer, x = torch.nn.Linear(3, 3), torch.randn(2, 3)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with detect_machine(TrainConfig(precision=precision)).autocast():
            assert layer(x).dtype is dtype
