import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, Page, ViewportSize, expect

import hiddenstate as hs
from hiddenstate.models.tagger.tagger import Tagger
from studio.browsers import retype
from studio.browsing import NEEDS_CHROMIUM
from studio.chromium import Modules
from studio.whole_page import PHONE, WIDE, Shown, shown

pytestmark = NEEDS_CHROMIUM

STEPS = 10
H = 128  # units of the shipped tagger's layers
MINUS = "\N{MINUS SIGN}"
TEXT = "Giraffes in a field"
LONGER = "Giraffes in a field eat leaves ."


@pytest.fixture
def studio(chromium: Browser) -> Iterator[Shown]:
    with shown(chromium, hs.studio(text=TEXT)) as page:
        page.look()
        yield page


class Guide:
    """The tour's card, read and answered as a user does."""

    def __init__(self, studio: Shown) -> None:
        self.studio, self.page = studio, studio.page
        self.card = studio.page.locator(".tour-card")

    def at(self, step: int) -> None:
        """Expect a certain step, not done yet."""
        expect(self.card.locator(".tour-count")).to_have_text(f"Tour, step {step} of {STEPS}")
        expect(self.card.get_by_role("button", name="Skip")).to_be_visible()
        expect(self.card.locator(".tour-learnt")).to_be_empty()

    def next(self, says: str) -> None:
        """Expect the step to be done, and go to the next one."""
        expect(self.card.locator(".tour-learnt")).to_contain_text(says)
        self.card.get_by_role("button", name=re.compile("^(Next|Finish)$")).click()

    def answer(self, label: str, value: str) -> None:
        self.card.get_by_role("textbox", name=label).fill(value)
        self.card.get_by_role("textbox", name=label).press("Enter")

    def number(self, name: str) -> float:
        """Return a number on the card, such as f = 0.9326."""
        found = re.search(rf"{name} ?(-?\d+\.\d+)", self.card.locator(".tour-says").inner_text())
        assert found is not None
        return float(found[1])

    def go_to(self, unit: int, step: int) -> None:
        """Select a unit and a step."""
        retype(self.page.locator("#microscope").get_by_role("spinbutton", name="Unit"), str(unit))
        self.page.locator("#microscope").get_by_role("spinbutton", name="Unit").press("Enter")
        self.page.locator("#sentence .words button").nth(step).click()

    def go_where(self, values: Any, low: float, high: float) -> None:
        """Select the first unit and step whose value in ``[T, 1, H]`` is between two bounds."""
        step, _, unit = ((values >= low) & (values <= high)).nonzero()[0].tolist()
        self.go_to(unit, step)


