"""Files written by earlier versions are read, and give the same numbers as when they were written."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import hiddenstate as hs
from hiddenstate.errors import FileFormatError
from hiddenstate.models.model_folder import load_language_model, load_tagger
from support import assert_close

DATA = Path(__file__).parent / "data" / "files"
NUMBERS = load_file(DATA / "numbers.safetensors")
WORDS = ("Nora", "follows", "a", "dog", ".")
TEXT = "the cat sat on the mat .\nthe dog saw the cat .\n"


def test_model_folders() -> None:
    assert_close(load_tagger(DATA / "tagger").tag([WORDS])[0].probabilities, NUMBERS["tagger"])
    model = load_language_model(DATA / "language")
    with torch.no_grad():
        assert_close(model(torch.from_numpy(model.tokens.encode(TEXT)).long()[:, None])[0], NUMBERS["language"])


def test_a_stream() -> None:
    stream = hs.from_state_dict(load_file(DATA / "lstm.safetensors")).stream(batch=2)
    stream.load(DATA / "stream.safetensors")
    assert stream.t == 2
    assert_close(stream.step(torch.arange(40.0).sin().reshape(5, 2, 4)[2]), NUMBERS["stream"])


def test_a_trace() -> None:
    trace = hs.Trace.load(DATA / "trace.safetensors")
    assert isinstance(trace.out, Tensor)
    assert_close(trace.out, NUMBERS["trace.out"])
    assert {f"trace.{name}" for name in trace} == {name for name in NUMBERS if name.startswith("trace.l")}
    for name in trace:
        assert_close(trace[name], NUMBERS[f"trace.{name}"], name)
    assert trace.words(0) == WORDS
    assert trace.row_length(1) == 3


def test_a_gru() -> None:
    numbers = load_file(DATA / "gru_numbers.safetensors")
    gru = hs.GRU(4, 3, 2)
    gru.load_state_dict(load_file(DATA / "gru.safetensors"))
    trace = hs.Trace.load(DATA / "gru_trace.safetensors")
    assert isinstance(trace.out, Tensor)
    assert trace.cell == "GRU"
    assert {*trace, "out", "step"} == numbers.keys()
    assert_close(trace.out, numbers["out"])
    again = gru.trace(torch.arange(40.0).sin().reshape(5, 2, 4), lengths=trace.lengths, reset=trace.reset, pre=True)
    for name in trace:
        assert_close(trace[name], numbers[name], name)
        assert_close(again[name], numbers[name], name)
    stream = gru.stream(batch=2)
    stream.load(DATA / "gru_stream.safetensors")
    assert stream.t == 2
    assert_close(stream.step(torch.arange(40.0).sin().reshape(5, 2, 4)[2]), numbers["step"])


@pytest.mark.parametrize("name", ["trace.safetensors", "stream.safetensors"])
def test_a_file_of_a_later_version_fails(name: str, tmp_path: Path) -> None:
    from safetensors import safe_open

    with safe_open(DATA / name, "pt") as file:
        header = dict(file.metadata())
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    raised = {key: value.replace("1", "99") if key in ("format", "version") else value for key, value in header.items()}
    assert raised != header, header
    save_file(tensors, tmp_path / name, raised)
    stream = hs.from_state_dict(load_file(DATA / "lstm.safetensors")).stream(batch=2)
    read = hs.Trace.load if name.startswith("trace") else stream.load
    with pytest.raises(FileFormatError):
        read(tmp_path / name)
