"""Layers that round their inputs and states to int8, computed as the engine's kernels do, on every machine."""

from collections.abc import Mapping

import torch
from torch import Tensor

from hiddenstate.cells.cell import Weights, ignore
from hiddenstate.engine.weights import MOST, why_not_int8
from hiddenstate.models.graph.arithmetic import Array
from hiddenstate.models.graph.graph import Node
from hiddenstate.nn.quantised import SCALE
from hiddenstate.structure.sizes import Sizes


def sizes_of(node: Node) -> Sizes:
    """The sizes of a layer or cell."""
    return Sizes(**{name: value for name, value in node.settings.items() if name not in ("prefix", "batch_first")})


def is_rounded(node: Node, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a node is a layer of one direction that multiplies rounded inputs and states by int8 weights."""
    if "prefix" not in node.settings or sizes_of(node).bidirectional or why_not_int8(sizes_of(node)) is not None:
        return False
    return tensors[f"{node.prefix}weight_ih_l0"].dtype is torch.int8


def run_rounded(node: Node, tensors: Mapping[str, Tensor], x: Array, *states: Array) -> list[Array]:
    """Run a layer of one direction over x ``[T, N, C]`` from states ``[L, N, H]``; return the output and states."""
    step, values = sizes_of(node).kind.step, torch.from_numpy(x)
    N, L, H = values.shape[1], sizes_of(node).num_layers, node.hidden_size
    starts = [torch.from_numpy(state) for state in states] or [torch.zeros(L, N, H)] * len(sizes_of(node).kind.carried)
    ends = []
    for layer in range(L):
        before, outputs = tuple(state[layer] for state in starts), []
        for row in values:
            # The sums of h are given as a bias, besides a product with zeros.
            sums = _sums(before[0], node, "hh", layer, tensors)
            weights = Weights(sums, torch.zeros(sums.shape[1], H), None, sums, None)
            before = step(_sums(row, node, "ih", layer, tensors), before, weights, ignore)
            outputs.append(before[0])
        values = torch.stack(outputs)
        ends.append(before)
    return [part.numpy() for part in (values, *map(torch.stack, zip(*ends, strict=True)))]


def _sums(x: Tensor, node: Node, part: str, layer: int, tensors: Mapping[str, Tensor]) -> Tensor:
    """Return a matrix times x ``[N, C]``, both as integers with scales, and the bias."""
    name = f"{node.prefix}weight_{part}_l{layer}"
    greatest = x.abs().amax(dim=1, keepdim=True)
    per_step = (MOST / greatest).nan_to_num(0, 0)  # of zeros or subnormal numbers there is none
    steps = (x.double() * per_step).round()  # exact, since a product fits a double
    sums = (steps @ tensors[name].double().T).float() * (greatest / MOST * tensors[name + SCALE])
    return sums + tensors[f"{node.prefix}bias_{part}_l{layer}"] if node.bias else sums
