"""The page with everything it can open: several taggers, language models, LSTMs that read numbers, traces, streams."""

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, Locator, Page, expect

import hiddenstate as hs
from hiddenstate.models.language.scoring import score
from language_models import make as make_language_model
from studio.browsing import NEEDS_CHROMIUM
from studio.runtime.test_tagger import make as make_tagger
from studio.whole_page import Shown, shown

pytestmark = NEEDS_CHROMIUM

NOTHING = "\u2013"
WITHIN = 2e-4  # of values shown with four digits
SIZED = ".model-size:not(:empty)"  # there is a model, which may have read nothing


def make_lstm() -> hs.LSTM:
    torch.manual_seed(3)
    return hs.LSTM(3, 9, 2)


torch.manual_seed(5)
OWN = hs.tagger(
    (torch.nn.Embedding(4, 3), torch.nn.LSTM(3, 4), torch.nn.Linear(4, 2)),
    words=["<unk>", "time", "flies", "Time"],
    tags=["NOUN", "VERB"],
)


@pytest.fixture(scope="module")
def trace() -> hs.Trace:
    torch.manual_seed(4)
    return hs.LSTM(2, 5, bidirectional=True).trace(torch.randn(7, 1, 2))


@pytest.fixture(scope="module")
def studio(chromium: Browser, trace: hs.Trace) -> Iterator[Shown]:
    models = {
        "columns": make_tagger(columns=("upos", "xpos")),
        "own": OWN,
        "characters": make_language_model(),
        "words": make_language_model(level="word"),
        "numbers": make_lstm(),
        "projected": hs.LSTM(2, 8, proj_size=3),
        "trace": trace,
    }
    with shown(chromium, hs.studio(models)) as page:
        yield page


def numbers(page: Page, selector: str) -> list[float]:
    return [float(text) for text in page.locator(selector).all_text_contents() if text not in ("", NOTHING)]


def test_a_tagger_from_layers_of_torch_reads_what_is_typed(studio: Shown) -> None:
    studio.look(model="own", text="Time flies", step=0)
    page = studio.page
    page.locator("#text").fill("time Time elsewhere")
    words = ["time", "Time", "elsewhere"]
    expect(page.locator(".word-token")).to_have_text(words)
    expect(page.locator(".word-tag")).to_have_text(list(OWN.read(words).tags))
    expect(page.locator(".word.unknown .word-token")).to_have_text(["elsewhere"])
    expect(page.locator(".column-name")).to_have_text(["NOUN", "VERB"])


def test_columns(studio: Shown) -> None:
    studio.look(model="columns", text="the cat", step=1)
    page = studio.page
    expect(page.locator(".column-name")).to_have_text(["ADJ", "NOUN", "VERB"])
    page.locator("#sentence label", has_text="Predicts").locator("select").select_option("xpos")
    expect(page.locator(".column-name")).to_have_text(["NN", "NNS", "VB", "VBZ", "_"])
    tags = make_tagger(columns=("upos", "xpos")).read(["the", "cat"]).columns["xpos"].tags
    expect(page.locator(".word-tag")).to_have_text(list(tags))


def test_choosing_a_model(studio: Shown) -> None:
    studio.look(model="columns", text="the cat")
    page = studio.page
    page.get_by_label("Model", exact=True).select_option("words")
    expect(page.locator("#sentence h2")).to_have_text("Text")
    expect(page.locator(".model-size")).to_have_text("2 layers × 7 units")
    expect(page.locator(".word-token")).to_have_text(["the", "cat"])


def test_choosing_a_model_fails(studio: Shown) -> None:
    studio.look("#sentence .problem", model="nobody")
    expect(studio.page.locator("#sentence .problem")).to_contain_text(
        'a model called "nobody": expected one of columns'
    )


def test_choosing_numbers_and_back(studio: Shown) -> None:
    studio.look(model="columns", text="the cat")
    page = studio.page
    choice = page.get_by_label("Model", exact=True)
    choice.select_option("numbers")
    expect(page.locator(".model-size")).to_have_text("2 layers × 9 units")
    expect(page.locator(".hs-about")).to_contain_text("step 0. l1 reads")
    expect(page.locator("#sentence .problem")).to_be_hidden()
    choice.select_option("columns")
    expect(page.locator(".word-token")).to_have_text(["the", "cat"])


