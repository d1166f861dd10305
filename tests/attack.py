"""Damaged files of every format, read under a limit of memory and time: each loads, or is refused by an error of ours.

And bombs: small files that ask for much.

``python tests/attack.py --count 1000`` reads a thousand damaged files of each format. What is said of one, such as
``trace 17``, is damaged and read alone by ``--format trace --first 17 --count 1``.
"""

import argparse
import faulthandler
import io
import json
import multiprocessing
import random
import re
import resource
import shutil
import sys
import tempfile
import traceback
import warnings
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
from hiddenstate.base.files import read_tensors
from hiddenstate.errors import HiddenStateError
from hiddenstate.models.config import TaggerConfig
from hiddenstate.models.folder import load, load_language_model, save
from hiddenstate.models.language import LanguageModel
from hiddenstate.models.language_config import LanguageConfig
from hiddenstate.models.tagger import Tagger
from hiddenstate.text.conllu import parse_conllu, read_conllu
from hiddenstate.text.tokens import learn
from hiddenstate.training.checkpoint import METRICS, Checkpoint, Position, RunFolder
from hiddenstate.training.plot import plot_run
from hiddenstate.training.progress import Epoch, Score, Step
from hiddenstate.training.run_file import RunFile, read_run_file

MEMORY, SECONDS = 1 << 30, 20  # more than the process has to begin with; for one file

CONLLU = "# a comment\n1\tthe\tthe\tDET\tDT\t_\t2\tdet\t_\t_\n2\tcat\tcat\tNOUN\tNN\tNumber=Sing\t0\troot\t_\t_\n\n"
TEXT = "the cat sat on the mat .\nthe dog saw the cat .\n"
KINDS = {"char": RunFile("language-model", LanguageConfig(), {"train": "", "dev": "", "out": ""}, {"command": ""})}
# What is put in the place of a number or a text in JSON and its like.
EXTREMES = (
    *("-1", "0", "1", "2", "65536", "99999999999", "9223372036854775808", "1e400", "-1e-400", "NaN", "Infinity"),
    *("9" * 400, "9" * 5000, "0x" + "f" * 5000, "null", "true", '"abcde"', '""', '"\\ud800"', "[]", "{}", '[[1,"a"]]'),
    *('{"config":{"layers":[{}]}}', "[" * 3000, '{"a":' * 3000),
)
NUMBERS = (
    b"\x00" * 8,
    b"\xff" * 8,
    b"\xff" * 7 + b"\x7f",
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x40",
    b"\x00" * 7 + b"\x01",
)


class Format(NamedTuple):
    """How a file, or a folder with one, is made and read, and which files of the folder are damaged."""

    make: Callable[[Path], object]
    read: Callable[[Path], object]
    names: tuple[str, ...] = ("",)


def all_lstms(path: Path) -> None:
    found = hs.find_lstms(path)
    str(found)
    for name in found:
        _ = found[name]


def make_stream(path: Path) -> None:
    stream = hs.LSTM(4, 3, 2).stream(batch=2)
    stream.feed(torch.randn(3, 2, 4))
    stream.save(path)


def make_trace(path: Path) -> None:
    lstm = hs.LSTM(2, 3, 2, bidirectional=True, proj_size=2)
    with lstm.edit(hs.zero("l0.c", t=1, scope="readout")):
        lstm.trace(torch.randn(3, 2, 2), lengths=[3, 2], tokens=[["a", "b", "c"], ["d", "e"]], steps=[0, 2]).save(path)


def read_trace(path: Path) -> None:
    trace = hs.Trace.load(path)
    repr(trace)
    for row in range(trace.batch):
        for t in trace.steps:
            if t < trace.row_length(row) and trace.names:
                trace.pick(trace.names[0], t=t, row=row)
        trace.words(row)
        trace.cell_before(row=row)


def make_tagger(path: Path) -> None:
    settings = TaggerConfig(word_size=2, char_size=2, char_hidden_size=2, hidden_size=2, word_minimum=1, char_minimum=1)
    save(Tagger.build(settings, parse_conllu(CONLLU)), path)


def make_language_model(path: Path) -> None:
    tokens, _ = learn(io.BytesIO(TEXT.encode()), "word")
    save(
        LanguageModel(
            LanguageConfig(embedding_size=2, hidden_size=3, level="word", cutoffs=(4,), cutoff_factor=2.0), tokens
        ),
        path,
    )


