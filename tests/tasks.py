"""A small task with a carried state and noise, to test the training loop."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from hiddenstate.training.settings import TrainConfig
from hiddenstate.training.task import Epoch, Loss, Score

UNITS = 40
CONFIG = TrainConfig(epochs=3, learning_rate=0.05, warmup_steps=2, log_steps=4, checkpoint_minutes=0, patience=9)


class Line:
    """Learn y from x; ``noisy`` also from the last batch's output, with dropout; the score is the mean error."""

    unit = "points"
    higher_is_better = False
    fingerprint = "points"

    def __init__(self, config: TrainConfig = CONFIG, batch: int = 4, noisy: bool = True) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3 if noisy else 0.0), nn.Linear(8, 1))
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(UNITS, 2, generator=generator)
        self.y = self.x.sum(1, keepdim=True).sin()
        self.batch, self.noisy, self.last = batch, noisy, torch.zeros(1)
        self.scores: list[float] | None = None
        self.kept: list[int] = []

    def plan(self, epoch: int) -> list[list[int]]:
        order = torch.randperm(UNITS, generator=torch.Generator().manual_seed(self.config.seed * 1000 + epoch))
        return [order[k : k + self.batch].tolist() for k in range(0, UNITS, self.batch)]

    def size(self, epoch: int) -> int:
        return UNITS

    def loss(self, item: list[int]) -> Loss:
        x = torch.cat([self.x[item], self.last.expand(len(item), 1)], dim=1)
        out = self.model(x)
        if self.noisy:
            self.last = out.mean().detach().reshape(1)
        return Loss((out - self.y[item]).square().mean(), len(item))

    def state(self) -> Mapping[str, Tensor]:
        return {"last": self.last}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.last = state.get("last", torch.zeros(1))

    def evaluate(self) -> Score:
        self.model.eval()
        with torch.no_grad():
            out = self.model(torch.cat([self.x, torch.zeros(UNITS, 1)], dim=1))
        value = float((out - self.y).square().mean()) if self.scores is None else self.scores.pop(0)
        return Score(value, f"error {value:.4f}", {"error": value})

    def save_model(self, folder: Path, history: Sequence[Epoch]) -> None:
        self.kept.append(history[-1].last.epoch)
        folder.mkdir(exist_ok=True)
        weights = {name: value.tolist() for name, value in self.model.state_dict().items()}
        (folder / "weights.json").write_text(json.dumps(weights))
