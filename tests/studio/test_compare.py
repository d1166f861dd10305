import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Route, expect
from torch import Tensor

import hiddenstate as hs
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.text.tokenise import tokenise
from studio.browsers import saved_by
from studio.browsing import NEEDS_CHROMIUM
from studio.chromium import Modules
from studio.whole_page import WIDE, Shown, shown
from support import diagonal

pytestmark = NEEDS_CHROMIUM

A, B = "She likes to walk .", "She likes the walk ."
LONG, SHORT = "The author who met the critics was late .", "The author was late ."
TRACKS = ("l0", "l0r", "l1", "l1r")
SAME, MET = 1e-6, 0.1

Columns = list[tuple[int, int]]


@pytest.fixture(scope="module")
def served(chromium: Browser) -> Iterator[Shown]:
    with shown(chromium, hs.studio(text=A)) as page:
        page.given = {"text": A}
        yield page


@pytest.fixture
def studio(served: Shown) -> Shown:
    served.page.set_viewport_size(WIDE)
    return served


def aligned(page: Modules, way: str, a: list[str], b: list[str]) -> Columns:
    script = 'async ([way, a, b]) => (await import("studio/panels/compare/scene.js")).align(way, a, b)'
    return [(column["a"], column["b"]) for column in page.run(script, [way, a, b])]


def longest_common(a: list[str], b: list[str]) -> int:
    length = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for s, one in enumerate(a):
        for t, two in enumerate(b):
            length[s + 1][t + 1] = length[s][t] + 1 if one == two else max(length[s][t + 1], length[s + 1][t])
    return length[-1][-1]


SENTENCES = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=9)


@settings(max_examples=60, deadline=None)
@given(a=SENTENCES, b=SENTENCES)
def test_alignment_by_words(page: Modules, a: list[str], b: list[str]) -> None:
    columns = aligned(page, "words", a, b)
    assert [s for s, _ in columns if s >= 0] == list(range(len(a)))
    assert [t for _, t in columns if t >= 0] == list(range(len(b)))
    assert all(s >= 0 or t >= 0 for s, t in columns)
    assert sum(s >= 0 and t >= 0 and a[s] == b[t] for s, t in columns) >= longest_common(a, b)


def test_words_that_replace_others_stand_together(page: Modules) -> None:
    assert aligned(page, "words", A.split(), B.split()) == [(t, t) for t in range(5)]
    assert aligned(page, "words", ["The", "X"], ["the", "Y", "Z"]) == [(0, 0), (1, 1), (-1, 2)]


def test_alignment_by_position(page: Modules) -> None:
    assert aligned(page, "position", ["a", "b", "c"], ["c"]) == [(0, 0), (1, -1), (2, -1)]
    assert aligned(page, "position", [], []) == []


def parting(page: Modules, distance: list[float | None], reverse: bool = False) -> dict[str, int]:
    script = """async ([distance, reverse]) => (await import("studio/panels/compare/scene.js"))
      .parting(distance.map((size) => size ?? NaN), reverse)"""
    return page.run(script, [distance, reverse])  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("distance", "reverse", "expected"),
    [
        ([0, 0, 2, 1, 0.1, 0.05], False, {"first": 2, "widest": 2, "meets": 4, "last": 5}),
        ([0, 0, 2, 1, 0.1, 0.3], False, {"first": 2, "widest": 2, "meets": -1, "last": 5}),
        ([0.1, None, 2, None, 0, 0], True, {"first": 2, "widest": 2, "meets": 0, "last": 0}),
        ([0, None, 0], False, {"first": -1, "widest": 0, "meets": -1, "last": 2}),
        ([None, None], False, {"first": -1, "widest": -1, "meets": -1, "last": -1}),
    ],
)
def test_parting(page: Modules, distance: list[float | None], reverse: bool, expected: dict[str, int]) -> None:
    assert parting(page, distance, reverse) == expected


def distances(a: Tensor, b: Tensor, columns: Columns) -> list[float | None]:
    return [None if s < 0 or t < 0 else torch.linalg.vector_norm(a[s, 0] - b[t, 0]).item() for s, t in columns]


