"""Replaces torch's recurrent layers by ours before anything else is imported; a pytest plugin, which reports what ran.

Environment variables configure it: HIDDENSTATE_WAY selects one of `WAYS`, HIDDENSTATE_REPORT is the report's file, and
HIDDENSTATE_RECIPE a script that registers our classes with a library, if it needs one.
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
_NAMES = "LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"


def accelerate() -> Callable[[], dict[str, Any]]:
    """Switch on the engine beneath torch's classes; the return value counts the runs of each path."""
    acceleration = hs.accelerate()

    def report() -> dict[str, Any]:
        found = acceleration.report()
        return {"served": found.served, "left": found.left | found.reference}

    return report


def convert() -> Callable[[], dict[str, Any]]:
    """Convert each layer and cell of torch as soon as it is made; subclasses are not converted."""
    made = {"converted": 0, "kept": 0}
    for name in _NAMES:
        _convert_when_made(getattr(nn, name), made)
    return lambda: made


def _convert_when_made(kind: type[nn.Module], made: dict[str, int]) -> None:
    begin: Callable[..., None] = kind.__init__

    @functools.wraps(begin)
    def begin_and_convert(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        # A conversion also makes temporary torch modules, and scripting makes one to compile.
        made_by_us = sys._getframe(1).f_globals.get("__name__", "").startswith("hiddenstate.")
        if type(self) is not kind or made_by_us:
            return
        hs.convert(self, inplace=True)
        made["kept" if type(self) is kind else "converted"] += 1

    kind.__init__ = begin_and_convert  # type: ignore[method-assign]


def swap() -> Callable[[], dict[str, Any]]:
    """Put our classes in place of torch's, where they are imported from."""
    for place in _PLACES:
        for name in _NAMES:
            setattr(place, name, getattr(hs, name))
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
