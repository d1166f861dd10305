import copy
import pickle
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrizations, prune, weight_norm

import hiddenstate as hs
from hiddenstate.errors import ArgumentTypeError
from hiddenstate.nn.torch_modules import FX_LEAF

T, N, C, H = 5, 3, 4, 6


class Around(nn.Module):
    """A layer with something before and after it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.inner = nn.ModuleDict({"layer": layer})
        self.head = nn.Linear(H, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out, (h, c) = self.inner["layer"](x + 1)
        return self.head(out), h * c


class Given(nn.Module):
    """A layer with all of its inputs passed."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = hs.LSTM(C, H)
        self.register_buffer("start", torch.randn(T, N, C))

    def forward(self, x: Tensor, h: Tensor, c: Tensor, lengths: Tensor, reset: Tensor) -> tuple[Tensor, ...]:
        ragged, state = self.lstm(x, (h, c), lengths=lengths)
        again, _ = self.lstm(x, state, reset=reset)
        # Some of the inputs are constants.
        fixed, _ = self.lstm(self.start, (h, c))
        passed, _ = self.lstm(self.start, state)
        short, _ = self.lstm(self.start, lengths=lengths)
        cut, _ = self.lstm(self.start, reset=reset)
        return ragged, again, fixed, passed, short, cut


