"""An LSTM with int8 weights, as a module: made, copied, saved, loaded, converted, differentiated."""

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from onnxruntime.quantization import quantize_dynamic
from safetensors import torch as safetensors
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

import hiddenstate as hs
from hiddenstate.engine import kernels
from hiddenstate.errors import ArgumentError, DtypeError, ShapeError
from support import LAYERS, NEEDS_INDUCTOR

DATA = Path(__file__).parents[1] / "data"

KINDS: list[dict[str, Any]] = [
    {"num_layers": 2, "bidirectional": True},
    {"bias": False, "batch_first": True},
    {"proj_size": 5},
]
kinds = pytest.mark.parametrize("kind", KINDS, ids=["two layers both ways", "no bias", "projection"])


def pair(kind: dict[str, Any]) -> tuple[hs.LSTM, hs.LSTM]:
    torch.manual_seed(0)
    lstm = hs.LSTM(20, 48, **kind)
    return lstm, lstm.quantize()


def same(one: nn.Module, other: nn.Module) -> bool:
    torch.manual_seed(1)
    x = torch.randn(3, 5, 20)
    with torch.no_grad():
        return torch.equal(one(x)[0], other(x)[0])


@kinds
def test_what_is_kept(kind: dict[str, Any]) -> None:
    lstm, quantised = pair(kind)
    assert lstm.weight_format == "float"
    assert quantised.weight_format == "int8"
    assert not list(quantised.parameters())
    state = quantised.state_dict()
    for name, value in lstm.state_dict().items():
        if name.startswith("weight"):
            assert state[name].dtype is torch.int8
            assert state[name].shape == value.shape
            assert state[name + "_scale"].shape == value.shape[:1]
            assert ((getattr(lstm, name) - quantised._parameter(name)).abs() <= state[name + "_scale"][:, None]).all()
        else:
            assert torch.equal(state[name], value)
    assert str(quantised).endswith("weights='int8')")
    assert quantised.structure() == lstm.structure()
    assert quantised.weight("l0.W_if").dtype is torch.float32
    assert [w.dtype for w in quantised.all_weights[0]] == [torch.float32] * len(lstm.all_weights[0])


@kinds
def test_state_dicts_go_everywhere(kind: dict[str, Any]) -> None:
    lstm, quantised = pair(kind)

    def made(weights: Any) -> hs.LSTM:
        return hs.LSTM(20, 48, **kind, weights=weights)

    for assign in (False, True):
        eight_bits = made("int8")
        eight_bits.load_state_dict(quantised.state_dict(), assign=assign)
        assert same(eight_bits, quantised)
        rounded = made("int8")
        rounded.load_state_dict(lstm.state_dict(), assign=assign)
        assert same(rounded, quantised)
        floats = made("float")
        floats.load_state_dict(quantised.state_dict(), assign=assign)
        assert same(floats, quantised.dequantize())
    stored = safetensors.save(quantised.state_dict())
    assert len(stored) < len(safetensors.save(lstm.state_dict())) / 2.4
    eight_bits.load_state_dict(safetensors.load(stored))
    assert same(eight_bits, quantised)
    # In a whole model, where names have prefixes.
    model = nn.ModuleDict({"encoder": made("int8")})
    model.load_state_dict(nn.ModuleDict({"encoder": lstm}).state_dict())
    assert same(model.get_submodule("encoder"), quantised)
    given = lstm.state_dict()
    made("int8").load_state_dict(given)
    assert set(given) == set(lstm.state_dict())  # the argument is unchanged


def test_state_dicts_that_do_not_fit_are_refused() -> None:
    _, quantised = pair({})
    state = quantised.state_dict()
    with pytest.raises(RuntimeError, match="weight_hh_l0_scale"):
        quantised.load_state_dict({name: value for name, value in state.items() if name != "weight_hh_l0_scale"})
    with pytest.raises(RuntimeError, match="size mismatch for weight_ih_l0"):
        quantised.load_state_dict({**state, "weight_ih_l0": state["weight_ih_l0"][:, :3]})
    with pytest.raises(ArgumentError, match="encoder.weight_ih_l0 has values that are not finite"):
        nn.ModuleDict({"encoder": quantised}).load_state_dict(
            {"encoder.weight_ih_l0": torch.full((192, 20), float("nan"))}, strict=False
        )


