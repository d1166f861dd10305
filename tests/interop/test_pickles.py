"""Pickles that keep torch busy forever while it formats its error; each is rejected immediately."""

import io
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from time import process_time
from typing import Any

import pytest
import torch
from torch import nn

from hiddenstate.errors import FileFormatError
from hiddenstate.interop.state_dict import check_pickle, from_state_dict

TEXT = b"X\x01\x00\x00\x00a"


def doubling(times: int) -> bytes:
    """Opcodes for a tuple of tuples of tuples, which is short, but has 2**times texts when printed."""
    steps = [b"h%ch%c\x86q%c" % (k, k, k + 1) for k in range(times)]
    return TEXT + b"q\x00" + b"".join(steps)


PICKLES = {
    "a long name": (b"c" + b"a" * 10**6 + b"\nb\n.", "has a class name of 1,000,002 characters"),
    "a long module": (b"ca\n" + b"b" * 10**6 + b"\n.", "has a class name of 1,000,002 characters"),
    "calls a tuple": (doubling(60) + b")R.", "calls an object created in it"),
    "makes a tuple": (doubling(60) + b")\x81.", "calls an object created in it"),
    "loads a tuple": (doubling(60) + b"Q.", "loads something other than a tensor"),
    "loads a tuple's first": (doubling(60) + b"\x85Q.", "loads something other than a tensor"),
    "deep marks": (b"(" * 20_000 + b"t" * 20_000 + b".", "is damaged|contains a tuple"),
    "an empty stack": (b"R.", "is damaged"),
    "no such note": (b"h\x07.", "is damaged"),
    "no mark": (b"t.", "is damaged"),
}


def checkpoint(path: Path, body: bytes) -> Path:
    """One of torch's files with a different pickle in it."""
    torch.save(nn.LSTM(3, 2).state_dict(), path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, b"\x80\x02" + body if name.endswith("/data.pkl") else content)
    return path


@pytest.mark.parametrize("name", PICKLES)
@pytest.mark.parametrize("is_old", [False, True])
def test_they_are_refused_at_once(tmp_path: Path, name: str, is_old: bool) -> None:
    body, message = PICKLES[name]
    path = tmp_path / "a.pt"
    if is_old:
        torch.save({}, path, _use_new_zipfile_serialization=False)
        parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
        path.write_bytes(b"".join(parts) + b"\x80\x02" + body + pickle.dumps([], 2))
    else:
        checkpoint(path, body)
    began = process_time()
    with pytest.raises(FileFormatError, match=message) as caught:
        from_state_dict(path)
    assert str(path) in str(caught.value)
    assert process_time() - began < 5


# torch 2.15 warns that it validates each sparse tensor.
@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants:UserWarning")
def test_what_torch_writes_passes() -> None:
    model = nn.Sequential(nn.LSTM(3, 2), nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(model.parameters())
    model[1](model[0](torch.randn(4, 1, 3))[0]).sum().backward()
    optimizer.step()
    held: dict[str, Any] = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "parameter": nn.Parameter(torch.ones(2)),
        "sparse": torch.eye(3).to_sparse(),
        "shared": [optimizer.state_dict()["param_groups"]] * 2,
        "ordered": OrderedDict(a=1, b=(1, 2, 3, 4), c={"d": None, "e": True, "f": 1.5}),
        "kinds": (torch.float64, torch.Size([1, 2]), torch.device("cpu"), "storage", ("storage", 1)),
        "texts": ["x" * 100_000, 2**70, -1, b"bytes"],
    }
    for is_new in (True, False):
        torch.save(held, buffer := io.BytesIO(), _use_new_zipfile_serialization=is_new)
        buffer.seek(0)
        assert torch.load(buffer, weights_only=True).keys() == held.keys()
        buffer.seek(0)
        if is_new:
            with zipfile.ZipFile(buffer) as archive:
                check_pickle(io.BytesIO(archive.read("archive/data.pkl")))
        else:
            for _ in range(5):
                check_pickle(buffer)


def test_tars_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.pt", "w") as archive:
        archive.addfile(tarfile.TarInfo("pickle"), io.BytesIO(b""))
    message = r"a\.pt was written by torch before 0\.1\.10, whose files are not supported"
    with pytest.raises(FileFormatError, match=message):
        from_state_dict(tmp_path / "a.pt")
