import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import product
from math import floor
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, expect

import hiddenstate as hs
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.structure.names import GATES
from hiddenstate.structure.structure import equations
from studio.browsers import retype, saved_by
from studio.browsing import NEEDS_CHROMIUM
from studio.chromium import Modules
from studio.whole_page import PHONE, WIDE, Shown, shown

pytestmark = NEEDS_CHROMIUM

WORDS = ["Giraffes", "in", "a", "field"]
SIZES = [
    {"inputSize": C, "hiddenSize": H, "numLayers": L, "bidirectional": D, "bias": bias, "projSize": P}
    for (C, H, P), L, D, bias in product(
        [(1, 1, 0), (4, 3, 0), (5, 7, 2), (17, 4, 3)], [1, 2, 3], [False, True], [True, False]
    )
]
CALLS = [{"T": T, "N": N, "batchFirst": first} for T, N, first in [(1, 1, False), (5, 2, True), (6, 3, False)]]
ARGUMENTS = {
    "inputSize": "input_size",
    "hiddenSize": "hidden_size",
    "numLayers": "num_layers",
    "bidirectional": "bidirectional",
    "bias": "bias",
    "projSize": "proj_size",
}


@pytest.fixture(scope="module")
def served(chromium: Browser) -> Iterator[Shown]:
    with shown(chromium, hs.studio(text=" ".join(WORDS))) as page:
        yield page


@pytest.fixture
def studio(served: Shown) -> Shown:
    served.page.set_viewport_size(WIDE)
    return served


def look(studio: Shown, **view: Any) -> None:
    studio.look(page="structure", **view)
    studio.panel("unrolled").locator("svg.st-unrolled").wait_for()


def arguments(sizes: dict[str, Any]) -> dict[str, Any]:
    return {ARGUMENTS[name]: value for name, value in sizes.items()}


def each(sizes: dict[str, Any]) -> str:
    return "-".join(str(int(value)) for value in sizes.values())


def run(page: Modules, module: str, expression: str, given: object) -> Any:
    """Evaluate an expression with ``m``, a module of the structure page, and ``given``, whose cell is an LSTM by
    default."""
    return page.run(
        f"""async (given) => {{
          const m = await import("studio/panels/{module}.js");
          const {{ KINDS }} = await import("studio/runtime/kinds.js");
          for (const sizes of [given, given.sizes ?? given]) sizes.cell = KINDS[given.kind ?? "LSTM"];
          return {expression};
        }}""",
        given,
    )


@pytest.mark.parametrize("layer", [hs.GRU(5, 3, 2), hs.RNN(2, 4, nonlinearity="relu", bias=False, bidirectional=True)])
def test_weights_of_other_cells(page: Modules, layer: hs.GRU | hs.RNN) -> None:
    sizes = {
        "inputSize": layer.input_size,
        "hiddenSize": layer.hidden_size,
        "numLayers": layer.num_layers,
        "bidirectional": layer.bidirectional,
        "bias": layer.bias,
        "projSize": 0,
    }
    expression = """[m.pythonCall(given.sizes, false), m.parameterCount(given.sizes),
        (await import("studio/runtime/lstm.js")).tracksOf(given.sizes)
        .flatMap((track) => m.gateWeights(given.sizes, track, given.gates))]"""
    given = {"sizes": sizes, "kind": layer.mode, "gates": layer.sizes.kind.gate_names}
    code, count, found = run(page, "structure/sizes", expression, given)
    structure = layer.structure()
    names = ("address", "name", "gate", "parameter", "rows", "shape", "count")
    assert found == [{name: weight[name] for name in names} for weight in structure.to_dicts()]
    assert count == structure.count
    assert eval(code, {"hs": hs}).structure().sizes == layer.sizes


@pytest.mark.parametrize("sizes", SIZES, ids=each)
def test_weights_are_those_of_python(page: Modules, sizes: dict[str, Any]) -> None:
    """Each gate's weight: its name, its place in torch's parameters, its shape and count."""
    expression = """(await import("studio/runtime/lstm.js")).tracksOf(given.sizes)
        .flatMap((track) => m.gateWeights(given.sizes, track, given.gates))"""
    found = run(page, "structure/sizes", expression, {"sizes": sizes, "gates": GATES})
    structure = hs.structure_of(hs.Sizes(**arguments(sizes)))
    names = ("address", "name", "gate", "parameter", "rows", "shape", "count")
    assert found == [{name: weight[name] for name in names} for weight in structure.to_dicts()]
    assert run(page, "structure/sizes", "m.parameterCount(given)", sizes) == structure.count


