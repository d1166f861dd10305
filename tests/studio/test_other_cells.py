"""The page with GRUs and plain RNNs: the circuit's numbers, edits, what has no equation, and an LSTM beside a GRU."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, expect

import hiddenstate as hs
from studio.browsing import NEEDS_CHROMIUM
from studio.whole_page import PHONE, Shown, shown

pytestmark = NEEDS_CHROMIUM

DIGITS = 6e-5
T, C, H = 5, 4, 6


def made() -> dict[str, Any]:
    torch.manual_seed(2)
    layers: dict[str, Any] = {
        "gru": hs.GRU(C, H, num_layers=2, bidirectional=True),
        "rnn": hs.RNN(C, H),
        "relu": hs.RNN(C, H, nonlinearity="relu"),
        "lstm": hs.LSTM(C, H, num_layers=2, bidirectional=True),
    }
    for layer in layers.values():
        for parameter in layer.parameters():
            parameter.data.mul_(2)
    return layers


LAYERS = made()
X = torch.randn(T, C)


@pytest.fixture(scope="module")
def served(chromium: Browser) -> Iterator[Shown]:
    with shown(chromium, hs.studio(LAYERS, x=X)) as page:
        yield page


def number(page: Shown, part: str) -> float:
    return float(page.panel("microscope").locator(f".hs-circuit {part}").text_content() or "")


def results(page: Shown) -> list[float]:
    texts = page.panel("microscope").locator(".hs-result").all_text_contents()
    return [float(text.removeprefix("= ")) for text in texts]


@pytest.mark.parametrize(("track", "unit", "t"), [("l0", 0, 0), ("l1r", 5, 2), ("l1", 3, 4)])
def test_a_gru_s_circuit(served: Shown, track: str, unit: int, t: int) -> None:
    served.look(model="gru", track=track, unit=unit, step=t)
    trace = LAYERS["gru"].trace(X, pre=True)
    values = {name: trace[f"{track}.{name}"][t, unit].item() for name in ("r", "z", "n", "h", "n_h", "n_rh")}
    for gate in "rzn":
        assert number(served, f".hs-gate-{gate} .hs-number") == pytest.approx(values[gate], abs=DIGITS)
        text = served.panel("microscope").locator(f".hs-gate-{gate} .hs-mono").text_content() or ""
        wanted = trace[f"{track}.{gate}_pre"][t, unit].item()
        assert float(re.sub(r"[^-.\d]", "", text)) == pytest.approx(wanted, abs=DIGITS)
    assert number(served, ".hs-part-of-sum .hs-number") == pytest.approx(values["n_h"], abs=DIGITS)
    before = number(served, ".hs-state-h_prev .hs-number")
    kept, written = values["z"] * before, (1 - values["z"]) * values["n"]
    assert results(served) == pytest.approx([values["n_rh"], kept, written, values["h"]], abs=1.2e-4)


@pytest.mark.parametrize("name", ["rnn", "relu"])
def test_an_rnn_s_circuit(served: Shown, name: str) -> None:
    served.look(model=name, unit=1, step=3)
    layer = LAYERS[name]
    trace = layer.trace(X, pre=True)
    pre, h = (trace[f"l0.{place}"][3, 1].item() for place in ("h_pre", "h"))
    from_x = (layer.weight_ih_l0[1] @ X[3] + layer.bias_ih_l0[1]).item()
    assert results(served) == pytest.approx([from_x, pre - from_x, pre, h], abs=1.2e-4)
    assert number(served, ".hs-state-h .hs-number") == pytest.approx(h, abs=DIGITS)
    served.panel("microscope").locator(".hs-part-of-sum").first.click()
    expect(served.panel("microscope").locator(".hs-equation")).to_contain_text(f"h = {layer.nonlinearity}(")


def test_the_sum_behind_a_candidate(served: Shown) -> None:
    served.look(model="gru", track="l0", unit=2, step=3, zoom="gate", gate="n")
    rows = served.panel("microscope").locator(".hs-row").all()
    terms = {texts[0]: float(texts[1]) for row in rows if (texts := row.locator("text").all_text_contents())}
    total = terms.pop("sum, before the tanh")
    assert total == pytest.approx(LAYERS["gru"].trace(X, pre=True)["l0.n_pre"][3, 2].item(), abs=DIGITS)
    assert sum(terms.values()) == pytest.approx(total, abs=1e-3)
    r = LAYERS["gru"].trace(X)["l0.r"][3, 2].item()
    assert terms["r·b_hn[2]"] == pytest.approx(r * LAYERS["gru"].bias_hh_l0[2 * H + 2].item(), abs=DIGITS)


def test_an_experiment(served: Shown) -> None:
    served.look(model="gru", track="l0", unit=0, step=3)
    served.panel("edits").get_by_role("button", name="Keep nothing").click()
    with LAYERS["gru"].edit(hs.set("l0.z", 0.0)):
        wanted = LAYERS["gru"].trace(X)["l0.h"][3, 0].item()
    found = served.panel("microscope").locator(".hs-state-h .hs-number")
    expect(found).to_have_text(f"{wanted:.4f}")


def test_a_plain_rnn_has_no_ledger_and_no_tour(served: Shown) -> None:
    served.page.goto("about:blank")
    served.page.goto(f"{served.url}#model=rnn&page=explain")
    expect(served.panel("ledger")).to_contain_text("A plain RNN has no ledger")
    expect(served.panel("attribution")).to_contain_text("Occlusion adds up to")
    served.look(model="rnn", tour=1)
    expect(served.page.locator(".tour-card")).to_contain_text("Only with an LSTM")


def test_structure(served: Shown) -> None:
    served.page.goto("about:blank")
    served.page.goto(f"{served.url}#model=gru&page=structure")
    expect(served.panel("sandbox").locator(".st-code")).to_contain_text("gru = hs.GRU(4, 3)\nout, h_n = gru(")
    expect(served.panel("sandbox")).to_contain_text("81 parameters")
    served.panel("weights").locator("summary", has_text="All weights of").click()
    expect(served.panel("weights").locator("table")).to_contain_text("r∘(W_hn·h_prev")


def test_an_lstm_beside_a_gru(served: Shown) -> None:
    served.look(model="lstm", page="compare", compare="models", model2="gru", show="c")
    expect(served.page.locator(".compare-drawing")).to_contain_text("h of B")
    served.look(model="lstm", page="compare", compare="models", model2="gru", show="o")
    expect(served.page.locator(".compare-drawing")).to_contain_text("no o in")


@pytest.mark.parametrize("name", ["gru", pytest.param("rnn", marks=pytest.mark.slow)])
def test_a_recorded_run_on_a_phone(chromium: Browser, name: str) -> None:
    trace = LAYERS[name].trace(X)
    with shown(chromium, hs.studio(trace), PHONE) as page:
        for zoom in ("model", "layer", "gate", "unit"):
            page.look(unit=1, step=2, zoom=zoom)
            page.panel("microscope").locator(".hs-stage svg").first.wait_for()
            assert page.sticks_out() == 0
        h = trace[f"l{LAYERS[name].num_layers - 1}.h"][2, 1].item()
        assert number(page, ".hs-state-h .hs-number") == pytest.approx(h, abs=DIGITS)
