"""Bundles of series models, with a series to read."""

from typing import Any

import torch
from torch import Tensor

from hiddenstate.base.indexing import resolve_one
from hiddenstate.errors import ArgumentError
from hiddenstate.models.series.frames import SeriesInput
from hiddenstate.models.series.series_model import SeriesModel
from hiddenstate.studio.bundles.bundle import Bundle, InputSteps, saved
from hiddenstate.studio.bundles.modules import MOST_NUMBERS


def bundle_series(model: SeriesModel, frame: Any = None, name: str = "", row: int = 0) -> Bundle:
    """Bundle a model of the simple shape, with one row of a frame, or of what `SeriesModel.prepare` returned."""
    if model.network is None:
        raise ArgumentError(
            f"the page can't compute this {type(model.module).__name__}: it is {model.understood}. Show what it "
            "recorded, with hs.studio(model.read(frame).trace)"
        )
    stored = model._to_stored()
    config, columns = stored.to_data()
    tensors, reading = dict(stored.state_dict()), None
    if frame is not None:
        series = frame if isinstance(frame, SeriesInput) else model.prepare(frame)
        row = resolve_one(row, len(series.rows), "row")
        if series.x[:, row].numel() > MOST_NUMBERS:
            raise ArgumentError(
                f"the series has {series.x[:, row].numel():,} numbers, more than the {MOST_NUMBERS:,} that a page can "
                "show; give fewer steps"
            )
        tensors |= {f"given.{part}": value for part, value in _given(model, series, row).items()}
        reading = InputSteps(len(series.x), series.step_names())
    cell = stored.shape.sizes.kind
    return Bundle(stored.kind, name or "series", config, saved(tensors), columns, given=reading, cell=cell)


def _given(model: SeriesModel, series: SeriesInput, row: int) -> dict[str, Tensor]:
    """Return what the model reads and, in the model's own form, the truth and, for windows, its forecasts (slow)."""
    tensors = {"input": series.x[:, row]}
    if series.truth is not None:
        tensors["truth"] = model.target_scale.scaled(series.truth[:, row]).float()
    if model.window is not None:
        reading = model.read_input(series)
        scaled = model.target_scale.scaled(reading.values[:, :, row].double()).flatten(1)
        whole = torch.full((len(series.x), scaled.shape[1]), torch.nan)
        whole[list(reading.origins)] = scaled.float()
        tensors["forecast"] = whole
    return tensors