def make_onnx(path: Path) -> None:
    def weights(C: int, end: str) -> dict[str, Any]:
        shapes = {f"W{end}": (1, 8, C), f"R{end}": (1, 8, 2), f"B{end}": (1, 16)}
        return {name: np.ones(shape, np.float32) for name, shape in shapes.items()}

    arrays = {**weights(3, "0"), **weights(2, "1"), "axis": np.array([1]), "two": np.array([2, 1, 1])}
    arrays["half"] = arrays.pop("W0")[:, :4]
    call = helper.make_node("twice", ["half", "two"], ["W0"], domain="own")
    body = [helper.make_node("Concat", ["w", "w"], ["out"], axis=1)]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    nodes = [
        call,
        helper.make_node("LSTM", ["X", "W0", "R0", "B0"], ["y0"], "first", hidden_size=2),
        helper.make_node("Squeeze", ["y0", "axis"], ["x1"]),
        helper.make_node("LSTM", ["x1", "W1", "R1", "B1"], ["y1"], "second", hidden_size=2),
    ]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)]
        for name, shape in (("X", [4, 2, 3]), ("y1", None))
    )
    values = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    function = helper.make_function("own", "twice", ["w", "k"], ["out"], body, opsets)
    graph = helper.make_graph(nodes, "graph", inputs, outputs, values)
    onnx.save(helper.make_model(graph, functions=[function], opset_imports=opsets), path)


def make_h5(path: Path | io.BytesIO) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/lstm/cell/vars")
        for k, shape in enumerate([(3, 8), (2, 8), (8,)]):
            group.create_dataset(str(k), data=np.ones(shape, np.float32), compression="gzip" if k == 0 else None)
        file["layers/lstm/vars"] = file.create_group("names")
        file["layers/lstm/vars"].attrs["name"] = "reads"


def layer_of_keras() -> dict[str, Any]:
    settings = {"name": "reads", "units": 2, "activation": "tanh", "recurrent_activation": "sigmoid"}
    return {"class_name": "Sequential", "config": {"layers": [{"class_name": "LSTM", "config": settings}]}}


def make_old_h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(layer_of_keras())
        root = file.create_group("model_weights")
        root.attrs["layer_names"], root.attrs["keras_version"] = [b"reads"], b"2.11.0"
        group = root.create_group("reads/reads/lstm_cell")
        for name, shape in (("kernel:0", (3, 8)), ("recurrent_kernel:0", (2, 8)), ("bias:0", (8,))):
            group[name] = np.ones(shape, np.float32)


def make_keras(path: Path) -> None:
    make_h5(weights := io.BytesIO())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        # Of no date, so that the file is the same each time.
        archive.writestr(zipfile.ZipInfo("config.json"), json.dumps(layer_of_keras()))
        archive.writestr(zipfile.ZipInfo("model.weights.h5"), weights.getvalue())


def make_run(path: Path) -> None:
    folder = RunFolder(path)
    folder.begin("kind = 'tagger'\n")
    last = Step(1, 2, 3, 4, 0.5, 0.5, 0.1, 10.0, 1.0)
    folder.log("step", vars(last))
    folder.log("epoch", {**vars(last), "value": 0.5, "is_best": True})
    position = Position(epoch=2, step=2, history=[Epoch(last, Score(0.5, "half", {"a": 1.0}), is_best=True)])
    folder.write(Checkpoint(position, 1, "data", {"model.weight": torch.ones(2, 2)}), finished=False)


def read_run(path: Path) -> None:
    folder = RunFolder(path)
    folder.read(1, "data")
    folder.mend()
    plot_run(path)


def state_dict() -> dict[str, Any]:
    return nn.ModuleDict({"one": nn.LSTM(3, 2, 2), "two": nn.LSTMCell(3, 2)}).state_dict()


