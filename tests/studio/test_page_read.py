"""The Read page: typing, moving through the steps, choosing units, undoing, saving, the address."""

import csv
import io
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

import hiddenstate as hs
from hiddenstate.models.tagger.tagger import Tagger
from studio.browsers import FIREFOX, double_click, emulate, launch, saved_by
from studio.browsing import NEEDS_CHROMIUM
from studio.whole_page import PHONE, Shown, shown

pytestmark = NEEDS_CHROMIUM

SENTENCE = "The old man sold us the house."
WORDS = ["The", "old", "man", "sold", "us", "the", "house", "."]
WITHIN = 1e-5


@pytest.fixture(scope="module")
def studio(chromium: Browser) -> Iterator[Shown]:
    with shown(chromium, hs.studio()) as page:
        yield page


@pytest.fixture
def page(studio: Shown) -> Page:
    studio.look(text=SENTENCE, step=2, unit=5)
    return studio.page


def tags(page: Page) -> list[tuple[str, str]]:
    words = page.locator(".word").all()
    return [(word.locator(".word-token").inner_text(), word.locator(".word-tag").inner_text()) for word in words]


VIEW = "Object.fromEntries(new URLSearchParams(location.hash.slice(1)))"


def view(page: Page) -> dict[str, str]:
    """Return the view in the address, once it has been written."""
    page.wait_for_timeout(400)
    pairs: dict[str, str] = page.evaluate(VIEW)
    return pairs


def expect_view(page: Page, **said: str) -> None:
    """Wait until the address says this. It is written a moment after a change; `view` waits for what may not change."""
    says = f"(said) => {{ const now = {VIEW}; return Object.keys(said).every((name) => now[name] === said[name]); }}"
    page.wait_for_function(says, arg=said)


def saved(page: Page, panel: str, kind: str) -> bytes:
    page.locator(f"#{panel} summary", has_text="Save").click()
    name, content = saved_by(page, page.locator(f"#{panel} [data-export={kind}]").click)
    assert name == f"hiddenstate-{panel}.{kind}"
    return content


def rows(page: Page, panel: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(saved(page, panel, "csv").decode(), newline="")))


def test_typing(page: Page, tagger: Tagger) -> None:
    page.locator("#text").fill("")
    page.locator("#text").press_sequentially("She said the blorfs .", delay=5)
    expect(page.locator(".word")).to_have_count(5)
    words = ["She", "said", "the", "blorfs", "."]
    assert tags(page) == list(zip(words, tagger.read(words).columns["upos"].tags, strict=True))
    expect(page.locator(".word.unknown .word-token")).to_have_text(["blorfs"])
    expect_view(page, text="She said the blorfs .")
    page.locator("#text").fill("")
    page.wait_for_timeout(300)  # nothing to read, which is no error
    expect(page.locator(".problem").first).to_be_hidden()


@pytest.mark.skipif(FIREFOX, reason="only Chromium counts the objects of a page")
def test_runs_of_earlier_texts_are_forgotten(page: Page) -> None:
    for count in range(1, 13):
        page.locator("#text").fill("word " * count)
        expect(page.locator(".word")).to_have_count(count)
    devtools = page.context.new_cdp_session(page)
    prototype = devtools.send("Runtime.evaluate", {"expression": "Object.prototype"})["result"]["objectId"]
    found = devtools.send("Runtime.queryObjects", {"prototypeObjectId": prototype})["objects"]["objectId"]
    tracks = devtools.send(
        "Runtime.callFunctionOn",
        {
            "objectId": found,
            "functionDeclaration": "function () { return this.filter((one) => one.info && one.values).length; }",
            "returnByValue": True,
        },
    )
    devtools.detach()
    assert tracks["result"]["value"] < 4 * 10  # a run has 4


def test_text_is_text(page: Page) -> None:
    page.locator("#text").fill("<img src=x onerror=alert(1)> & <script>alert(2)</script>")
    expect(page.locator(".word-token").first).to_have_text("<")
    assert page.evaluate("document.querySelectorAll('img, #sentence script').length") == 0


def test_long_words(page: Page, studio: Shown) -> None:
    page.locator("#text").fill("a" * 300 + " is long")
    expect(page.locator(".word-token").first).to_have_text("a" * 31 + "…")
    expect(page.locator(".says .number")).to_be_visible()
    assert studio.sticks_out() == 0


