"""Everything attached to a layer that changes its class: hooks, parametrizations, pruning, attributes; and
rejections."""

import copy
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Protocol

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrizations, parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils import spectral_norm as hooked_spectral_norm
from torch.nn.utils import weight_norm as hooked_weight_norm
from torch.utils.hooks import RemovableHandle

import hiddenstate as hs
from hiddenstate.interop.torch.conversion import TO_OURS, TO_TORCH
from hiddenstate.nn.torch_modules import Route, apply_all, plan
from support import assert_all_close, assert_close, gradients

HOOKS: dict[str, Callable[[nn.Module, Callable[..., None]], RemovableHandle]] = {
    "forward": lambda m, f: m.register_forward_hook(f),
    "forward, always": lambda m, f: m.register_forward_hook(f, always_call=True),
    "forward with names": lambda m, f: m.register_forward_hook(f, with_kwargs=True),
    "before": lambda m, f: m.register_forward_pre_hook(f),
    "before with names": lambda m, f: m.register_forward_pre_hook(f, with_kwargs=True),
    "backward": lambda m, f: m.register_full_backward_hook(f),
    "before backward": lambda m, f: m.register_full_backward_pre_hook(f),
    "before state_dict": lambda m, f: m.register_state_dict_pre_hook(f),
    "state_dict": lambda m, f: m.register_state_dict_post_hook(f),
    "before load_state_dict": lambda m, f: m.register_load_state_dict_pre_hook(f),
    "load_state_dict": lambda m, f: m.register_load_state_dict_post_hook(f),
}


def converted(module: nn.Module, routes: tuple[Route, ...] = TO_OURS) -> nn.Module:
    apply_all([plan(module, next(route for route in routes if isinstance(module, route.old)))])
    return module


def use(module: nn.Module) -> None:
    """Use a layer in every way that triggers its hooks."""
    x = torch.randn(3, 2, 4, requires_grad=True)
    module(x)[0].sum().backward()
    module.load_state_dict(module.state_dict())


@pytest.mark.parametrize("kind", HOOKS)
def test_hooks_and_their_handles_are_kept(kind: str) -> None:
    lstm, heard = nn.LSTM(4, 3), []
    handle = HOOKS[kind](lstm, lambda *given: heard.append(given[0]))
    everything = {name: vars(lstm)[name] for name in vars(nn.Module())}
    contents = copy.copy({name: copy.copy(value) for name, value in everything.items()})
    use(lstm)
    assert heard == [lstm]
    for routes in (TO_OURS, TO_TORCH):
        converted(lstm, routes)
        assert all(vars(lstm)[name] is value for name, value in everything.items())
        assert everything == contents
        heard.clear()
        use(lstm)
        assert heard == [lstm]
    converted(lstm)
    handle.remove()
    use(lstm)
    assert heard == [lstm]


def test_a_hook_that_always_runs_does_so() -> None:
    lstm, heard = nn.LSTM(4, 3), []
    lstm.register_forward_hook(lambda *_: heard.append(1), always_call=True)
    with pytest.raises(hs.errors.RankError):
        converted(lstm)(torch.zeros(1))
    assert heard == [1]


class Doubled(nn.Module):
    """Counts how often it computes."""

    count = 0

    def forward(self, weight: Tensor) -> Tensor:
        self.count += 1
        return weight * 2


def doubled_twice(module: nn.Module, name: str) -> nn.Module:
    for _ in range(2):
        parametrize.register_parametrization(module, name, Doubled())
    return module


def pruned(module: nn.Module, name: str) -> nn.Module:
    prune.l1_unstructured(module, name, amount=0.5)
    prune.random_unstructured(module, name, amount=0.2)
    return module


def permanently_pruned(module: nn.Module, name: str) -> nn.Module:
    return prune.remove(pruned(module, name), name)  # type: ignore[no-any-return]


def dropped(module: nn.Module, name: str) -> nn.Module:
    """The weight is a plain tensor that a hook computes from a parameter of a different name, as weight drop does."""
    raw = getattr(module, name)
    del module._parameters[name]
    module.register_parameter(f"{name}_raw", raw)
    module.flatten_parameters = lambda: None  # type: ignore[assignment]
    setattr(module, name, raw * 1)
    module.register_forward_pre_hook(lambda layer, _: setattr(layer, name, getattr(layer, f"{name}_raw") * 0.5))
    return module


def as_buffer(module: nn.Module, name: str) -> nn.Module:
    value = getattr(module, name).detach()
    del module._parameters[name]
    module.register_buffer(name, value)
    return module