def check_rows(rows: list[dict[str, str]], state: str, one: Any, two: Any, columns: Columns) -> None:
    assert [(row["step of A"], row["step of B"]) for row in rows] == [
        tuple("" if t < 0 else str(t) for t in column) for column in columns
    ]
    for row, (s, t) in zip(rows, columns, strict=True):
        assert row["prediction of A"] == ("" if s < 0 else one.tags[s])
        assert row["prediction of B"] == ("" if t < 0 else two.tags[t])
    for track in TRACKS:
        place = f"{track}.{state}"
        expected = distances(one.trace[place], two.trace[place], columns)
        shown = [row[f"‖Δ{state}‖ {track}"] for row in rows]
        assert [value == "" for value in shown] == [value is None for value in expected]
        numbers = [float(value) for value in shown if value]
        assert numbers == pytest.approx([value for value in expected if value is not None], abs=1e-5)


@pytest.mark.parametrize(
    ("two", "state"),
    diagonal([(A, B, "words"), (LONG, SHORT, "words"), (LONG, SHORT, "position")], ["c", "h"]),
)
def test_divergence_is_that_of_python(
    studio: Shown, tagger: Tagger, page: Modules, two: tuple[str, str, str], state: str
) -> None:
    a, b, align = two
    studio.look(page="compare", text=a, text2=b, align=align, show=state)
    columns = aligned(page, align, a.split(), b.split())
    check_rows(studio.saved("compare"), state, tagger.read(a.split()), tagger.read(b.split()), columns)


@pytest.mark.parametrize(
    "track", [pytest.param(track, marks=() if track in ("l0", "l1r") else pytest.mark.slow) for track in TRACKS]
)
def test_verdict(studio: Shown, tagger: Tagger, page: Modules, track: str) -> None:
    studio.look(page="compare", text=LONG, text2=SHORT, track=track, show="h")
    columns = aligned(page, "words", LONG.split(), SHORT.split())
    one, two = (tagger.read(text.split()).trace[f"{track}.h"] for text in (LONG, SHORT))
    found = parting(page, distances(one, two, columns), track.endswith("r"))
    verdict = studio.panel("compare").locator(".verdict")
    first, widest = (LONG.split()[columns[found[name]][0]] for name in ("first", "widest"))
    expect(verdict).to_contain_text(f"they diverge at “{first}”, are furthest apart at “{widest}”")
    expect(verdict).to_contain_text("converge again from" if found["meets"] >= 0 else "do not converge again")


def test_before_and_after_edits(studio: Shown, tagger: Tagger) -> None:
    studio.look(page="compare", compare="edits", edit="l0.f:set:0:t2", show="c")
    plain = tagger.read(A.split())
    with tagger.lstm.edit(hs.zero("l0.f", t=2)):
        after = tagger.read(A.split())
    check_rows(studio.saved("compare"), "c", plain, after, [(t, t) for t in range(5)])
    studio.page.get_by_label("layer").select_option("l0")
    expect(studio.panel("compare").locator(".verdict")).to_contain_text("they diverge at “to”")


def test_before_and_after_edits_without_any(studio: Shown) -> None:
    studio.look(page="compare", compare="edits")
    expect(studio.panel("compare").locator(".compare-note")).to_contain_text("There are no edits yet")
    expect(studio.panel("compare").locator(".verdict")).to_contain_text("the two are the same at every step")


@pytest.fixture(scope="module")
def other(tagger: Tagger) -> Tagger:
    changed = copy.deepcopy(tagger)
    with torch.no_grad():
        changed.lstm.weight("l0.W_hf").mul_(0.5)
    return changed


def test_two_models(chromium: Browser, tagger: Tagger, other: Tagger) -> None:
    with shown(chromium, hs.studio({"one": tagger, "two": other}, text=A)) as studio:
        studio.look(page="compare", show="h")
        compare = studio.panel("compare")
        compare.get_by_label("Two models").check()
        expect(compare.locator(".compare-note")).to_contain_text("Choose a different one for B")
        alike = compare.locator(".verdict").inner_text()
        compare.get_by_label("Model B").select_option(label="two")
        expect(compare.locator(".compare-note")).to_be_empty()
        expect(compare.locator(".verdict")).not_to_have_text(alike)  # the second model has been read
        words = A.split()
        check_rows(studio.saved("compare"), "h", tagger.read(words), other.read(words), [(t, t) for t in range(5)])


