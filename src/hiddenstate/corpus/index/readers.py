"""The readers: how a tagger, a language model or a layer reads a corpus. They are stored in the index."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from hiddenstate.base.files import check_is_file, read_tensors, write_tensors
from hiddenstate.base.memory import check_module_memory
from hiddenstate.base.messages import readable_name
from hiddenstate.base.modes import eval_twin
from hiddenstate.base.reading import reading
from hiddenstate.base.validation import check_memory, check_plain_tensor
from hiddenstate.corpus.index.sequences import (
    MOST_STEPS,
    NO_LABEL,
    PIECE,
    WINDOW,
    CorpusItem,
    CorpusReader,
    LabelFunction,
    cut_part,
)
from hiddenstate.corpus.index.series_reader import STEPS_TOGETHER, read_series, series_items
from hiddenstate.corpus.shards.contents import cut_text, read_pieces, read_sentences
from hiddenstate.corpus.shards.plan import Shard, hash_bytes
from hiddenstate.errors import ArgumentError, ArgumentTypeError, FileFormatError, ShapeError
from hiddenstate.explain.subject.head import Head, make_head
from hiddenstate.explain.subject.sources import _language_head, _tagger_head
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.model_file import SIZES, make_layer
from hiddenstate.models.model_folder import float_weights, load_any, load_as, read_kind, save
from hiddenstate.models.series.series_model import SeriesModel
from hiddenstate.models.series.stored import StoredSeries
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.nn.packed_weights import fingerprint, hash_weights, new_hash
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.nn.rnn import Layer
from hiddenstate.structure.sizes import Sizes
from hiddenstate.text.batches import check_sentences
from hiddenstate.text.conllu import TAG_COLUMNS
from hiddenstate.text.labels import label_names
from hiddenstate.text.tokenise import tokenise

MOST_NUMBERS = 1 << 30  # maximum size of one array
COMMON = 127  # maximum number of tokens that are counted
LONGEST_SENTENCE = 2048  # maximum number of words
ARRAYS_TOGETHER = 512  # sequences per shard of arrays
FORMAT = "hiddenstate.layer/1"
LAYER_FILE = "layer.safetensors"


class ModelReader(CorpusReader):
    """A model with its own folder."""

    def save(self, folder: Path) -> None:
        """Write the model, in float32 if the type in which its config stores weights would round them."""
        save(self.model, folder)
        if model_fingerprint(load_any(folder)) != model_fingerprint(self.model):
            exact = eval_twin(self.model)
            exact.config = replace(self.model.config, weights_dtype="float32")
            save(exact, folder)

    def fingerprint(self) -> dict[str, Any]:
        """Return everything that the model's values depend on, ready for JSON."""
        labels = "a function" if callable(self.labels) else self.labels or ""
        return {"model": self.kind, "weights": model_fingerprint(self.model), "labels": labels}


class TaggerReader(ModelReader):
    """A tagger, which reads sentences; labels are a column of CoNLL-U."""

    kind = Tagger.kind
    model: Tagger

    @cached_property
    def head(self) -> Head:
        """The scores of tags."""
        return _tagger_head(self.model)

    @property
    def common(self) -> tuple[str, ...]:
        """The most frequent words, in the form in which they are looked up."""
        return self.model.encoder.words.tokens[:COMMON]

    def items(self, shard: Shard) -> list[CorpusItem]:
        """Return the sentences of a shard; sentences of more than 2,048 words are cut."""
        items = []
        for sentence in read_sentences(shard):
            forms = sentence.forms
            if callable(self.labels):
                labels = _labelled(self.labels, forms)
            else:
                labels = tuple(label or NO_LABEL for label in sentence.tags(self.labels or ""))
            starts = range(0, len(forms), LONGEST_SENTENCE)
            items += [CorpusItem(forms[k : k + LONGEST_SENTENCE], labels[k : k + LONGEST_SENTENCE]) for k in starts]
        return items

    def item(self, x: Any) -> CorpusItem:
        """Return a sentence, given as text or words."""
        words = tuple(tokenise(x) if isinstance(x, str) else check_sentences([x])[0])
        if not words:
            raise ArgumentError("there is no word to read")
        return CorpusItem(words, (NO_LABEL,) * len(words))

    @torch.no_grad()
    def inputs(self, items: Sequence[CorpusItem], start: int, stop: int) -> Tensor:
        """Return word vectors."""
        encoded = self.model.encode([item.tokens for item in items])
        return eval_twin(self.model).embed(encoded.batch(range(len(items))))[start:stop]

    def folded(self, token: str) -> str:
        """Return the form in which a word is looked up."""
        return self.model.encoder.looked_up(token)

    def targets(self, item: CorpusItem) -> NDArray[np.int64]:
        """Return the index of each word's tag in the first column, if the labels are those of that column."""
        if self.labels != self.model.config.columns[0]:
            return np.full(len(item.tokens), -1)
        return _positions(item.labels, self.model.tag_names)


