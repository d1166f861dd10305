import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models.language.config import CHARACTERS, WORDS, LanguageConfig, defaults_for
from hiddenstate.models.language.scoring import measure
from hiddenstate.models.language.training import (
    RUN_FILES,
    LanguageTask,
    describe_tally,
    resume_language_model,
    train_language_model,
)
from hiddenstate.models.model_folder import CARD, WEIGHTS, load_language_model
from hiddenstate.text.batches import Span
from hiddenstate.training.settings import read_run_file
from hiddenstate.training.task import Epoch, Step
from language_models import TEXT

CONFIGS = sorted((Path(__file__).parents[3] / "examples" / "configs").glob("lm-*.toml"))
SMALL: dict[str, Any] = {
    "embedding_size": 6,
    "hidden_size": 8,
    "rows": 4,
    "steps": 9,
    "epochs": 3,
    "warmup_steps": 2,
    "learning_rate": 0.02,
    "dev_rows": 2,
}
NOISE: dict[str, Any] = {
    "num_layers": 2,
    "dropout": 0.2,
    "input_dropout": 0.1,
    "weight_drop": 0.2,
    "token_dropout": 0.1,
    "random_steps": True,
    "average": 0.5,
}


def small(level: str = "char", **settings: Any) -> LanguageConfig:
    return replace(defaults_for(level), **{**SMALL, **settings})


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    return texts_in(tmp_path)


def texts_in(folder: Path) -> dict[str, Any]:
    paths = {name: folder / f"{name}.txt" for name in ("train", "dev", "test")}
    for number, path in enumerate(paths.values()):
        path.write_text(TEXT * (4 if number == 0 else 1) + "some ☃ more\n" * number, encoding="utf-8")
    return paths


@pytest.mark.parametrize("level", ["char", "word"])
def test_training_learns_and_keeps_the_best(tmp_path: Path, files: dict[str, Any], level: str) -> None:
    seen: list[Step | Epoch] = []
    result = train_language_model(
        **files, out=tmp_path / "model", config=small(level, epochs=4), licence="none", on_progress=seen.append
    )
    epochs = [each for each in seen if isinstance(each, Epoch)]
    assert tuple(epochs) == result.history
    assert epochs[-1].score.value < epochs[0].score.value < math.log(60)
    assert result.best is min(epochs, key=lambda epoch: epoch.score.value)
    model = load_language_model(tmp_path / "model")
    ids = model.tokens.read(files["dev"])
    assert result.dev == measure(model, ids, rows=2)
    assert result.dev.unknown == (ids == 0).sum() > 0
    assert result.dev.mean == pytest.approx(result.best.score.value, abs=0.01)
    assert result.test is not None
    card = (tmp_path / "model" / CARD).read_text(encoding="utf-8")
    assert "trained on `train.txt`" in card.lower()
    assert f"| test | {result.test.tokens:,} |" in card
    steps = [each for each in seen if isinstance(each, Step)]
    assert steps[-1].units == steps[-1].units_total


def test_a_model_that_reads_backwards(tmp_path: Path, files: dict[str, Any]) -> None:
    backwards: dict[str, Any] = {name: tmp_path / f"back-{path.name}" for name, path in files.items()}
    for name, path in backwards.items():
        path.write_text(files[name].read_text(encoding="utf-8")[::-1], encoding="utf-8")
    train_language_model(**files, out=tmp_path / "a", config=small(backward=True))
    train_language_model(**backwards, out=tmp_path / "b", config=small())
    assert (tmp_path / "a" / WEIGHTS).read_bytes() == (tmp_path / "b" / WEIGHTS).read_bytes()
    assert load_language_model(tmp_path / "a").config.backward


def task_of(files: dict[str, Any], **settings: Any) -> LanguageTask:
    paths = {"out": "", **{name: str(path) for name, path in files.items()}}
    return LanguageTask(replace(RUN_FILES["char"], settings=small(**settings), files=paths))


def test_the_state_is_carried_from_batch_to_batch(files: dict[str, Any]) -> None:
    task = task_of(files, dropout=0.0, input_dropout=0.0)
    plan = task.plan(1)
    task.load_state({})
    losses = [task.loss(batch) for batch in plan]
    assert all(not value.requires_grad for value in task.state().values())
    # The same text in one piece.
    inputs, targets = task.rows.read(Span(0, task.rows.length))
    nats, (h, c) = task.model.surprise(inputs, targets)
    whole = sum(float(loss.mean.detach()) * loss.count for loss in losses)
    assert sum(loss.count for loss in losses) == nats.numel() == task.size(1)
    assert whole == pytest.approx(float(nats.detach().sum()), rel=1e-5)
    torch.testing.assert_close(dict(task.state()), {"h": h.detach(), "c": c.detach()})
    # Each epoch starts from a new state.
    task.load_state({})
    assert float(task.loss(plan[0]).mean.detach()) == pytest.approx(float(losses[0].mean.detach()))


def test_random_steps_differ_from_epoch_to_epoch(files: dict[str, Any]) -> None:
    task = task_of(files, random_steps=True)
    assert task.plan(1) == task.plan(1) != task.plan(2)