FORMATS = {
    "stream": Format(make_stream, lambda path: hs.LSTM(4, 3, 2).stream(batch=2).load(path)),
    "trace": Format(make_trace, read_trace),
    "tagger": Format(make_tagger, load, ("config.json", "vocabulary.json", "weights.safetensors")),
    "language-model": Format(
        make_language_model, load_language_model, ("config.json", "vocabulary.json", "weights.safetensors")
    ),
    "model.onnx": Format(make_onnx, all_lstms),
    "model.keras": Format(make_keras, all_lstms),
    "model.h5": Format(make_h5, all_lstms),
    "old.h5": Format(make_old_h5, all_lstms),
    "model.safetensors": Format(lambda path: save_file(state_dict(), path), all_lstms),
    "model.pt": Format(lambda path: torch.save(state_dict(), path), all_lstms),
    "old.pt": Format(lambda p: torch.save(state_dict(), p, _use_new_zipfile_serialization=False), all_lstms),
    "conllu": Format(lambda path: path.write_text(CONLLU * 3), read_conllu),
    "text": Format(lambda path: path.write_text(TEXT + "é and 戦 .\n"), lambda path: learn(path, "word")),
    "run.toml": Format(
        lambda path: path.write_text(KINDS["char"].to_toml()), lambda path: read_run_file(path, KINDS["char"])
    ),
    "run": Format(make_run, read_run, ("checkpoint.safetensors", METRICS)),
}


def damaged(data: bytes, draw: random.Random) -> bytes:
    """The same with something else in it; what holds other files has those damaged too."""
    if data[:4] == b"PK\x03\x04" and draw.random() < 0.5:
        return _rezipped(data, draw)
    header = int.from_bytes(data[:8], "little") if data[8:9] == b"{" else 0  # as in safetensors
    if header and draw.random() < 0.7:
        inside = _other(data[8 : 8 + header], draw)
        return len(inside).to_bytes(8, "little") + inside + data[8 + header :]
    return _other(data, draw)


def _rezipped(data: bytes, draw: random.Random) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        chosen = draw.choice(old.namelist())
        for name in old.namelist():
            content = old.read(name)
            new.writestr(zipfile.ZipInfo(name), damaged(content, draw) if name == chosen else content)
    return made.getvalue()


def _other(data: bytes, draw: random.Random) -> bytes:
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        at, other = draw.randrange(len(data) + 1), draw.randrange(len(data) + 1)
        first, last = min(at, other), min(max(at, other), min(at, other) + 64)
        values = [match.span() for match in re.finditer(rb'-?\d+(?:\.\d+)?|"[^"\n]{0,40}"|true|false', data)]
        way = draw.randrange(9 if values else 7)
        if way <= 1:
            data = data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]
        elif way == 2:
            data = data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)] if at < len(data) else b"") + data[at + 1 :]
        elif way == 3:
            number = draw.choice(NUMBERS)
            data = data[:at] + number + data[at + len(number) :]
        elif way == 4:
            data = data[:first] + data[last:]
        elif way == 5:
            data = data[:other] + data[first:last] * draw.choice((1, 2, 100)) + data[other:]
        elif way == 6:
            data = data[:at]
        else:
            start, stop = draw.choice(values)
            data = data[:start] + draw.choice(EXTREMES).encode() + data[stop:]
    return data


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


def a_heap_without_end(path: Path) -> None:
    make_h5(path)
    content = bytearray(path.read_bytes())
    free = content.index(b"GCOL") + 40  # behind the heap's header, and one text with its own
    content[free + 8 : free + 16] = bytes(8)
    path.write_bytes(content)


def a_vast_config(path: Path) -> None:
    make_h5(weights := io.BytesIO())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b"[" + b"{}," * 40_000_000 + b"{}]")
        archive.writestr("model.weights.h5", weights.getvalue())


