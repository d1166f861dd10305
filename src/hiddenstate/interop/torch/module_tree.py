"""Finds modules by path, also compiled, quantised and TorchScript ones; copies that share tensors."""

import copy
import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hiddenstate.errors import ArgumentError

# A call of a recurrent operator in a graph, such as aten::lstm(, aten::rnn_tanh_cell( or, of a quantised model,
# quantized::quantized_gru_cell_dynamic(.
_CALL = re.compile(r"::(?:quantized_)?(lstm|gru|rnn)(?:_tanh|_relu)?(_cell)?(?:_dynamic)?\(")
_TORCHS = "torch.nn.modules.rnn."
_NAMES = ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell")
_QUANTISED = "torch.ao.nn.quantiz"  # quantized, quantizable
# They compute in floats, by the same functions as torch's other layers.
_IMITATIONS = "torch.ao.nn.quantized.reference"


def modules_by_path(model: nn.Module) -> list[tuple[tuple[str, ...], nn.Module]]:
    """Return every module once, with all its paths."""
    paths: dict[nn.Module, list[str]] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        paths.setdefault(module, []).append(path)
    return [(tuple(own), module) for module, own in paths.items()]


def sharing_copy(model: nn.Module) -> nn.Module:
    """Copy a model's modules, but share its parameters, buffers and other tensors."""
    kind, cure = type(model).__name__, "convert it in place, with inplace=True"
    memo = {id(tensor): tensor for tensor in _tensors_in(model)}
    try:
        copied = copy.deepcopy(model, memo)
    except Exception as error:  # the model's contents may raise anything
        raise ArgumentError(f"this {kind} can't be copied ({type(error).__name__}: {error}): {cure}") from error
    copies = dict(_named_tensors(copied))
    for name, tensor in _named_tensors(model):
        if copies.get(name) is not tensor:
            raise ArgumentError(f"a copy of this {kind} would not share {name!r}: {cure}")
    for module in copied.modules():
        vars(module).pop("_compiled_call_impl", None)  # it would run the original; torch's own copies also drop it
    return copied


def _named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _tensors_in(model: nn.Module) -> Iterator[Tensor]:
    """Yield every tensor of the modules, including those in lists and dicts."""
    ahead: list[object] = [model]
    seen: set[int] = set()
    while ahead:
        part = ahead.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, Tensor):
            yield part
        elif isinstance(part, nn.Module):
            ahead.append(vars(part))
        elif isinstance(part, dict):
            ahead.extend(part.values())
        elif isinstance(part, (list, tuple, set)):
            ahead.extend(part)


def scripted_layers(module: torch.jit.ScriptModule) -> tuple[str, ...]:
    """Return the kinds of recurrent layers and cells that a TorchScript module computes, without its submodules.

    >>> scripted_layers(torch.jit.script(nn.GRU(4, 3)))
    ('GRU',)
    """
    try:
        compiled = module._c
    except (AttributeError, RuntimeError):  # not initialised yet
        return ()
    graphs = "".join(str(compiled._get_method(name).graph) for name in compiled._method_names())
    kinds = {kind.upper() + ("Cell" if cell else "") for kind, cell in _CALL.findall(graphs)}
    if _TORCHS in compiled._type().qualified_name():  # traced cells call no operator of their own
        kinds |= {module.original_name} & set(_NAMES)
    return tuple(sorted(kinds))


def quantised_kind(module: nn.Module) -> str | None:
    """Return the name of the class if a module is one of torch's quantised layers or cells; otherwise None.

    >>> quantised_kind(torch.ao.nn.quantizable.LSTM(4, 3))
    'LSTM'
    """
    for kind in type(module).__mro__:
        if kind.__name__ in _NAMES and kind.__module__.startswith(_QUANTISED):
            return None if kind.__module__.startswith(_IMITATIONS) else kind.__name__
    return None
