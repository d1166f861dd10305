import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hiddenstate.cli.train import app
from hiddenstate.errors import ArgumentError
from hiddenstate.models.folder import CARD, load

DATA = Path(__file__).parents[1] / "data"
FILES = ("--train", str(DATA / "tiny-train.conllu"), "--dev", str(DATA / "tiny-dev.conllu"))
SMALL = ("--hidden-size", "6", "--num-layers", "1", "--word-size", "5", "--set", "char_hidden_size=4", "--epochs", "2")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["tagger", *arguments])


def test_tagger(tmp_path: Path) -> None:
    out = tmp_path / "model"
    result = run(*FILES, *SMALL, "--test", FILES[3], "--out", str(out), "--seed", "3", "--batch-words", "99")
    assert result.exception is None, result.output
    lines = result.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[:2]] == ["epoch 1/2", "epoch 2/2"]
    assert all(" words/s  dev " in line for line in lines[:2])
    assert lines[2].startswith("kept epoch ")
    assert lines[3].startswith("dev   ")
    assert lines[4].startswith("test  ")
    config = load(out).config
    assert (config.seed, config.hidden_size, config.num_layers, config.word_size) == (3, 6, 1, 5)
    assert (config.char_hidden_size, config.epochs, config.batch_words) == (4, 2, 99)


def test_the_command_on_the_card_gives_the_model_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = ("--about-data", "Words of our own.", "--licence", "CC0 1.0")
    assert run(*FILES, *SMALL, *about, "--out", str(tmp_path / "first")).exception is None
    card = (tmp_path / "first" / CARD).read_text(encoding="utf-8")
    assert "Words of our own." in card
    assert "CC0 1.0" in card
    assert str(tmp_path) not in card
    command = next(line for line in card.splitlines() if line.startswith("hiddenstate train tagger "))
    # It names files without their folders.
    for path in DATA.glob("tiny-*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(command)[3:]
    (tmp_path / "first").rename(tmp_path / "kept")
    assert run(*arguments).exception is None
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("first", "kept")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "wings=2"), "unknown setting 'wings'"),
        (("--set", "dropout"), "--set takes KEY=VALUE"),
        (("--set", "dropout=a lot"), "dropout must be of type float, got 'a lot'"),
        (("--hidden-size", "0"), "hidden_size must be at least 1"),
    ],
)
def test_tagger_fails(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run(*FILES, "--out", str(tmp_path / "model"), *arguments)
    assert isinstance(result.exception, ArgumentError)
    assert message in str(result.exception)


def test_refuses_to_overwrite_what_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    result = run(*FILES, "--out", str(tmp_path))
    assert isinstance(result.exception, ArgumentError)
    assert "thesis.tex" in str(result.exception)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_missing_file(tmp_path: Path) -> None:
    result = run("--train", "nowhere.conllu", *FILES[2:], "--out", str(tmp_path / "model"))
    assert isinstance(result.exception, FileNotFoundError)


def test_interruption_says_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hiddenstate.cli.train.run_tagger", interrupt)
    result = run(*FILES, "--out", str(tmp_path / "model"))
    assert result.exit_code == 130
    assert f"go on with: hiddenstate train tagger --resume {tmp_path / 'model.run'}" in result.stderr


def test_usage_fails() -> None:
    result = run(*FILES)
    assert result.exit_code == 2
    assert "--out" in result.stderr


def test_terminal_shows_a_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)
    result = run(*FILES, *SMALL, "--out", str(tmp_path / "model"))
    assert result.exception is None
    assert "epoch 1/2" in result.stdout
    assert "\x1b[" in result.stdout
