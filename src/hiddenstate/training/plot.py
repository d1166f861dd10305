"""The plot of a run: losses of batches and epochs, and the dev score, over the steps."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiddenstate.base.figures import Picture
from hiddenstate.base.reading import reading
from hiddenstate.errors import FileFormatError
from hiddenstate.training.checkpoint import METRICS

if TYPE_CHECKING:
    import os

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOSS, _SCORE, _FAINT = "#0072b2", "#009e73", "#9ccbe6"


def plot_run(run: str | os.PathLike[str], score: str = "dev score") -> Figure:
    """Plot a run, finished or not, from the metrics in its folder.

    Args:
        run: the run's folder.
        score: the name of its dev score.

    Raises:
        FileFormatError: there are no metrics, or none of a complete epoch yet.
        MissingDependencyError: matplotlib is not installed.
    """
    events = read_metrics(run)
    with reading(Path(run) / METRICS):
        epochs = [event for event in events if event["event"] == "epoch"]
        if not epochs:
            raise FileFormatError(f"{run}: no epoch has been trained yet, so there is nothing to draw")
        figure = Picture(figsize=(7, 5), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        _draw_losses(above, [event for event in events if event["event"] == "step"], epochs)
        _draw_scores(below, epochs, score)
        return figure


def read_metrics(run: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Read the lines of ``metrics.jsonl``, without an incomplete last one; None stands for infinite numbers."""
    path = Path(run) / METRICS
    if not path.is_file():
        raise FileFormatError(f"no run at {run}: {METRICS} is missing; give the folder of a run")
    with reading(path):
        *lines, _ = path.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines]


def _draw_losses(axes: Axes, steps: list[dict[str, Any]], epochs: list[dict[str, Any]]) -> None:
    axes.plot(_numbers(steps, "step"), _numbers(steps, "batch_loss"), ".", color=_FAINT, label="a batch")
    axes.plot(_numbers(epochs, "step"), _numbers(epochs, "loss"), "o-", color=_LOSS, label="an epoch's mean")
    axes.set_ylabel("training loss")
    axes.legend()


def _draw_scores(axes: Axes, epochs: list[dict[str, Any]], score: str) -> None:
    axes.plot(_numbers(epochs, "step"), _numbers(epochs, "value"), "o-", color=_SCORE)
    best = [epoch for epoch in epochs if epoch["is_best"]][-1]
    if best["value"] is not None:
        place = best["step"], best["value"]
        axes.plot(*([number] for number in place), "o", color=_SCORE, markersize=12, fillstyle="none")
        axes.annotate(f"epoch {best['epoch']}", place, xytext=(8, -14), textcoords="offset points")
    axes.set_ylabel(score)
    axes.set_xlabel("step")


def _numbers(events: list[dict[str, Any]], name: str) -> list[float]:
    """Return a number of each event; NaN, which leaves a gap, for those that were not finite."""
    return [math.nan if event[name] is None else event[name] for event in events]