@pytest.mark.parametrize("sizes", SIZES, ids=each)
def test_shapes_are_those_of_a_call(page: Modules, sizes: dict[str, Any]) -> None:
    for call in CALLS:
        code, flows, parameters = run(
            page,
            "structure/sizes",
            """[m.pythonCall(given, given.batchFirst), m.flows(given, given),
                (await import("studio/runtime/lstm.js")).tracksOf(given)
                  .flatMap((track) => m.parameters(given, track))]""",
            {**sizes, **call},
        )
        lstm = eval(code, {"hs": hs})
        x = torch.randn({flow["name"]: flow["shape"] for flow in flows}["input"])
        out, (h_n, c_n) = lstm(x)
        shapes = {"input": x, "h0": h_n, "c0": c_n, "out": out, "h_n": h_n, "c_n": c_n}
        assert {flow["name"]: flow["shape"] for flow in flows} == {
            name: [*value.shape] for name, value in shapes.items()
        }
        assert {one["name"]: one["shape"] for one in parameters} == {
            name: [*value.shape] for name, value in lstm.named_parameters()
        }
        assert [one["name"] for one in parameters] == [name for name, _ in lstm.named_parameters()]
        assert lstm.structure().sizes == hs.Sizes(**arguments(sizes))


@pytest.mark.parametrize("sizes", SIZES, ids=each)
def test_what_holds_between_out_and_h_n(page: Modules, sizes: dict[str, Any]) -> None:
    """Each line of Python that the sandbox claims to be true is true for random numbers."""
    for call in CALLS:
        facts = run(page, "structure/results", "m.facts(given, given)", {**sizes, **call})
        lstm = hs.LSTM(**arguments(sizes), batch_first=bool(call["batchFirst"]))
        lead = (call["N"], call["T"]) if call["batchFirst"] else (call["T"], call["N"])
        out, (h_n, _) = lstm(torch.randn(*lead, sizes["inputSize"]))
        held = [fact["holds"] for fact in facts if fact["holds"]]
        assert held
        for line in held:
            left, relation, right = re.split(r" (==|!=) ", line)
            values = [eval(side, {"out": out, "h_n": h_n}) for side in (left, right)]
            assert torch.equal(*values) == (relation == "=="), line


@pytest.mark.parametrize("sizes", SIZES, ids=each)
def test_equations_are_those_of_python(page: Modules, sizes: dict[str, Any]) -> None:
    """The same equations, with the tensor's shape under every name."""
    given = {"sizes": sizes, "gates": GATES}
    expected = equations(hs.Sizes(**arguments(sizes)))
    for layer in range(sizes["numLayers"]):
        lines = run(page, "structure/results", f"m.equations(given.sizes, given.gates, {layer})", given)
        texts = ["".join(piece["text"] for piece in line).replace(" ", "") for line in lines]
        assert texts == [line.replace(" ", "") for line in expected]
        lstm = hs.LSTM(**arguments(sizes))
        for piece in (piece for line in lines for piece in line if re.match("[Wb]_", piece["text"])):
            weight = lstm.weight(f"l{layer}.{piece['text']}")
            assert piece["shape"] == "×".join(map(str, weight.shape))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"projSize": 3}, "proj_size has to be smaller"),
        ({"hiddenSize": 0}, "hidden_size"),
        ({"numLayers": 1.5}, "num_layers"),
    ],
)
def test_sizes_that_no_lstm_has_are_refused(page: Modules, change: dict[str, Any], says: str) -> None:
    sizes = SIZES[13] | {"inputSize": 4, "hiddenSize": 3, "projSize": 0}
    assert run(page, "structure/sizes", "m.refusal(given)", sizes) == ""
    assert says in run(page, "structure/sizes", "m.refusal(given)", sizes | change)


