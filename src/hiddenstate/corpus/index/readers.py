"""Readers: how a tagger, a language model or a layer over arrays reads the sequences of a corpus."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hiddenstate.base.files import check_is_file, read_tensors, write_tensors
from hiddenstate.base.memory import check_module_memory
from hiddenstate.base.messages import readable_name
from hiddenstate.base.modes import eval_twin
from hiddenstate.base.reading import reading
from hiddenstate.base.validation import check_memory, check_plain_tensor
from hiddenstate.corpus.fingerprint import model_fingerprint
from hiddenstate.corpus.index.items import MOST_STEPS, NO_LABEL, Item
from hiddenstate.corpus.pieces import cut_text
from hiddenstate.corpus.shards.contents import read_sentences, read_texts
from hiddenstate.corpus.shards.hashes import hash_bytes
from hiddenstate.corpus.shards.plan import Shard
from hiddenstate.errors import ArgumentError, ArgumentTypeError, FileFormatError, ShapeError
from hiddenstate.explain.subject.head import Head, make_head
from hiddenstate.explain.subject.text_sources import _language_head, _tagger_head
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.model_file import SIZES, make_layer
from hiddenstate.models.model_folder import load_any, read_kind, save
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.nn.packed_weights import fingerprint
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

Labels = str | Callable[[Sequence[str]], Sequence[str]] | None


def character_kinds(tokens: Sequence[str]) -> list[str]:
    """Return the kind of each character: ``line end``, ``blank``, ``upper``, ``lower``, ``digit`` or ``sign``.

    >>> character_kinds("A b.")
    ['upper', 'blank', 'lower', 'sign']
    """
    return [
        "line end"
        if each == "\n"
        else "blank"
        if each.isspace()
        else "upper"
        if each.isupper()
        else "lower"
        if each.isalpha()
        else "digit"
        if each.isdigit()
        else "sign"
        for each in tokens
    ]


@dataclass(frozen=True, eq=False)
class TaggerReader:
    """The reader for a tagger, which reads sentences; labels are a column of CoNLL-U. See `Reader`."""

    tagger: Tagger
    labels: Labels = None
    kind: str = Tagger.kind

    @property
    def lstm(self) -> Recurrent[Any, Any]:
        """The layer over words."""
        return self.tagger.lstm

    @cached_property
    def head(self) -> Head:
        """The scores of tags."""
        return _tagger_head(self.tagger)

    @cached_property
    def common(self) -> tuple[str, ...]:
        """The most frequent words, in the form in which they are looked up."""
        return self.tagger.encoder.words.tokens[:COMMON]

    @property
    def labelling(self) -> str:
        """The column, or that there is a function."""
        return _labels_name(self.labels or self.tagger.config.columns[0])

    def items(self, shard: Shard) -> list[Item]:
        """Return the sentences of a shard; sentences of more than 2,048 words are cut."""
        labels = self.labels or self.tagger.config.columns[0]
        found = []
        for sentence in read_sentences(shard):
            forms = sentence.forms
            if callable(labels):
                names = _labelled(labels, forms)
            else:
                names = tuple(label or NO_LABEL for label in sentence.tags(labels))
            starts = range(0, len(forms), LONGEST_SENTENCE)
            found += [Item(forms[k : k + LONGEST_SENTENCE], names[k : k + LONGEST_SENTENCE]) for k in starts]
        return found

    @torch.no_grad()
    def inputs(self, items: Sequence[Item], start: int, stop: int) -> Tensor:
        """Return word vectors ``[T, N, C]``."""
        encoded = self.tagger.encode([item.tokens for item in items])
        return eval_twin(self.tagger).embed(encoded.batch(range(len(items))))[start:stop]

    def folded(self, token: str) -> str:
        """Return the form in which a word is looked up."""
        return self.tagger.encoder.looked_up(token)

    def targets(self, item: Item) -> NDArray[np.int64]:
        """Return the index of each word's tag in the first column, if the labels are those of that column."""
        if callable(self.labels) or self.labelling != self.tagger.config.columns[0]:
            return np.full(len(item.tokens), -1)
        number = {name: k for k, name in enumerate(self.tagger.tag_names)}
        return np.array([number.get(label, -1) for label in item.labels], dtype=np.int64)

    def save(self, folder: Path) -> None:
        """Write the tagger's folder."""
        _save_exactly(self.tagger, folder)

    def fingerprint(self) -> dict[str, Any]:
        """Return the hash of the weights, and the labels."""
        return {"model": self.kind, "weights": model_fingerprint(self.tagger), "labels": self.labelling}