class LanguageReader(ModelReader):
    """A language model, which reads pieces of at most 2,048 tokens, each after a newline."""

    kind = LanguageModel.kind
    model: LanguageModel

    @cached_property
    def head(self) -> Head:
        """The scores of the next token."""
        return _language_head(self.model)

    @property
    def common(self) -> tuple[str, ...]:
        """The most frequent tokens."""
        return self.model.tokens.tokens[:COMMON]

    def items(self, shard: Shard) -> list[CorpusItem]:
        """Return the pieces of a shard's texts."""
        return [CorpusItem(tokens, self._labels_of(tokens)) for tokens, _ in read_pieces(shard, self.model.tokens)]

    def _labels_of(self, tokens: tuple[str, ...]) -> tuple[str, ...]:
        if self.labels is None:
            return (NO_LABEL,) * len(tokens)
        return _labelled(self.labels if callable(self.labels) else character_kinds, tokens)

    def item(self, x: Any) -> CorpusItem:
        """Return a text as one piece."""
        if not isinstance(x, str):
            raise ArgumentTypeError(f"a language model reads a text, got {type(x).__name__}")
        pieces = cut_text(self.model.tokens, x)
        if len(pieces) != 1:
            raise ArgumentError(f"give a text of at least 1 and fewer than 2,048 tokens, got {len(pieces)} pieces")
        return CorpusItem(pieces[0].tokens, (NO_LABEL,) * len(pieces[0].tokens))

    def _ids(self, tokens: Sequence[str]) -> Tensor:
        reads_characters = self.model.tokens.level == "char"
        return torch.from_numpy(self.model.tokens.ids("".join(tokens) if reads_characters else list(tokens))).long()

    @torch.no_grad()
    def inputs(self, items: Sequence[CorpusItem], start: int, stop: int) -> Tensor:
        """Return token vectors."""
        return eval_twin(self.model).embed(pad_sequence([self._ids(item.tokens[start:stop]) for item in items]))

    def targets(self, item: CorpusItem) -> NDArray[np.int64]:
        """Return the id of the token after each step."""
        return np.append(self._ids(item.tokens).numpy()[1:], -1)


