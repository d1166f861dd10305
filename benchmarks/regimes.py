"""The table of regimes: the measurements, their shapes and their contestants."""

import cells
import floors
import int8_layers
import layers
import onnx_peers
from contestants import SAME_IN_BFLOAT16, SAME_IN_INT8, Yardstick
from layers import OURS
from regime import Regime
from shapes import Shape

# Seconds between the steps of a stream that waits for its next input, such as audio frames.
BETWEEN_STEPS = 0.005

PLAIN_CALL = Yardstick(layers.ours, f"{OURS}, plain call")
FLOAT32 = Yardstick(layers.ours, f"{OURS}, float32", SAME_IN_BFLOAT16)

STREAM = (layers.ours_stream, layers.torch_stream, onnx_peers.onnxruntime_stream)
STREAM_BFLOAT16 = (
    layers.ours_stream_bfloat16,
    Yardstick(layers.ours_stream, f"{OURS}, float32", SAME_IN_BFLOAT16),
    layers.torch_stream_bfloat16,
)
INFERENCE = (layers.ours, layers.torch_no_grad, onnx_peers.onnxruntime, onnx_peers.openvino_float32)
SEQUENCE = (*INFERENCE, layers.torch_with_grad, layers.ours_with_grad)
BFLOAT16 = (layers.ours_bfloat16, FLOAT32, layers.torch_bfloat16, onnx_peers.openvino)
INT8 = (
    int8_layers.ours_int8,
    Yardstick(layers.ours_bfloat16, f"{OURS}, bfloat16", SAME_IN_INT8),
    Yardstick(layers.ours, f"{OURS}, float32", SAME_IN_INT8),
    int8_layers.torch_int8,
    onnx_peers.onnxruntime_int8,
)
STREAM_INT8 = (
    int8_layers.ours_int8_stream,
    Yardstick(layers.ours_stream_bfloat16, f"{OURS}, bfloat16", SAME_IN_INT8),
    Yardstick(layers.ours_stream, f"{OURS}, float32", SAME_IN_INT8),
    int8_layers.torch_int8_stream,
    onnx_peers.onnxruntime_int8_stream,
)
# The cost of more layers for a single row.
STACK = (
    Yardstick(layers.ours, f"{OURS}, one layer"),
    Yardstick(layers.ours, f"{OURS}, 2 layers", layers=2),
    Yardstick(layers.ours, f"{OURS}, 4 layers", layers=4),
)
TRAINING = (layers.ours_training, layers.torch_training)
AUTOCAST = (
    layers.ours_autocast,
    Yardstick(layers.ours_training, f"{OURS}, float32", SAME_IN_BFLOAT16),
    Yardstick(layers.torch_training, "torch, float32", SAME_IN_BFLOAT16),
    layers.torch_autocast,
)
RAGGED = (layers.ours_ragged, layers.torch_packed)
RAGGED_TRAINING = (layers.ours_ragged_training, layers.torch_packed_training)
TRACE = (layers.ours_trace, PLAIN_CALL, cells.recording_loop)
RESET = (layers.ours_reset, PLAIN_CALL)
PATCHES = (layers.ours_patch_sweep, PLAIN_CALL, cells.patching_loop)

