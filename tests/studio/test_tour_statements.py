"""The tour's statements are true for every kind of model that it is shown with."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, expect
from studio_page import WEB
from torch import Tensor

import hiddenstate as hs
from hiddenstate.models.tagger.tagger import Tagger
from language_models import make
from studio.browsing import NEEDS_CHROMIUM
from studio.chromium import Modules
from studio.test_tour import Guide
from studio.whole_page import shown

pytestmark = NEEDS_CHROMIUM

T = 6


def made(seed: int = 1, **options: Any) -> tuple[hs.LSTM, Tensor]:
    torch.manual_seed(seed)
    return hs.LSTM(4, 3, **options), torch.randn(T, 1, 4)


# Each statement of the quiz, computed.
QUIZ: dict[str, Callable[[], bool]] = {
    "One layer, one direction: `out[-1]` is `h_n[-1]`": lambda: ends(lambda out, h_n: (out[-1], h_n[-1])),
    "Two layers, one direction: `out[-1]` is `h_n[-1]`": lambda: ends(
        lambda out, h_n: (out[-1], h_n[-1]), num_layers=2
    ),
    "Two layers, one direction: `out[-1]` is `h_n[0]`": lambda: ends(lambda out, h_n: (out[-1], h_n[0]), num_layers=2),
    "Two directions: the reverse half of `out[-1]` is the reverse direction's final state": lambda: ends(
        lambda out, h_n: (out[-1, :, 3:], h_n[1]), bidirectional=True
    ),
    "Rows of different lengths: `out[-1]` is each row's last output": lambda: ends(
        lambda out, h_n: (out[-1], h_n[-1]), lengths=[T, 3]
    ),
}


def ends(
    pair: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], lengths: list[int] | None = None, **sizes: Any
) -> bool:
    lstm, x = made(**sizes)
    out, (h_n, _) = lstm(x.expand(T, 2, 4), lengths=lengths)
    return torch.equal(*pair(out, h_n))


def test_what_the_quiz_takes_for_right_is_right(page: Modules) -> None:
    statements = page.run('async () => (await import("studio/panels/tour/exercises.js")).STATEMENTS')
    assert {one["says"]: one["holds"] for one in statements} == {says: holds() for says, holds in QUIZ.items()}
    told = [one[part] for one in statements for part in ("because", "mistake")]
    assert len(set(told)) == 2 * len(QUIZ)


def test_each_wrong_answer_is_told_what_is_wrong_with_it(chromium: Browser) -> None:
    lstm, x = made()
    with shown(chromium, hs.studio(lstm, x=x)) as studio:
        studio.look(tour=8)
        guide = Guide(studio)
        guide.at(8)
        said = []
        for k, holds in enumerate(QUIZ.values()):
            line = guide.card.locator(".tour-quiz li").nth(k)
            line.get_by_role("button", name="does not" if holds() else "holds").click()
            expect(line).to_contain_text(re.compile("No\\. This (treats|assumes|confuses)"))
            said.append(line.locator(".tour-said").inner_text())
        assert len(set(said)) == len(QUIZ)
        expect(guide.card).to_contain_text("0 of 5 right")


ROWS = {0: "where i starts", 1: "counts gates", 2: "the last row of the previous gate", 4: "rows count from 0"}
ROWS |= {6: "where g starts", 12: "past the last row", 50: "Each gate has H = 3 rows"}
WIDTHS = {3: "are concatenated", 12: "counts every layer", 4: "the size of the input", 5: "Each direction has"}


def test_a_wrong_number_is_told_what_it_counts(chromium: Browser) -> None:
    lstm, x = made(num_layers=2)
    with shown(chromium, hs.studio(lstm, x=x)) as studio:
        for step, label, answers in ((6, "forget gate", ROWS), (9, "numbers", WIDTHS)):
            studio.look(tour=step)
            guide = Guide(studio)
            guide.at(step)
            for answer, says in answers.items():
                guide.answer(label, str(answer))
                expect(guide.card.locator(".tour-said").first).to_contain_text(f"Not {answer}. ")
                expect(guide.card.locator(".tour-said").first).to_contain_text(says)


ANOTHER_CELL = """async () => {
  const { INPUTS, START, step } = await import("studio/panels/tour/exercises.js");
  const other = { h: START.h, c: START.c.map((value) => -value) };
  return [START, other].map((state) => step(INPUTS[0], state).h);
}"""


def test_a_column_is_made_from_the_cell_too(page: Modules) -> None:
    """The same h_prev and input with a different c_prev give a different h."""
    one, other = page.run(ANOTHER_CELL)
    assert max(abs(a - b) for a, b in zip(one, other, strict=True)) > 0.1


def test_what_was_read_earlier_comes_through_two_states_alone() -> None:
    lstm, x = made(num_layers=2)
    trace = lstm.trace(x)
    for layer in ("l0", "l1"):  # each layer separately, on its own input
        read = x if layer == "l0" else trace["l0.h"]
        cell = hs.LSTM(read.shape[-1], 3)
        cell.load_state_dict({f"{k[:-1]}0": v for k, v in lstm.state_dict().items() if k.endswith(layer)})
        state = trace[f"{layer}.h"][2:3], trace[f"{layer}.c"][2:3]
        assert torch.allclose(cell(read[3:4], state)[0], trace[f"{layer}.h"][3:4], atol=1e-6)


def moved(lstm: Any, x: Tensor, place: str, t: int) -> dict[str, list[int]]:
    """The steps at which h changes, by layer and direction, if f of ``place`` is set to 0 at a step."""
    before = lstm.trace(x)
    with lstm.edit(hs.zero(f"{place}.f", t=t)):
        after = lstm.trace(x)
    names = [f"l{layer}{way}" for layer in range(lstm.num_layers) for way in ("", "r")[: 1 + lstm.bidirectional]]
    apart = {name: (before[f"{name}.h"] - after[f"{name}.h"]).abs().amax(dim=(1, 2)) for name in names}
    return {name: (far > 1e-9).nonzero().flatten().tolist() for name, far in apart.items()}


def editing(chromium: Browser, lstm: hs.LSTM, x: Tensor) -> str:
    with shown(chromium, hs.studio(lstm, x=x)) as studio:
        studio.look(tour=10)
        Guide(studio).at(10)
        return studio.page.locator(".tour-says").inner_text()


def test_an_edit_moves_what_the_tour_says(chromium: Browser) -> None:
    torch.set_default_dtype(torch.float64)  # so that small changes can be told from rounding
    try:
        one_way, x = made(num_layers=2)
        both, _ = made(num_layers=2, bidirectional=True)
    finally:
        torch.set_default_dtype(torch.float32)
    everywhere, later = list(range(T)), list(range(3, T))
    steps = moved(one_way, x, "l0", 3)
    assert steps == {"l0": later, "l1": later}
    assert "the steps after it, in its layer and in those above" in editing(chromium, one_way, x)
    steps = moved(both, x, "l0", 3)
    assert (steps["l0"], steps["l0r"]) == (later, [])
    assert sorted({*steps["l1"], *steps["l1r"]}) == everywhere
    text = editing(chromium, both, x)
    assert "in its own direction the rest of its step and the steps read after it" in text
    assert "all steps of the layers above" in text
    assert "also affects steps before it" in text
    assert moved(both, x, "l1r", 3) == {"l0": [], "l0r": [], "l1": [], "l1r": [0, 1, 2, 3]}


def test_an_edit_of_the_tagger_reaches_steps_before_it(tagger: Tagger) -> None:
    x = tagger.embed(tagger.encode([["I", "like", "to", "fish", "and", "hunt", "."]]).batch([0])).detach()
    steps = moved(tagger.lstm.double(), x.double(), "l0", 4)
    assert steps["l0"] == [4, 5, 6]
    assert steps["l1r"] == list(range(7))


def test_a_reverse_unit_knows_what_comes_after_it_in_the_first_layer_alone() -> None:
    lstm, x = made(num_layers=2, bidirectional=True)
    x.requires_grad_()
    trace = lstm.trace(x)

    def known(name: str) -> list[int]:
        (grad,) = torch.autograd.grad(trace[f"{name}.h"][3].sum(), x, retain_graph=True)
        return grad.abs().amax(dim=(1, 2)).nonzero().flatten().tolist()

    assert (known("l0"), known("l0r")) == ([0, 1, 2, 3], [3, 4, 5])
    assert known("l1") == known("l1r") == list(range(T))


@pytest.mark.slow
def test_the_tour_of_a_projection(chromium: Browser) -> None:
    """h has P numbers, which do not belong to units and are unbounded."""
    lstm, x = made(proj_size=2, bidirectional=True)
    with torch.no_grad():
        lstm.get_parameter("weight_hr_l0").mul_(40)
    assert lstm(x)[0].abs().max() > 1
    with shown(chromium, hs.studio(lstm, x=x)) as studio:
        guide = Guide(studio)
        for step, texts in (
            (1, ["out [T, 2·P] = [6, 4]"]),
            (2, ["2 numbers, which a projection computes from the outputs of its 3 units"]),
            (5, ["m = o·tanh(c)", "h = W_hr·m", "next to nothing in m"]),
            (6, ["weight_hh_l0 [4H, P] = [12, 2]"]),
        ):
            studio.look(tour=step)
            guide.at(step)
            for text in texts:
                expect(guide.card.locator(".tour-says")).to_contain_text(text)
            expect(guide.card.locator(".tour-says")).not_to_contain_text("between −1 and 1, one for each unit")  # noqa: RUF001
        studio.page.goto("about:blank")
        studio.page.goto(f"{studio.url}#tour=11")
        expect(guide.card.locator(".tour-equations")).to_contain_text("h = W_hr·m")
        expect(guide.card).to_contain_text("Seven equations")


def rounded() -> tuple[hs.Trace, float]:
    """A bfloat16 run in which, due to rounding, the sum that the tour asks for is not c; and that sum."""
    for seed in range(100):  # random numbers differ between versions of torch
        torch.manual_seed(seed)
        lstm = hs.LSTM(4, 3, dtype=torch.bfloat16)
        state = torch.zeros(1, 1, 3, dtype=torch.bfloat16), torch.full((1, 1, 3), 61.0, dtype=torch.bfloat16)
        trace = lstm.trace(torch.randn(T, 1, 4, dtype=torch.bfloat16), state)
        i, f, g, c = (trace[f"l0.{name}"].detach()[:, 0].double() for name in "ifgc")
        before = torch.cat([state[1][0].double(), c[:-1]])
        kept, written = f * before, i * g
        t, unit = divmod(int(torch.minimum(kept.abs(), written.abs()).argmax()), 3)
        total = kept[t, unit] + written[t, unit]
        if abs(total - c[t, unit]) > 0.008:
            return trace, total.item()
    raise AssertionError("no run in bfloat16 rounds the sum away from c")


def test_by_hand_where_the_run_has_rounded(chromium: Browser) -> None:
    trace, total = rounded()
    with shown(chromium, hs.studio(trace)) as studio:
        studio.look(tour=4)
        guide = Guide(studio)
        guide.at(4)
        guide.answer("c =", f"{total:.4f}")
        expect(guide.card).to_contain_text("Right: c =")


def test_by_hand_where_the_cell_is_not_empty_at_the_beginning(chromium: Browser) -> None:
    with shown(chromium, hs.studio(make(), text="t")) as studio:
        studio.look(tour=4)
        guide = Guide(studio)
        guide.at(4)
        assert guide.number("cell state was") != 0
        expect(guide.card.locator(".tour-says")).to_contain_text("the state after a newline, which the model reads")


def test_one_step_is_the_first_and_the_last(chromium: Browser) -> None:
    lstm, x = made(bidirectional=True)
    out, (h_n, _) = lstm(x[:1])
    assert torch.equal(out[-1, :, 3:], h_n[1])
    with shown(chromium, hs.studio(lstm, x=x[:1])) as studio:
        studio.look(tour=8)
        expect(studio.page.locator(".tour-says")).to_contain_text("only one step, both the first and the last")


def test_the_equations_name_the_state_before() -> None:
    """c is never on both sides: c_prev is what is kept, as in the concepts."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in (WEB / "panels" / "tour").glob("*.ts*")}
    assert "c = f·c_prev + i·g" in texts["steps-cell.tsx"]
    assert [name for name, text in texts.items() if re.search(r"f·c(?!_prev)|W_h[ifgo]·h(?!_prev)", text)] == []
