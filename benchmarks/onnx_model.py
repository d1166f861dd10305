"""The layers of a case as an ONNX model: the one that `hiddenstate.export_onnx` writes, with sizes that are fixed."""

import importlib
from typing import Any

from contestants import MissingPeerError
from hiddenstate.engine.reference import Weights
from hiddenstate.interop.onnx.lstm import OPSET, model_of
from hiddenstate.interop.onnx.signature import Signature
from shapes import Case


def imported(name: str) -> Any:
    """Import an optional package.

    Raises:
        MissingPeerError: it is not installed, or does not load.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise MissingPeerError(f"{name} is left out, since it could not be imported ({error})") from error


def bytes_of(case: Case, *, stateful: bool) -> bytes:
    """A model from ``x [T, N, C]`` to ``out [T, N, D*H]``; a stateful one also takes and gives the state."""
    imported("onnx")
    T, N, _ = case.x.shape
    signature = Signature(case.ours.sizes, states=stateful, T=T, N=N)
    weights = [Weights._make([*weights, None]) for weights in case.theirs.all_weights]
    serialized: bytes = model_of(signature, weights, OPSET).SerializeToString()
    return serialized
