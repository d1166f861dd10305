"""The page in a browser, in each of its hosts: the server, a file without a network, a notebook."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import torch
from playwright.sync_api import Browser, Frame, Page, expect

import hiddenstate as hs
from hiddenstate.models.model_folder import save
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.studio import assets
from hiddenstate.studio.view import Studio
from language_models import make
from studio.browsing import NEEDS_CHROMIUM, PATIENCE, Watch, watched
from studio.test_html import EVIL

pytestmark = NEEDS_CHROMIUM
SENTENCE = "Giraffes in a field"


@pytest.fixture(scope="module")
def words(tagger: Tagger) -> list[str]:
    """The tags that Python gives the sentence."""
    (tagging,) = tagger.tag([SENTENCE.split()])
    return list(tagging.main.tags)


@pytest.fixture
def server(chromium: Browser) -> Iterator[Any]:
    """Open a studio's page on its server; any error of the page fails the test."""
    running = []

    def opened(studio: Studio, watch: Watch) -> Page:
        running.append(studio.start())
        watch.page.goto(running[-1].url)
        return watch.page

    with watched(chromium) as watch:
        yield lambda studio: opened(studio, watch)
        assert watch.errors == []
        assert all(url.startswith(("http://127.0.0.1:", "blob:", "data:")) for url in watch.asked)
    for each in running:
        each.stop()


def expect_tags(page: Page | Frame, tags: list[str]) -> None:
    chips = page.locator("#sentence")
    for tag in tags:
        expect(chips).to_contain_text(tag)


def test_the_page_under_the_server(server: Any, words: list[str]) -> None:
    studio = hs.studio(text=SENTENCE)
    page = server(studio)
    expect_tags(page, words)
    page.keyboard.press("ArrowRight")
    wait_until(lambda: studio.view.get("step") == 1)
    studio.show(unit=17)
    page.wait_for_function("() => location.hash.includes('unit=17')")


def test_the_page_of_a_stranger(chromium: Browser) -> None:
    """Without the token there is only a note about what to do."""
    with hs.studio(hs.LSTM(4, 3)).start() as running, watched(chromium) as watch:
        watch.page.goto(running.url.replace(running.url.split("/")[3], "x"))
        assert "Open the whole address" in watch.page.inner_text("body")


def test_the_file_without_a_network(chromium: Browser, tmp_path: Path, words: list[str]) -> None:
    hs.studio(text=SENTENCE).save(tmp_path / "view.html")
    with watched(chromium, offline=True) as watch:
        watch.page.goto((tmp_path / "view.html").as_uri())
        expect_tags(watch.page, words)
        assert watch.errors == []
        assert all(url.startswith(("file:", "blob:", "data:")) for url in watch.asked)


def test_the_file_can_ask_nobody(chromium: Browser, tmp_path: Path) -> None:
    """Its content security policy prevents requests, not only the lack of a network."""
    hs.studio(hs.LSTM(4, 3)).save(tmp_path / "view.html")
    with watched(chromium) as watch:
        watch.page.goto((tmp_path / "view.html").as_uri())
        expect(watch.page.locator("header.top")).to_be_visible()
        for attempt in (
            "fetch('http://127.0.0.1:9/').then(() => 'asked', () => 'refused')",
            "new Promise((done) => Object.assign(new Image(), { src: 'http://127.0.0.1:9/a.png',"
            " onerror: () => done('refused'), onload: () => done('asked') }))",
            "new Promise((done) => document.head.append(Object.assign(document.createElement('script'),"
            " { src: 'http://127.0.0.1:9/a.js', onerror: () => done('refused'), onload: () => done('asked') })))",
        ):
            assert watch.page.evaluate(attempt) == "refused"
        watch.page.wait_for_timeout(300)  # Firefox reports it a little later
        assert sum("Content Security Policy" in error or "settings blocked" in error for error in watch.errors) >= 3
        watch.page.evaluate("() => void setTimeout('window.hit = 1')")
        watch.page.wait_for_timeout(100)
        assert watch.page.evaluate("() => window.hit ?? null") is None


OPENED = ("language model", "torch's", "cell")
MORE = ("tagger", "lstm", "trace")


@pytest.mark.parametrize("kind", [*OPENED, *(pytest.param(kind, marks=pytest.mark.slow) for kind in MORE)])
def test_whatever_is_opened(kind: str, server: Any, tagger: Tagger) -> None:
    x = torch.randn(6, 4)
    things: dict[str, tuple[Any, dict[str, Any]]] = {
        "tagger": (tagger, {"text": SENTENCE}),
        "language model": (make(level="word"), {"text": "the cat sat"}),
        "lstm": (hs.LSTM(4, 5, num_layers=2, bidirectional=True), {"x": x, "tokens": list("abcdef")}),
        "torch's": (torch.nn.LSTM(4, 5, proj_size=2, dtype=torch.float64), {"x": x}),
        "cell": (hs.LSTMCell(4, 5, dtype=torch.bfloat16), {"x": x}),
        "trace": (hs.LSTM(4, 5).trace(x, tokens=list("abcdef")), {}),
    }
    thing, options = things[kind]
    page = server(hs.studio(thing, **options))
    expect(page.locator("#heatmap")).to_contain_text("=")
    assert page.locator(".problem:visible").count() == 0


