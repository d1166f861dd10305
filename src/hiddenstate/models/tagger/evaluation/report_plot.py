"""Plots a report: confusions between tags, and calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hiddenstate.base.figures import Picture, shortened
from hiddenstate.models.tagger.evaluation.calibration import BINS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hiddenstate.models.tagger.evaluation.accuracy import Report, Reports
    from hiddenstate.models.tagger.evaluation.calibration import Calibration

MOST_TAGS = 24
_CALIBRATED, _RAW = "#0072b2", "#d55e00"


def plot_reports(reports: Reports) -> Figure:
    """Draw a row for each tag column: confusions of its most frequent tags, and confidence against accuracy."""
    figure = Picture(figsize=(12, 5.5 * len(reports)), layout="constrained")
    rows = figure.subplots(len(reports), 2, squeeze=False, width_ratios=(3, 2))
    for (column, report), (left, right) in zip(reports.items(), rows, strict=True):
        _draw_confusions(left, column, report)
        _draw_confidence(right, column, report)
    return figure


def _draw_confusions(axes: Axes, column: str, report: Report) -> None:
    """Draw, in each row, the tags assigned to words with one tag, as shares of the row; correct ones are white."""
    names = [tag.tag for tag in report.by_tag if tag.wanted][:MOST_TAGS]
    wanted = {tag.tag: tag.wanted for tag in report.by_tag}
    shares = np.array([[report.confusions.get((a, b), 0) / wanted[a] for b in names] for a in names])
    np.fill_diagonal(shares, np.nan)
    image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=max(1.0, 100 * float(np.nanmax([0, *shares.flat]))))
    axes.figure.colorbar(image, ax=axes, label="% of the row's words", shrink=0.8)
    labels = [shortened(name) for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=90)
    axes.set_yticks(range(len(names)), labels)
    axes.set_xlabel("given")
    axes.set_ylabel("wanted")
    axes.set_title(f"{column.upper()}: words that are given another tag")


def _draw_confidence(axes: Axes, column: str, report: Report) -> None:
    axes.plot((0, 1), (0, 1), color="grey", linewidth=1, label="right as often as it says")
    for calibration, color, name in (
        (report.uncalibrated, _RAW, "without temperature"),
        (report.calibration, _CALIBRATED, "with"),
    ):
        _draw_bins(axes, calibration, color, f"{name}, error {100 * calibration.error:.2f} %")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("confidence")
    axes.set_ylabel("share correct")
    axes.set_title(f"{column.upper()}: confidence in {BINS} parts")
    axes.legend(loc="lower right")


def _draw_bins(axes: Axes, calibration: Calibration, color: str, label: str) -> None:
    bins = [each for each in calibration.bins if each.count]
    words = sum(each.count for each in bins)
    sizes = [8 + 200 * each.count / words for each in bins]
    confidence, correct = [each.confidence for each in bins], [each.correct for each in bins]
    axes.plot(confidence, correct, color=color, label=label)
    axes.scatter(confidence, correct, sizes, color=color, alpha=0.6, clip_on=False)
