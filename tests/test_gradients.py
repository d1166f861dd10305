"""Gradients beyond a single backward pass: higher-order, forward-mode, per row, of many models, and with
checkpointing."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.autograd.graph import save_on_cpu
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, stack_module_state, vjp, vmap
from torch.utils.checkpoint import checkpoint

import hiddenstate as hs
from support import Call, assert_all_close, assert_close, diagonal, gradients

CALLS = {
    "plain": Call(T=3, N=2, C=2, H=2, L=1, seed=0),
    "layers": Call(T=2, N=2, C=2, H=2, L=2, seed=1, bidirectional=True),
    "without biases": Call(T=3, N=2, C=2, H=2, L=1, seed=2, bias=False),
    "projected": Call(T=3, N=2, C=2, H=3, L=2, seed=3, projects=True),
    "ragged": Call(T=3, N=3, C=2, H=2, L=1, seed=4, bidirectional=True, ragged=True),
    "borders": Call(T=3, N=2, C=2, H=2, L=1, seed=5, bidirectional=True, borders=True),
    "all of it": Call(T=3, N=3, C=2, H=3, L=2, seed=6, bidirectional=True, ragged=True, borders=True, projects=True),
}


def function_of(call: Call, training: bool) -> tuple[Callable[..., tuple[Tensor, ...]], list[Tensor]]:
    """A call as a function of all of its tensors, and these tensors."""
    lstm = call.lstm(torch.float64).train(training)
    names = [name for name, _ in lstm.named_parameters()]

    def function(x: Tensor, h0: Tensor, c0: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        values = dict(zip(names, parameters, strict=True))
        out, (h_n, c_n) = functional_call(lstm, values, (x, (h0, c0)), call.given())
        return out, h_n, c_n

    return function, [*call.inputs(torch.float64), *lstm.parameters()]


@pytest.mark.parametrize(("name", "training"), diagonal(CALLS, [True, False]))
def test_first_derivatives(name: str, training: bool) -> None:
    """Backward, forward-mode and vectorised, against finite differences."""
    function, leaves = function_of(CALLS[name], training)
    assert gradcheck(function, leaves, check_forward_ad=True, check_batched_grad=True, fast_mode=name != "plain")


@pytest.mark.parametrize(("name", "training"), diagonal([*CALLS][:-1], [True, False]))
def test_second_derivatives(name: str, training: bool) -> None:
    function, leaves = function_of(CALLS[name], training)
    assert gradgradcheck(function, leaves, check_fwd_over_rev=True, fast_mode=True)


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
def test_second_derivatives_of_all_at_once(training: bool) -> None:
    function, leaves = function_of(CALLS["all of it"], training)
    assert gradgradcheck(function, leaves, check_fwd_over_rev=True, fast_mode=True)


Function = Callable[[Tensor], Tensor]


def squared(f: Function) -> Function:
    return lambda x: f(x).square().sum()


def forward_derivative(f: Function, x: Tensor) -> Tensor:
    with forward_ad.dual_level():
        derivative: Tensor = forward_ad.unpack_dual(f(forward_ad.make_dual(x, x.cos()))).tangent
        return derivative


# torch's ways to compute a derivative: functions of a function and of the point to evaluate it at.
DERIVATIVES: dict[str, Callable[[Function, Tensor], Tensor]] = {
    "grad": lambda f, x: grad(squared(f))(x),
    "vjp": lambda f, x: vjp(f, x)[1](f(x).cos())[0],
    "jvp": lambda f, x: jvp(f, (x,), (x.cos(),))[1],
    "forward_ad": forward_derivative,
    "jacrev": lambda f, x: jacrev(f)(x),
    "jacfwd": lambda f, x: jacfwd(f)(x),
    "hessian": lambda f, x: hessian(squared(f))(x),
    "Hessian-vector product": lambda f, x: jvp(grad(squared(f)), (x,), (x.cos(),))[1],
    "autograd.functional.hvp": lambda f, x: torch.autograd.functional.hvp(squared(f), x, x.cos())[1],
    "autograd.functional.jacobian": lambda f, x: torch.autograd.functional.jacobian(f, x, vectorize=True),
}


@pytest.mark.parametrize("of", ["x", "weight_hh_l0"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_are_torchs(name: str, training: bool, of: str) -> None:
    ours = hs.LSTM(3, 2, 2, bidirectional=True, dtype=torch.float64).train(training)
    x = torch.randn(3, 2, 3, dtype=torch.float64)
    found = []
    for lstm in (ours, ours.to_torch()):

        def function(value: Tensor, lstm: nn.Module = lstm) -> Tensor:
            given, values = (value, {}) if of == "x" else (x, {of: value})
            out: Tensor = functional_call(lstm, values, (given,))[0]
            return out

        at = x if of == "x" else dict(ours.named_parameters())[of].detach()
        found.append(DERIVATIVES[name](function, at))
    assert_close(found[0], found[1], name)


@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_of_the_cell_are_torchs(name: str) -> None:
    ours = hs.LSTMCell(3, 2, dtype=torch.float64)
    theirs, x = ours.to_torch(), torch.randn(4, 3, dtype=torch.float64)
    got = DERIVATIVES[name](lambda v: torch.cat(ours(v)), x)
    assert_close(got, DERIVATIVES[name](lambda v: torch.cat(theirs(v)), x), name)


@pytest.mark.parametrize("name", ["jvp", "jacrev"])
def test_derivatives_of_what_is_recorded(name: str) -> None:
    lstm, x = hs.LSTM(3, 2, dtype=torch.float64), torch.randn(4, 2, 3, dtype=torch.float64)
    theirs = lstm.to_torch()

    def by_hand(value: Tensor) -> Tensor:
        """The forget gate, computed from the hidden states of torch's layer."""
        hidden = theirs(value)[0]
        before = torch.cat([torch.zeros_like(hidden[:1]), hidden[:-1]])
        ih, hh, b_ih, b_hh = (weight[2:4] for weight in theirs.all_weights[0])
        return (value @ ih.T + b_ih + before @ hh.T + b_hh).sigmoid()

    assert_close(DERIVATIVES[name](lambda v: lstm.trace(v)["l0.f"], x), DERIVATIVES[name](by_hand, x))


