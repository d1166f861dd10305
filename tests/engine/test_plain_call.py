"""The fast path: the same tensors as the general path, and not taken as soon as anything is not plain."""

import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import hiddenstate as hs
from hiddenstate.engine import kernels, native
from hiddenstate.engine.inputs import Arguments
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    DeviceError,
    DtypeError,
    RankError,
    ShapeError,
    TraceTooLargeError,
)
from hiddenstate.nn import calls
from hiddenstate.nn.recurrent import _FORWARD
from hiddenstate.tracing.record_spec import TraceOptions
from support import LAYERS, assert_close, layer_options, random_input, random_state

pytestmark = pytest.mark.skipif(
    kernels.isa() is None or not hasattr(torch.Tensor, "__dlpack_c_exchange_api__"),
    reason="needs the native module and torch's table of functions",
)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def flat(result: Any) -> tuple[Tensor, Tensor, Tensor]:
    out, (h_n, c_n) = result
    return out, h_n, c_n


def taken(lstm: hs.LSTM, x: Any, hx: Any = None, lengths: Any = None) -> bool:
    return calls.run_fast(lstm, x, hx, lengths) is not None


def trace_fast(lstm: hs.LSTM, x: Any, hx: Any, lengths: Any, tokens: Any, limit: Any) -> hs.Trace | None:
    options = TraceOptions(None, None, False, tokens, limit)
    return calls.trace_fast(lstm, Arguments(x, hx, lengths), options, _FORWARD)


def assert_same(lstm: hs.LSTM, x: Tensor, hx: Any = None, lengths: Tensor | None = None) -> None:
    """The fast path runs, with the same results as the general one, to the last bit and stride; so does a trace."""
    got, want = calls.run_fast(lstm, x, hx, lengths), calls.run(lstm, Arguments(x, hx, lengths, None))
    assert got is not None
    for mine, other in zip(flat(got), flat(want), strict=True):
        assert_same_tensor(mine, other)
        assert mine._version == other._version == 0
    assert_same_trace(lstm, x, hx, lengths)


def assert_same_tensor(mine: Tensor, other: Tensor) -> None:
    assert torch.equal(mine, other)
    assert (mine.dtype, mine.requires_grad, type(mine)) == (other.dtype, False, Tensor)
    strides = [(m, o) for m, o, size in zip(mine.stride(), other.stride(), other.shape, strict=True) if size > 1]
    assert all(m == o for m, o in strides)


def assert_same_trace(lstm: hs.LSTM, x: Tensor, hx: Any, lengths: Tensor | None) -> None:
    got = trace_fast(lstm, x, hx, lengths, None, None)
    assert got is not None
    want = lstm.trace(x, hx, lengths=lengths, keep=got.names)  # names of places: that takes the general path
    for mine, other in zip((got.out, *got.state, *got.initial), (want.out, *want.state, *want.initial), strict=True):
        assert_same_tensor(mine, other)
    assert got.names == want.names
    for name in want.names:
        assert torch.equal(got.values[name], want.values[name])
        assert got.values[name].is_contiguous() == want.values[name].is_contiguous()
    assert (got.lengths is None) == (want.lengths is None)
    assert got.lengths is None or torch.equal(got.lengths, want.lengths)  # type: ignore[arg-type]
    for name in ("steps", "length", "num_layers", "bidirectional", "layout", "reset", "tokens", "nbytes", "batch"):
        assert getattr(got, name) == getattr(want, name)


@given(layer_options(), st.integers(1, 7), st.integers(1, 5), st.booleans(), st.booleans())
def test_it_is_the_long_way_to_the_last_bit(
    options: dict[str, Any], T: int, N: int, with_state: bool, training: bool
) -> None:
    lstm = hs.LSTM(**options).train(training)
    x = random_input(lstm, T, N)
    assert_same(lstm, x, random_state(lstm, N) if with_state else None)
    assert_same(lstm, x, random_state(lstm, N) if with_state else None, torch.randint(0, T + 1, (N,)))
    single = x[0] if lstm.batch_first else x[:, 0]
    state = random_state(lstm, 1)
    assert_same(lstm, single, (state[0][:, 0], state[1][:, 0]) if with_state else None)


def test_steps_and_rows_may_lie_anywhere() -> None:
    lstm, x = hs.LSTM(4, 17, 2), torch.randn(6, 6, 8)
    turned, repeated = x[:, :, :4].transpose(0, 1), x[2:3, :, :4].expand(5, 6, 4)
    for view in (x[::2, :, :4], x[:, 1::2, 4:], x[..., 1:5], turned, repeated):
        assert_same(lstm, view)
    narrow = hs.LSTM(1, 3)
    assert_same(narrow, x[..., 3:4])
    assert_same(narrow, x[:, :, 0].unsqueeze(-1).transpose(0, 1))