@dataclass(frozen=True, eq=False)
class LayerReader(CorpusReader):
    """A layer, which reads arrays, and perhaps the linear layer (with names, before a softmax) that reads it."""

    linear: nn.Linear | None = None
    names: tuple[str, ...] = ()
    softmax: bool = False

    kind: ClassVar[str] = "lstm"

    @property
    def lstm(self) -> Recurrent[Any, Any]:
        """The layer."""
        return self.model

    @cached_property
    def head(self) -> Head | None:
        """The head, if there is a linear layer."""
        return None if self.linear is None else make_head(self.linear, self.names, softmax=self.softmax)

    def items(self, shard: Shard) -> list[CorpusItem]:
        """Return a shard's sequences, if they are unchanged, as copies that share no memory with the caller's."""
        items = [item._replace(data=np.array(item.data)) for item in self.arrays[shard.start : shard.stop]]
        if hash_items(items) != shard.blake2b:
            raise ArgumentError(f"arrays {shard.start} to {shard.stop - 1} changed while they were being read")
        return items

    def item(self, x: Any) -> CorpusItem:
        """Return an array."""
        return _array_items(self.lstm, [x])[0]

    def inputs(self, items: Sequence[CorpusItem], start: int, stop: int) -> Tensor:
        """Return a part of the arrays."""
        like = next(iter(self.lstm.state_dict().values()))
        rows = [torch.from_numpy(item.data[start:stop]) for item in items if item.data is not None]
        return pad_sequence(rows).to(like.dtype if like.is_floating_point() else torch.float32)

    def targets(self, item: CorpusItem) -> NDArray[np.int64]:
        """Return the index of each step's label among the names."""
        return _positions(item.labels, self.names)

    def save(self, folder: Path) -> None:
        """Write the layer's weights."""
        folder.mkdir(exist_ok=True)
        metadata = {"names": json.dumps(self.names), "softmax": json.dumps(self.softmax)}
        write_tensors(folder / LAYER_FILE, FORMAT, self._weights(), metadata)

    def fingerprint(self) -> dict[str, Any]:
        """Return the hash of the weights, and of the arrays."""
        return {
            "model": self.kind,
            "weights": fingerprint(self._weights()),
            "arrays": hash_items(self.arrays),
            "names": list(self.names),
            "softmax": self.softmax,
        }

    def _weights(self) -> dict[str, Tensor]:
        """Return the current weights, including those that a parametrization computes."""
        weights = {f"lstm.{name}": value for name, value in self.lstm._named_weights().items()}
        if self.linear is not None:
            weights["linear.weight"] = self.linear.weight
            if self.linear.bias is not None:
                weights["linear.bias"] = self.linear.bias
        return weights


@dataclass(frozen=True, eq=False)
class SeriesReader(CorpusReader):
    """A series model, which reads frames; it is stored as a network of the simple shape."""

    kind: ClassVar[str] = StoredSeries.kind

    @property
    def lstm(self) -> Recurrent[Any, Any]:
        """The recurrent stack."""
        return self.model.rnn

    @property
    def head(self) -> None:
        """None: a forecast does not choose between outputs."""
        return

    @property
    def window(self) -> int | None:
        """The number of steps that the model reads, if it reads windows."""
        return self.model.config["window"]

    @property
    def lead(self) -> int:
        """The number of steps that are read before a part of a series begins."""
        return (self.window or 1) - 1

    def items(self, shard: Shard) -> list[CorpusItem]:
        """Return the parts of rows in a shard."""
        return [*self.arrays[shard.start : shard.stop]]

    def item(self, x: Any) -> CorpusItem:
        """Return a frame of one row, as one part."""
        items = series_items(self.model, SeriesModel._of_stored(self.model).prepare(x))
        if len(items) != 1:
            raise ArgumentError(
                f"give a frame of one row and at most {STEPS_TOGETHER:,} steps, got {len(items)} rows or parts"
            )
        return items[0]

    def inputs(self, items: Sequence[CorpusItem], start: int, stop: int) -> Tensor:
        """Return what the recurrent stack reads; for windows, with the steps before the first."""
        rows = [torch.from_numpy(item.data[start:stop]) for item in items if item.data is not None]
        with torch.no_grad():
            return eval_twin(self.model).embed(pad_sequence(rows))

    def targets(self, item: CorpusItem) -> NDArray[np.int64]:
        """Return -1 for each step: there is no correct output."""
        return np.full(len(item.tokens), -1)

    def pieces(self, item: CorpusItem) -> list[tuple[int, CorpusItem]]:
        """Return pieces of a part that can be run side by side, because their initial states are known."""
        if item.states is None and self.window is None:
            return [(0, item)]
        length = PIECE if self.window is None else WINDOW
        return [(k, cut_part(item, k, k + length, self.lead)) for k in range(0, len(item.tokens), length)]

    def save(self, folder: Path) -> None:
        """Write the model."""
        save(SeriesModel._of_stored(self.model), folder)

    def fingerprint(self) -> dict[str, Any]:
        """Return everything that the values depend on, ready for JSON."""
        about: dict[str, Any] = {"model": self.kind, "weights": model_fingerprint(self.model)}
        if self.covariates is not None:
            about["covariates"] = self.covariates.about
            about["arrays"] = hash_items(self.arrays, self.covariates.columns)
        return about


