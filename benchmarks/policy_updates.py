"""Frames per second in the update of a recurrent policy, with episodes that begin in every batch.

    python benchmarks/policy_updates.py [--seconds S]

The layer alone, forward and backward: torch's called step by step, its state multiplied by zero when episodes begin,
as sb3-contrib's `_process_sequence` does; and ours called once, with ``reset=``. If sb3-contrib is installed, also the
whole of `RecurrentPPO.train` on one rollout, with its own policy and with that of examples/sb3_recurrent_policy.py.
Figures are medians of turns, as in run.py.
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import hiddenstate as hs
import machine
from contestants import SAME, Contestant
from measure import Pace, medians

PACE = Pace(turn=0.2, pause=0.05)
EPISODE = 32  # steps of an episode on average


class Batch(NamedTuple):
    """The sequences of an update: T steps of N sequences, C features, H units."""

    T: int
    N: int
    C: int
    H: int

    def __str__(self) -> str:
        return f"{self.T} steps of {self.N} sequences, {self.C} features, {self.H} units"


BATCHES = (Batch(32, 8, 64, 64), Batch(128, 8, 64, 128), Batch(128, 8, 64, 256), Batch(64, 32, 64, 256))


def step_by_step(lstm: nn.LSTM, x: Tensor, state: tuple[Tensor, Tensor], starts: Tensor) -> Tensor:
    """Run as sb3-contrib does if an episode begins in a batch; ``starts`` are 0.0 and 1.0, ``[T, N]``."""
    outs = []
    for features, start in zip(x, starts, strict=True):
        kept = (1.0 - start).view(1, -1, 1)
        out, state = lstm(features[None], (kept * state[0], kept * state[1]))
        outs.append(out)
    return torch.cat(outs)


def layers(batch: Batch) -> list[Contestant]:
    """Ours and theirs, forward and backward, on the same batch."""
    torch.manual_seed(0)
    ours = hs.LSTM(batch.C, batch.H)
    theirs = ours.to_torch()
    x = torch.randn(batch.T, batch.N, batch.C, requires_grad=True)
    state = torch.randn(1, batch.N, batch.H), torch.randn(1, batch.N, batch.H)
    starts = torch.rand(batch.T, batch.N) < 1 / EPISODE
    starts[0] = True

    def trained(layer: nn.Module, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        leaves = [x, *layer.parameters()]
        return lambda: torch.cat([slope.flatten() for slope in torch.autograd.grad(run().square().mean(), leaves)])

    floats = starts.float()
    return [
        Contestant("hiddenstate, reset=", trained(ours, lambda: ours(x, state, reset=starts)[0]), scaled),
        Contestant("torch, step by step", trained(theirs, lambda: step_by_step(theirs, x, state, floats)), scaled),
    ]


def scaled(gradients: Tensor) -> Tensor:
    """Gradients of a mean, scaled to numbers near 1."""
    return gradients * math.sqrt(gradients.numel())


def check(contestants: Sequence[Contestant]) -> None:
    """Reject contestants that compute something else."""
    first, *others = (contestant.shown(contestant.run()) for contestant in contestants)
    for contestant, other in zip(contestants[1:], others, strict=True):
        gap = float((first - other).abs().max()) / max(1.0, float(first.abs().max()))
        assert gap <= SAME, f"{contestant.name} differs by {gap:.3g}"


def show(what: str, frames: int, contestants: Sequence[Contestant], seconds: float) -> None:
    """Measure contestants and print the frames per second of each."""
    times = medians(contestants, seconds, PACE)
    print(what)
    for contestant, time in zip(contestants, times, strict=True):
        ratio = "" if time == times[0] else f"  ({time / times[0]:.1f} times slower)"
        print(f"    {contestant.name:28}{frames / time:12,.0f} frames a second{ratio}")


def updates(units: int, n_envs: int = 8, n_steps: int = 128) -> list[Contestant]:
    """`RecurrentPPO.train` on one rollout, by our policy and by theirs."""
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.env_util import make_vec_env

    sys.path.append(str(Path(__file__).parents[1] / "examples"))
    from sb3_recurrent_policy import Policy, Recall

    options: dict[str, Any] = {
        "n_steps": n_steps,
        "batch_size": n_envs * n_steps // 4,
        "n_epochs": 1,
        "learning_rate": 0.0,  # the same update again and again
        "seed": 0,
        "policy_kwargs": {"lstm_hidden_size": units},
        "device": "cpu",
    }
    longer = type("Longer", (Recall,), {"longest": 2 * n_steps})  # so that batches have sequences of many steps
    env = make_vec_env(longer, n_envs=n_envs, seed=0)
    theirs, ours = (RecurrentPPO(policy, env, **options) for policy in ("MlpLstmPolicy", Policy))
    theirs.learn(n_envs * n_steps)
    ours.policy.load_state_dict(theirs.policy.state_dict())
    ours.rollout_buffer = theirs.rollout_buffer
    ours.set_logger(theirs.logger)
    contestants = [
        Contestant("hiddenstate, reset=", ours.train, lambda _: of_a_batch(ours)),
        Contestant("sb3-contrib", theirs.train, lambda _: of_a_batch(theirs)),
    ]
    check(contestants)
    return contestants


def of_a_batch(model: Any) -> Tensor:
    """Values and logarithms of probabilities of a batch, the same one for every model."""
    np.random.seed(0)
    batch = next(model.rollout_buffer.get(model.batch_size))
    assert batch.episode_starts.any()
    with torch.no_grad():
        values, log_prob, _ = model.policy.evaluate_actions(
            batch.observations, batch.actions.long().flatten(), batch.lstm_states, batch.episode_starts
        )
    mask = batch.mask > 0
    return torch.stack([values.flatten()[mask], log_prob[mask]])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="for each row")
    seconds = parser.parse_args().seconds
    print("\n".join(machine.described()))
    for batch in BATCHES:
        contestants = layers(batch)
        check(contestants)
        show(f"\nforward and backward of the layer, {batch}", batch.T * batch.N, contestants, seconds)
    try:
        import sb3_contrib  # noqa: F401
    except ImportError:
        print("\nsb3-contrib is not installed: its whole update is left out")
        return
    for units in (64, 256):
        show(f"\nRecurrentPPO.train, 128 steps of 8 environments, {units} units", 1024, updates(units), seconds)


if __name__ == "__main__":
    main()