def test_many_inputs_at_once() -> None:
    """The same as one by one in torch, whose layer has no vmap rule."""
    lstm, x = hs.LSTM(3, 2, 2, bidirectional=True), torch.randn(4, 5, 2, 3)
    assert_close(vmap(lambda v: lstm(v)[0])(x), torch.stack([lstm.to_torch()(v)[0] for v in x]))
    assert_close(vmap(lambda v: lstm.trace(v)["l1r.c"])(x), torch.stack([lstm.trace(v)["l1r.c"] for v in x]))
    cell = hs.LSTMCell(3, 2)
    assert_close(vmap(lambda v: cell(v)[1])(x[0]), torch.stack([cell.to_torch()(v)[1] for v in x[0]]))


ROWS = {name: call for name, call in CALLS.items() if name != "without biases"}


@pytest.mark.parametrize("name", ROWS)
def test_gradients_of_each_row(name: str) -> None:
    """All at once with vmap, with different lengths and resets in each row, the same as one by one."""
    call = ROWS[name]
    lstm, x, given = call.lstm(torch.float64), call.inputs(torch.float64)[0].detach(), call.given()
    weights = {name: value.detach() for name, value in lstm.named_parameters()}

    def loss(weights: dict[str, Tensor], row: Tensor, more: dict[str, Tensor]) -> Tensor:
        batch = {"lengths": more["lengths"][None]} if "lengths" in more else {}
        if "reset" in more:
            batch["reset"] = more["reset"][:, None]
        out: Tensor = functional_call(lstm, weights, (row[:, None],), batch)[0]
        return out.square().sum()

    axes = {key: {"lengths": 0, "reset": 1}[key] for key in given}
    got = vmap(grad(loss), in_dims=(None, 1, axes))(weights, x, given)
    for n in range(call.N):
        row = {key: value.select(axes[key], n) for key, value in given.items()}
        want = torch.autograd.grad(loss(dict(lstm.named_parameters()), x[:, n], row), list(lstm.parameters()))
        assert_all_close([value[n] for value in got.values()], want, f"row {n}")


def test_lengths_that_vmap_hides_are_not_checked_and_do_no_harm() -> None:
    lstm, x = hs.LSTM(2, 3), torch.randn(4, 2, 2)
    over_rows = vmap(lambda row, length: lstm(row[:, None], lengths=length[None])[0], in_dims=(1, 0))
    out = over_rows(x, torch.tensor([9, -1]))
    assert_close(out[0], lstm(x[:, :1])[0])
    assert not out[1].any()


