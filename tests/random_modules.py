"""Random modules around a recurrent layer, which return their outputs in many ways."""

import random
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from support import LAYERS

C, H = 3, 5
UNCHANGED = ("all", "last step", "last real step", "final state", "wrong axis")  # outputs of the layer, as they are
READ = (*2 * UNCHANGED, "mean", "max", "mean of outputs")
SOFTMAXES = ("softmax", "log-softmax")
AFTER = (*4 * ("nothing",), "scale", "shift", "residual", "residual in place", *2 * SOFTMAXES, "sigmoid")
WRAPPED = ("plain", "classes second", "tuple", "dictionary", "double")


class RandomModule(nn.Module):
    """A recurrent layer, a head of one to three linear layers, and what else a seed draws."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        draw = random.Random(seed)
        self.read, self.after, self.wrapped = draw.choice(READ), draw.choice(AFTER), draw.choice(WRAPPED)
        self.depth, self.outputs = draw.choice((1, 1, 1, 1, 2, 3)), draw.choice((1, 2, 3))
        if self.outputs == 1 and self.after in SOFTMAXES:
            self.after = "sigmoid"
        self.batch_first, self.two_ways = draw.random() < 0.5, draw.random() < 0.3
        layers = draw.randint(1, 3)
        options: dict[str, Any] = {"bidirectional": self.two_ways, "batch_first": self.batch_first}
        self.rnn = draw.choice(LAYERS)(C, H, layers, dropout=0.5 if layers > 1 else 0.0, **options)
        width = H * (1 + self.two_ways) if self.read != "final state" else H
        sizes = [width, *[draw.choice((self.outputs, 4)) for _ in range(self.depth - 1)], self.outputs]
        parts: list[nn.Module] = []
        for before, size in pairwise(sizes):
            parts += [nn.Dropout(0.3), nn.Linear(before, size), draw.choice((nn.ReLU(), nn.Tanh(), nn.Identity()))]
        self.head = nn.Sequential(*parts[:-1])
        N, T = draw.randint(1, 4), draw.randint(2, 6)
        self.lengths = torch.tensor([draw.randint(1, T) for _ in range(N)]) if self.read == "last real step" else None
        self.x = torch.randn((N, T, C) if self.batch_first else (T, N, C))
        self.N, self.T = N, T

    def forward(self, x: Tensor) -> Any:
        """Return what the seed drew."""
        out, state = self.rnn(x) if self.lengths is None else self.rnn(x, lengths=self.lengths)
        if not self.batch_first:
            x, out = x.transpose(0, 1), out.transpose(0, 1)
        rows, ends = torch.arange(self.N), torch.full([self.N], self.T) if self.lengths is None else self.lengths
        if self.read == "mean of outputs":
            y = self.finished(self.head(out), x).mean(1)
        elif self.read == "final state":
            y = self.finished(self.head((state[0] if isinstance(state, tuple) else state)[-1]), x[:, -1])
        elif self.read == "wrong axis":
            y = self.finished(self.head(out[-1]), x[-1])
        elif self.read in ("mean", "max"):
            y = self.finished(self.head(out.mean(1) if self.read == "mean" else out.amax(1)), x[:, -1])
        elif self.read == "all":
            y = self.finished(self.head(out if self.batch_first else out.transpose(0, 1)), self.x)
        else:
            y = self.finished(self.head(out[rows, ends - 1]), x[rows, ends - 1])
        if self.wrapped == "classes second":
            y = y.transpose(1, -1) if y.dim() == 3 else y[..., None]
        return {"tuple": (y, state), "dictionary": {"loss": None, "y": y}, "double": y.double()}.get(self.wrapped, y)

    def finished(self, y: Tensor, x: Tensor) -> Tensor:
        """Return the output that a module makes of its head's."""
        if self.after == "residual in place":
            y += x[..., : self.outputs]
        changed = {
            "scale": lambda: y * 2.5,
            "shift": lambda: y + 0.7,
            "residual": lambda: x[..., : self.outputs] + y,
            "softmax": lambda: y.softmax(-1),
            "log-softmax": lambda: y.log_softmax(-1),
            "sigmoid": y.sigmoid,
        }
        return changed[self.after]() if self.after in changed else y

    def returned(self, row: int, t: int) -> Tensor | None:
        """Return the module's own outputs ``[K]`` at a step of a row; None if it returns none there."""
        with torch.no_grad():
            y = self(self.x)
        y = {"tuple": lambda: y[0], "dictionary": lambda: y["y"]}.get(self.wrapped, lambda: y)().float()
        if self.wrapped == "classes second":
            y = y.transpose(1, -1) if self.read == "all" else y[..., 0]
        if self.read == "all":
            return y[row, t] if self.batch_first else y[t, row]  # type: ignore[no-any-return]
        if self.read == "wrong axis":
            return y[t] if row == self.N - 1 else None
        is_last = t == self.length(row) - 1 or self.read == "max"  # all maxima may be at one step
        return y[row] if is_last else None

    def length(self, row: int) -> int:
        """The number of steps of a row."""
        return self.T if self.lengths is None else int(self.lengths[row])

    @property
    def is_plain(self) -> bool:
        """Whether the module returns the outputs of one linear layer that reads the layer's outputs."""
        one_direction = self.read == "final state" and self.two_ways
        return self.depth == 1 and self.after == "nothing" and self.read in UNCHANGED and not one_direction