REGIMES = (
    Regime("stream, one step", Shape(1, 1, 64), STREAM, floors.forward),
    Regime("stream, one step", Shape(1, 1, 128), STREAM, floors.forward, quick=True),
    Regime("stream, one step", Shape(1, 1, 256), STREAM, floors.forward),
    Regime("bfloat16 stream, one step", Shape(1, 1, 128), STREAM_BFLOAT16),
    Regime("sequence", Shape(100, 1, 64), SEQUENCE, floors.forward),
    Regime("sequence", Shape(100, 1, 128), SEQUENCE, floors.forward, quick=True),
    Regime("sequence", Shape(100, 1, 256), SEQUENCE, floors.forward, quick=True),
    Regime("sequence", Shape(100, 1, 512), SEQUENCE, floors.forward),
    Regime("sequence", Shape(100, 1, 128, 2), SEQUENCE, floors.forward),
    Regime("sequence", Shape(100, 1, 128, bidirectional=True), SEQUENCE, floors.forward),
    Regime("layers, as long as one", Shape(100, 1, 32), STACK),
    Regime("layers, as long as one", Shape(100, 1, 64), STACK),
    Regime("batch", Shape(100, 32, 128), INFERENCE, floors.forward),
    Regime("batch", Shape(100, 16, 256), INFERENCE, floors.forward),
    Regime("batch", Shape(100, 32, 256), INFERENCE, floors.forward, quick=True),
    Regime("batch", Shape(50, 64, 512), INFERENCE, floors.forward),
    Regime("batch", Shape(64, 64, 128, 2), INFERENCE, floors.forward, quick=True),
    Regime("batch", Shape(35, 20, 650, 2), INFERENCE, floors.forward),
    Regime("batch", Shape(32, 16, 1024), INFERENCE, floors.forward),
    Regime("batch", Shape(64, 64, 128, 2, bidirectional=True), INFERENCE, floors.forward),
    Regime("forward + backward", Shape(100, 1, 64), TRAINING, floors.training),
    Regime("forward + backward", Shape(100, 1, 128), TRAINING, floors.training, quick=True),
    Regime("forward + backward", Shape(100, 1, 256), TRAINING, floors.training),
    Regime("forward + backward", Shape(100, 16, 256), TRAINING, floors.training),
    Regime("forward + backward", Shape(100, 32, 256), TRAINING, floors.training),
    Regime("forward + backward", Shape(64, 64, 128, 2), TRAINING, floors.training, quick=True),
    Regime("forward + backward", Shape(35, 20, 650, 2), TRAINING, floors.training),
    Regime("forward + backward", Shape(64, 64, 128, 2, bidirectional=True), TRAINING, floors.training),
    Regime("ragged", Shape(64, 64, 128, 2), RAGGED, floors.ragged_forward, quick=True),
    Regime("ragged, forward + backward", Shape(64, 64, 128, 2), RAGGED_TRAINING, floors.ragged_training, quick=True),
    Regime("trace", Shape(100, 1, 128), TRACE, quick=True),
    Regime("trace", Shape(100, 32, 256), TRACE, quick=True),
    Regime("reset", Shape(64, 64, 128), RESET, floors.forward, quick=True),
    Regime("patch sweep", Shape(20, 512, 256, 2), PATCHES, floors.forward, quick=True),
    Regime("bfloat16", Shape(100, 1, 512), BFLOAT16),
    Regime("bfloat16", Shape(100, 32, 256), BFLOAT16, quick=True),
    Regime("bfloat16", Shape(64, 64, 128, 2), BFLOAT16),
    Regime("int8 stream, one step", Shape(1, 1, 64), STREAM_INT8),
    Regime("int8 stream, one step", Shape(1, 1, 128), STREAM_INT8),
    Regime("int8 stream, one step", Shape(1, 1, 256), STREAM_INT8, quick=True),
    Regime("int8 stream, one step", Shape(1, 1, 512), STREAM_INT8),
    Regime("int8 stream, 5 ms between steps", Shape(1, 1, 256), STREAM_INT8, idle=BETWEEN_STEPS),
    Regime("int8", Shape(100, 1, 128), INT8),
    Regime("int8", Shape(100, 1, 256), INT8, quick=True),
    Regime("int8", Shape(100, 1, 512), INT8),
    Regime("int8", Shape(100, 8, 256), INT8),
    Regime("int8", Shape(64, 64, 128, 2), INT8),
    Regime("int8", Shape(100, 8, 128, 2, bidirectional=True, features=160), INT8),
    Regime("autocast, forward + backward", Shape(100, 32, 256), AUTOCAST, quick=True),
    Regime("autocast, forward + backward", Shape(35, 20, 650, 2), AUTOCAST),
)
