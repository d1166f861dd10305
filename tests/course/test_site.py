"""The course in a browser: from disk, without a network, by keyboard, on a phone, and without scripts."""

import re
import runpy
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from course.chapters import PAGES, choices, directives
from course.figures import FIGURES as FIRST_FIGURES
from course.model_figures import FRAMES
from course.site import numbers, opened, press, stays_at_home
from course.test_folds import answered_below
from exercises import learners_answers, typed
from hiddenstate.course.figures.numeric_answers import computed
from hiddenstate.doctor.misconceptions import idea_behind
from pages import DOCS
from studio.browsing import NEEDS_CHROMIUM
from studio.whole_page import PHONE
from support import needs

pytestmark = [needs("sphinx", "furo", "myst_parser"), NEEDS_CHROMIUM, pytest.mark.usefixtures("chromium")]
FIGURES = FIRST_FIGURES | FRAMES
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
FIRST, SECOND, CHECK = "01-structure-and-hidden-state", "02-hidden-state-and-gates", "07-final-check"
TAGGING = "03-part-of-speech-tagging"
_COMPUTE = """async ([kind, given]) => {
  await course.load("runtime.js");
  return [await course.answers[kind](JSON.parse(given))].flat();
}"""
_TYPE = """async (ask, text) => {
  const said = ask.querySelector(".course-said");
  said.replaceChildren();  // so that it isn't what the last answer was told
  ask.querySelector("input").value = text;
  ask.querySelector("form").requestSubmit();
  while (!said.textContent) await new Promise((next) => setTimeout(next));
  return said.innerText.replace(/\\s+/g, " ");
}"""
_COLOURS = """() => {
  const box = getComputedStyle(document.querySelector(".course-box"));
  return [box.color, box.backgroundColor];
}"""
BEGIN_AS_STILLS = ("memory", "cell", "unroll", "unit")  # the others begin with less, until their model is loaded
_TEXTS = """([source, name]) =>
  [new DOMParser().parseFromString(source, "text/html"), document].map((page) =>
    [...page.querySelectorAll(`#live-${name} svg text`)].map((each) => each.textContent))"""
CHECKS = next(page for page in PAGES if page.stem == CHECK)
CHAPTER = next(page for page in PAGES if page.stem == FIRST)
DAY = 24 * 60 * 60 * 1000
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@each_page
def test_each_figure_shows_what_python_computes_from_the_disk_on_a_phone_and_wider(site: Path, page: Path) -> None:
    """Its first frame, which is its still, and its states; in both colour schemes; and nothing scrolls sideways."""
    source = (site / "course" / f"{page.stem}.html").read_text(encoding="utf-8")
    with opened(site, page.stem, size=PHONE) as watch:
        for name in (made.argument for made in directives(page, "live")):
            _, expected, states = FIGURES[name]
            for state in (None, *states):  # the first frame is in the first of the states
                shown, right = numbers(watch.page, name, state), expected(states[0] if state is None else state)
                assert shown == pytest.approx(right, abs=1e-4, rel=1e-4), (name, state)
                if name in BEGIN_AS_STILLS and state is None:
                    still, live = watch.page.evaluate(_TEXTS, [source, name])
                    assert live == still != []
            expect(watch.page.locator(f"#live-{name}[data-ready=true] .course-view")).to_be_visible()
        for scheme in SCHEMES:
            watch.page.emulate_media(color_scheme=scheme)
            assert watch.page.evaluate("document.documentElement.scrollWidth") <= 390
            ink, paper = watch.page.evaluate(_COLOURS)
            light = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper)]
            assert (light[0] < light[1]) == (scheme == "light")
        stays_at_home(watch)
        assert widths_to_scroll_at(watch.page) == []


def test_a_phone_shows_the_map_of_lags_whole(site: Path) -> None:
    with opened(site, "09-numbers", size=PHONE) as watch:
        watch.page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        numbers(watch.page, "lags")
        for picture in (".signal-picture", ".patch-map"):
            words = watch.page.locator(f".course-lags {picture} text").all_text_contents()
            assert len([word for word in words if re.fullmatch(r"\d{4}-\d\d-\d\d", word)]) == 3
        assert watch.page.locator(".course-lags").evaluate("(box) => box.scrollWidth <= box.clientWidth")


