"""Models with one planted mistake each: every kind of mistake in every architecture that can have it.

Each model reads with a `Reader` (a layer, or a cell in a loop) what its front makes of the example, and a `Head` makes
results of that. A mistake is a name; the code at which it strikes asks for it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import hiddenstate as hs

ROWS, STEPS, WORDS, FEATURES, UNITS, CLASSES = 5, 9, 23, 4, 6, 7
LENGTHS = torch.tensor([9, 5, 7, 3, 6])
READER, HEAD, MODEL = "reader.layer", "head", ""


@dataclass(frozen=True)
class Architecture:
    """What a model is made of."""

    name: str
    layer: Any = nn.LSTM
    tokens: bool = True
    front: str = "embedding"  # or linear, conv
    layers: int = 1
    both: bool = False  # directions
    result: str = "row"  # or step, or step and state: one result for each row, or each step
    packed: bool = False
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def is_cell(self) -> bool:
        """Whether a cell is called in a loop."""
        return self.layer in (nn.LSTMCell, nn.GRUCell, nn.RNNCell, hs.LSTMCell, hs.GRUCell)

    @property
    def is_lstm(self) -> bool:
        """Whether there is a memory c."""
        return self.layer in (nn.LSTM, nn.LSTMCell, hs.LSTM, hs.LSTMCell)


ARCHITECTURES = (
    Architecture("classifier, LSTM"),
    Architecture("classifier, our GRU, two layers", hs.GRU, layers=2),
    Architecture("classifier, convolution in front, GRU", nn.GRU, tokens=False, front="conv"),
    Architecture("classifier, LSTM both ways", both=True),
    Architecture(
        "classifier, our LSTM both ways, two layers", hs.LSTM, tokens=False, front="linear", both=True, layers=2
    ),
    Architecture("classifier, GRU both ways", nn.GRU, both=True),
    Architecture("classifier, our GRU both ways, two layers", hs.GRU, both=True, layers=2),
    Architecture("classifier, RNN both ways, convolution in front", nn.RNN, tokens=False, front="conv", both=True),
    Architecture("tagger, LSTM", result="step"),
    Architecture("tagger, GRU both ways", nn.GRU, both=True, result="step"),
    Architecture("tagger, our LSTM both ways, two layers", hs.LSTM, both=True, layers=2, result="step"),
    Architecture("tagger, RNN both ways", nn.RNN, both=True, result="step"),
    Architecture("tagger, LSTM both ways, convolution in front", tokens=False, front="conv", both=True, result="step"),
    Architecture("forecaster, LSTM, two layers", tokens=False, front="linear", layers=2),
    Architecture("forecaster, our RNN", hs.RNN, tokens=False, front="linear"),
    Architecture("forecaster, our LSTM, three layers", hs.LSTM, tokens=False, front="linear", layers=3),
    Architecture("packed, LSTM", packed=True),
    Architecture("packed, GRU, two layers", nn.GRU, packed=True, layers=2),
    Architecture("packed, our LSTM both ways", hs.LSTM, packed=True, both=True),
    Architecture("packed, RNN both ways", nn.RNN, packed=True, both=True),
    Architecture("packed tagger, LSTM both ways", packed=True, both=True, result="step"),
    Architecture("packed, LSTM, two layers", tokens=False, front="linear", packed=True, layers=2),
    Architecture("packed, our GRU both ways", hs.GRU, packed=True, both=True),
    Architecture("language model, LSTM", result="step and state"),
    Architecture("language model, our GRU, two layers", hs.GRU, layers=2, result="step and state"),
    Architecture("language model, RNN", nn.RNN, result="step and state"),
    Architecture("language model, our LSTM, two layers", hs.LSTM, layers=2, result="step and state"),
    Architecture("language model, GRU", nn.GRU, result="step and state"),
    Architecture("loop, LSTMCell", nn.LSTMCell),
    Architecture("loop, our GRUCell", hs.GRUCell, result="step"),
    Architecture("loop, our LSTMCell", hs.LSTMCell, tokens=False, front="linear", result="step"),
    Architecture("loop, RNNCell", nn.RNNCell, tokens=False, front="conv"),
    Architecture("loop, LSTMCell on numbers", nn.LSTMCell, tokens=False, front="linear", result="step"),
    Architecture("loop, LSTMCell, convolution in front", nn.LSTMCell, tokens=False, front="conv"),
    Architecture("loop, our LSTMCell on tokens", hs.LSTMCell),
)


class Causal(nn.Conv1d):
    """A convolution that reads the present and the past."""

    scatters = False

    def forward(self, x: Tensor) -> Any:
        """Read [N, T, C]."""
        read = super().forward(functional.pad(x.transpose(1, 2), (2, 0)))
        return read.reshape(len(x), x.shape[1], -1) if self.scatters else read.transpose(1, 2)


class Reader(nn.Module):
    """A recurrent layer, or a cell in a loop: [N, T, C] to outputs [N, T, H], h_n and c_n."""

    def __init__(self, arch: Architecture, mistake: str) -> None:
        super().__init__()
        self.arch, self.mistake = arch, mistake
        if arch.is_cell:
            self.layer = arch.layer(UNITS, UNITS)
        else:
            first = mistake not in ("batch_first forgotten", "view of the input", "view of the output")
            dropout = 0.3 if mistake == "dropout in one layer" else 0.0
            self.layer = arch.layer(
                UNITS, UNITS, arch.layers, batch_first=first, bidirectional=arch.both, dropout=dropout
            )
        if mistake == "view of the state":
            self.start = nn.Linear(UNITS, arch.layers * (1 + arch.both) * UNITS)
        self.hidden: Any = None
        if mistake == "layer in a list":
            self.layers = [self.layer]
            del self.layer
        for name, weight in self.named_parameters():
            self._spoil(name, weight)

    def _spoil(self, name: str, weight: Tensor) -> None:
        with torch.no_grad():
            if self.mistake == "forgets at once" and "bias" in name and "layer" in name:
                weight.view(4, -1)[1] = -4.0
            if self.mistake == "saturated" and "weight" in name and "layer" in name:
                weight *= 200
                weight += 60 * weight.sign()
            if self.mistake == "explodes":  # of the gates, all but the candidate are 0.5
                candidate = weight.view(-1, UNITS, *weight.shape[1:])[2 if len(weight) > UNITS else 0]
                values = candidate * 1e-4
                weight.zero_()
                if "weight_hh" in name:
                    values = torch.eye(UNITS) * (12 if len(weight) > UNITS else 2.8)
                if "weight" in name:
                    weight.view(-1, UNITS, UNITS)[2 if len(weight) > UNITS else 0] = values

    def forward(self, x: Tensor, lengths: Tensor | None, state: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Read."""
        m, layer = self.mistake, self.layers[0] if self.mistake == "layer in a list" else self.layer
        if m == "layer made in forward":
            layer = self.arch.layer(UNITS, UNITS, self.arch.layers, batch_first=True, bidirectional=self.arch.both)
        if m == "flipped":
            x = x.flip(1)
        if m == "reads ahead":
            x = torch.cat([x[:, 1:], x[:, -1:]], 1)
        if m == "mean of all steps":
            x = x + x.mean(1, keepdim=True)
        if m == "normalised over rows":
            x = (x - x.mean(0)) / (x.std(0) + 1)
        if m == "no_grad":
            with torch.no_grad():
                return self._read(layer, x, lengths, state)
        out, h, c = self._read(layer, x, lengths, state)
        if m == "detached":
            out, h = out.detach(), h.detach()
        if m == ".data":
            out, h = out.data, h.data
        if m == "through numpy":
            out, h = (torch.from_numpy(part.detach().numpy()) for part in (out, h))
        return out, h, c

    def _read(  # noqa: C901 (a line for each mistake)
        self, layer: Any, x: Tensor, lengths: Tensor | None, state: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        if self.arch.is_cell:
            return self._loop(layer, x)
        m = self.mistake
        n, t, _ = x.shape
        if m in ("state kept", "state kept, detached"):
            state = self.hidden
        sizes = (self.arch.layers * (1 + self.arch.both), n, UNITS)
        if m == "random state":
            h = torch.randn(sizes)
            state = (h, torch.zeros(sizes)) if self.arch.is_lstm else h
        if m == "view of the state":
            h = self.start(x[:, 0]).view(sizes)
            state = (h, torch.zeros(sizes)) if self.arch.is_lstm else h
        if m == "state ignored":
            state = None
        if m == "steps as rows":
            x = x.reshape(n * t, 1, -1)
        if m == "view of the input":
            x = x.reshape(t, n, -1)
        if m == "view of the output":
            x = x.transpose(0, 1)
        if lengths is not None and m in ("no lengths", "last step of all", "mean over padding", "max over padding"):
            lengths = None
        if lengths is not None:
            if m == "lengths less one":
                lengths = (lengths - 1).clamp(min=1)
            order = lengths.argsort(descending=True)
            if m == "sorted rows":
                packed = pack_padded_sequence(x[order], lengths[order], batch_first=True)
            else:
                packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            out, after = layer(packed, state)
            total = None if m == "softmax over padding" else t
            out = pad_packed_sequence(out, batch_first=True, total_length=total)[0]
        else:
            out, after = layer(x, state)
        h, c = after if isinstance(after, tuple) else (after, after)
        if m == "state kept":
            self.hidden = after
        if m == "state kept, detached":
            self.hidden = (h.detach(), c.detach()) if isinstance(after, tuple) else h.detach()
        if m == "steps as rows":
            out = out.reshape(n, t, -1)
            h = torch.stack(out[:, -1].split(UNITS, -1))
        if m in ("view of the input", "view of the output"):
            out = out.reshape(n, t, -1)
        return out, h, c

    def _loop(self, cell: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # noqa: C901 (a line for each mistake)
        m = self.mistake
        if m == "rows as steps":
            x = x.transpose(0, 1)
        zeros = torch.zeros(x.shape[0], UNITS)
        if m == "random state":
            zeros = torch.randn(x.shape[0], UNITS)
        if m in ("state kept", "state kept, detached") and self.hidden is not None:
            h, c = self.hidden
        else:
            h, c = zeros, zeros
        outputs = []
        for t in range(x.shape[1]):
            if m == "state not carried":
                h, c = zeros, zeros
            if m == "detached every step":
                h, c = h.detach(), c.detach()
            if m == ".data every step":
                h, c = h.data, c.data
            if self.arch.is_lstm:
                if m == "c not carried":
                    c = zeros
                if m == "h for c":
                    c = h
                if m == "h and c exchanged":
                    h, c = c, h
                h, c = cell(x[:, t], (h, c))
            else:
                h = cell(x[:, t], h)
            outputs.append(h)
        if m == "state kept":
            self.hidden = h, c
        if m == "state kept, detached":
            self.hidden = h.detach(), c.detach()
        out = torch.stack(outputs, 1)
        if m == "rows as steps":
            out = out.transpose(0, 1)
            h = out[:, -1]
        return out, h[None], c[None]


class Head(nn.Module):
    """Makes results of what was read."""

    def __init__(self, arch: Architecture, mistake: str) -> None:
        super().__init__()
        self.arch, self.mistake = arch, mistake
        wide = UNITS * (1 + arch.both)
        if mistake in ("one direction", "one half"):
            wide = UNITS
        self.linear = nn.Linear(wide, CLASSES)

    def forward(self, out: Tensor, h: Tensor, c: Tensor, lengths: Tensor | None) -> Any:
        """Read the last state, or the output of every step."""
        m = self.mistake
        seen = out if self.arch.result != "row" else self._row(out, h, c, lengths)
        if m == "functional dropout":
            seen = functional.dropout(seen, 0.5)
        if m == "softmax over rows":
            seen = seen.softmax(0)
        if m == "mean over rows":
            seen = seen - seen.mean(0, keepdim=True)
        if m == "constant":
            seen = seen * 0
        if m == "NaN":
            seen = (seen - 10).log()
        if m == "one half":
            seen = seen[..., :UNITS]
        scores = self.linear(seen)
        if m == "softmax before the loss":
            scores = scores.softmax(-1)
        return scores.squeeze() if m == "squeeze without an axis" else scores

    def _row(self, out: Tensor, h: Tensor, c: Tensor, lengths: Tensor | None) -> Any:  # noqa: C901
        m = self.mistake
        if m == "last step of all":
            return out[:, -1]
        if m == "mean over padding":
            return out.mean(1)
        if m == "max over padding":
            return out.amax(1)
        if m == "softmax over padding":
            return (out * out.mean(-1, keepdim=True).softmax(1)).sum(1)
        if m == "first step":
            return out[:, 0]
        if m == "last row":
            return out[-1:].mean(1).expand(len(out), -1)
        if m == "c for h":
            return torch.cat([c[-2], c[-1]], -1) if self.arch.both else c[-1]
        if m == "first layer":
            return torch.cat([h[0], h[1]], -1) if self.arch.both else h[0]
        if m == "one direction":
            return h[-1]
        if m == "last output both ways":
            return out[:, -1]
        if m == "view of h_n":
            return h[-2:].reshape(h.shape[1], -1)
        return torch.cat([h[-2], h[-1]], -1) if self.arch.both else h[-1]


class Model(nn.Module):
    """A front, a reader and a head; with "" for the mistake, a sound model."""

    def __init__(self, arch: Architecture, mistake: str = "") -> None:
        super().__init__()
        self.arch, self.mistake = arch, mistake
        fronts: dict[str, Callable[[], nn.Module]] = {
            "embedding": lambda: nn.Embedding(WORDS, UNITS),
            "linear": lambda: nn.Linear(FEATURES, UNITS),
            "conv": lambda: Causal(FEATURES, UNITS, 3),
        }
        self.front = fronts[arch.front]()
        if mistake == "view of features":
            self.front.scatters = True  # type: ignore[assignment]
        self.reader = Reader(arch, mistake)
        self.head = Head(arch, mistake)

    def forward(self, x: Tensor, lengths: Tensor | None = None, state: Any = None) -> Any:
        """Return a result for each row, or for each step, with the state."""
        features = self.front(x) * (1e4 if self.mistake == "inputs in thousands" else 1)
        out, h, c = self.reader(features, lengths, state)
        result = self.head(out, h, c, lengths)
        if self.arch.result == "step and state":
            return result, ((h, c) if self.arch.is_lstm else h)
        return result


@dataclass(frozen=True)
class Mistake:
    """A planted mistake: what must be found, where, and in which architectures it can be."""

    name: str
    kinds: tuple[str, ...]
    modules: tuple[str, ...]
    fits: Callable[[Architecture], bool]
    arguments: Callable[[Architecture], dict[str, Any]] = lambda arch: {}


def _is_layer(arch: Architecture) -> bool:
    return not arch.is_cell and not arch.packed


def _rows(arch: Architecture) -> bool:
    return arch.result == "row"


def _is_causal(arch: Architecture) -> bool:
    return not _rows(arch) and not arch.packed and not arch.both


def _causal(arch: Architecture) -> dict[str, Any]:
    return {"causal": True}


def _targets(arch: Architecture) -> dict[str, Any]:
    shape = (ROWS,) if _rows(arch) else (ROWS, STEPS)
    return {"targets": torch.randint(0, CLASSES, shape), "loss": _loss}


def _loss(out: Any, targets: Tensor) -> Tensor:
    scores = out[0] if isinstance(out, tuple) else out
    return functional.cross_entropy(scores.flatten(0, -2), targets.flatten())


def _loss_on_wrong_axis(out: Any, targets: Tensor) -> Tensor:
    scores = out[0] if isinstance(out, tuple) else out
    return functional.cross_entropy(scores[..., :CLASSES], targets)


def _padded_loss(arch: Architecture) -> dict[str, Any]:
    return {**_targets(arch), "lengths": LENGTHS}


MISTAKES = (
    Mistake("batch_first forgotten", ("axes-exchanged",), (READER,), _is_layer),
    Mistake("view of the input", ("view-for-transpose",), (READER,), _is_layer),
    Mistake(
        "view of the output",
        ("view-for-transpose",),
        ("reader", READER, "head.linear"),
        lambda a: _is_layer(a) and not _rows(a),
    ),
    Mistake("view of h_n", ("view-for-transpose",), (HEAD, "head.linear"), lambda a: a.both and _rows(a)),
    Mistake("view of features", ("view-for-transpose",), (READER,), lambda a: a.front == "conv"),
    Mistake(
        "view of the state",
        ("view-for-transpose", "axes-exchanged"),
        (READER,),
        lambda a: _is_layer(a) and a.layers * (1 + a.both) > 1,
    ),
    Mistake("rows as steps", ("axes-exchanged",), (READER,), lambda a: a.is_cell),
    Mistake("softmax over rows", ("rows-mixed",), (HEAD,), lambda a: True),
    Mistake("mean over rows", ("rows-mixed",), (HEAD,), lambda a: True),
    Mistake("normalised over rows", ("rows-mixed",), ("reader",), lambda a: not a.packed),
    Mistake("sorted rows", ("rows-out-of-order",), (READER,), lambda a: a.packed),
    Mistake("last row", ("rows-lost",), (HEAD, READER), lambda a: _is_layer(a) and _rows(a)),
    Mistake("squeeze without an axis", ("row-squeezed",), (HEAD,), lambda a: True),
    Mistake("flipped", ("future-read",), ("reader", READER), _is_causal, _causal),
    Mistake("reads ahead", ("future-read",), ("reader", READER), _is_causal, _causal),
    Mistake("mean of all steps", ("future-read",), ("reader", READER), _is_causal, _causal),
    Mistake("state not carried", ("steps-apart",), (READER,), lambda a: a.is_cell),
    Mistake("steps as rows", ("one-step",), (READER,), _is_layer),
    Mistake("first step", ("last-step-unread",), (HEAD, READER), lambda a: not a.both and _rows(a)),
    Mistake("lengths less one", ("last-step-unread",), (READER,), lambda a: a.packed and _rows(a)),
    Mistake("last step of all", ("padding-read",), (HEAD, READER), lambda a: a.packed and _rows(a)),
    Mistake("mean over padding", ("padding-read",), (HEAD, READER), lambda a: a.packed and _rows(a)),
    Mistake("max over padding", ("padding-read",), (HEAD, READER), lambda a: a.packed and _rows(a)),
    Mistake("softmax over padding", ("padding-read",), (HEAD, READER), lambda a: a.packed and _rows(a)),
    Mistake("no lengths", ("padding-read",), (READER,), lambda a: a.packed),
    Mistake("state kept, detached", ("state-kept",), ("reader", READER), lambda a: not a.packed),
    Mistake("state kept", ("graph-grows",), ("reader", READER), lambda a: not a.packed),
    Mistake("random state", ("random-result",), (READER,), lambda a: not a.packed),
    Mistake("functional dropout", ("random-result",), (HEAD,), lambda a: True),
    Mistake("state ignored", ("state-ignored",), (READER,), lambda a: a.result == "step and state"),
    Mistake("c not carried", ("cell-state-lost",), (READER,), lambda a: a.is_cell and a.is_lstm),
    Mistake("h for c", ("cell-state-lost",), (READER,), lambda a: a.is_cell and a.is_lstm),
    Mistake("h and c exchanged", ("cell-state-lost",), (READER,), lambda a: a.is_cell and a.is_lstm),
    Mistake("c for h", ("wrong-state",), (READER,), lambda a: a.is_lstm and _rows(a) and not a.is_cell),
    Mistake("first layer", ("wrong-state",), (READER,), lambda a: a.layers > 1 and _rows(a)),
    Mistake("one direction", ("wrong-state",), (READER,), lambda a: a.both and _rows(a)),
    Mistake("last output both ways", ("wrong-state",), (READER,), lambda a: a.both and _rows(a) and not a.packed),
    Mistake("one half", ("wrong-state",), (READER,), lambda a: a.both),
    Mistake("detached", ("gradient-cut",), (READER,), lambda a: True),
    Mistake(".data", ("gradient-cut",), (READER,), lambda a: True),
    Mistake("no_grad", ("gradient-cut",), (READER,), lambda a: True),
    Mistake("through numpy", ("gradient-cut",), (READER,), lambda a: True),
    Mistake("detached every step", ("gradient-cut",), (READER,), lambda a: a.is_cell),
    Mistake(".data every step", ("gradient-cut",), (READER,), lambda a: a.is_cell),
    Mistake(
        "explodes",
        ("gradient-by-lag",),
        (READER,),
        lambda a: a.layers == 1 and not a.both and not a.packed and a.name != "classifier, convolution in front, GRU",
    ),
    Mistake("saturated", ("gates",), (READER,), lambda a: not a.packed),
    Mistake("inputs in thousands", ("gates",), (READER,), lambda a: not a.packed and a.layers == 1),
    Mistake("forgets at once", ("gates",), (READER,), lambda a: a.is_lstm and not a.packed),
    Mistake("dropout in one layer", ("dropout-never",), (READER,), lambda a: not a.is_cell and a.layers == 1),
    Mistake("layer made in forward", ("layer-made-in-forward",), ("reader",), _is_layer),
    Mistake("layer in a list", ("unregistered",), ("reader", "reader.layers[0]"), lambda a: True),
    Mistake("softmax before the loss", ("loss-of-probabilities",), (HEAD,), lambda a: True, _targets),
    Mistake(
        "loss over padding",
        ("loss-over-padding",),
        (MODEL,),
        lambda a: not _rows(a) and not a.packed,
        _padded_loss,
    ),
    Mistake("classes on the last axis", ("loss-axes",), (MODEL,), lambda a: not _rows(a)),
    Mistake("both directions", ("future-read",), (READER,), lambda a: a.both and not _rows(a), _causal),
    Mistake("targets not shifted", ("target-read",), (MODEL,), lambda a: not _rows(a) and not a.both and a.tokens),
    Mistake("target among the features", ("target-read",), (MODEL,), lambda a: not a.tokens and _rows(a)),
    Mistake("constant", ("constant-result",), (HEAD, READER), lambda a: True),
    Mistake("NaN", ("not-finite",), (HEAD,), lambda a: True),
)


def example_of(arch: Architecture, seed: int = 0) -> tuple[Tensor, ...]:
    """Return what the model is called with."""
    generator = torch.Generator().manual_seed(seed)
    if arch.tokens:
        x = torch.randint(1, WORDS, (ROWS, STEPS), generator=generator)
    else:
        x = torch.randn(ROWS, STEPS, FEATURES, generator=generator)
    if not arch.packed:
        return (x,)
    past = torch.arange(STEPS) >= LENGTHS[:, None]
    x = x.masked_fill(past if arch.tokens else past[..., None], 0)
    return x, LENGTHS


def planted() -> Iterator[tuple[Mistake, Architecture]]:
    """Yield every mistake in every architecture that can have it."""
    for mistake in MISTAKES:
        for arch in ARCHITECTURES:
            if mistake.fits(arch):
                yield mistake, arch


def check_planted(mistake: Mistake, arch: Architecture) -> hs.CheckReport:
    """Check a model with the mistake."""
    torch.manual_seed(1)
    model = Model(arch, mistake.name)
    example = example_of(arch)
    arguments = dict(mistake.arguments(arch))
    if mistake.name == "classes on the last axis":
        arguments = {"targets": torch.randint(0, CLASSES, (ROWS, CLASSES)), "loss": _loss_on_wrong_axis}
        example = (example[0][:, :CLASSES], *example[1:])
        if arch.packed:
            example = (example[0], example[1].clamp(max=CLASSES))
    if mistake.name == "targets not shifted":
        arguments = {"targets": example[0].clone()}
    if mistake.name == "target among the features":
        arguments = {"targets": example[0][:, 0, 2].clone()}
    return hs.check(model, *example, layout="NT" if arch.tokens else "NTC", **arguments)


def is_found(mistake: Mistake, report: hs.CheckReport) -> bool:
    """Whether the mistake was found, and the right module named."""
    return any(f.kind in mistake.kinds and f.module in mistake.modules for f in report.mistakes)
