"""Modules that users train on series, of every form that `hs.series_model` takes."""

from typing import Any

import torch
from torch import Tensor, nn

import hiddenstate as hs


class PerStep(nn.Module):
    """One forecast a step, from a recurrent layer and a linear layer."""

    def __init__(self, C: int, K: int, kind: Any = nn.LSTM, *, H: int = 7, time_first: bool = False, layers: int = 1):
        super().__init__()
        self.rnn, self.linear = kind(C, H, layers, batch_first=not time_first), nn.Linear(H, K)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        out, state = self.rnn(x, state)
        return self.linear(out), state


class LastStep(nn.Module):
    """One forecast a row, from the last step, through a projection and an MLP head."""

    def __init__(self, C: int, K: int, kind: Any = nn.LSTM, *, time_first: bool = False):
        super().__init__()
        self.embed, self.rnn = nn.Linear(C, 5), kind(5, 6, batch_first=not time_first)
        self.head, self.time_first = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, K)), time_first

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.rnn(torch.relu(self.embed(x)))
        result: Tensor = self.head(out[-1] if self.time_first else out[:, -1])
        return result


class Direct(nn.Module):
    """All steps of a horizon at once: ``[N, horizon, K]``, or ``[N, horizon]`` for one target."""

    def __init__(self, C: int, K: int, horizon: int = 4, *, squeezed: bool = False):
        super().__init__()
        self.rnn, self.linear = nn.GRU(C, 6, batch_first=True), nn.Linear(6, horizon * K)
        self.shape = (horizon,) if squeezed else (horizon, K)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear(self.rnn(x)[1][-1]).view(x.shape[0], *self.shape)
        return result


class EncoderDecoder(nn.Module):
    """An encoder, and a decoder that feeds its own forecasts back: ``[horizon, N, 1]``, time first."""

    def __init__(self, C: int, horizon: int = 5):
        super().__init__()
        self.encoder, self.decoder, self.linear = nn.LSTM(C, 6), nn.LSTM(1, 6), nn.Linear(6, 1)
        self.horizon = horizon

    def forward(self, x: Tensor) -> Tensor:
        _, state = self.encoder(x)
        last, outs = x[-1:, :, :1], []
        for _ in range(self.horizon):
            out, state = self.decoder(last, state)
            last = last + self.linear(out)
            outs.append(last)
        return torch.cat(outs)


class ConvolutionInFront(nn.Module):
    """A causal convolution before the recurrent layer, and a residual forecast: ``[N, T]``."""

    def __init__(self, C: int):
        super().__init__()
        self.conv, self.rnn, self.linear = (
            nn.Conv1d(C, 4, 3, padding=2),
            hs.LSTM(4, 6, batch_first=True),
            nn.Linear(6, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        seen = self.conv(x.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2)
        result: Tensor = x[..., 0] + self.linear(self.rnn(seen)[0])[..., 0]
        return result


class Window(nn.Module):
    """Reads windows of one length, because its linear layer reads all steps."""

    def __init__(self, C: int, K: int, T: int):
        super().__init__()
        self.rnn, self.linear = nn.RNN(C, 3, batch_first=True), nn.Linear(3 * T, K)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear(self.rnn(x)[0].flatten(1))
        return result


class Cells(nn.Module):
    """A loop over a cell, and a state of its own form."""

    def __init__(self, C: int, K: int):
        super().__init__()
        self.cell, self.linear = nn.GRUCell(C, 5), nn.Linear(5, K)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        outs = []
        for step in x:
            state = self.cell(step, state)
            outs.append(self.linear(state))
        return torch.stack(outs), state


class Mixed(nn.Module):
    """The mistake of mixing batch and time with `view`: its forecasts depend on other rows."""

    def __init__(self, C: int):
        super().__init__()
        self.rnn, self.linear = nn.LSTM(C, 6), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        N, T, C = x.shape
        result: Tensor = self.linear(self.rnn(x.reshape(T, N, C))[0]).reshape(N, T, 1)
        return result