def test_too_long_a_text_fails(page: Page) -> None:
    page.locator("#text").fill("a " * 2001)
    expect(page.locator("#sentence .problem")).to_contain_text("2001 words: expected at most 2000")
    expect(page.locator(".word")).to_have_count(8)  # the last text that was read is still there
    page.locator("#text").fill("A dog")
    expect(page.locator("#sentence .problem")).to_be_hidden()


def test_distribution(page: Page, tagger: Tagger) -> None:
    reading = tagger.read(WORDS).columns["upos"]
    expect(page.locator(".says")).to_contain_text(f"{reading.probabilities[2].max():.4f}")
    expect(page.locator(".column-name")).to_have_text(list(reading.names))
    heights = [float(bar.get_attribute("height") or "nan") for bar in page.locator(".column").all()]
    assert sum(heights) == pytest.approx(50, abs=0.01)  # the height of a column of probability 1
    assert heights.index(max(heights)) == int(reading.probabilities[2].argmax())


def test_panels_off_the_screen_are_printed(studio: Shown) -> None:
    studio.look(anew=True, text=SENTENCE, step=2, unit=5)
    table = studio.page.locator("#table tbody tr")
    expect(table).to_have_count(0)
    studio.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(table).to_have_count(8)
    expect(studio.page.locator("#table tr[aria-current]")).to_have_count(1)
    studio.page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(studio.page.locator("#table tr[aria-current]")).to_have_count(0)  # it is not drawn again


def test_scrubbing_moves_the_cursor_and_rebuilds_nothing(page: Page) -> None:
    page.locator("#lines").scroll_into_view_if_needed()
    page.locator("#table").scroll_into_view_if_needed()
    expect(page.locator("#table tbody tr")).to_have_count(8)
    page.evaluate("""() => {
        window.built = 0;
        new MutationObserver((changes) => changes.forEach(({ addedNodes, target }) => {
          const nodes = [...addedNodes].filter((node) => node.nodeType !== Node.TEXT_NODE);
          if (nodes.length > 0 && target.className !== "says") window.built += 1;
        })).observe(document.querySelector("#studio"), { childList: true, subtree: true });
    }""")
    slider = page.locator("#scrub")
    for step in (3, 6, 4):
        slider.evaluate("(slider, step) => { slider.value = step; slider.dispatchEvent(new Event('input')) }", step)
        expect(page.locator(".word[aria-current]")).to_contain_text(WORDS[step])
        expect(page.locator("#table tr[aria-current]")).to_have_attribute("data-step", str(step))
        expect(page.locator(".heat-readout")).to_contain_text(f"unit 5, step {step} {WORDS[step]}")
        expect(slider).to_have_attribute("aria-valuetext", f"Step {step} of 7: {WORDS[step]}")
    assert page.evaluate("window.built") == 0
    expect_view(page, step="4")


def heat_point(page: Page, step: int, unit: int, steps: int = 8, units: int = 128) -> tuple[float, float]:
    """Where a cell of the unpinned, unsorted heat map is on the screen."""
    column, row = page.locator(".heat-column").bounding_box(), page.locator(".heat-row").bounding_box()
    assert column is not None
    assert row is not None
    at = int(page.locator(".heat-row .heat-unit").inner_text())
    now = int(view(page).get("step", 0))
    height = column["height"] / units
    return column["x"] + column["width"] * (step - now + 0.5), row["y"] + row["height"] / 2 + height * (unit - at)


def test_heat_map_by_pointer(page: Page) -> None:
    x, y = heat_point(page, step=6, unit=90)
    page.mouse.move(x, y)
    expect(page.locator(".heat-readout")).to_contain_text("unit 90, step 6 house")
    assert view(page)["unit"] == "5"  # looking at a unit does not choose it
    page.mouse.click(x, y)
    expect_view(page, unit="90", step="6")
    double_click(page, x, y)
    expect_view(page, pin="90")
    expect(page.locator(".lines-unit")).to_have_text(["unit 90"])


