"""The C library and its examples, compiled here against the engine that the package was built from."""

import os
import subprocess
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

import hiddenstate as hs
from hiddenstate.models.model_file import FORMAT
from hiddenstate.models.model_folder import load_tagger
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.text.conllu import read_conllu
from runtime.built import ROOT
from runtime.c_programs import CHECKS, EXAMPLES, HERE, needs_c, program, run
from runtime.graph_files import First
from support import LAYERS

pytestmark = needs_c


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("programs")
    plain = [
        EXAMPLES / "numbers.c",
        EXAMPLES / "effect.cpp",
        EXAMPLES / "tag.cpp",
        HERE / "quiet_steps.cpp",
        HERE / "reset_rows.c",
        HERE / "lower_case.cpp",
    ]
    built = {source.stem: program(folder, source) for source in plain}
    return {**built, "hostile_files": program(folder, HERE / "hostile_files.cpp", CHECKS)}


@pytest.mark.parametrize("layer", LAYERS)
@torch.no_grad()
def test_numbers_in_and_out(layer: Any, programs: dict[str, Path], tmp_path: Path) -> None:
    lstm, x = layer(3, 17, num_layers=2), torch.randn(20, 3)
    hs.save(lstm, tmp_path / "m.safetensors")
    text = "\n".join(" ".join(f"{v:.9g}" for v in row) for row in x.tolist())
    got = np.array(
        [
            line.split()
            for line in run(programs["numbers"], tmp_path / "m.safetensors", data=text.encode()).splitlines()
        ],
        float,
    )
    stream = lstm.stream()
    assert np.array_equal(got.astype(np.float32), np.stack([stream.step(row).numpy() for row in x]))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("rows", [(2, 0), (1,), ()], ids=["two rows", "one row", "all rows"])
@torch.no_grad()
def test_rows_begin_again(layer: Any, rows: tuple[int, ...], programs: dict[str, Path], tmp_path: Path) -> None:
    lstm, x = layer(3, 17, num_layers=2), torch.randn(9, 3, 3)
    hs.save(lstm, tmp_path / "m.safetensors")
    got = run(programs["reset_rows"], tmp_path / "m.safetensors", 3, 4, *rows, data=x.numpy().tobytes())
    stream, mask = lstm.stream(3), torch.zeros(3, dtype=torch.bool)
    mask[list(rows or (0, 1, 2))] = True
    wanted = []
    for t, step in enumerate(x):
        if t == 4:
            stream.reset(mask)
        wanted.append(stream.step(step).numpy())
    assert np.array_equal(np.frombuffer(got, np.float32).reshape(9, 3, 17), np.stack(wanted))


