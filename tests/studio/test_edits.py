import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, expect

import hiddenstate as hs
from hiddenstate.models.tagger.tagger import Tagger
from language_models import make as make_language_model
from studio.browsers import retype, saved_by
from studio.browsing import NEEDS_CHROMIUM
from studio.chromium import Modules
from studio.whole_page import Shown, shown

pytestmark = NEEDS_CHROMIUM

SENTENCE = "I like to fish and hunt ."  # two of its words are nouns or verbs, depending on what is remembered
WORDS = SENTENCE.split()
UNSURE = "Fruit flies like a banana"  # single units decide whether its second word is a noun or a verb
KEEP = "l0.f:set:1"  # if the first layer forgets nothing, both are verbs
SAME = 1e-6


@pytest.fixture(scope="module")
def studio(chromium: Browser) -> Iterator[Shown]:
    with shown(chromium, hs.studio(text=SENTENCE)) as page:
        page.given = {"text": SENTENCE}
        yield page


def as_view(edit: hs.Edit) -> dict[str, Any]:
    return {name: getattr(edit, name) for name in ("place", "kind", "value", "scope")} | {
        name: None if value is None else list(value) if isinstance(value, tuple) else [value]
        for name, value in (("unit", edit.unit), ("t", edit.t))
    }


EDITS = [
    hs.set("l1.f", unit=203, t=17, to=0.0),
    hs.set("l0r.c", to=-1.25),
    hs.scale("l0.o", by=2.0, unit=[1, 2, 3], scope="readout"),
    hs.add("l0.g_pre", value=1e-7, t=[0, 4]),
    hs.add("l0.h", value=-3.0),
    hs.scale("l1.i", by=1e22),
]


@pytest.mark.parametrize("edit", EDITS, ids=str)
def test_python_line(page: Modules, edit: hs.Edit) -> None:
    script = '(edit) => import("studio/panels/edits/words.js").then(({ pythonEdit }) => pythonEdit(edit))'
    line = page.run(f"async {script}", as_view(edit))
    assert as_view(eval(line, {"hs": hs})) == as_view(edit)


def test_python_line_says_set(page: Modules) -> None:
    script = 'async (e) => (await import("studio/panels/edits/words.js")).pythonEdit(e)'
    assert page.run(script, as_view(EDITS[0])) == 'hs.set("l1.f", unit=203, t=17, to=0.0)'


MODEL = {
    "hasWeights": True,
    "unit": "word",
    "quantities": list("ifgoch"),
    "tracks": [{"name": "l0", "units": 4, "outputs": 2}],
}
FITTING = [hs.zero("l0.f"), hs.zero("l0.f_pre", unit=3, t=-2), hs.zero("l0.h", unit=[0, 1]), hs.zero("l0.c", t=1)]
RESTING = [
    (hs.zero("l0.f", unit=4), "no unit 4, only 0 to 3"),
    (hs.zero("l0.h", unit=2), "no unit 2, only 0 to 1"),
    (hs.zero("l0.f", t=2), "no step 2 here: the last word is step 1"),
    (hs.zero("l0.f", t=-3), "no step -3 here"),
    (hs.zero("l1.f"), "no l1"),
]
REASON = """async ([edit, model]) => {
  const { inForce, restingReason } = await import("studio/state/edits.js");
  return [restingReason(edit, model, 2), inForce([edit], model, 2).length];
}"""


@pytest.mark.parametrize("edit", FITTING, ids=str)
def test_an_edit_fits(page: Modules, edit: hs.Edit) -> None:
    assert page.run(REASON, [as_view(edit), MODEL]) == ["", 1]


@pytest.mark.parametrize(("edit", "reason"), RESTING, ids=str)
def test_an_edit_fits_fails(page: Modules, edit: hs.Edit, reason: str) -> None:
    said, held = page.run(REASON, [as_view(edit), MODEL])
    assert reason in said
    assert held == 0


