"""Weights that are written, replaced or computed: the next call and the next step of a stream use them."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.func import functional_call
from torch.nn.functional import dropout
from torch.nn.utils import parametrizations, parametrize, vector_to_parameters

import hiddenstate as hs
from support import assert_all_close, assert_close, share

Change = Callable[[nn.Module, str], object]
Write = Callable[[hs.LSTM], object]


@pytest.fixture
def x() -> Tensor:
    return torch.randn(5, 2, 4)


def assert_uses_its_weights(lstm: hs.LSTM, x: Tensor, stream: hs.Stream | None = None) -> None:
    """Check that outputs are those of a torch layer with the current weights."""
    theirs = lstm.to_torch()
    assert_close(lstm(x)[0], theirs(x)[0])
    if stream is not None:
        before = stream.state
        assert_close(stream.step(x[0]), theirs(x[:1], before)[0][0].detach())


def train(lstm: nn.Module, optimiser: torch.optim.Optimizer, x: Tensor) -> None:
    optimiser.zero_grad()
    lstm(x)[0].square().sum().backward()
    optimiser.step()


OPTIMISERS: dict[str, dict[str, Any]] = {
    f"{name} {choice}".strip(): {"name": name, **({choice: True} if choice else {})}
    for name in ("SGD", "Adam", "AdamW", "Adagrad", "RMSprop")
    for choice in ("", "foreach", "fused")
    if (name, choice) != ("RMSprop", "fused")  # torch has no fused RMSprop
}


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_optimisers_train_it_as_torchs_and_streams_follow(optimiser: str, x: Tensor) -> None:
    options = dict(OPTIMISERS[optimiser])
    made = getattr(torch.optim, options.pop("name"))
    ours = hs.LSTM(4, 3, 2)
    theirs, stream = ours.to_torch(), ours.stream(batch=2)
    steps = [(lstm, made(lstm.parameters(), lr=0.1, **options)) for lstm in (ours, theirs)]
    for _ in range(3):
        for lstm, step in steps:
            train(lstm, step, x)
        assert_uses_its_weights(ours, x, stream)
        assert_uses_its_weights(ours, x, stream)  # the quick path of a second step
    assert_all_close(ours.parameters(), theirs.parameters(), "trained", slack=10)


def test_a_fused_step_counts_no_version_but_of_what_a_stream_packed(x: Tensor) -> None:
    """torch's fused optimisers don't count versions, so a stream does, but only for the parameters that it packed."""
    watched, other = hs.LSTM(4, 3), hs.LSTM(4, 3)
    stream = watched.stream(batch=2)
    stream.step(x[0])
    parameters = [*watched.parameters(), *other.parameters()]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    before = [parameter._version for parameter in parameters]
    torch.optim.SGD(parameters, lr=0.1, fused=True).step()
    counted = [parameter._version - version for parameter, version in zip(parameters, before, strict=True)]
    of_torch = counted[4]
    assert counted == [of_torch + 1] * 4 + [of_torch] * 4


def hh(lstm: hs.LSTM) -> nn.Parameter:
    return dict(lstm.named_parameters())["weight_hh_l0"]


def other(lstm: hs.LSTM) -> dict[str, Tensor]:
    return hs.LSTM(lstm.input_size, lstm.hidden_size, lstm.num_layers).state_dict()


def copied(lstm: hs.LSTM) -> None:
    with torch.no_grad():
        hh(lstm).copy_(torch.randn(12, 3))


def in_inference_mode(lstm: hs.LSTM) -> None:
    with torch.inference_mode():
        hh(lstm).mul_(2)


def by_name(lstm: hs.LSTM) -> None:
    with torch.no_grad():
        lstm.weight("l0.W_if").mul_(2)


def swapped_on_load(lstm: hs.LSTM) -> None:
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        lstm.load_state_dict(other(lstm))
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)


def all_of_them(lstm: hs.LSTM) -> None:
    vector_to_parameters(torch.randn(sum(p.numel() for p in lstm.parameters())), lstm.parameters())


WRITES: dict[str, Write] = {
    "copy_": copied,
    "inference mode": in_inference_mode,
    "by name": by_name,
    "init": lambda lstm: nn.init.orthogonal_(hh(lstm)),
    "detach": lambda lstm: hh(lstm).detach().mul_(2),
    "reset_parameters": lambda lstm: lstm.reset_parameters(),
    "load_state_dict": lambda lstm: lstm.load_state_dict(other(lstm)),
    "load_state_dict, assigned": lambda lstm: lstm.load_state_dict(other(lstm), assign=True),
    "load_state_dict, swapped": swapped_on_load,
    "vector_to_parameters": all_of_them,
    "swap_tensors": lambda lstm: torch.utils.swap_tensors(hh(lstm), nn.Parameter(torch.randn(12, 3))),
    "another parameter": lambda lstm: setattr(lstm, "weight_hh_l0", nn.Parameter(torch.randn(12, 3))),
    "other data": lambda lstm: setattr(hh(lstm), "data", torch.randn(12, 3)),
    "conversion": lambda lstm: lstm.half().float(),
}
# These writes are not tracked: a stream sees them when it is reset.
UNRECORDED: dict[str, Write] = {
    "written through data": lambda lstm: hh(lstm).data.mul_(2),
    "by name through data": lambda lstm: lstm.weight("l0.W_if").data.fill_(1.0),
    "NumPy": lambda lstm: hh(lstm).detach().numpy().fill(0.3),
}


EVERY_WRITE = {**WRITES, **UNRECORDED}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("write", EVERY_WRITE)
def test_writes_are_seen(write: str, training: bool, x: Tensor) -> None:
    lstm = hs.LSTM(4, 3).train(training)
    stream = lstm.stream(batch=2)
    assert_uses_its_weights(lstm, x, stream)
    assert_uses_its_weights(lstm, x, stream)
    before = lstm(x)[0].detach()
    EVERY_WRITE[write](lstm)
    assert not torch.equal(lstm(x)[0], before), "something was written"
    if write in UNRECORDED:
        stream.reset()
    assert_uses_its_weights(lstm, x, stream)
    assert_uses_its_weights(lstm, x, stream)


def test_memory_given_back_may_be_where_the_next_weights_come_to_lie(x: Tensor) -> None:
    lstm = hs.LSTM(4, 3)
    stream = lstm.stream(batch=2)
    for k in range(10):
        stream.step(x[0])
        for parameter in lstm.parameters():
            parameter.data = torch.zeros(parameter.shape)
            parameter.data = torch.full(parameter.shape, k / 10)
        assert_uses_its_weights(lstm, x, stream)


class Held(nn.Module):
    """Only the parameters of an LSTM, under their names."""

    def __init__(self, lstm: nn.Module) -> None:
        super().__init__()
        for name, value in lstm.named_parameters():
            self.register_parameter(name, nn.Parameter(value.detach().clone()))
        self.names = [name for name, _ in lstm.named_parameters()]

    def computed(self) -> dict[str, Tensor]:
        """All weights, each computed once, in the order of a call."""
        return {name: getattr(self, name) for name in self.names}


class WeightDrop(nn.Module):
    """Zeroes random entries of a weight, redrawn at each call: DropConnect, as in AWD-LSTM."""

    def forward(self, weight: Tensor) -> Tensor:
        return dropout(weight, 0.5, self.training)


def dropped(module: nn.Module, name: str) -> None:
    parametrize.register_parametrization(module, name, WeightDrop())


PARAMETRIZATIONS: dict[str, Change] = {
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "weight drop": dropped,
}
CHANGED = ("weight_hh_l0", "weight_ih_l1", "weight_hh_l1_reverse")


def trained(run: Callable[[Tensor], Tensor], held: nn.Module, x: Tensor) -> Iterator[Tensor]:
    """The results of three training steps, and of an evaluation after them."""
    optimiser = torch.optim.SGD(held.parameters(), lr=0.1)
    for seed in range(3):
        torch.manual_seed(seed)
        out = run(x)
        optimiser.zero_grad()
        out.square().sum().backward()
        yield out
        yield from (value.grad for value in held.parameters() if value.grad is not None)
        optimiser.step()
    held.eval()
    yield run(x)
    yield from held.parameters()


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_parametrizations_train_as_on_torchs_kernel(name: str, x: Tensor) -> None:
    """Each weight is computed once per call; torch's own layer computes them several times."""
    ours = hs.LSTM(4, 3, 2, bidirectional=True)
    theirs, held = ours.to_torch(), Held(ours)
    for module in (ours, held):
        torch.manual_seed(5)  # spectral_norm starts from a random vector
        for changed in CHANGED:
            PARAMETRIZATIONS[name](module, changed)
    got = list(trained(lambda x: ours(x)[0], ours, x))
    want = list(trained(lambda x: functional_call(theirs, held.computed(), (x,))[0], held, x))
    assert_all_close(got, want, slack=10)