@dataclass(frozen=True, eq=False)
class LanguageReader:
    """The reader for a language model: pieces of at most 2,048 tokens, each read after a newline. See `Reader`."""

    model: LanguageModel
    labels: Labels = None
    kind: str = LanguageModel.kind

    @property
    def lstm(self) -> Recurrent[Any, Any]:
        """The layer over tokens."""
        return self.model.lstm

    @cached_property
    def head(self) -> Head:
        """The scores of the next token."""
        return _language_head(self.model)

    @cached_property
    def common(self) -> tuple[str, ...]:
        """The most frequent tokens."""
        return self.model.tokens.tokens[:COMMON]

    @property
    def labelling(self) -> str:
        """A description of the labels."""
        return _labels_name(self.labels)

    def items(self, shard: Shard) -> list[Item]:
        """Return the pieces of a shard's texts."""
        pieces = [piece for text in read_texts(shard) for piece in cut_text(self.model.tokens, text)]
        return [Item(piece.tokens, self._labels_of(piece.tokens)) for piece in pieces]

    def _labels_of(self, tokens: tuple[str, ...]) -> tuple[str, ...]:
        if self.labels is None:
            return (NO_LABEL,) * len(tokens)
        return _labelled(character_kinds if isinstance(self.labels, str) else self.labels, tokens)

    def ids(self, item: Item) -> Tensor:
        """Return the ids of a piece."""
        level = self.model.tokens.level
        return torch.from_numpy(
            self.model.tokens.ids("".join(item.tokens) if level == "char" else list(item.tokens))
        ).long()

    @torch.no_grad()
    def inputs(self, items: Sequence[Item], start: int, stop: int) -> Tensor:
        """Return token vectors ``[T, N, E]``."""
        rows = [self.ids(item._replace(tokens=item.tokens[start:stop])) for item in items]
        ids = torch.nn.utils.rnn.pad_sequence(rows)
        return eval_twin(self.model).embed(ids)

    def folded(self, token: str) -> str:
        """Return the token."""
        return token

    def targets(self, item: Item) -> NDArray[np.int64]:
        """Return the id of the token after each step."""
        return np.append(self.ids(item).numpy()[1:], -1)

    def save(self, folder: Path) -> None:
        """Write the model's folder."""
        _save_exactly(self.model, folder)

    def fingerprint(self) -> dict[str, Any]:
        """Return the hash of the weights, and the labels."""
        return {"model": self.kind, "weights": model_fingerprint(self.model), "labels": self.labelling}


