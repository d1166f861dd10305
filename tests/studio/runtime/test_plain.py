import itertools
import json
from typing import Any

import pytest
import torch

import hiddenstate as hs
from hiddenstate.cells.kinds import CELLS
from studio.bundles import bundle_of
from studio.runtime.driver import Runtime, close, values_of
from support import LAYERS

LSTMS: dict[str, dict[str, Any]] = {
    "one unit": {"input_size": 1, "hidden_size": 1},
    "plain": {"input_size": 4, "hidden_size": 3},
    "both ways": {"input_size": 5, "hidden_size": 3, "num_layers": 3, "bidirectional": True},
    "projected": {"input_size": 3, "hidden_size": 5, "num_layers": 2, "proj_size": 2, "bidirectional": True},
    "without bias": {"input_size": 2, "hidden_size": 7, "bias": False},
    "batch first": {"input_size": 2, "hidden_size": 6, "batch_first": True},
    "large": {"input_size": 17, "hidden_size": 65, "num_layers": 2},
}
OTHER_LAYERS = {layer.__name__.lower(): layer for layer in LAYERS if layer is not hs.LSTM}
SIZES = {"input_size": 5, "hidden_size": 7, "num_layers": 2, "bidirectional": True}
OTHERS: dict[str, dict[str, Any]] = {
    **{name: {"cell": layer, **SIZES} for name, layer in OTHER_LAYERS.items()},
    "gru without bias": {"cell": hs.GRU, "input_size": 3, "hidden_size": 17, "bias": False},
    "relu": {"cell": hs.RNN, "input_size": 2, "hidden_size": 3, "nonlinearity": "relu"},
}


def make(*, cell: Any = hs.LSTM, **settings: Any) -> Any:
    torch.manual_seed(3)
    lstm = cell(**settings)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.mul_(3)
    return lstm


@pytest.mark.parametrize("settings", (LSTMS | OTHERS).values(), ids=LSTMS | OTHERS)
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 9])
def test_layers(runtime: Runtime, settings: dict[str, Any], steps: int) -> None:
    lstm, x = make(**settings), torch.randn(steps, settings["input_size"])
    runtime.load(bundle_of(lstm))
    run, trace = runtime.run(numbers=x), lstm.trace(x)
    for place, values in values_of(run).items():
        close(values, trace[place], rtol=1e-5)  # relu is unbounded
    assert run["tokens"] == [str(t) for t in range(steps)]
    assert (run["heads"], run["surprise"]) == ([], None)


def test_given_numbers_and_state(runtime: Runtime) -> None:
    lstm, x = make(**LSTMS["projected"]), torch.randn(6, 3)
    h0, c0 = torch.randn(4, 2), torch.randn(4, 5)
    runtime.load(bundle_of(lstm, {"input": x, "h0": h0, "c0": c0}))
    trace = lstm.trace(x, (h0, c0))
    given = runtime.ask("model.given")
    for place, values in values_of(given).items():
        close(values, trace[place])
    for k, track in enumerate(given["tracks"]):
        close(track["initial"]["h"], h0[k])
        close(track["initial"]["c"], c0[k])


@pytest.mark.parametrize("name", ["plain", "without bias", "large", "gru without bias", "relu"])
def test_stream(runtime: Runtime, name: str) -> None:
    settings = (LSTMS | OTHERS)[name]
    lstm, x = make(**settings), torch.randn(11, settings["input_size"])
    runtime.load(bundle_of(lstm))
    run, trace = runtime.stream(numbers=x), lstm.trace(x)
    for place, values in values_of(run).items():
        close(values, trace[place], rtol=1e-5)
    assert run["tokens"] == [str(t) for t in range(11)]


def test_stream_that_begins_elsewhere(runtime: Runtime) -> None:
    settings = {"input_size": 3, "hidden_size": 5, "num_layers": 2, "proj_size": 2}
    lstm, x = make(**settings), torch.randn(4, 3)
    runtime.load(bundle_of(lstm))
    h, c = torch.randn(2, 2), torch.randn(2, 5)
    trace = lstm.trace(x, (h, c))
    numbers = json.dumps([row.flatten().tolist() for row in (h, c, *x)])
    run = runtime.ask(f"""(() => {{
      const [h, c, ...rows] = {numbers}.map((row) => Float32Array.from(row));
      const stream = model.stream();
      stream.step(rows[0]);
      stream.reset({{ t: 70, h, c }});
      rows.forEach((row) => stream.step(row));
      return stream.run();
    }})()""")
    for place, values in values_of(run).items():
        close(values, trace[place])
    assert run["tokens"] == ["70", "71", "72", "73"]
    close(run["tracks"][1]["initial"]["h"], h[1])
    with runtime.refuses("a state h of 1 numbers", "4"):
        runtime.ask("model.stream().reset({t: 0, h: new Float32Array(1), c: new Float32Array(2)})")