@kinds
def test_copies_are_equal(kind: dict[str, Any]) -> None:
    lstm, quantised = pair(kind)
    assert same(quantised.quantize(), quantised)
    assert same(quantised.dequantize().quantize(), quantised)
    assert same(copy.deepcopy(quantised), quantised)
    assert same(pickle.loads(pickle.dumps(quantised)), quantised)
    file = io.BytesIO()
    torch.save(quantised, file)
    file.seek(0)
    with torch.serialization.safe_globals([hs.LSTM]):
        assert same(torch.load(file, weights_only=True), quantised)
    assert not same(lstm, quantised)
    x = torch.randn(3, 5, 20)
    with torch.no_grad():
        torch.testing.assert_close(quantised.to_torch()(x)[0], quantised.dequantize()(x)[0], rtol=0, atol=1e-5)


def test_made_with_weights_int8() -> None:
    torch.manual_seed(0)
    made = hs.LSTM(20, 48, weights="int8")
    torch.manual_seed(0)
    assert same(made, hs.LSTM(20, 48).quantize())
    torch.manual_seed(5)
    made.reset_parameters()
    torch.manual_seed(5)
    assert same(made, hs.LSTM(20, 48).quantize())
    assert hs.LSTM(20, 48, weights="int8", dtype=torch.float64).weight_ih_l0_scale.dtype is torch.float64
    assert hs.LSTM(20, 48, weights="int8", device="meta").weight_ih_l0.is_meta
    with pytest.raises(ArgumentError, match="weights must be 'float' or 'int8', got 'int4'"):
        hs.LSTM(20, 48, weights="int4")  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_other_types_read_the_weights_as_floats(dtype: torch.dtype) -> None:
    lstm = pair({})[1].to(dtype)
    assert lstm.weight_ih_l0.dtype is torch.int8
    x = torch.randn(3, 5, 20, dtype=dtype)
    with torch.no_grad():
        out = lstm(x)[0]
        torch.testing.assert_close(out, lstm.dequantize()(x)[0])
    assert out.dtype is dtype


def test_gradients_are_those_of_the_weights_read_as_floats() -> None:
    _, quantised = pair({"num_layers": 2})
    floats = quantised.dequantize()
    grads = []
    for lstm in (quantised, floats):
        x = torch.linspace(-2, 2, 3 * 5 * 20).view(3, 5, 20).requires_grad_()
        lstm(x)[0].square().sum().backward()
        grads.append(x.grad)
    assert grads[0] is not None
    assert torch.equal(grads[0], grads[1])  # type: ignore[arg-type]


@NEEDS_INDUCTOR
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_calls_read_the_weights_as_floats(backend: str) -> None:
    _, quantised = pair({})
    x = torch.randn(3, 5, 20)
    with torch.no_grad():
        out = torch.compile(quantised, backend=backend, fullgraph=True)(x)[0]
        torch.testing.assert_close(out, quantised.dequantize()(x)[0], rtol=0, atol=1e-5)
        exported = torch.export.export(quantised, (x,)).module()(x)[0]
        torch.testing.assert_close(exported, quantised.dequantize()(x)[0], rtol=0, atol=1e-5)


def test_what_is_missing_or_replaced_is_named() -> None:
    _, quantised = pair({})
    x = torch.randn(3, 5, 20)
    broken = copy.deepcopy(quantised)
    del broken.weight_ih_l0
    with pytest.raises(ArgumentError, match="weight_ih_l0 is missing"):
        broken(x)
    broken = copy.deepcopy(quantised)
    broken.weight_ih_l0 = torch.zeros(3, 3, dtype=torch.int8)
    with pytest.raises(ShapeError, match=r"weight_ih_l0 has shape \[3, 3\]"):
        broken(x)


def test_computed_weights_are_refused() -> None:
    pruned = prune.l1_unstructured(hs.LSTM(20, 48), "weight_ih_l0", 0.5)
    with pytest.raises(ArgumentError, match="make parametrizations, pruning or weight norm permanent first"):
        pruned.quantize()
    parametrized = hs.LSTM(20, 48)
    parametrize.register_parametrization(parametrized, "weight_hh_l0", nn.Identity())
    with pytest.raises(ArgumentError, match="make parametrizations"):
        parametrized.quantize()


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.theirs = nn.LSTM(20, 40, 2, bidirectional=True)
        self.ours = hs.LSTM(80, 33)
        self.gru = nn.GRU(33, 34)
        self.rnn = nn.RNN(34, 5)
        self.cell = nn.LSTMCell(3, 4)
        self.again = self.ours

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.rnn(self.gru(self.ours(self.theirs(x)[0])[0])[0])[0]
        return out