def test_heat_map_shows_the_trace(page: Page, studio: Shown, tagger: Tagger) -> None:
    traced = tagger.read(WORDS).trace
    page.locator("#heatmap [data-value=f]").click()
    page.locator("#transport [data-value=l0r]").click()
    table = rows(page, "heatmap")
    assert table[0] == ["l0r.f unit", *(f"{t} {word}" for t, word in enumerate(WORDS))]
    values = traced["l0r.f"].reshape(len(WORDS), -1)
    for unit, row in enumerate(table[1:]):
        assert [float(value) for value in row[1:]] == pytest.approx(values[:, unit].tolist(), abs=WITHIN)
    words = page.locator("#heatmap-words").inner_text()
    assert words.startswith("f of l0r: 128 units by 8 steps. Lowest ")


def test_sorting(page: Page, tagger: Tagger) -> None:
    page.locator("#heatmap [data-value=h]").click()
    page.locator("#heatmap select").select_option("tag:NOUN")
    h = tagger.read(WORDS).trace["l1.h"].reshape(8, -1).double()
    noun = h.new_tensor([tag == "NOUN" for tag in tagger.read(WORDS).columns["upos"].tags])
    r = (h - h.mean(0)).T @ (noun - noun.mean()) / (len(h) * h.std(0, correction=0) * noun.std(correction=0))
    page.locator(".heat-map").focus()
    for _ in range(13):
        page.keyboard.press("PageUp")
    best = int(r.argmax())
    expect_view(page, unit=str(best))  # the first row
    expect(page.locator(".heat-readout")).to_contain_text(f"r with NOUN {r[best]:.2f}")
    expect_view(page, sort="tag:NOUN")
    for sort in ("change", "cluster", "index"):
        page.locator("#heatmap select").select_option(sort)
        page.keyboard.press("Home")


def test_pinning_and_undo(page: Page) -> None:
    page.locator("#heatmap [aria-label='Pin unit 5 (P)']").click()
    expect(page.locator("#heatmap [aria-label='Pin unit 5 (P)']")).to_have_attribute("aria-pressed", "true")
    page.locator(".heat-map").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("p")
    expect_view(page, pin="5,6")
    page.keyboard.press("Control+z")
    expect_view(page, pin="5")
    page.keyboard.press("Control+Shift+z")
    expect_view(page, pin="5,6")
    page.get_by_role("button", name="Undo").first.click()
    page.get_by_role("button", name="Undo").first.click()
    assert "pin" not in view(page)
    expect(page.get_by_role("button", name="Undo").first).to_be_disabled()


def test_keys_alone(page: Page) -> None:
    def press(*keys: str) -> dict[str, str]:
        for key in keys:
            page.keyboard.press(key)
        return view(page)

    page.locator("body").press("ArrowRight")
    assert press("ArrowRight")["step"] == "4"
    assert press("ArrowLeft", "ArrowUp")["unit"] == "4"
    assert "step" not in press("Home")
    assert press("End")["step"] == "7"
    seen: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break  # the end of the page: Tab then goes to the browser's own buttons
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.getAttribute('class') || ''"))
        ring = page.evaluate("""() => document.activeElement.matches("svg *")
          || getComputedStyle(document.activeElement).outlineStyle !== "none" """)
        assert ring, seen[-1]
    for wanted in ("text", "scrub", "heat-map", "icon-button play", "word"):
        assert any(name.startswith(wanted) for name in seen), wanted
    page.locator("#text").focus()
    assert press("ArrowLeft", "Home", "p", "Backspace")["step"] == "7"  # typing does not move the cursor


def test_keys_are_heard(page: Page) -> None:
    heat, heard = page.locator(".heat-map"), page.locator("#heatmap [role=status]")
    heat.focus()
    page.keyboard.press("ArrowDown")
    expect(heard).to_contain_text("unit 6, step 2 man: c = ")
    page.keyboard.press("ArrowRight")
    expect(heard).to_contain_text("unit 6, step 3 sold: c = ")
    heat.blur()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(100)
    expect(heard).to_contain_text("step 3")  # users elsewhere on the page are not interrupted


def test_focus_stays_when_the_menu_closes(page: Page) -> None:
    summary = page.locator("#heatmap summary", has_text="Save")
    summary.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#heatmap [data-export=svg]")).to_be_focused()
    page.keyboard.press("Escape")
    expect(summary).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    saved_by(page, lambda: page.keyboard.press("Enter"))
    expect(summary).to_be_focused()