def test_threads_give_the_same_numbers() -> None:
    lstm, x = hs.LSTM(64, 130, 2, bidirectional=True), torch.randn(70, 3, 64)
    want = calls.run(lstm, Arguments(x, None, None, None))[0]

    @torch.no_grad()  # it is in force only in one thread
    def run(_: int) -> Any:
        return calls.run_fast(lstm, x, None, None)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(run, range(40)))
    assert all(torch.equal(flat(result)[0], want) for result in found)  # type: ignore[arg-type]


class _Marked(Tensor):
    pass


NOT_PLAIN: dict[str, Callable[[Tensor], Any]] = {
    "features apart": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "negated by a mark": torch._neg_view,
    "a subclass": lambda x: x.as_subclass(_Marked),
    "a list of rows": lambda x: nn.utils.rnn.pack_sequence([x[:, 0]]),
}


@pytest.mark.parametrize("kind", NOT_PLAIN)
def test_what_is_not_plain_goes_the_long_way(kind: str) -> None:
    lstm, x = hs.LSTM(4, 9), torch.randn(5, 1, 4)
    given = NOT_PLAIN[kind](x)
    assert taken(lstm, x)
    assert not taken(lstm, given)
    want, got = flat(lstm(given))[1], flat(lstm(-x if "negated" in kind else x))[1]
    assert_close(got, want.as_subclass(Tensor))


def test_states_that_are_not_plain_go_the_long_way() -> None:
    lstm, x = hs.LSTM(4, 9, 2), torch.randn(5, 3, 4)
    h, c = random_state(lstm, 3)
    want = lstm(x, (h, c))
    strided = torch.randn(2, 3, 18)[..., ::2].copy_(h)
    for state in ([h, c], (strided, c), (h, torch._neg_view(-c))):
        assert not taken(lstm, x, state)
        for mine, other in zip(flat(lstm(x, state)), flat(want), strict=True):
            assert_close(mine, other)


def test_lengths_that_are_not_plain_go_the_long_way() -> None:
    lstm, x = hs.LSTM(4, 9, 2), torch.randn(5, 3, 4)
    lengths = torch.tensor([5, 0, 3])
    want = lstm(x, lengths=lengths)
    assert taken(lstm, x, None, lengths)
    for counts in ([5, 0, 3], lengths.int(), lengths.repeat_interleave(2)[::2]):
        assert not taken(lstm, x, None, counts)
        for mine, other in zip(flat(lstm(x, lengths=counts)), flat(want), strict=True):
            assert torch.equal(mine, other)


@pytest.mark.parametrize("counts", [[6, 1, 1], [1, -1, 1], [1, 1], [[1, 1, 1]], [2**40, 1, 1]])
def test_wrong_lengths_are_refused_as_ever(counts: list[Any]) -> None:
    lstm, x = hs.LSTM(4, 9), torch.randn(5, 3, 4)
    assert not taken(lstm, x, None, torch.tensor(counts))
    for run in (lstm, lstm.trace):
        with pytest.raises((ShapeError, ArgumentError)):
            run(x, lengths=torch.tensor(counts))
    with pytest.raises(ShapeError):
        lstm(x[:, 0], lengths=torch.tensor([1, 1, 1]))


