"""The learning rate of a step: a function of the history, so that there is no state to save."""

import math
from collections.abc import Sequence

from hiddenstate.training.config import TrainConfig
from hiddenstate.training.progress import Epoch


def learning_rate(config: TrainConfig, step: int, done: float, history: Sequence[Epoch]) -> float:
    """Return the learning rate of the next batch.

    Args:
        config: the rates and the kind of schedule.
        step: the number of batches so far.
        done: the finished fraction of all epochs, 0 to 1.
        history: the epochs so far.

    >>> config = TrainConfig(learning_rate=1.0, warmup_steps=3)
    >>> [learning_rate(config, step, 0.0, ()) for step in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    >>> round(learning_rate(config, 9, 0.5, ()), 6)
    0.5
    """
    rate = config.learning_rate * min(1.0, (step + 1) / (config.warmup_steps + 1))
    if config.schedule == "cosine":
        return rate * (1 + math.cos(math.pi * done)) / 2
    if config.schedule == "plateau":
        return rate * config.plateau_factor ** plateaus(history, config.plateau_patience)
    return rate


def plateaus(history: Sequence[Epoch], patience: int) -> int:
    """Count how often the score did not improve on its best for ``patience`` epochs, restarting the count each time."""
    count = waited = 0
    for epoch in history:
        waited = 0 if epoch.is_best else waited + 1
        if waited == patience:
            count, waited = count + 1, 0
    return count
