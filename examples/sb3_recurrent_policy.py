"""A policy for sb3-contrib's RecurrentPPO whose LSTMs run on the engine, each batch in one call.

    pip install sb3-contrib
    python examples/sb3_recurrent_policy.py [--frames 4096]

In sb3-contrib, episodes begin inside nearly every batch. It then runs its LSTM step by step, to zero the state there.
`reset=` does that inside one call; everything else is unchanged.
"""

import argparse
from typing import Any

import gymnasium
import numpy as np
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from torch import Tensor

import hiddenstate as hs

Observation = np.ndarray[Any, np.dtype[np.float32]]


class Policy(RecurrentActorCriticPolicy):  # type: ignore[misc]
    """Actor and critic with our LSTMs; pass it instead of ``"MlpLstmPolicy"``."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        hs.convert(
            self, inplace=True, strict=True
        )  # the parameters stay the same objects, so that the optimiser has them

    @staticmethod
    def _process_sequence(
        features: Tensor, lstm_states: tuple[Tensor, Tensor], episode_starts: Tensor, lstm: hs.LSTM
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run ``features [n_seq * T, C]``, sequence by sequence; return outputs in the same layout, and the state."""
        n_seq = lstm_states[0].shape[1]
        x = features.reshape(n_seq, -1, lstm.input_size).swapaxes(0, 1)
        starts = episode_starts.reshape(n_seq, -1).swapaxes(0, 1) > 0
        out, state = lstm(x, lstm_states, reset=starts)
        return out.swapaxes(0, 1).flatten(0, 1), state


class Recall(gymnasium.Env):  # type: ignore[misc]
    """A cue is shown at the first step of an episode, and must be recalled at the last one, some steps later."""

    longest = 8

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[Observation, dict[str, object]]:
        """Begin an episode of random length."""
        super().reset(seed=seed)
        self.cue, self.left = int(self.np_random.integers(2)), int(self.np_random.integers(1, self.longest))
        return np.array([1.0, 2.0 * self.cue - 1.0, 0.0], np.float32), {}

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict[str, object]]:
        """Reward 1 if the last action is the cue."""
        self.left -= 1
        done = self.left < 0
        seen = np.array([0.0, 0.0, float(self.left == 0)], np.float32)
        return seen, float(done and action == self.cue), done, False, {}


def main() -> None:
    """Train, and say how often the cue was recalled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=4096)
    frames = parser.parse_args().frames
    from stable_baselines3.common.env_util import make_vec_env

    model = RecurrentPPO(
        Policy,
        make_vec_env(Recall, n_envs=8, seed=0),
        n_steps=64,
        batch_size=256,
        learning_rate=3e-3,
        gamma=0.9,
        seed=0,
    )
    model.learn(frames)
    ends = [episode["r"] for episode in model.ep_info_buffer or ()]
    print(f"{type(model.policy.lstm_actor).__module__}: {np.mean(ends):.2f} of the last {len(ends)} cues were recalled")


if __name__ == "__main__":
    main()
