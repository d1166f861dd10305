from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import pytest
import torch

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models.model_folder import CARD, load_tagger, save
from hiddenstate.models.tagger.accuracy import distinct_words, evaluate
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.syllabus import make_variants, taught_by
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.models.tagger.training import TAGGER_RUN, Epoch, Step, TaggerTask, resume_tagger, train_tagger
from hiddenstate.text.batches import IGNORED_TAG
from hiddenstate.text.conllu import read_conllu
from hiddenstate.text.vocabulary import Vocabulary
from hiddenstate.training.settings import RunFile
from language_models import make as make_language_model
from models.tagger.test_training import CONFIG, DEV, SHORT, TRAIN

WORDS = ["the", "cat", "sat", "tac"]
SENTENCES = [["the", "cat"], [], ["sat", "the", "tac", "Cat"]]


def make(seed: int, **tags: list[str]) -> Tagger:
    torch.manual_seed(seed)
    config = TaggerConfig(word_size=3, char_size=2, char_hidden_size=2, hidden_size=4, weights_dtype="float32")
    config = replace(config, columns=tuple(tags))
    tagger = Tagger(config, Vocabulary.build(WORDS), Vocabulary.build("thecasé"), tags)
    with torch.no_grad():
        for parameter in tagger.parameters():
            parameter.mul_(5)
    return tagger.eval()


def test_the_mean_of_probabilities_in_the_students_order(tmp_path: Path) -> None:
    one, other = make(1, upos=["A", "B", "C"], xpos=["x", "y"]), make(2, upos=["C", "A", "B"])
    other.calibrate({"upos": 2.5})
    for name, tagger in (("one", one), ("other", other)):
        save(tagger, tmp_path / name)
    found = taught_by([tmp_path / "one", tmp_path / "other"], SENTENCES, {"upos": ["B", "C", "A"]})
    shares = [
        {tag: float(row[names.index(tag)]) for tag in "ABC"}
        for tagger, names in ((one, "ABC"), (other, "CAB"))
        for tagging in tagger.tag(SENTENCES)
        for row in tagging.probabilities
    ]
    expected = [[(shares[k][tag] + shares[k + 6][tag]) / 2 for tag in "BCA"] for k in range(6)]
    assert found.keys() == {"upos"}
    torch.testing.assert_close(found["upos"], torch.tensor(expected).half(), rtol=1e-3, atol=1e-6)


def test_many_sentences_are_taught_in_their_order(tmp_path: Path) -> None:
    save(make(1, upos=["A", "B"]), tmp_path / "one")
    many = [[WORDS[k % 4]] * (k % 3) for k in range(2500)]
    found = taught_by([tmp_path / "one"], many, {"upos": ["A", "B"]})["upos"]
    expected = torch.cat([tagging.probabilities for tagging in load_tagger(tmp_path / "one").tag(many)])
    torch.testing.assert_close(found.float(), expected, rtol=1e-3, atol=1e-4)


def test_a_teacher_with_character_models_teaches_a_student_without(tmp_path: Path) -> None:
    for name, backward in (("ahead", False), ("back", True)):
        save(make_language_model(backward=backward), tmp_path / name)
    context = (tmp_path / "ahead", tmp_path / "back")
    with_context, without, student = (tmp_path / name for name in ("with", "without", "student"))
    train_tagger(TRAIN, DEV, with_context, replace(SHORT, columns=("upos", "xpos")), context=context)
    train_tagger(TRAIN, DEV, without, replace(SHORT, seed=2))
    sentences, names = [s.forms for s in read_conllu(DEV)], load_tagger(without).tag_names
    found = taught_by([with_context, without], sentences, {"upos": names})["upos"].float()
    shares = [
        torch.cat([t.probabilities for t in load_tagger(path).tag(sentences)]) for path in (with_context, without)
    ]
    assert not torch.allclose(shares[0], shares[1], atol=0.01)
    torch.testing.assert_close(found, (shares[0] + shares[1]) / 2, rtol=1e-3, atol=1e-3)
    train_tagger(TRAIN, DEV, student, SHORT, teachers=[with_context, without], untagged=[DEV])
    assert load_tagger(student).context is None


def test_other_teachers_are_refused(tmp_path: Path) -> None:
    save(make(1, upos=["A", "B"]), tmp_path / "one")
    for tags, message in (
        ({"xpos": ["A", "B"]}, "has no column xpos, only upos"),
        ({"upos": ["A", "B", "C"]}, "only the training data has 'C'"),
        ({"upos": ["A"]}, "only the teacher has 'B'"),
    ):
        with pytest.raises(ArgumentError, match=message):
            taught_by([tmp_path / "one"], SENTENCES, tags)
    with pytest.raises(FileFormatError, match="no model at"):
        taught_by([tmp_path / "none"], SENTENCES, {"upos": ["A"]})


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("teachers")
    for seed in (1, 2):
        train_tagger(TRAIN, DEV, place / f"t{seed}", replace(CONFIG, seed=seed, columns=("xpos", "upos")))
    return [place / "t1", place / "t2"]