def test_script_in_names_and_words_is_text(server: Any, tagger: Tagger, tmp_path: Path) -> None:
    evil = "<img/src=x/onerror=window.hit=1>"
    save(tagger, tmp_path / "model", f"# {EVIL}\n\n{evil}\n[a](javascript:window.hit=1)")
    text = f"{evil} {EVIL} <script>window.hit=1</script>"
    page = server(hs.studio({EVIL: tmp_path / "model", evil: tagger}, text=text))
    expect(page.locator("#sentence")).to_contain_text("onerror")
    expect(page.locator("header.top")).to_contain_text("<script>")
    assert page.evaluate("() => window.hit ?? null") is None
    assert page.locator("img").count() == 0
    assert scripts_of(page) == SCRIPTS


def test_script_in_the_address_is_text(server: Any) -> None:
    studio = hs.studio(text=SENTENCE)
    page = server(studio)
    expect(page.locator("#sentence .words")).to_contain_text("Giraffes")
    page.goto(page.url.split("#")[0] + "#" + f"text={quote(EVIL)}&track={quote(EVIL)}&unknown={quote(EVIL)}")
    page.reload()
    expect(page.locator("#sentence")).to_contain_text("alert")
    assert scripts_of(page) == SCRIPTS


def test_a_stream_while_it_runs(server: Any) -> None:
    lstm = hs.LSTM(4, 5, num_layers=2)
    studio = hs.studio(lstm.stream())
    assert studio.stream is not None
    studio.stream.step(torch.ones(4))  # nobody is watching yet
    page = server(studio)
    wait_until(lambda: studio.audience.lookers)
    expect(page.locator("header.top")).to_be_visible()
    for k in range(8):
        studio.stream.step(torch.randn(4), f"step-{k}")
    expect(page.locator("#sentence")).to_contain_text("step-7")
    state = studio.stream.state[1][1, 0]
    shown = page.evaluate("() => document.querySelector('.heat-value')?.textContent ?? ''")
    assert any(f"{abs(value):.4f}" in shown.replace("\u2212", "-") for value in state.tolist()), shown


def test_a_trace_in_a_notebook(chromium: Browser, tmp_path: Path) -> None:
    trace = hs.LSTM(4, 5).trace(torch.randn(6, 4), tokens=["one", "two", "three", "four", "five", "six"])
    (tmp_path / "cell.html").write_text(f"<!doctype html>{trace._repr_html_()}", encoding="utf-8")
    with watched(chromium, offline=True) as watch:
        watch.page.goto((tmp_path / "cell.html").as_uri())
        expect(watch.page.frame_locator("iframe").locator("#sentence")).to_contain_text("three")
        assert watch.errors == []


def test_the_widget_in_a_notebook(chromium: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few lines stand in for the notebook; Python's side is the real widget."""
    pytest.importorskip("anywidget")
    studio = hs.studio(hs.LSTM(4, 5).stream(), view={"unit": 3})
    assert studio.stream is not None
    widget = studio.widget()
    (tmp_path / "notebook.html").write_text("<!doctype html><div id=cell style='color: #ddd'></div>")
    with watched(chromium, offline=True, own={}) as watch:
        page = watch.page
        page.expose_function("toPython", lambda content: to_python(widget, content))
        waiting: list[Any] = []
        monkeypatch.setattr(type(widget), "send", lambda _, content, buffers=(): waiting.append((content, buffers)))
        page.goto((tmp_path / "notebook.html").as_uri())
        page.evaluate(NOTEBOOK, assets.text(assets.WIDGET))
        assert "run this cell again" in page.inner_text("#cell")  # if Python does not answer
        frame = page.frame_locator("iframe")

        def after_news(what: Callable[[], Any]) -> Any:
            """Pass Python's messages to the frame, and evaluate an expression there."""
            while waiting:
                content, buffers = waiting.pop(0)
                data = [base64.b64encode(each).decode() for each in buffers]
                page.evaluate("([content, data]) => window.fromPython(content, data)", [content, data])
            page.wait_for_timeout(20)
            return what()

        wait_until(lambda: after_news(lambda: studio.audience.lookers))
        studio.stream.step(torch.randn(4), "first")
        studio.stream.step(torch.randn(4), "second")
        wait_until(lambda: "second" in after_news(frame.locator("#sentence").inner_text))
        assert "first" in frame.locator("#sentence").inner_text()
        assert frame.locator("html").get_attribute("data-theme") == "dark"  # trusted, as the notebook is, by its text
        wait_until(lambda: after_news(lambda: studio.view.get("step") == 1))
        assert page.evaluate("() => document.querySelector('iframe').sandbox.value") == "allow-scripts allow-downloads"
        page.evaluate("() => window.close_cell()")
        assert page.inner_html("#cell") == ""
        assert studio.view["theme"] == "auto"
        assert watch.errors == []


NOTEBOOK = """async (source) => {
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const { default: widget } = await import(address);
  const listeners = new Set();
  const bytes = (text) => new DataView(Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)).buffer);
  window.fromPython = (content, data) => listeners.forEach((fn) => fn(content, data.map(bytes)));
  const model = {
    get: () => 600,
    send: (content) => window.toPython(JSON.stringify(content)),
    on: (_, fn) => listeners.add(fn),
    off: (_, fn) => listeners.delete(fn),
  };
  window.close_cell = widget.render({ model, el: document.getElementById("cell") });
}"""


def to_python(widget: Any, content: str) -> None:
    for heard in widget._msg_callbacks.callbacks:
        heard(widget, json.loads(content), [])


# The initial data and the modules, as data, and the start script, which adds the modules as one.
SCRIPTS = ["module", "application/json", "application/json", ""]


def scripts_of(page: Page) -> Any:
    return page.evaluate("() => [...document.scripts].map(({ type }) => type)")


def wait_until(true: Any) -> None:
    end = time.monotonic() + PATIENCE / 1000
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
