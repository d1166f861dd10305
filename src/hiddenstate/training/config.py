"""What every training run is set by, whatever the model."""

from dataclasses import asdict, dataclass
from typing import Any

from hiddenstate.training.settings import Settings, choice, number

# What may change when a run is resumed: how long it goes on, where it computes, and what it writes on the way.
MAY_CHANGE = ("epochs", "patience", "device", "log_steps", "checkpoint_steps", "checkpoint_minutes")


@dataclass(frozen=True)
class TrainConfig(Settings):
    """Settings that the training loop reads; a model's own config adds its sizes.

    Attributes:
        epochs: the most passes over the training data.
        patience: stop when the dev score has not been better than ever for so many epochs.
        optimizer: ``adamw`` or ``sgd``.
        learning_rate: the highest step size.
        schedule: how the step size goes on after the warm-up: ``cosine`` (half a cosine down to 0 at the end of the
            last epoch), ``constant``, or ``plateau`` (times ``plateau_factor`` whenever the dev score has not been
            better than ever for ``plateau_patience`` epochs).
        warmup_steps: batches over which the step size rises from 0.
        plateau_factor: what the step size is multiplied with on a plateau.
        plateau_patience: how long a plateau is, in epochs.
        beta1: decay of AdamW's mean of gradients.
        beta2: decay of AdamW's mean of squares.
        momentum: SGD's.
        weight_decay: share of a weight taken off, times the step size.
        clip_norm: the longest gradient; 0 for any length.
        average: decay of the mean over steps of the weights that is evaluated and kept in place of the last weights;
            0 for none.
        seed: of the initial weights, dropout and the order of batches.
        precision: ``fp32``, or ``bf16`` for products in bfloat16 (torch's autocast).
        device: ``cpu``, or ``auto`` for the fastest that there is; more than ``cpu`` needs accelerate.
        log_steps: batches between two lines of ``metrics.jsonl``.
        checkpoint_steps: batches between two checkpoints inside an epoch; 0 for none.
        checkpoint_minutes: minutes between two checkpoints inside an epoch; 0 for none.
    """

    epochs: int = number(14, least=1)
    patience: int = number(8, least=1)
    optimizer: str = choice("adamw", "sgd")
    learning_rate: float = number(0.003, above=0)
    schedule: str = choice("cosine", "constant", "plateau")
    warmup_steps: int = number(200, least=0)
    plateau_factor: float = number(0.5, above=0, below=1)
    plateau_patience: int = number(1, least=1)
    beta1: float = number(0.9, least=0, below=1)
    beta2: float = number(0.98, least=0, below=1)
    momentum: float = number(0.0, least=0, below=1)
    weight_decay: float = number(0.0, least=0)
    clip_norm: float = number(5.0, least=0)
    average: float = number(0.0, least=0, below=1)
    seed: int = number(1, least=0, below=2**32)
    precision: str = choice("fp32", "bf16")
    device: str = choice("cpu", "auto")
    log_steps: int = number(50, least=1)
    checkpoint_steps: int = number(0, least=0)
    checkpoint_minutes: float = number(5.0, least=0)

    def fixed(self) -> dict[str, Any]:
        """Return the settings that must stay as they are when a run is resumed: all but `MAY_CHANGE`."""
        return {name: value for name, value in asdict(self).items() if name not in MAY_CHANGE}
