"""Converts layers between torch's classes and ours, without losing anything."""

import warnings
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn
from torch.nn.utils import parametrize

from hiddenstate.base.memory import check_module_memory
from hiddenstate.base.messages import readable_name
from hiddenstate.errors import ArgumentError

Module = TypeVar("Module", bound=nn.Module)

# The original classes, because `hiddenstate.accelerate` or other code may replace them in torch.
TORCH_LSTM, TORCH_CELL = nn.LSTM, nn.LSTMCell
TORCH_GRU, TORCH_RNN = nn.GRU, nn.RNN
TORCH_GRU_CELL, TORCH_RNN_CELL = nn.GRUCell, nn.RNNCell

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


TORCH_LSTM_CLASS = TorchClass(TORCH_LSTM, (*_LAYER_OPTIONS, "proj_size"))
TORCH_GRU_CLASS = TorchClass(TORCH_GRU, _LAYER_OPTIONS)
TORCH_RNN_CLASS = TorchClass(TORCH_RNN, (*_LAYER_OPTIONS, "nonlinearity"))
TORCH_LSTM_CELL_CLASS = TorchClass(TORCH_CELL, _CELL_OPTIONS)
TORCH_GRU_CELL_CLASS = TorchClass(TORCH_GRU_CELL, _CELL_OPTIONS)
TORCH_RNN_CELL_CLASS = TorchClass(TORCH_RNN_CELL, (*_CELL_OPTIONS, "nonlinearity"))
_HOOKS = tuple(name for name in vars(nn.Module()) if name.endswith("_hooks"))
_FLAGS = ("bias", "batch_first", "bidirectional")  # older versions of torch store these as the ints passed in


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


def rebuild(module: nn.Module, as_type: type[Module], options: tuple[str, ...]) -> Module:
    """Make an ``as_type`` that copies a module's values, dtype, device, mode and, as the same objects, attributes."""
    parameters = dict(module.named_parameters(remove_duplicate=False))
    _refuse_what_is_lost(module, parameters)
    check_module_memory(module)
    first = next(iter(parameters.values()))
    rebuilt = outline(module, as_type, options, first.dtype)
    if set(rebuilt.state_dict()) != set(module.state_dict()):
        others = sorted(set(rebuilt.state_dict()) ^ set(module.state_dict()))
        raise ArgumentError(
            f"this {type(module).__name__} has parameters or buffers that do not match its options "
            f"({', '.join(others)}): make pruning or weight norm permanent first, with torch.nn.utils.prune.remove or "
            "remove_weight_norm"
        )
    attributes = _own_attributes(module, options)
    clash = sorted(name for name in attributes if hasattr(rebuilt, name))
    if clash:
        raise ArgumentError(
            f"this {type(module).__name__} has attributes that {readable_name(as_type)} uses itself: {', '.join(clash)}"
        )
    rebuilt.to_empty(device=first.device)
    rebuilt.load_state_dict(module.state_dict())
    for name, value in attributes.items():
        setattr(rebuilt, name, value)
    for name, parameter in rebuilt.named_parameters():
        parameter.requires_grad_(parameters[name].requires_grad)
    return rebuilt.train(module.training)


def scriptable(module: nn.Module, as_type: type[Module], options: tuple[str, ...]) -> Module:
    """Make an ``as_type`` with the options and parameter objects of ``module``, for `torch.jit.script`, and warn."""
    rebuilt = rebuild(module, as_type, options)
    for name, parameter in module.named_parameters():
        setattr(rebuilt, name, parameter)
    kind = type(module).__name__
    warnings.warn(
        f"torch.jit.script does not support hiddenstate's {kind}: it compiles torch's class instead, and leaves it in "
        "the model, with the same parameters. Script a copy, hs.convert_back(model), or convert the layers again "
        "with hs.convert(model, inplace=True)",
        stacklevel=3,
    )
    return rebuilt


def outline(
    module: nn.Module, as_type: type[Module], options: tuple[str, ...], dtype: torch.dtype | None = None
) -> Module:
    """Make an ``as_type`` with the options of ``module``, and parameters that have shapes but no memory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about the options were issued when the module was created
        arguments = {name: getattr(module, name) for name in options}
        arguments |= {name: bool(arguments[name]) for name in _FLAGS if arguments.get(name) in (0, 1)}
        return as_type(**arguments, device=torch.device("meta"), dtype=dtype)


def _own_attributes(module: nn.Module, options: tuple[str, ...]) -> dict[str, Any]:
    """Return the attributes that were set on the module, apart from its class's own."""
    kind = _known_class(module)
    own = vars(outline(module, kind, options)).keys()
    return {name: value for name, value in vars(module).items() if name not in own and not has_default(kind, name)}


def has_default(kind: type[nn.Module], name: str) -> bool:
    """Whether an attribute is a setting of a class, which has a default for it."""
    return hasattr(kind, name) and not isinstance(getattr(kind, name), QuantisationSetting)


def _known_class(module: nn.Module) -> type[nn.Module]:
    """Return torch's or our class of a module, which may be a subclass."""
    return next(base for base in type(module).__mro__ if base.__module__.split(".")[0] in ("torch", "hiddenstate"))


def _refuse_what_is_lost(module: nn.Module, parameters: dict[str, nn.Parameter]) -> None:
    kind = type(module).__name__
    if parametrize.is_parametrized(module):
        raise ArgumentError(
            f"this {kind} has parametrizations, which a copy would lose: remove them first with "
            "torch.nn.utils.parametrize.remove_parametrizations"
        )
    if any(getattr(module, name) for name in _HOOKS):
        raise ArgumentError(f"this {kind} has hooks, which a copy would lose: remove them first")
    if module._modules or module._non_persistent_buffers_set:
        names = ", ".join([*module._modules, *sorted(module._non_persistent_buffers_set)])
        raise ArgumentError(f"this {kind} has submodules or buffers that a copy would lose: {names}")
    known = _known_class(module)
    own = "forward" in vars(module) or getattr(known, "forward", None) is not getattr(type(module), "forward", None)
    if own:
        raise ArgumentError(f"this {kind} has its own forward, which a copy would lose")
    dtypes = {parameter.dtype for parameter in parameters.values()}
    if len(dtypes) > 1:
        raise ArgumentError(f"this {kind} has parameters of several types ({', '.join(map(str, dtypes))}); choose one")
