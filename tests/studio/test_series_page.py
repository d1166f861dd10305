"""The page with a series model: what is drawn, said and saved, compared with Python's forecasts."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import Browser, expect

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, IndexRangeError
from models.series.modules import EncoderDecoder, LastStep, PerStep
from studio.browsing import NEEDS_CHROMIUM
from studio.chromium import Modules
from studio.runtime.test_series import frame_of, model_of
from studio.whole_page import PHONE, Shown, shown

LONG = 3000


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return frame_of(LONG).assign(depth=1.0)


@pytest.fixture(scope="module")
def model() -> Any:
    return model_of(PerStep(3, 2))


@pytest.fixture(scope="module")
def studio(chromium: Browser, model: Any, frame: pd.DataFrame) -> Iterator[Shown]:
    with shown(chromium, hs.studio({"river": model}, x=frame)) as page:
        yield page


def look(studio: Shown, page: str = "read", **view: Any) -> None:
    """Open a page with a view, and wait until it has drawn."""
    drawn = {"read": ".heat-value", "explain": "#lags .patch-map", "compare": ".compare-drawing"}
    studio.look(drawn[page], page=page, **view)


@NEEDS_CHROMIUM
def test_forecasts_beside_the_truth(studio: Shown, model: Any, frame: pd.DataFrame) -> None:
    look(studio, text="0+3000", step=1000)
    panel = studio.panel("sentence")
    expect(panel.locator(".says")).to_have_text("After step 1000 “2014-11-16” it forecasts")
    row = panel.locator(".series-made-table tr", has_text="flow [m³/s], 2014-11-17").locator("td")
    want, truth = float(model.read(frame).values[1000, 0, 0, 0]), float(frame["flow"].iloc[1001])
    shown = [float(text.replace("−", "-")) for text in row.all_text_contents()]  # noqa: RUF001
    assert shown == pytest.approx([want, truth, want - truth], abs=0.06)
    names = ["flow [m³/s]", "depth", "rain [mm]", "snow", "flow [m³/s]"]
    assert panel.locator(".series-name").all_text_contents() == names
    expect(panel.locator(".series-tools")).to_contain_text("2012-02-20 – 2020-05-07: 3000 of 3000 steps")  # noqa: RUF001


@NEEDS_CHROMIUM
def test_each_target_and_step_ahead_has_its_forecast(page: Modules) -> None:
    script = """async ([series, part]) => (await import("studio/state/series.js"))
      .forecastsAt({ series }, { series: part }, 2)
      .map(({ name, ahead, value, truth }) => [name, ahead, value, truth])"""
    names, ahead = ["flow", "depth"], [1, 2, 4]
    series = {"targets": [{"name": name, "unit": ""} for name in names], "ahead": ahead, "truth": [*range(40)]}
    part = {"from": 5, "forecast": [100 * t + 10 * steps + k for t in range(3) for steps in ahead for k in range(2)]}
    want = [[names[k], steps, 200 + 10 * steps + k, 2 * (7 + steps) + k] for steps in ahead for k in range(2)]
    assert page.run(script, [series, part]) == want


@NEEDS_CHROMIUM
def test_a_part_of_the_series(studio: Shown, model: Any, frame: pd.DataFrame) -> None:
    look(studio, text="0+3000", step=1000)
    for name, says in (("Fewer", "1500 of"), ("Fewer", "750 of"), ("Later", "750 of"), ("More", "1500 of")):
        studio.panel("sentence").get_by_role("button", name=name).click()
        expect(studio.panel("sentence").locator(".series-tools")).to_contain_text(f"{says} 3000 steps")
    look(studio, text="1000+200", step=7)
    rows = studio.saved("sentence")
    values = model.read(frame).values
    assert [row["token"] for row in rows] == [str(date.date()) for date in frame.index[1000:1200]]
    assert [float(row["depth forecast"]) for row in rows] == pytest.approx(values[999:1199, 0, 0, 1].tolist(), abs=1e-4)
    assert [float(row["snow"]) for row in rows] == pytest.approx(frame["snow"][1000:1200].tolist(), abs=1e-6)


@NEEDS_CHROMIUM
def test_an_edit_shows_both_forecasts_and_its_python(studio: Shown, model: Any, frame: pd.DataFrame) -> None:
    look(studio, text="1000+50", step=10, edit="l0.o:set:0:t10")
    table = studio.panel("sentence").locator(".series-made-table")
    expect(table).to_contain_text("without edits")
    expect(studio.panel("sentence").locator(".series-line.before")).to_have_count(2)
    code = studio.panel("edits").locator(".edit-python code").inner_text()
    assert 't="2014-11-26"' in code
    reading = eval(code.split("=", 1)[1], {"model": model, "frame": frame, "hs": hs})
    cells = table.locator("tr").nth(1).locator("td").all_text_contents()
    assert float(cells[0].replace("−", "-")) == pytest.approx(float(reading.values[1010, 0, 0, 0]), abs=0.06)  # noqa: RUF001


@NEEDS_CHROMIUM
def test_which_feature_at_which_lag(studio: Shown) -> None:
    look(studio, "explain", text="0+3000", step=2000)
    panel = studio.panel("lags")
    expect(panel.locator(".patch-map .cell")).to_have_count(100 * 4)
    expect(studio.page.locator(".explain-name")).to_contain_text("forecast of flow after “2017-08-12” (step 2000)")
    rows = studio.saved("lags")
    assert list(rows[0]) == ["date", "lag", "rain", "snow", "flow", "all features"]
    assert [row["lag"] for row in rows[:-1]] == [str(100 - k) for k in range(100)]
    panel.locator(".cell").nth(99).click()
    expect(panel.locator(".attribution-says")).to_contain_text("rain [mm] at")


@NEEDS_CHROMIUM
@pytest.mark.parametrize("page", ["read", "explain", "compare"])
def test_numbers_are_not_called_words(studio: Shown, page: str) -> None:
    look(studio, "read", text="1000+60", step=30)
    look(studio, page, text="1000+60", step=30, text2="1100+60", edit="l0.f:set:0.5")
    for button in studio.page.get_by_role("button", name="About:").all():
        if button.is_visible():
            button.click()
    text = studio.page.locator(f".page-{page}").inner_text()
    for noun in (" word", "Word", "sentence"):
        assert noun not in text, text[max(0, text.find(noun) - 80) :][:160]


@NEEDS_CHROMIUM
def test_it_fits_a_phone(chromium: Browser, model: Any, frame: pd.DataFrame) -> None:
    with shown(chromium, hs.studio(model, x=frame), PHONE) as studio:
        for page in ("read", "explain", "compare"):
            look(studio, page, text="100+60", compare="sentences", text2="200+60")
            assert studio.sticks_out() <= 0


def test_what_can_not_be_shown_fails(frame: pd.DataFrame) -> None:
    with pytest.raises(ArgumentError, match=r"can't compute this EncoderDecoder: it is taken as it is"):
        hs.studio(hs.series_model(EncoderDecoder(1), ["flow"], "flow"), x=frame[["flow"]])
    with pytest.raises(ArgumentError, match=r"hx=, tokens= and path= are for a layer"):
        hs.studio(model_of(PerStep(3, 2)), x=frame, tokens=["a"])
    with pytest.raises(IndexRangeError, match="row"):
        hs.studio(model_of(PerStep(3, 2)), x=frame, row=1)
    with pytest.raises(ArgumentError, match="windows of 17"):
        hs.studio(model_of(LastStep(3, 2), window=17), x=frame[:3])


def test_a_folder_and_what_prepare_returned(tmp_path: Any, frame: pd.DataFrame) -> None:
    model = model_of(PerStep(3, 2))
    hs.save(model, tmp_path / "river")
    hs.save(model, tmp_path / "river.safetensors")
    for path in (tmp_path / "river", tmp_path / "river.safetensors"):
        (bundle,) = hs.studio(path, x=model.prepare(frame)).bundles.values()
        assert (bundle.kind, bundle.name) == ("series-model", "river")
        assert bundle.given is not None
        assert bundle.given.steps == LONG
