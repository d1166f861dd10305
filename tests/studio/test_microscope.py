import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, Locator, expect

import hiddenstate as hs
from hiddenstate.models.tagger.tagger import Tagger
from language_models import make
from studio.browsers import emulate, retype, saved_by
from studio.browsing import NEEDS_CHROMIUM, PATIENCE
from studio.whole_page import PHONE, WIDE, Shown, shown

pytestmark = NEEDS_CHROMIUM

WORDS = ["Giraffes", "in", "a", "field", "look", "down", "at", "the", "small", "people", "."]
LAST = len(WORDS) - 1
DIGITS = 6e-5  # half of the last of the four digits shown, plus the browser's rounding
PLACES = [("l1", 127, 2), ("l0", 0, 0), ("l0r", 63, LAST), ("l1r", 27, 4), ("l1r", 90, 0)]
TRACKS = {"l0": (0, False), "l0r": (0, True), "l1": (1, False), "l1r": (1, True)}


@pytest.fixture(scope="module")
def trace(tagger: Tagger) -> hs.Trace:
    return tagger.trace([WORDS], pre=True)


@pytest.fixture(scope="module")
def served(chromium: Browser) -> Iterator[Shown]:
    with shown(chromium, hs.studio(text=" ".join(WORDS))) as page:
        yield page


@pytest.fixture
def studio(served: Shown) -> Shown:
    served.page.set_viewport_size(WIDE)
    served.page.emulate_media(reduced_motion="no-preference")
    return served


@pytest.fixture
def numbers(chromium: Browser) -> Iterator[Shown]:
    torch.manual_seed(2)
    lstm, x = hs.LSTM(4, 3, num_layers=2, bidirectional=True, proj_size=2), torch.randn(5, 4)
    with shown(chromium, hs.studio(lstm, x=x)) as page:
        yield page


def look(studio: Shown, **view: Any) -> None:
    """Open the page at a view, and wait for the microscope's content."""
    studio.look(**view)
    studio.panel("microscope").locator(".hs-stage svg").first.wait_for()


def moment(trace: hs.Trace, track: str, unit: int, t: int) -> hs.Moment:
    layer, reverse = TRACKS[track]
    return trace.at(t, unit, layer=layer, reverse=reverse)


def in_boxes(studio: Shown) -> dict[str, float]:
    """Return every value in a box of the circuit."""
    circuit = studio.panel("microscope").locator(".hs-circuit")
    kinds = {gate: f"gate-{gate}" for gate in "ifgo"} | {state: f"state-{state}" for state in ("c_prev", "c", "h")}
    return {name: float(circuit.locator(f".hs-{kind} .hs-number").text_content() or "") for name, kind in kinds.items()}


def results(studio: Shown) -> list[float]:
    """Return the results of the equations, line by line: kept, written, c, h."""
    return [
        float(text.removeprefix("= ")) for text in studio.panel("microscope").locator(".hs-result").all_text_contents()
    ]


def terms(studio: Shown) -> list[tuple[str, float]]:
    """Rows of the sum behind a gate, the sum itself last."""
    rows = studio.panel("microscope").locator(".hs-row").all()
    texts = [row.locator("text").all_text_contents() for row in rows]
    return [(name, float(value)) for name, value, *_ in texts]


