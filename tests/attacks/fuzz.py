"""Finds bytes that reach new lines of one of our parsers: ``make fuzz TARGET=conllu SECONDS=300``.

Coverage-guided, by atheris (Linux on x86-64; the extra ``fuzz``). For any bytes, a target returns or raises one of our
errors, within 10 CPU seconds and 2 GiB. Further arguments are libFuzzer's; bytes that fail are left in a file, whose
name as an argument repeats them.
"""

import importlib
import io
import json
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors.torch import save

sys.path.insert(0, str(Path(__file__).parents[1]))
atheris: Any = importlib.import_module("atheris")  # it has no types, and is not installed for type checks

with atheris.instrument_imports(include=["hiddenstate", "conllu"], enable_loader_override=False):
    import hiddenstate
    from attacks.formats import (
        CONLLU,
        KINDS,
        TEXT,
        WIKITEXT,
        all_layers,
        make_language_model,
        make_onnx,
        make_stream,
        make_tagger,
        make_trace,
        model_of_keras,
        read_stream,
    )
    from hiddenstate import GRU, LSTM, RNN, HiddenStateError, Trace
    from hiddenstate.base.files import read_tensors
    from hiddenstate.base.reading import reading
    from hiddenstate.interop.keras.importer import recurrent_layers
    from hiddenstate.interop.state_dict import in_state_dict
    from hiddenstate.models.building import make_meta_model
    from hiddenstate.models.language.language_model import LanguageModel
    from hiddenstate.models.model_folder import WeightsFile
    from hiddenstate.models.tagger.tagger import Tagger
    from hiddenstate.nn.streams import stream_file
    from hiddenstate.structure.addresses import parse_address
    from hiddenstate.studio.messages import decode
    from hiddenstate.text.conllu import parse_conllu, to_conllu
    from hiddenstate.text.passages import read_untagged
    from hiddenstate.text.tokenise import sentences, tokenise
    from hiddenstate.text.tokens import learn
    from hiddenstate.tracing import trace as trace_files
    from hiddenstate.training.settings import read_run_file

SECONDS = 10  # CPU seconds for one input
FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm"))
Target = Callable[[bytes], object]


class TooLongError(BaseException):
    """An input took too much CPU time. No parser mistakes it for an error in a file."""


def end(*_: object) -> None:
    raise TooLongError(f"more than {SECONDS} seconds of a processor")


def text_of(data: bytes) -> str:
    return data.decode("utf-8", errors="surrogateescape")


def conllu(data: bytes) -> None:
    found = parse_conllu(text_of(data))
    assert parse_conllu(to_conllu(found)) == found


def address(data: bytes) -> None:
    found = parse_address(text_of(data))
    assert parse_address(str(found)) == found


def run_file(data: bytes) -> None:
    (FOLDER / "run.toml").write_bytes(data)
    read_run_file(FOLDER / "run.toml", KINDS["char"])


def untagged(data: bytes) -> None:
    assert all(read_untagged(io.BytesIO(data)))


def text(data: bytes) -> None:
    for level in ("char", "word"):
        tokens, ids = learn(io.BytesIO(data), level)
        assert (tokens.read(io.BytesIO(data)) == ids).all()
    for sentence in sentences(text_of(data)):
        tokenise(sentence)


def metadata(module: Any, make: Callable[[Path, str], object], kind: str, names: tuple[str, ...]) -> Target:
    """A target that reads files with this metadata, each part after a line end, and the tensors of good files: those
    of an LSTM and of a GRU."""
    files = {}
    for cell in ("LSTM", "GRU"):
        make(FOLDER / kind, cell)
        files[cell] = read_tensors(FOLDER / kind, f"hiddenstate.{kind}/1")

    def read(data: bytes) -> None:
        said = dict(zip(names, text_of(data).split("\n"), strict=False))
        for cell, (tensors, known) in files.items():
            found = dict(tensors), {**known, **said}
            with mock.patch.object(module, "read_tensors", return_value=found), suppress(HiddenStateError):
                Trace.load(FOLDER / kind) if kind == "trace" else read_stream(FOLDER / kind, cell)

    return read


def described(kind: type[Tagger] | type[LanguageModel], data: bytes) -> None:
    with reading("a model"):
        config, vocabulary = json.loads(data)
        make_meta_model(lambda: kind.from_data(config, vocabulary))


def description(make: Callable[[Path], object]) -> str:
    make(FOLDER / "model")
    texts = [(FOLDER / "model" / name).read_text() for name in ("config.json", "vocabulary.json")]
    config, vocabulary = map(json.loads, texts)
    return json.dumps([config["config"], vocabulary])


def keras(data: bytes) -> None:
    with reading("a model"):
        recurrent_layers(json.loads(data))


def shape(sizes: list[str]) -> list[int]:
    """A shape given by the words' lengths, modulo 9; at most six words, so that the file itself takes little memory."""
    return [len(size) % 9 for size in sizes[:6]]


def keys(data: bytes) -> None:
    """Each line the name of a tensor and its shape."""
    tensors = {}
    for line in text_of(data).split("\n"):
        name, *sizes = line.split(" ")
        tensors[name] = torch.zeros(shape(sizes))
    for kind in (LSTM, GRU, RNN):
        str(in_state_dict(tensors, kind=kind))


