"""Series models in the page, compared with Python's own forecasts, on random modules of the simple shape."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import hiddenstate as hs
from models.series.modules import Direct, LastStep, PerStep
from studio.runtime.driver import Runtime, values_of
from studio.runtime.driver import as_data as edit_data

FEATURES, T = ["rain", "snow", "flow"], 65
UNITS = {"rain": "mm", "flow": "m³/s"}


class Activations(nn.Module):
    """A recurrent layer between linear layers with an activation."""

    def __init__(self, activation: nn.Module, **options: Any) -> None:
        super().__init__()
        self.embed, self.activation = nn.Linear(3, 5), activation
        self.rnn = nn.LSTM(5, 4, batch_first=True, **options)
        self.linear = nn.Linear(8 if options.get("bidirectional") else 4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.linear(self.activation(self.rnn(self.activation(self.embed(x)))[0]))
        return out


ACTIVATIONS = [nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.LeakyReLU(), nn.ELU(), nn.SiLU(), nn.GELU(), nn.Softplus()]
MODULES: dict[str, tuple[Any, dict[str, Any]]] = {
    "a step": (lambda: PerStep(3, 2, layers=2), {}),
    "a row": (lambda: LastStep(3, 2, nn.GRU), {}),
    "a horizon": (lambda: Direct(3, 2), {}),
    "windows": (lambda: LastStep(3, 2), {"window": 17}),
    "only a layer": (lambda: hs.RNN(3, 2), {}),
    "both ways": (lambda: Activations(nn.Identity(), bidirectional=True, num_layers=2), {}),
    **{type(part).__name__: (lambda part=part: Activations(part), {}) for part in ACTIVATIONS},
}


def frame_of(steps: int = T) -> pd.DataFrame:
    numbers = np.random.default_rng(1).normal(size=(steps, 3)) * [3, 1e-2, 40] + [5, 0, 1013]
    return pd.DataFrame(numbers, columns=FEATURES, index=pd.date_range("2012-02-20", periods=steps, freq="D"))


def model_of(module: nn.Module, **options: Any) -> Any:
    torch.manual_seed(2)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.6)
    scale = {"rain": (5.0, 3.0), "flow": (1013.0, 40.0)}
    return hs.series_model(module, FEATURES, ["flow", "depth"], scale=scale, units=UNITS, **options)


def load(runtime: Runtime, model: Any, frame: Any = None) -> None:
    (bundle,) = hs.studio({"river": model}, x=frame).bundles.values()
    runtime.load_raw(json.dumps(bundle.head()).encode(), bundle.weights)


def close(page: torch.Tensor, python: torch.Tensor) -> None:
    torch.testing.assert_close(page.double().view(python.shape), python, rtol=2e-6, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("name", MODULES)
def test_forecasts(runtime: Runtime, name: str) -> None:
    make, options = MODULES[name]
    model, frame = model_of(make(), **options), frame_of()
    load(runtime, model, frame)
    series = runtime.ask(
        "({ ...model.series, forecast: model.series.forecast(), run: model.series.runSpan(0, model.series.steps) })"
    )
    reading = model.read(frame)
    found = series["forecast"].double().view(T, len(series["ahead"]), 2)
    close(found[list(reading.origins)], reading.values[:, :, 0])
    close(series["values"].view(T, 3), torch.tensor(frame.to_numpy(copy=True)))
    assert series["tokens"] == [str(date.date()) for date in frame.index]
    assert [(column["name"], column["unit"]) for column in series["features"]] == [
        ("rain", "mm"), ("snow", ""), ("flow", "m³/s"),
    ]  # fmt: skip
    if not options:
        trace = next(iter(reading.trace.values()))
        for place, values in values_of(series["run"]).items():
            torch.testing.assert_close(values, trace[place].reshape(values.shape), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("name", ["a step", "a horizon", "both ways"])
def test_a_part_goes_on_from_what_was_read_before_it(runtime: Runtime, name: str) -> None:
    model, frame = model_of(MODULES[name][0]()), frame_of()
    load(runtime, model, frame)
    gate = "l0.z" if name == "a horizon" else "l0.f"
    edit = hs.set(gate, 0.3, unit=[0, 2], t=[4, 9])
    script = f"[model.series.runSpan(20, 45), model.series.runSpan(20, 45, {json.dumps([edit_data(edit)])})]"
    plain, edited = runtime.ask(script)
    for run, edits in ((plain, []), (edited, [hs.set(gate, 0.3, unit=[0, 2], t=[24, 29])])):
        part = frame[:45] if model.horizon > 1 else frame  # a bidirectional model reads the rest too
        reading = model.read(part, edits=edits)
        trace = next(iter(reading.trace.values()))
        for place, values in values_of(run).items():
            want = trace[place].reshape(len(part), -1)[20:45]
            torch.testing.assert_close(values, want, rtol=1e-5, atol=2e-5)
        last = run["series"]["forecast"].double().view(25, -1)[-1]
        close(last, reading.values[-1, :, 0].flatten() if model.horizon > 1 else reading.values[44, 0, 0])
    assert not torch.equal(plain["series"]["forecast"], edited["series"]["forecast"])


def test_windows(runtime: Runtime) -> None:
    model, frame = model_of(MODULES["windows"][0](), window=17), frame_of()
    load(runtime, model, frame)
    run = runtime.ask("model.series.runSpan(30, 47)")
    forecast = run["series"]["forecast"].double().view(17, 2)
    close(forecast[-1], model.read(frame[30:47]).values[-1, 0, 0])
    assert forecast[:-1].isnan().all()  # the model never forecasts from part of a window
    with runtime.refuses("3 steps", "17"):
        runtime.run(numbers=torch.randn(3, 3))


def test_rows_of_numbers(runtime: Runtime) -> None:
    model, frame = model_of(PerStep(3, 2)), frame_of(9)
    load(runtime, model)
    run = runtime.run(numbers=torch.tensor(frame.to_numpy(copy=True)))
    reading = model.read(frame.astype(np.float32))
    torch.testing.assert_close(
        run["series"]["forecast"].double().view(9, 2), reading.values[:, 0, 0], rtol=1e-5, atol=1e-2
    )
    for numbers in (torch.randn(2, 4), torch.full((2, 3), torch.inf)):
        with runtime.refuses("3 finite ones"):
            runtime.run(numbers=numbers)
    with runtime.refuses("This model came without a series"):
        runtime.ask("model.series.runSpan(0, 3)")


@pytest.mark.parametrize("name", ["a step", "a row", "a horizon", "GELU"])
def test_which_feature_at_which_lag(runtime: Runtime, name: str) -> None:
    model, frame = model_of(MODULES[name][0]()), frame_of(23)
    load(runtime, model, frame)
    found = runtime.page.run(
        """async () => {
      const { runPart } = await import("studio/runtime/series.js");
      const { lagMap } = await import("studio/runtime/explain/lags.js");
      const { logitTarget, probabilityTarget } = await import("studio/runtime/explain/target.js");
      const work = ask((() => { window.lagged = { runPart, lagMap, logitTarget, probabilityTarget }; })() ?? "true");
      const script = `(() => {
        const { runPart, lagMap, logitTarget, probabilityTarget } = window.lagged;
        const subject = model.subject(runPart(model.series.runSpan(0, 23), 12, 21));
        const [reader] = subject.readers;
        const target = logitTarget(reader, 1, 8) ?? probabilityTarget(reader, 1, 8);
        let step, work = lagMap(subject, target);
        do step = work.next(); while (!step.done);
        const { parts, byFeature, byStep, whole } = step.value;
        return [[whole], [...parts], [...byFeature], [...byStep]];
      })()`;
      return work && ask(script);
    }"""
    )
    whole, parts, by_feature, by_step = (torch.tensor(values, dtype=torch.float64) for values in found)
    x = model.prepare(frame).x.double()
    mean = x.mean(0, keepdim=True)[0]

    def forecast(changed: torch.Tensor) -> float:
        return float(model.forecast(changed[:21].float()).detach().reshape(-1, 2)[-1 if model.horizon == 1 else 0, 1])

    def without(steps: Any, features: Any) -> float:
        changed = x.clone()
        changed[steps, :, features] = mean[:, features]
        return float(whole) - forecast(changed)

    assert float(whole) == pytest.approx(forecast(x), abs=1e-4)
    want = [[without(t, c) for c in range(3)] for t in range(12, 21)]
    torch.testing.assert_close(parts.view(9, 3), torch.tensor(want, dtype=torch.float64), rtol=1e-4, atol=2e-4)
    assert by_feature.tolist() == pytest.approx([without(slice(12, 21), c) for c in range(3)], rel=1e-4, abs=2e-4)
    assert by_step.tolist() == pytest.approx([without(t, slice(None)) for t in range(12, 21)], rel=1e-4, abs=2e-4)


def test_damaged_models_fail(runtime: Runtime) -> None:
    (bundle,) = hs.studio(model_of(PerStep(3, 2)), x=frame_of(5)).bundles.values()
    head = bundle.head()
    for part, words in (
        ({"config": {**head["config"], "then": "exp"}}, ("activation",)),
        ({"config": {**head["config"], "scale": [[0, 0]] * 3}}, ("a scale",)),
        ({"config": {**head["config"], "after": []}}, ("sizes",)),
        ({"config": {**head["config"], "before": None}}, ("no list of layers before",)),
        ({"vocabulary": {**head["vocabulary"], "features": ["a", "a", "b"]}}, ("duplicates",)),
        ({"given": {"steps": 6, "tokens": None}}, ("given.input",)),
    ):
        with runtime.refuses(*words):
            runtime.load_raw(json.dumps({**head, **part}).encode(), bundle.weights)