@pytest.mark.parametrize(("track", "unit", "t"), PLACES)
def test_circuit_is_the_moment_adds_up_and_has_no_marks(
    studio: Shown, trace: hs.Trace, track: str, unit: int, t: int
) -> None:
    look(studio, track=track, unit=unit, step=t)
    expected = moment(trace, track, unit, t)
    assert in_boxes(studio) == pytest.approx(
        {name: expected[name] for name in ("i", "f", "g", "o", "c_prev", "c", "h")}, abs=DIGITS
    )
    for gate in "ifgo":
        shown_sum = studio.panel("microscope").locator(f".hs-gate-{gate} .hs-mono").text_content() or ""
        assert float(re.sub(r"[^-.\d]", "", shown_sum)) == pytest.approx(expected[f"{gate}_pre"], abs=DIGITS)
    kept, written, c, h = results(studio)
    values = in_boxes(studio)
    assert kept + written == pytest.approx(c, abs=1.6e-4)  # three four-digit numbers
    assert (c, h) == (values["c"], values["h"])
    assert (kept, written) == pytest.approx(
        (expected["f"] * expected["c_prev"], expected["i"] * expected["g"]), abs=DIGITS
    )
    assert studio.panel("microscope").locator(".is-edited").count() == 0
    expect(studio.panel("microscope").locator(".hs-note")).to_have_text("")


def test_bars_add_up(studio: Shown) -> None:
    """The written part's bar begins where the kept part's ends, and ends where the bar of c does."""
    look(studio, track="l1", unit=36, step=2)
    bars = (
        studio.panel("microscope")
        .locator(".hs-part")
        .evaluate_all("(all) => all.map((bar) => [bar.x.baseVal.value, bar.x.baseVal.value + bar.width.baseVal.value])")
    )
    (kept_end, zero), (end, begin), (c_end, c_zero) = bars[:3]  # all are negative here
    assert begin == pytest.approx(kept_end, abs=0.1)
    assert end == pytest.approx(c_end, abs=0.1)
    assert zero == pytest.approx(c_zero, abs=0.1)


def test_flow_is_as_wide_as_the_value(studio: Shown) -> None:
    look(studio, track="l1", unit=127, step=2)
    flows = (
        studio.panel("microscope")
        .locator(".hs-flow")
        .evaluate_all("(all) => all.map((one) => Number(one.getAttribute('stroke-width')))")
    )
    names = ["c_prev", "f", "kept", "i", "g", "wrote", "c", "c", "tanh", "o", "h"]
    width = dict(zip(names, flows, strict=True))
    values = in_boxes(studio)
    assert width["f"] == pytest.approx(14 * values["f"], abs=0.01)
    assert width["kept"] / width["c_prev"] == pytest.approx(values["f"], abs=0.001)
    assert width["wrote"] / width["g"] == pytest.approx(values["i"], abs=0.001)
    assert width["c"] == pytest.approx(width["kept"] + width["wrote"], abs=0.01)


def test_reverse_reads_from_the_end(studio: Shown) -> None:
    look(studio, track="l1r", unit=27, step=4)
    panel = studio.panel("microscope")
    expect(panel).to_contain_text(
        "l1r reads from the last word to the first: c_prev and h_prev come from the next word"
    )
    expect(panel.locator(".hs-state-c_prev")).to_contain_text(f"from “{WORDS[5]}”")
    expect(panel.locator(".hs-state-c:not(.hs-state-c_prev)").last).to_contain_text(f"to “{WORDS[3]}”")
    boxes = {name: panel.locator(f".hs-state-{name}").bounding_box() for name in ("c_prev", "c")}
    assert boxes["c_prev"] is not None
    assert boxes["c"] is not None
    assert boxes["c_prev"]["x"] > boxes["c"]["x"]  # it comes from the right
    before = in_boxes(studio)["c_prev"]
    look(studio, track="l1r", unit=27, step=5)
    assert in_boxes(studio)["c"] == before


def test_the_first_step_begins_from_the_initial_state(studio: Shown) -> None:
    look(studio, track="l0r", unit=3, step=LAST)
    expect(studio.panel("microscope").locator(".hs-state-c_prev")).to_contain_text("initial state")
    assert in_boxes(studio)["c_prev"] == 0
    look(studio, track="l0r", unit=3, step=0)
    expect(studio.panel("microscope").locator(".hs-state-c")).to_contain_text("final state")


def about(page: Shown) -> Locator:
    return page.panel("microscope").locator(".hs-about")


def source(page: Shown) -> Locator:
    return page.panel("microscope").locator(".hs-state-c_prev")


