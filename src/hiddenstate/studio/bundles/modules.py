"""Bundles of layers and cells, ours or torch's, which may be inside another module, with numbers to read."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hiddenstate.base.indexing import resolve_one
from hiddenstate.base.memory import check_memory_of
from hiddenstate.base.modes import evaluating
from hiddenstate.cells.cell import Weights
from hiddenstate.engine.inputs import Arguments, CallOptions, read
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError, ShapeError
from hiddenstate.nn.cell import RecurrentCell
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.nn.torch_modules import sizes_of
from hiddenstate.structure.names import LayerDirection
from hiddenstate.structure.sizes import PARAMETER_STEMS, Sizes, parameter_names, weight_shapes
from hiddenstate.studio.bundles.bundle import Bundle, InputSteps, saved
from hiddenstate.tracing.traceable import refuse_keras

Layer = Recurrent[Any, Any] | RecurrentCell[Any, Any] | nn.RNNBase | nn.RNNCellBase
KINDS = (Recurrent, RecurrentCell, nn.LSTM, nn.GRU, nn.RNN, nn.LSTMCell, nn.GRUCell, nn.RNNCell)
MOST_NUMBERS = 2**26  # maximum number of values in an input; a page can't draw more


@dataclass(frozen=True, eq=False)
class Numbers:
    """The input of a layer on the page."""

    x: Any  # in any form that the layer accepts, or ``[T, C]``
    hx: Any = None  # the initial state; zeros by default
    tokens: Iterable[str] | None = None  # a word for each step
    row: int = 0  # the batch row


def layer_in(model: nn.Module, path: str | None) -> tuple[str, Layer]:
    """Return the LSTM, GRU or RNN at a path of a model, or its only one; and its path."""
    layers = {name: part for name, part in model.named_modules() if isinstance(part, KINDS)}
    listed, kind = ", ".join(map(repr, layers)), type(model).__name__
    if not layers:
        refuse_keras(model)
        raise ArgumentError(f"this {kind} contains no LSTM, GRU or RNN for the studio to show; give a model with one")
    if path is None:
        if len(layers) > 1:
            raise ArgumentError(f"this {kind} contains {len(layers)} recurrent layers; choose one with path=: {listed}")
        return next(iter(layers.items()))
    if path not in layers:
        raise NameUnknownError(f"no LSTM, GRU or RNN at {path!r} in this {kind}: there is {listed}")
    return path, layers[path]


def bundle_layer(layer: Layer, name: str = "", numbers: Numbers | None = None) -> Bundle:
    """Bundle an LSTM, GRU or RNN, or a cell as one layer, with its weights in their own precision."""
    sizes, tensors = sizes_of(layer), state_dict_weights(layer)
    reading = None
    if numbers is not None:
        more, reading = _bundle_input(layer, sizes, next(iter(tensors.values())), numbers)
        tensors |= more
    return make_bundle(sizes, tensors, name, reading)


def make_bundle(sizes: Sizes, tensors: dict[str, Tensor], name: str = "", reading: InputSteps | None = None) -> Bundle:
    """Bundle a layer of these sizes, with tensors named as in its state dict."""
    if any(value.is_meta for value in tensors.values()):
        raise ArgumentError("these weights are on the meta device, so there are no numbers to show; load them first")
    check_memory_of(tensors.items())
    called = name or f"{sizes.kind.label}({sizes.input_size}, {sizes.hidden_size})"
    return Bundle("layer", called, _config(sizes), saved(tensors), given=reading, cell=sizes.kind)


def state_dict_weights(layer: Layer) -> dict[str, Tensor]:
    """Return the weights, named as in the layer's state dict; computed (parametrized) ones are included."""
    if isinstance(layer, Recurrent | nn.RNNBase):
        every = [name for stems in parameter_names(sizes_of(layer)) for name in stems if name is not None]
        return {name: getattr(layer, name) for name in every}
    ends = LayerDirection(0, reverse=False).suffix
    return {f"{stem}{ends}": value for stem in PARAMETER_STEMS if (value := getattr(layer, stem, None)) is not None}


def _config(sizes: Sizes) -> dict[str, Any]:
    """Return the sizes in the form that the page reads; the page gets the kind of cell separately."""
    return {name: value for name, value in asdict(sizes).items() if name != "cell"}


def _bundle_input(layer: Layer, sizes: Sizes, like: Tensor, numbers: Numbers) -> tuple[dict[str, Tensor], InputSteps]:
    x = numbers.x if isinstance(numbers.x, torch.nn.utils.rnn.PackedSequence) else _numbers(numbers.x, like)
    batch_first = getattr(layer, "batch_first", False)
    number = like.new_empty(())  # reading x needs only the weights' shapes, type and device
    shapes = (weight_shapes(sizes, k) for k in range(len(sizes.layer_directions)))
    rules = [Weights._make(None if shape is None else number.expand(shape) for shape in by_stem) for by_stem in shapes]
    inputs, _ = read(Arguments(x, numbers.hx), sizes, rules, CallOptions(batch_first))
    row = resolve_one(numbers.row, inputs.x.shape[1], "row")
    steps = len(inputs.x) if inputs.lengths is None else int(inputs.lengths[row])
    tokens = None if numbers.tokens is None else _words(numbers.tokens)
    if tokens is not None and len(tokens) != steps:
        raise ShapeError(f"got {len(tokens)} tokens for {steps} steps; give one for each")
    states = zip(sizes.kind.carried, inputs.initial, strict=True)
    tensors = {"input": inputs.x[:steps, row]} | {f"{name}0": value[:, row] for name, value in states}
    return {f"given.{name}": value for name, value in tensors.items()}, InputSteps(steps, tokens)


def _words(tokens: Iterable[object]) -> list[str]:
    try:
        return [str(token) for token in tokens]
    except TypeError as error:
        raise ArgumentTypeError(f"tokens must be words, one for each step, got {type(tokens).__name__}") from error


def _numbers(x: Any, like: Tensor) -> Tensor:
    """Convert an array or nested lists to the weights' type."""
    if isinstance(x, Tensor) and x.numel() > MOST_NUMBERS:
        raise ArgumentError(
            f"x has {x.numel():,} numbers, more than the {MOST_NUMBERS:,} that a page can show; give fewer steps"
        )
    try:
        return torch.as_tensor(x).detach().to(like.device, like.dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentTypeError(f"x must be numbers that the layer reads, got {type(x).__name__}: {error}") from error


def capture_input(model: nn.Module, path: str, layer: Layer, x: Any) -> Numbers:
    """Call the model, and return the arguments of the first call of the layer at a path."""
    if not hasattr(layer, "num_layers"):
        raise ArgumentError(f"{path!r} is a cell, which reads one step per call; trace the model and show the trace")
    seen: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    handle = layer.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append((args, kwargs)), prepend=True, with_kwargs=True
    )
    try:
        with evaluating(model), torch.no_grad():
            model(*(x if isinstance(x, tuple) else (x,)))
    finally:
        handle.remove()
    if not seen:
        raise ArgumentError(
            f"the layer at {path!r} was not called by the model, so it read nothing; choose a different path"
        )
    args, kwargs = seen[0]
    named = dict(zip(("input", "hx"), args, strict=False)) | kwargs
    return Numbers(named["input"], named.get("hx"))