def test_a_model_that_comes_late_does_not_take_the_place_of_another(
    chromium: Browser, tagger: Tagger, other: Tagger
) -> None:
    held: list[Route] = []
    models = {"one": tagger, "late": tagger, "two": other}
    with shown(chromium, hs.studio(models, text=A)) as studio:
        studio.look(page="compare", compare="models", show="h")
        studio.page.route("**/models/late/weights.safetensors", lambda route: held.append(route))
        compare = studio.panel("compare")
        with studio.page.expect_request("**/models/late/weights.safetensors"):
            compare.get_by_label("Model B").select_option(label="late")
        compare.get_by_label("Model B").select_option(label="two")
        expect(compare.locator(".strand").first).to_be_visible()
        with studio.page.expect_response("**/models/late/weights.safetensors") as late:
            held[0].continue_()
        late.value.finished()
        studio.page.wait_for_timeout(500)  # long enough to read it and show it
        words = A.split()
        check_rows(studio.saved("compare"), "h", tagger.read(words), other.read(words), [(t, t) for t in range(5)])


def test_models_of_other_sizes(chromium: Browser) -> None:
    torch.manual_seed(0)
    models = {"small": hs.LSTM(4, 3), "large": hs.LSTM(4, 5)}
    with shown(chromium, hs.studio(models, x=torch.randn(6, 4))) as studio:
        studio.look(page="compare", compare="models", model2="large")
        expect(studio.panel("compare").locator(".verdict")).to_contain_text("layers of different sizes")
        expect(studio.panel("compare").locator(".strand")).to_have_count(0)


def test_shared_cursor(studio: Shown, tagger: Tagger) -> None:
    """A click on one map moves the cursor in both, and the arrow keys do."""
    studio.look(page="compare", text=LONG, text2=SHORT, show="h", track="l1", unit=5)
    stage = studio.panel("compare").locator(".compare-stage")
    readout = studio.panel("compare").locator(".compare-readout")
    stage.locator(".word", has_text="was").first.click()
    one, two = tagger.read(LONG.split()), tagger.read(SHORT.split())
    expect(readout).to_contain_text(
        f"A: “was” AUX {one.probabilities[6].max():.4f}, h of unit 5 = {one.trace['l1.h'][6, 0, 5]:.4f}"
    )
    expect(readout).to_contain_text(
        f"B: “was” AUX {two.probabilities[2].max():.4f}, h of unit 5 = {two.trace['l1.h'][2, 0, 5]:.4f}"
    )
    studio.page.keyboard.press("ArrowLeft")
    expect(readout).to_contain_text("A: “critics”")
    expect(readout).to_contain_text("B: no step here")


def test_a_step_that_only_the_second_has(studio: Shown) -> None:
    studio.look(page="compare", text=SHORT, text2=LONG, show="h")
    stage = studio.panel("compare").locator(".compare-stage")
    stage.locator(".word", has_text="critics").click()
    expect(studio.panel("compare").locator(".compare-readout")).to_contain_text("A: no step here   B: “critics”")


def test_a_pair_to_try(studio: Shown) -> None:
    studio.look(page="compare", show="h")
    compare = studio.panel("compare")
    compare.get_by_label("pairs").select_option(label=f"{A}  |  {B}")
    expect(compare.locator(".compare-about")).to_have_text("One word decides whether the next is a verb.")
    expect(compare.get_by_label("Sentence B")).to_have_value(B)
    expect(compare.locator(".tag.changed")).to_have_count(4)
    compare.get_by_label("Sentence B").fill(A)
    expect(compare.locator(".compare-note")).to_contain_text("The two sentences are the same")
    expect(compare.locator(".tag.changed")).to_have_count(0)


def test_it_opens_on_two_sentences_that_differ_in_a_word(studio: Shown, tagger: Tagger) -> None:
    studio.look(anew=True, page="compare", text=A)
    compare = studio.panel("compare")
    expect(compare.get_by_label("Sentence B")).to_have_value(B)  # the sentence paired with A
    studio.look(anew=True, page="compare", text="Giraffes in a field")
    expect(compare.get_by_label("Sentence B")).to_have_value("in a field")
    expect(compare.locator(".compare-about")).to_have_text("B is A without its first word. Edit either one.")
    expect(compare.locator(".compare-note")).to_have_text("")
    studio.look(anew=True, page="compare", text=A, text2=LONG)  # a sentence that was chosen stays
    expect(compare.get_by_label("Sentence B")).to_have_value(LONG)


def test_the_first_example_has_a_second_sentence_in_which_a_tag_is_another(chromium: Browser, tagger: Tagger) -> None:
    with shown(chromium, hs.studio()) as studio:
        studio.look(text="", page="compare")
        first, second = (studio.page.get_by_label(f"Sentence {name}").input_value() for name in "AB")
    words = [tokenise(text) for text in (first, second)]
    assert len(words[0]) == len(words[1])
    assert sum(a != b for a, b in zip(*words, strict=True)) == 1
    one, two = tagger.tag(words)
    assert one != two


