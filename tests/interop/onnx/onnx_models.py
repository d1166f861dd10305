"""Small ONNX models for the tests, and onnxruntime's results for them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, helper, numpy_helper

Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]


def random_arrays(C: int, H: int, D: int = 1, *, bias: bool = True, seed: int = 0, end: str = "") -> Arrays:
    """The weights of an LSTM node; their names end with ``end``."""
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
    """Every output of a model, computed by onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: np.asarray(x)}))


def one_node(C: int = 4, H: int = 3, D: int = 1, *, bias: bool = True, **attributes: Any) -> ModelProto:
    arrays = random_arrays(C, H, D, bias=bias)
    if D == 2:
        attributes = {"direction": "bidirectional", **attributes}
    return model_of([lstm_node(arrays, **attributes)], arrays, ["lstm_Y", "lstm_Y_h", "lstm_Y_c"])


def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs, [output], **attributes)


def stack(D: int, join: list[Any], more: list[Any] | None = None, outputs: tuple[str, ...] = ("b_Y",)) -> ModelProto:
    """Two nodes, a and b, with other nodes between a_Y and J, which b reads."""
    first, second = random_arrays(4, 3, D, end="0"), random_arrays(3 * D, 3, D, seed=1, end="1")
    direction = "bidirectional" if D == 2 else "forward"
    nodes = [
        lstm_node(first, "a", end="0", direction=direction),
        *join,
        lstm_node(second, "b", x="J", end="1", direction=direction),
        *(more or []),
    ]
    constants = {"axis": np.array([1]), "shape": np.array([0, 0, -1]), **first, **second}
    return model_of(nodes, constants, outputs)


SQUEEZE = [node("Squeeze", ["a_Y", "axis"], "J")]