class Unrolled(nn.Module):
    """A cell, step after step; the input of its last step is a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = hs.LSTMCell(C, H)
        self.register_buffer("last", torch.randn(N, C))

    def forward(self, x: Tensor) -> Tensor:
        state = self.cell(x[0])
        for t in range(1, T):
            state = self.cell(x[t], state)
        h, c = self.cell(self.last, state)
        out: Tensor = self.cell(self.last, (h, c))[0]
        return out


class Doubled(hs.LSTM):
    """A subclass that does more than the layer."""

    def forward(self, input: Any, hx: Any = None, **more: Any) -> Any:  # noqa: A002
        out, state = super().forward(input * 2, hx, **more)
        return out * 3, state


class Named(hs.LSTM):
    """A subclass that only has a different name."""


def x_of() -> Tensor:
    return torch.randn(T, N, C, generator=torch.Generator().manual_seed(7))


def given_to(model: nn.Module) -> tuple[Tensor, ...]:
    if not isinstance(model, Given):
        return (x_of(),)
    lengths = torch.tensor([5, 0, 2])
    return x_of(), torch.randn(1, N, H), torch.randn(1, N, H), lengths, torch.rand(T, N) < 0.3


def flat(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else [each for part in value for each in flat(part)]


def assert_same(traced: nn.Module, model: nn.Module) -> None:
    """Compare outputs and gradients of the same calls."""
    given = given_to(model)
    results = []
    for run in (traced, model):
        model.zero_grad()
        out = flat(run(*given))
        torch.stack([each.sum() for each in out]).sum().backward()
        gradients = [each.grad.clone() for each in model.parameters() if each.grad is not None]
        assert gradients
        results.append([*out, *gradients])
    for got, expected in zip(*results, strict=True):
        assert torch.equal(got, expected)


def targets(traced: fx.GraphModule, op: str) -> list[Any]:
    return [node.target for node in traced.graph.nodes if node.op == op]


def converted() -> Around:
    model = Around(nn.LSTM(C, H))
    hs.convert(model, inplace=True)
    return model


def normed() -> hs.LSTM:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return weight_norm(hs.LSTM(C, H), "weight_hh_l0")


def parametrized() -> hs.LSTM:
    lstm = hs.LSTM(C, H)
    parametrizations.weight_norm(lstm, "weight_hh_l0")
    return lstm


MODELS: Mapping[str, Callable[[], nn.Module]] = {
    "layer": lambda: Around(hs.LSTM(C, H)),
    "deep": lambda: Around(hs.LSTM(C, H // 2, 2, bidirectional=True)),
    "sequence": lambda: nn.Sequential(hs.LSTM(C, H)),
    "converted": converted,
    "subclass": lambda: Around(Named(C, H)),
    "subclass that adds": lambda: Around(Doubled(C, H)),
    "pruned": lambda: Around(prune.random_unstructured(hs.LSTM(C, H), "weight_hh_l0", 0.5)),
    "normed": lambda: Around(normed()),
    "parametrized": lambda: Around(parametrized()),
    "given": Given,
    "cell": Unrolled,
}


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_a_layer_is_a_node_of_its_path(name: str, gradients: bool) -> None:
    model = MODELS[name]()
    if name == "deep":
        model.head = nn.Identity()
    paths = {path for path, module in model.named_modules() if isinstance(module, (hs.LSTM, hs.LSTMCell))}
    with torch.set_grad_enabled(gradients):
        traced = fx.symbolic_trace(model)
    traced.graph.lint()
    assert paths <= set(targets(traced, "call_module"))
    assert set(targets(traced, "get_attr")) <= {"start", "last"}  # nothing from inside the layer
    assert traced.state_dict().keys() == model.state_dict().keys()
    assert_same(traced, model)


@pytest.mark.parametrize("name", MODELS)
def test_traced_again_copied_and_pickled(name: str) -> None:
    model = MODELS[name]()
    if name == "deep":
        model.head = nn.Identity()
    traced = fx.symbolic_trace(model)
    again = fx.symbolic_trace(traced)
    assert [node.target for node in again.graph.nodes] == [node.target for node in traced.graph.nodes]
    assert_same(again, model)
    with torch.no_grad():
        expected = flat(model(*(given := given_to(model))))
        runs: list[Callable[..., Any]] = [fx.Interpreter(traced).run, copy.deepcopy(traced)]
        if name != "parametrized":  # torch refuses to pickle it
            runs.append(pickle.loads(pickle.dumps(traced)))
        for each in runs:
            for got, value in zip(flat(each(*given)), expected, strict=True):
                assert torch.equal(got, value)


def test_weights_of_the_graph_are_those_of_the_model() -> None:
    model = Around(hs.LSTM(C, H))
    traced, before = fx.symbolic_trace(model), model(x_of())[0]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    assert not torch.equal(traced(x_of())[0], before)
    assert_same(traced, model)
    layer = traced.get_submodule("inner.layer")
    assert isinstance(layer, hs.LSTM)
    with layer.edit(hs.zero("l0.f")):
        edited = traced(x_of())[0]
    assert not torch.equal(edited, traced(x_of())[0])
    assert "inner.layer" in hs.trace(traced, x_of())


def test_what_a_hook_changes_is_changed_once() -> None:
    model = Around(hs.LSTM(C, H))
    layer = model.inner["layer"]
    layer.register_forward_pre_hook(lambda _, args: (args[0] * 2,))
    layer.register_forward_hook(lambda _, args, result: (result[0] + 1, result[1]))
    traced = fx.symbolic_trace(model)
    assert_same(traced, model)
    assert_same(fx.symbolic_trace(traced), model)


class Leaves(fx.Tracer):
    """A tracer such as libraries write: it adds its own leaf modules, and leaves the rest to torch's."""

    def __init__(self, *leaves: type[nn.Module]) -> None:
        super().__init__()
        self.leaves, self.paths = leaves, list[str]()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, self.leaves) or super().is_leaf_module(m, module_qualified_name)

    def create_proxy(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> fx.Proxy:
        if kind == "call_module":
            self.paths.append(target)
        made: fx.Proxy = super().create_proxy(kind, target, *args, **kwargs)
        return made


@pytest.mark.parametrize("tracer", [Leaves(), Leaves(hs.LSTM)])
def test_other_tracers(tracer: Leaves) -> None:
    model = Around(hs.LSTM(C, H))
    traced = fx.GraphModule(model, tracer.trace(model))
    assert "inner.layer" in targets(traced, "call_module")
    assert tracer.paths == ["inner.layer", "head"]
    assert_same(traced, model)


def test_features_are_extracted_as_torchvision_does() -> None:
    extraction = pytest.importorskip("torchvision.models.feature_extraction")
    model = Around(hs.LSTM(C, H)).eval()
    names = extraction.get_graph_node_names(model)[1]
    assert "inner.layer" in names
    extract = extraction.create_feature_extractor(model, {"inner.layer": "states", "head": "scores"})
    out, state = model.inner["layer"](x_of() + 1)
    found = extract(x_of())
    assert torch.equal(found["scores"], model.head(out))
    assert all(torch.equal(*pair) for pair in zip(flat(found["states"]), [out, *state], strict=True))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_the_rest_of_a_model_is_quantized() -> None:
    quantization = pytest.importorskip("torch.ao.quantization")
    quantize_fx = pytest.importorskip("torch.ao.quantization.quantize_fx")
    model = Around(hs.LSTM(C, H)).eval()
    mapping = quantization.QConfigMapping().set_object_type(nn.Linear, quantization.default_dynamic_qconfig)
    prepared = quantize_fx.prepare_fx(copy.deepcopy(model), mapping, (x_of(),))
    assert "inner.layer" in targets(prepared, "call_module")
    assert torch.equal(prepared(x_of())[0], model(x_of())[0])
    done = quantize_fx.convert_fx(prepared)
    assert isinstance(done.inner.layer, hs.LSTM)
    torch.testing.assert_close(done(x_of())[0], model(x_of())[0], rtol=0.1, atol=0.1)


def test_a_tracer_that_looks_into_everything_fails() -> None:
    class Into(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            return False

    with pytest.raises(ArgumentTypeError, match=r"input must be a torch\.Tensor, got Proxy"):
        Into().trace(Around(hs.LSTM(C, H)))


def test_only_a_layer_says_so_and_not_its_class() -> None:
    for kind in (hs.LSTM, hs.LSTMCell):
        assert kind.__module__ == f"hiddenstate.nn.{'lstm' if kind is hs.LSTM else 'cell'}"
        assert kind(C, H).__module__ == FX_LEAF
    model = converted()
    hs.convert_back(model, inplace=True)
    assert model.inner["layer"].__module__ == nn.LSTM.__module__
