"""Random calls, against the reference and torch: outputs, states, records and gradients."""

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import hiddenstate as hs
from support import TOLERANCE, assert_all_close, gradients, pair, random_state, share

SIZES = (1, 2, 3, 5, 17, 33)
QUANTITIES = ("i", "f", "g", "o", "c", "h", "f_pre", "g_pre")
AUTOCAST = 0.05  # tolerance under autocast, as a share of the largest value: bfloat16 has three decimal digits


class Case:
    """A random LSTM with torch's counterpart, and a random call."""

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
            "dropout": rng.choice((0.0, 0.0, 0.4)),
        }
        options["dropout"] *= options["num_layers"] > 1  # torch warns of a dropout that has no effect
        self.is_autocast = rng.random() < 0.1
        self.single = rng.random() < 0.2
        self.T, self.N = rng.randint(1, 7), 1 if self.single else rng.randint(1, 5)
        self.ours, self.theirs = pair(options, seed)
        self.theirs.train(self.ours.train(rng.random() < 0.7).training)
        self.ours.recompute_gates = self.often()
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
        """States after borders, in one of the allowed forms."""
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
        """Random numbers in one of many memory layouts."""
        dtype, way = self.ours.weight("l0.W_ii").dtype, self.rng.randrange(5)
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
        """Outputs and final states of a plain call."""
        out, state = self.ours(self.x, self.hx, **self.options())
        return [out, *state]

    def run_packed(self) -> list[Tensor]:
        """The same for a packed batch."""
        out, state = self.ours(self.packed(), self.hx)
        return [*self.padded(out), *state]

    def traced(self) -> list[Tensor]:
        """Everything in a trace."""
        trace = self.ours.trace(self.x, self.hx, **self.options(), pre=bool(self.edits))
        assert isinstance(trace.out, Tensor)
        return [trace.out, *trace.state, *(trace[name] for name in trace), *trace.carried.values()]

    def by_torch(self) -> list[Tensor] | None:
        """The same from torch's layer, or None if that does not support the call."""
        if self.reset is not None or self.edits or (self.lengths is not None and not self.can_be_packed):
            return None
        out, state = self.theirs(self.x if self.lengths is None else self.packed(), self.hx)
        return [*self.padded(out), *state]

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
        """Return a function's result, with the same dropout each time."""
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.is_autocast):
            return compute()

    def assert_same(self, got: Any, want: Any, what: str, slack: float) -> None:
        if not self.is_autocast:
            assert_all_close(got, want, f"{self.ours}: {what}", slack)
            return
        for k, (one, other) in enumerate(zip(got, want, strict=True)):
            gap = share(one.double(), other.double())  # the reference's states stay float32 under autocast
            assert gap <= AUTOCAST, f"{self.ours}, autocast: {what}[{k}] differ by {gap:.3g} of the largest"


def check_call(seed: int) -> int:
    """Compare one random call; return how many comparisons were made."""
    case, count = Case(seed), 0
    weights = list(case.ours.parameters())
    with case.ours.edit(*case.edits):
        for compute in (case.run, case.traced, *([case.run_packed] if case.can_be_packed else [])):
            name = compute.__name__
            got = case.seeded(compute)
            with hs.backend("reference"):
                want = case.seeded(compute)
            case.assert_same(got, want, name, 3)
            slopes, right = (gradients(values, case.leaves()) for values in (got, want))
            case.assert_same(slopes, right, f"gradients of {name}", 10)
            with torch.no_grad():
                case.assert_same(case.seeded(compute), want, f"{name} without gradients", 3)
            count += 2
    if (wanted := case.seeded(case.by_torch)) is None:
        return count
    for compute in (case.run, *([case.run_packed] if case.can_be_packed else [])):
        got = case.seeded(compute)
        case.assert_same(got, wanted, f"{compute.__name__}, and torch's", 3)
        if case.lengths is None or compute == case.run_packed:  # torch's types differ for packed batches under autocast
            assert [value.dtype for value in got] == [value.dtype for value in wanted], f"{case.ours}: types"
        inputs = case.leaves()[: -len(weights)]
        theirs = gradients(wanted, [*inputs, *case.theirs.parameters()])
        case.assert_same(gradients(got, case.leaves()), theirs, f"gradients of {compute.__name__}, and torch's", 10)
        count += 1
    return count