def test_tour(studio: Shown, tagger: Tagger) -> None:
    """The whole tour, doing everything that it asks."""
    guide, page = Guide(studio), studio.page
    page.get_by_role("button", name="Start the tour", exact=True).click()

    guide.at(1)
    expect(guide.card).to_contain_text("input [T, C] = [4, 240]")
    expect(guide.card).to_contain_text("out [T, 2·H] = [4, 256]")
    studio.panel("sentence").locator("#text").fill(LONGER)
    expect(guide.card).to_contain_text("input [T, C] = [7, 240]")
    guide.next("T comes from the sequence: it is now 7.")

    guide.at(2)
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    guide.next("Each column is computed from three things: the column of the step read before it, the cell state c")

    guide.at(3)
    f = tagger.read(LONGER.split()).trace["l0.f"]
    guide.go_where(torch.where(f[6] > 0.1, f, 0), 0.9, 1)  # on the way there, at step 6, the unit does not forget
    expect(guide.card.locator(".tour-status")).to_contain_text("keeps: found · forgets: not yet")
    guide.go_where(f, 0, 0.1)
    guide.next("afresh at every step")

    guide.at(4)
    by_hand(guide)
    answer = guide.card.locator(".tour-question .tour-said").inner_text()
    expect(page.locator("#microscope")).to_contain_text(answer.removeprefix("Right: c = ").removesuffix("."))
    guide.next("kept and written")

    guide.at(5)
    guide.card.get_by_role("button", name="Give me a hint").click()
    hint = re.findall(r"\d+", guide.card.locator(".tour-hint .tour-said").inner_text())
    guide.go_to(int(hint[0]), int(hint[1]))
    guide.next("the hidden state is the part of it that is output")

    guide.at(6)
    assert page.locator("#weights").is_visible()
    guide.answer("forget gate", "127")
    expect(guide.card).to_contain_text("Not 127.")
    guide.answer("forget gate", str(H))
    guide.answer("output gate", str(3 * H))
    guide.next('lstm.weight("l0.W_if")')

    guide.at(7)
    expect(page.locator("#sentence")).to_be_visible()  # the page is restored
    carry_the_state(guide)
    guide.next("to the last digit")

    guide.at(8)
    for line, answer in enumerate(["holds", "holds", "holds", "does not", "does not"]):
        guide.card.locator(".tour-quiz li").nth(line).get_by_role("button", name=answer).click()
    expect(guide.card).to_contain_text("4 of 5 right")
    guide.card.locator(".tour-quiz li").nth(2).get_by_role("button", name="does not").click()
    guide.next("The output is the hidden state of the last layer")

    guide.at(9)
    page.locator("#transport [data-value=l1r]").click()
    page.keyboard.press("End")
    expect(guide.card.locator(".tour-status")).to_contain_text("reads first: found")
    page.keyboard.press("Home")
    guide.next("It starts at the last step and ends at the first")

    guide.at(10)
    edits = studio.panel("edits")
    edits.get_by_role("button", name="Close the forget gates", exact=True).click()
    expect(guide.card.locator(".tour-status")).to_contain_text("3 predictions change")
    edits.get_by_role("button", name="Undo").click()
    guide.next("The run is what it was before")

    expect(guide.card).to_contain_text("c = f·c_prev + i·g")
    guide.card.get_by_role("button", name="Keep exploring").click()
    expect(guide.card).to_be_hidden()
    expect(studio.panel("sentence").locator("#text")).to_have_value(LONGER)
    expect(edits.locator(".edit-list")).to_have_count(0)


def by_hand(guide: Guide) -> None:
    c = guide.number("f =") * guide.number("cell state was") + guide.number("i =") * guide.number("g =")
    guide.answer("c =", "ten")
    expect(guide.card).to_contain_text("Type a number")
    guide.answer("c =", f"{c + 1:.2f}")
    expect(guide.card).to_contain_text("Not quite. What is kept is")
    guide.answer("c =", f"{c:.2f}".replace("-", MINUS))
    expect(guide.card).to_contain_text("Right: c =")


def carry_the_state(guide: Guide) -> None:
    """The card's numbers are those that torch's LSTM computes for the same seed."""
    torch.manual_seed(2)
    lstm = hs.LSTM(4, 3)
    x = torch.stack([torch.randn(1, 4) for _ in range(5)])
    state = torch.randn(1, 1, 3), torch.randn(1, 1, 3)
    whole = lstm(x, state)[0]
    apart = torch.cat([lstm(one[None], state)[0] for one in x])
    cells = guide.card.locator(".tour-table td")
    for t in range(5):
        assert vector(cells.nth(3 * t).inner_text()) == pytest.approx(apart[t, 0].tolist(), abs=5e-5)
        assert vector(cells.nth(3 * t + 1).inner_text()) == pytest.approx(whole[t, 0].tolist(), abs=5e-5)
    expect(guide.card.locator(".tour-table .unequal")).to_have_count(4)
    guide.card.get_by_label("the hidden it returned").check()
    expect(guide.card.locator(".tour-table .equal")).to_have_count(5)


def vector(text: str) -> list[float]:
    return [float(number) for number in text.split()]


def test_tour_by_keyboard(studio: Shown) -> None:
    page, guide = studio.page, Guide(studio)
    page.get_by_role("button", name="Start the tour", exact=True).focus()
    page.keyboard.press("Enter")
    guide.at(1)
    expect(guide.card.locator("h2")).to_be_focused()
    page.keyboard.press("Alt+t")
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.type(" today")
    expect(guide.card.get_by_role("status")).to_contain_text("Done.")
    page.keyboard.press("Alt+t")
    expect(guide.card.locator("h2")).to_be_focused()
    press_on(page, "Next")
    guide.at(2)
    page.keyboard.press("Alt+t")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Alt+t")
    press_on(page, "Next")
    guide.at(3)
    press_on(page, "Skip")
    guide.at(4)
    page.keyboard.press("Escape")
    expect(guide.card).to_be_hidden()
    expect(page.get_by_role("button", name="Start the tour", exact=True)).to_be_focused()