def test_a_language_model_begins_after_a_line_end(chromium: Browser) -> None:
    model = make()
    line_end = torch.tensor([[model.tokens.start]])
    with torch.no_grad():
        _, (_, c) = model.lstm(model.embed(line_end))
    with shown(chromium, hs.studio(model, text="the cat")) as page:
        look(page, track="l1", unit=2, step=0)
        expect(source(page)).to_contain_text("from newline")
        expect(about(page)).to_contain_text(
            "c_prev and h_prev are the state after a newline, which the model reads before any text"
        )
        assert in_boxes(page)["c_prev"] == pytest.approx(c[1, 0, 2].item(), abs=DIGITS)
        assert in_boxes(page)["c_prev"] != 0
        look(page, track="l1", unit=2, step=1)
        expect(about(page)).to_contain_text("come from the character before")
        expect(source(page)).to_contain_text("from “t”")


def test_the_initial_state_is_zero_or_given(chromium: Browser) -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(5, 4)
    for hx, says in (
        (None, "the initial state, zero"),
        ((torch.ones(1, 3), torch.ones(1, 3)), "the given initial state"),
    ):
        with shown(chromium, hs.studio(lstm, x=x, hx=hx)) as page:
            look(page, unit=1, step=0)
            expect(source(page)).to_contain_text("initial state")
            expect(about(page)).to_contain_text(says)
            assert in_boxes(page)["c_prev"] == (0 if hx is None else 1)


def test_a_stream_begins_from_what_it_read_earlier(chromium: Browser) -> None:
    studio = hs.studio(hs.LSTM(4, 3).stream())
    assert studio.stream is not None
    for _ in range(3):
        studio.stream.step(torch.ones(4))  # nobody is watching yet
    with shown(chromium, studio) as page:
        page.page.goto(page.url)
        page.page.wait_for_function("() => document.querySelector('header.top')")
        end = time.monotonic() + PATIENCE / 1000
        while not studio.audience.lookers and time.monotonic() < end:
            page.page.wait_for_timeout(20)
        studio.stream.step(torch.ones(4))
        expect(source(page)).to_contain_text("from earlier")
        expect(about(page)).to_contain_text("the stream's state before the steps shown")
        assert in_boxes(page)["c_prev"] != 0


@pytest.mark.parametrize(
    ("track", "unit", "t", "gate"), [("l1", 127, 2, "f"), ("l0r", 5, 3, "g"), ("l1r", 90, LAST, "o")]
)
def test_terms_add_up(studio: Shown, tagger: Tagger, trace: hs.Trace, track: str, unit: int, t: int, gate: str) -> None:
    look(studio, track=track, unit=unit, step=t, zoom="gate", gate=gate)
    *parts, (_, total) = terms(studio)
    pre = moment(trace, track, unit, t)[f"{gate}_pre"]
    assert total == pytest.approx(pre, abs=DIGITS)
    assert sum(value for _, value in parts) == pytest.approx(total, abs=len(parts) * 5e-5)
    rest = [name for name, _ in parts if "others" in name]
    assert rest == [
        f"and {tagger.lstm.weight(f'{track}.W_i{gate}').shape[1] - 5} others of x",
        "and 123 others of h_prev",
    ]
    expect(studio.panel("microscope").locator(".hs-equation")).to_contain_text(
        f"= {moment(trace, track, unit, t)[gate]:.3f}"[:-1]
    )


def test_all_terms_are_in_the_file(studio: Shown, tagger: Tagger, trace: hs.Trace) -> None:
    look(studio, track="l1", unit=127, step=2, zoom="gate", gate="i")
    rows = studio.saved("microscope")
    weight = tagger.lstm.weight("l1.W_ii")[127].tolist()
    assert sum(float(row["adds"]) for row in rows) == pytest.approx(moment(trace, "l1", 127, 2)["i_pre"], abs=1e-5)
    found = {int(k): float(row["weight"]) for row in rows for k in re.findall(r"^W_ii\[127, (\d+)\]", row["term"])}
    assert [found[k] for k in range(256)] == pytest.approx(weight)


