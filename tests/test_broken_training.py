"""Failure at every point of a training run: it can be resumed, and ends like an uninterrupted run.

Disk operations fail one after another, and KeyboardInterrupt is raised at a sample of lines.
"""

import json
import random
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import hiddenstate as hs
from attacks.formats import CONLLU
from disk_faults import failed_everywhere
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.training import resume_tagger, train_tagger
from hiddenstate.training.checkpoint import METRICS, RunFolder, default_run
from interrupts import PACKAGE, Interrupter

CONFIG = TaggerConfig(
    epochs=2,
    hidden_size=2,
    word_size=2,
    char_size=2,
    char_hidden_size=2,
    num_layers=1,
    word_minimum=1,
    log_steps=1,
    checkpoint_steps=1,
)
INTERRUPTS = 20
# Reading words and computing a network leave nothing behind.
ROOMS = ("training", "base/files.py", "models/training_run.py", "models/model_folder.py")
INSIDE = tuple(str(Path(PACKAGE, room)) for room in ROOMS)


def train(out: Path) -> None:
    words = out.with_name("words")
    train_tagger(words, words, out, CONFIG)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("unbroken")
    (folder / "words").write_text(CONLLU * 3)
    train(folder / "it")
    return load_file(folder / "it" / "weights.safetensors")


class Broken:
    """A folder for a run, and what must be true after a failure."""

    def __init__(self, folder: Path, weights: dict[str, torch.Tensor]) -> None:
        self.folder, self.out, self.weights = folder / "place", folder / "place" / "it", weights
        self.prepare()

    def prepare(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / "words").write_text(CONLLU * 3)

    def train(self) -> None:
        train(self.out)

    def check(self, failed: object) -> None:
        left = {path.name for path in self.folder.iterdir()}
        assert left <= {"words", "it", "it.run"}, failed
        run = default_run(self.out)
        if self.out.exists():
            hs.load(self.out)
        if run.exists():
            assert not [path.name for path in run.iterdir() if path.suffix == ".part"], failed
            assert "running.json" not in {path.name for path in run.iterdir()}, failed
        if (run / METRICS).exists():
            assert all(json.loads(line) for line in (run / METRICS).read_text().splitlines()), failed
        with RunFolder(run).held():  # not locked
            pass
        resume_tagger(run) if (run / "run.toml").exists() else self.train()
        weights = load_file(self.out / "weights.safetensors")
        assert all(torch.equal(value, weights[name]) for name, value in self.weights.items()), failed
        self.prepare()


def test_an_operation_that_fails_ends_a_run_that_can_be_resumed(
    unbroken: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    broken = Broken(tmp_path, unbroken)
    failed_everywhere(broken.train, broken.folder, broken.check, 60)


def test_a_run_that_is_interrupted_anywhere_can_be_resumed(unbroken: dict[str, torch.Tensor], tmp_path: Path) -> None:
    broken = Broken(tmp_path, unbroken)
    whole = Interrupter(10**9, INSIDE)
    assert whole.run(broken.train) is None
    assert whole.count > 200
    for k in sorted(random.Random(0).sample(range(whole.count), INTERRUPTS)):
        broken.prepare()
        interrupter = Interrupter(k, INSIDE)
        error = interrupter.run(broken.train)
        assert isinstance(error, KeyboardInterrupt) == interrupter.is_raised
        broken.check((k, error))
