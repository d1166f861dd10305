"""The step size at a step: a function of what has been, so that there is no state to keep."""

import math
from collections.abc import Sequence

from hiddenstate.training.config import TrainConfig
from hiddenstate.training.progress import Epoch


def learning_rate(config: TrainConfig, step: int, done: float, history: Sequence[Epoch]) -> float:
    """Return the step size of the next batch.

    Args:
        config: rates and kind of schedule.
        step: batches so far.
        done: share of all epochs that has been trained, 0 to 1.
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
    """Count how often the score was not better than ever for ``patience`` epochs, each time counted anew."""
    count = waited = 0
    for epoch in history:
        waited = 0 if epoch.is_best else waited + 1
        if waited == patience:
            count, waited = count + 1, 0
    return count
