import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hiddenstate.cli.train import app
from hiddenstate.errors import ArgumentError, HiddenStateError
from hiddenstate.models.model_folder import CARD, load_tagger
from hiddenstate.training.checkpoint import RunFolder

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
    config = load_tagger(out).config
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


def test_the_command_of_a_taught_tagger_gives_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in DATA.glob("tiny-*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "more.txt").write_text("The dog barks.\nAnother cat sits down. It didn't run.")
    monkeypatch.chdir(tmp_path)
    for seed in "12":
        assert run(*FILES, *SMALL, "--out", f"teacher-{seed}", "--seed", seed).exception is None
    config = tmp_path / "taught.toml"
    config.write_text("[files]\nteacher = ['teacher-1']\nuntagged = ['more.txt', 'tiny-dev.conllu']\n")
    given = ("--config", str(config), "--teacher", "teacher-2", "--teacher", "teacher-1")  # instead of the file's
    result = run(*FILES, *SMALL, *given, "--out", "student", "--set", "tagged_epochs=1")
    assert result.exception is None, result.output
    card = Path("student", CARD).read_text(encoding="utf-8")
    command = next(line for line in card.splitlines() if line.startswith("hiddenstate train tagger "))
    assert "--teacher teacher-2 --teacher teacher-1 --untagged more.txt --untagged tiny-dev.conllu" in command
    Path("student").rename("kept")
    Path("student.run").rename("kept.run")
    assert run(*shlex.split(command)[3:]).exception is None
    weights = [Path(name, "weights.safetensors").read_bytes() for name in ("student", "kept")]
    assert weights[0] == weights[1]
    result = run("--resume", "kept.run", "--teacher", "teacher-1")
    assert "drop the other options" in str(result.exception)
    result = run(*FILES, "--untagged", "more.txt", "--out", "other")
    assert "at least one trained tagger" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "wings=2"), "unknown setting 'wings'"),
        (("--set", "dropout"), "--set takes KEY=VALUE"),
        (("--set", "epochs=" + "9" * 5000), "setting epochs must be of type int, got '999"),
        (("--set", "hidden_size=99999999999"), "a model of these sizes can't be made: Storage size calculation"),
        (("--set", "hidden_size=300000"), "bytes of weights, but this machine"),
        (("--set", "num_layers=1000000"), "num_layers must be below 1025"),
        (("--seed", str(2**32)), "seed must be below 4294967296, got 4294967296"),
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

    monkeypatch.setattr("hiddenstate.models.tagger.training.run_tagger", interrupt)
    result = run(*FILES, "--out", str(tmp_path / "model"))
    assert (result.exit_code, result.stderr) == (130, "stopped before training began\n")
    RunFolder(tmp_path / "model.run").begin("")
    result = run(*FILES, "--out", str(tmp_path / "model"))
    assert result.exit_code == 130
    assert f"resume with: hiddenstate train tagger --resume {tmp_path / 'model.run'}" in result.stderr


def test_interruption_while_it_tells_what_came_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*, exact: bool) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hiddenstate.cli.train.standard_output", interrupt)
    result = run(*FILES, *SMALL, "--out", str(tmp_path / "model"))
    assert result.exit_code == 130
    assert f"resume with: hiddenstate train tagger --resume {tmp_path / 'model.run'}" in result.stderr


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


def test_a_config_file_and_what_is_given_beside_it(tmp_path: Path) -> None:
    config = tmp_path / "tagger.toml"
    config.write_text(
        f"[files]\ntrain = {FILES[1]!r}\ndev = {FILES[3]!r}\nout = {str(tmp_path / 'not-here')!r}\n"
        "[about]\nlicence = 'CC0'\n"
        "[settings]\nepochs = 9\nhidden_size = 5\nnum_layers = 1\nword_size = 5\ncolumns = ['xpos']\n"
    )
    result = run("--config", str(config), "--epochs", "1", "--out", str(tmp_path / "model"), "--precision", "bf16")
    assert result.exception is None, result.output
    stored = load_tagger(tmp_path / "model").config
    assert (stored.epochs, stored.hidden_size, stored.columns, stored.precision) == (1, 5, ("xpos",), "bf16")
    assert not (tmp_path / "not-here").exists()
    assert "\n## Licence\n\nCC0\n" in (tmp_path / "model" / CARD).read_text(encoding="utf-8")
    # A run file is also a config file.
    again = run("--config", str(tmp_path / "model.run" / "run.toml"), "--out", str(tmp_path / "again"))
    assert again.exception is None, again.output
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("model", "again")]
    assert weights[0] == weights[1]


def test_columns(tmp_path: Path) -> None:
    result = run(*FILES, *SMALL, "--columns", "upos,xpos", "--out", str(tmp_path / "model"), "--test", FILES[3])
    assert result.exception is None, result.output
    lines = result.stdout.splitlines()
    assert re.fullmatch(r"epoch 1/2  loss [\d.]+  [\d,]+ words/s  dev UPOS [\d.]+ %, XPOS [\d.]+ %", lines[0])
    assert [line.split()[:2] for line in lines[3:]] == [
        ["dev", "UPOS"], ["dev", "XPOS"], ["test", "UPOS"], ["test", "XPOS"]
    ]  # fmt: skip


def test_plot(tmp_path: Path) -> None:
    result = run(*FILES, *SMALL, "--out", str(tmp_path / "model"), "--plot", str(tmp_path / "run.svg"))
    assert result.exception is None, result.output
    assert (tmp_path / "run.svg").read_bytes().startswith(b"<?xml")
    bad = run(*FILES, *SMALL, "--out", str(tmp_path / "other"), "--plot", str(tmp_path / "run.xyz"))
    assert isinstance(bad.exception, ArgumentError)
    assert not (tmp_path / "other").exists()


def test_resume(tmp_path: Path) -> None:
    arguments = (*FILES, *SMALL, "--set", "epochs=4", "--run", str(tmp_path / "somewhere"), "--out")
    assert run(*arguments, str(tmp_path / "model")).exception is None
    before = (tmp_path / "model" / "weights.safetensors").read_bytes()
    result = run(
        "--resume", str(tmp_path / "somewhere")
    )  # it is finished: nothing is trained, everything is reported again
    assert result.exception is None, result.output
    assert result.stdout.startswith("kept epoch ")
    assert (tmp_path / "model" / "weights.safetensors").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "somewhere"]
    result = run("--resume", str(tmp_path / "somewhere"), "--run", str(tmp_path / "elsewhere"))
    assert isinstance(result.exception, ArgumentError)
    assert str(result.exception) == "--resume already names the run's folder; drop --run"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--resume", "nowhere"), "no run at nowhere: run.toml is missing"),
        (("--resume", "nowhere", "--epochs", "3"), "--resume takes everything from the run's folder; drop"),
        (("--config", "broken.toml"), "broken.toml is not TOML"),
        (("--config", "other.toml"), "other.toml is for training a 'lm', expected 'tagger'"),
    ],
)
def test_resume_and_config_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.toml").write_text("a = ")
    (tmp_path / "other.toml").write_text("kind = 'lm'")
    result = run(*arguments)
    assert isinstance(result.exception, HiddenStateError)
    assert message in str(result.exception)
