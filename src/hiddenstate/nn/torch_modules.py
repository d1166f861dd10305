"""Changes the class of a layer (torch's or ours), or of a copy, keeping all that is attached to it."""

import copy
import warnings
import weakref
from abc import ABC
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from hiddenstate.base.memory import check_module_memory
from hiddenstate.base.messages import readable_name
from hiddenstate.errors import ArgumentError
from hiddenstate.structure.sizes import Sizes

Module = TypeVar("Module", bound=nn.Module)
T = TypeVar("T")

# torch.fx makes a node of a module whose ``__module__`` begins with this, and traces into all others, which fails for
# our layers because their code cannot handle proxies. So each instance sets this attribute. The class keeps its real
# ``__module__``, which pickle, torch.compile and others read. Calls cost nothing extra, no tracer is changed, and
# hooks, pruning and subclass code run with the node, as with torch's own layers.
FX_LEAF = "torch.nn"

_LAYER_OPTIONS = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
_CELL_OPTIONS = ("input_size", "hidden_size", "bias")


class TorchClass(NamedTuple):
    """One of torch's classes, and the arguments that it has in common with ours."""

    kind: type[nn.Module]
    options: tuple[str, ...]


# torch's classes as they are now: `hiddenstate.accelerate` or other code may replace them in torch later.
TORCH_LSTM_CLASS = TorchClass(nn.LSTM, (*_LAYER_OPTIONS, "proj_size"))
TORCH_GRU_CLASS = TorchClass(nn.GRU, _LAYER_OPTIONS)
TORCH_RNN_CLASS = TorchClass(nn.RNN, (*_LAYER_OPTIONS, "nonlinearity"))
TORCH_LSTM_CELL_CLASS = TorchClass(nn.LSTMCell, _CELL_OPTIONS)
TORCH_GRU_CELL_CLASS = TorchClass(nn.GRUCell, _CELL_OPTIONS)
TORCH_RNN_CELL_CLASS = TorchClass(nn.RNNCell, (*_CELL_OPTIONS, "nonlinearity"))
_FLAGS = ("bias", "batch_first", "bidirectional")  # older versions of torch store these as the ints passed in


def cell_of(layer: Any) -> str:
    """Return the kind of cell of a recurrent layer or cell, torch's or ours."""
    if hasattr(layer, "mode"):  # of a layer
        return str(layer.mode)
    if hasattr(layer, "nonlinearity"):
        return f"RNN_{layer.nonlinearity.upper()}"
    return (
        layer._kind.name
        if hasattr(layer, "_kind")
        else "GRU"
        if isinstance(layer, TORCH_GRU_CELL_CLASS.kind)
        else "LSTM"
    )


def sizes_of(layer: Any) -> Sizes:
    """Return the sizes of a recurrent layer or cell, torch's or ours; a cell is one layer."""
    names = ("num_layers", "bidirectional", "proj_size") if hasattr(layer, "mode") else ()
    options = {name: getattr(layer, name) for name in names}
    # Older versions of torch store the bias as a number.
    return Sizes(layer.input_size, layer.hidden_size, bias=bool(layer.bias), **options, cell=cell_of(layer))


class QuantisationSetting:
    """``qconfig``: we warn, because torch's eager-mode quantisation silently ignores our classes."""

    def __get__(self, module: nn.Module | None, owner: type) -> object:
        if module is None:
            return self
        if "qconfig" not in vars(module):
            raise AttributeError(f"'{owner.__name__}' object has no attribute 'qconfig'")
        return vars(module)["qconfig"]

    def __set__(self, module: nn.Module, value: object) -> None:
        if "qconfig" not in vars(module):
            kind = type(module).__name__
            warnings.warn(
                f"torch's eager-mode quantisation does not support hiddenstate's {kind}, which stays in floating "
                "point: quantise the model that hs.convert_back(model) returns",
                stacklevel=3,
            )
        vars(module)["qconfig"] = value

    def __delete__(self, module: nn.Module) -> None:
        vars(module).pop("qconfig", None)


class Route(NamedTuple):
    """The old and the new class, and the arguments that both have."""

    old: type[nn.Module]
    new: type[nn.Module]
    options: tuple[str, ...]

    @staticmethod
    def to_torch(module: Any) -> "Route":
        """Return the route of one of our layers or cells, which may be of a subclass, to torch's class."""
        ours = next((base for base in type(module).__mro__ if "_torch" in vars(base)), None)
        if ours is None:
            raise ArgumentError(f"torch has no {readable_name(type(module))}")
        return Route(ours, *module._torch)


def copied_as(module: nn.Module, route: Route, shared: Iterable[Tensor] = ()) -> Any:
    """Return a copy of a module with a different class; the ``shared`` tensors are not copied."""
    check_module_memory(module)
    kind = readable_name(route.new)
    try:
        copied: Any = copy.deepcopy(module, {id(tensor): tensor for tensor in shared})
        plan(copied, route).apply()
    except (ArgumentError, RuntimeError, TypeError) as error:  # computed weights and some objects, such as locks
        raise ArgumentError(f"this {type(module).__name__} can't be converted to {kind}: {error}") from error
    if hasattr(copied, "flatten_parameters"):
        copied.flatten_parameters()  # which the copy has scattered in memory
    return copied


def scriptable(module: nn.Module) -> nn.Module:
    """Return torch's layer with the parameter objects of ours, for `torch.jit.script`, and warn."""
    theirs: nn.Module = copied_as(module, Route.to_torch(module), module.parameters())
    kind = type(module).__name__
    warnings.warn(
        f"torch.jit.script does not support hiddenstate's {kind}: it compiles torch's class instead, and leaves it in "
        "the model, with the same parameters. Script a copy, hs.convert_back(model), or convert the layers again "
        "with hs.convert(model, inplace=True)",
        stacklevel=3,
    )
    return theirs


def outline(
    module: nn.Module, as_type: type[Module], options: tuple[str, ...], dtype: torch.dtype | None = None
) -> Module:
    """Make an ``as_type`` with the options of ``module``, and parameters that have shapes but no memory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about the options were issued when the module was created
        arguments = {name: getattr(module, name) for name in options}
        arguments |= {name: bool(arguments[name]) for name in _FLAGS if arguments.get(name) in (0, 1)}
        return as_type(**arguments, device=torch.device("meta"), dtype=dtype)


def has_default(kind: type[nn.Module], name: str) -> bool:
    """Whether an attribute is a setting of a class, which has a default for it."""
    return hasattr(kind, name) and not isinstance(getattr(kind, name), QuantisationSetting)


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
