from dataclasses import replace
from pathlib import Path

import pytest

from hiddenstate.errors import FileFormatError
from hiddenstate.training.settings import RunFile, TrainConfig, read_run_file

DEFAULTS = RunFile("oracle", TrainConfig(), {"train": "", "out": ""}, {"licence": ""}, {"friends": ()})


def test_round_trip(tmp_path: Path) -> None:
    wanted = RunFile("oracle", TrainConfig(epochs=3), {"train": 'C:\\a "b"', "out": "é"}, {"licence": "CC0\nfree"})
    wanted = replace(wanted, lists={"friends": ("é", "b")})
    (tmp_path / "run.toml").write_text(wanted.to_toml(), encoding="utf-8")
    assert read_run_file(tmp_path / "run.toml", DEFAULTS) == wanted


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("[settings]\nepochs = 2\n[files]\nout = 'x'\n")
    found = read_run_file(tmp_path / "run.toml", DEFAULTS)
    assert found == RunFile(
        "oracle", TrainConfig(epochs=2), {"train": "", "out": "x"}, {"licence": ""}, {"friends": ()}
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind = 'tagger'", "for training a 'tagger', expected 'oracle'"),
        ("epochs = 3", "unknown 'epochs'; a run file has kind, "),
        ("[settings]\nwings = 3", r"unknown field 'wings' in \[settings\] of "),
        ("[settings]\nepochs = 0", r"\[settings\] of .*: epochs must be at least 1"),
        ("[files]\nwings = 'a'", r"unknown 'wings' in \[files\] of .*; expected one of train out friends"),
        ("[files]\ntrain = 3", r"\[files\] of .* must map names to strings"),
        ("[files]\nfriends = 'a'", r"friends in \[files\] of .* must be a list of paths, got 'a'"),
        ("[files]\nfriends = ['a', 3]", r"friends in \[files\] of .* must be a list of paths"),
        ("[files]\nfriends = ['']", r"friends in \[files\] of .* must be a list of paths"),
        ("files = 3", r"\[files\] of .* must map names to strings"),
        ("about = 3", r"\[about\] of .* must map names to strings"),
        ("settings = 3", r"\[settings\] of .* must be an object"),
    ],
)
def test_read_fails(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(FileFormatError, match=message):
        read_run_file(tmp_path / "run.toml", DEFAULTS)
