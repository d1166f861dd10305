"""The layers of a case as an ONNX model: the one that `hiddenstate.export_onnx` writes, with fixed sizes."""

import importlib
import logging
import tempfile
from pathlib import Path
from typing import Any

from contestants import MissingPeerError
from hiddenstate.cells.cell import Weights
from hiddenstate.interop.onnx.lstm import OPSET, Signature, build_model
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
    serialized: bytes = _model(case, stateful).SerializeToString()
    return serialized


def int8_bytes_of(case: Case, *, stateful: bool) -> bytes:
    """The same model after onnxruntime's int8 quantisation of its LSTMs, with a scale for each row of a matrix.

    Raises:
        MissingPeerError: it is missing, or leaves LSTMs unchanged.
    """
    quantization = imported("onnxruntime.quantization")
    logging.getLogger().setLevel(logging.ERROR)  # it advises running shape inference, which our models do not need
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "int8.onnx"
        quantization.quantize_dynamic(_model(case, stateful), written, op_types_to_quantize=["LSTM"], per_channel=True)
        model = imported("onnx").load(written)
    kinds = {node.op_type for node in model.graph.node}
    if "LSTM" in kinds or "DynamicQuantizeLSTM" not in kinds:
        raise MissingPeerError(f"onnxruntime's quantisation made no DynamicQuantizeLSTM, but {', '.join(kinds)}")
    serialized: bytes = model.SerializeToString()
    return serialized


def _model(case: Case, stateful: bool) -> Any:
    imported("onnx")
    T, N, _ = case.x.shape
    signature = Signature(case.ours.sizes, states=stateful, T=T, N=N)
    weights = [Weights._make([*weights, None]) for weights in case.theirs.all_weights]
    return build_model(signature, weights, OPSET)
