"""Graph files and the numbers that their readers must give: of random modules, and of one with what those lack."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hiddenstate.base.files import write_tensors
from hiddenstate.models.graph.arithmetic import Array
from hiddenstate.models.graph.c_file import _floats
from hiddenstate.models.graph.file import graph_of, rounding, run_graph, run_torch
from hiddenstate.models.graph.graph import Graph
from hiddenstate.models.model_file import FORMAT
from models.graph.random_modules import Random


class Words(nn.Module):
    """A layer that reads ids of four words."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.layer = nn.Embedding(4, 3), nn.GRU(3, 2, batch_first=True)

    def forward(self, ids: Tensor) -> Any:
        return self.layer(self.words(ids))[0]


class Tied(Words):
    """Scores words with the embedding's weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(3, 3, batch_first=True)

    def forward(self, ids: Tensor) -> Any:
        return functional.linear(super().forward(ids), self.words.weight)


class First(nn.Module):
    """The output of a layer, without its states."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Any:
        return self.layer(x)[0]


class Rest(nn.Module):
    """Cells whose states are arguments, a grouped convolution, reflections, constants, axes in other orders."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.gru, self.rnn = nn.LSTMCell(6, 5), nn.GRUCell(5, 5), nn.RNNCell(5, 4, nonlinearity="relu")
        self.conv = nn.Conv1d(4, 6, 2, groups=2, dilation=2, padding=1, bias=False)
        self.over_rows = nn.LSTM(3, 4, bidirectional=True, batch_first=True)
        self.norm = nn.LayerNorm([2, 4])

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:  # [N, 6], [N, 5], [N, 5]
        h, c = self.lstm(x, (h, c))
        g = self.gru(functional.gelu(h, approximate="tanh"))
        r = self.rnn(functional.elu(g, alpha=0.7))
        wide = functional.pad(r[:, None].repeat(1, 4, 1) * torch.arange(4.0)[:, None], (2, 1), mode="reflect")
        frames = self.conv(wide).transpose(1, 2)  # [N, L, 6]
        out, _ = self.over_rows(frames[:, ::2, 1:4])
        return (
            h,
            c,
            self.norm(out[..., :8].reshape(-1, out.shape[1], 2, 4)),
            (out / 3).mean((1, 2)),
            1 / (2 + out**2).sqrt(),
        )


@dataclass(frozen=True)
class Case:
    """A file, arguments, and what a reader must give, and how nearly."""

    path: Path
    graph: Graph
    arguments: list[Array]
    wanted: list[Array]
    allowed: list[float]

    def check(self, got: Sequence[Array], what: object = "") -> None:
        """Compare the results of a reader."""
        assert len(got) == len(self.wanted)
        for a, b, bound in zip(got, self.wanted, self.allowed, strict=True):
            assert a.shape == b.shape, what
            assert float(np.abs(a - b).max(initial=0)) <= bound, (self.path.name, what)

    def joined(self, chunks: Sequence[Sequence[Array]]) -> list[Array]:
        """Join the results of a stream's chunks over time; of others the last is that of the whole."""
        shapes = [self.graph.shapes[value] for value in self.graph.outputs]
        return [
            np.concatenate([chunk[k] for chunk in chunks], shape.index("T")) if "T" in shape else chunks[-1][k]
            for k, shape in enumerate(shapes)
        ]


@torch.no_grad()
def case(model: Any, example: tuple[Tensor, ...], larger: tuple[Tensor, ...], path: Path) -> Case:
    """Write a model's file. Int8 layers may differ from its numbers as these do from products of floats."""
    graph, tensors, _ = graph_of(model, example)
    write_tensors(path, FORMAT, tensors, {"kind": "graph", "graph": graph.to_json()})
    arguments = [value.numpy() for value in larger]
    wanted, bounds = run_torch(model, larger), rounding(model, larger)
    if any(value.dtype is torch.int8 for value in tensors.values()):
        wanted, floats = (run_graph(graph, arguments, of, rounds=True)[0] for of in (tensors, _floats(tensors)))
        bounds = [float(np.abs(a - b).max()) for a, b in zip(wanted, floats, strict=True)]
    sizes = [1e-5 * max(1, float(np.abs(value).max(initial=0))) for value in wanted]
    return Case(path, graph, arguments, wanted, [*map(max, bounds, sizes)])


def cases(seeds: Sequence[int], folder: Path) -> Iterator[Case]:
    """Yield random modules, every second of which can be streamed, and every fifth of which has int8 layers."""
    for seed in seeds:
        model = Random(seed, streams=seed % 2 == 0, int8=seed % 5 == 0)
        yield case(model, (model.example(),), (model.example(T=9, N=3),), folder / f"{seed}.safetensors")


def rest(folder: Path) -> Case:
    """The file of `Rest`."""
    torch.manual_seed(0)
    example, larger = ((torch.randn(n, 6), torch.randn(n, 5), torch.randn(n, 5)) for n in (2, 3))
    return case(Rest().eval(), example, larger, folder / "rest.safetensors")