def weights(data: bytes) -> None:
    """Each line a tensor: its name, type, number, and shape."""
    tensors = {}
    for line in data.decode(errors="replace").split("\n"):
        name, kind, number, *sizes = [*line.split(" "), "", ""]
        value = float(number) if number in NUMBERS else 1.0
        filled = torch.full(shape([*filter(None, sizes)]), value, dtype=torch.float64)
        tensors[name] = filled.to(TYPES.get(kind, torch.float32))
    with reading("tensors of such names"):
        content = save(tensors)
    (FOLDER / "weights").write_bytes(content)
    read = WeightsFile(FOLDER / "weights").read(WEIGHTS, "a config")
    assert {name: (value.shape, value.dtype) for name, value in read.items()} == {
        name: (value.shape, value.dtype) for name, value in WEIGHTS.items()
    }
    assert all(value.isfinite().all() for value in read.values())


def onnx(data: bytes) -> None:
    (FOLDER / "model.onnx").write_bytes(data)
    all_layers(FOLDER / "model.onnx")


def made(make: Callable[[Path], object]) -> bytes:
    make(FOLDER / "made")
    return (FOLDER / "made").read_bytes()


NUMBERS = ("0", "-0", "1", "-1", "-128", "3e38", "1e-45", "nan", "inf", "-inf")
TYPES = {"c": torch.int8, "l": torch.int64, "b": torch.bool, "e": torch.float16, "d": torch.float64}
WEIGHTS = {"w": torch.ones(3, 2), "w.scale": torch.ones(3), "v": torch.ones(2, 1, 3), "b": torch.ones(3)}
TRACE = (
    '{"steps": [0, 2], "length": 3, "num_layers": 2, "bidirectional": true, "layout": "TN", "tokens": null}\n["l0.c"]'
)
TARGETS: dict[str, tuple[Callable[[], Target], list[str | bytes]]] = {
    "conllu": (lambda: conllu, [CONLLU, CONLLU.replace("1\t", "1-2\t", 1), "8.1\tword\t" + "_\t" * 8]),
    "address": (lambda: address, ["l1.c[125]@7,n=2", "l0.f[0:8,125]@-1", "l0r.h@::2"]),
    "run-file": (lambda: run_file, [KINDS["char"].to_toml()]),
    "text": (lambda: text, [TEXT, "Don't e-mail me@home.org before 5:30 p.m.\r\nU.S.\ufeffé戦"]),
    "trace": (
        lambda: metadata(trace_files, make_trace, "trace", ("trace", "names")),
        [TRACE, TRACE.replace('"tokens"', '"cell": "GRU", "tokens"').replace("l0.c", "l1.n")],
    ),
    "stream": (
        lambda: metadata(stream_file, make_stream, "stream", ("t", "finite", "cell", "weights")),
        ["3\nTrue", "3\nTrue\nGRU\n0123"],
    ),
    "tagger": (
        lambda: partial(described, Tagger),
        [description(make_tagger), description(lambda path: make_tagger(path, cell="gru"))],
    ),
    "language-model": (lambda: partial(described, LanguageModel), [description(make_language_model)]),
    "keras": (lambda: keras, [json.dumps(model_of_keras())]),
    "keys": (
        lambda: keys,
        [
            "a.weight_ih_l0 88888888 333\na.weight_hh_l0 88888888 22\na.bias_ih_l0 88888888",
            "a.weight_ih_l0 666666 333\na.weight_hh_l0 666666 22\na.bias_ih_l0 666666\nb.weight_hh 22 22",
            "w\nv g",
        ],
    ),
    "messages": (
        lambda: lambda data: decode(text_of(data)),
        ['{"type": "view", "view": {"step": 3, "edits": [], "unit": 1}}'],
    ),
    "untagged": (lambda: untagged, [WIKITEXT, TEXT, CONLLU]),
    "weights": (lambda: weights, ["w c 1 333 22\nw.scale f 1 333\nv c -128 22 1 333\nv.scale f 3e38 22\nb f nan 333"]),
    "onnx": (lambda: onnx, [made(make_onnx)]),
}


def main() -> None:
    """Try bytes on one target, beginning with valid examples."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"which of {' '.join(TARGETS)}? Further arguments are libFuzzer's")
    if atheris not in parse_address.__code__.co_consts:
        sys.exit(f"atheris does not see which lines of {hiddenstate.__file__} are reached: start it by make fuzz")
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    make, examples = TARGETS[sys.argv[1]]
    target = make()
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    for k, example in enumerate(examples):
        (corpus / str(k)).write_bytes(example if isinstance(example, bytes) else example.encode())

    def attack(data: bytes) -> None:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        with suppress(HiddenStateError):
            target(data)

    signal.signal(signal.SIGPROF, end)
    # By wall-clock time, even if no line of Python is reached, on a busy machine.
    options = ["-timeout=300", "-rss_limit_mb=2048", "-max_len=4096", *sys.argv[2:]]
    atheris.Setup([sys.argv[0], *options, str(corpus)], attack)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