def test_choosing_words_after_numbers_that_were_never_typed(studio: Shown) -> None:
    studio.look(model="trace")
    studio.page.get_by_label("Model", exact=True).select_option("words")
    expect(studio.page.locator(".word-token").first).to_be_visible()


def test_nothing_to_read_fails(studio: Shown) -> None:
    studio.look(model="columns", text="the cat")
    page = studio.page
    page.locator("#text").fill("  ")
    for part in (".hs-about", ".hs-stage", ".hs-crumbs"):
        expect(page.locator(part)).to_be_hidden()
    page.locator("#text").fill("a cat")
    expect(page.locator(".hs-about")).to_contain_text("“a”")
    expect(page.locator(".hs-stage svg").first).to_be_visible()


@pytest.mark.parametrize(("model", "text"), [("words", "the cat sat on the zebra"), ("characters", "the cat\nsat")])
def test_language_models(studio: Shown, model: str, text: str) -> None:
    studio.look(model=model, text=text, step=2)
    page = studio.page
    lm = make_language_model(level="word" if model == "words" else "char")
    nats = [float(value) for part in score(lm, io.StringIO(text)) for value in part.nats]
    # a file of words ends with a newline, but typed text does not
    assert numbers(page, ".word-tag") == pytest.approx(nats[: -1 if model == "words" else None], abs=0.051)
    expect(page.locator(".says")).to_contain_text("it expects")
    shares = numbers(page, ".row-number")
    assert sum(shares) == pytest.approx(1, abs=2e-3)
    assert shares[:-1] == sorted(shares[:-1], reverse=True)


def test_unknown_words_of_a_language_model(studio: Shown) -> None:
    studio.look(model="words", text="the zebra sat")
    expect(studio.page.locator(".word.unknown .word-token")).to_have_text(["zebra"])


