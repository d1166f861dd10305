"""The settings of every training run, for any model."""

from dataclasses import asdict, dataclass
from typing import Any

from hiddenstate.training.settings import Settings, choice, number

# The settings that may change when a run is resumed: its duration, its device, and what it writes along the way.
MAY_CHANGE = ("epochs", "patience", "device", "log_steps", "checkpoint_steps", "checkpoint_minutes")


@dataclass(frozen=True)
class TrainConfig(Settings):
    """The settings that the training loop reads; a model's config adds its sizes.

    Attributes:
        epochs: the maximum number of passes over the training data.
        patience: stop when the dev score has not improved on its best for this many epochs.
        optimizer: ``adamw`` or ``sgd``.
        learning_rate: the highest learning rate.
        schedule: the learning rate after the warm-up: ``cosine`` (half a cosine down to 0 at the end of the
            last epoch), ``constant``, or ``plateau`` (times ``plateau_factor`` whenever the dev score has not improved
            on its best for ``plateau_patience`` epochs).
        warmup_steps: batches over which the learning rate rises from 0.
        plateau_factor: the factor for the learning rate on a plateau.
        plateau_patience: the length of a plateau in epochs.
        beta1: the decay of AdamW's mean of gradients.
        beta2: the decay of AdamW's mean of squared gradients.
        momentum: the momentum of SGD.
        weight_decay: the weight decay per step, multiplied by the learning rate.
        clip_norm: the maximum gradient norm; 0 for no clipping.
        average: the decay of a running mean of the weights, which is evaluated and saved instead of the last weights; 0
            for none.
        seed: the seed for initial weights, dropout and the order of batches.
        precision: ``fp32``, or ``bf16`` for products in bfloat16 (torch's autocast).
        device: ``cpu``, or ``auto`` for the fastest available device; devices other than ``cpu`` need accelerate.
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
        """Return the settings that must not change when a run is resumed: all except `MAY_CHANGE`."""
        return {name: value for name, value in asdict(self).items() if name not in MAY_CHANGE}