def press_on(page: Page, name: str) -> None:
    """Tab to a button, and press it."""
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == name:
            page.keyboard.press("Enter")
            return
    raise AssertionError(f"no way to {name} by Tab")


def test_tour_is_resumed(studio: Shown) -> None:
    page, guide = studio.page, Guide(studio)
    page.get_by_role("button", name="Start the tour", exact=True).click()
    for _ in range(4):
        guide.card.get_by_role("button", name="Skip").click()
    guide.at(5)
    guide.card.get_by_role("button", name="Leave the tour").click()
    expect(guide.card).to_be_hidden()
    page.get_by_role("button", name="Start the tour", exact=True).click()
    guide.at(5)
    guide.card.get_by_role("button", name="Step 1: What goes in, what comes out").click()
    guide.at(1)


def test_tour_leaves_things_as_they_were(studio: Shown) -> None:
    studio.look(edit="l0.f:set:0", show="g", tour=3)
    guide = Guide(studio)
    guide.at(3)
    expect(studio.page.locator("#heatmap .segments [aria-pressed=true]")).to_have_text("f")
    expect(studio.panel("edits").locator(".edit-list")).to_have_count(0)  # the tour explains the unedited model
    guide.card.get_by_role("button", name="Leave the tour").click()
    expect(studio.page.locator("#heatmap .segments [aria-pressed=true]")).to_have_text("g")
    expect(studio.panel("edits").locator(".edit-list li")).to_contain_text("l0.f set to 0.0")


# Not getBoundingClientRect: Firefox includes room for the longest possible mitre of a stroke.
OVERLAP = """() => {
  const card = document.querySelector(".tour-card").getBoundingClientRect();
  const rings = [...document.querySelectorAll(".tour-light .ring")].map((ring) => {
    const [{ x, y, width, height }, to] = [ring.getBBox(), ring.getScreenCTM()];
    const [left, top] = [to.a * x + to.e, to.d * y + to.f];
    return { left: left - 1, top: top - 1, right: left + to.a * width + 1, bottom: top + to.d * height + 1 };
  });
  const across = (box) => box.left < card.right - 1 && box.right > card.left + 1;
  return rings.filter((box) => across(box) && box.top < card.bottom - 1 && box.bottom > card.top + 1).length;
}"""


ZOOMED: ViewportSize = {"width": 640, "height": 360}  # the size of a 1280 by 720 window at 200 % zoom
ROOM = """() => {
  const scroll = document.querySelector(".tour-card .tour-scroll");
  const [task, text] = [".tour-task", ".tour-says"].map((part) => scroll.querySelector(part).getBoundingClientRect());
  const beside = task.left >= text.right;
  const rings = [...document.querySelectorAll(".tour-light .ring")].map((ring) => ring.getBoundingClientRect());
  return {
    text: Math.min(text.height, (beside ? scroll.getBoundingClientRect().bottom : task.top) - text.top),
    lit: rings.reduce((sum, { height }) => sum + height, 0),
  };
}"""


# Resolves when the card and the highlighted elements have not moved for twelve frames.
SETTLED = """async () => {
  const places = () => JSON.stringify([...document.querySelectorAll(".tour-light .ring, .tour-card")]
    .map((each) => each.getBoundingClientRect()));
  let before = "";
  for (let still = 0; still < 12; still += 1) {
    await new Promise(requestAnimationFrame);
    const now = places();
    if (now !== before) still = 0;
    before = now;
  }
}"""


