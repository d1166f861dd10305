"""Every format that is read: how to make and read a small file of it."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import onnx
import pandas
import torch
from onnx import helper, numpy_helper
from safetensors.torch import save_file
from torch import nn

import hiddenstate as hs
from hiddenstate.cells.kinds import CELLS
from hiddenstate.models.language.config import LanguageConfig
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.model_folder import load_language_model, load_tagger, save
from hiddenstate.models.series.tables import read_table
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.nn.rnn import new_layer
from hiddenstate.structure.sizes import Sizes
from hiddenstate.text.conllu import parse_conllu, read_conllu
from hiddenstate.text.passages import read_untagged
from hiddenstate.text.tokens import learn
from hiddenstate.training.checkpoint import METRICS, Checkpoint, Position, RunFolder
from hiddenstate.training.plot import plot_run
from hiddenstate.training.settings import RunFile, read_run_file
from hiddenstate.training.task import Epoch, Score, Step

CONLLU = "# a comment\n1\tthe\tthe\tDET\tDT\t_\t2\tdet\t_\t_\n2\tcat\tcat\tNOUN\tNN\tNumber=Sing\t0\troot\t_\t_\n\n"
SERIES = "date,rain,flow\n" + "".join(f"2012-01-{day:02},{day / 7:.3f},{day % 5}\n" for day in range(1, 29))
TEXT = "the cat sat on the mat .\nthe dog saw the cat .\n"
WIKITEXT = " = A cat = \n\n It didn 't cost 1 @,@ 000 , or was <unk> . A third @-@ person cat . \n"
KINDS = {"char": RunFile("language-model", LanguageConfig(), {"train": "", "dev": "", "out": ""}, {"command": ""})}


class Format(NamedTuple):
    """How to make and read a file, or a folder with one, and which files of the folder to damage."""

    make: Callable[[Path], object]
    read: Callable[[Path], object]
    names: tuple[str, ...] = ("",)


def all_lstms(path: Path, kind: type[Any] = hs.LSTM) -> None:
    found = hs.find_lstms(path, kind=kind)
    str(found)
    for name in found:
        _ = found[name]


def all_layers(path: Path) -> None:
    """Find and build the layers of one kind, which the file's bytes choose: a damaged file's is any."""
    all_lstms(path, (hs.LSTM, hs.GRU, hs.RNN)[sum(path.read_bytes()) % 3])


def new_stream(cell: str) -> hs.Stream:
    """A new stream of a layer that always has the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        stream: hs.Stream = new_layer(Sizes(4, 3, 2, cell=cell)).stream(batch=2)
    return stream


def make_stream(path: Path, cell: str = "LSTM") -> None:
    stream = new_stream(cell)
    stream.feed(torch.randn(3, 2, 4))
    stream.save(path)


