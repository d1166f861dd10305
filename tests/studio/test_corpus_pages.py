"""The pages Units and Search: Python's answers, access to them, and what the user sees."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page, expect
from starlette.requests import Request
from starlette.testclient import TestClient

import hiddenstate as hs
from hiddenstate.corpus.answers import MOST_PASSAGES, IndexAnswers
from hiddenstate.errors import ArgumentError, ArgumentTypeError, FileFormatError, HiddenStateError, MessageError
from hiddenstate.studio.server.site import CorpusRoutes
from studio.browsing import NEEDS_CHROMIUM, watched
from studio.whole_page import PHONE, Shown, shown

pytest.importorskip("pyarrow")
pytest.importorskip("lark")

DATA = Path(__file__).parents[1] / "data" / "tiny-train.conllu"
TEXT = "The old man sold us the house ."
UNIT = "l1.h[44]"
QUERY = f"{UNIT} > .5, label = VERB after 1..3"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> hs.Index:
    return hs.index(hs.load("tagger-en"), DATA, tmp_path_factory.mktemp("corpus") / "tiny.index")


@pytest.fixture(scope="module")
def answers(index: hs.Index) -> IndexAnswers:
    return IndexAnswers(index)


def test_the_answers_are_those_of_the_index_and_json(index: hs.Index, answers: IndexAnswers) -> None:
    columns = answers.units()["columns"]
    for name in ("unit", "label", "held_out", "mean"):
        assert columns[name] == [row[name] for row in index.units().rows()]
    shapes = dict(zip(columns["unit"], columns["shape"], strict=True))
    counts = index.statistics["l1.h"].histogram[44]
    assert [each != "0" for each in shapes[UNIT]] == (counts > 0).tolist()
    assert shapes[UNIT][int(counts.argmax())] == "9"
    found = answers.search(QUERY)
    assert (found["count"], found["clauses"][0]["lift"]) == (index.search(QUERY).count, None)
    card = answers.card("l0.c[3]")
    assert (card["edges"][0], card["edges"][-1]) == (None, None)  # a cell state is unbounded
    for answer in (answers.units(), card, found, answers.about()):
        json.dumps(answer, allow_nan=False)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_passages_are_parts_of_a_run(tmp_path: Path, bidirectional: bool) -> None:
    lstm = hs.LSTM(3, 5, bidirectional=bidirectional)
    xs = [np.random.default_rng(k).normal(size=(4 + k, 3)).astype(np.float32) for k in range(3)]
    made = IndexAnswers(hs.index(lstm, xs, tmp_path / "index"))
    two = made.passages("l0.c[2]", "0:1:1:99,0:2:0:3")
    for passage, k, inside in zip(two, (1, 2), (slice(1, 5), slice(0, 3)), strict=True):
        values = lstm.trace(torch.from_numpy(xs[k])[:, None])["l0.c"][inside, 0, 2]
        assert passage["values"] == pytest.approx(values.tolist(), abs=1e-4)
        assert passage["tokens"] == tuple(map(str, range(inside.start, inside.stop)))


@pytest.mark.parametrize(
    "spans", ["", "0:0:0", "0:0:-1:2", "9:0:0:1", "0:99999:0:1", "0:0:5000:5001", "0:0:3:3", "0:0:0:999", "0:0:0:1\n"]
)
def test_spans_that_are_not_there_are_refused(answers: IndexAnswers, spans: str) -> None:
    with pytest.raises(MessageError, match="span"):
        answers.passages(UNIT, spans)


def test_passages_are_bounded(answers: IndexAnswers) -> None:
    with pytest.raises(MessageError, match="at most 32"):
        answers.passages(UNIT, ",".join(["0:0:0:1"] * (MOST_PASSAGES + 1)))


def test_who_may_ask(index: hs.Index) -> None:
    site = hs.studio("tagger-en", index=index).site()
    with TestClient(site.app("127.0.0.1"), base_url="http://127.0.0.1:1") as client:
        for what in ("units.json", "card.json", "passages.json", "search"):
            assert client.get(f"/wrong/index/{what}").status_code == 403
            assert (
                client.get(f"/{site.token}/index/{what}", headers={"Origin": "http://evil.example"}).status_code == 403
            )
            assert client.post(f"/{site.token}/index/{what}").status_code == 405
        asked = client.get(f"/{site.token}/index/search", params={"query": QUERY})
        assert json.loads(asked.text.splitlines()[-1])["found"]["count"] == index.search(QUERY).count
        asked = client.get(f"/{site.token}/index/search", params={"query": "l1.h["})
        assert "error" in json.loads(asked.text)
        asked = client.get(f"/{site.token}/index/card.json", params={"unit": "l9.h[1]"})
        assert (asked.status_code, "l9" in asked.json()["error"]) == (422, True)
    plain = hs.studio("tagger-en").site()
    with TestClient(plain.app("127.0.0.1"), base_url="http://127.0.0.1:1") as client:
        assert client.get(f"/{plain.token}/index/units.json").status_code == 404


def test_a_search_whose_page_has_left_stops(answers: IndexAnswers, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def endless(query: str, progress: Any) -> None:
        try:
            while not ended.wait(0.01):
                progress(1, 2)
        finally:
            ended.set()

    monkeypatch.setattr(answers, "search", endless)

    async def leave() -> None:
        lines = CorpusRoutes(answers)._lines("any")
        assert json.loads(await anext(lines)) == {"done": 1, "total": 2}
        await lines.aclose()
        assert await asyncio.to_thread(ended.wait, 10)

    asyncio.run(leave())


def test_a_card_that_nobody_waits_for_is_not_made(answers: IndexAnswers, monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[str]()

    def card(unit: str) -> dict[str, str]:
        made.append(unit)
        return {"unit": unit}

    monkeypatch.setattr(answers, "card", card)

    def request(unit: str, *, is_left: bool) -> Request:
        async def receive() -> dict[str, Any]:
            if not is_left:
                await asyncio.sleep(60)
            return {"type": "http.disconnect"}

        return Request({"type": "http", "query_string": f"unit={unit}".encode(), "headers": []}, receive)

    async def ask() -> list[int]:
        routes = CorpusRoutes(answers)
        return [(await routes.card(request(unit, is_left=unit == "b"))).status_code for unit in "abc"]

    assert asyncio.run(ask()) == [200, 408, 200]
    assert made == ["a", "c"]


def test_the_model_of_the_index(index: hs.Index, tmp_path: Path) -> None:
    opened = hs.studio(index=index.folder)
    assert list(opened.bundles) == ["tiny-index"]
    assert hs.studio({"other": hs.LSTM(4, 3)}, {"mine": "tagger-en"}, index=index).about_index == {
        "name": "tiny.index",
        "model": "mine",
        "steps": index.steps,
    }
    wrong: list[tuple[dict[str, Any], type[HiddenStateError], str]] = [
        ({"index": index, "models": [hs.LSTM(4, 3)]}, ArgumentError, "belongs to a different model"),
        ({"index": 3}, ArgumentTypeError, "its folder"),
        ({"index": tmp_path}, FileFormatError, "manifest"),
    ]
    for given, kind, words in wrong:
        with pytest.raises(kind, match=words):
            hs.studio(*given.pop("models", ()), **given)


@pytest.fixture(scope="module")
def studio(chromium: Browser, index: hs.Index) -> Iterator[Shown]:
    with shown(chromium, hs.studio("tagger-en", index=index, text=TEXT)) as page:
        yield page


def look(studio: Shown, wait: str, **view: Any) -> Page:
    studio.look(wait, **{"text": TEXT, "track": "l1", "show": "h", "unit": 44, **view})
    return studio.page


@NEEDS_CHROMIUM
def test_the_gallery_and_a_card(studio: Shown, index: hs.Index) -> None:
    page = look(studio, "#units-list [role=option]", page="units")
    rows = index.units().rows()
    first = page.locator("#units-list [aria-posinset='1']")
    expect(first).to_contain_text(str(rows[0]["unit"]))
    assert page.locator("#units-list [role=option]").count() < 80  # of 1,024
    expect(page.locator(".unit-verdict")).to_have_text(index.unit(UNIT).verdict)
    expect(page.locator(".unit-contexts .passage-token").first).to_be_visible()
    top = index.unit(UNIT).contexts[0]
    expect(page.locator(".unit-contexts .passage-middle").first).to_have_text(top.token)

    page.get_by_role("button", name="Mean", exact=True).click()
    best = max(rows, key=lambda row: row["mean"])  # type: ignore[arg-type,return-value]
    expect(first).to_contain_text(str(best["unit"]))
    page.get_by_label("Filter units").fill("l0.h noun")
    wanted = [row for row in rows if str(row["unit"]).startswith("l0.h") and "NOUN" in str(row["label"])]
    expect(page.locator("#units [role=status]").first).to_have_text(f"{len(wanted)} of 1,024 units")
    page.locator("#units-list").press("End")
    least = min(wanted, key=lambda row: row["mean"])  # type: ignore[arg-type,return-value]
    expect(page.locator("#units-list [aria-selected=true]")).to_contain_text(str(least["unit"]))
    expect(page.locator(".unit-top h3")).to_have_text(str(least["unit"]))
    page.get_by_role("button", name="Search for it").click()
    assert page.get_by_label("Query").input_value().startswith(f"{least['unit']} > ")
    expect(page.locator(".search-says")).to_contain_text("spans")


@NEEDS_CHROMIUM
def test_a_search_and_its_passages(studio: Shown, index: hs.Index) -> None:
    page = look(studio, "#search-list .passage-token", page="search", query=QUERY)
    found = index.search(QUERY, limit=50)
    expect(page.locator(".search-says")).to_contain_text(f"{found.count:,} spans")
    first = page.locator("#search-list [aria-posinset='1']")
    expect(first.locator(".passage-middle")).to_have_text("".join(found.matches[0].tokens))
    context = found.matches[0].context
    value = index.values(context, ["l1.h"])["l1.h"][0, 44]
    title = first.locator(".passage-middle .passage-token").first.get_attribute("title") or ""
    assert float(title.rpartition("+")[2]) == pytest.approx(value, abs=1e-3)

    def search(query: str) -> None:
        page.get_by_label("Query").fill(query)
        page.get_by_label("Query").press("Enter")

    nothing = f"{UNIT} > .5 for 40.."
    search(nothing)
    expect(page.locator(".search-says")).to_have_text(index.search(nothing).reason)
    expect(page.locator("#search-list")).to_be_hidden()
    search("l1.h[44] >")
    expect(page.locator(".search-says")).to_contain_text("query")
    search("<b>")
    expect(page.locator(".search-says")).to_contain_text("<")
    again = f"{UNIT} > .123"  # not stored
    search(again)
    expect(page.locator(".search-says")).to_contain_text("were run again")
    assert index.search(again).cost == 0


@NEEDS_CHROMIUM
def test_a_query_from_the_sentence(studio: Shown, index: hs.Index) -> None:
    page = look(studio, ".brush-words .passage-token", page="search", unit=4)
    values = index.reader.model.read(TEXT.split())
    assert len(values.words) == page.locator(".brush-words .passage-token").count()
    boxes = [page.locator(".brush-words .passage-token").nth(k).bounding_box() for k in (1, 2)]
    assert boxes[0]
    assert boxes[1]
    page.mouse.move(boxes[0]["x"] + 4, boxes[0]["y"] + 4)
    page.mouse.down()
    page.mouse.move(boxes[1]["x"] + 4, boxes[1]["y"] + 4, steps=3)
    page.mouse.up()
    go = page.locator(".brush-go")
    expect(go).to_contain_text("l1.h[4] ")
    expect(go).to_contain_text("for 2..")
    by_mouse = go.inner_text()
    words = page.locator(".brush-words")
    for key in ("Home", "ArrowRight", "Shift+ArrowRight"):
        words.press(key)
    expect(page.locator(".brush-words [aria-selected=true]")).to_have_text(["old", "man"])
    assert go.inner_text() == by_mouse
    go.click()
    query = by_mouse.removeprefix("Search: ")
    expect(page.locator(".search-says")).to_contain_text(f"{index.search(query).count:,} spans")


@NEEDS_CHROMIUM
def test_queries_from_values(page: Any) -> None:
    script = """async (given) => {
      const { spanQuery } = await import("studio/panels/search/brush.js");
      return given.map((one) => spanQuery("l0.h[1]", ...one));
    }"""
    stored = [-0.5, 0.5]
    given = [[[0.7, 0.9], 0, stored], [[0.3], 0, stored], [[-0.7, -0.6, -0.9], 0, stored], [[-0.25, -0.3], 0, []]]
    assert page.run(script, given) == [
        "l0.h[1] > 0.5 for 2..",
        "l0.h[1] > 0.29",
        "l0.h[1] < -0.5 for 3..",
        "l0.h[1] < -0.24 for 2..",
    ]


@NEEDS_CHROMIUM
def test_a_phone(chromium: Browser, index: hs.Index) -> None:
    with shown(chromium, hs.studio("tagger-en", index=index, text=TEXT), PHONE) as studio:
        look(studio, ".unit-effects", page="units", theme="dark")
        assert studio.sticks_out() == 0
        look(studio, "#search-list .passage-token", page="search", query=QUERY)
        assert studio.sticks_out() == 0
        tabs = studio.page.locator(".top-pages .segments")
        for space in ("0", "0.3em"):  # this machine's fonts, and much wider ones
            studio.widen(".top-pages button", space)
            assert tabs.evaluate("(one) => one.scrollWidth <= one.clientWidth && one.scrollHeight <= one.clientHeight")
            assert studio.sticks_out() == 0
        for tab in tabs.get_by_role("button").all():
            tab.click()
            expect(tab).to_have_attribute("aria-pressed", "true")


@NEEDS_CHROMIUM
def test_without_a_server_or_an_index(chromium: Browser, index: hs.Index, tmp_path: Path) -> None:
    with watched(chromium) as watch:
        page = watch.page
        for opened, words, tabs in ((index, "needs a server", 1), (None, "No index was opened", 0)):
            hs.studio("tagger-en", text=TEXT, index=opened).save(tmp_path / "page.html")
            for name, panel in (("units", "#units"), ("search", "#search")):
                page.goto("about:blank")
                page.goto(f"file://{tmp_path}/page.html#page={name}")
                expect(page.locator(f"{panel} .panel-body [role=status]").first).to_contain_text(words)
            expect(page.get_by_role("button", name="Units", exact=True)).to_have_count(tabs)