def test_terms_lead_to_where_they_come_from(studio: Shown) -> None:
    look(studio, track="l1", unit=127, step=2, zoom="gate", gate="f")
    name, value = terms(studio)[0]
    found = re.search(r"·(l0r?)\.h\[(\d+)\]", name)
    assert found
    track, unit = found.groups()
    panel = studio.panel("microscope")
    shown_factor = panel.locator(".hs-row").first.locator("text").nth(2).text_content() or ""
    panel.locator(".hs-row").first.click()
    expect(panel.locator(".hs-crumb[aria-current]")).to_have_text(f"unit {unit}")
    expect(panel.locator(".hs-crumb[data-zoom=layer]")).to_have_text(track)
    assert float(shown_factor.split("·")[1].strip("()")) == in_boxes(studio)["h"]
    assert value != 0


def test_zoom_by_mouse(studio: Shown) -> None:
    look(studio, zoom="model", step=3)
    panel = studio.panel("microscope")
    expect(panel.locator(".hs-model")).to_contain_text("character embedding")
    panel.get_by_role("button", name="l0r, 128 units: open").click()
    expect(panel.locator(".hs-crumb[aria-current]")).to_have_text("l0r")
    box = panel.locator(".hs-tiles").bounding_box()
    assert box
    panel.locator(".hs-tiles").click(
        position={"x": box["width"] / 16 * 2.5, "y": box["height"] / 8 * 1.5}
    )  # 16 to a row
    expect(panel.locator(".hs-crumb[aria-current]")).to_have_text("unit 18")
    panel.get_by_role("button", name="output gate: see how it is computed").click()
    expect(panel.locator(".hs-crumb[aria-current]")).to_have_text("gate o")
    panel.locator(".hs-crumb[data-zoom=layer]").click()
    expect(panel.locator(".hs-tiles")).to_be_visible()


def test_zoom_by_keyboard(studio: Shown) -> None:
    look(studio, zoom="model", step=3)
    page, panel = studio.page, studio.panel("microscope")
    here = panel.locator(".hs-crumb[aria-current]")
    panel.get_by_role("button", name="l1, 128 units: open").press("Enter")
    expect(here).to_have_text("l1")
    panel.locator(".hs-tiles").press("ArrowRight")
    panel.locator(".hs-tiles").press("ArrowDown")
    said = panel.locator(".hs-readout").inner_text()
    unit = re.match(r"unit (\d+)", said)
    assert unit
    panel.locator(".hs-tiles").press("Enter")
    expect(here).to_have_text(f"unit {unit[1]}")
    panel.get_by_role("button", name="forget gate: see how it is computed").press(" ")
    expect(here).to_have_text("gate f")
    page.keyboard.press("Escape")
    expect(here).to_have_text(f"unit {unit[1]}")
    page.keyboard.press("Backspace")
    expect(here).to_have_text("l1")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")  # there is nothing above the model
    expect(here).to_have_text("model")


def test_the_unit_is_typed(studio: Shown, trace: hs.Trace) -> None:
    look(studio, track="l1", unit=1, step=2)
    field = studio.panel("microscope").get_by_label("Unit", exact=True)
    retype(field, "99")
    field.press("Enter")
    expect(studio.panel("microscope").locator(".hs-crumb[aria-current]")).to_have_text("unit 99")
    assert in_boxes(studio)["c"] == pytest.approx(moment(trace, "l1", 99, 2)["c"], abs=DIGITS)
    retype(field, "128")  # there is no unit 128
    field.press("Enter")
    expect(studio.panel("microscope").locator(".hs-crumb[aria-current]")).to_have_text("unit 99")


