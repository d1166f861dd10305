from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models.model_folder import CARD, load_tagger, save
from hiddenstate.models.tagger.syllabus import started
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.models.tagger.training import Epoch, Step, resume_tagger, train_tagger
from hiddenstate.text.conllu import read_conllu
from models.tagger.test_training import CONFIG, DEV, SHORT, TRAIN


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("before") / "before"
    train_tagger(TRAIN, DEV, place, replace(CONFIG, weights_dtype="int8"))
    return place


def test_it_begins_with_weights_and_words_but_with_its_own_settings(before: Path) -> None:
    old, new = load_tagger(before), started(before, replace(CONFIG, dropout=0.7), read_conllu(DEV))
    assert new.encoder == old.encoder
    assert new.config.dropout == 0.7
    assert new.temperatures == {"upos": 1.0} != old.temperatures
    for name, weight in old.state_dict().items():
        assert torch.equal(new.state_dict()[name], weight)


def test_so_little_is_left_to_learn(tmp_path: Path, before: Path) -> None:
    one_epoch = replace(CONFIG, epochs=1, learning_rate=0.003)
    alone = train_tagger(TRAIN, DEV, tmp_path / "alone", one_epoch)
    further = train_tagger(TRAIN, DEV, tmp_path / "further", one_epoch, start=before)
    assert further.history[0].last.loss < alone.history[0].last.loss / 3
    assert further.dev["upos"].accuracy.share > alone.dev["upos"].accuracy.share + 0.3
    card = (tmp_path / "further" / CARD).read_text(encoding="utf-8")
    assert "Trained on `tiny-train.conllu`, starting from the weights of `before`; best epoch" in card
    assert "beginning" not in (tmp_path / "alone" / CARD).read_text(encoding="utf-8")


def test_such_a_run_is_resumed_to_the_very_same_model_and_with_no_other_start(tmp_path: Path, before: Path) -> None:
    config = replace(SHORT, checkpoint_steps=1)

    def interrupt(progress: Step | Epoch) -> None:
        if isinstance(progress, Step) and progress.epoch == 2:
            raise KeyboardInterrupt

    start = tmp_path / "start"
    save(load_tagger(before), start)
    train_tagger(TRAIN, DEV, tmp_path / "whole", config, start=start)
    with pytest.raises(KeyboardInterrupt):
        train_tagger(TRAIN, DEV, tmp_path / "broken", config, start=start, on_progress=interrupt)
    other = load_tagger(before)
    torch.nn.init.zeros_(other.head.weight)
    save(other, start)
    with pytest.raises(ArgumentError, match="the data of the run in .* has changed since"):
        resume_tagger(tmp_path / "broken.run")
    save(load_tagger(before), start)
    resume_tagger(tmp_path / "broken.run")
    first, second = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "broken"))
    assert first == second


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hidden_size": 17}, r"which has hidden_size=16, got 17; set hidden_size=16"),
        ({"columns": ("xpos",)}, r"which has columns=upos, got xpos"),
        ({"crf": True}, r"which has crf=false, got true"),
        ({"max_chars": 4}, r"max_chars=30, got 4"),
    ],
)
def test_other_sizes_are_refused(tmp_path: Path, before: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        train_tagger(TRAIN, DEV, tmp_path / "model", replace(CONFIG, **changed), start=before)
    assert not (tmp_path / "model").exists()


def test_other_tags_are_refused(tmp_path: Path, before: Path) -> None:
    lacking = load_tagger(before)
    tags = {"upos": [tag for tag in lacking.tag_names if tag != "NOUN"]}
    save(Tagger(lacking.config, lacking.encoder.words, lacking.encoder.chars, tags), tmp_path / "lacking")
    with pytest.raises(ArgumentError, match="lacks the tag 'NOUN' of column upos in the training data"):
        started(tmp_path / "lacking", CONFIG, read_conllu(TRAIN))
    with pytest.raises(FileFormatError, match="no model at"):
        started(tmp_path / "none", CONFIG, read_conllu(TRAIN))


def test_a_model_that_comes_with_the_package_is_named_and_one_that_is_not_there_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="training starts from .*tagger-en, which has"):
        train_tagger(TRAIN, DEV, tmp_path / "model", CONFIG, start="tagger-en")
    with pytest.raises(FileFormatError, match="no model at .*none"):
        train_tagger(TRAIN, DEV, tmp_path / "model", CONFIG, start=tmp_path / "none")
    with pytest.raises(FileFormatError, match="no model at .*none"):
        train_tagger(TRAIN, DEV, tmp_path / "model", CONFIG, teachers=[tmp_path / "none"])
