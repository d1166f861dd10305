"""Random calls, each computed in several ways; and absurd arguments, which are accepted or raise one of our errors.

``python tests/attack.py --only calls`` makes more of the calls.
"""

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

import hiddenstate as hs
from attacks.bits import check_bits
from attacks.calls import check_call
from attacks.state import check_writes, check_writes_before_gradients
from hiddenstate.cells.cell import Cell
from hiddenstate.cells.kinds import CELLS
from hiddenstate.engine import kernels
from hiddenstate.interop.build import build_cell
from hiddenstate.nn.rnn import new_layer
from hiddenstate.structure.sizes import Sizes
from support import seeds

KINDS = ("LSTM", "GRU")  # a pair of states, and one


@pytest.mark.parametrize("seed", seeds(120, quick=40))
def test_a_random_call_is_that_of_the_reference_and_of_torch(seed: int) -> None:
    check_call(seed)


@pytest.mark.skipif(kernels.version() is None, reason="the promises are the engine's")
@pytest.mark.parametrize("seed", seeds(30, quick=10))
def test_results_are_equal_bit_for_bit_wherever_that_is_promised(seed: int) -> None:
    check_bits(seed)


@pytest.mark.parametrize("seed", seeds(20, quick=8))
def test_calls_and_streams_read_weights_as_they_are_after_any_write(seed: int) -> None:
    check_writes(seed)


@pytest.mark.parametrize("seed", seeds(20, quick=8))
def test_a_gradient_after_a_write_is_right_or_refused(seed: int) -> None:
    check_writes_before_gradients(seed)


def freed(*shape: int, dtype: torch.dtype = torch.float32, left: int = 0) -> Tensor:
    value = torch.zeros(shape, dtype=dtype)
    value.untyped_storage().resize_(left)
    return value


def absurd(rng: random.Random) -> Iterator[Any]:
    """Arguments that nobody should pass, and a few that are fine."""
    x = torch.randn(5, 2, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that most of these are new
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


def doors(kind: Cell) -> dict[str, Callable[[Any], Any]]:
    """Places where an argument is passed, of a layer and a cell of a kind."""
    x, h = torch.randn(5, 2, 4), torch.zeros(1, 2, 3)
    layer = new_layer(Sizes(4, 3, cell=kind.name))
    trace, cell, place = layer.trace(x), build_cell(layer), f"l0.{kind.gate_names[0]}"

    def state(part: Any) -> Any:
        return kind.as_given([part, h][: len(kind.carried)])

    def stream() -> Any:
        stream = layer.stream(2)
        stream.step(x[0])
        return stream

    def edited(*edits: hs.Edit) -> Any:
        with layer.edit(*edits):
            return layer(x), layer.stream(2).step(x[0])

    found: dict[str, Callable[[Any], Any]] = {
        "input": lambda a: layer(a),
        "h0": lambda a: layer(x, state(a)),
        "hx": lambda a: layer(x, a),
        "lengths": lambda a: layer(x, lengths=a),
        "reset": lambda a: layer(x, reset=a),
        "path": lambda a: layer.path(a).name,
        "trace": lambda a: layer.trace(a).out,
        "trace's lengths": lambda a: layer.trace(x, lengths=a, tokens=[["a"] * 5] * 2).out,
        "keep": lambda a: layer.trace(x, keep=a).out,
        "place": lambda a: layer.trace(x, keep=[a]).out,
        "steps": lambda a: layer.trace(x, steps=a).out,
        "tokens": lambda a: layer.trace(x, tokens=a).out,
        "tokens, general": lambda a: layer.trace(x, keep=[place], tokens=a).out,
        "T": lambda a: layer.trace_nbytes(a),
        "N": lambda a: layer.trace_nbytes(5, a),
        "nbytes, steps": lambda a: layer.trace_nbytes(10**8, steps=a),
        "pick": lambda a: trace.pick(place, t=a),
        "pick, unit": lambda a: trace.pick(place, unit=a),
        "at": lambda a: trace.at(a, 0),
        "at, unit": lambda a: trace.at(0, a),
        "edit": lambda a: edited(a),
        "edit's place": lambda a: edited(hs.zero(a)),
        "edit's value": lambda a: edited(hs.set(place, to=a)),
        "edit's factor": lambda a: edited(hs.scale(f"l0.{kind.memory}", by=a, scope="readout")),
        "edit's unit": lambda a: edited(hs.zero(place, unit=a)),
        "edit's step": lambda a: edited(hs.zero(place, t=a)),
        "edit's row": lambda a: edited(hs.zero(place, row=a)),
        "patch": lambda a: edited(hs.patch(place, source=trace, source_t=a)),
        "batch": lambda a: layer.stream(a).batch,
        "step": lambda a: stream().step(a),
        "step's out": lambda a: stream().step(x[0], out=a),
        "first step": lambda a: layer.stream(2).step(a),
        "first step's out": lambda a: layer.stream(2).step(x[0], out=a),
        "feed": lambda a: stream().feed(a),
        "state": lambda a: setattr(stream(), "state", a),
        "h": lambda a: setattr(stream(), "state", state(a)),
        "mask": lambda a: stream().reset(a),
        "cell": lambda a: cell(a),
        "cell's h": lambda a: cell(x[0], kind.as_given([a, h[0]][: len(kind.carried)])),
        "cell's hx": lambda a: cell(x[0], a),
    }
    if len(kind.carried) > 1:
        found |= {"c0": lambda a: layer(x, (h, a)), "c": lambda a: setattr(stream(), "state", (h, a))}
    return found


def outcome(door: Callable[[Any], Any], argument: Any) -> list[Tensor] | None:
    """The resulting tensors, or None for one of our errors."""
    try:
        done = door(argument)
    except hs.errors.HiddenStateError as error:
        return None if len(str(error)) < 1000 else pytest.fail(f"a message of {len(str(error))} characters")
    return [value for value in torch.utils._pytree.tree_leaves(done) if isinstance(value, Tensor)]


WAYS = ("fast", "without gradients", "reference")


def tried(kind: str, place: int, way: str) -> bool:
    """Whether `make test` tries a door in a way: each door in one way for LSTMs, and in the next for GRUs."""
    return (place + KINDS.index(kind)) % len(WAYS) == WAYS.index(way)


@pytest.mark.parametrize(
    ("kind", "name", "way"),
    [
        pytest.param(kind, name, way, marks=() if tried(kind, place, way) else pytest.mark.slow)
        for kind in KINDS
        for place, name in enumerate(doors(CELLS[kind]))
        for way in WAYS
    ],
)
def test_an_absurd_argument_is_refused_by_an_error_of_ours_or_served(kind: str, name: str, way: str) -> None:
    door = doors(CELLS[kind])[name]
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