def test_steps_by_arrow_keys(studio: Shown, trace: hs.Trace) -> None:
    look(studio, anew=True, track="l1", unit=127, step=2)
    studio.page.keyboard.press("ArrowRight")
    expect(studio.panel("microscope").locator(".hs-about")).to_contain_text(f"step 3 “{WORDS[3]}”")
    assert in_boxes(studio)["c"] == pytest.approx(moment(trace, "l1", 127, 3)["c"], abs=DIGITS)


def test_no_motion_where_it_is_unwelcome(studio: Shown) -> None:
    look(studio, track="l1", unit=127, step=2)
    flow = studio.panel("microscope").locator(".hs-flow").first
    expect(flow).to_have_css("transition-duration", "0.16s")
    emulate(studio.page, "(prefers-reduced-motion: reduce)", reduced_motion="reduce")
    expect(flow).to_have_css("transition-duration", "0s")


def test_no_motion_while_steps_follow_fast(studio: Shown) -> None:
    look(studio, track="l1", unit=127, step=2, anew=True)
    at_once = studio.page.evaluate("""async () => {
      const durations = [];
      for (let k = 0; k < 60; k++) {
        const key = k % 2 === 0 ? "ArrowRight" : "ArrowLeft";
        document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
        await new Promise(requestAnimationFrame);
        await new Promise(requestAnimationFrame);
        durations.push(getComputedStyle(document.querySelector(".hs-flow")).transitionDuration);
      }
      return durations.includes("0s");
    }""")
    assert at_once
    studio.page.wait_for_timeout(200)
    studio.page.keyboard.press("ArrowRight")
    expect(studio.panel("microscope").locator(".hs-flow").first).to_have_css("transition-duration", "0.16s")


def test_a_value_asks_to_be_edited(studio: Shown, trace: hs.Trace) -> None:
    look(studio, track="l1r", unit=27, step=4)
    studio.page.evaluate("document.addEventListener('hs-edit', (event) => (window.asked = event.detail))")
    studio.panel("microscope").locator(".hs-gate-f .hs-value").click()
    asked: dict[str, Any] = studio.page.evaluate("window.asked")
    assert asked.pop("value") == pytest.approx(moment(trace, "l1r", 27, 4)["f"], abs=1e-5)
    assert asked == {"place": "l1r.f", "unit": 27, "t": 4}
    expect(studio.page.get_by_role("dialog", name="Change a value")).to_be_visible()


def test_edited_values_are_marked(studio: Shown, trace: hs.Trace) -> None:
    look(studio, track="l1", unit=127, step=2, edit="l1.f:set:1:u127:t2;l1.h:set:0.5:u127:t2")
    panel = studio.panel("microscope")
    before = moment(trace, "l1", 127, 2)
    expect(panel.locator(".hs-note")).to_contain_text(f"f edited: the equation gives {before['f']:.4f}")
    c = before["c_prev"] + before["i"] * before["g"]
    h = before["o"] * torch.tensor(c).tanh().item()
    expect(panel.locator(".hs-note")).to_contain_text(f"h edited: the equation gives {h:.4f}")
    assert [one.locator("xpath=..").get_attribute("class") for one in panel.locator(".is-edited.hs-value").all()] != []
    assert panel.locator(".hs-value.is-edited").count() == 2
    assert in_boxes(studio)["h"] == 0.5
    assert in_boxes(studio)["c"] == pytest.approx(c, abs=DIGITS)


