"""Traces in files: a trace is unchanged after saving and loading."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

import hiddenstate as hs
from hiddenstate.base.files import read_tensors, write_tensors
from hiddenstate.errors import FileFormatError
from hiddenstate.tracing.trace import KIND


def same(a: hs.Trace, b: hs.Trace) -> bool:
    return (
        a.names == b.names
        and all(torch.equal(a[name], b[name]) for name in a.names)
        and all(torch.equal(x, y) for x, y in zip((*a.state, *a.initial), (*b.state, *b.initial), strict=True))
        and (a.steps, a.length, a.layout, a.tokens) == (b.steps, b.length, b.layout, b.tokens)
        and a.carried.keys() == b.carried.keys()
    )


@pytest.mark.parametrize("batch_first", [False, True])
def test_round_trip(batch_first: bool, tmp_path: Path) -> None:
    lstm = hs.LSTM(4, 3, 2, bidirectional=True, batch_first=batch_first)
    with lstm.edit(hs.zero("l0.c", t=1, scope="readout")):
        trace = lstm.trace(
            torch.randn(3, 3, 4, requires_grad=True),
            lengths=[3, 1, 2],
            reset=torch.eye(3, dtype=torch.bool),
            tokens=[["Ä", "b", "c"], ["d"], ["e", "f"]],
            steps=[0, 2],
            pre=True,
        )
    trace.save(tmp_path / "trace.safetensors")
    loaded = hs.Trace.load(tmp_path / "trace.safetensors")
    assert same(loaded, trace)
    assert torch.equal(loaded.out, trace.out)  # type: ignore[arg-type]
    assert loaded.lengths is not None
    assert loaded.reset is not None
    assert loaded.lengths.tolist() == [3, 1, 2]
    assert str(loaded.at(2, 1, layer=1, reverse=True)) == str(trace.at(2, 1, layer=1, reverse=True))
    assert [p.name for p in tmp_path.iterdir()] == ["trace.safetensors"], "nothing is left beside it"


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_packed_output_comes_back_padded(batch_first: bool, tmp_path: Path) -> None:
    lstm = hs.LSTM(4, 3, batch_first=batch_first)
    trace = lstm.trace(pack_sequence([torch.randn(2, 4), torch.randn(3, 4)], enforce_sorted=False))
    trace.save(tmp_path / "t")
    loaded = hs.Trace.load(tmp_path / "t")
    assert same(loaded, trace)
    assert torch.equal(loaded.out, pad_packed_sequence(trace.out, batch_first)[0])  # type: ignore[arg-type]


def test_a_loaded_trace_can_be_patched_from(tmp_path: Path) -> None:
    lstm = hs.LSTM(4, 3)
    lstm.trace(torch.randn(3, 4)).save(tmp_path / "t")
    source = hs.Trace.load(tmp_path / "t")
    with lstm.edit(hs.patch("l0.c", source=source)):
        assert torch.equal(lstm.trace(torch.randn(3, 4))["l0.c"], source["l0.c"])


def test_other_files_fail(tmp_path: Path) -> None:
    file = tmp_path / "t"
    hs.LSTM(4, 3).stream().save(file)
    with pytest.raises(FileFormatError, match="contains 'hiddenstate.stream/1', expected 'hiddenstate.trace/1'"):
        hs.Trace.load(file)
    hs.LSTM(4, 3).trace(torch.zeros(2, 4)).save(file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(FileFormatError, match="damaged"):
        hs.Trace.load(file)
    with pytest.raises(FileNotFoundError, match="no such file"):
        hs.Trace.load(tmp_path / "absent")


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "t"
    lstm = hs.LSTM(4, 3)
    lstm.trace(torch.zeros(2, 4)).save(file)
    before = file.read_bytes()

    def disk_full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("hiddenstate.base.files.save_file", disk_full)
    with pytest.raises(OSError, match="no space left"):
        lstm.trace(torch.ones(2, 4)).save(file)
    assert file.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["t"]


def test_a_file_that_lacks_parts_fails(tmp_path: Path) -> None:
    write_tensors(tmp_path / "t", "hiddenstate.trace/1", {"out": torch.zeros(1)}, {"trace": "{}"})
    with pytest.raises(FileFormatError, match="is damaged: it lacks parts of a trace"):
        hs.Trace.load(tmp_path / "t")
    write_tensors(tmp_path / "t", "hiddenstate.stream/1", {"h": torch.zeros(1, 1, 3)}, {"t": "1", "cell": "LSTM"})
    with pytest.raises(FileFormatError, match="is damaged: it lacks parts of a stream's state"):
        hs.LSTM(4, 3).stream().load(tmp_path / "t")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": "abcde"}, "steps must increase"),
        ({"steps": [0, 0, 1]}, "steps must increase"),
        ({"steps": [0, 1, 9]}, "steps must increase"),
        ({"length": -5}, "length must be a whole number, at least 0, got -5"),
        ({"length": 2**80}, "length must be a whole number"),
        ({"length": 4}, r"out has shape \[3, 2, 3\], expected \[4, 2, 3\]"),
        ({"num_layers": 0}, "num_layers must match h0"),
        ({"num_layers": 10**9}, "num_layers must match h0"),
        ({"bidirectional": 1}, "bidirectional must be true or false"),
        ({"layout": "TNT"}, "layout must be TN, NT or T"),
        ({"layout": "NT"}, "out has shape"),
        ({"tokens": [["a", "b", "c"]]}, "tokens for 1 rows, expected 2"),
        ({"tokens": [["a", "b", "c"], ["d"]]}, "tokens of row 1 must be one string for each"),
        ({"tokens": [["a", "b", "c"], [1, 2, 3]]}, "tokens of row 1 must be one string for each"),
        ({"wings": 2}, "lacks parts"),
    ],
)
def test_metadata_that_does_not_fit_fails(change: dict[str, object], message: str, tmp_path: Path) -> None:
    hs.LSTM(4, 3).trace(torch.randn(3, 2, 4)).save(tmp_path / "t")
    tensors, metadata = read_tensors(tmp_path / "t", KIND)
    plain = {**json.loads(metadata["trace"]), **change}
    write_tensors(tmp_path / "t", KIND, tensors, {**metadata, "trace": json.dumps(plain)})
    with pytest.raises(FileFormatError, match=message) as caught:
        hs.Trace.load(tmp_path / "t")
    assert str(tmp_path / "t") in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("h0", torch.zeros(1, 2), r"h0 and c0 must be \[L\*D, N, units\]"),
        ("h_n", torch.zeros(1, 3, 3), "h_n has shape"),
        ("values.l0.f", torch.zeros(3, 2, 4), "l0.f has shape"),
        ("values.l0.f", torch.zeros(3, 2, 3, dtype=torch.int64), "floating-point"),
        ("carried.l7", torch.zeros(3, 2, 3), "there is no layer and direction 'l7'"),
        ("lengths", torch.tensor([3, 99]), "lengths must be whole numbers from 0 to 3"),
        ("reset", torch.zeros(3, 2), "reset must be bool"),
    ],
)
def test_tensors_that_do_not_fit_fail(name: str, value: torch.Tensor, message: str, tmp_path: Path) -> None:
    hs.LSTM(4, 3).trace(torch.randn(3, 2, 4)).save(tmp_path / "t")
    tensors, metadata = read_tensors(tmp_path / "t", KIND)
    write_tensors(tmp_path / "t", KIND, {**tensors, name: value}, metadata)
    with pytest.raises(FileFormatError, match=message):
        hs.Trace.load(tmp_path / "t")


def test_no_folder_to_write_to_fails(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="cannot write .*there is no folder"):
        hs.LSTM(4, 3).trace(torch.zeros(2, 4)).save(tmp_path / "absent" / "t")
    with pytest.raises(IsADirectoryError, match="is a folder, expected a file"):
        hs.Trace.load(tmp_path)