BAD: dict[str, tuple[Callable[[Tensor], Any], type[Exception]]] = {
    "type": (lambda x: x.double(), DtypeError),
    "device": (lambda x: x.to("meta"), DeviceError),
    "features": (lambda x: x[..., :3], ShapeError),
    "no steps": (lambda x: x[:0], ShapeError),
    "rank": (lambda x: x[None], RankError),
    "vector": (lambda x: x[0, 0], RankError),
    "no tensor": (lambda x: x.numpy(), ArgumentTypeError),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_is_said_as_ever(what: str) -> None:
    change, error = BAD[what]
    lstm, x = hs.LSTM(4, 9), torch.randn(5, 1, 4)
    for run in (lstm, lstm.trace):
        with pytest.raises(error):
            run(change(x))


def test_wrong_states_are_refused_as_ever() -> None:
    lstm, x = hs.LSTM(4, 9), torch.randn(5, 2, 4)
    h, c = random_state(lstm, 2)
    for state, error in (
        ((h[:, :1].contiguous(), c), ShapeError),
        ((h, c[..., :8].contiguous()), ShapeError),
        ((h[0], c[0]), RankError),
        ((h.double(), c), DtypeError),
        ((h,), ArgumentTypeError),
        (h, ArgumentTypeError),
    ):
        with pytest.raises(error):
            lstm(x, state)


def test_no_rows_at_all() -> None:
    out, (h_n, c_n) = hs.LSTM(4, 9)(torch.zeros(5, 0, 4))
    assert (out.shape, h_n.shape, c_n.shape) == ((5, 0, 9), (1, 0, 9), (1, 0, 9))


def test_replaced_parameters_are_read_or_refused() -> None:
    lstm, x = hs.LSTM(4, 9), torch.randn(5, 2, 4)
    before = lstm(x)[0]
    lstm.get_parameter("weight_ih_l0").data.mul_(0.5)  # torch does not record it
    assert not torch.equal(lstm(x)[0], before)
    assert_same(lstm, x)
    lstm.weight_hh_l0 = nn.Parameter(torch.randn(9, 36).T)
    assert not taken(lstm, x)
    strided = lstm(x)[0]
    lstm.weight_hh_l0 = nn.Parameter(lstm.weight_hh_l0.detach().contiguous())
    assert_close(lstm(x)[0], strided)
    assert_same(lstm, x)
    lstm.bias_hh_l0 = nn.Parameter(torch.zeros(35))
    with pytest.raises(ShapeError, match="bias_hh_l0 has shape"):
        lstm(x)
    lstm.bias_hh_l0 = nn.Parameter(torch.zeros(36, dtype=torch.float64))
    assert not taken(lstm, x)


def test_parametrized_weights_go_the_long_way() -> None:
    lstm, x = hs.LSTM(4, 9), torch.randn(5, 2, 4)
    want = lstm(x)[0]
    nn.utils.parametrizations.weight_norm(lstm, "weight_hh_l0")
    assert not taken(lstm, x)
    assert_close(lstm(x)[0], want)


def traced_plainly(lstm: hs.LSTM, x: Tensor, limit: int | None = None) -> bool:
    return trace_fast(lstm, x, None, None, None, limit) is not None


class _Doubling(hs.LSTM):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        out, state = super().forward(*args, **kwargs)
        return 2 * out, state


def test_a_trace_is_a_call_with_all_that_belongs_to_one() -> None:
    lstm, x = hs.LSTM(4, 9), torch.randn(5, 2, 4)
    want = lstm(x)[0]
    assert traced_plainly(lstm, x)
    doubling = _Doubling(4, 9)
    assert not traced_plainly(doubling, x)
    assert torch.equal(doubling.trace(x).out, doubling(x)[0])  # type: ignore[arg-type]
    replaced = hs.LSTM(4, 9)
    ours = replaced.forward
    replaced.forward = lambda *args, **kwargs: (2 * ours(*args, **kwargs)[0], ours(*args, **kwargs)[1])  # type: ignore[method-assign]
    assert not traced_plainly(replaced, x)
    assert torch.equal(replaced.trace(x).out, replaced(x)[0])  # type: ignore[arg-type]
    other = hs.LSTM(4, 9)
    replaced.forward = other.forward  # type: ignore[method-assign]
    assert not traced_plainly(replaced, x)
    registers: list[Any] = [lstm.register_forward_hook, nn.modules.module.register_module_forward_hook]
    for register in registers:
        handle = register(lambda _module, _args, output: (output[0] + 1, output[1]))
        assert not traced_plainly(lstm, x)
        assert torch.equal(lstm.trace(x).out, want + 1)  # type: ignore[arg-type]
        handle.remove()
    registers = [lstm.register_forward_pre_hook, nn.modules.module.register_module_forward_pre_hook]
    for register in registers:
        handle = register(lambda _module, args: (2 * args[0],))
        assert not traced_plainly(lstm, x)
        assert torch.equal(lstm.trace(x).out, calls.run(lstm, Arguments(2 * x, None, None, None))[0])  # type: ignore[arg-type]
        handle.remove()
    assert traced_plainly(lstm, x)


@torch.enable_grad()
def test_backward_hooks_run_with_a_trace_too() -> None:
    lstm, x = hs.LSTM(3, 4), torch.randn(5, 2, 3, requires_grad=True)
    ran: list[str] = []

    def note(name: str) -> Callable[..., None]:
        return lambda *_: ran.append(name)

    registers: dict[str, Any] = {
        "backward": lstm.register_full_backward_hook,
        "before backward": lstm.register_full_backward_pre_hook,
        "any backward": nn.modules.module.register_module_full_backward_hook,
        "before any backward": nn.modules.module.register_module_full_backward_pre_hook,
    }
    for name, register in registers.items():
        handle = register(note(name))
        lstm.trace(x).out.sum().backward()  # type: ignore[union-attr]
        handle.remove()
    assert ran == list(registers)
    assert traced_plainly(lstm, x)


@pytest.mark.parametrize("name", ["forward", "__call__", "_call_impl"])
def test_a_trace_sees_calls_that_were_replaced_for_all(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lstm, x = hs.LSTM(4, 9), torch.randn(5, 2, 4)
    owner: type[nn.Module] = hs.LSTM if name == "forward" else nn.Module
    ours = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **kwargs: ours(*args, **kwargs))
    assert not traced_plainly(lstm, x)
    monkeypatch.undo()
    assert traced_plainly(lstm, x)


def test_a_trace_over_the_limit_is_refused_before_anything_is_computed() -> None:
    lstm, x = hs.LSTM(4, 9, 2, bidirectional=True, proj_size=3), torch.randn(5, 2, 4)
    nbytes = lstm.trace_nbytes(5, 2)
    assert lstm.trace(x).nbytes == nbytes
    assert traced_plainly(lstm, x, nbytes)
    assert not traced_plainly(lstm, x, nbytes - 1)
    with pytest.raises(TraceTooLargeError):
        lstm.trace(x, limit=nbytes - 1)


def test_a_trace_shares_no_memory_with_what_a_caller_may_change() -> None:
    for lstm in (hs.LSTM(4, 9), hs.LSTM(4, 9, batch_first=True)):
        x, lengths = torch.randn(3, 3, 4), torch.tensor([3, 1, 2])
        h, c = random_state(lstm, 3)
        trace = lstm.trace(x, (h, c), lengths=lengths)
        before = {name: values.clone() for name, values in trace.values.items()}
        kept = [value.clone() for value in trace.initial]
        for value in (trace.out, *trace.state, h, c, x, lengths):
            value.zero_()
        assert all(torch.equal(values, before[name]) for name, values in trace.values.items())
        assert all(torch.equal(value, other) for value, other in zip(trace.initial, kept, strict=True))
        assert trace.lengths is not None
        assert trace.lengths.tolist() == [3, 1, 2]


class _Counting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen += 1
        return func(*args, **(kwargs or {}))


def test_what_watches_is_not_passed_by() -> None:
    lstm, x = hs.LSTM(4, 9), torch.randn(5, 2, 4)
    want = lstm(x)[0]
    with _Counting() as mode:
        assert not taken(lstm, x)
        assert_close(lstm(x)[0], want)
    assert mode.seen
    with torch.autocast("cpu", torch.bfloat16):
        assert not taken(lstm, x)
        assert lstm(x)[0].dtype is torch.bfloat16
    with hs.backend("reference"):
        assert not taken(lstm, x)
    with lstm.edit(hs.zero("l0.h", unit=3)):
        assert not taken(lstm, x)
        assert (lstm(x)[0][..., 3] == 0).all()
    each = torch.func.vmap(lambda one: lstm(one)[0], in_dims=1, out_dims=1)(x)
    assert_close(each, want)
    seen: list[Tensor] = []
    handle = lstm.register_forward_hook(lambda _module, _args, output: seen.append(output[0]))
    lstm(x)
    handle.remove()
    assert_close(seen[0], want)
    traced: Any = lstm.trace(x).out
    assert_close(traced, want)


def gradients(lstm: hs.LSTM, run: Callable[..., Sequence[Tensor]], x: Tensor, hx: Any) -> list[Tensor | None]:
    """The gradients of all inputs, from gradients of all results."""
    given = [value.detach().requires_grad_() for value in (x, *(hx or ()))]
    outputs = run(given[0], tuple(given[1:]) if hx else None)
    drawn = torch.Generator().manual_seed(3)
    grads = [torch.randn(value.shape, generator=drawn).to(x) for value in outputs]
    return list(torch.autograd.grad(outputs, [*given, *lstm.parameters()], grads, allow_unused=True))


@given(layer_options(), st.integers(1, 7), st.integers(1, 5), st.booleans(), st.booleans(), st.booleans())
def test_gradients_are_the_long_ways_to_the_last_bit(
    options: dict[str, Any], T: int, N: int, with_state: bool, with_lengths: bool, training: bool
) -> None:
    lstm = hs.LSTM(**options).train(training)
    x, hx = random_input(lstm, T, N), random_state(lstm, N) if with_state else None
    lengths = torch.randint(0, T + 1, (N,)) if with_lengths else None
    with torch.enable_grad():
        assert taken(lstm, x, hx, lengths)
        got = gradients(lstm, lambda x, hx: flat(calls.run_fast(lstm, x, hx, lengths)), x, hx)
        want = gradients(lstm, lambda x, hx: flat(calls.run(lstm, Arguments(x, hx, lengths, None))), x, hx)
    for mine, other in zip(got, want, strict=True):
        assert mine is not None
        assert other is not None
        assert_same_tensor(mine, other)


@given(layer_options(), st.integers(1, 7), st.integers(1, 5), st.booleans(), st.booleans(), st.booleans())
def test_gradients_of_a_single_sequence_are_those_of_a_batch_of_one(
    options: dict[str, Any], T: int, N: int, with_state: bool, traced: bool, training: bool
) -> None:
    lstm = hs.LSTM(**options).train(training)
    x = random_input(lstm, T, N).select(0 if lstm.batch_first else 1, 0)
    hx = tuple(value[:, 0] for value in random_state(lstm, 1)) if with_state else None

    def single(x: Tensor, hx: Any) -> Sequence[Tensor]:
        assert calls.run_fast(lstm, x, hx, None) is not None
        return everything(lstm.trace(x, hx)) if traced else flat(lstm(x, hx))

    def batched(x: Tensor, hx: Any) -> Sequence[Tensor]:
        axis = 0 if lstm.batch_first else 1
        x, hx = x.unsqueeze(axis), hx and tuple(value.unsqueeze(1) for value in hx)
        out, *others = everything(lstm.trace(x, hx)) if traced else flat(calls.run(lstm, Arguments(x, hx, None, None)))
        return out.squeeze(axis), *(value.squeeze(1) for value in others[:2]), *others[2:]

    with torch.enable_grad():
        assert single(x, hx)[0].shape == (T, lstm.sizes.directions * lstm.sizes.output_size)
        for mine, other in zip(gradients(lstm, single, x, hx), gradients(lstm, batched, x, hx), strict=True):
            assert mine is not None
            assert other is not None
            assert_same_tensor(mine, other)


def everything(trace: hs.Trace) -> list[Tensor]:
    """All tensors of a trace."""
    assert isinstance(trace.out, Tensor)
    return [trace.out, *trace.state, *trace.values.values()]


@given(layer_options(), st.integers(1, 7), st.integers(1, 5), st.booleans(), st.booleans(), st.booleans())
def test_gradients_of_a_trace_are_the_long_ways(
    options: dict[str, Any], T: int, N: int, with_state: bool, with_lengths: bool, training: bool
) -> None:
    lstm = hs.LSTM(**{**options, "num_layers": 1, "bidirectional": False}).train(training)
    x, hx = random_input(lstm, T, N), random_state(lstm, N) if with_state else None
    lengths = torch.randint(0, T + 1, (N,)) if with_lengths else None

    def shortest(x: Tensor, hx: Any) -> Sequence[Tensor]:
        trace = trace_fast(lstm, x, hx, lengths, None, None)
        assert trace is not None
        return everything(trace)

    def by_track(x: Tensor, hx: Any) -> Sequence[Tensor]:
        return everything(lstm.trace(x, hx, lengths=lengths, keep=names))

    def referred(x: Tensor, hx: Any) -> Sequence[Tensor]:
        with hs.backend("reference"):
            return everything(lstm.trace(x, hx, lengths=lengths))

    names = lstm.trace(x, hx).names
    with torch.enable_grad():
        for value, same in zip(shortest(x, hx), by_track(x, hx), strict=True):
            assert torch.equal(value, same)
            assert value.requires_grad == same.requires_grad
        got = gradients(lstm, shortest, x, hx)
        for way in (by_track, referred):
            for mine, other in zip(got, gradients(lstm, way, x, hx), strict=True):
                assert mine is not None
                assert other is not None
                assert_close(mine, other)


@torch.enable_grad()
@pytest.mark.parametrize("options", [{}, {"num_layers": 3, "bidirectional": True}])
def test_each_value_of_a_trace_has_its_gradient(options: dict[str, Any]) -> None:
    """One at a time, so that none depends on another; also for given states."""
    lstm, x = hs.LSTM(4, 3, proj_size=2, **options), torch.randn(5, 2, 4, requires_grad=True)
    hx = random_state(lstm, 2, grad=True)
    for name in lstm.trace(x).names:
        (got, want) = (
            torch.autograd.grad(values.square().sum(), [x, *hx, *lstm.parameters()], allow_unused=True)
            for values in (lstm.trace(x, hx)[name], lstm.trace(x, hx, keep=[name])[name])
        )
        for mine, other in zip(got, want, strict=True):
            assert (mine is None) == (other is None)  # tensors that a value does not depend on get no gradient
            if mine is not None and other is not None:
                assert_close(mine, other, name)


@torch.enable_grad()
def test_layers_of_a_trace_have_nothing_to_do_with_those_above() -> None:
    lstm, x = hs.LSTM(3, 4, 2), torch.randn(5, 2, 3, requires_grad=True)
    with torch.no_grad():
        lstm.get_parameter("weight_ih_l1")[0, 0] = torch.nan
    lstm.trace(x)["l0.c"].sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    for name, parameter in lstm.named_parameters():
        parameter.requires_grad_("l1" in name)
    assert lstm.trace(x.detach())["l0.c"].numpy().shape == (5, 2, 4)


@pytest.fixture
def plain_gradients(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each gradient took one native call on unconverted tensors."""
    came: list[bool] = []
    backward, convert = native.backward, native._contiguous_call

    def spy(*arguments: Any) -> Any:
        came.append(True)
        return backward(*arguments)

    def spy_on_converted(*arguments: Any) -> Any:
        came[-1:] = [False] if came else []
        return convert(*arguments)

    monkeypatch.setattr(native, "backward", spy)
    monkeypatch.setattr(native, "_contiguous_call", spy_on_converted)
    return came


@torch.enable_grad()
def test_gradients_come_the_shortest_way_too(plain_gradients: list[bool]) -> None:
    lstm, x = hs.LSTM(4, 9, 2, bidirectional=True), torch.randn(5, 3, 4)
    of_out: Callable[..., Tensor] = lambda out, _: out.square().sum()  # noqa: E731
    of_all: Callable[..., Tensor] = lambda out, state: out.sum() * state[1].sum()  # noqa: E731
    for total in (of_out, of_all):
        total(*lstm(x)).backward()
    assert plain_gradients == [True] * 2
    lstm(x)[1][0].sum().backward()  # no gradient of out
    assert plain_gradients == [True] * 3
    lstm.bias_hh_l0.requires_grad_(False)
    lstm.zero_grad()
    lstm(x)[0].sum().backward()
    assert plain_gradients[-1]
    assert lstm.get_parameter("bias_hh_l0").grad is None
    assert lstm.get_parameter("bias_ih_l0").grad is not None
    lstm.bias_hh_l0.requires_grad_()
    lstm(x)[0].sum().backward()
    grads = [lstm.get_parameter(name).grad for name in ("bias_ih_l0", "bias_hh_l0")]
    assert grads[0] is not None
    assert grads[1] is not None
    grads[0].add_(1)
    assert not torch.equal(grads[0], grads[1])


@torch.enable_grad()
def test_only_what_needs_a_gradient_gets_one(plain_gradients: list[bool]) -> None:
    lstm, x = hs.LSTM(4, 9, 2), torch.randn(5, 3, 4)
    every = torch.autograd.grad(lstm(x)[0].square().sum(), list(lstm.parameters()))
    for k, parameter in enumerate(lstm.parameters()):
        for other in lstm.parameters():
            other.requires_grad_(other is parameter)
        (got,) = torch.autograd.grad(lstm(x)[0].square().sum(), [parameter])
        assert torch.equal(got, every[k])
    assert all(plain_gradients)
    for other in lstm.parameters():
        other.requires_grad_(False)
    assert not lstm(x)[0].requires_grad
    assert taken(lstm, x)


@torch.enable_grad()
def test_what_changed_since_the_run_is_seen(plain_gradients: list[bool]) -> None:
    lstm, x = hs.LSTM(4, 9), torch.randn(5, 3, 4)
    out = lstm(x)[0]
    with torch.no_grad():
        lstm.get_parameter("weight_hh_l0").mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()
    out = lstm(x)[0]
    lstm.weight_hh_l0.data = torch.zeros(36, 8)  # torch does not record it
    with pytest.raises(ShapeError, match="a weight_hh has shape"):
        out.sum().backward()
    assert plain_gradients == [False]


@torch.enable_grad()
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_inputs_and_states_that_changed_since_the_run_are_refused(training: bool, dropout: float) -> None:
    lstm = hs.LSTM(4, 9, 2, bidirectional=True, dropout=dropout).train(training)
    for k, other in ((0, (5, 3, 2)), (0, (5, 3, 4000)), (0, (5, 3)), (1, (1,)), (2, (4, 3, 8))):
        x, (h, c) = torch.randn(5, 3, 4), random_state(lstm, 3)
        out = lstm(x, (h, c))[0]
        (x, h, c)[k].data = torch.randn(other)  # torch does not record it
        with pytest.raises((ShapeError, DtypeError)):
            out.sum().backward()


@torch.enable_grad()
def test_derivatives_of_derivatives_after_the_shortest_way() -> None:
    lstm, x = hs.LSTM(4, 3, dtype=torch.float64), torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    assert taken(lstm, x)
    assert torch.autograd.gradgradcheck(lambda x: lstm(x)[0], x)


@torch.enable_grad()
@pytest.mark.parametrize("name", ["l0.i", "l0.c", "l0.h"])
def test_derivatives_of_derivatives_of_a_trace(name: str) -> None:
    lstm = hs.LSTM(2, 3, dtype=torch.float64)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)

    def show(x: Tensor) -> Tensor:
        trace = trace_fast(lstm, x, None, torch.tensor([3, 2]), None, None)
        assert trace is not None
        return trace[name]

    assert torch.autograd.gradcheck(show, x)
    assert torch.autograd.gradgradcheck(show, x)


def test_tokens_come_with_the_shortest_way() -> None:
    lstm, x = hs.LSTM(4, 9), torch.randn(3, 2, 4)
    trace = trace_fast(lstm, x, None, torch.tensor([3, 1]), [["a", "b", "c"], ["d"]], None)
    assert trace is not None
    assert trace.words(1) == ("d",)
    with pytest.raises(ShapeError, match="row 1 has 3 time steps and 1 tokens"):
        lstm.trace(x, tokens=[["a", "b", "c"], ["d"]])


@torch.enable_grad()
@pytest.mark.parametrize("batch_first", [False, True])
def test_inputs_of_other_ranks_are_told_of(batch_first: bool) -> None:
    lstm = hs.LSTM(4, 9, batch_first=batch_first)
    for shape in ((), (4,), (1, 1, 3, 4)):
        for run in (lstm, lstm.trace):
            with pytest.raises(RankError):
                run(torch.zeros(shape))


@torch.enable_grad()
def test_states_that_are_no_tensors_are_told_of() -> None:
    lstm, x = hs.LSTM(4, 9), torch.randn(3, 2, 4)
    wrong: tuple[Any, ...] = ((None, None), (1, 2), (torch.zeros(1, 2, 9),), (torch.zeros(()), torch.zeros(())))
    for hx in wrong:
        for run in (lstm, lstm.trace):
            for sequence in (x, x[:, 0], x[:, 0, 0], x[None]):
                with pytest.raises(hs.HiddenStateError):
                    run(sequence, hx)


def test_dropout_in_training_is_drawn() -> None:
    lstm, x = hs.LSTM(4, 30, 2, dropout=0.5), torch.randn(5, 2, 4)
    assert not torch.equal(lstm(x)[0], lstm(x)[0])
    lstm.eval()
    assert torch.equal(lstm(x)[0], lstm(x)[0])


def test_in_inference_mode() -> None:
    lstm, x = hs.LSTM(4, 9), torch.randn(5, 2, 4)
    with torch.inference_mode():
        out = lstm(x)[0]
    assert out.is_inference()
    assert torch.equal(out, lstm(x)[0])


def test_another_default_type_and_device_change_nothing() -> None:
    lstm, x = hs.LSTM(4, 9), torch.randn(5, 2, 4)
    want = lstm(x)[0]
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            assert taken(lstm, x)
            assert torch.equal(lstm(x)[0], want)
    finally:
        torch.set_default_dtype(torch.float32)


class _Meddling(TorchFunctionMode):
    """Runs code when a tensor's negative bit is queried, which calls Python."""

    def __init__(self, meddle: Callable[[], None]) -> None:
        super().__init__()
        self.meddle = meddle

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.is_neg:
            self.meddle()
        return func(*args, **(kwargs or {}))


def test_an_exception_from_elsewhere_goes_through() -> None:
    """Such as one from a signal handler (Ctrl-C), which runs wherever Python runs."""
    lstm, x = hs.LSTM(4, 9), torch.randn(5, 1, 4)
    stream = lstm.stream()
    stream.step(x[0]), stream.step(x[0])

    def interrupt() -> None:
        raise TimeoutError

    for run in (lambda: lstm(x), lambda: stream.step(x[0])):
        with _Meddling(interrupt), pytest.raises(TimeoutError):
            run()
    assert stream.t == 2


def test_a_tensor_that_moves_meanwhile_is_read_where_it_is() -> None:
    lstm, x = hs.LSTM(4, 9), torch.randn(5, 1, 4)
    other = torch.randn(5, 1, 4)
    want = lstm(other)[0]

    def move() -> None:
        x.data = other

    with _Meddling(move):
        assert torch.equal(lstm(x)[0], want)


def test_batch_first_as_any_truth() -> None:
    lstm, x = hs.LSTM(4, 9, batch_first=True), torch.randn(2, 5, 4)
    want = lstm(x)[0]
    lstm.batch_first = 1  # type: ignore[assignment]
    assert taken(lstm, x)
    assert torch.equal(lstm(x)[0], want)


def test_nothing_is_held_after_it() -> None:
    lstm, x = hs.LSTM(4, 9, 2, bidirectional=True), torch.randn(5, 2, 4)
    state = random_state(lstm, 2)
    names = lstm._parameter_names()[1]
    given = [x, state, *state, *lstm.parameters(), lstm._parameters, names, names[0]]
    lstm(x, state), lstm(x.double().float())
    before = [sys.getrefcount(value) for value in given]
    for _ in range(100):
        last = lstm(x, state)[0]
        assert not taken(lstm, x[..., ::2], state)
        assert not taken(lstm, x, (state[0], state[1][..., ::2]))
    assert [sys.getrefcount(value) for value in given] == before
    gone = weakref.ref(last)
    del last
    assert gone() is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("H", [1, 17, 65])
def test_in_half_precision_it_is_the_long_way_to_the_last_bit(kind: Any, dtype: torch.dtype, H: int) -> None:
    lstm, x = kind(3, H, 2, bidirectional=True, batch_first=True).to(dtype), torch.randn(3, 17, 3).to(dtype)
    parts = [torch.randn(4, 3, H).to(dtype) for _ in lstm.sizes.kind.carried]
    turned, single = x.transpose(0, 1).contiguous().transpose(0, 1), [part[:, 0].contiguous() for part in parts]
    for given_x, states, lengths in (
        (x, None, None),
        (x, parts, torch.tensor([17, 0, 5])),
        (turned, parts, None),
        (x[0], single, None),
    ):
        hx = None if states is None else lstm.sizes.kind.as_given(states)
        got, want = calls.run_fast(lstm, given_x, hx, lengths), calls.run(lstm, Arguments(given_x, hx, lengths, None))
        assert got is not None
        assert isinstance(want[0], Tensor)
        assert lstm.path(given_x, hx, lengths=lengths).name == "fast"
        for mine, other in zip((got[0], *flat_state(got)), (want[0], *flat_state(want)), strict=True):
            assert_same_tensor(mine, other)
    assert trace_fast(lstm, x, None, None, None, None) is None
    with torch.enable_grad():
        lstm.requires_grad_(False)
        assert {value.dtype for value in map(lstm.trace(x).__getitem__, lstm.trace(x).names)} == {dtype}
        lstm.requires_grad_()
        if dtype is torch.float16:
            assert "gradient" in lstm.path(x).reasons["fast"]
            lstm(x)[0].float().sum().backward()
            assert lstm.weight_hh_l0.grad.dtype is dtype
            return
        arguments: Any = ((x, None, None), (x, parts, torch.tensor([17, 0, 5])), (x[0], single, None))
        for training in (True, False):  # with and without a record
            lstm.train(training)
            for given_x, states, lengths in arguments:
                hx = None if states is None else lstm.sizes.kind.as_given(states)
                assert lstm.path(given_x, hx, lengths=lengths).name == "fast"
                ways: Any = (calls.run_fast, lambda layer, x, hx, n: calls.run(layer, Arguments(x, hx, n)))
                short, long = (gradients_of(lstm, run, given_x, states, lengths) for run in ways)
                for one, same in zip(short, long, strict=True):
                    torch.testing.assert_close(one, same, rtol=0, atol=0)


def gradients_of(lstm: Any, run: Any, x: Tensor, states: Any, lengths: Any) -> list[Tensor | None]:
    """The results of a call, and the gradients of its input, states and weights."""
    x, *states = (value.detach().requires_grad_() for value in (x, *(states or ())))
    out, state = run(lstm, x, lstm.sizes.kind.as_given(states) if states else None, lengths)
    results = [out, *flat_state((out, state))]
    generator = torch.Generator().manual_seed(0)
    grads = [torch.randn(value.shape, generator=generator).to(value) for value in results]
    wanted = [x, *states, *lstm.parameters()]
    return results + list(torch.autograd.grad(results, wanted, grads, allow_unused=True))


def flat_state(result: Any) -> tuple[Tensor, ...]:
    return result[1] if isinstance(result[1], tuple) else (result[1],)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_it_takes_no_mixed_types(dtype: torch.dtype) -> None:
    lstm, x, c0 = hs.LSTM(3, 5).to(dtype), torch.randn(9, 2, 3).to(dtype), torch.zeros(1, 2, 5)
    assert taken(lstm, x, (c0.to(dtype), c0.to(dtype)))
    assert not taken(lstm, x, (c0.to(dtype), c0))
    lstm.bias_hh_l0.data = lstm.bias_hh_l0.float()
    assert not taken(lstm, x)
    assert not taken(hs.LSTM(3, 5), x)
