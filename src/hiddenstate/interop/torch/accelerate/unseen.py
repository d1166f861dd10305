"""Finds recurrent layers and cells that do not call torch's functions, so that their calls can't be counted."""

import gc
from collections import Counter
from collections.abc import Iterator

import torch
from torch import nn

from hiddenstate.interop.torch.compiled import quantised_kind, scripted_layers


def unseen_layers() -> dict[str, int]:
    """Count the recurrent layers and cells in this process that are TorchScript or quantised, by kind and reason."""
    # Uses type(), because some objects fake their __class__.
    modules = (thing for thing in gc.get_objects() if issubclass(type(thing), nn.Module))
    return dict(Counter(reason for module in modules for reason in _reasons(module)))


def _reasons(module: nn.Module) -> Iterator[str]:
    if isinstance(module, torch.jit.ScriptModule):
        for kind in scripted_layers(module):
            yield f"TorchScript {kind}: calls torch's compiled operator; use the model before it is scripted"
    elif quantised := quantised_kind(module):
        rounds = quantised in ("LSTM", "GRU")
        cure = "give the float model to hs.convert(model, weights='int8')" if rounds else "use the float model"
        package = type(module).__module__.split(".modules")[0]
        yield f"{package}.{type(module).__name__}: quantised by torch; {cure} instead"
