"""Captures the input that a layer inside a model receives when the model is called."""

from typing import Any

import torch
from torch import nn

from hiddenstate.base.modes import evaluating
from hiddenstate.errors import ArgumentError
from hiddenstate.studio.bundles.modules import Layer, Numbers


def capture_input(model: nn.Module, path: str, layer: Layer, x: Any) -> Numbers:
    """Call the model, and return the arguments of the first call of the layer at a path.

    Args:
        model: any module.
        path: the layer's path in the model.
        layer: the layer.
        x: the model's input; a tuple holds several arguments.

    Raises:
        ArgumentError: the layer was not called, or is a cell, which reads one step per call.
    """
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
    given = dict(zip(("input", "hx"), args, strict=False)) | kwargs
    return Numbers(given["input"], given.get("hx"))
