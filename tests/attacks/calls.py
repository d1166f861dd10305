"""Random calls of layers and cells of every kind, against the reference and torch: outputs, states, records and
gradients."""

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import hiddenstate as hs
from hiddenstate.base.indexing import resolve
from hiddenstate.cells.cell import Gate
from hiddenstate.cells.kinds import CELLS
from hiddenstate.interop.build import build_cell
from support import TOLERANCE, assert_all_close, gradients, pair_of, share

SIZES = (1, 2, 3, 5, 17, 33, 65)
EXTENTS = (1, 2, 3, 4, 5, 6, 7, 17, 65)  # of sequences and batches
DTYPES = (*TOLERANCE, torch.bfloat16)
# Largest error in bfloat16, under autocast and of int8 weights, as a share of the largest value, or of LEAST if that is
# larger; and under autocast, of 1 if that is larger.
COARSE, LEAST, AUTOCAST = 0.1, 0.1, 0.05


class Results(NamedTuple):
    """What a call returns or records, and the gradients of a weighted sum of that."""

    values: list[Tensor]
    gradients: Sequence[Tensor]


class Case:
    """A random layer, or a cell in a loop, with torch's counterpart, and a random call."""

    def __init__(self, seed: int, kind: str | None = None, dtype: torch.dtype | None = None) -> None:
        self.rng = rng = random.Random(seed)
        drawn = rng.choice(list(CELLS)), rng.choice(DTYPES)
        self.kind, self.dtype = CELLS[kind or drawn[0]], dtype or drawn[1]
        self.is_cell = rng.random() < 0.25
        hidden_size = rng.choice(SIZES)
        options: dict[str, Any] = {
            "input_size": rng.choice(SIZES),
            "hidden_size": hidden_size,
            "num_layers": 1 if self.is_cell else rng.randint(1, 3),
            "bias": self.often(),
            "batch_first": self.often(),
            "bidirectional": self.often() and not self.is_cell,
            "dtype": self.dtype,
            "dropout": rng.choice((0.0, 0.0, 0.4)),
        }
        options["dropout"] *= options["num_layers"] > 1  # torch warns of a dropout that has no effect
        if len(self.kind.carried) > 1 and not self.is_cell:
            options["proj_size"] = rng.choice((0, 0, rng.randrange(hidden_size)))
        self.is_autocast = self.dtype is not torch.bfloat16 and rng.random() < 0.1
        self.single = rng.random() < 0.2
        self.T, self.N = rng.choice(EXTENTS), 1 if self.single else rng.choice(EXTENTS)
        self.ours, self.theirs = pair_of(self.kind.name, options, seed)
        self.is_int8 = not self.is_cell and rng.random() < 0.1
        if self.is_int8:
            self.ours = self.ours.quantize()
            self.theirs = self.ours.to_torch() if hasattr(self.ours, "_torch") else self.ours.dequantize()
        self.theirs.train(self.ours.train(rng.random() < 0.7).training)
        self.ours.recompute_gates = self.often()
        self.x = self.strided((self.T, options["input_size"]) if self.single else self.form(options["input_size"]))
        states = self.kind.as_given([self.stretched(units) for units in self.ours.sizes.state_units])
        self.hx = states if self.often() else None
        self.lengths: Tensor | None = None
        self.reset: Tensor | None = None
        if not self.single and not self.is_cell and self.often():
            self.lengths = torch.randint(0, self.T + 1, (self.N,))
        if not self.is_cell and rng.random() < 0.3:
            self.reset = torch.rand((self.T,) if self.single else self.form()) < 0.3
        self.reset_to = self.behind() if self.reset is not None and self.often() else None
        self.edits = [self.edit() for _ in range(rng.choice((0, 0, 0, 1, 3)))]

    @property
    def is_coarse(self) -> bool:
        """Whether results are rounded so much that the reference's differ: both are then compared with float64."""
        return self.is_autocast or self.is_int8 or self.dtype is torch.bfloat16

    @property
    def may_turn(self) -> bool:
        """Whether rounding may move a pre-activation past 0, where relu's derivative changes."""
        return self.kind.name == "RNN_RELU" and (self.is_coarse or self.dtype is not torch.float64)

    def behind(self) -> Any:
        """States after borders, in one of the allowed forms."""
        sizes, rng = self.ours.sizes, self.rng
        step = (self.T,) if self.single else self.form()
        forms = [(len(sizes.layer_directions),), (*step, len(sizes.layer_directions))]
        axes = rng.choice(forms if self.single else [*forms, (len(sizes.layer_directions), self.N)])
        return self.kind.as_given([self.strided((*axes, units)) for units in sizes.state_units])

    def often(self) -> bool:
        return self.rng.random() < 0.5

    def form(self, *features: int) -> tuple[int, ...]:
        return (self.N, self.T, *features) if self.ours.batch_first else (self.T, self.N, *features)

    def strided(self, shape: tuple[int, ...]) -> Tensor:
        """Random numbers in one of many memory layouts."""
        dtype, way = self.dtype, self.rng.randrange(5)
        if way == 0:  # every second feature of more
            x = torch.randn(*shape[:-1], 2 * shape[-1], dtype=dtype)[..., ::2]
        elif way == 1:  # the axes the other way round
            x = torch.randn(shape[::-1], dtype=dtype).permute(*reversed(range(len(shape))))
        elif way == 2:  # one step repeated
            x = torch.randn(1, *shape[1:], dtype=dtype).expand(shape)
        elif way == 3:  # a piece in the middle
            x = torch.randn(shape[0] + 2, *shape[1:], dtype=dtype)[1:-1]
        else:
            x = torch.randn(shape, dtype=dtype)
        return x.detach().requires_grad_(self.often())

    def stretched(self, units: int) -> Tensor:
        """A random initial state."""
        state = torch.randn(len(self.ours.sizes.layer_directions), self.N, units, dtype=self.dtype)
        state = state[:, 0] if self.single else state
        if self.often():
            state = torch.stack([state, state], dim=-1)[..., 0]
        return state.detach().requires_grad_(self.often())

    def edit(self) -> hs.Edit:
        rng, layer = self.rng, self.rng.randrange(self.ours.num_layers)
        reverse = "r" if self.ours.bidirectional and self.often() else ""
        # Where relu may turn, edits leave h as it is, so that this says which side of 0 the pre-activation is on.
        quantity = rng.choice(("h_pre",) if self.may_turn else self.kind.quantities + self.kind.pre_activations)
        units = self.ours.sizes.units(quantity)
        chosen = {"unit": self.index(units), "t": self.index(self.T), "row": self.index(self.N)}
        value: Any = rng.uniform(-1, 1)
        if self.often():
            counts = (torch.arange(size)[self.plain(chosen[name])].numel() for name, size in self.axes(units))
            value = torch.rand([rng.choice((1, count)) for count in counts])
        scope: Any = rng.choice(("write",) if self.may_turn or self.is_cell else ("write", "write", "readout"))
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

    def edits_at(self, t: int) -> Iterator[hs.Edit]:
        """The edits of one step, for a cell, whose calls have one step each."""
        for edit in self.edits:
            steps, value = [*resolve(edit.t, self.T, "t")], edit.value
            if t in steps:
                if isinstance(value, Tensor) and len(value) > 1:
                    value = value[[steps.index(t)]]
                yield replace(edit, t=None, value=value)

    def leaves(self, layer: nn.Module) -> list[Tensor]:
        states = [part for given in (self.hx, self.reset_to) if given is not None for part in self.kind.parts_of(given)]
        weights = [] if self.is_int8 else layer.parameters()  # int8 weights have no gradients
        return [value for value in (self.x, *states, *weights) if value.requires_grad]

    def options(self) -> dict[str, Any]:
        return {"lengths": self.lengths, "reset": self.reset, "reset_to": self.reset_to}

    def ways(self) -> list[str]:
        """The methods that compute the call in our ways."""
        return ["run", "traced", *["run_packed"] * self.can_be_packed, *["stepped"] * self.is_cell]

    def run(self) -> list[Tensor]:
        """Outputs and final states of a plain call."""
        out, state = self.ours(self.x, self.hx, **self.options())
        return [out, *self.kind.parts_of(state)]

    def run_packed(self) -> list[Tensor]:
        """The same for a packed batch."""
        out, state = self.ours(self.packed(), self.hx)
        return [*self.padded(out), *self.kind.parts_of(state)]

    def stepped(self) -> list[Tensor]:
        """The same by steps of a cell with the layer's weights."""
        cell, time = build_cell(self.ours), 1 if self.ours.batch_first and not self.single else 0
        outs, states = list[Tensor](), [] if self.hx is None else [part[0] for part in self.kind.parts_of(self.hx)]
        for t, x in enumerate(self.x.unbind(time)):
            edits = [*self.edits_at(t)]
            with cell.edit(*edits) if edits else nullcontext():
                states = [*self.kind.parts_of(cell(x, self.kind.as_given(states) if states else None))]
            outs.append(states[0])
        return [torch.stack(outs, time), *(part[None] for part in states)]

    def traced(self) -> list[Tensor]:
        """Everything in a trace."""
        trace = self.trace(pre=bool(self.edits))
        assert isinstance(trace.out, Tensor)
        state = self.kind.parts_of(trace.state)
        return [trace.out, *state, *(trace[name] for name in trace), *trace.carried.values()]

    def trace(self, *, pre: bool = False) -> hs.Trace:
        found: hs.Trace = self.ours.trace(self.x, self.hx, **self.options(), pre=pre)
        return found

    def by_torch(self) -> list[Tensor]:
        """What a plain call returns, from torch's layer."""
        out, state = self.theirs(self.x if self.lengths is None else self.packed(), self.hx)
        return [*self.padded(out), *self.kind.parts_of(state)]

    def accelerated(self) -> list[Tensor]:
        """The same from torch's layer on our engine."""
        with hs.accelerate():
            return self.by_torch()

    @property
    def can_be_packed(self) -> bool:
        """Whether a packed batch can represent the call: no empty rows or resets, and no edits of steps that it
        lacks."""
        if self.lengths is None or self.reset is not None or int(self.lengths.min()) < 1:
            return False
        return not self.edits or int(self.lengths.max()) == self.T

    def packed(self) -> PackedSequence:
        assert self.lengths is not None
        return pack_padded_sequence(self.x, self.lengths, batch_first=self.ours.batch_first, enforce_sorted=False)

    def padded(self, out: Tensor | PackedSequence) -> list[Tensor]:
        if isinstance(out, Tensor):
            return [out]
        return [pad_packed_sequence(out, batch_first=self.ours.batch_first, total_length=self.T)[0]]

    def seeded(self, compute: Callable[[], Any]) -> Any:
        """Return a function's result, with the edits in force and the same dropout each time."""
        torch.manual_seed(0)
        edits = self.ours.edit(*self.edits) if self.edits else nullcontext()  # a block slows calls down
        with edits, torch.autocast("cpu", torch.bfloat16, enabled=self.is_autocast):
            return compute()

    def results(self, way: str, layer: nn.Module | None = None) -> Results:
        """What a way computes, and its gradients by the layer's weights, and by inputs and states."""
        values, leaves = self.seeded(getattr(self, way)), self.leaves(layer or self.ours)
        return Results(values, gradients(values, leaves) if leaves else ())

    def by_reference(self, way: str, sides: Sequence[Tensor]) -> Results:
        """The reference's results, with relu's derivative where it is 1 in our call.

        A pre-activation that is rounded past 0 has the other derivative, and then gradients differ by as much as they
        are, however small the error.
        """
        left = iter(sides)
        relu = mock.patch.object(Gate, "__call__", lambda _, pre: pre * next(left)) if sides else nullcontext()
        with hs.backend("reference"), relu:
            found = self.results(way)
        assert not any(True for _ in left)
        return found

    def in_float64(self) -> "Case":
        """The same call of the same numbers in float64; int8 weights as floats."""
        exact = copy.copy(self)
        exact.ours = (self.ours.dequantize() if self.is_int8 else copy.deepcopy(self.ours)).double()
        exact.x, exact.is_autocast = doubled(self.x), False
        for name in ("hx", "reset_to"):
            if (state := getattr(self, name)) is not None:
                setattr(exact, name, self.kind.as_given([doubled(part) for part in self.kind.parts_of(state)]))
        return exact

    def sides(self, way: str, values: Sequence[Tensor]) -> list[Tensor]:
        """On which side of 0 relu's pre-activations are, ``[N, H]``, in the order in which the reference computes
        them."""
        if not self.may_turn:
            return []
        if way == "stepped":
            return [h > 0 for h in values[0].unbind(1 if self.ours.batch_first and not self.single else 0)]
        # Pre-activations are recorded by the reference, which may round to the other side.
        trace = self.seeded(lambda: self.trace(pre=way == "traced" and bool(self.edits)))
        steps = self.T if way != "run_packed" or self.lengths is None else int(self.lengths.max())
        found = []
        for each in self.ours.sizes.layer_directions:
            h = trace.values[f"{each.name}.h"]
            found += [h[t] > 0 for t in each.order(steps)]
        return found

    def has_near_zeros(self) -> bool:
        """Whether relu's derivative may differ in torch."""
        if not self.may_turn or self.is_coarse:
            return self.may_turn
        trace = self.seeded(lambda: self.trace(pre=True))
        pre = torch.cat([value.flatten() for name, value in trace.values.items() if name.endswith("_pre")]).abs()
        return bool((pre[pre > 0] < 3 * TOLERANCE[self.dtype]).any())

    def assert_same(self, got: Results, want: Results, exact: Results | None, what: str) -> None:
        """Compare with the wanted results; given exact ones, allow twice the error of those that are wanted."""
        if exact is None:
            assert_all_close(got.values, want.values, f"{self}: {what}", 3)
            assert_all_close(got.gradients, want.gradients, f"{self}: gradients of {what}", 10)
            return
        for part in Results._fields:
            for k, (one, other, right) in enumerate(zip(*(getattr(r, part) for r in (got, want, exact)), strict=True)):
                assert one.shape == right.shape
                # The reference's states stay float32 under autocast.
                assert one.dtype == other.dtype or self.is_autocast
                bounds = {LEAST: COARSE, 1.0: AUTOCAST} if self.is_autocast else {LEAST: COARSE}
                for least, bound in bounds.items():
                    error, allowed = (share(found.double(), right, least) for found in (one, other))
                    assert error <= max(bound, 2 * allowed), f"{self}: {part} of {what}[{k}] are off by {error:.3g}"

    def compare_with_torch(self, exact: Results | None) -> int:
        """Compare outputs, final states and gradients with torch's, if that supports the call; return how many."""
        if self.reset is not None or self.edits or (self.lengths is not None and not self.can_be_packed):
            return 0
        ways = [*(way for way in self.ways() if way != "traced"), "accelerated"]
        want = self.results("by_torch", self.theirs)
        has_gradients = not self.has_near_zeros()
        for way in ways:
            got = self.results(way, self.theirs if way == "accelerated" else self.ours)
            if not (self.is_autocast and (way == "stepped" or (way == "run" and self.lengths is not None))):
                # Under autocast, torch's types differ for packed batches and for cells.
                assert [value.dtype for value in got.values] == [value.dtype for value in want.values], f"{self}: types"
            if not has_gradients:
                got, want = got._replace(gradients=()), want._replace(gradients=())
                exact = exact and exact._replace(gradients=())
            self.assert_same(got, want, exact, f"{way}, and torch's")
        return len(ways)

    def __str__(self) -> str:
        form = "a cell's steps" * self.is_cell + " autocast" * self.is_autocast
        return f"{self.ours}, {self.dtype}, {self.T} steps, {self.N} rows {form}"


def doubled(value: Tensor) -> Tensor:
    return value.detach().double().requires_grad_(value.requires_grad)


def check_call(seed: int) -> int:
    """Compare one random call; return how many comparisons were made."""
    case, count = Case(seed), 0
    exact_case, exact = case.in_float64() if case.is_coarse else None, dict[str, Results]()
    for way in case.ways():
        got = case.results(way)
        sides = case.sides(way, got.values)
        want = case.by_reference(way, sides)
        if exact_case is not None:
            exact[way] = exact_case.by_reference(way, sides)
        case.assert_same(got, want, exact.get(way), way)
        with torch.no_grad():
            values = case.seeded(getattr(case, way))
        case.assert_same(want._replace(values=values), want, exact.get(way), f"{way} without gradients")
        count += 2
    return count + case.compare_with_torch(exact.get("run"))