HUNG: dict[str, Callable[[nn.Module, str], nn.Module]] = {
    "weight norm": parametrizations.weight_norm,
    "hooked weight norm": hooked_weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "hooked spectral norm": hooked_spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "two parametrizations": doubled_twice,
    "pruned": pruned,
    "permanently pruned": permanently_pruned,
    "weight drop": dropped,
    "buffer": as_buffer,
}
REMOVED: dict[str, Callable[[nn.Module, str], Any]] = {
    "weight norm": parametrize.remove_parametrizations,
    "hooked weight norm": remove_weight_norm,
    "spectral norm": parametrize.remove_parametrizations,
    "hooked spectral norm": remove_spectral_norm,
    "orthogonal": parametrize.remove_parametrizations,
    "two parametrizations": parametrize.remove_parametrizations,
    "pruned": prune.remove,
}
EVERY_WEIGHT = pytest.mark.parametrize(
    ("layer", "name"),
    [
        (nn.LSTM, "weight_hh_l0"),
        (nn.LSTM, "weight_ih_l0_reverse"),
        (nn.LSTMCell, "weight_hh"),
        (nn.LSTMCell, "weight_ih"),
    ],
)
QUIET = pytest.mark.filterwarnings("ignore:.*torch.nn.utils.weight_norm.*:FutureWarning")


def made(way: str, layer: type[nn.Module], name: str) -> nn.Module:
    torch.manual_seed(7)
    return HUNG[way](layer(4, 3, **({"bidirectional": True} if name.endswith("reverse") else {})), name)


def outcome(module: nn.Module) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """Results and gradients of a call in which each parametrization is computed once, unlike in torch's LSTM."""
    torch.manual_seed(8)
    x = torch.randn((3, 2, 4) if hasattr(module, "num_layers") else (2, 4), requires_grad=True)
    with parametrize.cached() if x.dim() == 3 else nullcontext():
        first, second = module(x)
    values = [first, *second] if x.dim() == 3 else [first, second]
    return values, gradients(values, [x, *(p for p in module.parameters() if p.requires_grad)])


@QUIET
@EVERY_WEIGHT
@pytest.mark.parametrize("way", HUNG)
@pytest.mark.parametrize("training", [True, False])
def test_what_makes_a_weight_goes_on_making_it(way: str, layer: type[nn.Module], name: str, training: bool) -> None:
    theirs, ours = made(way, layer, name).train(training), converted(made(way, layer, name).train(training))
    assert isinstance(ours, (hs.LSTM, hs.LSTMCell))
    for _ in range(2):
        got, want = outcome(ours), outcome(theirs)
        assert_all_close(got[0], want[0])
        assert_all_close(got[1], want[1], "gradients")
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert_all_close(ours.state_dict().values(), theirs.state_dict().values(), "state_dict")
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.mul_(1.5)
    ours.load_state_dict(theirs.state_dict())
    assert_all_close(outcome(ours)[0], outcome(theirs)[0])
    back = converted(ours, TO_TORCH)
    assert parametrize.type_before_parametrizations(back) is layer
    assert repr(back) == repr(theirs)
    assert vars(back).keys() == vars(theirs).keys()
    theirs.load_state_dict(back.state_dict())
    got, want = outcome(back), outcome(theirs)
    assert all(torch.equal(a, b) for a, b in zip([*got[0], *got[1]], [*want[0], *want[1]], strict=True))


@QUIET
@EVERY_WEIGHT
@pytest.mark.parametrize("way", REMOVED)
def test_it_can_be_removed_afterwards(way: str, layer: type[nn.Module], name: str) -> None:
    theirs, ours = made(way, layer, name).eval(), converted(made(way, layer, name).eval())
    for module in (theirs, ours):
        REMOVED[way](module, name)
    assert type(ours) in (hs.LSTM, hs.LSTMCell)
    assert isinstance(getattr(ours, name), nn.Parameter)
    assert_all_close(outcome(ours)[0], outcome(theirs)[0])
    assert not ours._forward_pre_hooks


@EVERY_WEIGHT
@pytest.mark.parametrize("way", ["weight norm", "spectral norm", "pruned"])
def test_copies_of_what_was_converted(way: str, layer: type[nn.Module], name: str) -> None:
    ours = converted(made(way, layer, name).eval())
    if way == "pruned":  # detached, since torch does not copy graphs
        with torch.no_grad():
            outcome_without_gradients(ours)
    other = copy.deepcopy(ours)
    assert_all_close(outcome(other)[0], outcome(ours)[0])
    assert_all_close(outcome(converted(other, TO_TORCH))[0], outcome(ours)[0])


def outcome_without_gradients(module: nn.Module) -> None:
    module(torch.randn((3, 2, 4) if hasattr(module, "num_layers") else (2, 4)))


