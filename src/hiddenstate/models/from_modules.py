"""Copies your own embedding, LSTM, linear layer and vocabulary into a `LanguageModel` or `Tagger`."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding as looked_up
from torch.nn.utils.rnn import PackedSequence

from hiddenstate.base.memory import check_module_memory
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError, ShapeError
from hiddenstate.models.cells import cell_setting
from hiddenstate.models.language.config import LanguageConfig
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.tagger.config import TaggerConfig, check_tags
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.nn.quantised import current_weights
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.nn.rnn import Layer
from hiddenstate.text.tokens import END_TOKEN, UNKNOWN_TOKEN, Tokens
from hiddenstate.text.vocabulary import Vocabulary
from hiddenstate.tracing.traceable import refuse_keras

Names = Sequence[str] | Mapping[str, int]
M = TypeVar("M", bound=nn.Module)

_USUAL_UNKNOWN = (UNKNOWN_TOKEN, "<UNK>", "[UNK]")
_IMPOSSIBLE = -1e4  # a logit whose probability is exactly 0 in float32


def language_model(
    model: nn.Module | tuple[nn.Module, nn.Module, nn.Module],
    tokens: Names,
    *,
    level: str | None = None,
    unknown: str | None = None,
    end: str | None = None,
    example: Any = None,
) -> LanguageModel:
    r"""Make a language model from a trained embedding, LSTM and linear layer, and their tokens.

    The result gives the module's logits, as `LanguageModel` gives them; the weights are copied, as float32, to the CPU.
    Ids are those of ``result.tokens``, in which ``<unk>`` comes first. The linear layer's outputs are treated as
    logits; anything that the module does with them is ignored.

    Args:
        model: a module in which one LSTM, GRU or RNN (torch's or ours; one direction, any number of layers) reads the
            vectors of an embedding ``[V, E]``, and one linear layer ``[V, H]`` reads its outputs, with nothing between
            but dropout; or the three layers, as a tuple ``(embedding, lstm, linear)``. A module is called once to find
            them.
        tokens: the V characters or words, in the order of their ids, or a dict from each to its id.
        level: ``char`` or ``word``; inferred from the tokens if None.
        unknown: the token that stands for unknown ones; ``<unk>``, ``<UNK>`` or ``[UNK]`` if None. If there is no such
            token, one is added: its vector is the mean of the others, and its probability 0.
        end: the end-of-line token, if it is not a line feed (characters) or ``<eos>`` (words). It is read before every
            text; a model without one reads the unknown token there.
        example: an argument for the module's call, or a tuple of several; ids of shape [2, 5] if None.

    Raises:
        ArgumentTypeError: ``model`` is neither a module nor such a tuple, or the tokens are not strings.
        ArgumentError: the LSTM is bidirectional, the module can't be called or has parts that a model folder can't
            store; or a token occurs twice, has no id, or is longer than one character at level ``char``.
        NameUnknownError: ``unknown`` or ``end`` is not a token.
        ShapeError: sizes do not match, or the LSTM has projections.

    >>> layers = nn.Embedding(4, 8), nn.LSTM(8, 16), nn.Linear(16, 4)
    >>> language_model(layers, "ab \n").tokens.tokens
    ('<unk>', 'a', 'b', ' ', '\n')
    """
    parts = find_parts(model, example)
    if parts.lstm.bidirectional:
        raise ArgumentError(
            "a language model reads in one direction; this LSTM is bidirectional, so it has already seen what it "
            "predicts"
        )
    names = _names(tokens, parts.embedding.num_embeddings, "tokens", "the embedding")
    _check_count(names, parts.head.out_features, "tokens", "the linear layer")
    place = _unknown_in(names, unknown)
    known = _tokens(names, place, level, end)
    config = LanguageConfig(
        level=known.level,
        embedding_size=parts.lstm.input_size,
        hidden_size=parts.lstm.hidden_size,
        num_layers=parts.lstm.num_layers,
        cell=cell_setting(parts.lstm.mode),
        input_dropout=0.0,
        dropout=parts.lstm.dropout,
        weights_dtype="float32",
    )
    vectors, weight, bias = _vectors(parts.embedding), _float(parts.head.weight), _bias(parts.head)
    stored = {
        "embedding.weight": _unknown_first(vectors, place, vectors.mean(0)),
        "head.weight": _unknown_first(weight, place, torch.zeros(weight.shape[1])),
        "head.bias": _unknown_first(bias, place, torch.tensor(_IMPOSSIBLE)),
    }
    return _filled(LanguageModel(config, known), stored, parts.lstm)


def tagger(
    model: nn.Module | tuple[nn.Module, nn.Module, nn.Module],
    words: Names,
    tags: Names,
    *,
    column: str = "upos",
    lower_case: bool = False,
    unknown: str | None = None,
    example: Any = None,
) -> Tagger:
    """Make a tagger from a trained embedding, LSTM and linear layer, and their words and tags.

    The result gives the module's logits as probabilities; the weights are copied, as float32, to the CPU. Anything that
    the module does with its linear layer's outputs, such as a CRF, is ignored: each word's tag is the one with the
    largest logit.

    Args:
        model: a module in which one LSTM, GRU or RNN (torch's or ours; one or both directions, any number of layers)
            reads the vectors of an embedding ``[V, E]``, and one linear layer ``[K, D*H]`` reads its outputs, with
            nothing between but dropout; or the three layers, as a tuple ``(embedding, lstm, linear)``. A module is
            called once to find them.
        words: the V words in the order of their ids, or a dict from each to its id; rows without a word are dropped.
        tags: the K tags in the order of their ids, or a dict from each to its id.
        column: the CoNLL-U column of the tags.
        lower_case: whether to look words up in lower case.
        unknown: the word that stands for unknown ones; ``<unk>``, ``<UNK>`` or ``[UNK]`` if None. If there is no such
            word, unknown ones get the mean of all vectors.
        example: an argument for the module's call, or a tuple of several; ids of shape [2, 5] if None.

    Raises:
        ArgumentTypeError: ``model`` is neither a module nor such a tuple, or words or tags are not strings.
        ArgumentError: the module can't be called or has parts that a model folder can't store; or a word or tag occurs
            twice, a tag has no id or is blank, or there is no such column.
        NameUnknownError: ``unknown`` is not a word.
        ShapeError: sizes do not match, or the LSTM has projections.

    >>> layers = nn.Embedding(3, 8), nn.LSTM(8, 16, bidirectional=True), nn.Linear(32, 2)
    >>> tagger(layers, words=["<unk>", "time", "flies"], tags=["NOUN", "VERB"]).columns
    {'upos': ('NOUN', 'VERB')}
    """
    parts = find_parts(model, example)
    rows = _names(words, parts.embedding.num_embeddings, "words", "the embedding")
    labels = [str(tag) for tag in _all_named(_names(tags, parts.head.out_features, "tags", "the linear layer"), "tags")]
    place = _unknown_in(rows, unknown)
    known = [k for k, word in enumerate(rows) if word is not None and k != place]
    config = TaggerConfig(
        columns=(column,),
        word_size=parts.lstm.input_size,
        char_hidden_size=0,
        hidden_size=parts.lstm.hidden_size,
        num_layers=parts.lstm.num_layers,
        cell=cell_setting(parts.lstm.mode),
        bidirectional=parts.lstm.bidirectional,
        lower_case=lower_case,
        dropout=parts.lstm.dropout,
        word_dropout=0.0,
        weights_dtype="float32",
    )
    vectors = _vectors(parts.embedding)
    for_unknown = vectors[known].mean(0) if place is None else vectors[place]
    stored = {
        "word_embedding.weight": torch.cat([torch.zeros(1, len(for_unknown)), for_unknown[None], vectors[known]]),
        "head.weight": _float(parts.head.weight),
        "head.bias": _bias(parts.head),
    }
    vocabulary = Vocabulary(tuple(str(rows[k]) for k in known), (1,) * len(known))
    return _filled(Tagger(config, vocabulary, Vocabulary((), ()), check_tags({column: labels})), stored, parts.lstm)


def _names(names_or_ids: object, count: int, what: str, layer: str) -> list[str | None]:
    """Return the name of each of ``count`` ids; None for ids that are not in a dict."""
    if isinstance(names_or_ids, Mapping):
        names: list[str | None] = [None] * count
        for name, k in names_or_ids.items():
            if type(k) is not int or not 0 <= k < count or names[k] is not None:
                raise ArgumentError(f"{what}[{name!r}] must be a unique id from 0 to {count - 1}, got {k!r}")
            names[k] = name
    elif isinstance(names_or_ids, Sequence):
        names = list(names_or_ids)
        _check_count(names, count, what, layer)
    else:
        raise ArgumentTypeError(
            f"{what} must be a list of strings or a dict from string to id, got {type(names_or_ids).__name__}"
        )
    odd = [name for name in names if not isinstance(name, str | None)]
    if odd:
        raise ArgumentTypeError(f"{what} must be strings, got {odd[0]!r:.60}")
    return names


def _check_count(names: Sequence[object], count: int, what: str, layer: str) -> None:
    if len(names) != count:
        raise ShapeError(f"{layer} has {count} rows, got {len(names)} {what}; give one for each row, in their order")


def _all_named(names: Sequence[str | None], what: str) -> list[str]:
    if None in names:
        raise ArgumentError(f"id {names.index(None)} has no name among the {what}; every output needs one")
    return [name for name in names if name is not None]


def _unknown_in(names: Sequence[str | None], unknown: str | None) -> int | None:
    """Return the id of the unknown token, or None if there is none."""
    if unknown is not None and unknown not in names:
        raise NameUnknownError(f"unknown={unknown!r} is not in the vocabulary")
    candidates = (unknown,) if unknown is not None else _USUAL_UNKNOWN
    return next((names.index(name) for name in candidates if name in names), None)


def _tokens(names: Sequence[str | None], unknown: int | None, level: str | None, end: str | None) -> Tokens:
    others = [name for k, name in enumerate(_all_named(names, "tokens")) if k != unknown]
    if end is not None and end not in others:
        raise NameUnknownError(f"end={end!r} is not in the vocabulary")
    longer = [name for name in others if len(name) != 1 and name != end]
    level = level or ("word" if longer else "char")
    if level == "char" and longer:
        raise ArgumentError(
            f"at level char a token must be one character, got {longer[0]!r}; replace special tokens with characters "
            "that no text contains, such as '\\x00', in tokens="
        )
    line_end = "\n" if level == "char" else END_TOKEN
    shown = [line_end if name == end else name for name in others]
    return Tokens(level, (UNKNOWN_TOKEN, *shown), (int(unknown is not None), *[1] * len(shown)))


def _unknown_first(rows: Tensor, unknown: int | None, added: Tensor) -> Tensor:
    """Return the rows of all tokens, starting with the unknown one's: its own, or ``added`` if there is none."""
    if unknown is None:
        return torch.cat([added[None], rows])
    return torch.cat([rows[unknown, None], rows[:unknown], rows[unknown + 1 :]])


def _vectors(layer: nn.Embedding) -> Tensor:
    """Return the vectors ``[V, E]`` as a lookup returns them, which may clip them to ``max_norm``."""
    weight = _float(layer.weight).clone()
    return looked_up(torch.arange(len(weight)), weight, None, layer.max_norm, layer.norm_type)


def _float(value: Tensor) -> Tensor:
    return value.detach().to("cpu", torch.float32)


def _bias(layer: nn.Linear) -> Tensor:
    return torch.zeros(layer.out_features) if layer.bias is None else _float(layer.bias)


def _filled(model: M, stored: Mapping[str, Tensor], lstm: nn.LSTM | nn.GRU | nn.RNN | Layer) -> M:
    """Load weights into a new model; biases that the layer lacks are zero."""
    theirs = current_weights(lstm)
    empty = model.state_dict()
    weights = {
        name: _float(theirs[name[5:]]) if name[5:] in theirs else torch.zeros_like(empty[name])
        for name in empty
        if name.startswith("lstm.")
    }
    model.load_state_dict({**stored, **weights})
    return model.eval()


_KINDS = ((nn.Embedding,), (nn.LSTM, nn.GRU, nn.RNN, Recurrent), (nn.Linear,))
_NAMES = ("embedding", "LSTM", "linear layer")
_EXAMPLE = (2, 5)  # rows and steps, in either order
_OTHERWISE = (
    "Explain and show such a model as it is: hs.convert(module), then hs.explain.subject(module, ids, tokens=..., "
    "labels=...) and hs.studio(module, x=ids)"
)


class ModelParts(NamedTuple):
    """An embedding ``[V, E]``, the LSTM that reads its vectors, and the linear layer that reads the LSTM's outputs."""

    embedding: nn.Embedding
    lstm: nn.LSTM | nn.GRU | nn.RNN | Layer
    head: nn.Linear


class _Call(NamedTuple):
    """One call of a layer: its arguments and its output, each as the set of its rows."""

    layer: nn.Module
    read: frozenset[bytes]
    gives: frozenset[bytes]
    state: Any


def find_parts(model: object, example: Any = None) -> ModelParts:
    """Find the embedding, the LSTM that reads its vectors, and the head that reads its outputs, by one call."""
    if isinstance(model, tuple):
        parts = _check_layers(model)
        check_module_memory(nn.ModuleList([*parts]))
        return _checked(parts)
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(
            f"expected a module, or its layers as a tuple (embedding, lstm, linear); got {type(model).__name__}"
        )
    refuse_keras(model)
    _check_present(model)
    check_module_memory(model)
    calls = _called(model, _random_ids(model) if example is None else example)
    return _checked(_only(_chains(calls), type(model).__name__))


def _check_layers(layers: tuple[object, ...]) -> ModelParts:
    if len(layers) != len(_KINDS) or not all(map(isinstance, layers, _KINDS)):
        got = ", ".join(type(layer).__name__ for layer in layers)
        raise ArgumentTypeError(
            f"expected the layers (nn.Embedding, nn.LSTM or hs.LSTM (or GRU, RNN), nn.Linear), got ({got})"
        )
    return ModelParts(*layers)  # type: ignore[arg-type]


def _check_present(module: nn.Module) -> None:
    for kinds, name in zip(_KINDS, _NAMES, strict=True):
        if not any(isinstance(part, kinds) for part in module.modules()):
            raise ArgumentError(
                f"this {type(module).__name__} contains no {name}; expected a module with an nn.Embedding, an LSTM "
                f"that reads its vectors and an nn.Linear that reads the LSTM's outputs. {_OTHERWISE}"
            )


def _random_ids(module: nn.Module) -> Tensor:
    fewest = min(part.num_embeddings for part in module.modules() if isinstance(part, nn.Embedding))
    device = next(module.parameters()).device
    return torch.randint(fewest, _EXAMPLE, generator=torch.Generator().manual_seed(0)).to(device)


def _called(module: nn.Module, example: Any) -> list[_Call]:
    """Call a module, in eval mode, and return the calls of its layers."""
    calls: list[_Call] = []
    training = {part: part.training for part in module.modules()}

    def watch(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        inputs = (*args, *kwargs.values())
        out, state = result[0] if isinstance(result, tuple) else result, inputs[1:2]
        hx = state[0] if state else None
        calls.append(_Call(layer, _rows(inputs[0]), _rows(out), (hx,) if isinstance(hx, Tensor) else hx))

    with ExitStack() as cleanup, torch.no_grad():
        for part in module.modules():
            if isinstance(part, tuple(kind for kinds in _KINDS for kind in kinds)):
                cleanup.callback(part.register_forward_hook(watch, with_kwargs=True).remove)
        cleanup.callback(lambda: [part.train(mode) for part, mode in training.items() if part.training != mode])
        module.eval()
        try:
            module(*(example if isinstance(example, tuple) else (example,)))
        except Exception as error:
            what = "ids of shape [2, 5]" if isinstance(example, Tensor) else "the example"
            raise ArgumentError(
                f"this {type(module).__name__} can't be called with {what} ({type(error).__name__}: {error}); give "
                "its argument as example=, or the layers themselves: (embedding, lstm, linear)"
            ) from error
    return calls


def _rows(value: Tensor | PackedSequence) -> frozenset[bytes]:
    """Return the distinct vectors of a tensor ``[..., F]`` or a packed sequence, without zero vectors (padding)."""
    tensor = value.data if isinstance(value, PackedSequence) else value
    flat = tensor.detach().cpu().double().reshape(-1, tensor.shape[-1] if tensor.ndim else 1)
    return frozenset(row.tobytes() for row in flat[flat.any(dim=1)].numpy())


def _chains(calls: list[_Call]) -> list[tuple[_Call, _Call, _Call]]:
    """Return every chain of calls in which each layer reads only the previous one's output."""
    of_kind = [[call for call in calls if isinstance(call.layer, kinds)] for kinds in _KINDS]
    return [
        (vectors, lstm, head)
        for lstm in of_kind[1]
        for vectors in of_kind[0]
        if lstm.read <= vectors.gives
        for head in of_kind[2]
        if head.read <= lstm.gives
    ]


def _only(chains: list[tuple[_Call, _Call, _Call]], kind: str) -> ModelParts:
    distinct = {tuple(call.layer for call in chain): chain for chain in chains}
    if not distinct:
        raise ArgumentError(
            f"no LSTM, GRU or RNN in this {kind} reads an embedding's vectors unchanged and passes its outputs "
            "unchanged to a linear layer. A model folder can't store anything between or beside these layers, such as "
            f"character features, a second LSTM module, normalisation or scaling. {_OTHERWISE}"
        )
    if len(distinct) > 1:
        raise ArgumentError(
            f"this {kind} runs {len(distinct)} chains of an embedding, an LSTM and a linear layer; give the layers of "
            "one as a tuple: (embedding, lstm, linear)"
        )
    ((layers, (_, lstm, _)),) = distinct.items()
    if lstm.state is not None and any(bool(part.any()) for part in lstm.state):
        raise ArgumentError(
            f"the LSTM of this {kind} starts from a nonzero state, which a model folder can't store. {_OTHERWISE}"
        )
    return _check_layers(layers)


def _checked(parts: ModelParts) -> ModelParts:
    embedding, lstm, head = parts
    if lstm.proj_size:
        raise ShapeError(
            f"the LSTM has projections (proj_size={lstm.proj_size}), which a model folder can't store. {_OTHERWISE}"
        )
    gives = (1 + lstm.bidirectional) * lstm.hidden_size
    if (embedding.embedding_dim, gives) != (lstm.input_size, head.in_features):
        raise ShapeError(
            f"the layers do not fit together: the embedding has size {embedding.embedding_dim} but the LSTM reads "
            f"{lstm.input_size}, and the LSTM outputs {gives} features but the linear layer reads {head.in_features}"
        )
    return parts
