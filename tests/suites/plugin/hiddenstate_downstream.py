"""Puts ours in the place of torch's LSTMs, before anything else is imported; as a plugin of pytest, reports what ran.

Variables of the environment say what to do: HIDDENSTATE_WAY which of `WAYS`, HIDDENSTATE_REPORT where the report goes,
HIDDENSTATE_RECIPE which script tells a library of ours, if it has to be told.
"""

import functools
import json
import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import hiddenstate as hs

_PLACES = (torch.nn, torch.nn.modules, torch.nn.modules.rnn)
_TORCHS: tuple[type[nn.Module], ...] = nn.LSTM, nn.LSTMCell


def accelerate() -> Callable[[], dict[str, Any]]:
    """Switch the engine on beneath torch's classes; how often which path ran is told by what is returned."""
    acceleration = hs.accelerate()

    def report() -> dict[str, Any]:
        found = acceleration.report()
        return {"served": found.served, "left": found.left}

    return report


def convert() -> Callable[[], dict[str, Any]]:
    """Convert each LSTM and cell of torch's as soon as it is made; subclasses stay as they are."""
    made = {"converted": 0, "kept": 0}
    for kind in _TORCHS:
        _convert_when_made(kind, made)
    return lambda: made


def _convert_when_made(kind: type[nn.Module], made: dict[str, int]) -> None:
    begin: Callable[..., None] = kind.__init__

    @functools.wraps(begin)
    def begin_and_convert(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        # A conversion makes modules of torch's too, to look at, and scripting makes one to be compiled.
        made_by_us = sys._getframe(1).f_globals.get("__name__", "").startswith("hiddenstate.")
        if type(self) is not kind or made_by_us:
            return
        hs.convert(self, inplace=True)
        made["kept" if type(self) is kind else "converted"] += 1

    kind.__init__ = begin_and_convert  # type: ignore[method-assign]


def swap() -> Callable[[], dict[str, Any]]:
    """Put our classes where torch's are imported from."""
    for place in _PLACES:
        for name, ours in (("LSTM", hs.LSTM), ("LSTMCell", hs.LSTMCell)):
            setattr(place, name, ours)
    return dict


WAYS: dict[str, Callable[[], Callable[[], dict[str, Any]]]] = {
    "as it is": lambda: dict,
    "accelerate": accelerate,
    "convert": convert,
    "class": swap,
}

_report = WAYS[os.environ.get("HIDDENSTATE_WAY", "as it is")]()
if "HIDDENSTATE_RECIPE" in os.environ:
    runpy.run_path(os.environ["HIDDENSTATE_RECIPE"])["register"]()


def pytest_sessionfinish() -> None:
    """Write what ran."""
    path = os.environ.get("HIDDENSTATE_REPORT")
    if path:
        Path(path).write_text(json.dumps(_report()), encoding="utf-8")
