import hashlib
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import programs
from hiddenstate.cli import app
from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models.language.training import run_language_model
from hiddenstate.models.model_folder import CARD, WEIGHTS, load_language_model
from hiddenstate.text import corpora
from hiddenstate.text.corpora import CACHE_VARIABLE, Corpus, CorpusPart, Remote
from language_models import TEXT

SMALL = ("--hidden-size", "6", "--embedding-size", "5", "--rows", "3", "--steps", "7", "--epochs", "2")


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train", "dev"):
        (tmp_path / f"{name}.txt").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["train", "lm", *arguments])


FILES = ("--train", "train.txt", "--dev", "dev.txt")


@pytest.mark.parametrize("level", ["char", "word"])
def test_lm(tmp_path: Path, level: str) -> None:
    result = run(*FILES, *SMALL, "--level", level, "--test", "dev.txt", "--out", "model", "--set", "dropout=0.2")
    assert result.exception is None, result.output
    lines = result.stdout.splitlines()
    unit = "characters" if level == "char" else "words"
    assert [line.split("  ")[0] for line in lines[:2]] == ["epoch 1/2", "epoch 2/2"]
    assert all(f" {unit}/s  dev " in line for line in lines[:2])
    assert lines[2].startswith("kept epoch ")
    assert lines[3].startswith("dev   ")
    assert lines[4] == lines[3].replace("dev   ", "test  ")
    assert ("bits a character" if level == "char" else "perplexity") in lines[3]
    config = load_language_model(tmp_path / "model").config
    assert (config.level, config.hidden_size, config.rows, config.steps) == (level, 6, 3, 7)
    assert (config.dropout, config.epochs, config.tied) == (0.2, 2, level == "word")


@pytest.mark.parametrize("level", ["char", "word"])
def test_the_command_on_the_card_gives_the_model_again(tmp_path: Path, level: str) -> None:
    assert run(*FILES, *SMALL, "--level", level, "--out", "first", "--precision", "bf16").exception is None
    card = (tmp_path / "first" / CARD).read_text(encoding="utf-8")
    command = shlex.split(next(line for line in card.splitlines() if line.startswith("hiddenstate train lm ")))
    command[command.index("--out") + 1] = "second"
    assert CliRunner().invoke(app, command[1:]).exception is None
    assert (tmp_path / "first" / WEIGHTS).read_bytes() == (tmp_path / "second" / WEIGHTS).read_bytes()


@pytest.mark.parametrize("level", ["char", "word"])
def test_a_config_file_and_what_overrides_it(tmp_path: Path, level: str) -> None:
    (tmp_path / "lm.toml").write_text(
        f'kind = "lm"\n[files]\ntrain = "train.txt"\ndev = "dev.txt"\n'
        f'[settings]\nlevel = "{level}"\nhidden_size = 5\nepochs = 1\nrows = 2\n'
    )
    result = run("--config", "lm.toml", "--out", "model", "--hidden-size", "4")
    assert result.exception is None, result.output
    config = load_language_model(tmp_path / "model").config
    # Settings in neither are the level's defaults.
    assert (config.level, config.hidden_size, config.rows, config.tied) == (level, 4, 2, level == "word")


def test_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> object:
        count = 0

        def stop(progress: object) -> None:
            nonlocal count
            count += 1
            if count == 5:
                raise KeyboardInterrupt

        return run_language_model(*arguments, **{**options, "on_progress": stop})  # type: ignore[arg-type]

    assert run(*FILES, *SMALL, "--out", "whole").exception is None
    with monkeypatch.context() as patch:
        patch.setattr("hiddenstate.models.language.training.run_language_model", interrupted)
        result = run(*FILES, *SMALL, "--out", "model")
    assert result.exit_code == 130
    assert "resume with: hiddenstate train lm --resume model.run" in result.stderr
    assert run("--resume", "model.run").exception is None
    assert (tmp_path / "whole" / WEIGHTS).read_bytes() == (tmp_path / "model" / WEIGHTS).read_bytes()


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start the command as a program."""
    command = [sys.executable, "-m", "hiddenstate", "train", "lm", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return programs.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(program: subprocess.Popen[str]) -> str:
    out, error = program.communicate(timeout=300)
    assert program.returncode == 0, error
    return out


@pytest.mark.slow
def test_killed_and_resumed_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    options = (*FILES, *SMALL, "--epochs", "6", "--set", "checkpoint_steps=3", "--set", "random_steps=true")
    finished(start(*options, "--out", "whole"))
    program, checkpoint = start(*options, "--out", "model"), tmp_path / "model.run" / "checkpoint.safetensors"
    while program.poll() is None and not checkpoint.exists():
        time.sleep(0.001)
    program.kill()
    program.communicate(timeout=300)
    finished(start("--resume", "model.run"))
    assert (tmp_path / "whole" / WEIGHTS).read_bytes() == (tmp_path / "model" / WEIGHTS).read_bytes()


def test_a_corpus_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    (tmp_path / "cache" / "toys").mkdir(parents=True)
    (tmp_path / "cache" / "toys" / "all.txt").write_text(TEXT, encoding="utf-8")
    file = Remote("all.txt", hashlib.sha256(TEXT.encode()).hexdigest(), len(TEXT))
    parts = {"train": CorpusPart("all.txt", 0, 0.8), "dev": CorpusPart("all.txt", 0.8, 1)}
    known = Corpus("Toys", "none", "https://example.org", "http://127.0.0.1:9/", (file,), parts)
    monkeypatch.setitem(vars(corpora), "CORPORA", {"toys": known})
    result = run("--train", "toys:train", "--dev", "toys:dev", *SMALL, "--out", "model")
    assert result.exception is None, result.output
    card = (tmp_path / "model" / CARD).read_text(encoding="utf-8")
    assert "hiddenstate train lm --train toys:train --dev toys:dev --out model" in card
    assert str(tmp_path) not in card


def test_plot(tmp_path: Path) -> None:
    assert run(*FILES, *SMALL, "--out", "model", "--plot", "run.svg").exception is None
    assert "<svg" in (tmp_path / "run.svg").read_text(encoding="utf-8")


def test_fails(tmp_path: Path) -> None:
    result = run(*FILES)
    assert result.exit_code == 2
    assert "--out" in result.stderr
    (tmp_path / "empty.txt").touch()
    cases: list[tuple[tuple[str, ...], type[Exception], str]] = [
        (("--set", "cutoffs=x"), ArgumentError, "setting cutoffs must be integers"),
        (("--set", "level=byte"), ArgumentError, "level must be one of char word"),
        (("--train", "empty.txt"), FileFormatError, "there is no text in it"),
        (("--train", "wikitext-2:none"), ArgumentError, "is not a part of a corpus; the parts are wikitext-2:train"),
        (("--train", "none.txt"), FileNotFoundError, "none.txt"),
        (("--rows", "5000"), ArgumentError, r"train\.txt: a text of \d+ tokens can't be read as 5000 rows"),
    ]
    for arguments, kind, message in cases:
        result = run(*FILES, "--out", "model", *arguments)
        assert isinstance(result.exception, kind), result.output
        with pytest.raises(kind, match=message):
            raise result.exception
    assert not (tmp_path / "model").exists()


def test_the_root_of_the_disk_is_no_folder_for_a_model() -> None:
    result = run(*FILES, *SMALL, "--out", "/")
    assert isinstance(result.exception, ArgumentError)
    assert "cannot be a model's folder" in str(result.exception)
