"""Results as files: tables and pictures."""

from pathlib import Path

import pytest
import torch

import hiddenstate as hs
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.result.explanation import Explanation


@pytest.fixture(scope="module")
def result() -> Explanation:
    torch.manual_seed(0)
    return hs.explain.ledger(hs.LSTM(2, 3), torch.randn(4, 1, 2), place="l0.c[1]")


def test_rows_are_written_to_a_path(tmp_path: Path, result: Explanation) -> None:
    path = tmp_path / "rows.csv"
    for given in (str(path), path):
        assert result.to_csv(given) is None
        assert path.read_text(encoding="utf-8") == result.to_csv()
    with pytest.raises(FileNotFoundError):
        result.to_csv(tmp_path / "no" / "rows.csv")


def test_a_picture_is_written_to_a_path(tmp_path: Path, result: Explanation) -> None:
    path = tmp_path / "ledger.png"
    assert result.plot(str(path)).axes
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ArgumentError, match="must end with one of"):
        result.plot(tmp_path / "ledger.doc")
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.png"]
