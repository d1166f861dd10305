import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner, Result

from hiddenstate.cli.tag import evaluate_command
from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models.model_folder import save
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.text.conllu import read_conllu

DATA = Path(__file__).parents[1] / "data"
TRAIN, DEV = DATA / "tiny-train.conllu", DATA / "tiny-dev.conllu"
SMALL = TaggerConfig(word_size=4, char_size=4, char_hidden_size=4, hidden_size=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tags every word as NOUN and NN."""
    path = tmp_path_factory.mktemp("models") / "small"
    tagger = Tagger.build(replace(SMALL, columns=("upos", "xpos")), read_conllu(TRAIN))
    with torch.no_grad():
        tagger.head.weight.zero_()
        tagger.head.bias.zero_()
        for name in ("NOUN", "NN"):
            tagger.head.bias[[*tagger.columns["upos"], *tagger.columns["xpos"]].index(name)] = 2.0
    tagger.calibrate({"upos": 2.0, "xpos": 1.0})
    save(tagger, path)
    return path


def run(*arguments: str | Path) -> Result:
    app = typer.Typer()
    app.command()(evaluate_command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def said(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exception is None, result.output
    return result.stdout


def test_what_is_printed(model: Path) -> None:
    nouns = sum(tag == "NOUN" for sentence in read_conllu(DEV) for tag in sentence.upos)
    text = said(DEV, "--model", model)
    assert f"UPOS  {100 * nouns / 365:.2f} % of 365 words, " in text
    assert "XPOS  " in text
    assert "without its temperature of 2.000" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["NOUN", str(nouns), f"{100 * nouns / 365:.2f}", "100.00", f"{200 * nouns / (365 + nouns):.2f}"] in rows
    assert ["DET", "NOUN", "63"] in rows
    assert ["DET", "63", "0.00", "0.00"] in rows  # it has no precision, since no word is given DET
    assert "Tags that were not" not in text


def test_less_is_printed(model: Path) -> None:
    text = said(DEV, "--model", model, "--tags", "2", "--confusions", "0")
    assert "DET" in text
    assert "VERB" not in text
    assert "wanted" not in text
    assert "precision" not in said(DEV, "--model", model, "--tags", "0")


def test_json(model: Path, tmp_path: Path) -> None:
    data = json.loads(said(DEV, "--model", model, "--json"))
    assert list(data) == ["upos", "xpos"]
    upos = data["upos"]
    assert upos["accuracy"] == upos["correct"] / upos["words"]
    assert upos["temperature"] == 2.0
    assert upos["calibration_error"] != upos["calibration_error_without_temperature"]
    assert upos["tags"]["NOUN"]["recall"] == 1
    assert upos["tags"]["DET"] == {
        "words": 63, "given": 0, "correct": 0, "precision": None, "recall": 0.0, "f1": 0.0
    }  # fmt: skip
    assert {"wanted": "DET", "given": "NOUN", "words": 63} in upos["confusions"]
    assert sum(each["count"] for each in upos["confidence"]) == 365
    said(DEV, "--model", model, "--json", "--out", tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == data


def test_words_are_unknown_to_the_vocabulary_or_to_the_training_data(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.conllu").write_text("1\tdOG\t_\tX\t_\t_\t_\t_\t_\t_\n2\tzzz\t_\tX\t_\t_\t_\t_\t_\t_\n")
    for more, unknown in (((), 1), (("--train", TRAIN), 2)):
        data = json.loads(said(tmp_path / "a.conllu", "--model", model, "--json", *more))
        assert data["upos"]["unknown_words"] == unknown


def test_tags_that_were_not_in_training(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.conllu").write_text("1\ta\t_\tALIEN\t_\t_\t_\t_\t_\t_\n2\tdog\t_\tNOUN\t_\t_\t_\t_\t_\t_\n")
    text = said(tmp_path / "a.conllu", "--model", model)
    assert "Tags that were not in the training data: 1 words, none of which can be right" in text
    assert ["ALIEN", "NOUN", "1"] in [line.split() for line in text.splitlines()]
    assert "XPOS" not in text


def test_plot(model: Path, tmp_path: Path) -> None:
    result = run(DEV, "--model", model, "--plot", tmp_path / "a.svg")
    assert result.exception is None
    assert (tmp_path / "a.svg").read_bytes().startswith(b"<?xml")
    assert "wrote" in result.stderr
    result = run(DEV, "--model", model, "--plot", tmp_path / "b.svg", "--json")
    assert (json.loads(result.stdout)["upos"]["words"], (tmp_path / "b.svg").is_file()) == (365, True)


def test_the_shipped_tagger_without_a_model() -> None:
    assert "UPOS  " in said(DEV)


def test_fails(model: Path, tmp_path: Path) -> None:
    files = {"empty": "", "untagged": "1\ta\t_\t_\t_\t_\t_\t_\t_\t_\n", "broken": "1\ta\n"}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    for arguments, kind, message in [
        ((tmp_path / "empty",), FileFormatError, "empty: no word has a tag in column UPOS or XPOS"),
        ((tmp_path / "untagged",), FileFormatError, "untagged: no word has a tag in column"),
        ((tmp_path / "broken",), FileFormatError, "broken, line 1: expected 10 columns"),
        ((tmp_path / "none",), FileNotFoundError, "none"),
        ((DEV, "--plot", tmp_path / "a.xyz"), ArgumentError, "its name must end with one of"),
    ]:
        result = run(*arguments, "--model", model)
        assert isinstance(result.exception, kind)
        assert message in str(result.exception)
        assert result.stdout == ""
