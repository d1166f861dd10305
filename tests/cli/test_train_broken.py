"""Runs that are interrupted, as from a shell. Killed ones are among those of `test_attack.py`."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import programs
from hiddenstate.cli.train import TrainOptions, run_file
from hiddenstate.models.tagger.training import TAGGER_RUN, resume_tagger, run_tagger

DATA = Path(__file__).parents[1] / "data"
FILES = {"train": DATA / "tiny-train.conllu", "dev": DATA / "tiny-dev.conllu"}
SETTINGS = {"epochs": "3", "hidden_size": "16", "num_layers": "1", "batch_words": "40", "learning_rate": "0.01"}
SETTINGS |= {"log_steps": "1", "checkpoint_steps": "2", "average": "0.9"}
STEPS = 3 * 36


def command(out: Path) -> list[str]:
    options = [f"--{name}={path}" for name, path in {**FILES, "out": out}.items()]
    return ["train", "tagger", *options, *(f"--set={name}={value}" for name, value in SETTINGS.items())]


def start(module: str, *arguments: str) -> "subprocess.Popen[str]":
    command, pipe = [sys.executable, "-m", module, *arguments], subprocess.PIPE
    return programs.Popen(command, stdout=pipe, stderr=pipe, text=True)


def changed(metrics: Path) -> int:
    return metrics.stat().st_mtime_ns if metrics.exists() else 0


def wait_for(process: "subprocess.Popen[str]", metrics: Path, before: int, lines: int) -> None:
    """Wait until this run (not a previous one) has reported this much, or is over."""
    while process.poll() is None and (changed(metrics) == before or metrics.read_bytes().count(b"\n") < lines):
        time.sleep(0.005)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "model"
    run_tagger(run_file(TAGGER_RUN, FILES, TrainOptions(SETTINGS, out)))
    return out


def assert_same_run(out: Path, unbroken: Path) -> None:
    for name in ("weights.safetensors", "vocabulary.json", "config.json"):
        assert (out / name).read_bytes() == (unbroken / name).read_bytes()
    steps = [
        [json.loads(line)["step"] for line in Path(f"{path}.run", "metrics.jsonl").read_text().splitlines()]
        for path in (out, unbroken)
    ]
    assert steps[0] == steps[1]
    assert sorted(path.name for path in out.parent.iterdir()) == ["model", "model.run"]


def test_an_interrupted_run_ends_as_an_unbroken_one(tmp_path: Path, unbroken: Path) -> None:
    out, seed = tmp_path / "model", random.randrange(2**32)
    dice, metrics = random.Random(seed), Path(f"{out}.run", "metrics.jsonl")
    moment = dice.randrange(1, STEPS)
    print(f"dice {seed}, moment {moment}")
    before = changed(metrics)
    process = start("hiddenstate", *command(out))
    wait_for(process, metrics, before, moment)
    time.sleep(dice.uniform(0, 0.05))
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=600)
    if process.returncode != 0:
        assert process.returncode == 130
        assert told.splitlines()[-1] == f"stopped; resume with: hiddenstate train tagger --resume {out}.run"
    result = resume_tagger(f"{out}.run")
    assert result.history[-1].last.epoch == 3
    assert_same_run(out, unbroken)


def test_ctrl_c_while_python_ends_changes_nothing() -> None:
    code = """
import atexit, os, signal, sys
from hiddenstate import cli
atexit.register(os.kill, os.getpid(), signal.SIGINT)
sys.argv = ["hiddenstate", "structure", "--input-size", "2", "--hidden-size", "1"]
cli.main()
"""
    done = programs.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stderr) == (0, "")
