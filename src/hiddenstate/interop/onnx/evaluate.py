"""Computes constants in an ONNX graph with onnx's reference evaluator, one node at a time and within bounds.

The size of a node's output is known before it runs, from the shapes of its inputs (and the values of small ones, such
as a shape). So a node whose output would be too large is rejected without running it.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, TypeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.shape_inference import infer_shapes

from hiddenstate.errors import ArgumentError

Array = np.ndarray[Any, np.dtype[Any]]

# The maximum number of values that all nodes may produce in total: a fixed number, or a multiple of the initial values.
_MOST, _EXPANSION = 1 << 26, 32
_VALUES = 1024  # shape inference gets the values of inputs up to this size, and only the shapes of larger ones
# Operators that reorder, slice, join, unpack and rescale weights. Each takes time proportional to the size of its
# output, whose shape onnx infers.
_WORDS = """
    Abs Add And ArgMax ArgMin Cast CastLike Ceil Clip Concat Constant ConstantOfShape Cos CumSum DequantizeLinear
    Div Dropout Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Greater GreaterOrEqual
    Identity Less LessOrEqual Log Max Mean Min Mod Mul Neg Not OneHot Or Pad Pow QuantizeLinear Range Reciprocal
    ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round
    ScatterElements ScatterND Shape Sigmoid Sign Sin Size Slice Softmax Split Sqrt Squeeze Sub Sum Tanh Tile
    Transpose Trilu Unsqueeze Where Xor
"""
_OPERATORS = frozenset(_WORDS.split())
# Matrix products take time proportional to rows × columns × the summed dimension.
_PRODUCTS = frozenset({"MatMul", "Gemm"})
_MOST_PRODUCTS = 1 << 34


def evaluate(model: ModelProto, name: str, nodes: Iterable[NodeProto], feeds: Mapping[str, Array]) -> Array:
    """Run nodes on values, and return one of the values that they compute.

    Raises:
        ArgumentError: a node's output is too large, its operator is not supported for weights, or it can't be run.
    """
    values = dict(feeds)
    left = max(_MOST, _EXPANSION * sum(value.size for value in feeds.values()))
    for node in nodes:
        try:
            left -= _size(model, node, values)
            made = _run(model, node, values) if left >= 0 else ()
        except ArgumentError as error:
            raise ArgumentError(f"{name!r} can't be computed: {error}") from error
        except Exception as error:  # onnx's reference implementation may raise any error
            raise ArgumentError(f"{name!r} can't be computed: {node.op_type}: {error}") from error
        if left < 0:
            raise ArgumentError(
                f"{name!r} can't be computed: {node.op_type} computes more numbers than an LSTM's weights have"
            )
        values.update(zip(node.output, made, strict=False))
    return np.asarray(values[name])


def _size(model: ModelProto, node: NodeProto, values: Mapping[str, Array]) -> int:
    """Return how many values a node will compute."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in _OPERATORS | _PRODUCTS:
        raise ArgumentError(f"the operator {node.op_type} is not supported in the computation of weights")
    part = _model(model, node, values)
    inferred = {value.name: value.type for value in infer_shapes(part, strict_mode=True, data_prop=True).graph.output}
    size = sum(_numbers(inferred[name], node.op_type) for name in node.output if name)
    if node.op_type in _PRODUCTS and size * _summed(node, values[node.input[0]]) > _MOST_PRODUCTS:
        raise ArgumentError(f"{node.op_type} multiplies more numbers than an LSTM's weights have")
    return size


def _numbers(made: TypeProto, operator: str) -> int:
    dims = made.tensor_type.shape.dim
    if not made.tensor_type.HasField("shape") or not all(dim.HasField("dim_value") for dim in dims):
        raise ArgumentError(f"the number of values that {operator} computes is unknown")
    return math.prod(dim.dim_value for dim in dims)


def _summed(product: NodeProto, left: Array) -> int:
    """Return the length of the summed dimension of a matrix product."""
    turned = any(attribute.name == "transA" and attribute.i for attribute in product.attribute)
    return left.shape[0 if turned else -1] if left.ndim else 1


def _run(model: ModelProto, node: NodeProto, values: Mapping[str, Array]) -> list[Array]:
    part = _model(model, node, {})
    del part.graph.initializer[:]
    part.graph.input.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(node.input) if name)
    del part.graph.output[:]
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in node.output if name)
    feeds = {name: values[name] for name in node.input if name}
    made = iter(ReferenceEvaluator(part).run(None, feeds))
    return [np.asarray(next(made)) if name else np.empty(0) for name in node.output]


def _model(model: ModelProto, node: NodeProto, values: Mapping[str, Array]) -> ModelProto:
    """Return a model of one node, with small inputs as values and others as shapes."""
    inputs, initializers = [], []
    for name in dict.fromkeys(name for name in node.input if name):
        if name not in values:
            continue
        value = values[name]
        is_text = value.dtype.kind == "O"
        dtype = TensorProto.STRING if is_text else helper.np_dtype_to_tensor_dtype(value.dtype)
        inputs.append(helper.make_tensor_value_info(name, dtype, value.shape))
        if value.size <= _VALUES and value.dtype.kind in "iuf":
            initializers.append(numpy_helper.from_array(value, name))
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    graph = helper.make_graph([node], "part", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