def test_keys_in_what_scrolls(studio: Shown) -> None:
    studio.look(text="the cat sat on the mat and " * 6, unit=5, step=2)
    page = studio.page
    page.locator("#table").scroll_into_view_if_needed()
    table = page.locator(".table-scroll")
    expect(page.locator("#table tbody tr").first).to_be_visible()
    table.focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_function("() => document.querySelector('.table-scroll').scrollTop > 0")
    assert view(page)["unit"] == "5"  # it scrolled, and nothing else


# Every word that becomes the current one, in order: polling would miss some on a busy machine.
WATCH_WORDS = """() => {
    window.played = [];
    const note = (changes) => {
        for (const { target } of changes) {
            const token = target.matches(".word[aria-current]") && target.querySelector(".word-token");
            if (token) window.played.push(token.innerText);
        }
    };
    const watched = { attributes: true, attributeFilter: ["aria-current"], subtree: true };
    new MutationObserver(note).observe(document.body, watched);
}"""


def test_playing(page: Page) -> None:
    page.locator("#transport select").select_option("fast")
    page.locator("body").press("End")
    expect(page.locator(".word[aria-current]")).to_contain_text(".")
    page.evaluate(WATCH_WORDS)
    page.keyboard.press(" ")  # at the end: starts again
    page.wait_for_function("() => window.played.at(-1) === '.'")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    assert page.evaluate("window.played") == WORDS


def test_pausing(page: Page) -> None:
    page.locator("#transport select").select_option("slow")
    page.locator("body").press("Home")
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_lines(page: Page, tagger: Tagger) -> None:
    page.locator("#lines").scroll_into_view_if_needed()
    expect(page.locator(".lines-unit")).to_have_text(["unit 5"])
    numbers = page.locator(".lines-number").all_text_contents()
    at = tagger.read(WORDS).trace.at(t=2, unit=5, layer=1)
    letters = page.locator(".lines-letter").all_text_contents()
    assert dict(zip(letters, map(float, numbers), strict=True)) == pytest.approx(
        {name: at[name] for name in "ifogch"}, abs=1e-4
    )
    box = page.locator(".lines-chart").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 40)
    assert view(page)["step"] in ("3", "4")