def test_several_weights_a_pixel(page: Modules) -> None:
    """A pixel that covers several weights shows the one farthest from 0; no pixel covers weights of two gates."""
    H, C = 5, 7
    weight = torch.randn(4 * H, C)
    given = {"values": weight.flatten().tolist(), "rows": 4 * H, "columns": C, "bands": 4}
    expression = "m.farthest({ ...given, values: Float32Array.from(given.values) }, 2, 3)"
    found = run(
        page,
        "structure/matrix",
        f"(({{ values, rows, columns }}) => ({{ values: [...values], rows, columns }}))({expression})",
        given,
    )
    assert (found["rows"], found["columns"]) == (12, 3)
    for k, value in enumerate(found["values"]):
        gate, row, column = k // 9, k // 3 % 3, k % 3
        block = weight[gate * H : (gate + 1) * H][2 * row : 2 * row + 2, 3 * column : 3 * column + 3].flatten()
        assert value == pytest.approx(block[block.abs().argmax()].item(), abs=1e-7)


def test_weights_are_read_by_name(studio: Shown, tagger: Tagger) -> None:
    look(studio, track="l0r")
    panel = studio.panel("weights")
    pointer, said = panel.locator(".st-holder"), panel.locator(".st-said")
    expect(said).to_contain_text(f"W_if[0, 0] = {tagger.lstm.weight('l0r.W_if')[0, 0]:.4f}")
    pointer.press("ArrowDown")
    pointer.press("ArrowRight")
    pointer.press("ArrowRight")
    expect(said).to_contain_text(f"W_if[1, 2] = {tagger.lstm.weight('l0r.W_if')[1, 2]:.4f}")
    expect(said).to_contain_text("weight_ih_l0_reverse[129, 2]")
    for _ in range(3):
        pointer.press("ArrowLeft")  # the first matrix has no column before its first
    expect(said).to_contain_text("W_if[1, 0]")


def test_pointing_reads_the_weight_under_the_pointer(studio: Shown, tagger: Tagger) -> None:
    """A weight is one pixel in the tagger's matrices, which begin at (52, 40). Firefox rounds the position of a click
    in the window, so it is a whole number here."""
    look(studio, track="l1")
    panel = studio.panel("weights")
    holder = panel.locator(".st-holder")
    holder.hover(position={"x": 52 + 200, "y": 40 + 3 * 128 + 17})  # scrolls there
    expect(panel.locator(".st-said")).to_contain_text("W_io[")
    left, top = holder.evaluate("element => { const box = element.getBoundingClientRect(); return [box.x, box.y]; }")
    x, y = round(left + 52 + 200.5), round(top + 40 + 3 * 128 + 17.5)
    column, unit = floor(x - left) - 52, floor(y - top) - 40 - 3 * 128
    assert abs(column - 200) <= 1
    assert abs(unit - 17) <= 1
    studio.page.mouse.move(x, y)
    weight = tagger.lstm.weight("l1.W_io")[unit, column]
    expect(panel.locator(".st-said")).to_contain_text(f"W_io[{unit}, {column}] = {weight:.4f}")
    studio.page.mouse.click(x, y)
    expect(studio.panel("microscope").locator(".hs-crumb[aria-current]")).to_have_text("gate o")
    expect(studio.panel("microscope").locator(".hs-crumb[data-zoom=unit]")).to_have_text(f"unit {unit}")


def test_colours_are_those_of_the_weights(studio: Shown, tagger: Tagger) -> None:
    """In the drawn matrix, positive weights are more red than blue, and each weight has its own pixel."""
    look(studio, track="l1")
    drawn = (
        studio.panel("weights")
        .locator("canvas.st-matrices")
        .evaluate(
            """(canvas) => {
          const { data } = canvas.getContext("2d").getImageData(52, 40, 256, 512);
          return Array.from({ length: 256 * 512 }, (_, k) => data[4 * k] - data[4 * k + 2]);
        }"""
        )
    )
    warmth = torch.tensor(drawn).view(512, 256)
    weight = torch.cat([tagger.lstm.weight(f"l1.W_i{gate}") for gate in GATES]).detach()
    strong, band = weight.abs() > 0.1, torch.arange(512) % 128 > 0  # the first row of a gate has a line through it
    assert ((warmth > 3) == (weight > 0))[strong & band[:, None]].all()


def test_table_is_that_of_python(studio: Shown, tagger: Tagger) -> None:
    look(studio, track="l1r")
    rows = studio.saved("weights")
    expected = {weight.name: weight for weight in tagger.lstm.structure().of(1, reverse=True)}
    assert {row["name"] for row in rows} == set(expected)
    for row in rows:
        weight = expected[row["name"]]
        assert row["shape"] == "×".join(map(str, weight.shape))
        assert row["count"] == f"{weight.count:,}"
        assert (row["parameter"], row["rows"]) == (weight.parameter, f"{weight.start}:{weight.stop}")
    printed = [line for line in str(tagger.lstm.structure()).splitlines() if "weight_ih_l1_reverse" in line]
    assert all(
        row["equation"].strip() in " ".join(printed) for row in rows if row["parameter"] == "weight_ih_l1_reverse"
    )