@pytest.mark.parametrize(
    "size",
    [pytest.param(WIDE, marks=pytest.mark.slow), PHONE, pytest.param(ZOOMED, marks=pytest.mark.slow)],
    ids=["wide", "phone", "zoomed"],
)
def test_the_card_covers_nothing_that_is_lit(chromium: Browser, size: ViewportSize) -> None:
    with shown(chromium, hs.studio(text=TEXT), size) as studio:
        studio.look(tour=1)
        guide = Guide(studio)
        for step in range(1, STEPS + 1):
            guide.at(step)
            if step not in (4, 7, 8):
                expect(studio.page.locator(".tour-light .ring").first).to_be_attached()
            studio.page.evaluate(SETTLED)  # the page scrolls there
            rings = studio.page.locator(".tour-light .ring").count()
            assert studio.page.evaluate(OVERLAP) == 0
            box = guide.card.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["y"] >= 0
            assert box["x"] + box["width"] <= size["width"]
            assert box["y"] + box["height"] <= size["height"]
            room = studio.page.evaluate(ROOM)
            assert room["text"] >= 60  # pixels of the text that are visible before scrolling
            assert rings == 0 or room["lit"] >= 120
            close = guide.card.get_by_role("button", name="Leave the tour").bounding_box()
            assert close is not None
            assert close["x"] + close["width"] <= box["x"] + box["width"]
            guide.card.get_by_role("button", name="Skip").click()


def test_tour_of_an_lstm_without_words(chromium: Browser) -> None:
    torch.manual_seed(0)
    with shown(chromium, hs.studio(hs.LSTM(4, 3), x=torch.randn(6, 4))) as studio:
        studio.look(tour=1)
        guide = Guide(studio)
        guide.at(1)
        studio.page.keyboard.press("End")
        guide.next("C = 4 and H = 3 come from the network")
        for _ in range(7):
            guide.card.get_by_role("button", name="Skip").click()
        guide.at(9)
        guide.answer("numbers", "6")
        guide.next("[T, 2·H]")
        guide.at(10)
        expect(guide.card.locator(".tour-status")).to_contain_text("no edits yet")


def test_tour_of_a_trace(chromium: Browser) -> None:
    trace = hs.LSTM(4, 3).trace(torch.randn(5, 1, 4))
    with shown(chromium, hs.studio(trace)) as studio:
        studio.look(tour=10)
        guide = Guide(studio)
        guide.at(10)
        expect(guide.card.locator(".tour-task")).to_contain_text("can't be run again")


def test_tour_of_a_trace_fails(chromium: Browser) -> None:
    trace = hs.LSTM(4, 3).trace(torch.randn(5, 1, 4), keep=["l0.c", "l0.f"])
    with shown(chromium, hs.studio(trace)) as studio:
        studio.look(tour=1)
        expect(studio.page.locator(".tour-card")).to_contain_text("does not have them all")
        studio.page.get_by_role("button", name="Close").click()
        expect(studio.page.locator(".tour-card")).to_be_hidden()


def test_tour_of_nothing_fails(chromium: Browser) -> None:
    with shown(chromium, hs.studio(text=TEXT)) as studio:
        page, guide = studio.page, Guide(studio)
        page.goto(f"{studio.url}#text=%20%20")
        expect(page.locator(".model-size")).not_to_be_empty()
        page.get_by_role("button", name="Start the tour", exact=True).click()
        expect(guide.card).to_contain_text("as soon as the model has something to read")
        expect(guide.card.locator("h2")).to_be_focused()
        page.locator("#text").fill("   ")
        page.wait_for_timeout(300)
        expect(page.locator("#text")).to_be_focused()
        page.locator("#text").fill(TEXT)
        guide.at(1)
        page.locator("#text").fill("")
        expect(page.locator(".word")).to_have_count(0)
        guide.card.get_by_role("button", name=re.compile("^(Next|Skip)$")).click()
        expect(guide.card).to_contain_text("as soon as the model has something to read")
        guide.card.get_by_role("button", name="Close").click()
        expect(guide.card).to_be_hidden()


TEXTS = """async () => {
  const { rich } = await import("studio/panels/tour/exercises.js");
  const { still } = await import("studio/ui/app.js");
  return rich("a `c = f·c` *is* 2 * 3 * 4 <b>").map((part) => typeof part === "string" ? part : still(part).outerHTML);
}"""


def test_rich_text(page: Modules) -> None:
    assert page.run(TEXTS) == ["a ", "<code>c = f·c</code>", " ", "<em>is</em>", " 2 * 3 * 4 <b>"]
