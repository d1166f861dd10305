"""Random calls, each computed in three ways; and absurd arguments, which are refused by an error of ours or served.

``COUNT=5000 pytest tests/test_attack_calls.py`` runs more of them.
"""

import os
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import hiddenstate as hs
from support import TOLERANCE, assert_all_close, gradients, pair, random_state

COUNT = int(os.environ.get("COUNT", "60"))
SIZES = (1, 2, 3, 5, 17, 33)
QUANTITIES = ("i", "f", "g", "o", "c", "h", "f_pre", "g_pre")


class Case:
    """A random LSTM with torch's beside it, and a random call."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        hidden_size = rng.choice(SIZES)
        options: dict[str, Any] = {
            "input_size": rng.choice(SIZES),
            "hidden_size": hidden_size,
            "num_layers": rng.randint(1, 3),
            "bias": self.often(),
            "batch_first": self.often(),
            "bidirectional": self.often(),
            "proj_size": rng.choice((0, 0, rng.randrange(hidden_size))),
            "dtype": rng.choice(list(TOLERANCE)),
        }
        self.single = rng.random() < 0.2
        self.T, self.N = rng.randint(1, 7), 1 if self.single else rng.randint(1, 5)
        self.ours, self.theirs = pair(options, seed)
        self.ours.train(self.often())
        self.x = self.strided((self.T, options["input_size"]) if self.single else self.form(options["input_size"]))
        h0, c0 = map(self.stretched, random_state(self.ours, self.N))
        self.hx = (h0, c0) if self.often() else None
        self.lengths: Tensor | None = None
        self.reset: Tensor | None = None
        if not self.single and self.often():
            self.lengths = torch.randint(0, self.T + 1, (self.N,))
        if rng.random() < 0.3:
            self.reset = torch.rand((self.T,) if self.single else self.form()) < 0.3
        self.reset_to = self.behind() if self.reset is not None and self.often() else None
        self.edits = [self.edit() for _ in range(rng.choice((0, 0, 0, 1, 3)))]

    def behind(self) -> tuple[Tensor, Tensor]:
        """States behind borders, in one of the forms that they may have."""
        sizes, rng = self.ours.sizes, self.rng
        step = (self.T,) if self.single else self.form()
        forms = [(len(sizes.layer_directions),), (*step, len(sizes.layer_directions))]
        axes = rng.choice(forms if self.single else [*forms, (len(sizes.layer_directions), self.N)])
        h, c = (self.strided((*axes, units)) for units in (sizes.output_size, sizes.hidden_size))
        return h, c

    def often(self) -> bool:
        return self.rng.random() < 0.5

    def form(self, *features: int) -> tuple[int, ...]:
        return (self.N, self.T, *features) if self.ours.batch_first else (self.T, self.N, *features)

    def strided(self, shape: tuple[int, ...]) -> Tensor:
        """Random numbers, which lie in one of many ways."""
        dtype, way = self.ours.weight("l0.W_ii").dtype, self.rng.randrange(5)
        if way == 0:  # every second feature of more
            x = torch.randn(*shape[:-1], 2 * shape[-1], dtype=dtype)[..., ::2]
        elif way == 1:  # the axes the other way round
            x = torch.randn(shape[::-1], dtype=dtype).permute(*reversed(range(len(shape))))
        elif way == 2:  # one step again and again
            x = torch.randn(1, *shape[1:], dtype=dtype).expand(shape)
        elif way == 3:  # a piece in the middle
            x = torch.randn(shape[0] + 2, *shape[1:], dtype=dtype)[1:-1]
        else:
            x = torch.randn(shape, dtype=dtype)
        return x.detach().requires_grad_(self.often())

    def stretched(self, state: Tensor) -> Tensor:
        state = state[:, 0] if self.single else state
        if self.often():
            state = torch.stack([state, state], dim=-1)[..., 0]
        return state.detach().requires_grad_(self.often())

    def edit(self) -> hs.Edit:
        rng, layer = self.rng, self.rng.randrange(self.ours.num_layers)
        reverse = "r" if self.ours.bidirectional and self.often() else ""
        quantity = rng.choice(QUANTITIES)
        units = self.ours.sizes.units(quantity)
        chosen = {"unit": self.index(units), "t": self.index(self.T), "row": self.index(self.N)}
        value: Any = rng.uniform(-1, 1)
        if self.often():
            counts = (torch.arange(size)[self.plain(chosen[name])].numel() for name, size in self.axes(units))
            value = torch.rand([rng.choice((1, count)) for count in counts])
        scope: Any = rng.choice(("write", "write", "readout"))
        return hs.Edit(
            f"l{layer}{reverse}.{quantity}", rng.choice(("set", "scale", "add")), value, **chosen, scope=scope
        )

    def axes(self, units: int) -> tuple[tuple[str, int], ...]:
        return ("t", self.T), ("row", self.N), ("unit", units)

    def plain(self, index: Any) -> Any:
        return slice(None) if index is None else list(index) if isinstance(index, range) else index

    def index(self, size: int) -> Any:
        one, some = self.rng.randrange(-size, size), self.rng.sample(range(size), self.rng.randint(1, size))
        return self.rng.choice((None, one, some, range(self.rng.randint(0, size)), slice(one, None)))

    def leaves(self) -> list[Tensor]:
        states = [*(self.hx or ()), *(self.reset_to or ())]
        return [value for value in (self.x, *states, *self.ours.parameters()) if value.requires_grad]

    def options(self) -> dict[str, Any]:
        return {"lengths": self.lengths, "reset": self.reset, "reset_to": self.reset_to}

    def run(self) -> list[Tensor]:
        """Plainly, without a trace; all that comes out."""
        out, state = self.ours(self.x, self.hx, **self.options())
        return [out, *state]

    def traced(self) -> list[Tensor]:
        trace = self.ours.trace(self.x, self.hx, **self.options(), pre=bool(self.edits))
        assert isinstance(trace.out, Tensor)
        return [trace.out, *trace.state, *(trace[name] for name in trace), *trace.carried.values()]

    def by_torch(self) -> list[Tensor] | None:
        """The same from torch's layer, or None where it does not serve."""
        if self.reset is not None or self.edits or (self.lengths is not None and int(self.lengths.min()) < 1):
            return None
        if self.lengths is None:
            out, state = self.theirs(self.x, self.hx)
            return [out, *state]
        first = self.ours.batch_first
        packed = pack_padded_sequence(self.x, self.lengths, batch_first=first, enforce_sorted=False)
        out, state = self.theirs(packed, self.hx)
        return [pad_packed_sequence(out, batch_first=first, total_length=self.T)[0], *state]


