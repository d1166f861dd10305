"""Private training of a converted model by Opacus: with our layer, or with Opacus's replacement for it.

    pip install opacus
    python examples/opacus_lstm.py

Opacus clips the gradient of each row. It looks layers up by their exact class, and does not know ours. There are two
ways:

- ``grad_sample_mode="ew"`` uses torch's expanded weights, which support a `hiddenstate.LSTM` unchanged, through outputs
  and final states, if the LSTM is ``batch_first``, as this mode requires. (`torch.nn.LSTM` is rejected in every mode.)
- `register` makes Opacus treat ours like torch's: rejected, and replaced by ``DPLSTM`` in ``ModuleValidator.fix``.
"""

import torch
from opacus import PrivacyEngine
from opacus.validators import ModuleValidator, lstm, register_module_fixer, register_module_validator
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import hiddenstate as hs


class Tagger(nn.Module):
    """An LSTM that predicts one of two classes for each step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 16, batch_first=True)
        self.head = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores ``[N, T, 2]``."""
        scores: Tensor = self.head(self.lstm(x)[0])
        return scores


def register() -> None:
    """Make Opacus treat a `hiddenstate.LSTM` like a `torch.nn.LSTM`."""
    register_module_validator(hs.LSTM)(lstm.validate)
    register_module_fixer(hs.LSTM)(lstm.fix)


def train(model: nn.Module, x: Tensor, y: Tensor, mode: str, steps: int = 30) -> float:
    """Train in private on rows ``x [N, T, C]`` with classes ``y [N, T]``; return the last loss."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=4.0)
    rows = DataLoader(TensorDataset(x, y), batch_size=len(x))
    model, optimizer, rows = PrivacyEngine().make_private(
        module=model,
        optimizer=optimizer,
        data_loader=rows,
        noise_multiplier=0.5,
        max_grad_norm=1.0,
        poisson_sampling=False,
        grad_sample_mode=mode,
    )
    last = 0.0
    for _ in range(steps):
        for some, classes in rows:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(some).flatten(0, 1), classes.flatten())
            loss.backward()
            optimizer.step()
            last = loss.item()
    return last


def main() -> None:
    """Train two copies of a sign tagger, one in each way."""
    torch.manual_seed(0)
    x = torch.randn(64, 10, 4)
    y = (x[..., 0] > 0).long()
    model = hs.convert(Tagger())
    print(f"hs.LSTM, expanded weights: loss {train(model, x, y, 'ew'):.3f}")
    register()
    model = ModuleValidator.fix(hs.convert(Tagger()))
    print(f"{type(model.lstm).__name__}, Opacus' hooks: loss {train(model, x, y, 'hooks'):.3f}")


if __name__ == "__main__":
    main()
