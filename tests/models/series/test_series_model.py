"""What `hs.series_model` finds out about a module, and its forecasts against the module's own calls."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError, RankError, ShapeError
from models.series import modules
from support import Later, assert_close, needs

preprocessing: Any = Later("sklearn.preprocessing")

NAMES = ["rain", "temperature", "flow"]
BATCH, TIME = False, True

FORMS = [
    (modules.PerStep(3, 1), 1, "step", BATCH, 1, True),
    (modules.PerStep(3, 2, nn.GRU, time_first=True, layers=2), 2, "step", TIME, 1, True),
    (modules.PerStep(3, 32, hs.RNN), 32, "step", BATCH, 1, True),
    (modules.LastStep(3, 1), 1, "row", BATCH, 1, False),
    (modules.LastStep(3, 4, hs.GRU, time_first=True), 4, "row", TIME, 1, False),
    (modules.Direct(3, 2), 2, "horizon", BATCH, 4, False),
    (modules.Direct(3, 1, 32, squeezed=True), 1, "horizon", BATCH, 32, False),
    (modules.Direct(3, 3, 3), 3, "horizon", BATCH, 3, False),
    (modules.EncoderDecoder(3), 1, "horizon", TIME, 5, False),
    (modules.ConvolutionInFront(3), 1, "step", BATCH, 1, False),
    (modules.Cells(3, 2), 2, "step", TIME, 1, True),
    (hs.LSTM(3, 5), 5, "step", TIME, 1, True),
    (modules.PerStep(3, 1).double(), 1, "step", BATCH, 1, True),
]


def targets(K: int) -> list[str]:
    return ["flow", *(f"target {k}" for k in range(1, K))]


@pytest.mark.parametrize(
    ("module", "K", "gives", "time_first", "horizon", "state"), FORMS, ids=lambda value: type(value).__name__
)
def test_the_form_of_a_module_is_found(
    module: nn.Module, K: int, gives: str, time_first: bool, horizon: int, state: bool
) -> None:
    model = hs.series_model(module, NAMES, targets(K))
    assert model.module is module
    assert (model.gives, model.time_first, model.horizon, model.carries_state) == (gives, time_first, horizon, state)
    assert module.training  # it is called in eval mode, and its mode is restored


@pytest.mark.parametrize("module", [form[0] for form in FORMS], ids=lambda module: type(module).__name__)
@pytest.mark.parametrize(("T", "R"), [(17, 1), (3, 65)])
def test_forecasts_are_what_the_module_gives(module: nn.Module, T: int, R: int) -> None:
    K = next(form[1] for form in FORMS if form[0] is module)
    factor = [(-1.0) ** k * k for k in range(1, K + 1)]  # a column may be read upside down
    model = hs.series_model(module, NAMES, targets(K), target_scale=([10.0] * K, factor))
    x = torch.randn(T, R, 3, dtype=next(module.parameters()).dtype)
    result = module.eval()(x if model.time_first else x.transpose(0, 1))
    out = result[0] if isinstance(result, tuple) else result
    if model.gives != "row":
        out = out if out.shape[1] == R and model.time_first else out.transpose(0, 1)
    want = 10 + torch.tensor(factor, dtype=x.dtype) * out.reshape(*out.shape[: 1 + (model.gives != "row")], K)
    got = model.forecast(x)
    assert_close(got, want)
    shapes = {"row": (R, K), "step": (T, R, K), "horizon": (model.horizon, R, K)}
    assert got.shape == shapes[model.gives]
    module.train()


def test_forecasts_are_differentiable() -> None:
    model = hs.series_model(modules.LastStep(3, 1).double(), NAMES, "flow", scale=(5.0, 2.0))
    x = torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model.forecast, (x,))


@pytest.mark.parametrize(
    "module", [modules.PerStep(3, 1), modules.Cells(3, 1), hs.GRU(3, 1)], ids=lambda m: type(m).__name__
)
def test_a_state_continues_a_series(module: nn.Module) -> None:
    model = hs.series_model(module, NAMES, "flow")
    x = torch.randn(9, 2, 3)
    first, state = model.run(x[:4])
    assert_close(torch.cat([first, model.forecast(x[4:], state)]), model.forecast(x))


def test_a_module_without_a_state_refuses_one() -> None:
    model = hs.series_model(modules.LastStep(3, 1), NAMES, "flow")
    with pytest.raises(ArgumentError, match="carries no state"):
        model.forecast(torch.zeros(4, 1, 3), torch.zeros(1))


def test_windows_of_one_length() -> None:
    module = modules.Window(3, 2, T=12)
    with pytest.raises(ShapeError, match="give window="):
        hs.series_model(module, NAMES, targets(2))
    model = hs.series_model(module, NAMES, targets(2), window=12)
    assert (model.gives, model.window) == ("row", 12)
    with pytest.raises(ShapeError, match=r"expected \[12, R, 3\]"):
        model.forecast(torch.zeros(11, 1, 3))


def test_a_module_that_mixes_rows_is_refused() -> None:
    with pytest.raises(ShapeError, match="changes the forecasts of other rows"):
        hs.series_model(modules.Mixed(3), NAMES, "flow")
    with pytest.raises(ShapeError, match="axes of rows and steps are exchanged"):
        hs.series_model(modules.PerStep(3, 1), NAMES, "flow", time_first=True)


@pytest.mark.parametrize(
    ("module", "names", "outputs", "options", "error", "message"),
    [
        (nn.Linear(3, 1), NAMES, "flow", {}, ArgumentError, "contains no LSTM"),
        ("lstm", NAMES, "flow", {}, ArgumentTypeError, "takes a torch.nn.Module"),
        (modules.PerStep(3, 2), NAMES, "flow", {}, ShapeError, "targets has 1 name"),
        (modules.PerStep(3, 1), NAMES, ["a", "b"], {}, ShapeError, "targets has 2 names"),
        (modules.PerStep(3, 1), NAMES[:2], "flow", {}, ShapeError, "C = 2 features"),
        (modules.PerStep(3, 1), "rain", "flow", {}, ArgumentTypeError, "features must be a list of names"),
        (modules.PerStep(3, 1), ["a", "b", "a"], "flow", {}, ArgumentError, "features names 'a' twice"),
        (modules.PerStep(3, 1), NAMES, [], {}, ArgumentError, "at least one name"),
        (modules.Direct(3, 2), NAMES, ["a", "b"], {"horizon": 5}, ShapeError, "gives 4 values ahead, but horizon=5"),
        (modules.PerStep(3, 1), NAMES, "flow", {"horizon": -1}, ArgumentError, "horizon must be at least 0"),
        (modules.PerStep(3, 1), NAMES, "flow", {"units": {"snow": "mm"}}, NameUnknownError, "neither a feature"),
        (modules.PerStep(3, 1), NAMES, "flow", {"target_scale": "flow"}, ArgumentError, "target_scale must be"),
        (modules.PerStep(3, 1), NAMES, "flow", {"scale": (0.0, [1, 0, 1])}, ArgumentError, "'temperature' is 0"),
        (modules.PerStep(3, 1), NAMES, "flow", {"scale": (0.0, [1, 2])}, ShapeError, "2 numbers"),
        (modules.PerStep(3, 1), NAMES, "flow", {"scale": ({"rain": 1}, 1)}, NameUnknownError, "'temperature'"),
        (modules.PerStep(3, 1), NAMES, "flow", {"scale": (np.nan, 1)}, ArgumentError, "must be finite"),
        (modules.PerStep(3, 1), NAMES, "flow", {"scale": 3.0}, ArgumentTypeError, "scale must be a mean"),
    ],
)
def test_bad_arguments(
    module: Any, names: Any, outputs: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        hs.series_model(module, names, outputs, **options)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_weights_that_are_not_finite(broken: float) -> None:
    module = modules.PerStep(3, 1)
    module.linear.bias.data.fill_(broken)
    with pytest.raises(ArgumentError, match="not finite"):
        hs.series_model(module, NAMES, "flow")


@needs("sklearn")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("StandardScaler", {}),
        ("StandardScaler", {"with_mean": False}),
        ("StandardScaler", {"with_std": False}),
        ("MinMaxScaler", {"feature_range": (-1, 2)}),
        ("RobustScaler", {}),
        ("MaxAbsScaler", {}),
    ],
)
def test_scalers_of_scikit_learn(name: str, options: dict[str, Any]) -> None:
    data = np.random.default_rng(0).normal(3, 5, (40, 3))
    scaler = getattr(preprocessing, name)(**options).fit(data)
    model = hs.series_model(modules.PerStep(3, 3).double(), NAMES, NAMES, scale=scaler)
    x = model.prepare(data).x
    assert_close(x[:, 0], torch.from_numpy(scaler.transform(data)))
    raw, _ = model.module(x.transpose(0, 1))
    assert_close(model.forecast(x)[:, 0], torch.from_numpy(scaler.inverse_transform(raw[0].detach().numpy())))


@needs("sklearn")
def test_scalers_that_can_not_be_undone_are_refused() -> None:
    with pytest.raises(ArgumentError, match="not fitted"):
        hs.series_model(modules.PerStep(3, 1), NAMES, "flow", scale=preprocessing.StandardScaler())
    data = np.random.default_rng(0).normal(3, 5, (40, 3))
    for scaler, message in (
        (preprocessing.PowerTransformer(), "does not scale each column"),
        (preprocessing.QuantileTransformer(n_quantiles=9), "does not scale each column"),
        (preprocessing.MinMaxScaler(clip=True), "clips values"),
        (preprocessing.StandardScaler(), "was constant"),
    ):
        fitted = scaler.fit(np.where([True, True, message != "was constant"], data, 1.0))
        with pytest.raises((ArgumentError, ArgumentTypeError), match=message):
            hs.series_model(modules.PerStep(3, 1), NAMES, "flow", scale=fitted)


def test_scales_are_taken_by_name() -> None:
    module = modules.PerStep(2, 1)
    by_name = {
        "flow": (30.0, 12.0),
        "rain": (1.0, 4.0),
        "snow": (0.0, 0.0),
    }  # a column that is not read may be constant
    for scale, order in ((by_name, ["rain", "flow"]), (([1.0, 30.0], [4.0, 12.0]), ["rain", "flow"])):
        model = hs.series_model(module, order, "flow", scale=scale)
        x = model.prepare({"flow": [30.0, 42.0], "rain": [5.0, 1.0]}).x
        assert x[:, 0].tolist() == [[1, 0], [0, 1]]
        assert_close(model.forecast(x)[:, 0], 30 + 12 * module(x.transpose(0, 1))[0][0])
    plain = hs.series_model(module, ["rain", "flow"], "flow", scale=by_name, target_scale=None)
    assert_close(plain.forecast(x)[:, 0], module(x.transpose(0, 1))[0][0])


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (torch.zeros(4, 3), RankError),
        (torch.zeros(4, 1, 2), ShapeError),
        (torch.zeros(0, 1, 3), ShapeError),
        (torch.zeros(4, 1, 3).double(), hs.errors.DtypeError),
        ([[1.0]], ArgumentTypeError),
    ],
)
def test_bad_inputs_of_a_forecast(x: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        hs.series_model(modules.PerStep(3, 1), NAMES, "flow").forecast(x)


def test_a_dict_and_a_list_of_forecasts() -> None:
    class Returns(modules.PerStep):
        result = "dict"

        def forward(self, x: Tensor, state: Any = None) -> Any:
            out, _ = super().forward(x, state)
            return {"dict": {"forecast": out}, "list": [out, 1], "two": {"a": out, "b": out}}[self.result]

    module = Returns(3, 1)
    assert hs.series_model(module, NAMES, "flow").gives == "step"
    module.result = "list"
    assert hs.series_model(module, NAMES, "flow").gives == "step"
    module.result = "two"
    with pytest.raises(ArgumentTypeError, match="a dict of 'a', 'b'"):
        hs.series_model(module, NAMES, "flow")


class Odd(modules.PerStep):
    """A module with one silent mistake."""

    def __init__(self, mistake: str) -> None:
        super().__init__(2, 1)
        self.mistake, self.kept = mistake, None

    def forward(self, x: Tensor) -> Any:  # type: ignore[override]
        if self.mistake == "random":
            return super().forward(nn.functional.dropout(x))[0]
        if self.mistake == "kept":
            out, self.kept = super().forward(x, self.kept)
            return out
        if self.mistake == "in place":
            return super().forward(x.mul_(2))[0]
        return super().forward(x)[0][:, -1].squeeze()


@pytest.mark.parametrize("mistake", ["random", "kept"])
def test_a_module_that_does_not_give_the_same_twice_is_refused(mistake: str) -> None:
    with pytest.raises(ArgumentError, match="gives different results when it is called with the same input again"):
        hs.series_model(Odd(mistake), ["a", "b"], "b")


def test_the_input_stays_as_it_is_if_the_module_changes_its_own() -> None:
    series = hs.series_model(Odd("in place"), np.array(["a", "b"]), "b")
    prepared = series.prepare({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    before = prepared.x.clone()
    assert torch.equal(series.read_input(prepared).values, series.read_input(prepared).values)
    assert torch.equal(prepared.x, before)


def test_a_dropped_axis_of_rows_is_named() -> None:
    series = hs.series_model(Odd("squeezed"), ["a", "b"], "b")
    assert series.read(np.ones((3, 4, 2))).values.shape == (1, 1, 3, 1)
    with pytest.raises(ShapeError, match=r"expected 1 axes: if squeeze\(\) drops the axis of a single row"):
        series.read(np.ones((4, 2)))


def test_a_scale_that_names_a_feature_wrongly_is_refused() -> None:
    module = modules.PerStep(2, 1)
    for scale, message in (({"A": (0, 1), "b": (0, 2)}, "no 'a', but 'A'"), ({"c": (0, 2)}, "no 'a', but 'c'")):
        with pytest.raises(NameUnknownError, match=message):
            hs.series_model(module, ["a", "b"], "b", scale=scale)
    for scale in ({"b": (0, 2)}, {"b": (0, 2), "level": (1, 2)}, {"a": (0, 1), "b": (0, 1), "c": (0, 1)}, {}):
        hs.series_model(module, ["a", "b"], "b", scale=scale)
    hs.series_model(module, ["a", "b"], "flow", scale={"flow": (0, 1)})


def test_windows_that_are_too_long_for_a_forecast() -> None:
    series = hs.series_model(modules.PerStep(2, 1), ["a", "b"], "b", window=3)
    with pytest.raises(ShapeError, match="reads windows of 3 steps, so give the last 3"):
        series.forecast(torch.ones(4, 1, 2))


def test_a_target_that_the_scale_does_not_name_is_said_to_be_as_the_module_gives_it() -> None:
    module = modules.PerStep(3, 2)
    assert "as the module gives it" not in repr(hs.series_model(module, NAMES, ["flow", "level"]))
    model = hs.series_model(module, NAMES, ["flow", "level"], scale=dict.fromkeys(NAMES, (5.0, 2.0)), units="m")
    assert "→ flow [m], level [m] (as the module gives it)," in repr(model)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_units_are_not_rounded_to_half_precision(dtype: torch.dtype) -> None:
    module, x = modules.PerStep(1, 1).to(dtype), np.linspace(990, 1030, 50)
    reading = hs.series_model(module, ["pressure"], "pressure", scale=(1010.0, 10.0)).read({"pressure": x})
    scaled = torch.from_numpy((x - 1010.0) / 10.0).to(dtype)[None, :, None]
    with torch.no_grad():
        want = 1010.0 + 10.0 * module.eval()(scaled)[0].double()
    assert_close(reading.values.flatten().float(), want.flatten().float())


class Attends(modules.PerStep):
    """Its second argument is no state, although it returns something of that shape."""

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        return self.linear(self.rnn(x)[0]), x[:, -1:]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_shows_what_a_module_is(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    forecaster = hs.series_model(modules.PerStep(3, 2, H=16).to(dtype), NAMES, targets(2))
    assert forecaster.understood == "LSTM(3, 16) → Linear(16, 2)"
    assert forecaster.carries_state
    assert not hs.series_model(Attends(3, 2, H=16).to(dtype), NAMES, targets(2)).carries_state
