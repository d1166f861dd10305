import json
import math
from pathlib import Path
from typing import Any

import pytest

from hiddenstate.errors import FileFormatError
from hiddenstate.training.checkpoint import METRICS, RunFolder
from hiddenstate.training.plot import plot_run, read_metrics

STEPS = [{"step": 2, "batch_loss": 3.0}, {"step": 4, "batch_loss": 2.0}]
EPOCHS = [
    {"step": 5, "epoch": 1, "loss": 2.5, "value": 0.5, "is_best": True},
    {"step": 10, "epoch": 2, "loss": 1.5, "value": 0.7, "is_best": True},
    {"step": 15, "epoch": 3, "loss": 1.0, "value": 0.6, "is_best": False},
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = RunFolder(tmp_path)
    for step in STEPS:
        folder.log("step", step)
    for epoch in EPOCHS:
        folder.log("epoch", epoch)
    return tmp_path


def points(line: Any) -> list[tuple[float, float]]:
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def test_what_is_drawn(run: Path) -> None:
    above, below = plot_run(run, "accuracy").axes
    assert [points(line) for line in above.lines] == [[(2, 3.0), (4, 2.0)], [(5, 2.5), (10, 1.5), (15, 1.0)]]
    assert [points(line) for line in below.lines] == [[(5, 0.5), (10, 0.7), (15, 0.6)], [(10, 0.7)]]
    assert below.texts[0].get_text() == "epoch 2"
    assert below.get_ylabel() == "accuracy"


def test_numbers_that_are_not_finite_are_null_and_leave_gaps(run: Path) -> None:
    folder = RunFolder(run)
    folder.log("step", {"step": 18, "batch_loss": math.inf, "details": {"unknown": math.nan, "known": 0.5}})
    folder.log("epoch", {"step": 20, "epoch": 4, "loss": math.nan, "value": -math.inf, "is_best": True})

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    for line in (run / METRICS).read_text().splitlines():
        json.loads(line, parse_constant=refuse)
    step, epoch = read_metrics(run)[-2:]
    assert step == {"event": "step", "step": 18, "batch_loss": None, "details": {"unknown": None, "known": 0.5}}
    assert (epoch["loss"], epoch["value"]) == (None, None)
    above, below = plot_run(run).axes
    assert [math.isnan(points(line)[-1][1]) for line in (*above.lines, below.lines[0])] == [True] * 3
    assert not below.texts, "the best epoch has no score"


def test_half_a_line_at_the_end_is_left_out(run: Path) -> None:
    with (run / METRICS).open("a") as file:
        file.write('{"event": "st')
    assert len(read_metrics(run)) == 5


def test_plot_fails(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"metrics\.jsonl is missing"):
        plot_run(tmp_path)
    (tmp_path / METRICS).write_text("")
    with pytest.raises(FileFormatError, match="no epoch has been trained yet"):
        plot_run(tmp_path)
    (tmp_path / METRICS).write_text("nonsense\n")
    with pytest.raises(FileFormatError, match=r"metrics\.jsonl is damaged"):
        plot_run(tmp_path)