def test_dropout_with_lengths_that_vmap_hides() -> None:
    """Each row gets a mask; torch's draws for packed rows would need to know the lengths."""
    lstm, x, lengths = hs.LSTM(2, 3, 2, dropout=0.5), torch.randn(4, 5, 2), torch.tensor([4, 0, 2, 1, 3])
    weights = {name: value.detach() for name, value in lstm.named_parameters()}

    def loss(weights: dict[str, Tensor], row: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        out: Tensor = functional_call(lstm, weights, (row[:, None],), {"lengths": length[None]})[0]
        return out.square().sum(), out[:, 0]

    of_rows = vmap(grad(loss, has_aux=True), in_dims=(None, 1, 0), randomness="different")
    gradients, out = of_rows(weights, x, lengths)
    for n, length in enumerate(lengths.tolist()):
        assert not out[n, length:].any()
        assert bool(gradients["weight_hh_l1"][n].any()) == (length > 1)


def test_many_models_at_once() -> None:
    models = [hs.LSTM(3, 4, 2, proj_size=2) for _ in range(3)]
    weights, buffers = stack_module_state(models)
    x = torch.randn(5, 2, 3)

    def loss(weights: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
        out: Tensor = functional_call(models[0], (weights, buffers), (x,))[0]
        return out.square().sum()

    got = vmap(grad(loss))(weights, buffers)
    for k, model in enumerate(models):
        want = torch.autograd.grad(model(x)[0].square().sum(), list(model.parameters()))
        assert_all_close([value[k] for value in got.values()], want, f"model {k}")


def accumulated(total: Tensor, leaves: Iterable[Tensor]) -> list[Tensor]:
    """The gradients that a backward pass accumulates in ``grad``, which is cleared afterwards."""
    total.backward()
    found = []
    for leaf in leaves:
        assert leaf.grad is not None
        found.append(leaf.grad)
        leaf.grad = None
    return found


def test_a_penalty_on_a_gradient_trains_as_torchs_does() -> None:
    ours, x = hs.LSTM(3, 4, 2), torch.randn(5, 2, 3, requires_grad=True)
    found = []
    for lstm in (ours, ours.to_torch()):
        out = lstm(x)[0]
        (slope,) = torch.autograd.grad(out.sum(), x, create_graph=True)
        found.append(accumulated(out.square().sum() + (slope.norm() - 1).square(), [x, *lstm.parameters()]))
    assert_all_close(found[0], found[1])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_is_exact(reentrant: bool, training: bool) -> None:
    """Also with dropout, whose mask is drawn again identically."""
    call = Call(T=5, N=3, C=4, H=9, L=2, seed=0, bidirectional=True, ragged=True, borders=True)
    lstm, x = call.lstm(torch.float32).train(training), call.inputs(torch.float32)[0]
    lstm.dropout = 0.5

    def run(value: Tensor) -> Tensor:
        out: Tensor = lstm(value, **call.given())[0]
        return out

    found = []
    for again in (False, True):
        torch.manual_seed(3)
        out = checkpoint(run, x, use_reentrant=reentrant) if again else run(x)
        found.append([out, *accumulated(out.square().sum(), [x, *lstm.parameters()])])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("training", [True, False])
def test_tensors_saved_elsewhere(training: bool) -> None:
    """With hooks that store saved tensors elsewhere until backward needs them."""
    call = Call(T=5, N=3, C=4, H=9, L=2, seed=0, ragged=True, borders=True)
    lstm, inputs = call.lstm(torch.float32).train(training), call.inputs(torch.float32)
    found = []
    for context in (torch.enable_grad(), save_on_cpu()):
        with context, lstm.edit(hs.scale("l0.f", by=torch.full((9,), 0.5), t=1)):
            out, final = lstm(inputs[0], (inputs[1], inputs[2]), **call.given())
        found.append(gradients([out, *final], [*inputs, *lstm.parameters()]))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_an_edit_has_its_derivatives_too() -> None:
    """With respect to its value, in forward mode, and of second order."""
    lstm, x = hs.LSTM(2, 2, dtype=torch.float64), torch.randn(3, 1, 2, dtype=torch.float64)

    def function(value: Tensor) -> Any:
        with lstm.edit(hs.scale("l0.f", by=value, t=1)):
            return lstm(x)[0]

    value = torch.rand(2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(function, value, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(function, value, check_fwd_over_rev=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layers", [1, 2])
def test_an_output_that_is_changed_in_place_is_refused_by_backward_and_states_may_be(
    dtype: torch.dtype, layers: int
) -> None:
    lstm, x = hs.LSTM(4, 3, layers, dtype=dtype), torch.randn(5, 2, 4, dtype=dtype)
    out, _ = lstm(x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.mul_(2).sum().backward()
    changes: list[Callable[[Tensor], Tensor]] = [lambda state: state * 2, lambda state: state.mul_(2)]
    found = []
    for change in changes:
        out, (h, c) = lstm(x)
        found.append(torch.autograd.grad(out.sum() + change(h).sum() + change(c).sum(), list(lstm.parameters())))
    assert_all_close(found[1], found[0], "states changed in place")