def test_a_second_sentence_follows_the_first_until_someone_changes_it(studio: Shown) -> None:
    studio.look(page="compare", text="One two three")
    second = studio.panel("compare").get_by_label("Sentence B")
    expect(second).to_have_value("two three")
    turn = studio.page.get_by_label("Page", exact=True)
    turn.get_by_role("button", name="Read").click()
    studio.page.locator("#text").fill("Four five six")
    expect(studio.page.locator("#sentence .word-token")).to_have_text(["Four", "five", "six"])
    turn.get_by_role("button", name="Compare").click()
    expect(second).to_have_value("five six")
    second.fill("five seven")
    turn.get_by_role("button", name="Read").click()
    turn.get_by_role("button", name="Compare").click()
    expect(second).to_have_value("five seven")


def test_a_ribbon_chooses_its_layer(studio: Shown) -> None:
    studio.look(page="compare", text2=B, track="l0")
    studio.panel("compare").locator("[data-track=l1r] .band").click(position={"x": 5, "y": 5})
    expect(studio.panel("compare").locator(".ribbon.chosen")).to_have_attribute("data-track", "l1r")
    expect(studio.panel("compare").get_by_label("layer")).to_have_value("l1r")


def test_the_cursor_crosses_no_title(studio: Shown) -> None:
    studio.look(page="compare", text2=B)
    title = studio.panel("compare").locator(".cursor ~ .ribbon-title")  # drawn later, so on top of it
    expect(title).to_have_css("paint-order", "stroke")


def test_it_is_a_table_too(studio: Shown) -> None:
    studio.look(page="compare", text2=B)
    compare = studio.panel("compare")
    compare.get_by_text("As a table").click()
    expect(compare.locator(".compare-table tbody tr")).to_have_count(5)
    expect(compare.locator(".compare-table tbody tr").nth(2)).to_contain_text("the")


def test_it_fits_a_narrow_window(studio: Shown) -> None:
    studio.page.set_viewport_size({"width": 360, "height": 720})
    studio.look(page="compare", text2=B)
    assert studio.sticks_out() == 0


def test_picture(studio: Shown) -> None:
    studio.look(page="compare", text2=B)
    compare = studio.panel("compare")
    for kind in ("svg", "png"):
        compare.locator("summary", has_text="Save").click()
        _, content = saved_by(studio.page, compare.locator(f"[data-export={kind}]").click)
        if kind == "svg":
            assert b"strand" not in content  # styles are written out, classes are not
            assert b"<image" in content
            assert content.count(b"<path") > 8
        assert len(content) > 5000


LENGTHS = """() => {
  const rows = {};
  for (const word of document.querySelectorAll(".compare-drawing :is(.word, .tag)")) {
    const box = word.getBoundingClientRect();
    (rows[Math.round(box.top)] ??= []).push([box.left, box.right]);
  }
  return Object.values(rows);
}"""


@pytest.mark.parametrize("name", ["2026-01-{:02d}", "2026-01-{:02d} 12:00", "2026-01-{:02d}T12:00:00+00:00", "week {}"])
def test_names_of_steps_do_not_overlap(chromium: Browser, name: str) -> None:
    names = [name.format(day) for day in range(1, 31)]
    with shown(chromium, hs.studio(hs.LSTM(2, 3), x=torch.randn(30, 2), tokens=names)) as studio:
        for width in (1280, 390):
            studio.page.set_viewport_size({"width": width, "height": 900})
            studio.look(page="compare", text2="noise 30 1")
            words = studio.page.locator(".compare-drawing .word")
            expect(words).to_have_count(60)
            for row in studio.page.evaluate(LENGTHS):
                assert all(left[1] < right[0] for left, right in pairwise(row))
            assert words.evaluate_all("words => words.map((word) => word.firstChild.data)") == 2 * names


def test_words_and_their_tags_do_not_overlap(studio: Shown) -> None:
    studio.look(page="compare", text="Extraordinarily WWWWWWWWWWWW incomprehensibilities MMM", text2=A)
    expect(studio.page.locator(".compare-drawing .word").first).to_be_visible()
    for row in studio.page.evaluate(LENGTHS):
        assert all(left[1] < right[0] for left, right in pairwise(row))