def a_way_of_packing_without_bounds(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("config.json", json.dumps(layer_of_keras()))
        archive.writestr("model.weights.h5", bytes(1 << 27))


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


def trace_of_layers(path: Path) -> None:
    tensors, metadata = read_tensors_of_a_trace(path)
    plain = {**json.loads(metadata["trace"]), "num_layers": 10**9}
    save_file(tensors, path, {**metadata, "trace": json.dumps(plain)})


def read_tensors_of_a_trace(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    make_trace(path)
    return read_tensors(path, "hiddenstate.trace/1")


class Bomb(NamedTuple):
    """A small file that asks for much: how it is made and read, and what is said of it, "" where it is read."""

    make: Callable[[Path], object]
    read: Callable[[Path], object]
    said: str


BOMBS = {
    "calls.onnx": Bomb(calls_that_double, all_lstms, "functions call one another"),
    "circle.onnx": Bomb(functions_in_a_circle, all_lstms, "functions call themselves"),
    "range.onnx": Bomb(a_vast_range, all_lstms, "Range makes more numbers than weights have"),
    "doubling.onnx": Bomb(weights_that_double, all_lstms, "Concat makes more numbers than weights have"),
    "output.onnx": Bomb(a_vast_output, all_lstms, ""),
    "state.onnx": Bomb(a_state_of_itself, all_lstms, ""),
    "empty.h5": Bomb(forty_empty_datasets, all_lstms, "which can't be in this file"),
    "heap.h5": Bomb(a_heap_without_end, all_lstms, "free space in its heap of texts has no size"),
    "config.keras": Bomb(a_vast_config, all_lstms, "its configuration has"),
    "packed.keras": Bomb(a_way_of_packing_without_bounds, all_lstms, "only deflated zips are"),
    "layers": Bomb(lambda path: config_of(path, num_layers=100_000), load, "there are weights of fewer layers"),
    "fewer-layers": Bomb(lambda path: config_of(path, num_layers=1000), load, "there are weights of fewer layers"),
    "views.pt": Bomb(views_of_one_number, all_lstms, "which can't be in this file"),
    "dicts.pt": Bomb(dicts_that_double, all_lstms, "dicts inside of dicts, over 100 deep"),
    "circle.pt": Bomb(a_dict_in_itself, all_lstms, "dicts inside of dicts, over 100 deep"),
    "high.safetensors": Bomb(a_layer_of_a_high_number, all_lstms, "has no tensors of most of its 100000000000 layers"),
    "trace": Bomb(trace_of_layers, hs.Trace.load, "num_layers must be that of h0"),
}


def limited(at: Path) -> None:
    """Let this process take no more memory; what it is about to do is to be written into ``at``."""
    warnings.simplefilter("ignore")
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    at.write_text("nothing")


def blow_up(name: str, folder: Path) -> None:
    """Make and read one bomb."""
    bomb, path = BOMBS[name], folder / name
    bomb.make(path)
    limited(folder / "at")
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    try:
        bomb.read(path)
        told = ""
    except HiddenStateError as error:
        told = str(error)
    if bomb.said not in told or bool(told) != bool(bomb.said) or (told and str(path) not in told):
        raise RuntimeError(f"{name}: got {told!r}, expected {bomb.said!r} of {path}")
    (folder / "at").write_text("refused" if told else "read")


def attack(name: str, first: int, count: int, folder: Path) -> None:
    """Damage and read files of one format; what is about to be read is kept in ``folder / "at"``."""
    known, whole, place = FORMATS[name], folder / "whole" / name, folder / name
    whole.parent.mkdir()
    torch.manual_seed(0)
    known.make(whole)
    known.read(whole)
    at, refused = folder / "at", 0
    limited(at)
    for k in range(first, first + count):
        at.write_text(f"{name} {k}")
        draw = random.Random(f"{name} {k}")
        shutil.rmtree(place, ignore_errors=True)
        (shutil.copytree if whole.is_dir() else shutil.copy)(whole, place)
        file = place / draw.choice(known.names) if whole.is_dir() else place
        file.write_bytes(damaged(file.read_bytes(), draw))
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            known.read(place)
        except HiddenStateError as error:
            if str(place) not in str(error):
                raise RuntimeError(f"{name} {k}: no name of the file in {error!r}") from error
            refused += 1
        finally:
            faulthandler.cancel_dump_traceback_later()
    at.write_text(f"{refused} of {count} refused")


def _child(work: Callable[..., None], *given: Any) -> None:
    try:
        work(*given)
    except BaseException:
        traceback.print_exc()
        sys.exit(1)


def done(name: str, work: Callable[..., None], *given: Any) -> bool:
    """Do work in a process of its own, in a folder, say what came of it, and return whether all is well."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = (work, *given, Path(folder))
        child = multiprocessing.get_context("fork").Process(target=_child, args=arguments)
        child.start()
        child.join()
        at = Path(folder, "at").read_text() if Path(folder, "at").exists() else "nothing"
    well = child.exitcode == 0
    print(f"{name}: {at}" if well else f"{name}: FAILED at {at}, exit code {child.exitcode}", flush=True)
    return well


def main() -> None:
    """Read every bomb and attack every format, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="damaged files of each format")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--format", choices=FORMATS, help="one format alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    formats = [options.format] if options.format else [*FORMATS]
    well = [] if options.format else [done(f"bomb {name}", blow_up, name) for name in BOMBS]
    well += [done(name, attack, name, options.first, options.count) for name in formats]
    sys.exit(not all(well))


if __name__ == "__main__":
    main()
