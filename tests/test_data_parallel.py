"""Training in two processes, each on its own rows, gives the parameters of one process on all rows."""

import time
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from data_parallel_runs import RANKS, ROWS, WAYS, Way, parameters_of, train, work
from support import assert_close, share

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or not torch.distributed.is_gloo_available(), reason="this torch has no gloo"
)
PATIENCE = 600  # seconds: on a busy machine starting a process takes long

Trained = dict[str, dict[str, Tensor]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Trained], bool]:
    """Each process's results at the end, and whether this torch shards its own layers correctly."""
    folder = tmp_path_factory.mktemp("data_parallel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        context = spawn(work, args=(folder,), nprocs=RANKS, join=False)
    end = time.monotonic() + PATIENCE
    while not context.join(timeout=5):  # raises the error of a process
        if time.monotonic() > end:
            for process in context.processes:
                process.kill()
            pytest.fail(f"the processes did not end in {PATIENCE} s")
    shards = (folder / "torchs_own_is_right").read_text() == "True"
    loaded: list[Trained] = [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)]
    return loaded, shards


def alone(way: Way) -> dict[str, Tensor]:
    """The results of one process on all rows at once."""
    model = way.model()
    train(model, replace(way, accumulates=False), slice(0, ROWS))
    return parameters_of(model)


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
def test_two_processes_are_as_one(name: str, trained: tuple[list[Trained], bool]) -> None:
    if name.startswith("fully_shard") and not trained[1]:
        pytest.skip("this torch gives wrong gradients of its own sharded layers on CPUs")
    first, second = (found[name] for found in trained[0])
    before, want = dict(WAYS[name].model().named_parameters()), alone(WAYS[name])
    assert list(first) == list(second) == list(want)
    for key, value in want.items():
        assert torch.equal(first[key], second[key])
        if name == "fully_shard, bfloat16":
            assert share(first[key], value) < 3e-2  # after three steps, whose gradients have 8 significant bits
        else:
            assert_close(first[key], value, f"{name}: {key}", slack=3)
        assert torch.equal(value, before[key]) == key.startswith("spare"), "all but unused ones were trained"
