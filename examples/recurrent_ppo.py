"""Recurrent PPO (Schulman et al., 2017) in one file, on a task that needs a memory.

    python examples/recurrent_ppo.py [--updates 30]

A stream acts in many environments at once; each update trains on the whole rollout in one call, with `reset=` where
episodes begin and `reset_to=` for their initial state, which is learned. sb3_recurrent_policy.py has the policy for
sb3-contrib, torchrl_lstm.py the module for TorchRL.
"""

import argparse
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

import hiddenstate as hs

N, T, UNITS, EPOCHS = 32, 32, 32, 4
GAMMA, LAMBDA, CLIP = 0.9, 0.95, 0.2


class Recall:
    """N environments: a cue, shown at an episode's first step, must be recalled at the last of its 2 to 7 steps."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.age, self.cue, self.length = torch.zeros(N, dtype=torch.long), self.draw(0, 2), self.draw(2, 8)

    def draw(self, low: int, high: int) -> Tensor:
        """Draw an integer for each environment."""
        return torch.randint(low, high, (N,), generator=self.generator)

    def observe(self) -> tuple[Tensor, Tensor]:
        """Return the observations ``[N, 3]``, and which episodes begin, ``[N]``."""
        begins, asks = self.age == 0, self.age == self.length - 1
        return torch.stack([begins, begins * (2.0 * self.cue - 1), asks], dim=1), begins

    def step(self, action: Tensor) -> Tensor:
        """Act; return the rewards: 1 if the cue was requested and recalled."""
        asks = self.age == self.length - 1
        reward = (asks & (action == self.cue)).float()
        self.age = torch.where(asks, 0, self.age + 1)
        self.cue = torch.where(asks, self.draw(0, 2), self.cue)
        self.length = torch.where(asks, self.draw(2, 8), self.length)
        return reward


class Policy(nn.Module):
    """An LSTM, the initial state of its episodes, and its heads."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = hs.LSTM(3, UNITS)
        self.first = nn.ParameterList([torch.zeros(1, UNITS), torch.zeros(1, UNITS)])
        self.actor, self.critic = nn.Linear(UNITS, 2), nn.Linear(UNITS, 1)

    @property
    def first_state(self) -> tuple[Tensor, Tensor]:
        """``(h, c)`` of shape ``[1, UNITS]``: one state for all episodes."""
        h, c = self.first
        return h, c

    def read(self, out: Tensor) -> tuple[Categorical, Tensor]:
        """Return the distribution of actions, and the value."""
        return Categorical(logits=self.actor(out)), self.critic(out).squeeze(-1)


class Rollout(NamedTuple):
    """T steps of N environments; ``begin`` is the state before the first of them."""

    begin: tuple[Tensor, Tensor]
    seen: Tensor
    starts: Tensor
    actions: Tensor
    logs: Tensor
    values: Tensor
    rewards: Tensor
    advantages: Tensor


@torch.no_grad()
def collect(policy: Policy, acting: hs.Stream, environments: Recall) -> Rollout:
    """Act for T steps."""
    begin, steps = acting.state, []
    for _ in range(T):
        x, starts = environments.observe()
        acting.reset(starts, to=policy.first_state)
        choice, value = policy.read(acting.step(x))
        action = choice.sample()
        steps.append((x, starts, action, choice.log_prob(action), value, environments.step(action)))
    seen, starts, actions, logs, values, rewards = (torch.stack(part) for part in zip(*steps, strict=True))
    x, after = environments.observe()
    _, last = policy.read(acting.fork().step(x))  # the value of the next observation; the stream itself waits
    advantages = estimate(rewards, values, last, torch.cat([starts[1:], after[None]]))
    return Rollout(begin, seen, starts, actions, logs, values, rewards, advantages)


def estimate(rewards: Tensor, values: Tensor, last: Tensor, ended: Tensor) -> Tensor:
    """Generalised advantages (Schulman et al., 2016), ``[T, N]``; ``ended``: whether an episode ended with a step."""
    found, after, sum_ = torch.zeros_like(rewards), last, torch.zeros_like(last)
    for t in reversed(range(len(rewards))):
        goes_on = (~ended[t]).float()
        surprise = rewards[t] + GAMMA * after * goes_on - values[t]
        sum_ = surprise + GAMMA * LAMBDA * goes_on * sum_
        found[t], after = sum_, values[t]
    return found


def update(policy: Policy, optimiser: torch.optim.Optimizer, rollout: Rollout) -> None:
    """Train on a whole rollout at once."""
    gains = (rollout.advantages - rollout.advantages.mean()) / (rollout.advantages.std() + 1e-8)
    for epoch in range(EPOCHS):
        out, _ = policy.lstm(rollout.seen, rollout.begin, reset=rollout.starts, reset_to=policy.first_state)
        choice, values = policy.read(out)
        ratio = (choice.log_prob(rollout.actions) - rollout.logs).exp()
        if epoch == 0:  # acting and training must compute the same
            assert torch.allclose(ratio, torch.ones(()), atol=1e-4), "a state was lost, or a border shifted"
        gain = torch.minimum(ratio * gains, ratio.clamp(1 - CLIP, 1 + CLIP) * gains).mean()
        miss = (values - rollout.advantages - rollout.values).square().mean()
        loss = 0.5 * miss - gain - 0.01 * choice.entropy().mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(policy.parameters(), 0.5)
        optimiser.step()


def main() -> None:
    """Train, and say how often the cue was recalled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=30)
    updates = parser.parse_args().updates
    torch.manual_seed(0)
    policy, environments = Policy(), Recall(0)
    acting = policy.lstm.stream(batch=N)
    optimiser = torch.optim.Adam(policy.parameters(), 5e-3)
    for k in range(updates):
        rollout = collect(policy, acting, environments)
        update(policy, optimiser, rollout)
        if (k + 1) % 10 == 0:
            asked = rollout.seen[..., 2].sum()
            print(f"update {k + 1}: {float(rollout.rewards.sum() / asked):.2f} of {int(asked)} cues were recalled")


if __name__ == "__main__":
    main()
