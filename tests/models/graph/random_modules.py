"""Random modules of the operations that graph files have, around recurrent layers of every kind."""

import random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import hiddenstate as hs

ACTIVATIONS = (nn.ReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid)


class Causal(nn.Module):
    def __init__(self, features: int, out: int, draw: random.Random) -> None:
        super().__init__()
        kernel, self.trims = draw.choice((1, 2, 3, 5)), draw.random() < 0.5
        dilation = draw.choice((1, 2))
        self.left = (kernel - 1) * dilation
        self.conv = nn.Conv1d(
            features, out, kernel, dilation=dilation, padding=self.left if self.trims else 0, bias=draw.random() < 0.8
        )
        self.norm: nn.Module = nn.BatchNorm1d(out) if draw.random() < 0.5 else nn.Identity()
        if isinstance(self.norm, nn.BatchNorm1d):
            assert self.norm.running_mean is not None
            assert self.norm.running_var is not None
            self.norm.running_mean.normal_()
            self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Any:
        y = x.transpose(1, 2)
        y = self.conv(y if self.trims else functional.pad(y, (self.left, 0)))
        return self.norm(y[..., : -self.left] if self.trims and self.left else y).transpose(1, 2)


class Frames(nn.Module):
    """Convolves over the features of each step, as over a frame of samples."""

    def __init__(self, features: int, draw: random.Random) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 2, min(3, features), stride=draw.choice((1, 2)), padding=draw.choice((0, 1)))

    def forward(self, x: Tensor) -> Any:
        y = self.conv(x.reshape(-1, 1, x.shape[-1]))
        return y.amax(-1).view(x.shape[0], -1, 2)


class Recurrent(nn.Module):
    """A recurrent layer, hs's or torch's, whose output is used, or which is added to its input."""

    def __init__(self, features: int, units: int, draw: random.Random, both: bool) -> None:
        super().__init__()
        kind = draw.choice(("LSTM", "GRU", "RNN"))
        options: dict[str, Any] = {"num_layers": draw.choice((1, 1, 2)), "batch_first": draw.random() < 0.7}
        options["bias"] = draw.random() < 0.8
        if kind == "LSTM" and units > 1 and draw.random() < 0.3:
            options["proj_size"] = draw.randint(1, units - 1)
        if kind == "RNN" and draw.random() < 0.5:
            options["nonlinearity"] = "relu"
        options["bidirectional"] = both and draw.random() < 0.3
        self.layer = getattr(draw.choice((hs, nn)), kind)(features, units, **options)
        self.width = (1 + options["bidirectional"]) * options.get("proj_size", units)
        self.learned = draw.random() < 0.2 and kind != "LSTM"
        if self.learned:
            self.first = nn.Parameter(torch.randn(options["num_layers"] * (1 + options["bidirectional"]), 1, units))

    def forward(self, x: Tensor) -> Any:
        h = self.first.expand(-1, x.shape[0], -1).contiguous() if self.learned else None
        if self.layer.batch_first:
            return self.layer(x, h)[0]
        return self.layer(x.transpose(0, 1), h)[0].transpose(0, 1)


class Mixed(nn.Module):
    """Elementwise operations, and parts that are cut and joined."""

    def __init__(self, features: int, draw: random.Random) -> None:
        super().__init__()
        self.cut, self.way = (
            draw.randint(1, max(1, features - 1)),
            draw.choice((0, 1, 2, 3, 4, 5) if features > 1 else (1, 2, 4, 5)),
        )
        self.scale = nn.Parameter(torch.randn(features))

    def forward(self, x: Tensor) -> Any:
        first, rest = x[..., : self.cut], x[..., self.cut :]
        if self.way == 0:
            return torch.cat([rest, first * 0.5], -1)
        if self.way == 1:
            return (x - 0.1) / (1 + x * x).sqrt()
        if self.way == 2:
            return x.softmax(-1) + x.mean(-1, keepdim=True)
        if self.way == 3:
            return functional.pad(first, (1, x.shape[-1] - self.cut - 1)) - 2
        if self.way == 4:
            return torch.stack(x.split(1, -1), 2).flatten(2) * self.scale
        return 1 - x.max(-1, keepdim=True).values * torch.sigmoid(x)


class Random(nn.Module):
    """Blocks one after another, with one to three results."""

    def __init__(self, seed: int, *, streams: bool = False, int8: bool = False) -> None:
        super().__init__()
        draw = random.Random(seed)
        torch.manual_seed(seed)
        self.words = nn.Embedding(11, draw.choice((3, 8))) if draw.random() < 0.2 else None
        self.features = features = self.words.embedding_dim if self.words else draw.choice((1, 3, 4, 8, 17))
        blocks: list[nn.Module] = []
        recurrent = draw.randint(0, 2)
        for k in range(draw.randint(3, 6)):
            way = draw.randint(0, 5) if k != recurrent else 6
            out = draw.choice((2, 5, 9, 16))
            if way in (5, 6):
                block = Recurrent(features, 36 if int8 else out, draw, not streams)
                if int8 and isinstance(block.layer, hs.LSTM | hs.GRU | hs.RNN):
                    block.layer = block.layer.quantize()
                blocks.append(block)
                features = block.width
            elif way == 0:
                blocks += [nn.Linear(features, out, bias=draw.random() < 0.8), draw.choice(ACTIVATIONS)()]
                features = out
            elif way == 1:
                blocks.append(Causal(features, out, draw))
                features = out
            elif way == 2:
                blocks += [nn.LayerNorm(features, elementwise_affine=draw.random() < 0.7), nn.Dropout(0.3)]
            elif way == 3:
                blocks.append(Mixed(features, draw))
            elif features > 2:
                blocks.append(Frames(features, draw))
                features = 2
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(features, 3)
        self.ways = draw.sample(("all", "last") if streams else ("all", "last", "mean", "greatest"), draw.randint(1, 2))
        self.eval()

    def example(self, T: int = 4, N: int = 2) -> Tensor:
        return torch.randint(0, 11, (N, T)) if self.words else torch.randn(N, T, self.features)

    def forward(self, x: Tensor) -> Any:
        y = self.blocks(self.words(x) if self.words else x)
        ways = {
            "all": lambda: self.head(y),
            "last": lambda: self.head(y[:, -1]),
            "mean": lambda: self.head(y.mean(1)),
            "greatest": lambda: y.amax(1).tanh(),
        }
        results = tuple(ways[way]() for way in self.ways)
        return results[0] if len(results) == 1 else results