def test_unrolled_over_the_words(studio: Shown) -> None:
    look(studio, step=2, track="l1")
    panel = studio.panel("unrolled")
    expect(panel.locator(".st-box")).to_have_count(4 * len(WORDS))
    assert panel.locator(".st-word").all_text_contents() == WORDS
    for words in ("input[3] 1×240", "c_n[3]", "h0[2]", "1×256", "out[0]"):
        expect(panel.locator("svg.st-unrolled")).to_contain_text(words)
    expect(panel).to_contain_text(
        "out[t] is l1.h followed by l1r.h: out[-1] begins with h_n[2], out[0] ends with h_n[3]."
    )
    expect(panel.locator(".is-chosen")).to_have_attribute("aria-label", "l1 at step 2 “a”: open in the microscope")
    studio.page.keyboard.press("ArrowRight")
    expect(panel.locator(".is-chosen")).to_have_attribute("aria-label", "l1 at step 3 “field”: open in the microscope")
    panel.get_by_role("button", name="l0r at step 1 “in”: open in the microscope").press("Enter")
    expect(studio.panel("microscope").locator(".hs-crumb[aria-current]")).to_have_text("l0r")
    expect(studio.panel("microscope").locator(".hs-about")).to_contain_text("step 1 “in”")


def test_sandbox_follows_the_hand(studio: Shown) -> None:
    look(studio)
    panel = studio.panel("sandbox")
    code = panel.locator(".st-code")
    expect(code).to_have_text("lstm = hs.LSTM(4, 3)\nout, (h_n, c_n) = lstm(torch.randn(5, 1, 4))")
    retype(panel.locator("[name=numLayers]"), "2")
    panel.get_by_label("hidden size, slider").fill("5")
    panel.get_by_label("both directions").check()
    retype(panel.locator("[name=N]"), "7")
    expect(code).to_contain_text("hs.LSTM(4, 5, num_layers=2, bidirectional=True)")
    expect(panel.locator(".st-results")).to_contain_text("(5, 7, 10)")
    count = sum(value.numel() for value in hs.LSTM(4, 5, num_layers=2, bidirectional=True).parameters())
    expect(panel.locator(".st-parameters h3")).to_have_text(f"{count:,} parameters")
    expect(studio.page).to_have_url(re.compile("lstm=4,5,2,1,1,0,5,7,0"))
    look(studio, lstm="4,5,2,1,1,0,5,7,0")
    expect(code).to_contain_text("hs.LSTM(4, 5, num_layers=2, bidirectional=True)")
    panel.get_by_role("button", name="the sizes of this model").click()
    expect(code).to_contain_text("hs.LSTM(240, 128, num_layers=2, bidirectional=True)")


def test_sandbox_says_what_can_not_be(studio: Shown) -> None:
    look(studio, lstm="4,3,1,0,1,2,5,1,0")
    panel = studio.panel("sandbox")
    retype(panel.locator("[name=projSize]"), "3")
    expect(panel.get_by_role("alert")).to_have_text("proj_size has to be smaller than hidden_size, got 3 and 3")
    expect(panel.locator(".st-code")).to_contain_text("proj_size=2")  # the previous picture, dimmed
    retype(panel.locator("[name=projSize]"), "1")
    expect(panel.get_by_role("alert")).to_have_text("")
    expect(panel.locator(".st-code")).to_contain_text("proj_size=1")


def test_an_address_that_is_no_lstm(studio: Shown) -> None:
    look(studio, lstm="4,0,1,0,1,0,5,1,0")
    expect(studio.panel("sandbox").get_by_role("alert")).to_contain_text(
        "hidden_size must be a whole number greater than zero"
    )


def test_a_recorded_run_has_no_weights(chromium: Browser) -> None:
    trace = hs.LSTM(4, 6).trace(torch.randn(4, 1, 4))
    with shown(chromium, hs.studio(trace)) as page:
        look(page)
        expect(page.panel("weights")).to_contain_text("A recorded run has no weights")
        expect(page.panel("weights").locator("canvas.st-matrices")).to_be_hidden()
        page.panel("weights").locator("summary", has_text="Save").click()
        for kind in ("svg", "png", "csv"):
            page.panel("weights").locator(f"[data-export={kind}]").click()
            expect(page.panel("weights").locator(".menu-nothing")).to_have_text("There is nothing to save yet.")
        expect(page.panel("unrolled")).to_contain_text("LSTM ? → 6")  # a trace does not record how wide its input was


