import importlib
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentTypeError, MessageError
from hiddenstate.studio import server
from hiddenstate.studio.live import LiveStream
from hiddenstate.studio.messages import Subscriber, ViewMessage


def test_the_function_has_the_packages_name_and_the_package_can_still_be_imported() -> None:
    assert callable(hs.studio)
    assert importlib.import_module("hiddenstate.studio.server") is server
    assert hs.studio is importlib.import_module("hiddenstate").studio


def test_several_models() -> None:
    opened = hs.studio({"before": hs.LSTM(4, 3)}, nn.LSTM(4, 3), text="a b", view={"unit": 2})
    assert list(opened.bundles) == ["before", "lstm-4-3"]
    assert opened.view == {"text": "a b", "unit": 2}
    assert opened.live == "view"
    assert repr(opened).startswith("Studio(before (layer), LSTM(4, 3) (layer)): ")


def test_the_shipped_tagger() -> None:
    assert list(hs.studio().bundles) == ["tagger-en"]


def test_a_stream() -> None:
    stream = hs.LSTM(4, 3).stream()
    opened = hs.studio(stream)
    assert opened.live == "stream"
    assert opened.stream is not None
    assert opened.stream.stream is stream
    assert opened.audience is opened.stream.audience
    again = LiveStream(stream)
    assert hs.studio(again).stream is again
    assert hs.studio(hs.LSTM(4, 3), stream).stream is None  # the first model is the one that is run


def test_show_and_hear() -> None:
    opened, looker = hs.studio(hs.LSTM(4, 3)), Subscriber(lambda: None)
    opened.audience.join(looker)
    opened.show(step=2, quantity="f")
    (message,) = looker.take()
    assert isinstance(message, ViewMessage)
    assert message.view == {"step": 2, "quantity": "f"}
    opened.hear(ViewMessage({"step": 3}))
    assert opened.view == {"step": 3, "quantity": "f"}
    assert looker.take() == []  # the page knows what it sent


def test_numbers_of_numpys_are_shown_as_ints() -> None:
    one: Any = np.int64(1)
    opened = hs.studio(hs.LSTM(4, 3), x=torch.zeros(2, 3, 4), row=one, view={"unit": one})
    opened.show(step=np.int32(2), pinned=np.arange(2))
    assert json.loads(json.dumps(opened.view)) == {"unit": 1, "step": 2, "pinned": [0, 1]}
    watched = hs.studio(hs.LSTM(4, 3).stream(batch=2), row=one).stream
    assert watched is not None
    assert watched.row == 1


def test_fails() -> None:
    opened = hs.studio(hs.LSTM(4, 3))
    with pytest.raises(MessageError, match="the view has no 'steps'"):
        opened.show(steps=2)
    with pytest.raises(MessageError):
        hs.studio(hs.LSTM(4, 3), view={"unit": "x"})
    with pytest.raises(MessageError, match="a view must be an object that maps names to values, got list"):
        hs.studio(hs.LSTM(4, 3), view=["unit"])  # type: ignore[arg-type]
    with pytest.raises(MessageError, match=r"text of the view must be a text of at most 20000 .* \(30000 characters\)"):
        hs.studio(text="x" * 30_000)
    with pytest.raises(ArgumentTypeError):
        hs.studio(None)
    for wrong in (True, 1.5, "1"):
        with pytest.raises(ArgumentTypeError, match="row must be one int"):
            hs.studio(hs.LSTM(4, 3).stream(), row=wrong)  # type: ignore[arg-type]
    assert opened.view == {}


def test_save(tmp_path: Path) -> None:
    opened = hs.studio(hs.LSTM(4, 3), x=torch.zeros(2, 4))
    opened.save(tmp_path / "view.html")
    assert (tmp_path / "view.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_it_can_be_copied_before_it_is_shown() -> None:
    opened = hs.studio(hs.LSTM(4, 3), view={"unit": 2})
    copied = pickle.loads(pickle.dumps(opened))
    assert (repr(copied), copied.view) == (repr(opened), {"unit": 2})


def test_the_tokenisers_pattern_is_made_only_once_it_is_needed() -> None:
    code = "import sys, hiddenstate; assert not [name for name in sys.modules if name.startswith('hiddenstate.text')]"
    subprocess.run([sys.executable, "-c", code], check=True)