def test_a_trace_has_no_edits(page: Modules) -> None:
    said, held = page.run(REASON, [as_view(FITTING[0]), MODEL | {"hasWeights": False}])
    assert "no weights" in said
    assert held == 0


def labels(studio: Shown, row: str) -> list[str]:
    return studio.panel("edits").locator(f"tr.{row} .label").all_inner_texts()


def test_closing_the_forget_gates_changes_the_tags(studio: Shown, tagger: Tagger) -> None:
    studio.look(track="l0")
    edits = studio.panel("edits")
    edits.get_by_role("button", name="Close the forget gates", exact=True).click()
    plain = tagger.read(WORDS)
    with tagger.lstm.edit(hs.zero("l0.f")):
        after = tagger.read(WORDS)
    assert (plain.tags[3], after.tags[3]) == ("VERB", "NOUN")
    expect(edits.locator("tr.after td.changed")).to_have_count(3)
    assert labels(studio, "before") == list(plain.tags)
    assert labels(studio, "after") == list(after.tags)
    assert studio.panel("sentence").locator(".word-tag").all_inner_texts() == list(after.tags)


@pytest.mark.parametrize(
    "edits",
    [
        pytest.param([hs.set("l0.f", to=1.0)], marks=pytest.mark.slow),
        [hs.zero("l1r.h", unit=7, t=6), hs.scale("l0.c", by=0.5, t=[1, 2])],
        [hs.zero("l0.f", t=3, scope="readout"), hs.add("l0r.g_pre", value=2.0, unit=[4, 5])],
        [hs.zero("l1.o", t=2)],
    ],
    ids=lambda edits: edits[0].place,
)
def test_numbers_are_those_of_python(studio: Shown, tagger: Tagger, edits: list[hs.Edit]) -> None:
    studio.look(edit=";".join(map(address_of, edits)))
    plain = tagger.read(WORDS)
    with tagger.lstm.edit(*edits):
        after = tagger.read(WORDS)
    rows = studio.saved("edits")
    for t, row in enumerate(rows):
        assert (row["token"], row["before"], row["after"]) == (WORDS[t], plain.tags[t], after.tags[t])
        assert float(row["probability after"]) == pytest.approx(after.probabilities[t].max().item(), abs=1e-5)
        moved = (after.probabilities[t] - plain.probabilities[t]).abs().sum() / 2
        assert float(row["moved"]) == pytest.approx(moved.item(), abs=1e-5)
    for track in ("l0", "l0r", "l1", "l1r"):
        size = (after.trace[f"{track}.h"] - plain.trace[f"{track}.h"]).abs().amax((1, 2))
        shown = torch.tensor([float(row[f"max |Δh| {track}"]) for row in rows])
        torch.testing.assert_close(shown, size, atol=1e-5, rtol=0)
        assert marked(studio, track) == first_of(size, reverse=track.endswith("r"))


def address_of(edit: hs.Edit) -> str:
    data = as_view(edit)
    chosen = [f"{name[0]}{','.join(map(str, data[name]))}" for name in ("unit", "t") if data[name] is not None]
    scope = ["readout"] if edit.scope == "readout" else []
    return ":".join([edit.place, edit.kind, str(edit.value), *chosen, *scope])


def first_of(size: torch.Tensor, reverse: bool) -> int:
    steps = [t for t, value in enumerate(size.tolist()) if value > 10 * SAME]
    return -1 if not steps else steps[-1 if reverse else 0]


def marked(studio: Shown, track: str) -> int:
    row = studio.panel("edits").locator("tr", has=studio.page.locator("th", has_text=re.compile(f"^{track}$")))
    found = row.locator("td.first")
    return found.evaluate("(cell) => cell.cellIndex - 1") if found.count() else -1


