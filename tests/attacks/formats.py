"""Every format that is read: how to make and read a small file of it."""

import io
import json
import zipfile
from collections.abc import Callable
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
from hiddenstate.models.folder.model_folder import load, load_language_model, save
from hiddenstate.models.language.config import LanguageConfig
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.text.conllu import parse_conllu, read_conllu
from hiddenstate.text.tokens import learn
from hiddenstate.text.untagged import read_untagged
from hiddenstate.training.checkpoint import METRICS, Checkpoint, Position, RunFolder
from hiddenstate.training.plot import plot_run
from hiddenstate.training.progress import Epoch, Score, Step
from hiddenstate.training.run_file import RunFile, read_run_file

CONLLU = "# a comment\n1\tthe\tthe\tDET\tDT\t_\t2\tdet\t_\t_\n2\tcat\tcat\tNOUN\tNN\tNumber=Sing\t0\troot\t_\t_\n\n"
TEXT = "the cat sat on the mat .\nthe dog saw the cat .\n"
WIKITEXT = " = A cat = \n\n It didn 't cost 1 @,@ 000 , or was <unk> . A third @-@ person cat . \n"
KINDS = {"char": RunFile("language-model", LanguageConfig(), {"train": "", "dev": "", "out": ""}, {"command": ""})}


class Format(NamedTuple):
    """How to make and read a file, or a folder with one, and which files of the folder to damage."""

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


def make_tagger(path: Path, weights_dtype: str = "float16") -> None:
    settings = TaggerConfig(
        word_size=2,
        char_size=2,
        char_hidden_size=2,
        hidden_size=2,
        word_minimum=1,
        char_minimum=1,
        weights_dtype=weights_dtype,
    )
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
        # Without a date, so that the file is the same each time.
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


MODEL = ("config.json", "vocabulary.json", "weights.safetensors")
FORMATS = {
    "stream": Format(make_stream, lambda path: hs.LSTM(4, 3, 2).stream(batch=2).load(path)),
    "trace": Format(make_trace, read_trace),
    "tagger": Format(make_tagger, load, MODEL),
    "int8-tagger": Format(lambda path: make_tagger(path, "int8"), load, MODEL),
    "language-model": Format(make_language_model, load_language_model, MODEL),
    "model.onnx": Format(make_onnx, all_lstms),
    "model.keras": Format(make_keras, all_lstms),
    "model.h5": Format(make_h5, all_lstms),
    "old.h5": Format(make_old_h5, all_lstms),
    "model.safetensors": Format(lambda path: save_file(state_dict(), path), all_lstms),
    "model.pt": Format(lambda path: torch.save(state_dict(), path), all_lstms),
    "old.pt": Format(lambda p: torch.save(state_dict(), p, _use_new_zipfile_serialization=False), all_lstms),
    "conllu": Format(lambda path: path.write_text(CONLLU * 3), read_conllu),
    "text": Format(lambda path: path.write_text(TEXT + "é and 戦 .\n"), lambda path: learn(path, "word")),
    "untagged": Format(lambda path: path.write_text(WIKITEXT), read_untagged),
    "run.toml": Format(
        lambda path: path.write_text(KINDS["char"].to_toml()), lambda path: read_run_file(path, KINDS["char"])
    ),
    "run": Format(make_run, read_run, ("checkpoint.safetensors", METRICS)),
}
