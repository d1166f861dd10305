"""The work of `test_data_parallel.py`'s processes: train the same small model in several ways."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed._composable.replicate import replicate
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

import hiddenstate as hs

RANKS, ROWS, STEPS = 2, 4, 3


class Model(nn.Module):
    """Two LSTMs and a head; optionally one more LSTM, and gates in the result."""

    def __init__(self, *, spare: bool = False, records: bool = False) -> None:
        super().__init__()
        self.below = hs.LSTM(4, 5, bidirectional=True)
        self.above = hs.LSTM(10, 6, 2, proj_size=3)
        self.spare = hs.LSTM(4, 5) if spare else None
        self.head = nn.Linear(3, 2)
        self.records = records

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """``[N, 2]``."""
        if not self.records:
            out: Tensor = self.head(self.above(self.below(x, lengths=lengths)[0])[0]).sum(0)
            return out
        trace = self.below.trace(x, lengths=lengths)
        assert isinstance(trace.out, Tensor)
        recorded: Tensor = self.head(self.above(trace.out)[0]).sum(0) + trace["l0r.f"].sum((0, 2))[:, None]
        return recorded


@dataclass(frozen=True)
class Way:
    """One way to train: how a process wraps the model, and what else it does besides calling it."""

    wrap: Callable[[Model], nn.Module]
    ragged: bool = False
    spare: bool = False
    records: bool = False
    accumulates: bool = False  # reads its rows one by one, and adds up their gradients

    def model(self) -> Model:
        torch.manual_seed(0)
        return Model(spare=self.spare, records=self.records)


def sharded(model: Model) -> nn.Module:
    """FSDP2: each LSTM separately, so that its weights exist only while it runs, then the rest."""
    for part in (model.below, model.above, model):
        fully_shard(part)
    return model


def sharded_in_bfloat16(model: Model) -> nn.Module:
    fully_shard(model, mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16))
    return model


def ddp(**options: Any) -> Callable[[Model], nn.Module]:
    return lambda model: DistributedDataParallel(model, **options)


@contextmanager
def unsynchronised(module: nn.Module) -> Iterator[None]:
    """In the block, gradients are accumulated, not yet shared."""
    if isinstance(module, DistributedDataParallel):
        with module.no_sync():
            yield
    else:
        assert isinstance(module, FSDPModule)
        module.set_requires_gradient_sync(False)
        yield
        module.set_requires_gradient_sync(True)


WAYS = {
    "DistributedDataParallel": Way(ddp()),
    "ragged": Way(ddp(), ragged=True),
    "unused parameters": Way(ddp(find_unused_parameters=True), spare=True),
    "static graph": Way(ddp(static_graph=True, gradient_as_bucket_view=True), ragged=True),
    "accumulated": Way(ddp(), accumulates=True),
    "recorded": Way(ddp(), ragged=True, records=True),
    "replicate": Way(replicate, ragged=True),
    "fully_shard": Way(sharded),
    "fully_shard, ragged": Way(sharded, ragged=True),
    "fully_shard, recorded": Way(sharded, ragged=True, records=True),
    "fully_shard, accumulated": Way(sharded, accumulates=True),
    "fully_shard, bfloat16": Way(sharded_in_bfloat16),
}


def batches(rows: slice) -> Iterator[tuple[Tensor, Tensor]]:
    """The same batches everywhere, with these rows of each."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        x = torch.randn(6, ROWS, 4, generator=generator)
        yield x[:, rows], torch.randint(0, 7, (ROWS,), generator=generator)[rows]


def train(module: nn.Module, way: Way, rows: slice) -> None:
    """Some steps of gradient descent on the mean over the rows."""
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    for x, lengths in batches(rows):
        optimiser.zero_grad()
        parts = [slice(n, n + 1) for n in range(x.shape[1])] if way.accumulates else [slice(None)]
        for part in parts:
            with nullcontext() if part is parts[-1] else unsynchronised(module):
                out = module(x[:, part], lengths[part]) if way.ragged else module(x[:, part])
                (out.float().square().sum() / x.shape[1]).backward()
        optimiser.step()


def parameters_of(module: nn.Module) -> dict[str, Tensor]:
    """The whole parameters, under their names in the model."""
    named = {name.removeprefix("module."): value.detach() for name, value in module.named_parameters()}
    return {name: getattr(value, "full_tensor", lambda value=value: value)() for name, value in named.items()}


def _torchs_own_is_right() -> bool:
    """Whether torch accumulates the gradients of its own sharded layers; torch 2.8 does not, on CPUs."""
    layer = nn.Linear(3, 2)
    for value in layer.parameters():
        nn.init.constant_(value, 0.5)
    fully_shard(layer)
    layer(torch.ones(1, 3)).sum().backward()
    grads = [value.grad.full_tensor() for value in layer.parameters() if isinstance(value.grad, DTensor)]
    return len(grads) == 2 and all(bool((grad == 1).all()) for grad in grads)


def work(rank: int, folder: Path) -> None:
    """One of the processes: trains in every way in turn, and writes the parameters to a file."""
    torch.set_num_threads(1)
    file = f"file://{folder / 'rendezvous'}"
    dist.init_process_group("gloo", file, rank=rank, world_size=RANKS, timeout=timedelta(minutes=10))
    share, found = ROWS // RANKS, {}
    for name, way in WAYS.items():
        module = way.wrap(way.model())
        train(module, way, slice(rank * share, (rank + 1) * share))
        found[name] = parameters_of(module)
    torch.save(found, folder / f"{rank}.pt")
    if rank == 0:
        (folder / "torchs_own_is_right").write_text(str(_torchs_own_is_right()))
    else:
        _torchs_own_is_right()
    # gloo's threads live as long as a model that references them, and abort Python if it ends before them.
    del module
    gc.collect()
    dist.destroy_process_group()