def widths_to_scroll_at(page: Page) -> list[int]:
    """The widths at which a page scrolls sideways, with everything unfolded."""
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    wide = []
    for width in (390, 768, 1024, 1366, 1400, 1440, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wide.append(width)
    return wide


def test_every_figure_is_compared_with_python() -> None:
    figures = {made.argument: page.stem for page in PAGES for made in directives(page, "live")}
    assert {name: page for name, (page, _, _) in FIGURES.items()} == figures
    assert all(len(states) >= 4 for _, _, states in FIGURES.values())


def test_a_script_that_asks_another_host_fails_the_build() -> None:
    pattern = runpy.run_path(str(DOCS / "conf.py"))["_STRANGER_OF_SCRIPT"]
    for found in (
        'fetch("https://a.b/c")',
        "import('//cdn.a/b.js')",
        'script.src = "http://a.b"',
        "new WebSocket(`wss://a`)",
    ):
        assert pattern.search(found), found
    for allowed in (
        'const SVG = "http://www.w3.org/2000/svg";',
        'fetch("model.js")',
        "// see https://a.b",
        "a.src = name",
    ):
        assert not pattern.search(allowed), allowed


@pytest.mark.parametrize("page", [FIRST, SECOND])
def test_a_page_asks_for_the_numbers_that_python_computes(site: Path, page: str) -> None:
    asks = [
        section.argument
        for made in directives(next(p for p in PAGES if p.stem == page), "exercise")
        for section in made.all("ask")
    ]
    with opened(site, page) as watch:
        for each in asks:
            kind, _, given = each.partition(" ")
            assert watch.page.evaluate(_COMPUTE, [kind, given]) == pytest.approx(computed(kind, given), abs=1e-6)


def test_a_prediction_opens_its_figure_and_stays_by_keyboard(site: Path) -> None:
    with opened(site, FIRST) as watch:
        page = watch.page
        figure = page.locator("#live-unroll")
        expect(figure.locator(".course-gate")).to_be_visible()
        expect(figure.locator(".course-stage")).to_be_hidden()
        box = page.locator("#predict-swap")
        expect(box.locator(".course-reveal")).to_be_hidden()
        press(page, box.get_by_role("button", name="Outputs 1 to 4 change"))
        expect(box.locator(".course-said")).to_contain_text("Incorrect")
        expect(box.get_by_text("That would be true if the state were carried")).to_be_visible()
        expect(box.locator(".course-reveal")).to_be_visible()
        expect(box.locator('li[data-state="chosen"]')).to_contain_text("Outputs 1 to 4 change")
        expect(figure.locator(".course-stage")).to_be_visible()
        page.reload()
        expect(page.locator('#predict-swap li[data-state="chosen"]')).to_contain_text("Outputs 1 to 4 change")
        figure.scroll_into_view_if_needed()
        press(page, page.get_by_label("carry the state"), "Space")
        press(page, page.get_by_label("swap inputs 1 and 3"), "Space")
        expect(figure.locator(".course-view .course-said")).to_have_text(
            "The swap changed the outputs of steps 1, 2, 3, 4."
        )
        press(page, page.get_by_role("link", name="Swap the inputs without carrying"))
        expect(figure.locator(".course-view .course-said")).to_contain_text("steps 1 and 3: they changed places")
        stays_at_home(watch)


@pytest.mark.parametrize("stem", [FIRST, SECOND])
def test_numbers_that_learners_type_are_judged_with_the_idea_behind_a_wrong_one(site: Path, stem: str) -> None:
    page = next(page for page in PAGES if page.stem == stem)
    asking = [made.argument for made in directives(page, "exercise") if made.all("ask")]
    with opened(site, stem) as watch:
        for number, answer in ((exercise, each) for exercise in asking for each in learners_answers()[exercise]):
            place, text = typed(answer)
            ask = watch.page.locator(f"[id='exercise-{number}'] .course-ask").nth(place)
            told = ask.evaluate(_TYPE, text)
            if answer.right:
                assert told == "Right.", text
                continue
            assert answer.sentence in told, (text, told)
            assert idea_behind(answer.misconception) in told, (text, told)
            assert bool(answer.misconception) == ("The misconception behind it" in told), text
        stays_at_home(watch)


def test_lines_in_a_wrong_order_are_told_which_name_is_read_before_it_is_set(site: Path) -> None:
    (made,) = directives(CHAPTER, "parsons")
    wrong = [section.text.split("\n")[0] for section in made.all("extra")]
    right = made.one("lines").split("\n")
    with opened(site, FIRST) as watch:
        box = watch.page.locator("#exercise-1\\.4")
        said, check = box.locator(".course-said"), box.get_by_role("button", name="Check")
        for line in (*wrong, right[2]):  # the third line is left out as well
            box.get_by_role("button", name=f"leave out: {line}", exact=True).click()
        for line in right[::-1]:
            up = box.get_by_role("button", name=f"up: {line}", exact=True)
            up.evaluate("(up, times) => { for (let k = 0; k < times; k++) up.click(); }", len(right + wrong))
        check.click()
        expect(said).to_contain_text("last_layer = by_layer[-1] reads by_layer, which no line above it sets")
        expect(said).to_contain_text("the first line that is out of place is line 3")
        box.get_by_role("button", name=f"leave out: {right[2]}", exact=True).click()
        check.click()
        expect(said).to_have_text("Right.")
        box.get_by_role("button", name=f"leave out: {wrong[0]}", exact=True).click()
        check.click()
        expect(said).to_contain_text("Without lengths the LSTM reads on into the padding")
        stays_at_home(watch)


def test_typed_answers_and_lines_in_order_are_there_after_a_reload(site: Path) -> None:
    with opened(site, FIRST) as watch:
        page = watch.page
        ask, lines = page.locator("#exercise-1\\.5 .course-ask"), page.locator("#exercise-1\\.4")
        ask.first.get_by_role("textbox").fill("108")
        page.keyboard.press("Enter")
        expect(ask.first.locator(".course-said")).to_have_text("Right.")
        press(page, lines.get_by_role("button", name="leave out").first)
        press(page, lines.get_by_role("button", name="up").last)
        press(page, lines.get_by_role("button", name="Check"))
        order, said = lines.locator("code").all_text_contents(), lines.locator(".course-said").inner_text()
        page.reload()
        expect(ask.first.get_by_role("textbox")).to_have_value("108")
        expect(ask.first.locator(".course-said")).to_have_text("Right.")
        expect(ask.nth(1).get_by_role("textbox")).to_have_value("")
        assert lines.locator("code").all_text_contents()[: len(order)] == order
        expect(lines.locator('li[data-out="true"]')).to_have_count(1)
        expect(lines.locator(".course-said")).to_have_text(said)
        assert page.locator(".course-unstored").count() == 0
        stays_at_home(watch)


def test_a_browser_that_stores_nothing_is_told_of_and_the_page_works(site: Path) -> None:
    with opened(site, FIRST, own={}) as watch:
        page = watch.page
        page.add_init_script("Storage.prototype.setItem = () => { throw new Error('full'); }")
        page.reload()
        expect(page.locator(".course-unstored")).to_have_count(1)
        expect(page.locator(".course-unstored")).to_contain_text("your answers are lost when you leave it")
        ask = page.locator("#exercise-1\\.5 .course-ask").first
        ask.get_by_role("textbox").fill("108")
        page.keyboard.press("Enter")
        expect(ask.locator(".course-said")).to_have_text("Right.")
        stays_at_home(watch)


def test_lines_are_put_in_order_by_keyboard(site: Path) -> None:
    with opened(site, FIRST) as watch:
        page, box = watch.page, watch.page.locator("#exercise-1\\.4")
        expect(box.locator(".course-solution")).to_be_hidden()
        press(page, box.get_by_role("button", name="Check"))
        expect(box.locator(".course-said")).to_contain_text("Incorrect.")
        for extra in box.locator("li[data-about]").all():
            press(page, extra.get_by_role("button", name="leave out"))
        press(page, box.get_by_role("button", name="Check"))
        expect(box.locator(".course-said")).to_contain_text("Not yet")
        count = box.locator("li[data-line]").count()
        for line in range(count, 0, -1):
            up = box.locator(f'li[data-line="{line}"]').get_by_role("button", name="up")
            up.focus()
            for _ in range(box.locator("li").count()):
                page.keyboard.press("Enter")
        press(page, box.get_by_role("button", name="Check"))
        expect(box.locator(".course-said")).to_have_text("Right.")
        stays_at_home(watch)


def test_a_unit_is_set_by_keyboard(site: Path) -> None:
    with opened(site, SECOND) as watch:
        page, figure = watch.page, watch.page.locator("#live-unit")
        figure.scroll_into_view_if_needed()
        expect(figure.locator("svg")).to_be_visible()
        figure.get_by_label("which gate").select_option("f")
        slider = figure.get_by_role("slider")
        press(page, slider, "End")
        expect(figure.locator(".course-view .course-said")).to_contain_text("Not held")
        assert watch.page.evaluate("course.figures.unit.state.f") == 1
        stays_at_home(watch)


def test_a_unit_is_drawn_by_hand(site: Path) -> None:
    with opened(site, SECOND) as watch:
        figure = watch.page.locator("#live-unit")
        figure.scroll_into_view_if_needed()
        strip = figure.locator(".course-drawable").nth(1).bounding_box()
        assert strip is not None
        watch.page.mouse.move(strip["x"] + 2, strip["y"] + strip["height"] / 4)
        watch.page.mouse.down()
        watch.page.mouse.move(strip["x"] + strip["width"] / 2, strip["y"] + strip["height"] / 4, steps=40)
        watch.page.mouse.up()
        drawn = watch.page.evaluate("Object.entries(course.figures.unit.state).filter(([key]) => key.startsWith('f@'))")
        assert len(drawn) > 15
        assert all(abs(value - 0.75) < 0.05 for _, value in drawn)
        stays_at_home(watch)


def test_an_unmarked_question_says_neither_right_nor_wrong(site: Path) -> None:
    with opened(site, "00-before") as watch:
        box = watch.page.locator("#predict-b3")
        box.get_by_role("button").first.click()
        expect(box.locator(".course-said")).to_have_text("Noted. You will meet this question again.")
        assert box.locator("[data-state~=right]").count() == 0
        stays_at_home(watch)


def test_questions_come_back_after_two_days_and_seven(site: Path) -> None:
    with opened(site, CHECK) as watch:
        page, review = watch.page, watch.page.locator(".course-review")
        expect(review).to_contain_text("0 of 24 questions answered")

        def answer() -> None:
            page.locator("#predict-q11").get_by_role("button", name="It keeps all of the unit").click()

        def days_later(days: float) -> None:
            page.evaluate(f"course.now = () => Date.now() + {days} * {DAY}; course.showReview()")

        answer()
        expect(review).to_contain_text("1 of 24 questions answered, 1 of them correctly just now. None is due today.")
        days_later(1.9)
        expect(review).to_contain_text("None is due")
        days_later(2.1)
        expect(review).to_contain_text("1 are due again today")
        review.get_by_role("button").click()
        expect(page.locator("#predict-q11 .course-reveal")).to_be_hidden()
        answer()
        days_later(9)
        expect(review).to_contain_text("None is due")
        days_later(9.2)
        expect(review).to_contain_text("1 are due again today")
        answer()
        days_later(100)
        expect(review).to_contain_text("None is due")
        stays_at_home(watch)


def test_a_wrong_choice_leads_to_the_figure_in_the_state_that_answers(site: Path) -> None:
    with opened(site, CHECK) as watch:
        watch.page.locator("#predict-q3").get_by_role("button", name="Outputs 1 to 4 all change").first.click()
        watch.page.get_by_role("link", name="See both").click()
        expect(watch.page).to_have_url(
            re.compile(r"01-structure-and-hidden-state\.html\?figure=unroll&carry=off&swap=on#live-unroll")
        )
        watch.page.wait_for_function("() => typeof course === 'object' && course.figures.unroll")
        assert watch.page.evaluate("course.figures.unroll.state") == {"carry": "off", "swap": "on"}
        stays_at_home(watch)


def test_each_wrong_choice_of_the_final_check_leads_to_what_is_said_of_its_idea(site: Path) -> None:
    ideas = [choice.about for made in directives(CHECKS, "predict") for choice in choices(made) if choice.about]
    text = (site / "course" / f"{CHECK}.html").read_text(encoding="utf-8")
    links = re.findall(r'<a href="([\w-]+)\.html#(idea-M\d+)">', text)
    assert [place.removeprefix("idea-") for _, place in links] == ideas
    for page, place in links:
        assert f'id="{place}"' in (site / "course" / f"{page}.html").read_text(encoding="utf-8")
    with opened(site, CHECK) as watch:
        watch.page.locator("#predict-q1").get_by_role("button").nth(1).click()
        watch.page.get_by_role("link", name="Chapter 1 on this idea").first.click()
        expect(watch.page.get_by_text("batch_first changes x and out; h and c stay")).to_be_in_viewport()
        stays_at_home(watch)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=() if page.stem in (FIRST, TAGGING, CHECK) else pytest.mark.slow)
        for page in PAGES
    ],
)
def test_a_page_is_whole_without_a_script(site: Path, page: Path) -> None:
    with opened(site, page.stem, own={"java_script_enabled": False}) as watch:
        for made in directives(page, "live"):
            expect(watch.page.locator(f"#live-{made.argument} .course-stage svg")).to_be_visible()
        for made in directives(page, "predict"):
            box = watch.page.locator(f"#predict-{made.argument}")
            expect(box).to_be_visible()
            if "unmarked" not in made.options:
                box.locator(".course-reveal summary").click()
                expect(box.locator(".course-reveal p").first).to_be_visible()
        for name in answered_below(page):
            fold = watch.page.locator(f'.course-after[data-after="{name}"]').first
            expect(fold.locator("pre").first).to_be_hidden()
            fold.locator("summary").click()
            expect(fold.locator("pre").first).to_be_visible()
