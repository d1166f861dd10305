"""The language model: embedding, LSTM layers and a softmax predict each token from all before it."""

import math
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from itertools import islice
from operator import itemgetter
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy, embedding, linear, log_softmax
from torch.nn.utils.rnn import pad_sequence

from hiddenstate.base.memory import CheckedModule
from hiddenstate.base.modes import evaluating
from hiddenstate.base.validation import AnyState, map_state
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DeviceError, FileFormatError
from hiddenstate.models.building import dropped, locked, made_if_it_fits, without_tokens
from hiddenstate.models.cells import CELL_NAMES
from hiddenstate.models.language.config import LanguageConfig
from hiddenstate.models.language.sampling import DEFAULT_SAMPLING, Array, Chosen, Sampling, chooser, head_scores
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.nn.rnn import new_layer
from hiddenstate.structure.sizes import Sizes, parameter_shapes
from hiddenstate.text.tokens import UNKNOWN_ID, Ids, Tokens
from hiddenstate.tracing.trace import Trace


class Softmax(nn.Module):
    """Scores of all V tokens, from E features each."""

    def __init__(self, features: int, tokens: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(tokens, features).uniform_(-0.1, 0.1))
        self.bias = nn.Parameter(torch.zeros(tokens))

    def embed(self, ids: Tensor) -> Tensor:
        """Return the vectors ``[..., E]`` of tokens: rows of the weight."""
        return embedding(ids, self.weight)

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """From ``[M, E]``, return the logarithm of each token's probability, ``[M, V]``."""
        return log_softmax(linear(hidden, self.weight, self.bias).float(), dim=-1)

    def surprise(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """From ``[M, E]``, return the negative logarithm of the targets' probabilities, ``[M]``, in nats."""
        # Under autocast, bfloat16 would be too imprecise for sums of exponentials.
        return cross_entropy(linear(hidden, self.weight, self.bias).float(), targets, reduction="none")


class AdaptiveSoftmax(nn.AdaptiveLogSoftmaxWithLoss):
    """The adaptive softmax (Grave et al. 2017): frequent tokens have full-size vectors, rarer ones smaller ones.

    Probabilities are exact, but rare tokens take less time and fewer parameters. With tied weights, a rare token's
    vector is also less expressive, because it is limited to a subspace.

    Args:
        features: E.
        tokens: V.
        cutoffs: the ids at which clusters begin; ids must be sorted by decreasing frequency.
        factor: how many times fewer features each cluster has than the previous one.
    """

    def __init__(self, features: int, tokens: int, cutoffs: Sequence[int], factor: float) -> None:
        super().__init__(features, tokens, list(cutoffs), div_value=factor, head_bias=True)
        nn.init.uniform_(self.head.weight, -0.1, 0.1)
        for narrow, rows in self._clusters():
            # This gives the vectors and scores of rare tokens the same magnitude as those of frequent ones.
            nn.init.uniform_(rows.weight, -0.1, 0.1)
            nn.init.normal_(narrow.weight, std=1 / math.sqrt(rows.in_features))

    def embed(self, ids: Tensor) -> Tensor:
        """Return the vectors ``[..., E]`` of tokens: rows of the head, and rows of a cluster projected up."""
        first = self.shortlist_size
        embedded = embedding(ids.clamp(max=first - 1), self.head.weight[:first])
        for number, (narrow, rows) in enumerate(self._clusters()):
            places = self._members(ids, number).nonzero(as_tuple=True)
            if len(places[0]):
                vectors = linear(rows.weight[ids[places] - self.cutoffs[number]], narrow.weight.T)
                embedded = embedded.index_put(places, vectors.to(embedded.dtype))
        return embedded

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """From ``[M, E]``, return the logarithm of each token's probability, ``[M, V]``."""
        head = log_softmax(self.head(hidden).float(), dim=-1)
        first = self.shortlist_size
        parts = [head[:, :first]]
        for number, tail in enumerate(self.tail):
            parts.append(head[:, first + number, None] + log_softmax(tail(hidden).float(), dim=-1))
        return torch.cat(parts, dim=-1)

    def surprise(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """From ``[M, E]``, return the negative logarithm of the targets' probabilities, ``[M]``, in nats."""
        first, in_head = self.shortlist_size, targets
        in_tails = hidden.new_zeros(len(targets), dtype=torch.float32)
        for number, tail in enumerate(self.tail):
            member = self._members(targets, number)
            in_head = in_head.masked_fill(member, first + number)
            (rows,) = member.nonzero(as_tuple=True)
            if len(rows):
                scores = tail(hidden[rows]).float()
                part = cross_entropy(scores, targets[rows] - self.cutoffs[number], reduction="none")
                in_tails = in_tails.index_add(0, rows, part)
        return in_tails + cross_entropy(self.head(hidden).float(), in_head, reduction="none")

    def _clusters(self) -> list[tuple[nn.Linear, nn.Linear]]:
        """Each cluster's projection to fewer features, and the rows that score its tokens."""
        return [tuple(tail) for tail in self.tail]  # type: ignore[arg-type, misc]

    def _members(self, ids: Tensor, number: int) -> Tensor:
        return (ids >= self.cutoffs[number]) & (ids < self.cutoffs[number + 1])


T = TypeVar("T", bound="LanguageModel")

PRECISIONS = ("fp32", "bf16")


class LanguageLoss(NamedTuple):
    """The training loss, and the part of it that measures the model's quality, both in nats per token."""

    mean: Tensor
    surprise: Tensor


class LanguageModel(CheckedModule):
    """An embedding, a stacked LSTM (or GRU, or plain RNN) and a softmax over the next character or word.

    Args:
        config: sizes and rates.
        tokens: the V characters or words.

    Raises:
        ArgumentError: config and tokens have different levels, or a cutoff is not below V.
    """

    kind: ClassVar[str] = "language-model"

    def __init__(self, config: LanguageConfig, tokens: Tokens) -> None:
        super().__init__()
        V, E, H = len(tokens), config.embedding_size, config.hidden_size
        if config.level != tokens.level:
            raise ArgumentError(f"a config of level {config.level} can't have tokens of level {tokens.level}")
        if config.cutoffs and config.cutoffs[-1] >= V:
            raise ArgumentError(f"cutoffs must be below the number of tokens, {V}, got {config.cutoffs[-1]}")
        self.config, self.tokens = config, tokens
        self.embedding = None if config.tied else nn.Embedding(V, E)
        sizes = Sizes(E, H, config.num_layers, cell=CELL_NAMES[config.cell])
        self.lstm: Recurrent[Any, Any] = new_layer(sizes)
        self.project = nn.Linear(H, E, bias=False) if config.tied and E != H else None
        features = E if config.tied else H
        self.head = (
            AdaptiveSoftmax(features, V, config.cutoffs, config.cutoff_factor)
            if config.cutoffs
            else Softmax(features, V)
        )
        # Separate layers without weights, because dropout between layers and of weights is applied at each call.
        self._layers = [new_layer(sizes.of_layer(layer), device="meta") for layer in range(config.num_layers)]

    @classmethod
    def build(cls: type[T], config: LanguageConfig, tokens: Tokens) -> T:
        """Make a new model for these tokens; cutoffs beyond their number are dropped.

        Raises:
            ArgumentError: there is not enough memory for the model.
        """
        cutoffs = tuple(cutoff for cutoff in config.cutoffs if cutoff < len(tokens))
        return made_if_it_fits(lambda: cls(replace(config, cutoffs=cutoffs), tokens))

    def embed(self, ids: Tensor) -> Tensor:
        """Return the LSTM's input ``[T, N, E]`` for ids ``[T, N]``, with dropout in training."""
        vectors: Tensor = self.head.embed(ids) if self.embedding is None else self.embedding(ids)
        if not self.training:
            return vectors
        kept = without_tokens(vectors, ids, len(self.tokens), self.config.token_dropout)
        return locked(kept, self.config.input_dropout)

    def read(self, ids: Tensor, state: AnyState | None = None) -> tuple[Tensor, AnyState]:
        """Read ids ``[T, N]``.

        Args:
            ids: the ids to read.
            state: the state returned by the previous call; zeros by default.

        Returns:
            The last layer's hidden states ``[T, N, H]``, and the state for the next call: ``(h [L, N, H], c [L, N,
            H])`` for an LSTM, ``h`` for other cells.

        Raises:
            ArgumentTypeError: a text is given where ids are expected.
        """
        if isinstance(ids, str):
            raise ArgumentTypeError(
                f"read takes ids [T, N] of tokens, got the text {ids!r:.60}: trace(text) records a run on text, and "
                "tokens.encode(text) gives its ids"
            )
        x = self.embed(ids)
        if not self.training or not (self.config.dropout or self.config.weight_drop):
            out, state = self.lstm(x, state)
            return out, state
        ends, kind = [], self.lstm.sizes.kind
        for layer in range(self.config.num_layers):
            begin = None if state is None else map_state(itemgetter(slice(layer, layer + 1)), state)
            x, end = self._layer(layer, locked(x, self.config.dropout) if layer else x, begin)
            ends.append(kind.parts_of(end))
        return x, kind.as_given([torch.cat(parts) for parts in zip(*ends, strict=True)])

    @torch.no_grad()
    def trace(self, text: str | Sequence[str], **options: Any) -> Trace:
        """Record the LSTM while it reads a text, or a batch of texts, with their tokens at the steps.

        As always, a newline is read before the text. Dropout is off.

        Args:
            text: a text, or a list of texts, one per row.
            options: ``keep``, ``steps``, ``pre`` and ``limit`` of `hiddenstate.LSTM.trace`.

        Raises:
            ArgumentTypeError: the argument is neither a text nor a list of texts.
            ArgumentError: there is no text.
            TraceTooLargeError, NameUnknownError, IndexRangeError: as for `hiddenstate.LSTM.trace`.
        """
        texts = [text] if isinstance(text, str) else list(text)
        if not all(isinstance(part, str) for part in texts):
            raise ArgumentTypeError("trace takes a text or a list of texts; ids of tokens are for read()")
        if not texts:
            raise ArgumentError("there is no text to trace")
        rows = [torch.tensor([self.tokens.start, *self.tokens.encode(part).tolist()]) for part in texts]
        ids = pad_sequence(rows, padding_value=self.tokens.start).to(next(self.parameters()).device)
        words = [[self.tokens.tokens[k] for k in row.tolist()] for row in rows]
        lengths = torch.tensor([len(row) for row in rows])
        with evaluating(self):
            return self.lstm.trace(self.embed(ids), lengths=lengths, tokens=words, **options)

    def forward(self, ids: Tensor, state: AnyState | None = None) -> tuple[Tensor, AnyState]:
        """Predict the token after each of the ids ``[T, N]``.

        Args:
            ids: the ids to read.
            state: the state returned by the previous call; zeros by default.

        Returns:
            Each token's log-probability of being the next, ``[T, N, V]``, and the state for the next call.
        """
        out, state = self.read(ids, state)
        return self.head.log_probabilities(self.features(out)).unflatten(0, ids.shape), state

    def surprise(self, ids: Tensor, targets: Tensor, state: AnyState | None = None) -> tuple[Tensor, AnyState]:
        """Return the surprise of the targets ``[T, N]``, each given the ids read so far.

        Returns:
            The negative logarithm of each target's probability, ``[T, N]``, in nats, and the state for the next call.
        """
        out, state = self.read(ids, state)
        return self.head.surprise(self.features(out), targets.flatten()).view(targets.shape), state

    def loss(self, ids: Tensor, targets: Tensor, state: AnyState | None = None) -> tuple[LanguageLoss, AnyState]:
        """Return the loss over targets ``[T, N]`` (mean surprise plus penalties), and the state for the next call."""
        config = self.config
        out, state = self.read(ids, state)
        shown = locked(out, config.dropout) if self.training else out
        surprise = mean = self.head.surprise(self.features(shown), targets.flatten()).mean()
        if config.activation_penalty:
            mean = mean + config.activation_penalty * shown.float().square().mean()
        if config.change_penalty and len(out) > 1:
            mean = mean + config.change_penalty * out.float().diff(dim=0).square().mean()
        return LanguageLoss(mean, surprise), state

    def features(self, out: Tensor) -> Tensor:
        """Return the softmax's input ``[M, E]`` (``[M, H]`` without tied weights) for hidden states ``[..., H]``."""
        flat = out.flatten(0, -2)
        return flat if self.project is None else self.project(flat)

    def generate(
        self, prompt: str = "", length: int = 200, sampling: Sampling = DEFAULT_SAMPLING, *, precision: str = "fp32"
    ) -> Iterator[str]:
        """Yield the continuation of a prompt, one character or word at a time, each as soon as it is chosen.

        Args:
            prompt: the text to continue, which the model reads after a newline.
            length: the number of characters or words.
            sampling: how to choose them.
            precision: ``fp32``, or ``bf16`` for bfloat16 LSTM weights, which is faster.

        Raises:
            ArgumentError: an argument is out of range, or the model reads backwards.
            DeviceError: the model is not on the CPU.
        """
        read = self.tokens.encode(prompt)
        written = generate(self, read, length, sampling, precision=precision)
        return self.tokens.pieces_of(written, int(read[-1]) if len(read) else None)

    def generate_many(
        self,
        prompt: str = "",
        length: int = 200,
        samples: int = 2,
        sampling: Sampling = DEFAULT_SAMPLING,
        *,
        precision: str = "fp32",
    ) -> list[str]:
        """Return several continuations of a prompt, generated in one batch; the first equals the result of `generate`.

        It has the arguments and errors of `generate`, and ``samples``, the number of texts.
        """
        read = self.tokens.encode(prompt)
        written = np.array(list(generate(self, read, length, sampling, samples, precision)))
        after = int(read[-1]) if len(read) else None
        return [self.tokens.text_of(ids, after) for ids in written.reshape(length, samples).T.tolist()]

    def to_data(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what `from_data` needs besides the weights: the config and the tokens, ready for JSON."""
        return asdict(self.config), self.tokens.to_data()

    @classmethod
    def from_data(cls: type[T], config: Any, vocabulary: Any) -> T:
        """Make a model of what `to_data` returned, with fresh weights; FileFormatError if that is damaged."""
        try:
            return cls(LanguageConfig.from_data(config), Tokens.from_data(vocabulary))
        except ArgumentError as error:
            raise FileFormatError(f"not the description of a language model: {error}") from error

    def _layer(self, layer: int, x: Tensor, state: AnyState | None) -> tuple[Tensor, AnyState]:
        """Run one layer, with some of its recurrent weights dropped."""
        names = parameter_shapes(self.lstm.sizes, layer)
        weights = {f"{stem}_l0": getattr(self.lstm, f"{stem}_l{layer}") for stem in names}
        weights["weight_hh_l0"] = dropped(weights["weight_hh_l0"], self.config.weight_drop)
        return functional_call(self._layers[layer], weights, (x, state))


def generate(
    model: LanguageModel, prompt: Ids, length: int, sampling: Sampling, samples: int = 1, precision: str = "fp32"
) -> Iterator[Chosen]:
    """Yield ids as they are chosen, ``[S]`` for samples, each with random numbers of its own."""
    if length < 0 or samples < 1:
        raise ArgumentError(f"length must be at least 0 and samples at least 1, got {length} and {samples}")
    if precision not in PRECISIONS:
        raise ArgumentError(f"precision must be one of {' '.join(PRECISIONS)}, got {precision!r}")
    if model.config.backward:
        raise ArgumentError("this model reads from the end of a text to its beginning, so it can't continue a prompt")
    if next(model.parameters()).device.type != "cpu":
        raise DeviceError("generation runs on the CPU; move the model there: model.cpu()")
    return islice(_endless(model, prompt, sampling, samples, precision), length)


def _endless(model: LanguageModel, prompt: Ids, sampling: Sampling, samples: int, precision: str) -> Iterator[Chosen]:
    begin, step = reader(model, samples, precision)
    scores, choose = _scores(model, sampling, samples), chooser(sampling, samples, len(model.tokens))
    chosen = choose(scores(begin([model.tokens.start, *prompt.tolist()])))
    while True:
        yield chosen
        chosen = choose(scores(step(chosen)))


def reader(
    model: LanguageModel, samples: int, precision: str
) -> tuple[Callable[[list[int]], Array], Callable[[Chosen], Array]]:
    """Return functions that read a prompt, and one more id, and return the hidden state in the same array."""
    is_single, is_coarse = samples == 1, precision == "bf16"
    lstm = deepcopy(model.lstm).bfloat16() if is_coarse else model.lstm
    stream = lstm.stream(samples)
    with torch.no_grad():
        ids = torch.arange(len(model.tokens))
        vectors = model.head.embed(ids) if model.embedding is None else model.embedding(ids)
        vectors = vectors.to(torch.bfloat16 if is_coarse else vectors.dtype, copy=True)
    hidden = torch.empty((lstm.hidden_size,) if is_single else (samples, lstm.hidden_size))
    shown: Array = hidden.numpy()

    def begin(prompt: list[int]) -> Array:
        chunk = vectors[torch.tensor(prompt), None].expand(-1, samples, -1)
        hidden.copy_(stream.feed(chunk)[-1].view(hidden.shape))
        return shown

    if not is_coarse:
        arrays = vectors.numpy()
        return begin, lambda chosen: stream.step(arrays[chosen], out=shown)
    rows, out = vectors.unbind(), torch.empty_like(hidden, dtype=torch.bfloat16)

    def step(chosen: Chosen) -> Array:
        x = rows[chosen] if is_single else vectors[torch.from_numpy(chosen)]  # NumPy does not support bfloat16
        hidden.copy_(stream.step(x, out=out))
        return shown

    return begin, step


def _scores(model: LanguageModel, sampling: Sampling, samples: int) -> Callable[[Array], Array]:
    """Return a function from hidden state to all scores divided by the temperature, in an array it may reuse."""
    if not isinstance(model.head, AdaptiveSoftmax):
        weight, bias = (part.detach().float().numpy() for part in (model.head.weight.T.contiguous(), model.head.bias))
        project = None if model.project is None else model.project.weight.detach().T.numpy()
        return head_scores(weight, bias, project, sampling, samples)
    scale = 1.0 if sampling.is_greedy else 1 / sampling.temperature

    @torch.no_grad()
    def scores(h: Array) -> Array:
        hidden = torch.from_numpy(h)
        logs = model.head.log_probabilities(model.features(hidden if h.ndim > 1 else hidden[None]))
        scaled: Array = logs.mul_(scale).view(*h.shape[:-1], -1).numpy()
        if not sampling.unknown:
            scaled[..., UNKNOWN_ID] = -np.inf
        return scaled

    return scores