@QUIET
@pytest.mark.parametrize("way", ["weight norm", "hooked weight norm", "pruned"])
def test_models_whose_weights_are_computed_can_be_copied(way: str) -> None:
    model = nn.Sequential(made(way, nn.LSTM, "weight_hh_l0"))
    model[0](torch.randn(2, 1, 4))
    ours: Any = hs.convert(model)
    assert all(a is b for a, b in zip(ours.parameters(), model.parameters(), strict=True))
    assert_all_close(outcome(ours[0])[0], outcome(model[0])[0])
    assert parametrize.type_before_parametrizations(model[0]) is nn.LSTM
    back: Any = hs.convert_back(ours)
    assert_all_close(outcome(back[0])[0], outcome(model[0])[0])


def test_nothing_is_computed_on_the_way() -> None:
    lstm: Any = doubled_twice(nn.LSTM(4, 3), "weight_hh_l0")
    parametrizations.spectral_norm(lstm, "weight_ih_l0")
    counters, before = list(lstm.parametrizations["weight_hh_l0"]), copy.deepcopy(lstm.state_dict())
    counts = [counter.count for counter in counters]
    for routes in (TO_OURS, TO_TORCH):
        converted(lstm, routes)
        assert [counter.count for counter in counters] == counts
        assert all(torch.equal(value, before[name]) for name, value in lstm.state_dict().items())
    lstm.flatten_parameters()
    lstm(torch.randn(2, 1, 4))
    assert all(weight.device.type == "cpu" for weight in lstm._flat_weights)


@EVERY_WEIGHT
def test_a_parametrization_computes_once_a_call(layer: type[nn.Module], name: str) -> None:
    ours: Any = converted(made("two parametrizations", layer, name))
    counters = list(ours.parametrizations[name])
    x = torch.randn((3, 2, 4) if layer is nn.LSTM else (2, 4))
    state = None if layer is nn.LSTM else (torch.randn(2, 3), torch.randn(2, 3))
    for run in (lambda: ours(x, state), lambda: hs.trace(ours, x, state)):
        for counter in counters:
            counter.count = 0
        run()
        assert [counter.count for counter in counters] == [1, 1]


def test_mode_gradient_flags_and_attributes_are_kept() -> None:
    lstm: Any = nn.LSTM(4, 3).eval()
    lstm.weight_hh_l0.requires_grad_(False)
    lstm.note, lstm.child = {"of": "mine"}, nn.Linear(1, 1)
    lstm.register_buffer("count", torch.ones(1), persistent=False)
    note, child, keys = lstm.note, lstm.child, list(lstm.state_dict())
    for routes in (TO_OURS, TO_TORCH):
        converted(lstm, routes)
        assert not lstm.training
        assert not lstm.weight_hh_l0.requires_grad
        assert lstm.note is note
        assert lstm.child is child
        assert list(lstm.state_dict()) == keys
        assert lstm._non_persistent_buffers_set == {"count"}


def test_options_changed_since_are_those_that_count() -> None:
    lstm: Any = nn.LSTM(4, 3, 2)
    lstm.dropout, lstm.batch_first = 0.25, True
    converted(lstm)
    assert (lstm.dropout, lstm.batch_first) == (0.25, True)
    lstm.dropout = 0.5
    lstm(torch.randn(2, 5, 4))  # computes its state
    converted(lstm, TO_TORCH)
    assert (lstm.dropout, lstm.batch_first, lstm.mode) == (0.5, True, "LSTM")
    assert vars(lstm).keys() == vars(nn.LSTM(4, 3)).keys()


class Initialised(nn.LSTM):
    """A class whose instances differ by their construction."""

    gain: float

    def __init__(self, size: int) -> None:
        super().__init__(size, size)
        self.gain = 2.0
        with torch.no_grad():
            self.get_parameter("weight_hh_l0").mul_(self.gain)


def test_a_subclass_that_only_begins_otherwise() -> None:
    theirs, x = Initialised(3), torch.ones(2, 1, 3)
    want = theirs(x)[0]
    ours: Any = converted(theirs)
    assert type(ours) is hs.LSTM
    assert ours.gain == 2.0
    assert_close(ours(x)[0], want)
    assert type(converted(ours, TO_TORCH)) is nn.LSTM


class Mixin:
    def encode(self) -> None: ...


class Mixed(nn.LSTM, Mixin):
    pass


class Called(nn.LSTMCell):
    def __call__(self, *inputs: Any) -> Any:
        return super().__call__(*inputs)


class Abstract(nn.LSTM, ABC):
    @abstractmethod
    def encode(self) -> None: ...


class Encoder(Abstract):
    def encode(self) -> None: ...