def make_reader(
    model: Any,
    corpus: Any,
    *,
    labels: Any = None,
    tokens: Sequence[Sequence[str]] | None = None,
    head: nn.Linear | None = None,
    names: Sequence[str] | None = None,
    softmax: bool = False,
    covariates: Sequence[str] = (),
    lags: Sequence[int] | None = None,
    options: Mapping[str, Any] | None = None,
) -> CorpusReader:
    """Return the reader of a model; arguments and errors are those of `hiddenstate.index`."""
    of_layers = tokens is not None or head is not None or names is not None or softmax
    if isinstance(model, SeriesModel):
        if of_layers or labels is not None:
            raise ArgumentError("labels=, tokens=, head=, names= and softmax= are not for a series model")
        stored, items, compared = read_series(model, corpus, covariates, lags, {**(options or {})})
        return SeriesReader(stored, None, items, compared)
    if covariates or lags is not None or options:
        name = next(iter(options or ()), "lags" if lags is not None else "covariates")
        raise ArgumentTypeError(f"{name}= is for a series model, and this is a {readable_name(type(model))}")
    if isinstance(model, Recurrent):
        return _layer_reader(model, corpus, labels, tokens, head, names, softmax)
    if not isinstance(model, Tagger | LanguageModel):
        raise ArgumentTypeError(
            "an index needs a series model, a hiddenstate.LSTM, GRU or RNN, a tagger or a language model, got "
            f"{readable_name(type(model))}; "
            "hs.convert converts torch layers, and hs.tagger, hs.language_model and hs.series_model make models from "
            "your own modules"
        )
    if of_layers:
        raise ArgumentError("tokens=, head=, names= and softmax= are for a layer over arrays; this model has its own")
    if labels is not None and not isinstance(labels, str) and not callable(labels):
        raise ArgumentTypeError(f"labels must be a name or a function of the tokens, got {type(labels).__name__}")
    if isinstance(model, Tagger):
        if isinstance(labels, str) and labels not in TAG_COLUMNS:
            raise ArgumentError(f"labels must be one of {' '.join(TAG_COLUMNS)}, got {labels!r}")
        return TaggerReader(model, labels or model.config.columns[0])
    return _language_reader(model, labels)


def _language_reader(model: LanguageModel, labels: Any) -> LanguageReader:
    if isinstance(labels, str) and labels != "character":
        raise ArgumentError(f"for a text, labels must be 'character' (the kind of each character), got {labels!r}")
    if model.config.backward:
        raise ArgumentError("this model reads from the end of a text to its beginning; give one that reads forward")
    return LanguageReader(model, "character" if labels is None and model.config.level == "char" else labels)


def _layer_reader(
    lstm: Recurrent[Any, Any],
    arrays: Any,
    labels: Any,
    tokens: Any,
    head: nn.Linear | None,
    names: Sequence[str] | None,
    softmax: bool,
) -> LayerReader:
    if softmax is not False:
        if head is None:
            raise ArgumentError("softmax= describes a head's outputs; give the head too, as head=linear")
        make_head(head, None, softmax=softmax)  # rejects a softmax that this head can't feed
    if head is not None:
        check_module_memory(head)
    items = _array_items(lstm, arrays, labels, tokens)
    width = lstm.sizes.directions * lstm.sizes.output_size
    if head is not None and head.in_features != width:
        raise ShapeError(f"the head reads {head.in_features} features, but the layer outputs {width}")
    count = 0 if head is None else head.out_features
    output_names = tuple(map(str, names if names is not None else range(count)))
    if len(output_names) != count:
        raise ArgumentError(f"the head has {count} outputs, but there are {len(output_names)} names")
    return LayerReader(lstm, None, items, linear=head, names=output_names, softmax=softmax)