@pytest.mark.parametrize("inplace", [False, True])
def test_whole_models_are_converted_and_back(inplace: bool) -> None:
    torch.manual_seed(0)
    model, x = Model(), torch.randn(5, 2, 20)
    with torch.no_grad():
        want = model(x)
    converted: Any = hs.convert(model, weights="int8", inplace=inplace)
    assert (converted is model) is inplace
    assert isinstance(converted.theirs, hs.LSTM)
    assert {"int8"} == {layer.weight_format for layer in (converted.theirs, converted.ours, converted.gru)}
    assert converted.rnn.weight_format == "float"  # no int8 kernel computes it
    assert converted.again is converted.ours
    assert isinstance(converted.cell, hs.LSTMCell)
    report = hs.conversion_report(converted)
    assert {one.paths[0]: one.became for one in report.converted} == {
        "theirs": "hs.LSTM, int8",
        "gru": "hs.GRU, int8",
        "rnn": "hs.RNN",
        "cell": "hs.LSTMCell",
        "ours": "hs.LSTM, int8",
    }
    if not inplace:
        assert type(model.theirs) is nn.LSTM
        assert model.ours.weight_format == "float"
    with torch.no_grad():
        got = converted(x)
        torch.testing.assert_close(got, want, rtol=0, atol=0.02)
        back = hs.convert_back(converted, inplace=inplace)
        assert (type(back.theirs), type(back.gru)) == (nn.LSTM, nn.GRU)
        torch.testing.assert_close(back(x), got, rtol=0, atol=0.02)
        if not inplace:
            assert torch.equal(converted(x), got)


@pytest.mark.parametrize("kind", LAYERS)
def test_quantised_layers_are_converted_back_to_floats(kind: Any) -> None:
    small, x = kind(20, 40).quantize(), torch.randn(5, 2, 20)
    (back,) = hs.convert_back(nn.ModuleList([small])).children()
    assert all(one.dtype is torch.float32 for one in back.state_dict().values())
    with torch.no_grad():
        torch.testing.assert_close(back(x)[0], small.dequantize()(x)[0])


def test_what_cannot_be_rounded_is_left() -> None:
    model: Any = nn.ModuleDict({"good": nn.LSTM(4, 40), "bad": nn.LSTM(4, 40), "ours": hs.LSTM(4, 40)})
    with torch.no_grad():
        for name in ("bad", "ours"):
            model[name].weight_hh_l0.fill_(float("inf"))
    converted: Any = hs.convert(model, weights="int8")
    assert type(converted["bad"]) is nn.LSTM
    assert converted["ours"].weight_format == "float"
    assert converted["good"].weight_format == "int8"
    left = {one.paths[0]: one.reason for one in hs.conversion_report(converted).left}
    assert set(left) == {"bad", "ours"}
    assert "not finite" in left["bad"]
    with pytest.raises(ArgumentError, match="Nothing was changed"):
        hs.convert(model, weights="int8", strict=True, inplace=True)
    assert type(model["good"]) is nn.LSTM
    with pytest.raises(ArgumentError, match="'float' or 'int8', got 4"):
        hs.convert(model, weights=4)  # type: ignore[arg-type]


def test_what_keeps_floats_is_reported() -> None:
    model: Any = nn.ModuleDict(
        {"good": nn.LSTM(4, 40), "rnn": nn.RNN(4, 3), "own": hs.RNN(4, 3), "part": nn.ModuleDict()}
    )
    model["part"].update({"cell": nn.LSTMCell(4, 3), "own": hs.GRUCell(4, 3), "head": nn.Linear(4, 3)})
    converted: Any = hs.convert(model, weights="int8")
    report = hs.conversion_report(converted)
    assert {left.paths[0]: left.was for left in report.kept_float} == {
        "rnn": "hs.RNN",
        "own": "hs.RNN",
        "part.cell": "hs.LSTMCell",
        "part.own": "hs.GRUCell",
    }
    assert not report.left
    assert "kept in floats" in str(report)
    assert "part.cell  hs.LSTMCell  only LSTMs" in str(report)
    with pytest.raises(ArgumentError, match="rnn .*part.cell .*part.own .*Nothing was changed"):
        hs.convert(model, weights="int8", strict=True, inplace=True)
    assert type(model["good"]) is nn.LSTM
    assert not hs.conversion_report(hs.convert(model, strict=True)).kept_float
    small = nn.ModuleDict({"rnn": hs.RNN(4, 3).quantize(), "lstm": nn.LSTM(4, 40)})
    assert not hs.conversion_report(hs.convert(small, weights="int8", strict=True)).kept_float


