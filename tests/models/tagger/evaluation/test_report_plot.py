from typing import Any

import numpy as np

from hiddenstate.models.tagger.accuracy import MOST_TAGS, Accuracy, Bin, Calibration, Report, plot_reports

RAW = Calibration((Bin(0, 0.0, 0.0), Bin(3, 0.5, 0.25), Bin(1, 0.9, 1.0)))
FINE = Calibration((Bin(4, 0.75, 0.75),))
CONFUSIONS = {("A", "A"): 6, ("A", "B"): 2, ("B", "B"): 1, ("B", "A"): 1, ("C", "A"): 1}


def report(confusions: dict[tuple[str, str], int]) -> Report:
    return Report(Accuracy(11, 7, 0, 0), confusions, 0, FINE, RAW)


def test_what_is_drawn() -> None:
    confusions, confidence = plot_reports({"upos": report(CONFUSIONS)}).axes[:2]
    drawn: Any = confusions.images[0].get_array()
    nan = float("nan")
    np.testing.assert_allclose(drawn.filled(np.nan), [[nan, 25, 0], [50, nan, 0], [100, 0, nan]])
    assert [label.get_text() for label in confusions.get_yticklabels()] == ["A", "B", "C"]
    assert "UPOS" in confusions.get_title()
    lines: list[Any] = list(confidence.lines[1:])
    assert [line.get_xydata().tolist() for line in lines] == [[[0.5, 0.25], [0.9, 1.0]], [[0.75, 0.75]]]
    assert "error 21.25 %" in lines[0].get_label()


def test_a_row_for_each_column_and_no_more_tags_than_can_be_read() -> None:
    many = report({(f"T{k}", f"T{k}"): 1 for k in range(100)})
    axes = plot_reports({"upos": report(CONFUSIONS), "xpos": many}).axes
    titled = [ax for ax in axes if ax.get_title()]
    assert len(titled) == 4
    assert len(titled[2].get_yticklabels()) == MOST_TAGS


def test_nothing_is_confused() -> None:
    plot_reports({"upos": report({("A", "A"): 3})}).draw_without_rendering()