def _array_items(
    lstm: Recurrent[Any, Any], arrays: Any, labels: Any = None, tokens: Any = None
) -> tuple[CorpusItem, ...]:
    """Check arrays, and return them as sequences; by default their tokens are the numbers of the steps."""
    if isinstance(arrays, str | Path) or not isinstance(arrays, Sequence) or not len(arrays):
        raise ArgumentTypeError("a layer reads a list of arrays [T, C], at least one")
    check_module_memory(lstm)
    label_rows = None if labels is None else _label_rows(labels, len(arrays))
    items = []
    for k, array in enumerate(arrays):
        x = _as_array(array, f"array {k}")
        if x.ndim != 2 or x.shape[1] != lstm.sizes.input_size or not 0 < len(x) <= MOST_STEPS:
            raise ShapeError(f"array {k} must be [T, C] with C = {lstm.sizes.input_size}, got {list(x.shape)}")
        if not np.isfinite(x).all():
            raise ArgumentError(f"array {k} has numbers that are infinite or NaN")
        words = tuple(map(str, range(len(x)) if tokens is None else tokens[k]))
        step_labels = (NO_LABEL,) * len(x) if label_rows is None else label_rows[k]
        if len(words) != len(x) or len(step_labels) != len(x):
            lengths = f"there are {len(words)} tokens and {len(step_labels)} labels"
            raise ArgumentError(f"array {k} has {len(x)} steps, but {lengths}")
        items.append(CorpusItem(words, step_labels, x))
    return tuple(items)


def _as_array(array: Any, name: str) -> NDArray[Any]:
    try:
        tensor = torch.as_tensor(array)
    except (TypeError, ValueError, RuntimeError):
        tensor = None
    if tensor is None or tensor.ndim == 0:
        raise ArgumentTypeError(
            f"{name} must be a tensor or an array of numbers [T, C], got {type(array).__name__}; the index of a layer "
            "has no texts"
        )
    check_memory(check_plain_tensor(tensor, name), name)
    if tensor.numel() > MOST_NUMBERS:
        raise ArgumentError(f"{name} has {tensor.numel():,} numbers, but may have at most {MOST_NUMBERS:,}")
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().cpu().numpy()


def _label_rows(labels: Any, count: int) -> list[tuple[str, ...]]:
    if isinstance(labels, str) or not hasattr(labels, "__len__"):
        raise ArgumentTypeError(f"labels must be a list with the labels of each array, got {type(labels).__name__}")
    if len(labels) != count:
        raise ArgumentError(f"labels must be a list with one list for each of the {count} arrays, got {len(labels)}")
    return [_named(row, f"labels[{k}]") for k, row in enumerate(labels)]


def array_shards(reader: CorpusReader) -> list[Shard]:
    """Return shards of 512 arrays each, or of parts of a series of 262,144 steps."""
    starts, size = [0], 0
    is_series = reader.covariates is not None
    most = STEPS_TOGETHER if is_series else ARRAYS_TOGETHER
    for k, item in enumerate(reader.arrays):
        more = len(item.tokens) if is_series else 1
        if size and size + more > most:
            starts.append(k)
            size = 0
        size += more
    return [
        Shard(k, "", "arrays", start, stop, blake2b=hash_items(reader.arrays[start:stop]))
        for k, (start, stop) in enumerate(pairwise([*starts, len(reader.arrays)]))
    ]


def load_reader(folder: Path, about: Mapping[str, Any]) -> CorpusReader:
    """Return a reader with the model that was saved, if it is the one in the manifest; the index has the labels."""
    if (folder / LAYER_FILE).is_file():
        reader: CorpusReader = _load_layer(folder / LAYER_FILE, about)
    elif not read_kind(folder):
        raise FileFormatError(f"{folder}: the model of the index is missing")
    elif read_kind(folder) == SeriesReader.kind:
        reader = SeriesReader(load_as(StoredSeries, folder))
    else:
        model, column = load_any(folder), about.get("labels")
        if isinstance(model, Tagger):
            reader = TaggerReader(model, column if column in (*TAG_COLUMNS,) else _unknown_labels)
        else:
            reader = LanguageReader(model, _unknown_labels)
    described = reader.fingerprint()
    for name in ("model", "weights"):
        if described[name] != about.get(name):
            raise FileFormatError(
                f"{folder} is not the model that was indexed: it differs from manifest.json in {name}"
            )
    return reader