def test_a_conversion_back_that_fails_changes_nothing() -> None:
    class Own(hs.LSTM):
        def extra(self) -> None: ...

    model = nn.ModuleDict({"plain": hs.LSTM(4, 40), "own": Own(4, 40)})
    converted = hs.convert(model, weights="int8")
    before = converted.state_dict()
    with pytest.raises(ArgumentError, match="can't be converted"):
        hs.convert_back(converted, strict=True, inplace=True)
    after = converted.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_beside_torchs_dynamic_int8() -> None:
    """Recorded results of torch's own dynamic int8: one scale for a matrix, and one for all inputs."""
    data = load_file(DATA / "torch_dynamic_int8.safetensors")
    lstm = hs.LSTM(16, 40, 2)
    lstm.load_state_dict({name.removeprefix("lstm."): value for name, value in data.items() if "lstm." in name})
    with torch.no_grad():
        exact = lstm(data["x"])[0]
        out, (h_n, c_n) = lstm.quantize()(data["x"])
    for got, theirs in ((out, data["out"]), (h_n, data["h_n"]), (c_n, data["c_n"])):
        torch.testing.assert_close(got, theirs, rtol=0, atol=0.02)
    ours, theirs = ((one - exact).abs().max() for one in (out, data["out"]))
    assert ours <= theirs


def with_a_large_row(lstm: hs.LSTM, run: Callable[[Tensor], Tensor], seed: int) -> tuple[float, float]:
    """The error of row 0 against float32, beside a row of the same size and beside one a thousand times as large."""
    torch.manual_seed(seed)
    x = torch.randn(6, 2, 16)
    large = x * torch.tensor([1.0, 1000.0])[:, None]
    with torch.no_grad():
        exact = lstm(x)[0][:, 0]
        near, far = ((run(given)[:, 0] - exact).abs().max().item() for given in (x, large))
    return near, far


@pytest.mark.parametrize("seed", range(3))
def test_a_row_of_large_numbers_leaves_our_other_rows_as_they_are(seed: int) -> None:
    lstm = hs.LSTM(16, 64).eval()
    small = lstm.quantize()
    near, far = with_a_large_row(lstm, lambda x: small(x)[0], seed)
    assert near == far < 0.01


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated", "ignore::UserWarning")
def test_torchs_scales_are_of_a_matrix_and_of_a_batch_as_the_page_on_int8_says(seed: int) -> None:
    quantization = pytest.importorskip("torch.ao.quantization")
    lstm = hs.LSTM(16, 64).eval()
    model = nn.Sequential(lstm.to_torch())
    by_default = quantization.quantize_dynamic(model, {nn.LSTM})[0]
    near, far = with_a_large_row(lstm, lambda x: by_default(x)[0], seed)
    assert near < 0.02 < 0.1 < far
    assert by_default._weight_bias()["weight"]["weight_hh_l0"].qscheme() == torch.per_tensor_affine
    by_row = quantization.quantize_dynamic(model, {nn.LSTM: quantization.per_channel_dynamic_qconfig})[0]
    assert by_row._weight_bias()["weight"]["weight_hh_l0"].qscheme() == torch.per_channel_affine
    assert quantization.default_dynamic_qconfig.activation().dtype is torch.quint8


@pytest.mark.parametrize(("per_channel", "scales"), [(False, [2]), (True, [2, 256])])
def test_onnxruntimes_scales_are_of_a_direction_and_of_a_batch_as_the_page_on_int8_says(
    tmp_path: Path, per_channel: bool, scales: list[int]
) -> None:
    lstm = hs.LSTM(16, 64, bidirectional=True).eval()
    hs.export_onnx(lstm, tmp_path / "float.onnx")
    quantize_dynamic(tmp_path / "float.onnx", tmp_path / "int8.onnx", per_channel=per_channel)
    parts = {part.name: list(part.dims) for part in onnx.load(tmp_path / "int8.onnx").graph.initializer}
    assert [dims for name, dims in parts.items() if name.endswith("R_scale")] == [scales]
    session = onnxruntime.InferenceSession(tmp_path / "int8.onnx", providers=["CPUExecutionProvider"])
    zeros = torch.zeros(2, 2, 64).numpy()

    def run(x: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"x": x.numpy(), "h0": zeros, "c0": zeros})[0])

    near, far = with_a_large_row(lstm, run, 0)
    assert near < 0.02 < 0.1 < far


@pytest.mark.parametrize("name", ["tagger-en", "shakespeare"])
def test_the_shipped_models_lose_nothing_to_speak_of(name: str) -> None:
    model: Any = hs.load(name)
    rounded: Any = hs.convert(model, weights="int8")
    if name == "tagger-en":
        words = "She said the old man who sold us the house has left the city .".split()  # noqa: SIM905
        (want,), (got,) = model.tag([words]), rounded.tag([words])
        assert got.tags == want.tags
        assert torch.as_tensor(got.probabilities - want.probabilities).abs().max() < 0.05
        return
    ids = torch.as_tensor(model.tokens.encode("First Citizen:\nBefore we proceed any further, hear me speak.\n")).long()
    with torch.no_grad():
        want, got = (one.surprise(ids[:-1, None], ids[1:, None])[0].mean() for one in (model, rounded))
    assert abs(float(got - want)) < 0.01


