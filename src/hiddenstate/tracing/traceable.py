"""The base class of the layers whose calls can be recorded."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, TypeGuard

from torch import Tensor, nn

from hiddenstate.base import later
from hiddenstate.errors import ArgumentError
from hiddenstate.structure.names import Layers


class Traceable(nn.Module):
    """A module whose calls can be recorded: `hiddenstate.LSTM` and `hiddenstate.LSTMCell` are examples."""

    # Whether a call is one time step, so that successive calls that carry the state form one trace.
    _traces_steps: ClassVar[bool] = False

    def _traced_layers(self) -> Layers:
        """Return the properties that determine the places."""
        raise NotImplementedError


def is_layer(part: nn.Module) -> TypeGuard[Any]:
    """Whether a module is a recurrent layer, torch's or ours."""
    return isinstance(part, nn.RNNBase) or (isinstance(part, Traceable) and not part._traces_steps)


def is_cell(part: nn.Module) -> TypeGuard[Any]:
    """Whether a module is a recurrent cell, torch's or ours."""
    return isinstance(part, nn.RNNCellBase) or (isinstance(part, Traceable) and part._traces_steps)


# Each function returns a stand-in for a foreign module whose calls can be recorded, or None. `interop`, a higher-level
# package, adds the one for torch's LSTMs.
stand_ins: list[Callable[[nn.Module], Traceable | None]] = later.stand_ins


# Each returns a context manager in which torch's own layers have such stand-ins; `interop` adds `accelerate`.
accelerators: list[Callable[[], AbstractContextManager[object]]] = later.accelerators


def torchs_layers_recordable() -> AbstractContextManager[object]:
    """Return a context manager in which torch's own layers can be recorded and edited, too."""
    return accelerators[-1]() if accelerators else nullcontext()


def find_recordable(module: nn.Module) -> Traceable | None:
    """Return the target of a module's records and edits: itself, or its stand-in; None if it can't be recorded."""
    if isinstance(module, Traceable):
        return module
    return next((layer for stand_in in stand_ins if (layer := stand_in(module)) is not None), None)


def is_keras_layer(module: nn.Module) -> bool:
    """Whether a module is a layer or model of Keras, whose call runs none of torch's hooks."""
    layer = getattr(sys.modules.get("keras.src.layers.layer"), "Layer", None)
    return layer is not None and isinstance(module, layer)


def has_keras_layers(model: nn.Module) -> bool:
    """Whether a module is, or contains, a layer of Keras."""
    return any(is_keras_layer(part) for part in model.modules())


def _is_keras_recurrent(module: nn.Module) -> bool:
    names = [kind.__name__ for kind in type(module).__mro__]
    return is_keras_layer(module) and any("RNN" in name or name == "Bidirectional" for name in names)


def refuse_keras(model: object) -> None:
    """Reject a model whose recurrent layers are all Keras', or that is Keras', for functions that do not work on it."""
    if not isinstance(model, nn.Module) or not has_keras_layers(model):
        return
    if not is_keras_layer(model) and not any(_is_keras_recurrent(part) for _, part in modules_of(model)):
        return  # a torch module with a head of Keras, say
    if not any(is_layer(part) or is_cell(part) for part in model.modules()):
        raise ArgumentError(
            f"the layers of this {type(model).__name__} are Keras': hs.check works on them, hs.accelerate() runs them, "
            "and hs.trace and hs.edit work in its block. Other functions need a copy of a layer: "
            "hs.from_keras(model, name)"
        )


def keras_needs(model: nn.Module) -> str:
    """Say what the layers of a model of Keras need in order to be recorded and edited."""
    return (
        f"this {type(model).__name__} of Keras has no layer that can be recorded and edited: that takes a block with "
        "hs.accelerate(), Keras' torch backend, and a built LSTM, GRU or SimpleRNN with Keras' default activations (or "
        "relu in a SimpleRNN)"
    )


def keras_states(module: nn.Module) -> Iterator[Tensor]:
    """Yield what a stateful layer of Keras keeps between calls, which is not among its parameters."""
    held = [getattr(module, "states", None)] if is_keras_layer(module) else []
    for part in held:
        if isinstance(part, (list, tuple)):
            held += part
        elif isinstance(value := getattr(part, "value", None), Tensor):
            yield value


def modules_of(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the modules of a model with all their paths, those in Keras's own lists too."""
    has_keras = "keras.src.layers.layer" in sys.modules
    return list(_walk(model, "") if has_keras else model.named_modules(remove_duplicate=False))


def _walk(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    yield path, module
    children = {name: child for name, child in module._modules.items() if child is not None}
    if is_keras_layer(module):
        children = {name: child for name, child in children.items() if not name.startswith("_")}
        seen = {id(child) for child in children.values()}
        children |= {layer.name: layer for layer in getattr(module, "_layers", ()) if id(layer) not in seen}
    for name, child in children.items():
        yield from _walk(child, f"{path}.{name}".lstrip("."))