@dataclass(frozen=True, eq=False)
class LayerReader:
    """The reader for a layer, which reads arrays. See `Reader`.

    Attributes:
        lstm: the layer.
        arrays: the sequences; empty if the index was reopened.
        linear: the layer that reads its outputs, or None.
        names: the names of that layer's outputs.
        softmax: whether a softmax reads that layer's outputs.
    """

    lstm: Recurrent[Any, Any]
    arrays: tuple[Item, ...] = ()
    linear: nn.Linear | None = None
    names: tuple[str, ...] = ()
    kind: str = "lstm"
    common: tuple[str, ...] = ()
    labelling: str = "labels"
    softmax: bool = False

    @cached_property
    def head(self) -> Head | None:
        """The head, if there is a linear layer."""
        return None if self.linear is None else make_head(self.linear, self.names, softmax=self.softmax)

    def items(self, shard: Shard) -> list[Item]:
        """Return the sequences of a shard, in memory that the caller's arrays do not share.

        Raises:
            ArgumentError: they have changed.
        """
        items = [item._replace(data=np.array(item.data)) for item in self.arrays[shard.start : shard.stop]]
        if _hash_items(items) != shard.blake2b:
            raise ArgumentError(f"arrays {shard.start} to {shard.stop - 1} changed while they were being read")
        return items

    def inputs(self, items: Sequence[Item], start: int, stop: int) -> Tensor:
        """Return a part of the arrays ``[T, N, C]``."""
        like = next(iter(self.lstm.state_dict().values()))
        rows = [torch.from_numpy(item.data[start:stop]) for item in items if item.data is not None]
        return torch.nn.utils.rnn.pad_sequence(rows).to(like.dtype if like.is_floating_point() else torch.float32)

    def folded(self, token: str) -> str:
        """Return the token."""
        return token

    def targets(self, item: Item) -> NDArray[np.int64]:
        """Return the index of each step's label among the names."""
        number = {name: k for k, name in enumerate(self.names)}
        return np.array([number.get(label, -1) for label in item.labels], dtype=np.int64)

    def save(self, folder: Path) -> None:
        """Write the layer's weights."""
        folder.mkdir(exist_ok=True)
        metadata = {"names": json.dumps(self.names), "softmax": json.dumps(self.softmax)}
        write_tensors(folder / "layer.safetensors", FORMAT, self._weights(), metadata)

    def fingerprint(self) -> dict[str, Any]:
        """Return the hash of the weights, and of the arrays."""
        return {
            "model": self.kind,
            "weights": fingerprint(self._weights()),
            "arrays": _hash_items(self.arrays),
            "names": list(self.names),
            "softmax": self.softmax,
        }

    def _weights(self) -> dict[str, Tensor]:
        """Return the weights as they are now, also where a parametrization computes them."""
        weights = {f"lstm.{name}": value for name, value in self.lstm._named_weights().items()}
        if self.linear is not None:
            weights["linear.weight"] = self.linear.weight
            if self.linear.bias is not None:
                weights["linear.bias"] = self.linear.bias
        return weights


ModelReader = TaggerReader | LanguageReader | LayerReader


def reader_of(
    model: Any,
    corpus: Any,
    *,
    labels: Any = None,
    tokens: Sequence[Sequence[str]] | None = None,
    head: nn.Linear | None = None,
    names: Sequence[str] | None = None,
    softmax: bool = False,
) -> ModelReader:
    """Return the reader of a model; arguments are those of `hiddenstate.index`.

    Raises:
        ArgumentError: labels, tokens or names do not fit; the model reads backwards.
        ArgumentTypeError: the model or the corpus is of the wrong kind.
        ShapeError: an array or the head has the wrong size.
    """
    if isinstance(model, Tagger | LanguageModel):
        if tokens is not None or head is not None or names is not None or softmax:
            raise ArgumentError(
                "tokens=, head=, names= and softmax= are for a layer over arrays; this model has its own"
            )
        if labels is not None and not isinstance(labels, str) and not callable(labels):
            raise ArgumentTypeError(f"labels must be a name or a function of the tokens, got {type(labels).__name__}")

        if isinstance(model, Tagger):
            if isinstance(labels, str) and labels not in TAG_COLUMNS:
                raise ArgumentError(f"labels must be one of {' '.join(TAG_COLUMNS)}, got {labels!r}")
            return TaggerReader(model, labels)
        if isinstance(labels, str) and labels != "character":
            raise ArgumentError(f"for a text, labels must be 'character' (the kind of each character), got {labels!r}")
        if labels is None and model.config.level == "char":
            labels = "character"
        if model.config.backward:
            raise ArgumentError("this model reads from the end of a text to its beginning; give one that reads forward")
        return LanguageReader(model, labels)
    if not isinstance(model, Recurrent):
        raise ArgumentTypeError(
            "an index needs a hiddenstate.LSTM, GRU or RNN, a tagger or a language model, got "
            f"{readable_name(type(model))}; "
            "hs.convert converts torch layers, and hs.tagger and hs.language_model make models from your own layers"
        )
    _check_softmax(head, softmax=softmax)
    return replace(_layer_reader(model, corpus, labels, tokens, head, names), softmax=softmax)


def _check_softmax(head: nn.Linear | None, *, softmax: bool) -> None:
    """Raise ArgumentError or ArgumentTypeError if a softmax is announced, and no head can feed it."""
    if softmax is not False:
        if head is None:
            raise ArgumentError("softmax= says what reads a head's outputs; give the head too, as head=linear")
        make_head(head, None, softmax=softmax)


