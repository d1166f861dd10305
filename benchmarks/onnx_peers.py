"""Contestants that run ONNX's LSTM operator with the same weights: onnxruntime and OpenVINO, if installed."""

from typing import Any

import torch
from torch import Tensor

from contestants import SAME, SAME_IN_BFLOAT16, SAME_IN_INT8, Contestant
from onnx_file import bytes_of, imported, int8_bytes_of
from shapes import Case

# How long onnxruntime's threads spin for more work after a run, if allowed.
SPINNING_SECONDS = 0.05


def onnxruntime(case: Case) -> Contestant:
    session, given = _session_of(case, {"session.force_spinning_stop": "1"}), {"x": case.x.numpy()}
    return Contestant("onnxruntime", lambda: session.run(["out"], given)[0], torch.from_numpy)


def onnxruntime_stream(case: Case) -> Contestant:
    """One step, with the state fed back. Threads may spin from one step to the next, which makes it faster."""
    return _stream("onnxruntime", _session_of(case, {}, stateful=True), case)


def onnxruntime_int8(case: Case) -> Contestant:
    session, given = _session_of(case, {"session.force_spinning_stop": "1"}, int8=True), {"x": case.x.numpy()}
    return Contestant("onnxruntime, int8", lambda: session.run(["out"], given)[0], torch.from_numpy, SAME_IN_INT8)


def onnxruntime_int8_stream(case: Case) -> Contestant:
    session = _session_of(case, {}, stateful=True, int8=True)
    return _stream("onnxruntime, int8", session, case)._replace(tolerance=SAME_IN_INT8)


def _stream(name: str, session: Any, case: Case) -> Contestant:
    x = case.x.numpy()
    state = [value.numpy() for value in case.zero_state()]

    def step() -> Any:
        nonlocal state
        out, *state = session.run(None, {"x": x, **dict(zip(("h0", "c0"), state, strict=False))})
        return out[0]

    return Contestant(name, step, torch.from_numpy, rest=SPINNING_SECONDS)


def _session_of(case: Case, entries: dict[str, str], *, stateful: bool = False, int8: bool = False) -> Any:
    runtime = imported("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    model = (int8_bytes_of if int8 else bytes_of)(case, stateful=stateful)
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def openvino(case: Case) -> Contestant:
    """OpenVINO with its defaults: on a CPU with fast bfloat16 it computes in that, and its name says so."""
    return _openvino(case, {}, "the default here")


def openvino_float32(case: Case) -> Contestant:
    return _openvino(case, {"INFERENCE_PRECISION_HINT": "f32"}, "asked for")


def _openvino(case: Case, options: dict[str, str], why: str) -> Contestant:
    core = imported("openvino").Core()
    threads = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": str(torch.get_num_threads())}
    compiled = core.compile_model(core.read_model(bytes_of(case, stateful=False)), "CPU", {**threads, **options})
    precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    request, given = compiled.create_infer_request(), {"x": case.x.numpy()}

    def run() -> Any:
        request.infer(given, share_inputs=True)
        return request.get_output_tensor(0).data

    tolerance = SAME if precision == "f32" else SAME_IN_BFLOAT16
    return Contestant(f"OpenVINO, {precision} ({why})", run, _tensor, tolerance)


def _tensor(result: Any) -> Tensor:
    return torch.from_numpy(result.copy())  # its memory belongs to the request