MARK = """(value) => {
  value.focus({ focusVisible: true });
  const [back, mark] = ["back", "mark"].map((part) => getComputedStyle(value.querySelector(`.hs-value-${part}`)));
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
    const [r, g, b] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const [low, high] = [light(back.fill), light(mark.fill)].sort((a, b) => a - b);
  return { focused: value.matches(":focus-visible"), shown: mark.display !== "none", contrast: high / low };
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_edited_value_is_marked_under_the_focus_too(studio: Shown, theme: str) -> None:
    look(studio, track="l1", unit=127, step=2, edit="l1.f:set:1:u127:t2", theme=theme)
    studio.page.keyboard.press("Tab")  # the rest is about the keyboard
    circuit = studio.panel("microscope").locator(".hs-circuit")
    edited, other = (circuit.locator(f".hs-gate-{gate} .hs-value").evaluate(MARK) for gate in "fi")
    assert edited["focused"]
    assert edited["shown"]
    assert edited["contrast"] >= 3
    assert other["focused"]
    assert not other["shown"]
    expect(circuit.locator(".hs-gate-f .hs-value")).to_have_attribute("aria-label", re.compile("edited"))


def test_layer_shows_every_unit(studio: Shown, trace: hs.Trace) -> None:
    look(studio, track="l0", unit=77, step=4, zoom="layer")
    panel = studio.panel("microscope")
    said = panel.locator(".hs-readout").inner_text()
    found = [float(number) for number in re.findall(r"-?\d\.\d{4}", said)]
    expected = moment(trace, "l0", 77, 4)
    kept, written = expected["f"] * expected["c_prev"], expected["i"] * expected["g"]
    assert found == pytest.approx([expected["c_prev"], kept, written, expected["c"], expected["h"]], abs=DIGITS)
    change = trace["l0.c"][4, 0] - trace["l0.c"][3, 0]
    order = change.abs().argsort(descending=True)[:5].tolist()
    named = panel.locator(".hs-changed button").all_text_contents()
    assert named == [f"{unit} {'↓' if change[unit] < 0 else '↑'}" for unit in order]
    panel.locator(".hs-changed button").nth(2).click()
    expect(panel.locator(".hs-crumb[aria-current]")).to_have_text(f"unit {order[2]}")


def test_model_shows_what_it_says(studio: Shown, tagger: Tagger) -> None:
    look(studio, zoom="model", step=3)
    reading = tagger.read(WORDS)
    panel = studio.panel("microscope")
    expect(panel.locator(".hs-choice").first).to_have_text(reading.tags[3])
    for label in ("word embedding", "character LSTM l0r", "22380×112", "256 → 128", "1×240", "17×256"):
        expect(panel.locator(".hs-model")).to_contain_text(label)


def test_a_projection_mixes_units(numbers: Shown) -> None:
    """With a projection, a unit shows its own output m, which can't be edited and has no links."""
    torch.manual_seed(2)
    lstm, x = hs.LSTM(4, 3, num_layers=2, bidirectional=True, proj_size=2), torch.randn(5, 4)
    expected = lstm.trace(x).at(2, 1, layer=1, reverse=True)
    look(numbers, track="l1r", unit=1, step=2)
    assert in_boxes(numbers)["h"] == pytest.approx(expected["m"], abs=DIGITS)
    expect(numbers.panel("microscope").locator(".hs-state-h")).to_contain_text("h = W_hr·m")
    assert numbers.panel("microscope").locator(".hs-state-h .hs-press").count() == 0
    look(numbers, track="l1r", unit=1, step=2, zoom="gate", gate="g")
    assert [name for name, _ in terms(numbers)][:1][0].startswith("W_ig[1, ")


def test_a_recorded_run_has_no_sums(chromium: Browser) -> None:
    torch.manual_seed(3)
    trace = hs.LSTM(4, 6, num_layers=2).trace(torch.randn(4, 1, 4), tokens=[["one", "two", "three", "four"]])
    with shown(chromium, hs.studio(trace)) as page:
        look(page, track="l1", unit=2, step=1)
        expected = trace.at(1, 2, layer=1)
        assert in_boxes(page)["c"] == pytest.approx(expected["c"], abs=DIGITS)
        assert page.panel("microscope").locator(".hs-value.hs-press").count() == 0
        look(page, track="l1", unit=2, step=1, zoom="gate", gate="f")
        expect(page.panel("microscope").locator(".hs-why")).to_contain_text(
            "the value of each gate, but not the weights"
        )
        expect(page.panel("microscope").locator(".hs-equation")).to_contain_text(
            f"f = {expected['f']:.4f}, so the sum was"
        )


