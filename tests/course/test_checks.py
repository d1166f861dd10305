"""`hiddenstate.course`: messages of checks, the data, the copies. Exercises are tested when their page runs."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

import hiddenstate as hs
from hiddenstate import errors
from hiddenstate.cli import app
from hiddenstate.course import check, data
from hiddenstate.course.checks import EXERCISES
from hiddenstate.course.exercises.answers import difference
from hiddenstate.course.files import NOTEBOOKS, copy
from hiddenstate.doctor.misconceptions import MISCONCEPTIONS


def test_a_right_answer_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    check("10.1", lambda rows: torch.cat([rows.chunk(4)[k] for k in (0, 2, 3, 1)]))
    assert capsys.readouterr().out.startswith("Exercise 10.1: right. Of the 24 orders")


def cell_with_an_error(x: Tensor, h: Tensor, c: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
    x.zero_()
    return h + x @ weights[0], c


def test_an_error_in_the_learners_code_is_reported_with_its_line() -> None:
    line = cell_with_an_error.__code__.co_firstlineno + 2
    with pytest.raises(
        errors.AnswerError, match=f"raises RuntimeError in line {line}, `return h . x @ weights"
    ) as caught:
        check("1.1", cell_with_an_error)
    assert "mat1 and mat2 shapes cannot be multiplied" in str(caught.value)


@pytest.mark.filterwarnings("error")
def test_an_error_below_a_decorator_or_a_call_of_torch_has_the_learners_line() -> None:
    def skill(forecast: Tensor, series: Tensor) -> Tensor:
        return torch.stack([forecast, series[1:]])

    line = skill.__code__.co_firstlineno + 1
    with pytest.raises(errors.AnswerError, match=f"in line {line}, `return torch.stack"):
        check("6.3", torch.no_grad()(skill))


def test_arguments_that_an_answer_changes_are_copies(capsys: pytest.CaptureFixture[str]) -> None:
    def resets(done: Tensor) -> Tensor:
        done[1:] = done[:-1].clone()
        done[0] = False
        return done

    check("6.2", resets)
    assert capsys.readouterr().out.startswith("Exercise 6.2: right. ")


@pytest.mark.parametrize("exercise", sorted(EXERCISES))
def test_no_idea_is_read_into_an_answer_of_another_type(exercise: str) -> None:
    for answer in (None, 7, "text", torch.zeros(2), lambda *arguments: "text", lambda *arguments: torch.zeros(2, 2)):
        with pytest.raises(errors.AnswerError) as caught:
            check(exercise, answer)
        assert caught.value.misconception == "", str(caught.value)


@pytest.mark.parametrize(
    ("result", "right", "sentence"),
    [
        (0.5, 0.25, "It is 0.5000, but should be 0.2500, to within 1e-05."),
        (0.12345678, 0.12347678, "It is 0.12346, but should be 0.12348, to within 1e-05."),
        (
            torch.tensor([[1.0, 2.0]]),
            torch.tensor([[1.0, 2.5]]),
            "1 of 2 numbers differ by more than 1e-05, the first at [0, 1]: it is 2.0000, but should be 2.5000.",
        ),
    ],
)
def test_a_difference_is_described_with_its_precision(result: object, right: object, sentence: str) -> None:
    assert difference(result, right) == sentence


@pytest.mark.parametrize("exercise", sorted(EXERCISES))
@pytest.mark.parametrize(
    "answer", [None, ..., lambda *given: None, lambda *given: ...], ids=["None", "...", "gives None", "gives ..."]
)
def test_nothing_is_no_answer(exercise: str, answer: object) -> None:
    with pytest.raises(errors.AnswerError, match=f"Exercise {exercise}: "):
        check(exercise, answer)


@pytest.mark.parametrize("exercise", sorted(EXERCISES))
@pytest.mark.parametrize(
    "answer", [7, "text", torch.zeros(2), [1, 2], {"i": 1}], ids=["int", "str", "tensor", "list", "dict"]
)
def test_an_answer_of_another_type_is_refused_in_words(exercise: str, answer: object) -> None:
    with pytest.raises(errors.AnswerError, match=f"Exercise {exercise}: "):
        check(exercise, answer)


def test_a_wrong_answer_has_its_misconception() -> None:
    with pytest.raises(errors.AnswerError, match="The misconception behind it .M15.: The order") as caught:
        check("10.1", lambda rows: rows)
    assert caught.value.misconception == "M15"
    assert isinstance(caught.value, AssertionError)


def test_an_unknown_exercise_is_refused() -> None:
    with pytest.raises(errors.NameUnknownError, match="there is no exercise '9.9'; choose one of 1.1 1.2 "):
        check("9.9", 1)


def test_a_check_leaves_the_random_numbers_as_they_were() -> None:
    before = torch.get_rng_state()
    with pytest.raises(errors.AnswerError):
        check("1.2", lambda lstm, inputs, state: torch.zeros(5, 1, 3))
    assert torch.equal(before, torch.get_rng_state())


def test_there_are_35_misconceptions_in_order() -> None:
    assert list(MISCONCEPTIONS) == [f"M{k}" for k in range(1, 36)]


def test_data_that_is_not_there_is_refused() -> None:
    with pytest.raises(hs.HiddenStateError, match="the course has no data 'nothing.txt'"):
        data("nothing.txt")


def test_the_command_copies_the_notebooks_once(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["course", str(tmp_path / "new" / "course")], catch_exceptions=False)
    assert result.exit_code == 0
    copied = sorted((tmp_path / "new" / "course").glob("*.ipynb"))
    assert [path.name for path in copied] == sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
    assert len(copied) >= 4
    copied[1].write_text("my answers")
    copied[0].unlink()
    with pytest.raises(errors.ArgumentError, match="already exists, perhaps with your answers"):
        copy(tmp_path / "new" / "course")
    assert copied[1].read_text() == "my answers"
    assert not copied[0].exists()


def test_nothing_is_copied_through_a_link_that_leads_out_of_the_folder(tmp_path: Path) -> None:
    folder, outside = tmp_path / "course", tmp_path / "outside"
    folder.mkdir()
    name = next(NOTEBOOKS.glob("*.ipynb")).name
    (folder / name).symlink_to(outside)
    with pytest.raises(errors.ArgumentError, match="already exists"):
        copy(folder)
    assert not outside.exists()
    (folder / name).unlink()
    outside.mkdir()
    (folder / "data").symlink_to(outside)
    with pytest.raises(errors.FileWriteError, match="it is a link to .*outside"):
        copy(folder)
    assert list(outside.iterdir()) == []
    assert [path.name for path in folder.iterdir()] == ["data"]