@pytest.mark.parametrize("name", ["weight_hh_l0", "weight_hh_l0_scale"])
def test_freed_memory_of_what_is_kept_is_refused(name: str) -> None:
    small = hs.LSTM(8, 40).quantize()
    x = torch.randn(3, 2, 8)
    with torch.no_grad():
        small(x)
        stream = small.stream(2)
        stream.step(x[0])
        getattr(small, name).untyped_storage().resize_(0)
        for run in (lambda: small(x), lambda: small.trace(x), lambda: stream.step(x[1])):
            with pytest.raises(DtypeError, match="memory was freed"):
                run()


@pytest.mark.parametrize("name", ["bias_hh_l0", "weight_hh_l1_scale"])
def test_a_bias_or_scale_that_asks_for_a_gradient_gets_it(name: str) -> None:
    small: Any = hs.LSTM(8, 40, 2).quantize()
    x = torch.randn(3, 2, 8)
    asks = getattr(small, name).requires_grad_()
    assert small.path(x).name not in ("int8", "fast")
    for out in (small(x)[0], small.trace(x).out, small(x, reset=torch.zeros(3, 2, dtype=torch.bool))[0]):
        (grad,) = torch.autograd.grad(out.sum(), asks)
        assert grad.abs().sum() > 0
    with torch.no_grad():
        assert not small(x)[0].requires_grad


def test_sizes_that_are_assigned_hold_for_the_next_call() -> None:
    small = hs.LSTM(8, 40, 2).quantize()
    x = torch.randn(3, 2, 8)
    with torch.no_grad():
        before = small(x)[0]
        small.bias = False
        assert (small(x)[0] - small.dequantize()(x)[0]).abs().max() < 0.02
        small.bias = True
        assert torch.equal(small(x)[0], before)
        small.num_layers = 1
        out, (h_n, _) = small(x)
        assert h_n.shape == (1, 2, 40)
        assert (out - small.dequantize()(x)[0]).abs().max() < 0.02


@pytest.mark.skipif(kernels.int8() is None, reason="this processor has no kernel for weights of 8 bits")
def test_made_in_inference_mode_it_runs_in_8_bits() -> None:
    lstm, x = hs.LSTM(8, 40, 2).eval(), torch.randn(3, 2, 8)
    want: Any = lstm.quantize()
    with torch.inference_mode():
        small: Any = copy.deepcopy(lstm).quantize()
        assert small.weight_hh_l0.is_inference()
        for _ in range(2):
            assert torch.equal(small(x)[0], want(x)[0])
        assert small.path(x).name == "int8"
        stream = small.stream(batch=2)
        assert torch.equal(torch.stack([stream.step(step) for step in x]), want(x)[0])
        assert stream._quick is not None
        small._buffers["weight_hh_l0"] = torch.zeros_like(small.weight_hh_l0)  # a new tensor is noticed
        want.weight_hh_l0.zero_()
        assert torch.equal(small(x)[0], want(x)[0])


def test_path_does_not_say_int8_where_weights_cannot_be_packed() -> None:
    class Other(torch.Tensor):
        """A tensor class that may have its own rules."""

    small: Any = hs.LSTM(8, 40).quantize()
    x = torch.randn(3, 2, 8)
    want = small.dequantize()(x)[0]
    small._buffers["weight_hh_l0"] = small.weight_hh_l0.as_subclass(Other)
    with torch.no_grad():
        assert (small(x)[0] - want).abs().max() < 1e-6  # dequantised; in int8 they differ a thousand times more
        assert small.path(x).name != "int8"


def test_halves_of_weights_of_8_bits_are_refused() -> None:
    small: Any = hs.LSTM(8, 40).quantize()
    exact: Any = hs.LSTM(8, 40)
    state = small.state_dict()
    before = exact.weight_hh_l0.detach().clone()
    with pytest.raises(ArgumentError, match="weight_ih_l0"):
        exact.load_state_dict({name: value for name, value in state.items() if not name.endswith("_scale")})
    assert torch.equal(exact.weight_hh_l0, before)
    with pytest.raises(DtypeError, match="weight_hh_l0"):
        small.load_state_dict({**state, "weight_hh_l0": torch.randn(160, 40)})
