"""Tensors, and only tensors, from torch's files and safetensors."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from hiddenstate.errors import FileFormatError
from hiddenstate.interop.state_dict import from_state_dict, in_state_dict


def save_torch(state: Any, path: Path) -> None:
    torch.save(state, path)


def save_torch_old(state: Any, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    ("name", "save"),
    [("a.pt", save_torch), ("a.pth", save_torch), ("a.bin", save_torch_old), ("a.safetensors", save_file)],
)
def test_files(tmp_path: Path, name: str, save: Callable[[Any, Path], None]) -> None:
    theirs = nn.ModuleDict(
        {"encoder": nn.LSTM(4, 3, 2), "decoder": nn.LSTM(4, 3, proj_size=2), "cell": nn.LSTMCell(4, 3)}
    )
    save(theirs.state_dict(), tmp_path / name)
    found = in_state_dict(tmp_path / name)
    assert str(found).startswith(f"{tmp_path / name} holds 3 LSTMs")
    for key, value in found["encoder"].state_dict().items():
        assert torch.equal(value, theirs.state_dict()[f"encoder.{key}"])
    assert from_state_dict(str(tmp_path / name), "decoder").proj_size == 2


class Payload:
    """Something that would run code if it were unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("unpickled"),)


def test_files_that_hold_code_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(nn.LSTM(4, 3), "module.pt")
    with pytest.raises(FileFormatError, match="module.pt holds a pickled torch.nn.modules.rnn.LSTM, not just tensors"):
        from_state_dict("module.pt")
    torch.save({"lstm": nn.LSTM(4, 3).state_dict(), "more": Payload()}, "payload.pt")
    with pytest.raises(FileFormatError, match="reading it would run code from the file"):
        from_state_dict("payload.pt")
    assert not Path("unpickled").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.save(torch.jit.script(nn.LSTM(4, 3)), "script.pt")
        with pytest.raises(FileFormatError, match="holds a TorchScript program"):
            from_state_dict("script.pt")


def test_files_that_are_none_fail(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pt"
    torch.save(nn.LSTM(4, 3).state_dict(), whole)
    for name, content in (
        ("cut.pt", whole.read_bytes()[:-200]),
        ("empty.pt", b""),
        ("text.bin", b"hello world"),
        ("zip.pt", b"PK\x03\x04 and no more"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileFormatError, match=f"{name} was not written by torch.save, or is damaged"):
            from_state_dict(tmp_path / name)
    (tmp_path / "cut.safetensors").write_bytes(whole.read_bytes())
    with pytest.raises(FileFormatError, match="cut.safetensors is not a safetensors file, or is damaged"):
        from_state_dict(tmp_path / "cut.safetensors")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    with pytest.raises(FileFormatError, match="list.pt contains a list, expected a state dict"):
        from_state_dict(tmp_path / "list.pt")
    with pytest.raises(FileNotFoundError, match="no such file"):
        from_state_dict(tmp_path / "none.pt")
    with pytest.raises(IsADirectoryError, match="is a folder, expected a file"):
        from_state_dict(tmp_path)