def _load_layer(path: Path, about: Mapping[str, Any]) -> LayerReader:
    check_is_file(path)
    tensors, metadata = read_tensors(path, FORMAT)
    lstm_weights, linear_weights = (
        {name.removeprefix(part): value for name, value in tensors.items() if name.startswith(part)}
        for part in ("lstm.", "linear.")
    )
    sizes = about.get("sizes")
    if not isinstance(sizes, dict):
        raise FileFormatError(f"{path}: the manifest has no sizes of the layer")
    lstm = _sized(sizes, lstm_weights, path).eval()
    if not linear_weights:
        return LayerReader(lstm)
    with reading(path):
        names = tuple(map(str, json.loads(metadata["names"])))
        weight = linear_weights["weight"]
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in linear_weights, dtype=weight.dtype)
        linear.load_state_dict(linear_weights)
        if len(names) != len(weight):
            raise FileFormatError(f"the head has {len(weight)} outputs, but there are {len(names)} names")
        softmax = json.loads(metadata.get("softmax", "false")) is True and len(weight) > 1
    return LayerReader(lstm, linear=linear, names=names, softmax=softmax)


def _sized(sizes: Mapping[str, Any], weights: Mapping[str, Tensor], path: Path) -> Layer:
    """Make a layer with the sizes in a manifest, if the weights have these sizes."""
    try:
        known = Sizes(**{name: sizes[name] for name in SIZES}, cell=sizes.get("cell", "LSTM"))
        return make_layer(known, weights)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FileFormatError(f"{path}: the weights are not those of the manifest's sizes") from error


def character_kinds(tokens: Sequence[str]) -> list[str]:
    """Return the kind of each character: ``line end``, ``blank``, ``upper``, ``lower``, ``digit`` or ``sign``.

    >>> character_kinds("A b.")
    ['upper', 'blank', 'lower', 'sign']
    """
    kinds = {token: _character_kind(token) for token in {*tokens}}
    return [kinds[token] for token in tokens]


def _character_kind(token: str) -> str:
    if token == "\n":
        return "line end"
    tests = {"blank": str.isspace, "upper": str.isupper, "lower": str.isalpha, "digit": str.isdigit}
    return next((kind for kind, test in tests.items() if test(token)), "sign")


def _unknown_labels(tokens: Sequence[str]) -> Sequence[str]:
    """Stand in for a label function, which is not stored; the index has the labels."""
    return [NO_LABEL] * len(tokens)


def _labelled(function: LabelFunction, tokens: Sequence[str]) -> tuple[str, ...]:
    labels = _named(function(tokens), "the result of the function labels=")
    if len(labels) != len(tokens):
        raise ArgumentError(f"labels= returned {len(labels)} labels for {len(tokens)} tokens")
    return labels


def _named(labels: object, name: str) -> tuple[str, ...]:
    return tuple(NO_LABEL if label is None else label for label in label_names(labels, name))


def _positions(labels: Sequence[str], names: Sequence[str]) -> NDArray[np.int64]:
    """Return the index of each label among some names; -1 for others."""
    positions = {name: k for k, name in enumerate(names)}
    return np.array([positions.get(label, -1) for label in labels], dtype=np.int64)


def hash_items(items: Sequence[CorpusItem], *arrays: Any) -> str:
    """Return the hash of sequences, and of arrays beside them."""
    parts = ((repr((item.tokens, item.labels)).encode(), np.ascontiguousarray(item.data)) for item in items)
    return hash_bytes(chain(chain.from_iterable(parts), map(np.ascontiguousarray, arrays)))


def model_fingerprint(model: nn.Module) -> str:
    """Return a hash of a model's weights (as loaded, float32, if it has a folder), config and vocabulary."""
    if isinstance(model, Recurrent):
        return fingerprint(model._named_weights())
    if not isinstance(model, Tagger | LanguageModel | StoredSeries):
        return fingerprint({name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)})
    config, vocabulary = model.to_data()
    hasher = new_hash()
    hasher.update(json.dumps([model.kind, {**config, "weights_dtype": ""}, vocabulary], sort_keys=True).encode())
    hash_weights(hasher, {name: value.float() for name, value in float_weights(model).items()})
    return str(hasher.hexdigest())