def test_weights_and_dot_products(runtime: Runtime) -> None:
    lstm, x = make(**LSTMS["projected"]), torch.randn(4, 3)
    runtime.load(bundle_of(lstm, {"input": x}))
    weights = runtime.ask("model.weights('l1r')")
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"):
        close(weights[name], getattr(lstm, f"{name}_l1_reverse").flatten())
    trace = lstm.trace(x, pre=True)
    for track in ("l0", "l0r", "l1", "l1r"):
        for gate, unit, t in (("i", 0, 0), ("f", 3, 3), ("g", 2, 1), ("o", 4, 2)):
            found = runtime.ask(f"model.dotProduct(model.given, '{track}', '{gate}', {unit}, {t})")
            assert found["sum"] == pytest.approx(trace[f"{track}.{gate}_pre"][t, unit].item(), abs=1e-5)
            parts = found["inputWeights"] @ found["input"] + found["hiddenWeights"] @ found["hidden"]
            assert found["sum"] == pytest.approx(float(parts) + found["biasInput"] + found["biasHidden"], abs=1e-5)


@pytest.mark.parametrize("name", OTHER_LAYERS)
def test_dot_products_of_other_cells(runtime: Runtime, name: str) -> None:
    layer, x = make(**OTHERS[name]), torch.randn(4, OTHERS[name]["input_size"])
    kind = layer.sizes.kind
    before = {f"{name}0": torch.randn(4, layer.hidden_size) for name in kind.carried}
    runtime.load(bundle_of(layer, {"input": x, **before}))
    trace = layer.trace(x, kind.as_given([*before.values()]), pre=True)
    for track, gate, t in itertools.product(("l0", "l1r"), kind.gate_names, (0, 3)):
        found = runtime.ask(f"model.dotProduct(model.given, '{track}', '{gate}', 2, {t})")
        assert found["sum"] == pytest.approx(trace[f"{track}.{gate}_pre"][t, 2].item(), abs=1e-5)
        state = found["scale"] * (found["hiddenWeights"] @ found["hidden"] + found["biasHidden"])
        if gate == "n":
            assert float(state) == pytest.approx(trace[f"{track}.n_rh"][t, 2].item(), abs=1e-5)
        assert found["sum"] == pytest.approx(float(state) + found["fromInput"], abs=1e-5)


def test_cells_are_those_of_python(runtime: Runtime) -> None:
    found = runtime.page.run("async () => (await import('studio/runtime/kinds.js')).KINDS")
    assert list(found) == list(CELLS)
    for name, cell in CELLS.items():
        page = found[name]
        assert (page["name"], page["label"], page["memory"], page["candidate"]) == (
            *(cell.name, cell.label),
            *(cell.memory, cell.candidate),
        )
        assert (page["carried"], page["isAdditive"]) == (list(cell.carried), cell.is_additive)
        assert page["activations"] == {gate.name: gate.activation for gate in cell.gates}
        assert page["parts"] == {part.name: part.gate for part in cell.parts}


def test_layer_fails(runtime: Runtime) -> None:
    runtime.load(bundle_of(make(**LSTMS["plain"])))
    with runtime.refuses("a step of 2 numbers", "expected 4"):
        runtime.run(numbers=torch.ones(3, 2))
    with runtime.refuses("not finite"):
        runtime.ask("model.runNumbers([new Float32Array([1, 2, NaN, 4])])")
    with runtime.refuses("no step"):
        runtime.run(numbers=torch.ones(0, 4))
    with runtime.refuses("no vocabulary"):
        runtime.run(["a"])
    with runtime.refuses("no vocabulary"):
        runtime.tokenise(["a"])
    with runtime.refuses("no vocabulary"):
        runtime.stream(["a"])
    with runtime.refuses("a step of 3 numbers"):
        runtime.stream(numbers=torch.ones(1, 3))
    with runtime.refuses("layer and direction l7"):
        runtime.ask("model.weights('l7')")


@pytest.mark.parametrize("name", ["plain", "both ways", "projected"])
def test_trace(runtime: Runtime, name: str) -> None:
    lstm, x = make(**LSTMS[name]), torch.randn(5, LSTMS[name]["input_size"])
    with lstm.edit(hs.zero("l0.f", t=2, scope="readout")):
        trace = lstm.trace(x, tokens=list("abcde"))
    runtime.load(bundle_of(trace))
    given = runtime.ask("model.given")
    for place, values in values_of(given).items():
        close(values, trace[place])
    assert given["tokens"] == list("abcde")
    close(given["tracks"][0]["carried"]["c"].view(5, -1), trace.carried["l0"][:, 0])
    assert runtime.ask("[model.kind, model.hasWeights]") == ["trace", False]


def test_trace_of_some_places(runtime: Runtime) -> None:
    trace = make(**LSTMS["plain"]).trace(torch.randn(5, 4), keep=["l0.f"])
    runtime.load(bundle_of(trace))
    values = values_of(runtime.ask("model.given"))
    close(values["l0.f"], trace["l0.f"])
    assert values["l0.c"].isnan().all()
    assert values["l0.c"].shape == (5, 3)


def test_trace_fails(runtime: Runtime) -> None:
    runtime.load(bundle_of(make(**LSTMS["plain"]).trace(torch.randn(5, 4))))
    for script in ("model.run(['a'])", "model.runNumbers([])", "model.stream()", "model.weights('l0')"):
        with runtime.refuses("a trace, which has no weights", "Open the LSTM itself"):
            runtime.ask(script)
