import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from hiddenstate.cli.structure import structure
from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models.model_folder import save
from hiddenstate.nn.gru import GRU
from hiddenstate.nn.lstm import LSTM
from hiddenstate.structure.sizes import Sizes
from hiddenstate.structure.structure import structure_of
from language_models import make

SMALL = ("--input-size", "4", "--hidden-size", "3")


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(structure)
    return CliRunner().invoke(app, arguments)


def said(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exception is None, result.output
    return result.stdout


def test_sizes() -> None:
    assert said(*SMALL) == f"{structure_of(Sizes(4, 3))}\n"


def test_every_option() -> None:
    sizes = Sizes(4, 3, num_layers=2, bias=False, bidirectional=True, proj_size=2)
    options = ("--num-layers", "2", "--no-bias", "--bidirectional", "--proj-size", "2")
    assert said(*SMALL, *options) == f"{structure_of(sizes)}\n"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((), "--input-size and --hidden-size"),
        (("--input-size", "4"), "--input-size and --hidden-size"),
        ((*SMALL, "--proj-size", "3"), "proj_size"),
        ((*SMALL, "--words", "in a"), "add --plot"),
        (("model", "--hidden-size", "3", "--no-bias"), "drop --hidden-size --no-bias"),
        ((*SMALL, "--plot", "net.doc"), "must end with"),
        ((*SMALL, "--plot", "net.png", "--words", " "), "words is empty"),
    ],
)
def test_sizes_fails(arguments: tuple[str, ...], match: str) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, ArgumentError)
    assert match in str(result.exception)
    assert result.stdout == ""


def test_json() -> None:
    data = json.loads(said(*SMALL, "--json"))
    expected = structure_of(Sizes(4, 3))
    assert data["sizes"]["hidden_size"] == 3
    assert (data["count"], data["counts"], data["weights"]) == (108, {"l0": 108}, expected.to_dicts())


def test_json_fails() -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(said(*SMALL))


def test_plot(tmp_path: Path) -> None:
    result = run(*SMALL, "--plot", str(tmp_path / "net.svg"), "--words", "one two")
    assert result.exception is None
    assert f"wrote {tmp_path / 'net.svg'}" in result.stderr
    assert result.stdout == f"{structure_of(Sizes(4, 3))}\n"
    assert "one two" not in (tmp_path / "net.svg").read_text()
    assert (tmp_path / "net.svg").read_text().startswith("<?xml")


def test_model(monkeypatch: pytest.MonkeyPatch) -> None:
    class FakeTagger:
        lstm = LSTM(5, 2, bidirectional=True)

    monkeypatch.setattr("hiddenstate.models.model_folder.load", lambda folder: FakeTagger)
    assert said("model") == f"{structure_of(Sizes(5, 2, bidirectional=True))}\n"


def test_the_file_of_a_layer_or_of_a_model(tmp_path: Path) -> None:
    layer, model = GRU(4, 3), make()
    save(layer, tmp_path / "gru.safetensors")
    save(model, tmp_path / "lm.safetensors")
    assert said(str(tmp_path / "gru.safetensors")) == f"{layer.structure()}\n"
    assert said(str(tmp_path / "lm.safetensors")) == f"{model.lstm.structure()}\n"


def test_model_fails(tmp_path: Path) -> None:
    result = run(str(tmp_path / "none"))
    assert isinstance(result.exception, FileFormatError)
    assert "no such folder" in str(result.exception)


def test_layers_beyond_number_fail() -> None:
    result = run(*SMALL, "--num-layers", "1000000")
    assert result.exit_code == 2
    assert "1024" in result.output


def test_every_weight_of_many_layers_is_found() -> None:
    structure = structure_of(Sizes(4, 3, num_layers=1024))
    assert structure.counts["l1023"] == 2 * 4 * 3 * 3 + 2 * 4 * 3
    assert all(structure[weight.address] is weight for weight in structure)


def test_a_language_model_goes_by_name_and_into_a_file(tmp_path: Path) -> None:
    assert said("shakespeare", "--out", str(tmp_path / "a.txt")) == ""
    assert (tmp_path / "a.txt").read_text(encoding="utf-8").startswith("LSTM 64 → 512: 1 layer")