def by_reference(compute: Callable[[], list[Tensor]]) -> list[Tensor]:
    with hs.backend("reference"):
        return compute()


@pytest.mark.parametrize("seed", range(COUNT))
def test_a_random_call_is_that_of_the_reference_and_of_torch(seed: int) -> None:
    case = Case(seed)
    with case.ours.edit(*case.edits):
        for compute in (case.run, case.traced):
            got, want = compute(), by_reference(compute)
            assert_all_close(got, want, f"{case.ours}: {compute.__name__}", slack=3)
            slopes, right = (gradients(values, case.leaves()) for values in (got, want))
            assert_all_close(slopes, right, f"{case.ours}: gradients of {compute.__name__}", slack=10)
        with torch.no_grad():
            assert_all_close(case.run(), want[:3], f"{case.ours}: without gradients", slack=3)
    want_torch = case.by_torch()
    if want_torch is None:
        return
    got = case.run()
    assert_all_close(got, want_torch, f"{case.ours}: torch's", slack=3)
    inputs = case.leaves()[: -len(list(case.ours.parameters()))]
    theirs = gradients(want_torch, [*inputs, *case.theirs.parameters()])
    assert_all_close(gradients(got, case.leaves()), theirs, f"{case.ours}: gradients, torch's", slack=10)