def older(change: Change) -> Change:
    def changed(module: nn.Module, name: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is deprecated, and warns about it
            change(module, name)

    return changed


OLDER = {"weight_norm": older(nn.utils.weight_norm), "spectral_norm": older(nn.utils.spectral_norm)}


@pytest.mark.parametrize("name", OLDER)
def test_hooks_that_compute_weights_train_as_on_torchs_layer(name: str, x: Tensor) -> None:
    ours = hs.LSTM(4, 3, 2, bidirectional=True)
    found = []
    for module in (ours, ours.to_torch()):
        torch.manual_seed(5)
        for changed in CHANGED:
            OLDER[name](module, changed)
        found.append(list(trained(lambda x, module=module: module(x)[0], module, x)))  # type: ignore[misc]
    assert_all_close(found[0], found[1], slack=10)


def test_a_weight_drop_draws_anew_at_each_call_and_only_in_training(x: Tensor) -> None:
    lstm = hs.LSTM(4, 3)
    plain = lstm(x)[0].detach()
    dropped(lstm, "weight_hh_l0")
    assert_close(lstm.eval()(x)[0], plain)
    lstm.train()
    outs = [lstm(x)[0] for _ in range(4)]
    assert not any(torch.equal(a, b) for k, a in enumerate(outs) for b in outs[:k])


def test_a_weight_drop_is_drawn_once_a_call_also_where_that_is_recorded(x: Tensor) -> None:
    lstm = hs.LSTM(4, 3, 2)
    dropped(lstm, "weight_hh_l0")
    torch.manual_seed(1)
    out = lstm(x)[0]
    torch.manual_seed(1)
    mask = dropout(torch.ones(12, 3), 0.5)
    dense = dict(lstm.named_parameters())["parametrizations.weight_hh_l0.original"]
    (gradient,) = torch.autograd.grad(out.sum(), dense)
    assert torch.equal(gradient == 0, mask == 0), "what was dropped has no part in the result"
    torch.manual_seed(1)
    trace = lstm.trace(x)
    assert_close(trace.out, out)  # type: ignore[arg-type]


def test_a_stream_follows_a_parametrization(x: Tensor) -> None:
    lstm = hs.LSTM(4, 3)
    stream, theirs = lstm.stream(batch=2), lstm.to_torch()
    parametrizations.weight_norm(lstm, "weight_hh_l0")
    assert_close(stream.step(x[0]), theirs(x[:1])[0][0].detach())
    with torch.no_grad():
        dict(lstm.named_parameters())["parametrizations.weight_hh_l0.original0"].mul_(2)
        dict(theirs.named_parameters())["weight_hh_l0"].mul_(2)
        before = stream.state
        assert_close(stream.step(x[1]), theirs(x[1:2], before)[0][0])


def test_a_replica_as_data_parallel_makes_them(x: Tensor) -> None:
    """It has copies of the parameters as plain attributes, and gradients flow through them."""
    lstm = hs.LSTM(4, 3, 2, bidirectional=True)
    replica = lstm._replicate_for_data_parallel()  # type: ignore[no-untyped-call]
    for name, value in lstm.named_parameters():
        setattr(replica, name, value * 1)
    replica.flatten_parameters()
    assert_close(replica(x)[0], lstm(x)[0])
    replica(x)[0].sum().backward()
    wanted = torch.autograd.grad(lstm(x)[0].sum(), list(lstm.parameters()))
    assert_all_close([value.grad for value in lstm.parameters() if value.grad is not None], wanted)


def test_training_under_autocast(x: Tensor) -> None:
    """In bfloat16, with weights and gradients in float32, and a gradient scaler that changes nothing."""
    losses = []
    for casts in (True, False):
        torch.manual_seed(0)
        lstm = hs.LSTM(4, 9, 2, bidirectional=True)
        optimiser, scaler = torch.optim.SGD(lstm.parameters(), lr=0.05), GradScaler("cpu", enabled=casts)
        for _ in range(10):
            with torch.autocast("cpu", torch.bfloat16, enabled=casts):
                loss = (lstm(x)[0] - 0.5).square().mean()
            losses.append(loss.detach().float())
            optimiser.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimiser)
            scaler.update()
        assert {value.grad.dtype for value in lstm.parameters() if value.grad is not None} == {torch.float32}
    cast, plain = torch.stack(losses[:10]), torch.stack(losses[10:])
    assert cast[-1] < cast[0]
    assert share(cast, plain, least=0) < 1e-2


class Counted(nn.Module):
    """Counts how often a weight is computed."""

    calls = 0

    def forward(self, weight: Tensor) -> Tensor:
        self.calls += 1
        return 2 * weight


@pytest.mark.parametrize(
    "sizes", [{}, {"num_layers": 2, "bidirectional": True}, {"proj_size": 2, "bias": False}], ids=str
)
def test_a_weight_is_computed_once_in_a_call_and_by_torch_more_often(sizes: dict[str, Any]) -> None:
    counts = []
    for kind in (hs.LSTM, nn.LSTM):
        lstm, counted = kind(4, 3, **sizes), Counted()
        parametrize.register_parametrization(lstm, "weight_hh_l0", counted)
        counted.calls = 0
        lstm(torch.randn(5, 2, 4))
        counts.append(counted.calls)
    assert counts[0] == 1 < counts[1]
    assert counts[1] == 4 or not torch.__version__.startswith("2.13.")  # as differences.md says