def test_the_python_shown_does_the_same(studio: Shown, tagger: Tagger) -> None:
    studio.look(edit=f"{KEEP};l1r.c:scale:0.5:u7,8:t2:readout")
    names: dict[str, Any] = {"hs": hs, "tagger": tagger}
    exec(studio.panel("edits").locator(".edit-python code").inner_text(), names)
    assert labels(studio, "after") == list(names["reading"].tags)
    shown = [float(row["probability after"]) for row in studio.saved("edits")]
    assert shown == pytest.approx(names["reading"].probabilities.max(-1).values.tolist(), abs=1e-5)


def test_the_python_is_shown_whole(studio: Shown) -> None:
    studio.look(text=" ".join(["left"] * 40), edit=f"{KEEP};l1r.c:scale:0.5:u7,8:t2:readout")
    code = studio.panel("edits").locator(".edit-python pre")
    assert code.evaluate("(pre) => pre.scrollWidth <= pre.clientWidth")
    assert code.evaluate("(pre) => pre.clientHeight") < 160


def test_the_python_shown_does_the_same_for_a_language_model(chromium: Browser) -> None:
    model = make_language_model()
    with shown(chromium, hs.studio(model, text="the dog sat")) as studio:
        studio.look(edit="l0.c:set:0.75:t2;l1.f:set:0")
        names: dict[str, Any] = {"hs": hs, "torch": torch, "model": model}
        exec(studio.panel("edits").locator(".edit-python code").inner_text(), names)
        said = names["said"][:, 0].exp()
        rows = studio.saved("edits")
        assert [row["after"] for row in rows] == [model.tokens.tokens[k] for k in said.argmax(-1).tolist()]
        shown_numbers = [float(row["probability after"]) for row in rows]
        assert shown_numbers == pytest.approx(said.max(-1).values.tolist(), abs=1e-5)


def test_editor(studio: Shown, tagger: Tagger) -> None:
    """The value at the heat map's cursor can be changed using only the keyboard, and the page follows at once."""
    studio.look(text=UNSURE, track="l1r", show="h", unit=62, step=2)
    page, edits = studio.page, studio.panel("edits")
    page.locator(".heat-map").press("Enter")
    box = page.get_by_role("dialog", name="Change a value")
    expect(box).to_contain_text(f"now {tagger.read(UNSURE.split()).trace['l1r.h'][2, 0, 62]:.4f}")
    expect(box.locator(".edit-outcome")).to_contain_text("“flies” NOUN → VERB")  # initially it is set to 0
    retype(box.get_by_label("value", exact=True), "-0.75")
    expect(box.locator(".edit-outcome")).to_contain_text("h is -0.7500 here")
    expect(box.locator(".edit-outcome")).to_contain_text("no prediction changes")
    retype(box.get_by_label("value", exact=True), "0")
    box.get_by_label("all units").check()
    box.get_by_label("readout").check()
    expect(box.locator(".edit-scope")).to_contain_text("the state carried to the next step does not")
    box.get_by_role("button", name="Apply").click()
    expect(box).to_be_hidden()
    expect(edits.locator(".edit-list li")).to_contain_text("l1r.h set to 0.0")
    expect(edits.locator(".edit-list li")).to_contain_text("all units, step 2 “like”, readout")
    expect(page).to_have_url(re.compile("edit=l1r.h:set:0:t2:readout"))


def test_editor_is_left(studio: Shown) -> None:
    studio.look(track="l1r", show="h", unit=7, step=6, edit=KEEP)
    for way in ("Escape", "Cancel", "×"):
        leave_editor(studio, way)


def leave_editor(studio: Shown, way: str) -> None:
    page, edits = studio.page, studio.panel("edits")
    page.locator(".heat-map").press("Enter")
    expect(edits.locator(".edit-list li")).to_have_count(2)
    box = page.get_by_role("dialog")
    if way == "Escape":
        page.keyboard.press("Escape")
    else:
        box.get_by_text(way, exact=True).click()
    expect(edits.locator(".edit-list li")).to_have_count(1)
    expect(box).to_be_hidden()
    expect(edits.get_by_role("button", name="Undo")).to_be_disabled()