class Named(nn.LSTM, ABC):
    """An abstract base class in name only."""


class Sized(Protocol):
    hidden_size: int


class Follows(nn.LSTM, Sized):
    pass


@pytest.mark.parametrize("kind", [Named, Follows])
def test_a_subclass_that_adds_only_pythons_own_members_is_converted(kind: type[nn.LSTM]) -> None:
    model: Any = hs.convert(nn.Sequential(kind(4, 3)), strict=True)
    assert type(model[0]) is hs.LSTM


class Ours(hs.LSTM):
    def reset_parameters(self) -> None:
        super().reset_parameters()


class OursOfOneSize(hs.GRU):
    def __init__(self, size: int) -> None:
        super().__init__(size, size)


def test_a_subclass_of_ours_with_only_a_constructor_is_converted_back() -> None:
    model, x = nn.Sequential(OursOfOneSize(3)), torch.randn(2, 1, 3)
    theirs: Any = hs.convert_back(model)
    assert type(theirs[0]) is nn.GRU
    torch.testing.assert_close(theirs(x)[0], model(x)[0])


def changed(change: Callable[[Any], Any]) -> nn.Module:
    lstm = nn.LSTM(4, 3)
    change(lstm)
    return lstm


def without(lstm: Any) -> None:
    del lstm.weight_hh_l0


def lazy(lstm: Any) -> None:
    lstm._parameters["weight_ih_l0"] = UninitializedParameter()


REFUSED: list[tuple[nn.Module, str]] = [
    (Mixed(4, 3), "a subclass, Mixed, that adds members: encode"),
    (Called(4, 3), "a subclass, Called, that adds members: __call__"),
    (Encoder(4, 3), "a subclass, Encoder, that adds members: encode$"),
    (Ours(4, 3), "a subclass, Ours, that adds members: reset_parameters"),
    (changed(lambda lstm: setattr(lstm, "forward", print)), "its forward was replaced on the module itself"),
    (changed(lambda lstm: setattr(lstm, "trace", True)), "it has attributes that hs.LSTM uses itself: trace"),
    (changed(lambda lstm: setattr(lstm, "sizes", 3)), "it has attributes that hs.LSTM uses itself: sizes"),
    (changed(lambda lstm: lstm.register_buffer("weight", torch.ones(1))), "uses itself: weight"),
    (changed(lambda lstm: lstm.add_module("edit", nn.ReLU())), "uses itself: edit"),
    (changed(without), "its weight_hh_l0 is missing"),
    (changed(lazy), "its weight_ih_l0 has no values yet: run the model once first"),
    (
        changed(lambda lstm: setattr(lstm, "hidden_size", 5)),
        r"_ih_l0 has shape \[12, 4\], but its options give \[20, 4\]",
    ),
    (changed(lambda lstm: setattr(lstm, "dropout", 2)), "torch.nn.LSTM does not accept its options: dropout should be"),
    (changed(lambda lstm: setattr(lstm, "batch_first", 2)), "LSTM does not accept its options: batch_first should be"),
]


@pytest.mark.parametrize(("module", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_would_be_lost_fails(module: nn.Module, message: str) -> None:
    before, kind = dict(vars(module)), type(module)
    route = next(route for route in (*TO_OURS, *TO_TORCH) if isinstance(module, route.old))
    with pytest.raises(hs.errors.ArgumentError, match=message):
        plan(module, route)
    assert (type(module), vars(module)) == (kind, before)


def test_attributes_that_hide_nothing_new_are_kept() -> None:
    lstm: Any = changed(lambda lstm: setattr(lstm, "flatten_parameters", lambda: "mine"))
    converted(lstm)
    assert lstm.flatten_parameters() == "mine"


@pytest.mark.parametrize(
    ("make", "kind", "reason"),
    [
        (lambda: torch.jit.script(nn.Sequential(nn.LSTM(4, 3))), "TorchScript LSTM", "compiled to TorchScript"),
        (lambda: torch.ao.nn.quantizable.LSTM(4, 3), "torch.ao.nn.quantizable.LSTM", "quantised"),
        (lambda: nn.Sequential(torch.ao.nn.quantizable.LSTM(4, 3)), "torch.ao.nn.quantizable.LSTM", "quantised"),
    ],
)
def test_other_kinds_of_torchs_are_left(make: Callable[[], nn.Module], kind: str, reason: str) -> None:
    report = hs.conversion_report(hs.convert(make(), inplace=True))
    assert not report.converted
    assert [one.paths for one in report.left] in ([("0",)], [("",)])
    assert re.search(kind, report.left[0].was)
    assert reason in report.left[0].reason
    assert hs.conversion_report(hs.convert_back(make(), inplace=True)).left == ()
