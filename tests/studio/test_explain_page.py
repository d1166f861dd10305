"""The page Explain, as a user sees it: its numbers are those that Python computes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, Locator, expect

import hiddenstate as hs
from hiddenstate import explain
from hiddenstate.explain.ledger.cell import Ledger
from hiddenstate.explain.ledger.run import ReadoutLedger
from hiddenstate.models.tagger.tagger import Tagger
from language_models import make as make_language_model
from studio.browsing import NEEDS_CHROMIUM, PATIENCE, watched
from studio.chromium import Modules
from studio.whole_page import PHONE, Shown, shown
from support import diagonal

pytestmark = NEEDS_CHROMIUM

TEXT, OTHER = "The old man the boats .", "The old men the boats ."
WORDS = TEXT.split()
ATOL = 1e-4
TARGET = explain.logit("NOUN", word=2)


@pytest.fixture(scope="module")
def studio(chromium: Browser) -> Iterator[Shown]:
    with shown(chromium, hs.studio(text=TEXT)) as page:
        yield page


def look(studio: Shown, wait: str = "#attribution .word-chart", **view: Any) -> None:
    studio.look(wait, **{"page": "explain", "text": TEXT, "step": 2, **view})


def near(found: list[str], wanted: Any) -> None:
    torch.testing.assert_close(
        torch.tensor([float(each) for each in found], dtype=torch.float64),
        torch.as_tensor(wanted).double(),
        rtol=0,
        atol=ATOL,
    )


def test_the_ledger_of_a_chosen_memory(studio: Shown, tagger: Tagger) -> None:
    look(studio, memory="l1.c[125]")
    rows = studio.saved("ledger")
    ledger = explain.ledger(tagger, WORDS, place="l1.c[125]@2")
    assert isinstance(ledger, Ledger)
    assert ledger.effect is not None
    assert [int(row["step"]) for row in rows] == list(ledger.steps)
    near([row["wrote i·g"] for row in rows], ledger.written[:, 0])
    near([row["still there"] for row in rows], ledger.kept[:, 0])
    near([row["left"] for row in rows], ledger.parts[:, 0])
    k = ledger.labels.index("NOUN")
    near([row["adds to the target"] for row in rows], ledger.parts[:, 0] * ledger.effect[0, k])
    whole = explain.ledger(tagger, WORDS, place=TARGET)
    assert isinstance(whole, ReadoutLedger)
    near([row["all units add"] for row in rows], whole.by_step.sum(0)[:3])
    at = [None if row["erased most at step"] == "" else int(row["erased most at step"]) for row in rows]
    assert at == list(ledger.erased_at())


def test_the_most_telling_memory_is_what_is_shown_first(studio: Shown, tagger: Tagger) -> None:
    look(studio)
    ledgers = [explain.ledger(tagger, WORDS, place=f"{track}.c@2") for track in ("l1", "l1r")]
    k = tagger.columns["upos"].index("NOUN")
    carried = [each.value - each.written[-1] for each in ledgers]  # type: ignore[union-attr]
    effects = [each.effect[:, k] for each in ledgers]  # type: ignore[union-attr,index]
    sizes = torch.stack([(effect * c).abs() for effect, c in zip(effects, carried, strict=True)])
    track, unit = divmod(int(sizes.argmax()), sizes.shape[1])
    expect(studio.page.get_by_label("Unit of the memory")).to_have_value(str(unit))
    expect(studio.page.get_by_label("Memory of")).to_have_value(("l1", "l1r")[track])
    studio.page.get_by_label("Memory of").select_option("l0")
    expect(studio.panel("ledger").locator(".word-chart-title").first).to_contain_text(f"l0.c[{unit}]")
    assert f"memory=l0.c%5B{unit}%5D" in held(studio, "memory")
    telling = studio.page.get_by_role("button", name="Most telling")
    expect(telling).to_have_attribute("title", re.compile("memory of other steps adds most to the target"))
    telling.click()
    expect(studio.page.get_by_label("Memory of")).to_have_value(("l1", "l1r")[track])


def held(studio: Shown, key: str) -> str:
    studio.page.wait_for_function("(key) => location.hash.includes(`${key}=`)", arg=key)
    return str(studio.page.evaluate("location.hash"))


def test_words_are_followed_by_pointer_and_keys(studio: Shown) -> None:
    look(studio, memory="l1.c[125]", step=4)
    says = studio.panel("ledger").locator(".ledger-says")
    hit = studio.panel("ledger").locator(".word-chart-hit")
    hit.nth(1).hover()
    expect(says).to_contain_text("At “old”")
    expect(says).to_contain_text("was written into l1.c[125]")
    hit.nth(5).hover()
    expect(says).to_contain_text("“.” is read after “boats” in l1")
    studio.panel("ledger").locator(".word-chart-hit[tabindex='0']").focus()
    studio.page.keyboard.press("Home")
    expect(says).to_contain_text("At “The”")
    studio.page.keyboard.press("ArrowRight")
    studio.page.keyboard.press("ArrowRight")
    expect(says).to_contain_text("At “man”")
    studio.page.keyboard.press("Enter")
    assert "word=3" in held(studio, "word")
    expect(hit.nth(2)).to_be_focused()
    expect(hit.nth(2)).to_have_attribute("aria-pressed", "true")


def test_a_unit_that_is_typed_stays_while_words_are_pointed_at(studio: Shown) -> None:
    look(studio, memory="l1.c[125]", step=4)
    ledger = studio.panel("ledger")
    unit = ledger.get_by_label("Unit of the memory")
    unit.press("Control+a")
    unit.press_sequentially("12")
    ledger.locator(".word-chart-hit").nth(1).hover()
    expect(ledger.locator(".ledger-says")).to_contain_text("At “old”")
    expect(unit).to_have_value("12")
    unit.press("Enter")
    expect(ledger.locator(".ledger-says")).to_contain_text("l1.c[12]")


@pytest.mark.parametrize("measure", ["logit", "probability"])
def test_attributions(studio: Shown, tagger: Tagger, measure: str) -> None:
    look(studio, method="shapley", of=measure)
    expect(studio.panel("attribution").locator(".word-chart-title")).to_have_count(2, timeout=3 * PATIENCE)
    rows = studio.saved("attribution")
    of = TARGET if measure == "logit" else explain.log_probability("NOUN", word=2)
    wanted = explain.attribute(tagger, WORDS, of=of, method="shapley")
    assert wanted.occlusion is not None
    near([row["occlusion"] for row in rows], wanted.occlusion[0])
    near([row["shapley"] for row in rows], wanted.scores)
    says = studio.panel("attribution").locator(".attribution-says")
    expect(says).to_contain_text(f"{wanted.value:+.3f}".replace("-", "\N{MINUS SIGN}"))
    expect(says).to_contain_text("rounding leaves")
    expect(studio.panel("attribution").locator(".attribution-means")).to_contain_text("all 64 ways to replace words")


def test_another_label_and_word(studio: Shown, tagger: Tagger) -> None:
    look(studio)
    studio.page.get_by_label("Why").select_option("VERB")
    studio.page.get_by_role("group", name="Word to explain").get_by_role("button").nth(4).click()
    expect(studio.panel("explain").locator(".explain-name")).to_contain_text("logit of VERB at “boats” (step 4)")
    expect(studio.panel("attribution").locator(".attribution-says")).to_contain_text("logit of VERB at “boats”")
    wanted = explain.attribute(tagger, WORDS, of=explain.logit("VERB", word=4), method="occlusion")
    near([row["occlusion"] for row in studio.saved("attribution")], wanted.scores)
    studio.page.keyboard.press("Escape")


def test_shapley_values_of_the_nearest_words(studio: Shown, tagger: Tagger) -> None:
    words = [*WORDS[:5], "and", "the", "young", "woman", "sails", "them", "home", "."]
    look(studio, text=" ".join(words), method="shapley", step=1)
    expect(studio.panel("attribution").locator(".word-chart-title")).to_have_count(2, timeout=3 * PATIENCE)
    rows = studio.saved("attribution")
    assert [row["shapley"] == "" for row in rows] == [False] * 10 + [True] * 3
    reading = tagger.read(words)
    wanted = explain.attribute(
        tagger,
        words,
        of=explain.logit(reading.tags[1], word=1),
        method="shapley",
        spans=[(t, t + 1) for t in range(10)],
    )
    near([row["shapley"] for row in rows[:10]], wanted.scores)
    expect(studio.panel("attribution").locator(".attribution-says")).to_contain_text("among the 10 nearest")


def test_long_work_can_be_stopped(studio: Shown) -> None:
    look(studio, text=" ".join(WORDS * 3), method="shapley", step=1)
    panel = studio.panel("attribution")
    panel.get_by_role("button", name="Stop").click()
    expect(panel.get_by_role("button", name="Compute again")).to_be_visible()
    expect(panel.get_by_role("progressbar")).to_be_hidden()
    expect(panel.locator(".word-chart-title")).to_have_count(1)
    panel.get_by_role("button", name="Only occlusion").click()
    expect(panel.get_by_role("button", name="Compute exact Shapley values")).to_be_visible()


@torch.no_grad()
def patched(tagger: Tagger, place: str, t: int) -> float:
    trace = tagger.read(OTHER.split()).trace
    with tagger.lstm.edit(hs.set(place, to=trace[place][t, 0], t=t)):
        out = tagger.read(WORDS).trace.out
    assert isinstance(out, torch.Tensor)
    return float(tagger.head(out[2, 0])[tagger.columns["upos"].index("NOUN")])


def test_patches(studio: Shown, tagger: Tagger) -> None:
    look(studio, ".patch-map", text2=OTHER)
    rows = studio.saved("sweep")
    plain = explain.attribute(tagger, WORDS, of=TARGET, method="occlusion").value
    wanted = [patched(tagger, f"{row['track']}.{row['state']}", int(row["step"])) - plain for row in rows]
    assert len(rows) == 8 * len(WORDS)
    near([row["effect"] for row in rows], wanted)
    assert max(map(abs, wanted)) > 0.05


def test_a_patch_is_seen_in_force(studio: Shown, tagger: Tagger) -> None:
    other = "The old sailed the boats ."  # with a word that changes the tag
    look(studio, ".patch-map", text2=other)
    cell = studio.panel("sweep").locator(".cell[aria-label^='c of l1 at man']")
    studio.panel("sweep").locator(".cell[tabindex='0']").focus()
    cell.focus()
    studio.page.keyboard.press("ArrowDown")
    expect(studio.panel("sweep").locator(".sweep-readout")).to_contain_text("h of l1 at “man”")
    studio.page.keyboard.press("ArrowUp")
    studio.page.keyboard.press("Enter")
    expect(studio.page.locator("main.page-read")).to_be_visible()
    expect(studio.panel("edits").locator(".edit-list > li")).to_have_count(1)
    expect(studio.panel("edits").locator(".edit-list")).to_contain_text("128 units, each set to its own value")
    assert held(studio, "edit").count("l1.c:set:") == 128
    trace = tagger.read(other.split()).trace
    with tagger.lstm.edit(hs.set("l1.c", to=trace["l1.c"][2, 0], t=2)):
        after = tagger.read(WORDS)
    row = next(each for each in studio.saved("table") if each["step"] == "2")
    near([row["probability"]], after.columns["upos"].probabilities[2].max()[None])
    plain = float(tagger.read(WORDS).columns["upos"].probabilities[2].max())
    assert abs(float(row["probability"]) - plain) > 0.003  # so it differs from the run without it
    studio.panel("edits").get_by_role("button", name="Remove: 128 units of l1.c").click()
    expect(studio.panel("edits").locator(".edit-list")).to_have_count(0)
    studio.page.keyboard.press("Control+z")
    studio.page.keyboard.press("Control+z")
    expect(studio.page.locator("main.page-explain")).to_be_visible()


IN_SIGHT = """(name) => {
  const { left, right } = document.querySelector(name).getBoundingClientRect();
  return left >= 0 && right <= innerWidth;
}"""


def test_names_stay_in_sight_on_a_phone(studio: Shown) -> None:
    studio.page.set_viewport_size(PHONE)
    look(studio, ".patch-map", text=f"{TEXT} {TEXT}", text2=f"{TEXT} {OTHER}", step=8)
    for panel, name in (
        ("ledger", ".word-chart-title"),
        ("attribution", ".word-chart-title"),
        ("sweep", ".row-name"),
    ):
        stage = studio.panel(panel).locator(".scroll").first
        stage.evaluate("(stage) => (stage.scrollLeft = stage.scrollWidth)")
        assert stage.evaluate("(stage) => stage.scrollLeft > 0"), panel
        studio.page.wait_for_function(IN_SIGHT, arg=f"#{panel} {name}")
    studio.page.set_viewport_size({"width": 1280, "height": 720})


def edit(unit: int, place: str = "l0.c", t: int = 1, kind: str = "set") -> dict[str, Any]:
    return {"place": place, "kind": kind, "value": unit / 7, "unit": [unit], "t": [t], "scope": "write"}


@pytest.mark.parametrize(
    ("edits", "bundles"),
    [
        ([], []),
        ([edit(u) for u in range(7)], [1] * 7),  # so few that each has a line
        ([edit(u) for u in range(8)], [8]),
        ([edit(u) for u in range(8)] + [edit(u, t=2) for u in range(9)], [8, 9]),
        ([edit(0, kind="add")] + [edit(u) for u in range(8)] + [edit(3, "l0.h")], [1, 8, 1]),
        ([edit(u, kind="add") for u in range(9)], [1] * 9),
    ],
)
def test_edits_of_a_patch_stand_together(page: Modules, edits: list[dict[str, Any]], bundles: list[int]) -> None:
    script = 'async (edits) => (await import("studio/panels/edits/list.js")).bundles(edits)'
    found = page.run(script, edits)
    assert [each["count"] for each in found] == bundles
    assert [each["from"] for each in found] == [sum(bundles[:k]) for k in range(len(bundles))]


@pytest.mark.parametrize(
    ("view", "words"),
    [
        ({}, "The two texts are the same"),
        ({"text2": "The man ."}, "The other text has 3 words, but this one has 6"),
    ],
)
def test_patches_fails(studio: Shown, view: dict[str, str], words: str) -> None:
    look(studio, **view)
    expect(studio.panel("sweep").locator(".sweep-says")).to_contain_text(words)
    expect(studio.panel("sweep").locator(".patch-map")).to_have_count(0)


def test_long_texts_fail(studio: Shown) -> None:
    look(studio, "main.page-explain", text="word " * 301)
    expect(studio.panel("explain").locator(".explain-note")).to_contain_text("301 words, and at most 300")
    for name in ("ledger", "attribution", "sweep"):
        expect(studio.panel(name)).to_be_hidden()


def test_edits_rest(studio: Shown, tagger: Tagger) -> None:
    look(studio, edit="l0.f:set:0:t1")
    expect(studio.panel("explain").locator(".explain-note")).to_contain_text("without your edits")
    wanted = explain.attribute(tagger, WORDS, of=TARGET, method="occlusion")
    near([row["occlusion"] for row in studio.saved("attribution")], wanted.scores)


@pytest.mark.parametrize(
    "first",
    [pytest.param("structure", marks=pytest.mark.slow), "compare", pytest.param("explain", marks=pytest.mark.slow)],
)
def test_a_page_that_is_turned_to_later_has_what_is_read(studio: Shown, first: str) -> None:
    studio.look("#structure svg, .compare-drawing, .word-chart", page=first, text=TEXT)
    studio.page.get_by_role("group", name="Page").get_by_role("button", name="Read").click()
    studio.panel("table").scroll_into_view_if_needed()
    expect(studio.panel("table").locator("tbody tr")).to_have_count(len(WORDS))
    expect(studio.panel("sentence").locator(".word")).to_have_count(len(WORDS))
    expect(studio.page.get_by_label("Text to read, word by word")).to_have_value(TEXT)


@pytest.mark.parametrize(("width", "scheme"), diagonal([320, 390, 1280], ["light", "dark"]))
def test_it_fits(studio: Shown, width: int, scheme: str) -> None:
    studio.page.set_viewport_size({"width": width, "height": PHONE["height"]})
    look(studio, ".patch-map", text2=OTHER, theme=scheme, method="shapley")
    assert studio.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    for hit in studio.page.locator(".word-chart-word").all():
        assert hit.evaluate("(word) => word.getComputedTextLength() <= 140")
    studio.page.set_viewport_size({"width": 1280, "height": 720})


def test_a_language_model(chromium: Browser) -> None:
    model = make_language_model()
    text = "the cat sat on"
    with shown(chromium, hs.studio(model, text=text)) as studio:
        look(studio, text=text, step=6, method="shapley", replace="words")
        expect(studio.panel("attribution").locator(".word-chart-title")).to_have_count(2, timeout=3 * PATIENCE)
        of = explain.log_probability(text[7], word=7)
        spans = [(0, 1), (1, 5), (5, 9), (9, 13), (13, 15)]
        wanted = explain.attribute(model, text, of=of, method="shapley", spans=spans)
        assert wanted.occlusion is not None
        rows = studio.saved("attribution")
        assert [(int(row["start"]), int(row["stop"])) for row in rows] == spans
        near([row["occlusion"] for row in rows], wanted.occlusion[0])
        near([row["shapley"] for row in rows], wanted.scores)
        studio.page.get_by_role("button", name="Characters").click()
        expect(studio.panel("attribution").locator(".word-chart-word")).to_have_count(1 + len(text))
        wanted = explain.attribute(model, text, of=of, method="occlusion")
        near([row["occlusion"] for row in studio.saved("attribution")], wanted.scores)
        ledger = explain.ledger(model, text, place="l1.c[3]@7")
        look(studio, text=text, step=6, memory="l1.c[3]")
        near([row["left"] for row in studio.saved("ledger")], ledger.parts[:, 0])


def test_an_lstm_alone_and_a_trace(chromium: Browser) -> None:
    lstm = hs.LSTM(3, 4, num_layers=2)
    x = torch.randn(5, 3)
    trace = lstm.trace(x)
    with shown(chromium, hs.studio({"lstm": lstm}, x=x)) as studio:
        look(studio, text="", step=3, track="l1", unit=2)
        expect(studio.panel("explain").locator(".explain-name")).to_contain_text("l1.h[2] at step 3")
        wanted = explain.attribute(lstm, x, of="l1.h[2]@3", method="occlusion")
        near([row["occlusion"] for row in studio.saved("attribution")], wanted.scores)
    with shown(chromium, hs.studio(trace)) as studio:
        look(studio, "#ledger .word-chart", text="", step=3, memory="l0.c[1]")
        ledger = explain.ledger(lstm, x, place="l0.c[1]@3")
        near([row["left"] for row in studio.saved("ledger")], ledger.parts[:, 0])
        expect(studio.panel("attribution")).to_contain_text("A recorded trace has no weights")


def test_offline(chromium: Browser, tmp_path: Path, tagger: Tagger) -> None:
    path = tmp_path / "view.html"
    hs.studio(text=TEXT, view={"page": "explain", "step": 2, "otherText": OTHER}).save(path)
    with watched(chromium, offline=True) as watch:
        watch.page.goto(path.as_uri())
        watch.page.wait_for_selector(".patch-map")
        shown_value: Locator = watch.page.locator(".explain-name .number")
        value = explain.attribute(tagger, WORDS, of=TARGET, method="occlusion").value
        expect(shown_value).to_have_text(f"{value:.4f}")
        assert watch.errors == []
