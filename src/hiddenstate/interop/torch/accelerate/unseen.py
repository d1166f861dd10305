"""Finds LSTMs that do not call torch's functions, so that their calls can't be counted."""

import gc
from collections import Counter

import torch
from torch import nn

# How TorchScript writes calls of its operators.
_OPERATORS = ("torch.lstm(", "torch.lstm_cell(", "torch.quantized_lstm(")
_QUANTISED = "torch.ao.nn.quantiz"  # quantized, quantizable


def unseen_lstms() -> dict[str, int]:
    """Count the LSTMs in this process that are TorchScript or quantised, by kind and reason."""
    found: Counter[str] = Counter()
    for thing in gc.get_objects():
        # Uses type(), because some objects fake their __class__.
        if issubclass(type(thing), nn.Module) and (why := _why_unseen(thing)):
            found[why] += 1
    return dict(found)


def _why_unseen(module: nn.Module) -> str | None:
    kind = type(module)
    if isinstance(module, torch.jit.ScriptModule):
        return _why_scripted(module)
    if kind.__module__.startswith(_QUANTISED) and "LSTM" in kind.__name__:
        name = f"{kind.__module__.split('.modules')[0]}.{kind.__name__}"
        return f"{name}: quantised by torch; give the float model to hs.convert(model, weights='int8') instead"
    return None


def _why_scripted(module: torch.jit.ScriptModule) -> str | None:
    try:
        code = str(module.code)
    except (RuntimeError, AttributeError):  # the module has no forward method
        return None
    if module.original_name not in ("LSTM", "LSTMCell") and not any(operator in code for operator in _OPERATORS):
        return None
    return "TorchScript module with an LSTM: calls torch's compiled operator; use the model before it is scripted"