def _layer_reader(
    lstm: Recurrent[Any, Any],
    arrays: Any,
    labels: Any,
    tokens: Any,
    head: nn.Linear | None,
    names: Sequence[str] | None,
) -> LayerReader:
    if isinstance(arrays, str | Path) or not isinstance(arrays, Sequence) or not len(arrays):
        raise ArgumentTypeError("a layer reads a list of arrays [T, C], at least one")
    check_module_memory(lstm)
    if head is not None:
        check_module_memory(head)
    label_rows = None if labels is None else _label_rows(labels, len(arrays))
    items = []
    for k, array in enumerate(arrays):
        given_array = check_plain_tensor(_as_tensor(array, f"array {k}"), f"array {k}")
        check_memory(given_array, f"array {k}")
        if given_array.numel() > MOST_NUMBERS:
            raise ArgumentError(f"array {k} has {given_array.numel():,} numbers, but may have at most {MOST_NUMBERS:,}")
        x = (given_array.float() if given_array.dtype == torch.bfloat16 else given_array).detach().cpu().numpy()
        if x.ndim != 2 or x.shape[1] != lstm.sizes.input_size or not 0 < len(x) <= MOST_STEPS:
            raise ShapeError(f"array {k} must be [T, C] with C = {lstm.sizes.input_size}, got {list(x.shape)}")
        if not np.isfinite(x).all():
            raise ArgumentError(f"array {k} has numbers that are infinite or NaN")
        words = tuple(map(str, range(len(x)))) if tokens is None else tuple(map(str, tokens[k]))
        step_labels = (NO_LABEL,) * len(x) if label_rows is None else label_rows[k]
        if len(words) != len(x) or len(step_labels) != len(x):
            lengths = f"there are {len(words)} tokens and {len(step_labels)} labels"
            raise ArgumentError(f"array {k} has {len(x)} steps, but {lengths}")
        items.append(Item(words, step_labels, x))
    if head is not None and head.in_features != lstm.sizes.directions * lstm.sizes.output_size:
        width = lstm.sizes.directions * lstm.sizes.output_size
        raise ShapeError(f"the head reads {head.in_features} features, but the layer outputs {width}")
    count = 0 if head is None else head.out_features
    named = tuple(map(str, names if names is not None else range(count)))
    if len(named) != count:
        raise ArgumentError(f"the head has {count} outputs, but there are {len(named)} names")
    return LayerReader(lstm, tuple(items), head, named)


def _label_rows(labels: Any, count: int) -> list[tuple[str, ...]]:
    if isinstance(labels, str) or not hasattr(labels, "__len__"):
        raise ArgumentTypeError(f"labels must be a list with the labels of each array, got {type(labels).__name__}")
    if len(labels) != count:
        raise ArgumentError(f"labels must be a list with one list for each of the {count} arrays, got {len(labels)}")
    return [_named(row, f"labels[{k}]") for k, row in enumerate(labels)]


def _as_tensor(array: Any, name: str) -> Tensor:
    try:
        tensor = torch.as_tensor(array)
    except (TypeError, ValueError, RuntimeError):
        tensor = None
    if tensor is None or tensor.ndim == 0:
        raise ArgumentTypeError(
            f"{name} must be a tensor or an array of numbers [T, C], got {type(array).__name__}; the index of a layer "
            "has no texts"
        )
    return tensor


def read_item(reader: Any, x: Any) -> Item:
    """Convert one sentence, text or array to a sequence that a reader reads.

    Raises:
        ArgumentError, ArgumentTypeError, ShapeError: it is none of these.
    """
    if isinstance(reader, LayerReader):
        (item,) = _layer_reader(reader.lstm, [x], None, None, None, None).arrays
        return item
    if isinstance(reader, LanguageReader):
        if not isinstance(x, str):
            raise ArgumentTypeError(f"a language model reads a text, got {type(x).__name__}")
        pieces = cut_text(reader.model.tokens, x)
        if len(pieces) != 1:
            raise ArgumentError(f"give a text of at least 1 and fewer than 2,048 tokens, got {len(pieces)} pieces")
        return Item(pieces[0].tokens, (NO_LABEL,) * len(pieces[0].tokens))
    words = tuple(tokenise(x) if isinstance(x, str) else check_sentences([x])[0])
    if not words:
        raise ArgumentError("there is no word to read")
    return Item(words, (NO_LABEL,) * len(words))


