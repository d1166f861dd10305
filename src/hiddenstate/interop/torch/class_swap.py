"""Changes the class of a torch layer, the same object with all that is attached to it, to ours and back."""

import weakref
from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from hiddenstate.base.messages import readable_name
from hiddenstate.errors import ArgumentError
from hiddenstate.nn.cell import GRUCell, LSTMCell, RNNCell
from hiddenstate.nn.gru import GRU
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.rnn import RNN
from hiddenstate.nn.torch_modules import has_default, outline

T = TypeVar("T")


class Route(NamedTuple):
    """The old and the new class, and the arguments that both have."""

    old: type[nn.Module]
    new: type[nn.Module]
    options: tuple[str, ...]


TO_OURS = tuple(
    Route(ours._torch.kind, ours, ours._torch.options) for ours in (LSTM, LSTMCell, GRU, GRUCell, RNN, RNNCell)
)
TO_TORCH = tuple(Route(route.new, route.old, route.options) for route in TO_OURS)


@dataclass(frozen=True, eq=False)
class Recast:
    """The planned change of one module: its class, and the attributes to remove and to add."""

    module: nn.Module
    route: Route
    as_class: type[nn.Module]
    gone: frozenset[str]
    come: dict[str, Any]

    def apply(self) -> None:
        """Change the module."""
        attributes = vars(self.module)
        for name in self.gone:
            attributes.pop(name, None)
        attributes.update(self.come)
        _set_class(self.module, self.as_class)


def apply_all(recasts: Sequence[Recast]) -> None:
    """Change all modules or none: after an error, all changes are rolled back."""
    before = [(recast.module, type(recast.module), dict(vars(recast.module))) for recast in recasts]
    try:
        for recast in recasts:
            recast.apply()
    except BaseException:
        for module, kind, attributes in before:
            vars(module).clear()
            vars(module).update(attributes)
            _set_class(module, kind)
        raise


def _set_class(module: nn.Module, kind: type[nn.Module]) -> None:
    object.__setattr__(module, "__class__", kind)  # torch's __setattr__ reads attributes that may be gone


def plan(module: nn.Module, route: Route) -> Recast:
    """Plan how to change a module's class. Nothing is changed, and no parametrization is computed."""
    _refuse_subclass(module, route.old)
    if "forward" in vars(module):
        raise ArgumentError("its forward was replaced on the module itself")
    outlines = [_outline(module, kind, route.options) for kind in (route.old, route.new)]
    old, new = (vars(bare).keys() - vars(nn.Module()).keys() for bare in outlines)
    settings = {name for name in vars(module) if has_default(route.old, name) and not hasattr(route.new, name)}
    gone = frozenset(old | settings)
    _refuse_clash(module, route, gone, new)
    for name, parameter in outlines[1].named_parameters():
        _refuse_weight(module, name, parameter)
    come = {name: vars(outlines[1])[name] for name in new}
    if issubclass(route.new, nn.RNNBase):
        come |= _flat_weights(module, come)
    return Recast(module, route, _class_for(module, route.new), gone, come)


class _Bare(Generic[T], ABC):
    """An empty class, with only the members that Python adds to classes, generic and abstract ones included."""

    annotated: int


class _BareProtocol(Protocol):
    pass


# The subclass's constructor has already run, and its results are in the module.
_HARMLESS = {*vars(_Bare), *vars(_BareProtocol), "__init__"}
_MARKERS: tuple[Any, ...] = (ABC, Generic, Protocol)  # bases that add nothing to their instances


def _refuse_subclass(module: nn.Module, known: type[nn.Module]) -> None:
    kind = parametrize.type_before_parametrizations(module)
    others = [base for base in kind.__mro__ if base not in (*known.__mro__, *_MARKERS)]
    own = sorted({name for base in others for name in vars(base)} - _HARMLESS)
    if own:
        raise ArgumentError(f"a subclass, {kind.__name__}, that adds members: {', '.join(own)}")


def _outline(module: nn.Module, kind: type[nn.Module], options: tuple[str, ...]) -> nn.Module:
    try:
        return outline(module, kind, options)
    except (ValueError, TypeError) as error:
        raise ArgumentError(f"{readable_name(kind)} does not accept its options: {error}") from error


def _refuse_clash(module: nn.Module, route: Route, gone: frozenset[str], come: set[str]) -> None:
    """Reject attributes that clash with members that only the new class has."""
    own = vars(module).keys() - gone
    own |= module._parameters.keys() | module._buffers.keys() | module._modules.keys()
    clash = sorted(own & (come | (set(dir(route.new)) - set(dir(route.old)))))
    if clash:
        raise ArgumentError(f"it has attributes that {readable_name(route.new)} uses itself: {', '.join(clash)}")


def _refuse_weight(module: nn.Module, name: str, like: Tensor) -> None:
    if parametrize.is_parametrized(module, name):
        return
    weight = _weight(module, name)
    if weight is None:
        raise ArgumentError(f"its {name} is missing")
    if is_lazy(weight):
        raise ArgumentError(f"its {name} has no values yet: run the model once first")
    if weight.shape != like.shape:
        raise ArgumentError(f"its {name} has shape {list(weight.shape)}, but its options give {list(like.shape)}")


def _weight(module: nn.Module, name: str) -> Tensor | None:
    """Return a weight, stored as a parameter, a buffer, or a plain tensor that a hook computes."""
    places = (module._parameters, module._buffers, vars(module))
    return next((place[name] for place in places if isinstance(place.get(name), Tensor)), None)


def _flat_weights(module: nn.Module, come: dict[str, Any]) -> dict[str, Any]:
    """Return the list of weights that torch's LSTM keeps, and the references by which it detects replaced weights."""
    # Parametrized weights are represented by an empty tensor, which torch finds replaced at the next call. Computing
    # them here might change the parametrization's state, as in spectral norm.
    pairs = zip(come["_flat_weights_names"], come["_flat_weights"], strict=True)
    weights = [empty if parametrize.is_parametrized(module, name) else _weight(module, name) for name, empty in pairs]
    return {"_flat_weights": weights, "_flat_weight_refs": [weakref.ref(weight) for weight in weights]}


def _class_for(module: nn.Module, kind: type[nn.Module]) -> type[nn.Module]:
    """Return the class itself, or a subclass with the properties that torch adds for parametrized weights."""
    if not parametrize.is_parametrized(module):
        return kind
    members = {name: value for name, value in vars(type(module)).items() if name not in ("__dict__", "__weakref__")}
    return type(f"Parametrized{kind.__name__}", (kind,), members)


def class_name(module: nn.Module) -> str:
    """Return the name of a module's class as users write it; TorchScript modules are named after their original."""
    if isinstance(module, torch.jit.ScriptModule):
        return f"TorchScript {module.original_name}"
    return readable_name(parametrize.type_before_parametrizations(module))
