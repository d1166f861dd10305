"""Small ONNX models for the tests, and their numbers as onnxruntime computes them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, helper, numpy_helper

Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]


def random_arrays(C: int, H: int, D: int = 1, *, bias: bool = True, seed: int = 0, end: str = "") -> Arrays:
    """The weights of an LSTM node; ``end`` ends their names."""
    rng = np.random.default_rng(seed)
    shapes = {"W": (D, 4 * H, C), "R": (D, 4 * H, H), **({"B": (D, 8 * H)} if bias else {})}
    return {name + end: rng.standard_normal(shape).astype(np.float32) * 0.5 for name, shape in shapes.items()}


def lstm_node(arrays: Arrays, name: str = "lstm", x: str = "X", end: str = "", **attributes: Any) -> NodeProto:
    inputs = [x, "W" + end, "R" + end, *(["B" + end] if "B" + end in arrays else [])]
    hidden_size = arrays["R" + end].shape[-1]
    outputs = [name + "_Y", name + "_Y_h", name + "_Y_c"]
    return helper.make_node("LSTM", inputs, outputs, name=name, **{"hidden_size": hidden_size, **attributes})


def model_of(
    nodes: Sequence[NodeProto], constants: Mapping[str, Any], outputs: Sequence[str], inputs: Sequence[str] = ("X",)
) -> ModelProto:
    floats = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, floats, None) for name in inputs],
        [helper.make_tensor_value_info(name, floats, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: ModelProto, x: Any) -> list[Any]:
    """Every output of a model, as onnxruntime computes it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: np.asarray(x)}))