@torch.no_grad()
def test_an_effect_block_by_block(programs: dict[str, Path], tmp_path: Path) -> None:
    lstm, samples = hs.LSTM(1, 20), torch.randn(1000)
    hs.save(lstm, tmp_path / "m.safetensors")
    got = np.frombuffer(run(programs["effect"], tmp_path / "m.safetensors", data=samples.numpy().tobytes()), np.float32)
    stream = lstm.stream()
    wanted = [one + 0.5 * stream.step(one.view(1))[0] for one in samples]
    assert np.allclose(got, torch.stack(wanted).numpy(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int8", "GRU", "RNN"])
def test_a_step_only_computes(kind: str, programs: dict[str, Path], tmp_path: Path) -> None:
    is_lstm = kind not in ("GRU", "RNN")
    lstm: Any = hs.LSTM(24, 64, num_layers=2) if is_lstm else getattr(hs, kind)(24, 64)
    if is_lstm:
        lstm = lstm.quantize() if kind == "int8" else lstm.to(getattr(torch, kind))
    hs.save(lstm, tmp_path / "m.safetensors")
    assert (
        len(run(programs["quiet_steps"], tmp_path / "m.safetensors", "warm" if kind == "int8" else "cold"))
        == 2 * 64 * 4
    )


class Everything(nn.Module):
    """Operations, layers of every kind, a layer over another axis than time, and a cell."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv1d(6, 8, 3), nn.LayerNorm(8), nn.Linear(8, 5)
        self.lstm, self.gru, self.rnn = hs.LSTM(8, 40, num_layers=2), hs.GRU(40, 8), hs.RNN(8, 8)
        self.over_features, self.cell = nn.GRU(1, 4), nn.LSTMCell(8, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # [T, N, 6]
        T, N, _ = x.shape
        y = self.conv(functional.pad(x.permute(1, 2, 0), (2, 0))).permute(2, 0, 1)
        y = self.rnn(self.gru(self.lstm(functional.gelu(self.norm(y)))[0])[0])[0]
        over, _ = self.over_features(y.reshape(T * N, 8).transpose(0, 1)[..., None])
        cell, _ = self.cell(torch.cat([y[..., ::2], y[..., 1::2].softmax(-1)], -1).reshape(T * N, 8))
        return self.head(y) * cell.view(T, N, 5), over[-1].view(T, N, 4).mean(-1), y.amax(-1).sqrt()


@pytest.mark.parametrize("kind", ["float32", "int8"])
@torch.no_grad()
def test_a_step_of_a_whole_model_only_computes(kind: str, programs: dict[str, Path], tmp_path: Path) -> None:
    model: Any = Everything().eval()
    model = hs.convert(model, weights="int8") if kind == "int8" else model
    hs.save(model, tmp_path / "m.safetensors", args=(torch.randn(4, 2, 6),))
    got = run(programs["quiet_steps"], tmp_path / "m.safetensors", "cold")
    # The first row took all steps; the second began anew each time, and took two.
    wanted = [model(torch.zeros(steps, 1, 6))[0][-1, 0] for steps in (1000, 2)]
    assert np.allclose(np.frombuffer(got, np.float32).reshape(2, 5), torch.stack(wanted).numpy(), rtol=0, atol=1e-5)


def test_an_allocation_in_a_step_would_be_noticed(programs: dict[str, Path], tmp_path: Path) -> None:
    hs.save(hs.LSTM(3, 4), tmp_path / "m.safetensors")
    done = subprocess.run(
        [programs["quiet_steps"], tmp_path / "m.safetensors", "allocate"], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (3, b"malloc\n")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="plain"),
        pytest.param(("-O1", "-g", "-fsanitize=thread"), id="ThreadSanitizer", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("kind", ["layer", "projection", "whole model"])
def test_threads_on_one_stream_are_refused(kind: str, options: tuple[str, ...], tmp_path: Path) -> None:
    if kind == "whole model":
        model = nn.Sequential(nn.Linear(8, 24), First(nn.LSTM(24, 24, 2, batch_first=True)))
        hs.save(model, tmp_path / "m.safetensors", args=(torch.zeros(2, 3, 8),))
    else:
        hs.save(hs.LSTM(8, 24, num_layers=3, proj_size=5 * (kind == "projection")), tmp_path / "m.safetensors")
    text = run(program(tmp_path, HERE / "two_threads.cpp", options), tmp_path / "m.safetensors").decode()
    assert "states equal" in text


SENTENCES = [list(sentence.forms) for sentence in read_conllu(ROOT / "tests" / "data" / "tiny-dev.conllu")]
ODD = [["ΟΔΟΣ", "ΣΑΣ", "İstanbul", "Straße"], ["x" * 31, "Pneumono" * 20, "😀"], [], ["WOW"]]


def tags_of(program: Path, model: Path, rows: list[list[str]]) -> list[list[str]]:
    text = "".join(" ".join(words) + "\n" for words in rows)
    return [line.split() for line in run(program, model, data=text.encode()).decode().splitlines()]


def test_the_shipped_tagger_gives_the_same_tags(programs: dict[str, Path], tmp_path: Path) -> None:
    tagger, rows = load_tagger("tagger-en"), SENTENCES + ODD
    hs.save(tagger, tmp_path / "t.safetensors")
    got = tags_of(programs["tag"], tmp_path / "t.safetensors", rows)
    assert got == [list(one.tags) for one in tagger.tag(rows)]


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "gru", "bidirectional": False},
        {"cell": "rnn", "char_hidden_size": 0},
        {"cell": "rnn_relu", "lower_case": False, "weights_dtype": "float32"},
        {"crf": True, "columns": ("upos", "xpos"), "max_chars": 5},
    ],
    ids=lambda options: " ".join(options),
)
def test_taggers_of_all_settings(options: dict[str, Any], programs: dict[str, Path], tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = TaggerConfig(hidden_size=17, **options)
    tagger = Tagger.build(config, read_conllu(ROOT / "tests" / "data" / "tiny-dev.conllu")).eval()
    with torch.no_grad():
        for part in tagger.chains.parameters():
            part.normal_()
    hs.save(tagger, tmp_path / "t.safetensors")
    stored: Any = hs.load(tmp_path / "t.safetensors")  # its weights are rounded
    rows = SENTENCES + ODD
    got = tags_of(programs["tag"], tmp_path / "t.safetensors", rows)
    for tags, wanted in zip(got, stored.tag(rows), strict=True):
        columns = [column.tags for column in wanted.columns.values()]
        assert tags == ["|".join(each) for each in zip(*columns, strict=True)]


def test_words_in_lower_case(programs: dict[str, Path]) -> None:
    known = [chr(c) for c in range(0x20, 0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Cc")]
    words = [*known, "ΟΔΥΣΣΕΥΣ", "Σ", "aΣ", "aΣb", "Σa", "1Σ", "ΣΣ"]
    got = run(programs["lower_case"], data="\n".join(words).encode()).decode().split("\n")[:-1]
    assert got == [word.lower() for word in words]


@pytest.mark.parametrize(
    "word", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80", b"\xc3("]
)
def test_words_that_are_not_utf8_are_refused(word: bytes, programs: dict[str, Path], tmp_path: Path) -> None:
    hs.save(load_tagger("tagger-en"), tmp_path / "t.safetensors")
    done = subprocess.run(
        [programs["tag"], tmp_path / "t.safetensors"], input=b"a " + word, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, b"hs_tagger_tag: word 1 is NULL or not UTF-8\n")
    assert run(programs["lower_case"], data=word) == b"?\n"


def test_files_of_another_kind_are_refused(programs: dict[str, Path], tmp_path: Path) -> None:
    hs.save(load_tagger("tagger-en"), tmp_path / "t.safetensors")
    hs.save(hs.LSTM(2, 3), tmp_path / "l.safetensors")
    for reader, path, message in (
        ("numbers", "t", "holds a tagger, expected a layer"),
        ("tag", "l", "holds a layer, expected a tagger: hs_model_load reads it"),
    ):
        done = subprocess.run(
            [programs[reader], tmp_path / f"{path}.safetensors"], input=b"", capture_output=True, check=False
        )
        assert done.returncode == 1
        assert message in done.stderr.decode()


def test_damaged_files_are_refused(programs: dict[str, Path], tmp_path: Path) -> None:
    sizes: dict[str, Any] = {
        "word_size": 3,
        "char_size": 3,
        "char_hidden_size": 3,
        "hidden_size": 3,
        "word_minimum": 30,
    }
    tagger = Tagger.build(TaggerConfig(**sizes, crf=True), read_conllu(ROOT / "tests" / "data" / "tiny-dev.conllu"))
    hs.save(tagger, tmp_path / "tagger.safetensors")
    hs.save(hs.LSTM(2, 3, num_layers=2, proj_size=2), tmp_path / "float.safetensors")
    hs.save(hs.LSTM(2, 32).quantize(), tmp_path / "int8.safetensors")
    count = int(os.environ.get("COUNT", "3000"))
    for seed, name in enumerate(("float", "int8", "tagger")):
        found = run(
            programs["hostile_files"],
            tmp_path / f"{name}.safetensors",
            count,
            seed,
            ASAN_OPTIONS="max_allocation_size_mb=200:allocator_may_return_null=0",
        )
        loaded, refused = (int(word) for word in found.split()[::2])
        assert refused > count // 2
        assert loaded + refused == count


def test_files_that_are_none(programs: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    hs.save(hs.LSTM(2, 3, bidirectional=True), tmp_path / "both.safetensors")
    head = dict.fromkeys(("input_size", "hidden_size", "num_layers", "bias", "bidirectional", "proj_size"), "1")
    head |= {"format": FORMAT, "kind": "layer", "cell": "NO_CELL", "gates": "f"}
    save_file({"weight_ih_l0": torch.zeros(1, 1)}, tmp_path / "mgu.safetensors", head)
    for path, message in (
        (tmp_path / "mgu.safetensors", "this version runs LSTM, GRU, RNN_TANH, RNN_RELU"),
        (tmp_path / "nowhere", "cannot read"),
        (tmp_path / "empty", "damaged"),
        (__file__, "is it a safetensors file?"),
        (tmp_path / "both.safetensors", "can't be streamed"),
    ):
        done = subprocess.run([programs["numbers"], path], input=b"", capture_output=True, check=False)
        assert done.returncode == 1
        assert message in done.stderr.decode()