def array_shards(reader: LayerReader) -> list[Shard]:
    """Return shards of 512 arrays each."""
    starts = range(0, len(reader.arrays), ARRAYS_TOGETHER)
    parts = [reader.arrays[start : start + ARRAYS_TOGETHER] for start in starts]
    return [
        Shard(k, "", "arrays", start, start + len(part), blake2b=_hash_items(part))
        for k, (start, part) in enumerate(zip(starts, parts, strict=True))
    ]


def _hash_items(items: Sequence[Item]) -> str:
    parts = ((repr((item.tokens, item.labels)).encode(), np.ascontiguousarray(item.data)) for item in items)
    return hash_bytes(chain.from_iterable(parts))


def _save_exactly(model: Tagger | LanguageModel, folder: Path) -> None:
    """Write a model, in float32 if the type in which its config stores weights would round them."""
    save(model, folder)
    if model_fingerprint(load_any(folder)) != model_fingerprint(model):
        exact = eval_twin(model)
        exact.config = replace(model.config, weights_dtype="float32")
        save(exact, folder)


def load_reader(folder: Path, about: Mapping[str, Any]) -> ModelReader:
    """Return a reader with the model that `Reader.save` wrote; its labels are in the index.

    Raises:
        FileFormatError: the model is missing or damaged, or is not the one in the manifest.
    """
    if (folder / "layer.safetensors").is_file():
        reader: ModelReader = _load_layer(folder / "layer.safetensors", about)
    elif not read_kind(folder):
        raise FileFormatError(f"{folder}: the model of the index is missing")
    else:
        model = load_any(folder)
        if isinstance(model, Tagger):
            column = about.get("labels")
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
    of = {
        part: {n.removeprefix(part): v for n, v in tensors.items() if n.startswith(part)}
        for part in ("lstm.", "linear.")
    }
    sizes = about.get("sizes")
    if not isinstance(sizes, dict):
        raise FileFormatError(f"{path}: the manifest has no sizes of the layer")
    lstm = _sized(sizes, of["lstm."], path)
    if not of["linear."]:
        return LayerReader(lstm.eval())
    with reading(path):
        names = tuple(map(str, json.loads(metadata["names"])))
        weight = of["linear."]["weight"]
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in of["linear."], dtype=weight.dtype)
        linear.load_state_dict(of["linear."])
        if len(names) != len(weight):
            raise FileFormatError(f"the head has {len(weight)} outputs, but there are {len(names)} names")
        softmax = json.loads(metadata.get("softmax", "false")) is True and len(weight) > 1
    return LayerReader(lstm.eval(), (), linear, names, softmax=softmax)


def _sized(sizes: Mapping[str, Any], weights: Mapping[str, Tensor], path: Path) -> Layer:
    """Make a layer with the sizes in a manifest, if the weights have these sizes."""
    try:
        known = Sizes(**{name: sizes[name] for name in SIZES}, cell=sizes.get("cell", "LSTM"))
        return make_layer(known, weights)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FileFormatError(f"{path}: the weights are not those of the manifest's sizes") from error


def _unknown_labels(tokens: Sequence[str]) -> Sequence[str]:
    """Stand in for a label function, which is not stored; the index has the labels."""
    return [NO_LABEL] * len(tokens)


def _labelled(function: Callable[[Sequence[str]], Sequence[str]], tokens: Sequence[str]) -> tuple[str, ...]:
    labels = _named(function(tokens), "the result of the function labels=")
    if len(labels) != len(tokens):
        raise ArgumentError(f"labels= returned {len(labels)} labels for {len(tokens)} tokens")
    return labels


def _named(labels: object, name: str) -> tuple[str, ...]:
    return tuple(NO_LABEL if label is None else label for label in label_names(labels, name))


def _labels_name(labels: Labels) -> str:
    return "a function" if callable(labels) else labels or ""
