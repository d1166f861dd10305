"""Small files that demand much: memory, time, or an endless loop."""

import io
import json
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from safetensors.torch import save_file
from torch import nn

import hiddenstate as hs
from attacks.formats import all_lstms, make_h5, make_old_h5, make_tagger, make_trace, model_of_keras
from hiddenstate.base.files import read_tensors
from hiddenstate.models.model_folder import load_tagger


def save_onnx(path: Path, nodes: list[Any], arrays: dict[str, Any], functions: Any = (), shapes: Any = ()) -> None:
    inputs, outputs = ([helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)] for name in ("X", "Y"))
    known = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes]
    values = [numpy_helper.from_array(np.asarray(value), name) for name, value in arrays.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, values, value_info=known)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    onnx.save(helper.make_model(graph, functions=functions, opset_imports=opsets), path)


def calls_that_double(path: Path) -> None:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]

    def function(k: int) -> Any:
        domain, called = ("own", f"f{k - 1}") if k else ("", "Relu")
        body = [helper.make_node(called, [a], [b], domain=domain) for a, b in (("x", "t"), ("t", "y"))]
        return helper.make_function("own", f"f{k}", ["x"], ["y"], body, opsets)

    save_onnx(path, [helper.make_node("f29", ["X"], ["Y"], domain="own")], {}, [function(k) for k in range(30)])


def functions_in_a_circle(path: Path) -> None:
    body = [helper.make_node("f", ["x"], ["y"], domain="own")]
    function = helper.make_function("own", "f", ["x"], ["y"], body, [helper.make_opsetid("own", 1)])
    save_onnx(path, [helper.make_node("f", ["X"], ["Y"], domain="own")], {}, [function])


def weights_computed(path: Path, *nodes: Any, **arrays: Any) -> None:
    lstm = helper.make_node("LSTM", ["X", "W", "W"], ["Y"], hidden_size=3)
    save_onnx(path, [*nodes, lstm], arrays)


def a_vast_range(path: Path) -> None:
    node = helper.make_node("Range", ["first", "last", "by"], ["W"])
    weights_computed(path, node, first=np.float32(0), last=np.float32(1e9), by=np.float32(1))


def weights_that_double(path: Path) -> None:
    names = ["V", *(f"w{k}" for k in range(39)), "W"]
    nodes = [helper.make_node("Concat", [a, a], [b], axis=0) for a, b in pairwise(names)]
    weights_computed(path, *nodes, V=np.ones((1, 1, 1), np.float32))


def a_vast_output(path: Path) -> None:
    arrays = {"W": np.ones((1, 8, 2), np.float32), "axis": np.array([1])}
    nodes = [
        helper.make_node("LSTM", ["X", "W", "W"], ["y"], hidden_size=2),
        helper.make_node("Squeeze", ["y", "axis"], ["x"]),
        helper.make_node("LSTM", ["x", "W", "W"], ["Y"], hidden_size=2),
    ]
    save_onnx(path, nodes, arrays, shapes=[("y", [10**6, 1, 10**4, 2])])


def a_state_of_itself(path: Path) -> None:
    nodes = [
        helper.make_node("LSTM", ["X", "W", "W", "", "", "h"], ["Y"], hidden_size=2),
        helper.make_node("Identity", ["k"], ["h"]),
        helper.make_node("Identity", ["h"], ["k"]),
    ]
    save_onnx(path, nodes, {"W": np.ones((1, 8, 2), np.float32)})


def forty_empty_datasets(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for k in range(20):
            group = file.create_group(f"layers/lstm{k}/cell/vars")
            group.create_dataset("0", (1 << 14, 1 << 14), "f4", chunks=(1 << 7, 1 << 14), compression="gzip")
            group.create_dataset("1", (1 << 14, 1 << 14), "f4", chunks=(1 << 7, 1 << 14), compression="gzip")


def in_the_heap(path: Path, place: int, size: int) -> None:
    make_h5(path)
    content = bytearray(path.read_bytes())
    at = content.index(b"GCOL") + 16 + place + 8  # after the heap's header; an object's size follows its number
    content[at : at + 8] = (size % 2**64).to_bytes(8, "little")
    path.write_bytes(content)


def a_text_of_no_type(path: Path) -> None:
    make_old_h5(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"\x19\x01", content.index(b"model_config")) + 1] = 2  # neither a list nor a text
    path.write_bytes(content)


def a_vast_config(path: Path) -> None:
    make_h5(weights := io.BytesIO())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b"[" + b"{}," * 40_000_000 + b"{}]")
        archive.writestr("model.weights.h5", weights.getvalue())