class Enough(KeyboardInterrupt):
    pass


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Callable[[LanguageConfig], bytes]:
    """The weights in which an unbroken run ends."""

    @cache
    def weights(config: LanguageConfig) -> bytes:
        folder = tmp_path_factory.mktemp("unbroken")
        train_language_model(**texts_in(folder), out=folder / "whole", config=config)
        return (folder / "whole" / WEIGHTS).read_bytes()

    return weights


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stop_after", [1, 7, 20])
def test_resuming_gives_the_very_same_model(
    tmp_path: Path,
    files: dict[str, Any],
    unbroken: Callable[[LanguageConfig], bytes],
    stop_after: int,
    precision: str,
) -> None:
    config = small(**NOISE, precision=precision)
    count = 0

    def stop(progress: Step | Epoch) -> None:
        nonlocal count
        count += 1
        if count == stop_after:
            raise Enough

    with pytest.raises(KeyboardInterrupt):
        train_language_model(**files, out=tmp_path / "broken", config=config, on_progress=stop)
    resume_language_model(tmp_path / "broken.run")
    assert (tmp_path / "broken" / WEIGHTS).read_bytes() == unbroken(config)


@pytest.mark.parametrize("changed", ["dev", "test"])
def test_resuming_with_other_data_fails(changed: str, tmp_path: Path, files: dict[str, Any]) -> None:
    def stop(progress: Step | Epoch) -> None:
        raise Enough

    with pytest.raises(KeyboardInterrupt):
        train_language_model(**files, out=tmp_path / "model", config=small(), on_progress=stop)
    files[changed].write_text(TEXT.replace("cat", "dog"), encoding="utf-8")
    with pytest.raises(ArgumentError, match="has changed since"):
        resume_language_model(tmp_path / "model.run")


@pytest.mark.parametrize("level", ["char", "word"])
@pytest.mark.parametrize(("name", "message"), [("train", "train.txt"), ("dev", "dev.txt"), ("test", "test.txt")])
def test_bad_texts(tmp_path: Path, files: dict[str, Any], level: str, name: str, message: str) -> None:
    files[name].write_bytes(b"")
    with pytest.raises(FileFormatError, match=f"{message}: there is no text in it"):
        train_language_model(**files, out=tmp_path / "model", config=small(level))
    files[name].write_bytes("größe".encode("latin-1"))
    with pytest.raises(FileFormatError, match=f"{message}: not UTF-8"):
        train_language_model(**files, out=tmp_path / "model", config=small(level))
    files[name].unlink()
    with pytest.raises(FileNotFoundError):
        train_language_model(**files, out=tmp_path / "model", config=small(level))
    assert not (tmp_path / "model").exists()


def test_a_text_shorter_than_the_batch(tmp_path: Path, files: dict[str, Any]) -> None:
    files["train"].write_text("a")
    with pytest.raises(ArgumentError, match=r"train\.txt: a text of 1 tokens can't be read as 4 rows; use fewer rows"):
        train_language_model(**files, out=tmp_path / "model", config=small())
    files["train"].write_text("abab")  # one token per row, and a dev text with fewer tokens than rows
    files["dev"].write_text("é")
    result = train_language_model(**files, out=tmp_path / "model", config=small(epochs=1))
    assert (result.dev.tokens, result.dev.unknown) == (1, 1)


def test_other_scripts_and_emoji(tmp_path: Path, files: dict[str, Any]) -> None:
    text = "Привет, мир! 你好世界 👩‍👩‍👧 مرحبا\n" * 20
    for path in files.values():
        path.write_text(text, encoding="utf-8")
    train_language_model(**files, out=tmp_path / "model", config=small())
    model = load_language_model(tmp_path / "model")
    assert set(text) == set(model.tokens.tokens[1:])
    assert len("".join(model.generate("你", 20))) == 20


def test_cutoffs_beyond_the_vocabulary_are_left_out(tmp_path: Path, files: dict[str, Any]) -> None:
    train_language_model(**files, out=tmp_path / "model", config=small("word", cutoffs=(5, 2000)))
    assert load_language_model(tmp_path / "model").config.cutoffs == (5,)


def test_said() -> None:
    from hiddenstate.models.language.scoring import Tally

    assert describe_tally(Tally(10, 20.0, 0, 0.0, 10), "char") == "2.0000 nats, 2.8854 bits a character"
    assert describe_tally(Tally(9, 9.0, 3, 4.0, 9), "char") == "1.0000 nats, 1.4427 bits a character, 33.33 % unknown"
    assert describe_tally(Tally(10, 10 * math.log(8), 1, 0.0), "word") == "perplexity 8.00, 10.0 % unknown"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_example_configs_can_be_read(path: Path) -> None:
    level = "word" if "wikitext" in path.stem else "char"
    wanted = read_run_file(path, RUN_FILES[level])
    assert wanted.settings.level == level
    assert wanted.settings != (WORDS if level == "word" else CHARACTERS), "else there is no need for it"


def test_there_are_example_configs() -> None:
    assert len(CONFIGS) == 3


@pytest.mark.parametrize(
    "settings", [{"vocabulary_size": 1}, {"level": "word", "minimum": 10**6}, {"minimum": 10**6}], ids=str
)
def test_a_vocabulary_of_nothing_but_unknown_fails(
    tmp_path: Path, files: dict[str, Any], settings: dict[str, Any]
) -> None:
    with pytest.raises(ArgumentError, match=r"train\.txt: all (characters|words) would be <unk>; lower minimum"):
        train_language_model(files["train"], files["dev"], tmp_path / "model", small(**settings))