def test_panels_follow_the_model(chromium: Browser) -> None:
    """Also a model that was chosen while a different page was shown."""
    torch.manual_seed(5)
    first, second = hs.LSTM(4, 3), hs.LSTM(4, 3)
    with shown(chromium, hs.studio({"first": first, "second": second}, x=torch.randn(60, 4))) as page:
        look(page, track="l0", step=50)
        expect(page.panel("unrolled").locator(".is-chosen")).to_have_attribute("aria-label", re.compile("step 50 "))
        expect(page.panel("unrolled")).to_contain_text("Steps 48 to 59 of 60 are drawn.")
        said = page.panel("weights").locator(".st-said")
        expect(said).to_contain_text(f"W_if[0, 0] = {first.weight('l0.W_if')[0, 0]:.4f}")
        page.page.evaluate("location.hash = 'page=read'")
        expect(page.panel("microscope")).to_be_visible()
        page.page.evaluate("location.hash = 'page=structure&model=second'")
        expect(said).to_contain_text(f"W_if[0, 0] = {second.weight('l0.W_if')[0, 0]:.4f}")


def test_a_plain_rnn_has_no_second_gate(chromium: Browser) -> None:
    """The weight that is shown first is that of the second gate, or else of the only one."""
    rnn = hs.RNN(4, 3)
    with shown(chromium, hs.studio(rnn, x=torch.randn(5, 4))) as page:
        look(page)
        first = rnn.weight("l0.W_ih")[0, 0]
        expect(page.panel("weights").locator(".st-said")).to_contain_text(f"W_ih[0, 0] = {first:.4f}")


def test_phone(studio: Shown) -> None:
    studio.page.set_viewport_size(PHONE)
    look(studio, track="l1")
    assert studio.sticks_out() == 0


def test_saved_as_a_picture(studio: Shown) -> None:
    look(studio)
    pictures = ("unrolled", "svg"), ("unrolled", "png"), ("weights", "png"), ("weights", "svg"), ("sandbox", "svg")
    for name, kind in pictures:
        panel = studio.panel(name)
        panel.locator("summary", has_text="Save").click()
        _, content = saved_by(studio.page, panel.locator(f"[data-export={kind}]").click)
        assert content.startswith(b"<svg" if kind == "svg" else b"\x89PNG")


def test_weights_as_a_picture_that_scales(chromium: Browser) -> None:
    torch.manual_seed(0)
    lstm = hs.LSTM(4, 3)
    with shown(chromium, hs.studio(lstm, x=torch.randn(5, 4))) as studio:
        look(studio)
        panel = studio.panel("weights")
        panel.locator("summary", has_text="Save").click()
        _, content = saved_by(studio.page, panel.locator("[data-export=svg]").click)
        root = ET.fromstring(content)
    svg = "{http://www.w3.org/2000/svg}"
    texts = [text.text or "" for text in root.iter(f"{svg}text")]
    assert len(list(root.iter(f"{svg}image"))) == 4
    assert {f"W_{kind}{gate}" for kind in "ih" for gate in GATES} <= set(texts)
    numbers = [f"{value:.2f}" for value in lstm.get_parameter("weight_ih_l0").flatten().tolist()]
    at = texts.index(numbers[0])
    assert texts[at : at + len(numbers)] == numbers


def test_titles_of_weights_keep_apart(page: Modules) -> None:
    names = ["weight_ih_l0_reverse", "weight_hh_l0_reverse", "bias_ih_l0_reverse", "bias_hh_l0_reverse"]
    matrices = [
        {"parameter": name, "rows": 512, "columns": columns, "vector": name.startswith("bias")}
        for name, columns in zip(names, [1, 128, 1, 1], strict=True)
    ]
    figure = run(page, "structure/matrix", "m.placeMatrices(given, 600)", matrices)
    assert figure["pixel"] == 1
    starts = [one["x"] for one in figure["placed"]]
    assert starts[1] - starts[0] > 7 * len(names[0])  # a letter of 11 px is 6.6 wide
    assert starts[2] - 40 - starts[1] > 7 * len(names[1])  # the title of a bias is above its middle
