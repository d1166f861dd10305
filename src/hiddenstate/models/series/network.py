"""The simple shape of a forecaster: linear layers and activations around one recurrent stack."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hiddenstate.base.scoped import lasting
from hiddenstate.base.torch_internals import remove_hooks
from hiddenstate.models.series.module_form import Kind, ModuleForm, call_module, is_same, random_numbers
from hiddenstate.nn.quantised import current_weights
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.nn.rnn import new_layer
from hiddenstate.nn.torch_modules import sizes_of
from hiddenstate.structure.sizes import Sizes
from hiddenstate.tracing.traceable import is_cell, is_layer

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda x: x,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "softplus": functional.softplus,
}
_STEPS, _ROWS = 9, 3


class Dense(NamedTuple):
    """A linear layer, and the activation after it."""

    in_features: int
    out_features: int
    bias: bool
    then: str = ""

    @property
    def text(self) -> str:
        """The layer as text."""
        return f"Linear({self.in_features}, {self.out_features})" + (f" → {self.then}" if self.then else "")


class NetworkShape(NamedTuple):
    """The layers of a `SeriesNetwork`."""

    before: tuple[Dense, ...]  # the linear layers that read the series
    sizes: Sizes  # of the recurrent stack
    then: str  # the activation after the recurrent stack
    last: bool  # whether only its last step is read; otherwise every step
    after: tuple[Dense, ...]  # the linear layers that read its outputs
    horizon: int  # how many steps the last layer's outputs are, step by step; 0 if they are one step's

    def __str__(self) -> str:
        sizes = self.sizes
        stack = f"{sizes.kind.label}({sizes.input_size}, {sizes.hidden_size}" + (
            f", {sizes.num_layers} layers)" if sizes.num_layers > 1 else ")"
        )
        parts = [*(layer.text for layer in self.before), stack, self.then, "last step" if self.last else ""]
        return " → ".join(part for part in [*parts, *(layer.text for layer in self.after)] if part)


class SeriesNetwork(nn.Module):
    """Reads ``[T, N, C]``; forecasts ``[T, N, K]``, after the last step ``[N, K]`` or ``[horizon, N, K]``."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        self.before = nn.ModuleList(nn.Linear(*layer[:3]) for layer in shape.before)
        self.rnn: Recurrent[Any, Any] = new_layer(shape.sizes)
        self.after = nn.ModuleList(nn.Linear(*layer[:3]) for layer in shape.after)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Return the forecasts and the state after the last step."""
        out, state = self.rnn(self.embed(x), state)
        return self.forecasts_of(out[-1] if self.shape.last else out), state

    def embed(self, x: Tensor) -> Tensor:
        """Return what the recurrent stack reads of a series ``[..., C]``."""
        for layer, dense in zip(self.before, self.shape.before, strict=True):
            x = ACTIVATIONS[dense.then](layer(x))
        return x

    def forecasts_of(self, out: Tensor) -> Tensor:
        """Return the forecasts ``[..., K]``, or ``[horizon, ..., K]``, from what the recurrent stack gives."""
        shape = self.shape
        out = ACTIVATIONS[shape.then](out)
        for layer, dense in zip(self.after, shape.after, strict=True):
            out = ACTIVATIONS[dense.then](layer(out))
        return out.unflatten(-1, (shape.horizon, -1)).movedim(-2, 0) if shape.horizon else out

    @property
    def form(self) -> ModuleForm:
        """What it takes and gives, as if it forecast the next step."""
        gives: Kind = "horizon" if self.shape.horizon else "row" if self.shape.last else "step"
        axes = (0, 1) if gives == "row" else (0, 1, 2)
        return ModuleForm(True, gives, axes, self.shape.horizon or 1, not self.shape.sizes.bidirectional)


class _Call(NamedTuple):
    """One call of a layer: its name, its input and its output."""

    name: str
    layer: Any
    read: Tensor
    gave: Tensor


@torch.no_grad()
def find_network(module: nn.Module, form: ModuleForm, C: int, window: int | None) -> SeriesNetwork | str:
    """Return a network that gives what a module gives, with copies of its weights; or the reason why there is none."""
    if isinstance(module, SeriesNetwork):
        return module
    T, reason = window or _STEPS, ""
    for size in (1, 4, 16):  # on few small numbers, an activation may do nothing; then forecasts differ on others
        x = size * random_numbers(module, T, size * _ROWS, C)
        calls, out = _called(module, x, form)
        shape = _shape_of(calls, x, out, form)
        if isinstance(shape, str):
            return reason or shape
        network = _filled(SeriesNetwork(shape).to(x), calls)
        difference = _difference(network, module, form, C, T)
        if difference is None:
            return network.eval()
        reason = reason or f"recomputed from {shape}, its forecasts differ{difference}"
    return reason


def _difference(network: SeriesNetwork, module: nn.Module, form: ModuleForm, C: int, T: int) -> str | None:
    """Return by how much the forecasts of a network and a module differ, if they do."""
    for seed in (1, 2):
        x = seed * random_numbers(module, T, _ROWS, C, seed=seed)
        want = form.arranged(call_module(module, x, None, time_first=form.time_first)[0])
        got = network(x)[0]
        if not is_same(got.double(), want.double(), x):
            return f" by up to {float((got - want).abs().max()):.3g}" if got.shape == want.shape else ""
    return None


def _called(module: nn.Module, x: Tensor, form: ModuleForm) -> tuple[list[_Call], Tensor]:
    """Call a module; return the calls of its linear and recurrent layers, and its forecasts, arranged."""
    calls: list[_Call] = []
    names = {part: name or type(part).__name__ for name, part in module.named_modules()}

    def hear(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        read: Any = next(iter([*args, *kwargs.values()]))
        gave: Any = result[0] if isinstance(result, tuple) else result
        plain = (part if isinstance(part, Tensor) else part.data for part in (read, gave))  # of packed sequences
        calls.append(_Call(names[layer], layer, *(part.clone() for part in plain)))

    def watch() -> None:
        for part in module.modules():
            if isinstance(part, nn.Linear) or is_layer(part) or is_cell(part):
                part.register_forward_hook(hear, with_kwargs=True)

    with lasting(watch, lambda: remove_hooks(module.modules(), hear)):
        out = call_module(module, x.clone(), None, time_first=form.time_first)[0]
    return calls, form.arranged(out)


def _shape_of(calls: Sequence[_Call], x: Tensor, out: Tensor, form: ModuleForm) -> NetworkShape | str:
    """Return the layers that a module's forecasts pass through, one after another, or where something else happens."""
    stacks = [call for call in calls if not isinstance(call.layer, nn.Linear)]
    if len(stacks) != 1 or is_cell(stacks[0].layer):
        return f"recurrent layers are called {len(stacks)} times, expected one layer once"
    stack = stacks[0].layer
    thens, is_last, value, before = list[str](), False, x, "the input"
    for call in calls:
        link = _link(call, value, can_end=before != "the input" and call is not stacks[0] and not is_last)
        if link is None:
            return f"{call.name!r} does not read what {before} gives, nor an activation of it"
        then, value, ends = link
        is_last, before = is_last or ends, repr(call.name)
        thens.append(then)
    wanted = out.movedim(0, -2).flatten(-2) if form.gives == "horizon" else out
    gave = {"as it is": value, "its last step": value[-1]} if value.dim() == 3 else {"as it is": value}
    last_links = [
        (then, how) for then in ACTIVATIONS for how, end in gave.items() if _equal(ACTIVATIONS[then](end), wanted)
    ]
    if not last_links:
        return f"its forecasts are not what {before} gives, nor an activation of it"
    thens.append(last_links[0][0])
    dense = [
        None
        if call in stacks
        else Dense(call.layer.in_features, call.layer.out_features, call.layer.bias is not None, then)
        for call, then in zip(calls, thens[1:], strict=True)
    ]
    if thens[0]:
        return f"{calls[0].name!r} reads {thens[0]} of the input"
    at = dense.index(None)
    horizon = form.horizon if form.gives == "horizon" else 0
    is_last = is_last or last_links[0][1] != "as it is"
    layers = [layer for layer in dense if layer is not None]
    return NetworkShape(tuple(layers[:at]), sizes_of(stack), thens[at + 1], is_last, tuple(layers[at:]), horizon)