def few_tags(path: Path) -> Path:
    """The training data with only a few of its tags."""
    blocks = TRAIN.read_text(encoding="utf-8").strip().split("\n\n")
    tagged = blocks[:12]
    seen = {line.split("\t")[3] for block in tagged for line in block.split("\n") if not line.startswith("#")}
    rest = [b for b in blocks[12:] if {line.split("\t")[3] for line in b.split("\n") if line[0] != "#"} - seen]
    path.write_text("\n\n".join(tagged + rest[:3]) + "\n", encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_student_of_untagged_text_is_better_than_one_of_few_tags(tmp_path: Path, teachers: list[Path]) -> None:
    few = few_tags(tmp_path / "few.conllu")
    plain = tmp_path / "plain.txt"
    plain.write_text("\n".join(" ".join(s.forms) for s in read_conllu(TRAIN)), encoding="utf-8")
    config = replace(CONFIG, weights_dtype="int8", epochs=12)
    alone = train_tagger(few, DEV, tmp_path / "alone", config)
    student = train_tagger(
        few, DEV, tmp_path / "student", replace(config, tagged_epochs=2), teachers=teachers, untagged=[TRAIN, plain]
    )
    assert student.dev["upos"].accuracy.share > alone.dev["upos"].accuracy.share + 0.02
    stored = load_tagger(tmp_path / "student")
    assert len(stored.encoder.words) > len(load_tagger(tmp_path / "alone").encoder.words)
    assert evaluate(stored, read_conllu(DEV), distinct_words(read_conllu(few))) == student.dev
    card = (tmp_path / "student" / CARD).read_text(encoding="utf-8")
    assert (
        "distilled from the mean probabilities of `t1`, `t2` on that data and on `tiny-train.conllu`, `plain.txt`"
        in card
    )
    assert "seen at least 2 times (5 with the untagged text)" in card
    assert str(tmp_path) not in card


@pytest.mark.slow
def test_a_taught_run_is_resumed_to_the_very_same_model(tmp_path: Path, teachers: list[Path]) -> None:
    config = replace(SHORT, epochs=3, tagged_epochs=1, untagged_words=100, checkpoint_steps=1)

    def interrupt(progress: Step | Epoch) -> None:
        if isinstance(progress, Step) and progress.epoch == 2 and progress.units > progress.units_total // 2:
            raise KeyboardInterrupt

    taught: dict[str, Any] = {"teachers": teachers[:1], "untagged": [DEV]}
    train_tagger(TRAIN, DEV, tmp_path / "whole", config, **taught)
    with pytest.raises(KeyboardInterrupt):
        train_tagger(TRAIN, DEV, tmp_path / "broken", config, **taught, on_progress=interrupt)
    resume_tagger(tmp_path / "broken.run")
    first, second = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "broken"))
    assert first == second


def test_other_teachers_or_texts_are_not_resumed_with(tmp_path: Path, teachers: list[Path]) -> None:
    def interrupt(progress: Step | Epoch) -> None:
        raise KeyboardInterrupt

    (tmp_path / "more.txt").write_text("A dog barks.")
    with pytest.raises(KeyboardInterrupt):
        train_tagger(
            TRAIN,
            DEV,
            tmp_path / "model",
            SHORT,
            teachers=teachers,
            untagged=[tmp_path / "more.txt"],
            on_progress=interrupt,
        )
    (tmp_path / "more.txt").write_text("A cat barks.")
    with pytest.raises(ArgumentError, match="the data of the run in .* has changed since"):
        resume_tagger(tmp_path / "model.run")


def test_settings_that_leave_teachers_nothing_are_refused(tmp_path: Path, teachers: list[Path]) -> None:
    cases: list[tuple[TaggerConfig, dict[str, Any], str]] = [
        (SHORT, {"untagged": [DEV]}, "untagged text needs a teacher to tag it"),
        (replace(SHORT, crf=True), {"teachers": teachers}, "a CRF can't learn from teachers"),
        (replace(SHORT, tagged_epochs=2), {"teachers": teachers}, "must be below epochs.*got 2 of 2"),
    ]
    for config, taught, message in cases:
        with pytest.raises(ArgumentError, match=message):
            train_tagger(TRAIN, DEV, tmp_path / "model", config, **taught)
    assert not (tmp_path / "model").exists()


def test_variants_have_the_tags_and_the_teachers_of_the_words_in_whose_place_they_are(teachers: list[Path]) -> None:
    config = replace(SHORT, varied=0.5, columns=("upos", "xpos"))
    files: dict[str, str | PathLike[str] | None] = {**TAGGER_RUN.files, "train": TRAIN, "dev": DEV}
    task = TaggerTask(RunFile.of("tagger", config, files, {}, {"teacher": teachers, "untagged": [DEV]}))
    forms = [sentence.forms for path in (TRAIN, DEV) for sentence in read_conllu(path)]
    variants = make_variants(forms, config.seed)
    assert len(task.taught.lengths) == 2 * len(forms)
    for k, variant in enumerate(variants):
        one, other = task.taught.batch([k]), task.taught.batch([len(forms) + k])
        place = slice(variant.start, variant.start + len(variant.words))
        assert one.tags is not None
        assert one.taught is not None
        assert other.tags is not None
        assert other.taught is not None
        for column in config.columns:
            assert torch.equal(other.tags[column], one.tags[column][place])
            assert torch.equal(other.taught[column], one.taught[column][place])
            assert bool((other.tags[column] == IGNORED_TAG).all()) == (k >= len(read_conllu(TRAIN)))
        assert torch.equal(other.words, task.model.encoder.batch([variant.words]).words)