def a_way_of_packing_without_bounds(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("config.json", json.dumps(model_of_keras()))
        archive.writestr("model.weights.h5", bytes(1 << 20))


def config_of(path: Path, **settings: Any) -> None:
    make_tagger(path)
    head = json.loads((path / "config.json").read_text())
    head["config"].update(settings)
    (path / "config.json").write_text(json.dumps(head))


def views_of_one_number(path: Path) -> None:
    one = torch.ones(1)
    shapes = {"weight_ih_l0": (1 << 16, 1 << 14), "weight_hh_l0": (1 << 16, 1 << 14)}
    torch.save({name: one.expand(shape) for name, shape in shapes.items()}, path)


def dicts_that_double(path: Path) -> None:
    held: dict[str, Any] = nn.LSTM(3, 2).state_dict()
    for _ in range(40):
        held = {"a": held, "b": held}
    torch.save(held, path)


def a_dict_in_itself(path: Path) -> None:
    held: dict[str, Any] = dict(nn.LSTM(3, 2).state_dict())
    held["again"] = held
    torch.save(held, path)


def a_layer_of_a_high_number(path: Path) -> None:
    save_file({name.replace("_l0", "_l99999999999"): v for name, v in nn.LSTM(3, 2).state_dict().items()}, path)


def a_header_of_many_parts(path: Path) -> None:
    parts = b",".join(b'"%x":{"dtype":"I8","shape":[0],"data_offsets":[0,0]}' % k for k in range(700_000))
    path.write_bytes((len(parts) + 2).to_bytes(8, "little") + b"{" + parts + b"}")


def trace_of_layers(path: Path) -> None:
    tensors, metadata = read_tensors_of_a_trace(path)
    plain = {**json.loads(metadata["trace"]), "num_layers": 10**9}
    save_file(tensors, path, {**metadata, "trace": json.dumps(plain)})


def read_tensors_of_a_trace(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    make_trace(path)
    return read_tensors(path, "hiddenstate.trace/1")


class Bomb(NamedTuple):
    """A small file that demands much: how it is made and read, and the error message, "" if it is read."""

    make: Callable[[Path], object]
    read: Callable[[Path], object]
    said: str


BOMBS = {
    "calls.onnx": Bomb(calls_that_double, all_lstms, "functions are nested"),
    "circle.onnx": Bomb(functions_in_a_circle, all_lstms, "functions call themselves"),
    "range.onnx": Bomb(a_vast_range, all_lstms, "Range computes more numbers than an LSTM's weights have"),
    "doubling.onnx": Bomb(weights_that_double, all_lstms, "Concat computes more numbers than an LSTM's weights have"),
    "output.onnx": Bomb(a_vast_output, all_lstms, ""),
    "state.onnx": Bomb(a_state_of_itself, all_lstms, ""),
    "empty.h5": Bomb(forty_empty_datasets, all_lstms, "more than this file can hold"),
    "heap.h5": Bomb(lambda path: in_the_heap(path, 24, 0), all_lstms, "takes more than"),
    "type.h5": Bomb(a_text_of_no_type, all_lstms, "it crashed the HDF5 library"),
    "config.keras": Bomb(a_vast_config, all_lstms, "its configuration has"),
    "packed.keras": Bomb(a_way_of_packing_without_bounds, all_lstms, "only deflate is supported"),
    "layers": Bomb(lambda path: config_of(path, num_layers=100_000), load_tagger, "there are weights for fewer layers"),
    "fewer-layers": Bomb(
        lambda path: config_of(path, num_layers=1000), load_tagger, "there are weights for fewer layers"
    ),
    "views.pt": Bomb(views_of_one_number, all_lstms, "more than this file can hold"),
    "dicts.pt": Bomb(dicts_that_double, all_lstms, "dicts are nested more than 100 deep"),
    "circle.pt": Bomb(a_dict_in_itself, all_lstms, "dicts are nested more than 100 deep"),
    "high.safetensors": Bomb(a_layer_of_a_high_number, all_lstms, "has no tensors for most of its 100000000000 layers"),
    "header.safetensors": Bomb(a_header_of_many_parts, all_lstms, "its header has 2,799,999 parts"),
    "model.safetensors": Bomb(a_header_of_many_parts, hs.load, "its header has 2,799,999 parts"),
    "trace": Bomb(trace_of_layers, hs.Trace.load, "num_layers must match h0"),
}
