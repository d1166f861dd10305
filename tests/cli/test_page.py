import json
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner, Result

from hiddenstate.cli import app as whole
from hiddenstate.cli.studio import page
from hiddenstate.errors import FileFormatError
from hiddenstate.models.model_folder import save, shipped
from hiddenstate.nn.gru import GRU
from language_models import make
from models.series.modules import PerStep
from studio.runtime.test_series import frame_of, model_of
from studio.test_html import EVIL, Elements


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(page)
    return CliRunner().invoke(app, arguments)


def test_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("Giraffes in a field")
    assert result.exit_code == 0
    assert result.stderr.startswith("wrote view.html (4.")
    boot = json.loads(Elements((tmp_path / "view.html").read_text(encoding="utf-8")).data["boot"])
    assert boot["view"] == {"text": "Giraffes in a field"}
    assert [model["id"] for model in boot["models"]] == ["tagger-en"]
    assert boot["host"] == "file"


def test_the_file_of_a_layer_or_of_a_model(tmp_path: Path) -> None:
    save(GRU(4, 3), tmp_path / "small.safetensors")
    save(make(), tmp_path / "lm.safetensors")
    files = [str(tmp_path / name) for name in ("small.safetensors", "lm.safetensors")]
    result = run("", "--model", files[0], "--model", files[1], "-o", str(tmp_path / "out.html"))
    assert result.exit_code == 0, result.output
    boot = json.loads(Elements((tmp_path / "out.html").read_text(encoding="utf-8")).data["boot"])
    assert [model["id"] for model in boot["models"]] == ["small", "lm"]


def test_models_and_any_text(tmp_path: Path) -> None:
    save(make(), tmp_path / "lm")
    result = run(EVIL, "--model", str(tmp_path / "lm"), "--model", str(shipped()), "-o", str(tmp_path / "out.html"))
    assert result.exit_code == 0
    boot = json.loads(Elements((tmp_path / "out.html").read_text(encoding="utf-8")).data["boot"])
    assert boot["view"] == {"text": EVIL}
    assert [model["id"] for model in boot["models"]] == ["lm", "tagger-en"]


def test_dashes_are_standard_input_and_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(page)
    result = CliRunner().invoke(app, ["-", "-o", "-"], input="Grüße in a field\n")
    assert json.loads(Elements(result.stdout).data["boot"])["view"] == {"text": "Grüße in a field"}
    assert result.stdout.startswith("<!doctype html>")
    assert result.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_text_that_is_no_utf8(tmp_path: Path) -> None:
    assert run("a\udcff", "-o", str(tmp_path / "view.html")).exit_code == 0
    boot = json.loads(Elements((tmp_path / "view.html").read_text(encoding="utf-8")).data["boot"])
    assert boot["view"] == {"text": "a\udcff"}


def test_page_fails(tmp_path: Path) -> None:
    (tmp_path / "view.html").write_text("before")
    result = run("--model", str(tmp_path), "-o", str(tmp_path / "view.html"))
    assert isinstance(result.exception, FileFormatError)
    assert (tmp_path / "view.html").read_text() == "before"
    result = run("-o", str(tmp_path / "none" / "view.html"))
    assert isinstance(result.exception, FileNotFoundError)


def test_it_is_a_command() -> None:
    assert "one HTML file" in CliRunner().invoke(whole, ["page", "--help"]).output


def test_a_model_of_series_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(model_of(PerStep(3, 2)), "river")
    frame = frame_of(9).rename_axis("day")
    frame.to_csv("one.csv")
    pd.concat([frame.assign(station="Weir"), frame.assign(station="Upton")]).to_csv("two.csv")
    for arguments, names in (
        (["--data", "one.csv"], ["river"]),
        (["--data", "two.csv", "--rows", "station", "--dates", "day"], ["river: Weir", "river: Upton"]),
    ):
        assert run("--model", "river", *arguments, "-o", "view.html").exit_code == 0
        boot = json.loads(Elements(Path("view.html").read_text(encoding="utf-8")).data["boot"])
        assert [model["name"] for model in boot["models"]] == names
    for arguments, words in (
        (["--model", "tagger-en", "--data", "one.csv"], "does not read a file of series"),
        (["--model", "river", "--dates", "day"], "give the file, too"),
        (["--data", "one.csv"], "with its models: got 1, and 0"),
        (["--model", "river", "--data", "one.csv", "--dates", "date"], "no column 'date'"),
        (["--model", "river", "--data", "none.csv"], "none.csv"),
    ):
        assert words in str(run(*arguments, "-o", "view.html").exception)