def new_series_stream(cell: str) -> Any:
    """A new stream of a series model, which always has the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return hs.series_model(new_layer(Sizes(2, 3, cell=cell)), ["rain", "flow"], ["flow", "a", "b"]).stream()


def make_series_model(path: Path, end: str = "") -> None:
    layers = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.GRU(3, 4))
    model = hs.series_model(layers, ["rain", "flow"], ["a", "b", "c", "flow"], scale=(1.5, 2.0), units="m")
    hs.save(model, f"{path}{end}")


def make_series_stream(path: Path, cell: str = "LSTM") -> None:
    stream = new_series_stream(cell)
    stream.feed(torch.randn(3, 2, 2), dates=["2015-01-01", "2015-01-02", "2015-01-03"])
    stream.save(path)


def read_series_stream(path: Path, cell: str = "LSTM") -> None:
    new_series_stream(cell).load(path)


def read_stream(path: Path, cell: str = "LSTM") -> None:
    new_stream(cell).load(path)


def make_trace(path: Path, cell: str = "LSTM") -> None:
    sizes = Sizes(2, 3, 2, bidirectional=True, proj_size=2 if cell == "LSTM" else 0, cell=cell)
    layer = new_layer(sizes)
    with layer.edit(hs.zero(f"l0.{sizes.kind.memory}", t=1, scope="readout")):
        layer.trace(torch.randn(3, 2, 2), lengths=[3, 2], tokens=[["a", "b", "c"], ["d", "e"]], steps=[0, 2]).save(path)


def read_trace(path: Path, _cell: str = "LSTM") -> None:
    trace = hs.Trace.load(path)
    repr(trace)
    for row in range(trace.batch):
        for t in trace.steps:
            if t < trace.row_length(row) and trace.names:
                trace.pick(trace.names[0], t=t, row=row)
        trace.words(row)
        trace.cell_before(row=row)


def make_layer(path: Path, cell: str) -> None:
    hs.save(new_layer(Sizes(2, 3, 2, cell=cell), weights="int8" if cell == "GRU" else "float"), f"{path}.safetensors")


def of_each_cell(make: Callable[[Path, str], None], read: Callable[[Path, str], object], suffix: str = "") -> Format:
    """A folder with a file for each kind of cell."""

    def make_all(path: Path) -> None:
        path.mkdir()
        for cell in CELLS:
            make(path / cell, cell)

    def read_all(path: Path) -> None:
        for cell in CELLS:
            read(path / cell, cell)

    return Format(make_all, read_all, tuple(f"{cell}{suffix}" for cell in CELLS))


def make_tagger(path: Path, weights_dtype: str = "float16", cell: str = "lstm") -> None:
    settings = TaggerConfig(
        cell=cell,
        word_size=2,
        char_size=2,
        char_hidden_size=2,
        hidden_size=2,
        word_minimum=1,
        char_minimum=1,
        weights_dtype=weights_dtype,
    )
    save(Tagger.build(settings, parse_conllu(CONLLU)), path)


def make_language_model(path: Path, cell: str = "lstm") -> None:
    tokens, _ = learn(io.BytesIO(TEXT.encode()), "word")
    save(
        LanguageModel(
            LanguageConfig(embedding_size=2, hidden_size=3, level="word", cutoffs=(4,), cutoff_factor=2.0, cell=cell),
            tokens,
        ),
        path,
    )


def make_onnx(path: Path) -> None:
    def weights(C: int, end: str, gates: int = 4) -> dict[str, Any]:
        shapes = {f"W{end}": (1, 2 * gates, C), f"R{end}": (1, 2 * gates, 2), f"B{end}": (1, 4 * gates)}
        return {name: np.ones(shape, np.float32) for name, shape in shapes.items()}

    arrays = {**weights(3, "0"), **weights(2, "1"), "axis": np.array([1]), "two": np.array([2, 1, 1])}
    arrays |= {**weights(3, "2", gates=3), **weights(3, "3", gates=1)}
    arrays["half"] = arrays.pop("W0")[:, :4]
    call = helper.make_node("twice", ["half", "two"], ["W0"], domain="own")
    body = [helper.make_node("Concat", ["w", "w"], ["out"], axis=1)]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    nodes = [
        call,
        helper.make_node("LSTM", ["X", "W0", "R0", "B0"], ["y0"], "first", hidden_size=2),
        helper.make_node("Squeeze", ["y0", "axis"], ["x1"]),
        helper.make_node("LSTM", ["x1", "W1", "R1", "B1"], ["y1"], "second", hidden_size=2),
        helper.make_node("GRU", ["X", "W2", "R2", "B2"], ["y2"], "third", hidden_size=2, linear_before_reset=1),
        helper.make_node("RNN", ["X", "W3", "R3", "B3"], ["y3"], "fourth", hidden_size=2),
    ]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)]
        for name, shape in (("X", [4, 2, 3]), ("y1", None))
    )
    values = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    function = helper.make_function("own", "twice", ["w", "k"], ["out"], body, opsets)
    graph = helper.make_graph(nodes, "graph", inputs, outputs, values)
    onnx.save(helper.make_model(graph, functions=[function], opset_imports=opsets), path)


# The classes of Keras's layers, their names in the model, those of their cells, and the shapes of their arrays.
KERAS = (
    ("LSTM", "reads", "lstm", ((3, 8), (2, 8), (8,))),
    ("GRU", "gates", "gru", ((3, 6), (2, 6), (2, 6))),
    ("SimpleRNN", "plain", "simple_rnn", ((3, 2), (2, 2), (2,))),
)


def make_h5(path: Path | io.BytesIO) -> None:
    with h5py.File(path, "w") as file:
        for _, _, place, shapes in KERAS:
            group = file.create_group(f"layers/{place}/cell/vars")
            for k, shape in enumerate(shapes):
                packed = "gzip" if k == 0 else None
                group.create_dataset(str(k), data=np.ones(shape, np.float32), compression=packed)
        file["layers/lstm/vars"] = file.create_group("names")
        file["layers/lstm/vars"].attrs["name"] = "reads"


def model_of_keras() -> dict[str, Any]:
    settings = {"units": 2, "activation": "tanh", "recurrent_activation": "sigmoid", "reset_after": True}
    layers = [{"class_name": kind, "config": {"name": name, **settings}} for kind, name, _, _ in KERAS]
    return {"class_name": "Sequential", "config": {"layers": layers}}


def make_old_h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(model_of_keras())
        root = file.create_group("model_weights")
        root.attrs["layer_names"], root.attrs["keras_version"] = [name.encode() for _, name, _, _ in KERAS], b"2.11.0"
        for _, name, place, shapes in KERAS:
            group = root.create_group(f"{name}/{name}/{place}_cell")
            for array, shape in zip(("kernel:0", "recurrent_kernel:0", "bias:0"), shapes, strict=True):
                group[array] = np.ones(shape, np.float32)


def make_parquet(path: Path) -> None:
    pandas.read_csv(io.StringIO(SERIES)).to_parquet(path)


def make_keras(path: Path) -> None:
    make_h5(weights := io.BytesIO())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        # Without a date, so that the file is the same each time.
        archive.writestr(zipfile.ZipInfo("config.json"), json.dumps(model_of_keras()))
        archive.writestr(zipfile.ZipInfo("model.weights.h5"), weights.getvalue())


def make_run(path: Path) -> None:
    folder = RunFolder(path)
    folder.begin("kind = 'tagger'\n")
    last = Step(1, 2, 3, 4, 0.5, 0.5, 0.1, 10.0, 1.0)
    folder.log("step", vars(last))
    folder.log("epoch", {**vars(last), "value": 0.5, "is_best": True})
    position = Position(epoch=2, step=2, history=[Epoch(last, Score(0.5, "half", {"a": 1.0}), is_best=True)])
    folder.write(Checkpoint(position, "data", {"model.weight": torch.ones(2, 2)}), finished=False)


def read_run(path: Path) -> None:
    folder = RunFolder(path)
    folder.read("data")
    folder.mend()
    plot_run(path)


def make_index(path: Path) -> None:
    xs = [torch.randn(T, 2) for T in (600, 3, 70)]
    words = [["ab"[k % 2] for k in range(len(x))] for x in xs]
    hs.index(hs.LSTM(2, 3), xs, path, labels=words, tokens=words, head=nn.Linear(3, 2), names=["a", "b"])


def read_index(path: Path) -> None:
    shutil.rmtree(path / "searched", ignore_errors=True)
    index = hs.open_index(path)
    for query in ("l0.h[1] > 0.5", "l0.h[2] > 0.123, label = a before"):
        str(index.search(query))
    str(index.units())
    str(index.unit("l0.h[1]"))
    str(index.like(torch.zeros(2, 2)))


def make_series_index(path: Path) -> None:
    layers = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.GRU(3, 2))
    model = hs.series_model(layers, ["rain", "flow"], ["a", "flow"])
    columns = dict(zip(("rain", "flow", "a"), torch.randn(3, 700), strict=True))
    hs.index(model, columns, path, dates=np.arange(700).astype("M8[D]"), lags=[0, 2])


def read_series_index(path: Path) -> None:
    shutil.rmtree(path / "searched", ignore_errors=True)
    index = hs.open_index(path)
    for query in ("l0.h[1] > 0.123 and rain > 0", "month in (1, 3), flow < 1 after"):
        str(index.search(query))
    str(index.follows(zeroed=1))


def state_dict() -> dict[str, Any]:
    layers = (nn.LSTM(3, 2, 2), nn.LSTMCell(3, 2), nn.GRU(3, 2), nn.GRUCell(3, 2), nn.RNN(3, 2))
    return nn.ModuleList(layers).state_dict()


MODEL = ("config.json", "vocabulary.json", "weights.safetensors")
INDEX = (
    "manifest.json",
    "statistics.npz",
    "model/layer.safetensors",
    *(f"00000/{name}" for name in ("tokens.parquet", "starts.npy", "above.npy", "equal.npy", "inputs.npy")),
    *(f"00000/{name}" for name in ("state_keys.npy", "state_h.npy", "state_c.npy")),
)
SERIES_INDEX = (
    *INDEX[:2],
    *(f"model/{name}" for name in MODEL),
    "lagged.npz",
    *(f"00000/{name}.npy" for name in ("columns", "times", "places", "inputs", "starts", "above")),
)
FORMATS = {
    "stream": of_each_cell(make_stream, read_stream),
    "series-model": Format(make_series_model, hs.load, MODEL),
    "stream of series": of_each_cell(make_series_stream, read_series_stream),
    "trace": of_each_cell(make_trace, read_trace),
    "layer": of_each_cell(make_layer, lambda path, _: hs.load(f"{path}.safetensors"), ".safetensors"),
    "tagger": Format(make_tagger, load_tagger, MODEL),
    "int8-tagger": Format(lambda path: make_tagger(path, "int8", "gru"), load_tagger, MODEL),
    "language-model": Format(lambda path: make_language_model(path, "rnn"), load_language_model, MODEL),
    "model.onnx": Format(make_onnx, all_layers),
    "model.keras": Format(make_keras, all_layers),
    "model.h5": Format(make_h5, all_layers),
    "old.h5": Format(make_old_h5, all_layers),
    "model.safetensors": Format(lambda path: save_file(state_dict(), path), all_layers),
    "model.pt": Format(lambda path: torch.save(state_dict(), path), all_layers),
    "old.pt": Format(lambda p: torch.save(state_dict(), p, _use_new_zipfile_serialization=False), all_layers),
    "conllu": Format(lambda path: path.write_text(CONLLU * 3), read_conllu),
    "series.csv": Format(lambda path: path.write_text(SERIES), read_table),
    "series.parquet": Format(make_parquet, read_table),
    "text": Format(lambda path: path.write_text(TEXT + "é and 戦 .\n"), lambda path: learn(path, "word")),
    "untagged": Format(lambda path: path.write_text(WIKITEXT), read_untagged),
    "run.toml": Format(
        lambda path: path.write_text(KINDS["char"].to_toml()), lambda path: read_run_file(path, KINDS["char"])
    ),
    "index": Format(make_index, read_index, INDEX),
    "index of a series": Format(make_series_index, read_series_index, SERIES_INDEX),
    "run": Format(make_run, read_run, ("checkpoint.safetensors", METRICS)),
}
