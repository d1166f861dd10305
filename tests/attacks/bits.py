"""Random layers whose results must be equal bit for bit on every path that promises it (docs/numerics.md)."""

import copy
import pickle
import random
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

import hiddenstate as hs
from hiddenstate.cells.kinds import CELLS
from hiddenstate.nn.rnn import Layer, new_layer
from hiddenstate.structure.sizes import Sizes
from support import gradients

DTYPES = (torch.float32, torch.float32, torch.float64, torch.bfloat16)


class Bits:
    """A random layer and input, and how many results were compared."""

    def __init__(self, seed: int) -> None:
        self.draw = draw = random.Random(f"bits {seed}")
        torch.manual_seed(seed)
        self.is_int8, self.kind = draw.random() < 0.25, CELLS[draw.choice(list(CELLS))]
        hidden_size = draw.choice((1, 3, 17, 65, 128))
        projects = self.kind.name == "LSTM" and not self.is_int8 and draw.random() < 0.2
        sizes = Sizes(
            draw.choice((1, 3, 17, 65)),
            hidden_size,
            draw.randint(1, 2),
            bias=draw.random() < 0.8,
            bidirectional=draw.random() < 0.4,
            proj_size=hidden_size - 1 if projects else 0,
            cell=self.kind.name,
        )
        self.layer = new_layer(sizes, weights="int8" if self.is_int8 else "float")
        self.dtype = torch.float32 if self.is_int8 else draw.choice(DTYPES)
        self.layer.to(self.dtype)
        self.T, self.N = draw.randint(1, 12), draw.choice((1, 2, 3, 17))
        self.x = torch.randn(self.T, self.N, self.layer.input_size).to(self.dtype)
        self.count = 0

    def assert_equal(self, got: Sequence[Tensor], want: Sequence[Tensor], what: str) -> None:
        """Compare all bits."""
        for k, (one, other) in enumerate(zip(got, want, strict=True)):
            assert torch.equal(one, other), f"{self.layer}, {self.dtype}, {self.T} steps, {self.N} rows: {what}[{k}]"
        self.count += 1

    def values(self, layer: Layer | None = None, x: Tensor | None = None) -> list[Tensor]:
        """Output and final states."""
        out, state = (layer or self.layer)(self.x if x is None else x)
        return [out, *self.kind.parts_of(state)]

    def results(self) -> list[Tensor]:
        """Output, final states and gradients."""
        x = self.x.detach().requires_grad_()
        values = self.values(x=x)
        return [*values, *(() if self.is_int8 else gradients(values, [x, *self.layer.parameters()]))]

    def check_threads_and_gradients(self) -> None:
        """Repeats, numbers of threads, recomputed gates."""
        want = self.results()
        self.assert_equal(self.results(), want, "a repeat")
        before = torch.get_num_threads()
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            self.assert_equal(self.results(), want, f"{threads} threads")
        torch.set_num_threads(before)
        self.layer.recompute_gates = True
        self.assert_equal(self.results(), want, "gates computed again")
        self.layer.recompute_gates = False

    def check_modes_and_copies(self) -> None:
        """No gradients, evaluation, traces, constant weights; copies of the layer."""
        want = self.values()
        trace, place = self.layer.trace(self.x), f"l0.{self.kind.memory}"
        self.assert_equal([trace.out, *self.kind.parts_of(trace.state)], want, "a trace")
        with torch.no_grad():
            self.assert_equal(self.values(), want, "no gradients")
            self.assert_equal(self.values(self.layer.eval()), want, "evaluation")
            part = self.layer.trace(self.x, keep=[place], steps=[0])
            self.assert_equal([part[place][0]], [trace[place][0]], "a part of a trace")
            with hs.constant_weights(self.layer):
                for _ in range(2):
                    self.assert_equal(self.values(), want, "constant weights")
        copies = {"a copy": copy.deepcopy(self.layer), "a pickle": pickle.loads(pickle.dumps(self.layer))}
        for what, layer in copies.items():
            self.assert_equal(self.values(layer), want, what)

    def check_rows(self) -> None:
        """Rows by themselves, in another batch, and cut to their lengths."""
        out, *states = self.values()
        row = self.draw.randrange(self.N)
        order = torch.tensor(self.draw.sample(range(self.N), self.draw.randint(1, self.N)))
        for rows in (torch.tensor([row]), order):
            alone = self.values(x=self.x[:, rows])
            self.assert_equal(alone, [value[:, rows] for value in (out, *states)], "rows by themselves")
        lengths = torch.tensor(self.draw.choices(range(self.T + 1), k=self.N))
        ragged, state = self.layer(self.x, lengths=lengths)
        if length := int(lengths[row]):
            alone = [value[:, 0] for value in self.values(x=self.x[:length, row : row + 1])]
            ends = [part[:, row] for part in self.kind.parts_of(state)]
            self.assert_equal([ragged[:length, row], *ends], alone, "lengths")

    def check_streams(self) -> None:
        """Steps, chunks, forks and single rows of a stream; pieces of a sequence."""
        if self.layer.bidirectional:
            return
        with torch.no_grad(), hs.constant_weights(self.layer) if self.draw.random() < 0.3 else nullcontext():
            want = self.values()[0]
            stream = self.layer.stream(batch=self.N)
            self.assert_equal([torch.stack([stream.step(value) for value in self.x])], [want], "steps")
            cut = self.draw.randint(0, self.T)
            stream = self.layer.stream(batch=self.N)
            chunks = [stream.feed(self.x[:cut])] if cut else []
            chunks += [stream.fork().feed(self.x[cut:])] if cut < self.T else []
            self.assert_equal([torch.cat(chunks)], [want], "chunks, and a fork")
            row = self.draw.randrange(self.N)
            stream = self.layer.stream(batch=self.N)
            steps = [stream.step(value[row : row + 1], rows=[row]) for value in self.x]
            self.assert_equal([torch.stack(steps)[:, 0]], [want[:, row]], "steps of one row")
            if 0 < cut < self.T and self.dtype is not torch.bfloat16:  # its cell state is rounded at the end of a call
                first, state = self.layer(self.x[:cut])
                self.assert_equal([torch.cat([first, self.layer(self.x[cut:], state)[0]])], [want], "pieces")


def check_bits(seed: int) -> int:
    """Compare one layer's results; return how many comparisons were made."""
    bits = Bits(seed)
    bits.check_threads_and_gradients()
    bits.check_modes_and_copies()
    bits.check_rows()
    bits.check_streams()
    return bits.count