def test_editor_changes_an_edit(studio: Shown) -> None:
    studio.look(edit=f"{KEEP};l1r.h:set:0:u7:t6")
    edits = studio.panel("edits")
    edits.get_by_role("button", name="Change: hidden state").click()
    studio.page.get_by_role("dialog").get_by_label("multiply by").check()
    retype(studio.page.get_by_label("value", exact=True), "1.5")
    studio.page.keyboard.press("Enter")
    expect(edits.locator(".edit-list li").nth(1)).to_contain_text("l1r.h multiplied by 1.5")
    expect(edits.locator(".edit-list li").nth(0)).to_contain_text("l0.f set to 1.0")


def test_undo_and_redo(studio: Shown) -> None:
    studio.look(track="l0")
    edits, page = studio.panel("edits"), studio.page
    lines = edits.locator(".edit-list li")
    edits.get_by_role("button", name="Forget nothing", exact=True).click()
    edits.get_by_role("button", name="Silence the output", exact=True).click()
    expect(lines).to_have_count(2)
    edits.get_by_role("button", name="Undo").click()
    expect(lines).to_have_count(1)
    page.keyboard.press("Control+z")
    expect(lines).to_have_count(0)
    expect(edits.locator(".idea").first).to_be_visible()
    edits.get_by_role("button", name="Redo").click()
    expect(lines).to_have_count(1)
    edits.get_by_role("button", name="Remove: forget gate").click()
    expect(lines).to_have_count(0)
    page.keyboard.press("Control+z")
    expect(lines).to_contain_text("l0.f set to 1.0")


def test_picture(studio: Shown) -> None:
    studio.look(edit=KEEP)
    edits = studio.panel("edits")
    for kind in ("svg", "png"):
        edits.locator("summary", has_text="Save").click()
        _, content = saved_by(studio.page, edits.locator(f"[data-export={kind}]").click)
        assert len(content) > 5000
        assert kind == "png" or all(f">{word}</text>".encode() in content for word in [*WORDS, "VERB", "PART"])


def test_edits_of_another_model_rest(chromium: Browser) -> None:
    torch.manual_seed(0)
    models = {"deep": hs.LSTM(4, 3, num_layers=2), "flat": hs.LSTM(4, 3)}
    with shown(chromium, hs.studio(models, x=torch.randn(6, 4))) as studio:
        studio.look(edit="l1.f:set:0")
        expect(studio.panel("edits").locator(".edit-list li")).to_have_count(1)
        studio.page.get_by_label("Model").select_option(label="flat")
        expect(studio.panel("edits").locator(".edit-rests")).to_have_text("Resting: this model has no l1.")


def test_what_does_not_fit_rests(studio: Shown) -> None:
    studio.look(text="They fish .", edit="l0.h:set:0:t6;l0.f:set:1")
    lines = studio.panel("edits").locator(".edit-list li")
    expect(lines.nth(0)).to_contain_text("Resting: there is no step 6 here: the last word is step 2.")
    assert "resting" not in (lines.nth(1).get_attribute("class") or "")
    assert "l0.h" not in studio.panel("edits").locator(".edit-python code").inner_text()
    studio.panel("sentence").locator("#text").fill(SENTENCE)
    expect(studio.panel("edits").locator(".edit-rests")).to_have_count(0)


def test_a_recorded_trace_is_not_edited(chromium: Browser) -> None:
    trace = hs.LSTM(4, 3).trace(torch.randn(5, 1, 4))
    with shown(chromium, hs.studio(trace)) as page:
        page.look()
        expect(page.panel("edits")).to_contain_text("It has no weights and can't be run again")
        expect(page.panel("edits").locator(".edit-presets")).to_be_hidden()
