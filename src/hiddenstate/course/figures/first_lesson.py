"""The LSTM of the first lesson."""

import torch

from hiddenstate.nn.lstm import LSTM


def tiny() -> tuple[LSTM, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """Return the LSTM, its five inputs, and its initial state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        lstm = LSTM(4, 3)
        x = torch.stack([torch.randn(1, 4) for _ in range(5)])
        return lstm, x, (torch.randn(1, 1, 3), torch.randn(1, 1, 3))