def output(lstm: hs.LSTM, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        out: torch.Tensor = lstm(x[:, None])[0]
    return out[:, 0]


def test_numbers(studio: Shown) -> None:
    studio.look(model="numbers", text="step 12", step=3)
    page = studio.page
    x = torch.zeros(12, 3)
    x[3:] = 1
    h = output(make_lstm(), x)[3]
    order = h.abs().argsort(descending=True)[:6].tolist()
    expect(page.locator(".row-name")).to_have_text([f"unit {unit}" for unit in order])
    assert numbers(page, ".row-number") == pytest.approx(h[order].tolist(), abs=WITHIN)
    assert numbers(page, ".signal-number") == [1, 1, 1]
    table = studio.saved("sentence")
    assert [row["x1"] for row in table] == ["0"] * 3 + ["1"] * 9
    page.get_by_label("Examples").select_option("noise 24")
    expect(page.locator("#rows")).to_have_value("noise 24")
    expect(page.locator("#transport output")).to_have_text("3 / 23")
    before = numbers(page, ".signal-number")
    page.locator("#rows").fill("noise 24 7")
    expect(page.locator(".signal-number").first).not_to_have_text(f"{before[0]:.4f}")
    page.locator("#rows").fill("0.5, -1, 2\n1;0;0")
    expect(page.locator(".transport-says")).to_have_text("1 / 1")
    h = output(make_lstm(), torch.tensor([[0.5, -1, 2], [1, 0, 0]]))[1]
    assert numbers(page, ".row-number")[0] == pytest.approx(float(h[h.abs().argmax()]), abs=WITHIN)


def test_numbers_fail(studio: Shown) -> None:
    studio.look(model="numbers", text="1,2,3")
    page = studio.page
    page.locator("#rows").fill("1, 2, 3\n4, 5")
    expect(page.locator("#sentence .problem")).to_have_text(
        'row 2 is "4, 5": expected 3 numbers. '
        "Give one row of numbers per step, separated by commas, optionally after a name and a colon."
    )


def test_projection(studio: Shown) -> None:
    studio.look(model="projected", text="sine 6", show="h", pin="1,7")
    page = studio.page
    expect(page.locator("#heatmap-words")).to_contain_text("h of l0: 3 units by 6 steps")
    page.locator("#lines").scroll_into_view_if_needed()
    expect(page.locator(".lines-unit")).to_have_text(["unit 1", "unit 7"])
    expect(page.locator(".lines-number").last).to_have_text(NOTHING)  # there is no h of unit 7


def test_a_row_of_one_number_is_not_called_numbers(chromium: Browser) -> None:
    with shown(chromium, hs.studio(hs.LSTM(1, 2))) as studio:
        studio.page.goto("about:blank")
        studio.page.goto(f"{studio.url}#page=compare&text=x&text2=1")
        expect(studio.page.locator(".compare-note")).to_contain_text('row 1 is "x": expected 1 number. ')
        placeholder = re.compile("or rows of 1 number, one per line$")
        expect(studio.page.get_by_label("Input B", exact=True)).to_have_attribute("placeholder", placeholder)


def test_many_units_and_steps_scroll(chromium: Browser) -> None:
    with shown(chromium, hs.studio(hs.LSTM(1, 700))) as studio:
        studio.look(text="noise 300", step=299, unit=650)
        box = studio.page.locator(".heat-place").bounding_box()
        cell = studio.page.locator(".heat-row").bounding_box()
        column = studio.page.locator(".heat-column").bounding_box()
        assert box is not None
        assert cell is not None
        assert column is not None
        assert box["y"] < cell["y"] < box["y"] + box["height"]
        assert box["x"] < column["x"] < box["x"] + box["width"]


def test_tokens_stay_over_a_heat_map_that_scrolls(chromium: Browser) -> None:
    with shown(chromium, hs.studio(hs.LSTM(1, 700))) as studio:
        studio.look(text="noise 12", step=3, unit=650)
        page = studio.page
        place, head = page.locator(".heat-place").bounding_box(), page.locator(".heat-head").bounding_box()
        assert place is not None
        assert head is not None
        assert page.locator(".heat-place").evaluate("(place) => place.scrollTop") > 100
        assert head["y"] == place["y"]
        page.mouse.click(head["x"] + head["width"] / 2, head["y"] + 5)  # above units that are not visible
        expect(page.locator(".heat-readout")).to_contain_text("unit 650, step 3")
        page.locator(".heat-map").focus()
        for _ in range(40):
            page.keyboard.press("PageUp")
        cell = page.locator(".heat-row").bounding_box()
        assert cell is not None
        assert cell["y"] > head["y"] + head["height"]


def test_trace(studio: Shown, trace: hs.Trace) -> None:
    studio.look(model="trace", step=6, unit=4, track="l0r", show="c")
    page = studio.page
    expect(page.locator("#sentence h2")).to_have_text("Recorded run")
    expect(page.locator(".heat-value")).to_have_text(f"c = {trace['l0r.c'][6, 0, 4].item():.4f}")
    expect(page.get_by_role("button", name="Edit…")).to_be_hidden()  # without weights there is nothing to edit


def say(stream: Any, count: int) -> None:
    for _ in range(count):
        stream.step(torch.randn(3))


def test_live(chromium: Browser) -> None:
    torch.manual_seed(5)
    watched = hs.studio(make_lstm().stream())
    with shown(chromium, watched) as studio:
        page = studio.page
        page.goto(studio.url)
        expect(page.locator(".heat-value")).to_contain_text("=")
        stream: Any = watched.stream
        while not watched.audience.lookers:  # the page connects once it has its model
            page.wait_for_timeout(50)
        say(stream, 5)
        expect(page.locator("#sentence")).to_contain_text("Live: the steps come from a stream in Python.")
        expect(page.locator(".transport-says")).to_have_text("4 / 4")
        strongest = float(stream.stream.state[0][-1].abs().max())
        assert abs(numbers(page, ".row-number")[0]) == pytest.approx(strongest, abs=WITHIN)
        page.keyboard.press("Home")  # a user looking at an earlier step stays there
        say(stream, 3)
        expect(page.locator(".transport-says")).to_have_text("0 / 7")
        page.keyboard.press("End")
        say(stream, 300)
        expect(page.locator(".transport-says")).to_have_text("239 / 239")


def test_a_run_goes_with_its_model(studio: Shown) -> None:
    studio.look(model="numbers", text="1,2,3")
    page = studio.page
    page.evaluate("location.hash = 'model=projected&text=1,2,3'")
    expect(page.locator("#sentence .problem")).to_contain_text("expected 2 numbers")
    for part in (".heat-map", ".heat-readout", ".hs-about", ".hs-stage", ".edit-presets", ".signal"):
        expect(page.locator(part).first).to_be_hidden()
    page.evaluate("location.hash = 'model=projected&text=1,2'")
    expect(page.locator(".heat-value")).to_contain_text("=")
    expect(page.locator(".hs-about")).to_be_visible()
    expect(page.locator(".edit-presets")).to_be_visible()


def test_a_number_is_not_said_twice(studio: Shown) -> None:
    studio.look(model="numbers", text="step 12", step=3, unit=2)
    expect(studio.page.locator(".heat-readout .soft").first).to_have_text("unit 2, step 3")
    studio.look(model="columns", text="the cat", step=1, unit=2)
    expect(studio.page.locator(".heat-readout .soft").first).to_have_text("unit 2, step 1 cat")


def test_steps_of_numbers_are_not_called_words(studio: Shown) -> None:
    studio.look(model="numbers", text="step 12", unit=2, edit="l0.f:set:1:t3")
    page = studio.page
    page.locator("#table").scroll_into_view_if_needed()
    expect(page.locator("#edits .verdict")).to_contain_text("l0 at step 3, l1 at step 3.")
    expect(page.locator(".edit-where").first).to_have_text("all units, step 3")
    expect(page.locator("#table .filter")).to_have_attribute("placeholder", "Filter: h2>0.5")
    expect(page.locator("#table thead th").nth(1)).to_contain_text("2 i")
    studio.look(model="numbers", text="step 12", page="compare")
    expect(page.locator(".compare-note")).to_have_text("The two inputs are the same. Change one of them.")


def test_numbers_on_a_phone(chromium: Browser) -> None:
    for width in (390, 320):
        with shown(chromium, hs.studio(make_lstm(), x=torch.randn(5, 3)), {"width": width, "height": 844}) as studio:
            studio.look(step=1)
            assert studio.sticks_out() == 0


def test_only_spaces_fail(studio: Shown) -> None:
    page = studio.page
    studio.look(SIZED, model="columns", text="  ")
    for part in (".heat-readout", ".edit-presets"):
        expect(page.locator(part)).to_be_hidden()


def test_nowhere_to_go(studio: Shown) -> None:
    page = studio.page
    for text in ("  ", "one"):
        studio.look(SIZED, model="columns", text=text)
        for name in ("Play", "One step back", "One step forward"):
            expect(page.get_by_role("button", name=name, exact=True)).to_be_disabled()
        expect(page.locator("#scrub")).to_be_disabled()
        for key in ("ArrowRight", "ArrowLeft", "Home", "End", " "):
            page.keyboard.press(key)
    page.locator("#text").fill("one two")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_enabled()
    expect(page.locator("#scrub")).to_be_enabled()


def test_nothing_to_look_at(studio: Shown) -> None:
    page = studio.page
    studio.look(SIZED, model="columns", text="  ")
    for name in ("heatmap", "microscope", "lines"):
        expect(studio.panel(name).get_by_text("Nothing has been read yet.")).to_be_visible()
    page.keyboard.press("p")  # there is no unit to pin
    page.keyboard.press("ArrowDown")
    page.get_by_role("button", name="Structure", exact=True).click()
    expect(studio.panel("unrolled").get_by_text("Nothing has been read yet.")).to_be_visible()
    page.get_by_role("button", name="Read", exact=True).click()
    page.locator("#text").fill("one two")
    expect(page.locator("#lines .lines-chart")).to_have_count(1)
    expect(studio.panel("heatmap").get_by_text("Nothing has been read yet.")).to_be_hidden()
    expect(page.locator(".hint")).to_be_visible()  # nothing is pinned


@pytest.mark.parametrize("zoom", ["model", "layer", "unit", "gate"])
def test_one_step(studio: Shown, zoom: str) -> None:
    studio.look(model="columns", text="one", zoom=zoom)
    expect(studio.page.locator("#microscope .hs-about")).to_contain_text("step 0 “one”")
    studio.look(model="numbers", text="impulse 1", zoom=zoom)
    expect(studio.page.locator("#microscope .hs-about")).to_contain_text("step 0")


def test_columns_that_are_not_drawn_are_counted(chromium: Browser) -> None:
    torch.manual_seed(0)
    with shown(chromium, hs.studio(hs.LSTM(20, 3), x=torch.randn(5, 20))) as studio:
        studio.look()
        expect(studio.page.locator(".signal-note")).to_have_text("8 of 20 columns")


def test_own_rows_begin_with_all_that_were_given_and_their_names(chromium: Browser) -> None:
    torch.manual_seed(0)
    x, days = torch.randn(30, 2), [f"2026-01-{day:02d} 12:00" for day in range(1, 31)]
    with shown(chromium, hs.studio(hs.LSTM(2, 3), x=x, tokens=days)) as studio:
        studio.look(show="c")
        before = studio.saved("heatmap")
        studio.page.get_by_label("Examples").select_option("own rows")
        box = studio.page.locator("#rows")
        lines = [line.rpartition(":") for line in box.input_value().splitlines()]
        assert [name for name, _, _ in lines] == days
        rows = torch.tensor([[float(number) for number in row.split(",")] for _, _, row in lines])
        torch.testing.assert_close(rows, x, rtol=0, atol=0)
        assert studio.saved("heatmap") == before
        box.fill("\n".join(f"{name}:{row}" for name, _, row in lines[3:]) + "\n0,0\nlast:1,1")
        expect(studio.page.locator(".word-token")).to_have_text([*days[3:], "27", "last"])


def test_rows_that_the_address_cannot_hold_are_counted(chromium: Browser) -> None:
    with shown(chromium, hs.studio(hs.LSTM(20, 3), x=torch.randn(400, 20))) as studio:
        studio.look()
        studio.page.get_by_label("Examples").select_option("own rows")
        count = len(studio.page.locator("#rows").input_value().splitlines())
        assert 50 < count < 400
        note = studio.page.locator(".text-box [role=status]")
        expect(note).to_have_text(f"The first {count} of 400 rows; the page's address can't hold more.")
        studio.page.locator("#rows").fill(", ".join(["1"] * 20))
        expect(note).to_be_empty()


def test_a_row_may_have_the_name_of_a_signal(studio: Shown) -> None:
    studio.look(model="numbers", text="step 1: 1, 2, 3\nstep 2: 4, 5, 6")
    expect(studio.page.locator(".word-token")).to_have_text(["step 1", "step 2"])
    expect(studio.page.locator("#rows")).to_be_visible()


def test_what_shows_nothing_is_seen(studio: Shown) -> None:
    studio.look(model="columns", text="a \ufe0f b")
    word = studio.page.locator(".word").nth(1)
    expect(word.locator(".word-token")).to_have_text("U+FE0F")
    expect(word).to_have_attribute("title", re.compile("U\\+FE0F, which is invisible"))


def nothing_is_saved(panel: Locator, kind: str) -> None:
    panel.locator("summary", has_text="Save").click()
    panel.locator(f"[data-export={kind}]").click()
    expect(panel.locator(".menu-nothing")).to_have_text("There is nothing to save yet.")
    panel.page.keyboard.press("Escape")


def test_saving_nothing_fails(studio: Shown) -> None:
    page, kinds = studio.page, ("svg", "png", "csv")
    studio.look(SIZED, model="columns", text="  ")
    for name in ("sentence", "heatmap", "microscope", "lines", "edits"):
        for kind in kinds:
            nothing_is_saved(studio.panel(name), kind)
    nothing_is_saved(studio.panel("table"), "csv")
    studio.look(".compare-note", page="compare", model="columns", text="  ")
    expect(page.locator(".compare-note")).to_contain_text("A has no input")
    for kind in kinds:
        nothing_is_saved(studio.panel("compare"), kind)
    assert studio.errors == []


def test_comparison_that_cannot_be_read_says_why(studio: Shown) -> None:
    studio.look(".compare-note", page="compare", model="numbers", text="1,2,3", compare="models", model2="projected")
    expect(studio.page.locator(".compare-note")).to_contain_text("expected 2 numbers")
    expect(studio.page.locator(".compare-stage")).to_have_attribute(
        "aria-label", "Two runs side by side: nothing to draw."
    )


def test_an_error_of_the_second_run_is_the_comparison_s_alone(studio: Shown) -> None:
    page = studio.page
    studio.look(page="compare", model="numbers", text="1,2,3", text2="3,2,1")
    sentence, note = page.get_by_label("Input B", exact=True), page.locator(".compare-note")
    sentence.fill("3,2")
    expect(note).to_contain_text("expected 3 numbers")
    page.get_by_role("button", name="Read", exact=True).click()
    expect(page.locator("#sentence .problem")).to_be_hidden()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(note).to_contain_text("expected 3 numbers")
    sentence.fill("3,2,2")
    expect(note).to_be_empty()
    page.get_by_label("Input A", exact=True).fill("1,2")
    expect(note).to_contain_text("expected 3 numbers")
    sentence.fill("3,3,3")  # this does not fix A
    page.get_by_role("button", name="Read", exact=True).click()
    expect(page.locator("#sentence .problem")).to_contain_text("expected 3 numbers")


def test_comparison_of_numbers(studio: Shown) -> None:
    studio.look(page="compare", model="numbers", text="1,2,3\n4,5,6", text2="1,2,3\n4,5,7")
    page, one = studio.page, studio.page.get_by_label("Input A", exact=True)
    expect(page.get_by_label("Two inputs")).to_be_checked()
    expect(page.get_by_role("group", name="Aligned by")).to_have_count(0)
    expect(one).to_have_value("1,2,3\n4,5,6")
    expect(page.locator(".verdict")).to_contain_text("they diverge at step 1, are")
    one.press("Control+End")
    one.press_sequentially("\n7,8,9")
    expect(page.locator(".compare-figure .word").nth(2)).to_contain_text("2")
    assert studio.errors == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("zoom", ["unit", "gate", "model"])
def test_focus_is_seen_in_the_microscope(studio: Shown, theme: str, zoom: str) -> None:
    studio.look(model="numbers", text="step 12", theme=theme, zoom=zoom)
    studio.page.keyboard.press("Tab")  # the rest is about the keyboard
    expect(studio.page.locator("#microscope .hs-press").first).to_be_attached()
    marks = studio.page.locator("#microscope .hs-press").evaluate_all("""(all) => {
      const probe = document.createElement("i");
      probe.style.color = "var(--focus)";
      document.body.append(probe);
      const colour = getComputedStyle(probe).color;
      return all.map((one) => {
        one.focus({ focusVisible: true });
        const back = one.querySelector(":scope > rect:first-child");
        return back && getComputedStyle(back).stroke === colour ? "" : one.outerHTML.slice(0, 200);
      }).filter((missing) => missing !== "").concat(all.length ? [] : ["none"]);
    }""")
    assert marks == []


def test_unrolled_run_goes_with_its_model(studio: Shown) -> None:
    studio.look(page="structure", model="numbers", text="1,2,3")
    drawing = studio.page.locator("#unrolled .panel-body svg")
    expect(drawing).to_have_count(1)
    studio.page.evaluate("location.hash = 'page=structure&model=projected&text=1,2,3'")
    expect(drawing).to_have_count(0)