TEXT_OUT = """() => [...document.querySelectorAll("#microscope .hs-gate, #microscope .hs-state")].flatMap((group) => {
  const box = group.querySelector("rect").getBBox();
  const out = (at) => at.x < box.x || at.x + at.width > box.x + box.width + 0.5
    || at.y < box.y - 1 || at.y + at.height > box.y + box.height + 1;
  const texts = [...group.querySelectorAll("text")].filter((text) => text.textContent);
  return texts.filter((text) => out(text.getBBox())).map((text) => text.textContent);
})"""
OVERLAPS = """() => {
  const texts = [...document.querySelectorAll("#microscope .hs-circuit text")];
  const all = texts.filter((text) => text.textContent && !text.closest(".hs-tokens"));
  const boxes = all.map((text) => [text.textContent, text.getBoundingClientRect()]);
  const across = (p, q) => p.left < q.right - 1 && q.left < p.right - 1;
  const meet = (p, q) => across(p, q) && p.top + 3 < q.bottom - 3 && q.top + 3 < p.bottom - 3;
  return boxes.flatMap(([a, p], k) => boxes.slice(k + 1).filter(([, q]) => meet(p, q)).map(([b]) => `${a} | ${b}`));
}"""


@pytest.mark.parametrize(("track", "unit", "t"), PLACES[:2] + PLACES[3:4])
def test_texts_stay_in_their_boxes(studio: Shown, track: str, unit: int, t: int) -> None:
    """In this machine's fonts, and in much wider ones."""
    look(studio, track=track, unit=unit, step=t)
    for space in ("0", "0.15em"):
        studio.widen("#microscope text", space)
        for width in (390, 1280, 1120, 800, 700, 390, 360):
            studio.page.set_viewport_size({"width": width, "height": 720})
            stage = studio.panel("microscope").locator(".hs-stage")
            drawn = "(stage) => stage.firstElementChild.width.baseVal.value === Math.floor(stage.clientWidth)"
            studio.page.wait_for_function(drawn, arg=stage.element_handle())
            assert studio.page.evaluate(TEXT_OUT) == [], (space, width)
            assert studio.page.evaluate(OVERLAPS) == [], (space, width)


def test_phone(studio: Shown) -> None:
    studio.page.set_viewport_size(PHONE)
    for zoom in ("model", "layer", "unit", "gate"):
        look(studio, track="l1", unit=127, step=2, zoom=zoom)
        assert studio.sticks_out() == 0
        box = studio.panel("microscope").locator(".hs-stage svg").first.bounding_box()
        assert box is not None
        assert box["width"] <= PHONE["width"]


def test_saved_as_a_picture(studio: Shown) -> None:
    panel = studio.panel("microscope")
    for zoom in ("model", "layer", "unit", "gate"):
        look(studio, track="l1", unit=127, step=2, zoom=zoom)
        for kind, start in (("svg", b"<svg"), ("png", b"\x89PNG")):
            panel.locator("summary", has_text="Save").click()
            _, content = saved_by(studio.page, panel.locator(f"[data-export={kind}]").click)
            assert content.startswith(start)
            assert b"var(--" not in content


WINDOWS = [(1280, 720), (1366, 768), (1400, 900), (1440, 900), (1536, 864), (1440, 960), (1920, 1080)]


def test_the_last_row_is_not_cut_off(chromium: Browser) -> None:
    with shown(chromium, hs.studio()) as studio:
        studio.look(step=3)
        for width, height in WINDOWS:
            studio.page.set_viewport_size({"width": width, "height": height})
            last = studio.page.locator("#microscope .hs-stage text", has_text="o·tanh(c)").last
            expect(last).to_be_in_viewport(ratio=1)
            whole = "(stage) => stage.scrollHeight <= stage.clientHeight"
            stage = studio.page.locator("#microscope .hs-stage").element_handle()
            studio.page.wait_for_function(whole, arg=stage)
