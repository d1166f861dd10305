"""Train one LSTM in several processes, each on its own rows: data-parallel training.

    torchrun --standalone --nproc-per-node 2 examples/data_parallel.py

The task needs a memory of one step: predict at each step whether the first feature of the previous step was positive.
"""

import gc
from collections.abc import Iterator

import torch
import torch.distributed as dist
import torch.distributed.nn  # imported now, since an import while a group exists would keep that group for good
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.parallel import DistributedDataParallel

import hiddenstate as hs

STEPS = 60


class Recall(nn.Module):
    """An LSTM, and a logit from its hidden state at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = hs.LSTM(input_size=4, hidden_size=16)
        self.head = nn.Linear(16, 1)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Logits ``[T, N]`` of ``x [T, N, 4]``, whose rows have these lengths."""
        out, _ = self.lstm(x, lengths=lengths)
        logits: Tensor = self.head(out)[..., 0]
        return logits


def batches(rank: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of 16 rows of 2 to 12 steps, different in each process."""
    generator = torch.Generator().manual_seed(rank)
    while True:
        yield torch.randn(12, 16, 4, generator=generator), torch.randint(2, 13, (16,), generator=generator)


def loss_of(logits: Tensor, x: Tensor, lengths: Tensor) -> Tensor:
    """Mean loss over all real steps except the first."""
    asked = torch.arange(1, len(x))[:, None] < lengths
    return binary_cross_entropy_with_logits(logits[1:][asked], (x[:-1, :, 0] > 0)[asked].float())


def train() -> list[float]:
    """Train this process's copy of the model; return the mean loss over all processes at each step."""
    model = DistributedDataParallel(Recall())
    optimiser = torch.optim.Adam(model.parameters(), lr=0.03)
    losses, rank = list[float](), dist.get_rank()
    for step, (x, lengths) in zip(range(STEPS), batches(rank), strict=False):
        loss = loss_of(model(x, lengths), x, lengths)
        optimiser.zero_grad()
        loss.backward()  # the processes share their gradients here
        optimiser.step()
        shared = loss.detach() / dist.get_world_size()
        dist.all_reduce(shared)
        losses.append(float(shared))
        if rank == 0 and step % 10 == 9:
            print(f"step {step + 1:2}  loss {losses[-1]:.3f}", flush=True)
    return losses


def main() -> None:
    """One of the processes."""
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    try:
        losses = train()
    finally:
        # gloo's threads live as long as the model, which references them, and abort Python if it ends before them.
        gc.collect()
        dist.destroy_process_group()
    if losses[-1] > losses[0] / 2:
        raise SystemExit(f"the loss only went from {losses[0]:.3f} to {losses[-1]:.3f}")


if __name__ == "__main__":
    main()
