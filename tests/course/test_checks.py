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
from hiddenstate.course.files import NOTEBOOKS, copy
from hiddenstate.course.misconceptions import MISCONCEPTIONS


def test_a_right_answer_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    check("2.3", lambda rows: torch.cat([rows.chunk(4)[k] for k in (0, 2, 3, 1)]))
    assert capsys.readouterr().out.startswith("Exercise 2.3: right. Of the 24 orders")


def by_stream(lstm: hs.LSTM, inputs: list[Tensor], state: tuple[Tensor, Tensor]) -> Tensor:
    stream = lstm.stream()
    stream.state = state
    return torch.stack([stream.step(element) for element in inputs])


def all_at_once(lstm: hs.LSTM, inputs: list[Tensor], state: tuple[Tensor, Tensor]) -> Tensor:
    out, _ = lstm(torch.stack(inputs), hx=state)
    assert isinstance(out, Tensor)
    return out


def by_the_functional(x: Tensor, h: Tensor, c: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
    return torch.lstm_cell(x, (h, c), *weights)


def by_index(rows: Tensor) -> Tensor:
    H = len(rows) // 4
    return rows[torch.cat([torch.arange(k * H, (k + 1) * H) for k in (0, 2, 3, 1)])]


def half_and_half(lstm: hs.LSTM) -> None:
    H = lstm.hidden_size
    for name, bias in lstm.named_parameters():
        if name.startswith("bias"):
            bias.data[H : 2 * H] = 0.5


FORGETFUL_LATCH = {"i": (30, -12), "f": (-20, 8), "g": (-5, 0.1), "o": (0, 20)}
OTHER_RIGHT_ANSWERS = [
    ("1.2", by_stream),
    ("1.2", all_at_once),
    ("2.2", by_the_functional),
    ("2.3", by_index),
    ("2.4", half_and_half),
    ("2.5", FORGETFUL_LATCH | {"g": (5, 0.1)}),
]


@pytest.mark.parametrize(("exercise", "answer"), OTHER_RIGHT_ANSWERS)
def test_a_right_answer_that_is_not_the_solution_is_right(
    exercise: str, answer: object, capsys: pytest.CaptureFixture[str]
) -> None:
    check(exercise, answer)
    assert capsys.readouterr().out.startswith(f"Exercise {exercise}: right. ")


def test_a_latch_of_the_opposite_sign_is_refused() -> None:
    with pytest.raises(errors.AnswerError, match="the opposite sign"):
        check("2.5", FORGETFUL_LATCH)


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
    with pytest.raises(errors.AnswerError, match="The idea behind it .M15., which is wrong: The order") as caught:
        check("2.3", lambda rows: rows)
    assert caught.value.misconception == "M15"
    assert isinstance(caught.value, AssertionError)


def test_an_unknown_exercise_is_refused() -> None:
    with pytest.raises(errors.NameUnknownError, match="there is no exercise '9.9'; choose one of 1.2 "):
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
