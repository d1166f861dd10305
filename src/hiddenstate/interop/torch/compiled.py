"""Recognises recurrent layers and cells that torch has compiled or quantised, which nothing here can change.

Most TorchScript modules are recognised by their graphs, because frozen ones have neither submodules nor classes left.
"""

import re

import torch
from torch import nn

# A call of a recurrent operator in a graph, such as aten::lstm(, aten::rnn_tanh_cell( or, of a quantised model,
# quantized::quantized_gru_cell_dynamic(.
_CALL = re.compile(r"::(?:quantized_)?(lstm|gru|rnn)(?:_tanh|_relu)?(_cell)?(?:_dynamic)?\(")
_TORCHS = "torch.nn.modules.rnn."
_NAMES = ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell")
_QUANTISED = "torch.ao.nn.quantiz"  # quantized, quantizable
# They compute in floats, by the same functions as torch's other layers.
_IMITATIONS = "torch.ao.nn.quantized.reference"


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
