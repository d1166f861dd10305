import importlib.util
import json
import sys
import time
from html import unescape
from typing import Any

import pytest
import torch

import hiddenstate as hs
from hiddenstate.errors import MessageError, MissingDependencyError
from hiddenstate.studio import view as notebook
from hiddenstate.studio.messages import KEPT
from hiddenstate.studio.view import Studio, framed, trace_html
from studio.test_html import EVIL, Elements

SECONDS = 10


def sent_by(widget: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """Record what a widget sends from now on, as if a notebook received it."""
    sent: list[tuple[Any, Any]] = []
    monkeypatch.setattr(type(widget), "send", lambda _, content, buffers=None: sent.append((content, buffers)))
    return sent


def wait_for(sent: list[Any], count: int) -> None:
    end = time.monotonic() + SECONDS
    while len(sent) < count:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_trace_shows_itself() -> None:
    trace = hs.LSTM(4, 3).trace(torch.randn(2, 4), tokens=[EVIL, "b"])
    shown = trace._repr_html_()
    assert shown is not None
    assert Elements(shown).tags == ["iframe"]
    page = unescape(shown.split('srcdoc="', 1)[1].rsplit('"', 1)[0])
    boot = json.loads(Elements(page).data["boot"])
    assert boot["models"] == [{"id": "trace", "name": "trace"}]
    assert 'sandbox="allow-scripts allow-downloads"' in shown
    assert "allow-same-origin" not in shown


def test_a_trace_that_can_not_be_shown_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    lstm = hs.LSTM(4, 3)
    assert lstm.trace(torch.randn(3, 4), steps=[1])._repr_html_() is None
    trace = lstm.trace(torch.randn(3, 4))
    monkeypatch.setattr(notebook, "MOST_TRACE_BYTES", trace.nbytes - 1)
    assert trace_html(trace) is None


def test_framed() -> None:
    page = f"<!doctype html>{EVIL}"
    found = framed(page)
    assert Elements(found).tags == ["iframe"]
    assert unescape(found.split('srcdoc="', 1)[1].rsplit('"', 1)[0]) == page
    assert found.endswith(">The studio is not shown here: run this cell, or trust this notebook.</iframe>")


def test_in_a_terminal_it_is_text() -> None:
    opened = hs.studio(hs.LSTM(4, 3))
    assert opened._repr_mimebundle_() == ({"text/plain": repr(opened)}, {})


def test_in_a_notebook_it_is_a_widget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "_in_kernel", lambda: True)
    opened = hs.studio(hs.LSTM(4, 3))
    data, _ = opened._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == opened.widget().model_id
    assert data["text/plain"] == repr(opened)
    assert opened.widget() is opened.widget()


def test_in_a_notebook_without_anywidget_it_is_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "_in_kernel", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    data, _ = hs.studio(hs.LSTM(4, 3))._repr_mimebundle_()
    assert Elements(data["text/html"]).tags == ["iframe"]


def test_a_widget_fails_without_anywidget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    notebook._widget_class.cache_clear()
    with pytest.raises(MissingDependencyError, match=r"pip install 'hiddenstate\[notebook\]'"):
        hs.studio(hs.LSTM(4, 3)).widget()


def test_the_widget_gives_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = hs.studio(hs.LSTM(4, 3), text="")
    widget = opened.widget()
    sent = sent_by(widget, monkeypatch)
    widget._handle_custom_msg({"type": "page"}, [])
    ((content, buffers),) = sent
    assert content == {"type": "page"}
    boot = json.loads(Elements(buffers[0].decode()).data["boot"])
    assert (boot["host"], boot["live"]) == ("notebook", "view")


def test_the_page_has_what_is_looked_at_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = hs.studio(hs.LSTM(4, 3))
    widget = opened.widget()
    sent = sent_by(widget, monkeypatch)
    opened.show(unit=2)
    widget._handle_custom_msg({"type": "page"}, [])
    assert json.loads(Elements(sent[0][1][0].decode()).data["boot"])["view"] == {"unit": 2}


def test_the_widget_hears_and_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = hs.studio(hs.LSTM(4, 3).stream())
    assert opened.stream is not None
    widget = opened.widget()
    sent = sent_by(widget, monkeypatch)
    opened.stream.step(torch.zeros(4), "a")  # the page is not open yet: it is told when it opens
    widget._handle_custom_msg({"type": "hello"}, [])
    opened.show(unit=2)
    wait_for(sent, 4)
    assert [content["type"] for content, _ in sent] == ["begin", "step", "view", "view"]
    assert sent[1][0]["token"] == "a"
    assert len(sent[1][1][0]) == 4 * (4 + 3 + 3)
    assert [content["view"] for content, _ in sent[2:]] == [{"theme": "auto"}, {"unit": 2}]
    widget._handle_custom_msg({"type": "hello"}, [])  # the page was reopened
    opened.stream.step(torch.zeros(4))
    wait_for(sent, 7)
    assert [content["type"] for content, _ in sent[4:]] == ["view", "begin", "step"]
    assert sent[4][0]["view"] == {"theme": "auto", "unit": 2}
    widget._handle_custom_msg({"type": "view", "view": {"step": 7}}, [])
    assert opened.view == {"theme": "auto", "unit": 2, "step": 7}  # also the theme that the page was given
    forgotten(opened, widget)


def forgotten(opened: Studio, widget: Any) -> None:
    """Close a widget, and wait until nothing is kept for it."""
    widget.close()
    end = time.monotonic() + SECONDS
    while opened.audience.lookers:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_widget_that_is_never_open_keeps_little(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = hs.studio(hs.LSTM(4, 3).stream())
    assert opened.stream is not None
    widget = opened.widget()
    sent = sent_by(widget, monkeypatch)
    for _ in range(2 * KEPT):
        opened.stream.step(torch.zeros(4))
    (looker,) = opened.audience.lookers
    assert sent == []
    assert len(looker._waiting) <= KEPT + 1
    forgotten(opened, widget)


def test_the_widget_refuses_what_is_no_message() -> None:
    opened = hs.studio(hs.LSTM(4, 3))
    heard = opened.widget()._msg_callbacks.callbacks[0]
    for content in ({"type": "view"}, {"type": "run", "code": "1"}, None, {"type": "view", "view": {"unit": EVIL}}):
        with pytest.raises(MessageError):
            heard(None, content, [])
    assert opened.view == {}