def test_table(page: Page) -> None:
    expect(page.locator("#table tr")).to_have_count(0)  # it is drawn when it is on the screen
    page.locator("#table").scroll_into_view_if_needed()
    steps = page.locator("#table .table-step")
    page.get_by_role("button", name="probability").click()
    assert steps.all_inner_texts() != [str(t) for t in range(8)]
    page.get_by_role("button", name="probability").click()
    shares = [float(text) for text in page.locator("#table tbody tr > :nth-child(4)").all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    page.locator("#table .filter").fill("noun")
    expect(steps).to_have_count(2)
    expect(page.locator("#table [role=status]")).to_have_text("2 of 8 rows")
    page.locator("#table tbody tr", has_text="house").click()
    expect_view(page, step="6", rows="-probability", filter="noun")
    table = rows(page, "table")
    assert table[0][:5] == ["step", "token", "prediction", "probability", "5 i"]
    assert {row[1] for row in table[1:]} == {"man", "house"}


def test_pictures(page: Page) -> None:
    page.locator("body").press("p")
    for panel in ("sentence", "heatmap", "lines"):
        text = saved(page, panel, "svg").decode()
        ET.fromstring(text)  # well-formed
        assert "var(" not in text
        assert "class=" not in text
        assert "house" in text
        png = saved(page, panel, "png")
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
        assert width > 600
        assert height > 80


def test_address_round_trip(studio: Shown, page: Page) -> None:
    page.locator("#heatmap [data-value=o]").click()
    page.locator("#heatmap select").select_option("change")
    page.locator("body").press("p")
    page.locator("body").press("ArrowDown")
    before, url = view(page), page.url
    assert set(before) >= {"text", "step", "unit", "pin", "show", "sort"}
    page.goto("about:blank")
    page.goto(url)
    expect(page.locator(".heat-readout")).to_contain_text("unit 6, step 2 man")
    expect(page.locator("#heatmap [data-value=o]")).to_have_attribute("aria-pressed", "true")
    assert view(page) == before
    page.evaluate("location.hash = 'text=A+dog+barks&step=1'")
    expect(page.locator(".word[aria-current]")).to_contain_text("dog")
    page.evaluate("location.hash = 'text=A+dog+barks&step=7'")  # beyond the end: its last step
    expect(page.locator(".word[aria-current]")).to_contain_text("barks")


def test_address_fails(studio: Shown) -> None:
    studio.look(
        anew=True, step="many", unit=999999, track="l7", head="nope", sort="tag:NONE", text="A dog", pin="3,4000"
    )
    page = studio.page
    expect(page.locator(".notice")).to_contain_text("Could not read “step=many”")
    expect(page.locator(".word")).to_have_count(2)
    written = view(page)
    assert written["track"] == "l1"
    assert written["pin"] == "3"
    assert int(written["unit"]) < 128
    page.get_by_role("button", name="Close", exact=True).click()
    expect(page.locator(".notice")).to_have_count(0)


CONTRAST = """([theme, pairs]) => {
  const { dataset } = document.documentElement;
  const before = dataset.theme;
  dataset.theme = theme;
  const probe = document.createElement("i");
  document.body.append(probe);
  const light = (name) => {
    probe.style.color = `var(${name})`;
    const parts = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
    const [r, g, b] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = pairs.map(([ink, paper]) => [light(ink), light(paper)].sort((a, b) => b - a));
  probe.remove();
  dataset.theme = before;
  return found.map(([high, low]) => (high + 0.05) / (low + 0.05));
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(page: Page, theme: str) -> None:
    inks = ["--ink", "--ink-soft", "--accent", *(f"--q-{name}" for name in "ifgoch")]
    pairs = [(ink, paper) for ink in inks for paper in ("--surface", "--raised", "--bg")]
    pairs += [("--on-accent", "--accent"), ("--danger", "--danger-soft"), ("--ink", "--accent-soft")]
    for pair, contrast in zip(pairs, page.evaluate(CONTRAST, [theme, pairs]), strict=True):
        assert contrast >= 4.5, pair


def test_theme(page: Page) -> None:
    shot = "document.querySelector('.heat-canvas').toDataURL()"
    before = page.evaluate(shot)
    button = page.locator("[aria-label='Theme: auto']")
    button.click()  # light
    page.locator("[aria-label='Theme: light']").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate(shot) != before
    expect_view(page, theme="dark")


def test_theme_of_the_system(page: Page) -> None:
    grounds = {"light": "rgb(244, 243, 238)", "dark": "rgb(18, 20, 24)"}
    shot = "document.querySelector('.heat-canvas').toDataURL()"
    before = page.evaluate(shot)
    emulate(page, "(prefers-color-scheme: dark)", color_scheme="dark")
    expect(page.locator("body")).to_have_css("background-color", grounds["dark"])
    page.wait_for_function(f"before => {shot} !== before", arg=before)  # canvas drawings follow too
    page.locator("[aria-label='Theme: auto']").click()
    expect(page.locator("body")).to_have_css("background-color", grounds["light"])  # a chosen theme takes precedence
    page.emulate_media(color_scheme=None)


@pytest.mark.skipif(not FIREFOX, reason="Chromium is told so while it runs")
def test_theme_of_a_dark_system(chromium: Browser) -> None:
    dark = launch(chromium.browser_type, {"layout.css.prefers-color-scheme.content-override": 0})
    with closing(dark), shown(dark, hs.studio()) as studio:
        studio.look(text=SENTENCE)
        expect(studio.page.locator("body")).to_have_css("background-color", "rgb(18, 20, 24)")
        studio.look(text=SENTENCE, theme="light")
        expect(studio.page.locator("body")).to_have_css("background-color", "rgb(244, 243, 238)")


def outside(page: Page) -> list[str]:
    script = """() => [...document.querySelectorAll("#studio *")].filter((node) => {
        const box = node.getBoundingClientRect();
        const scrolls = node.closest(".offstage, .table-scroll, .scroll, .hs-stage, .heat-place");
        return box.width > 0 && box.right > document.documentElement.clientWidth + 1 && !scrolls;
      }).map((node) => node.tagName + "." + node.getAttribute("class"))"""
    found: list[str] = page.evaluate(script)
    return found


def test_all_at_once_at_1280_by_720(page: Page) -> None:
    boxes: dict[str, Any] = {
        name: page.locator(f"#{name}").bounding_box() for name in ("sentence", "heatmap", "microscope")
    }
    for name, box in boxes.items():
        assert box["y"] >= 0, name
        assert box["y"] + box["height"] <= 720, name
        assert box["x"] + box["width"] <= 1280, name
    assert boxes["heatmap"]["height"] > 360  # half of the page, whatever its fonts
    assert outside(page) == []


def test_phone(chromium: Browser) -> None:
    with shown(chromium, hs.studio(text=SENTENCE), PHONE) as studio:
        studio.look(text=SENTENCE, unit=5)
        page = studio.page
        assert studio.sticks_out() == 0
        assert outside(page) == []
        assert page.locator(".top-pages .segments").evaluate("(one) => one.scrollWidth <= one.clientWidth")
        page.locator(".word", has_text="house").click()
        expect(page.locator(".heat-readout")).to_contain_text("step 6 house")
        page.locator("#heatmap .heat-map").scroll_into_view_if_needed()
        x, y = heat_point(page, step=1, unit=60)
        page.mouse.click(x, y)
        expect_view(page, unit="60")


def gates_said(tagger: Tagger, t: int, track: str = "l1") -> list[str]:
    trace = tagger.read(WORDS).trace
    return [f"{round(100 * float(trace[f'{track}.{gate}'][t].mean()))} %" for gate in "fio"]


def test_what_happens_is_said_below_play_as_it_reads(page: Page, tagger: Tagger) -> None:
    tells = page.locator(".transport-tells")
    keeps, lets, shows = gates_said(tagger, 2)
    expect(tells).to_have_text(
        f"l1 reads “man”: the forget gate keeps {keeps} of the memory; the input gate lets in {lets} of the candidate, "
        f"the output gate outputs {shows} (mean of 128 units)."
    )
    page.get_by_role("button", name="One step forward").click()
    expect(tells).to_contain_text(f"l1 reads “sold”: the forget gate keeps {gates_said(tagger, 3)[0]}")
    page.locator("#transport [data-value=l0r]").click()
    expect(tells).to_contain_text(f"l0r reads “sold”: the forget gate keeps {gates_said(tagger, 3, 'l0r')[0]}")
    page.locator("#scrub").fill("7")
    expect(tells).to_contain_text("l0r reads “.”: there is no memory to keep yet;")  # it begins at the end
    page.locator("#scrub").fill("0")
    expect(tells).to_contain_text("Press Play to watch the model continue reading.")


def test_one_word_says_why_it_is_not_played(studio: Shown) -> None:
    studio.look(text="Fish")
    why = "There is only one word, so there is nothing to play."
    for name in ("Play", "One step back", "One step forward"):
        button = studio.page.get_by_role("button", name=name, exact=True)
        expect(button).to_be_disabled()
        expect(button).to_have_attribute("title", why)
    expect(studio.page.locator(".transport-tells")).to_contain_text(why)
    studio.look(text="Fish swim")
    expect(studio.page.get_by_role("button", name="Play", exact=True)).to_have_attribute("title", "Play (space)")


@pytest.mark.parametrize("text", ["Fish", "Giraffes in a field", SENTENCE])
def test_a_sentence_of_any_length_fills_the_heat_map(studio: Shown, text: str) -> None:
    studio.look(text=text)
    place, canvas = studio.page.locator(".heat-place"), studio.page.locator(".heat-canvas")
    boxes = [box for each in (place, canvas) if (box := each.bounding_box())]
    assert boxes[1]["width"] == pytest.approx(boxes[0]["width"], abs=2)
    steps = len(text.replace(".", " .").split())
    column = studio.page.locator(".heat-column").bounding_box()
    assert column is not None
    assert column["width"] * steps > 0.85 * boxes[0]["width"]


def test_the_tour_is_offered_by_name(studio: Shown) -> None:
    studio.look(text=SENTENCE)
    expect(studio.page.get_by_role("button", name="Start the tour")).to_be_in_viewport()