def freed(*shape: int, dtype: torch.dtype = torch.float32, left: int = 0) -> Tensor:
    value = torch.zeros(shape, dtype=dtype)
    value.untyped_storage().resize_(left)
    return value


def absurd(rng: random.Random) -> Iterator[Any]:
    """Arguments that nobody should give, and a few that are fine."""
    x = torch.randn(5, 2, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that most of these are young
        yield from (x.to_sparse(), x[:, 0].to_sparse_csr(), x.to_mkldnn(), x.to("meta"), x.half(), x.double(), x.long())
        yield from (x.bool(), x.bfloat16(), torch.complex(x, x), x[:0], x[..., :3], x[None, None], x.sum(), x.mT)
        yield from (torch.nested.nested_tensor([x[0], x[1]]), torch.nested.nested_tensor([x[0]], layout=torch.jagged))
        yield from (torch.zeros(1, 2, 3).to_sparse(), torch.zeros(1, 2, 3, device="meta"), torch.zeros(0, 2, 3))
    yield from (freed(5, 2, 4), freed(2, 4), freed(1, 2, 3), freed(2, dtype=torch.int64), freed(5, 2, dtype=torch.bool))
    yield from (
        freed(5, 2, 4, left=64),
        freed(2, 4, left=4),
        freed(1, 2, 3, left=23),
        freed(5, 2, dtype=torch.bool, left=9),
    )
    yield from (None, 0, 1, -1, 5, True, 2**62, 2**64, 10**400, 10**5000, -(2**62), 1.5, float("nan"), float("inf"))
    yield from (
        "",
        "l0.f",
        "x" * 10**5,
        b"x",
        object(),
        [],
        (),
        {},
        set(),
        [None],
        [[]],
        ["a"],
        [["a"], 5],
        Fraction(1, 3),
    )
    yield from (range(2**62), range(2**70), range(-3, 2), range(4, 0, -2), slice("a"), slice(0, 5, 0), slice(2**70))
    yield from ([7] * 10**5, [2**70, 1], [1.5, 2], [True, False], (x, x), (x,), [x, None], (freed(1, 2, 3),) * 2)
    yield from (
        np.zeros((2, 4), np.float32),
        np.zeros((2, 4), np.float32)[::-1],
        np.zeros((2, 4), ">f4"),
        np.zeros(3, "O"),
    )
    yield from (np.zeros((2, 4), np.longdouble), np.zeros((2, 4), "M8[s]"), np.zeros((2, 4), np.float32)[:, ::-1])
    yield from (torch.tensor([5, 2]), torch.tensor([5, 9]), torch.tensor([5, -2]), torch.tensor([5, 2], device="meta"))
    yield from (torch.tensor([5, 2], dtype=torch.uint8), torch.tensor(3), rng.random(), rng.randrange(-9, 9))


def doors(lstm: hs.LSTM) -> dict[str, Callable[[Any], Any]]:
    """Where an argument comes in."""
    x, h = torch.randn(5, 2, 4), torch.zeros(1, 2, 3)
    trace, cell = lstm.trace(x), hs.LSTMCell(4, 3)

    def stream() -> Any:
        stream = lstm.stream(2)
        stream.step(x[0])
        return stream

    def edited(*edits: hs.Edit) -> Any:
        with lstm.edit(*edits):
            return lstm(x), lstm.stream(2).step(x[0])

    return {
        "input": lambda a: lstm(a),
        "h0": lambda a: lstm(x, (a, h)),
        "c0": lambda a: lstm(x, (h, a)),
        "hx": lambda a: lstm(x, a),
        "lengths": lambda a: lstm(x, lengths=a),
        "reset": lambda a: lstm(x, reset=a),
        "path": lambda a: lstm.path(a).name,
        "trace": lambda a: lstm.trace(a).out,
        "trace's lengths": lambda a: lstm.trace(x, lengths=a, tokens=[["a"] * 5] * 2).out,
        "keep": lambda a: lstm.trace(x, keep=a).out,
        "place": lambda a: lstm.trace(x, keep=[a]).out,
        "steps": lambda a: lstm.trace(x, steps=a).out,
        "tokens": lambda a: lstm.trace(x, tokens=a).out,
        "tokens, general": lambda a: lstm.trace(x, keep=["l0.f"], tokens=a).out,
        "T": lambda a: lstm.trace_nbytes(a),
        "N": lambda a: lstm.trace_nbytes(5, a),
        "nbytes, steps": lambda a: lstm.trace_nbytes(10**8, steps=a),
        "pick": lambda a: trace.pick("l0.f", t=a),
        "pick, unit": lambda a: trace.pick("l0.f", unit=a),
        "at": lambda a: trace.at(a, 0),
        "at, unit": lambda a: trace.at(0, a),
        "edit": lambda a: edited(a),
        "edit's place": lambda a: edited(hs.zero(a)),
        "edit's value": lambda a: edited(hs.set("l0.f", to=a)),
        "edit's factor": lambda a: edited(hs.scale("l0.c", by=a, scope="readout")),
        "edit's unit": lambda a: edited(hs.zero("l0.f", unit=a)),
        "edit's step": lambda a: edited(hs.zero("l0.f", t=a)),
        "edit's row": lambda a: edited(hs.zero("l0.f", row=a)),
        "patch": lambda a: edited(hs.patch("l0.f", source=trace, source_t=a)),
        "batch": lambda a: lstm.stream(a).batch,
        "step": lambda a: stream().step(a),
        "step's out": lambda a: stream().step(x[0], out=a),
        "first step": lambda a: lstm.stream(2).step(a),
        "first step's out": lambda a: lstm.stream(2).step(x[0], out=a),
        "feed": lambda a: stream().feed(a),
        "state": lambda a: setattr(stream(), "state", a),
        "h": lambda a: setattr(stream(), "state", (a, h)),
        "c": lambda a: setattr(stream(), "state", (h, a)),
        "mask": lambda a: stream().reset(a),
        "cell": lambda a: cell(a),
        "cell's h": lambda a: cell(x[0], (a, h[0])),
        "cell's hx": lambda a: cell(x[0], a),
    }


def outcome(door: Callable[[Any], Any], argument: Any) -> list[Tensor] | None:
    """The tensors that came out, or None for an error of ours."""
    try:
        done = door(argument)
    except hs.errors.HiddenStateError as error:
        return None if len(str(error)) < 1000 else pytest.fail(f"a message of {len(str(error))} characters")
    return [value for value in torch.utils._pytree.tree_leaves(done) if isinstance(value, Tensor)]


@pytest.mark.parametrize("way", ["fast", "without gradients", "reference"])
@pytest.mark.parametrize("name", list(doors(hs.LSTM(4, 3))))
def test_an_absurd_argument_is_refused_by_an_error_of_ours_or_served(name: str, way: str) -> None:
    lstm = hs.LSTM(4, 3)
    door = doors(lstm)[name]
    for argument in absurd(random.Random(name)):
        with torch.set_grad_enabled(way == "fast"), hs.backend("reference") if way == "reference" else nullcontext():
            done = outcome(door, argument)
        with hs.backend("reference"):
            want = outcome(door, argument)
        assert (done is None) == (want is None)
        for got, right in zip(done or (), want or (), strict=True):
            if not got.is_meta:
                torch.testing.assert_close(got, right, rtol=1e-4, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("weight", ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("way", ["auto", "reference"])
def test_a_weight_of_another_type_is_refused(weight: str, dtype: torch.dtype, way: Any) -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(5, 2, 4)
    parameter: nn.Parameter = getattr(lstm, weight)
    parameter.data = parameter.data.to(dtype)
    calls: list[Callable[[], Any]] = [lambda: lstm(x), lambda: lstm.trace(x), lambda: lstm.path(x)]
    calls += [lambda: lstm.stream(2).step(x[0]), lambda: lstm.stream(2).feed(x)]
    for call in calls:
        with hs.backend(way), pytest.raises(hs.errors.DtypeError, match="convert|Convert"):
            call()