def _link(call: _Call, value: Tensor, *, can_end: bool) -> tuple[str, Tensor, bool] | None:
    """Return which activation of a value a layer reads, what it gives, and whether it reads only the last step."""
    steps = value.shape[:-1]
    for arranged, ends in _arrangements(steps, can_end=can_end):
        read = arranged(call.read)
        if read is None:
            continue
        for then, function in ACTIVATIONS.items():
            if _equal(function(value[-1] if ends else value), read):
                gave = arranged(call.gave)
                return None if gave is None else (then, gave, ends)
    return None


def _arrangements(steps: Sequence[int], *, can_end: bool) -> Iterator[tuple[Callable[[Tensor], Tensor | None], bool]]:
    """Yield the orders in which a layer may read rows and steps, and whether it reads only the last step."""

    def ordered(order: Sequence[int], axes: Sequence[int]) -> Callable[[Tensor], Tensor | None]:
        def arranged(part: Tensor) -> Tensor | None:
            fits = part.numel() == math.prod(order) * part.shape[-1]
            return part.reshape(*order, part.shape[-1]).permute(*axes, len(axes)) if fits else None

        return arranged

    yield ordered(steps, range(len(steps))), False
    if len(steps) == 2:
        yield ordered(steps[::-1], (1, 0)), False
        if can_end:
            yield ordered(steps[1:], (0,)), True


def _equal(a: Tensor, b: Tensor) -> bool:
    return is_same(a.double(), b.double(), b)


def _filled(network: SeriesNetwork, calls: Sequence[_Call]) -> SeriesNetwork:
    """Copy the weights of the layers that were called."""
    linear = iter([*network.before, *network.after])
    for call in calls:
        if isinstance(call.layer, nn.Linear):
            next(linear).load_state_dict(call.layer.state_dict())
        else:
            network.rnn.load_state_dict(current_weights(call.layer))
    return network
