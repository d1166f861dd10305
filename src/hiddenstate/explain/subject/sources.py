"""`subject`: turns anything that can be explained into a `Subject`; calls a module to find the input of its LSTM."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from hiddenstate.base.memory import check_module_memory
from hiddenstate.base.modes import eval_twin, evaluating
from hiddenstate.base.scoped import lasting
from hiddenstate.base.torch_internals import remove_hooks
from hiddenstate.engine.call import zero_state
from hiddenstate.engine.inputs import Arguments, CallOptions, Lengths, read
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError, ShapeError
from hiddenstate.explain.subject.head import Head, make_head, softmax_head
from hiddenstate.explain.subject.module_output import LinearCall, ModuleCall, find_head, with_softmax
from hiddenstate.explain.subject.subject import Subject, check_bytes
from hiddenstate.models.language.language_model import LanguageModel, Softmax
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.structure.addresses import parse_address
from hiddenstate.structure.names import at_path, split_path
from hiddenstate.text.batches import Batch
from hiddenstate.text.tokenise import sentences, tokenise
from hiddenstate.text.tokens import UNKNOWN_ID
from hiddenstate.text.vocabulary import UNKNOWN
from hiddenstate.tracing.model_recorder import list_paths
from hiddenstate.tracing.models import as_written
from hiddenstate.tracing.traceable import find_recordable, refuse_keras

SPELT_TOGETHER = 4096  # words per batch; larger batches are no faster


@torch.no_grad()
def tagger_subject(tagger: Tagger, text: object) -> Subject:
    """Return the subject of a tagger's word-level LSTM: its steps are words, its labels the tags."""
    rows = _rows(text)
    batch = tagger.encode(rows).batch(range(len(rows))).to(tagger.head.weight.device)
    x = eval_twin(tagger).embed(batch)
    return Subject(
        tagger.lstm,
        x,
        tagger.lstm.sizes.kind.as_given(zero_state(x, tagger.lstm.sizes)),
        _tagger_head(tagger),
        tokens=tuple(tuple(words) for words in rows),
        lengths=batch.lengths if len(rows) > 1 else None,
        vectors={"unk": lambda: _unknown_word(tagger), "mean": lambda: _mean_word(tagger)},
        baseline="unk",
        path="lstm",
    )


def _rows(text: object) -> list[list[str]]:
    if isinstance(text, str):
        rows = [words for line in sentences(text) if (words := tokenise(line))]
        if len(rows) != 1:
            raise ArgumentError(
                f"only one sentence can be explained at a time, got {len(rows)} in {text!r:.200}: give one, or "
                "several as lists of words"
            )
        return rows
    if isinstance(text, Sequence) and text:
        if all(isinstance(word, str) for word in text):
            return [list(text)]
        if all(isinstance(words, Sequence) and words for words in text):
            return [list(words) for words in text]
    raise ArgumentTypeError(
        f"a tagger reads a sentence, as text or as a list of words, or a list of such lists; got {text!r:.200}"
    )


def _tagger_head(tagger: Tagger) -> Head:
    columns = tagger.columns
    several = len(columns) > 1
    labels = [f"{column}:{tag}" if several else tag for column, tags in columns.items() for tag in tags]
    weight, bias = tagger.head.weight, tagger.head.bias
    if tagger.config.crf:  # with a CRF, a word's scores depend on the whole sentence
        return Head(weight.detach(), bias.detach(), tuple(labels))
    temperatures = [tagger.temperatures[column] for column in columns]
    return softmax_head(weight, bias, labels, [len(tags) for tags in columns.values()], temperatures)


@torch.no_grad()
def _mean_word(tagger: Tagger) -> Tensor:
    """Return the mean input ``[C]`` over the vocabulary, by frequency, without a context."""
    words = tagger.encoder.words
    counts = torch.tensor(words.counts, dtype=torch.float64)
    total = torch.zeros(tagger.lstm.input_size, dtype=torch.float64)
    for k in range(0, len(words.tokens), SPELT_TOGETHER):
        part = words.tokens[k : k + SPELT_TOGETHER]
        x = _plain(tagger, tagger.encoder.encode([[word] for word in part]).batch(range(len(part))))[0]
        total[: x.shape[1]] += counts[k : k + SPELT_TOGETHER] @ x.double().cpu()
    return (total / counts.sum()).to(tagger.head.weight)


@torch.no_grad()
def _unknown_word(tagger: Tagger) -> Tensor:
    """Return the input ``[C]`` of a word not in the vocabulary, spelt with one unknown character, without context."""
    unknown = torch.tensor([[UNKNOWN]])
    batch = Batch(unknown, torch.tensor([1]), unknown, torch.tensor([1]), torch.zeros_like(unknown))
    x = _plain(tagger, batch)[0, 0]
    return torch.cat([x, x.new_zeros(tagger.lstm.input_size - len(x))])


def _plain(tagger: Tagger, batch: Batch) -> Tensor:
    """Return word and spelling vectors ``[T, N, C]`` of a batch, without dropout and without context vectors."""
    return eval_twin(tagger).embed(batch.to(tagger.head.weight.device))


@torch.no_grad()
def language_model_subject(model: LanguageModel, text: object) -> Subject:
    """Return the subject of a language model, which reads a newline as its first step."""
    if not isinstance(text, str):
        raise ArgumentTypeError(f"a language model reads a text, got {type(text).__name__}")
    if model.config.backward:
        raise ArgumentError("this model reads from the end of a text to its beginning; give one that reads forward")
    tokens = model.tokens
    ids = torch.cat([torch.tensor([tokens.start]), torch.from_numpy(tokens.encode(text)).long()])
    x = eval_twin(model).embed(ids[:, None].to(next(model.parameters()).device))
    return Subject(
        model.lstm,
        x,
        model.lstm.sizes.kind.as_given(zero_state(x, model.lstm.sizes)),
        _language_head(model),
        tokens=(tuple(tokens.tokens[k] for k in ids.tolist()),),
        vectors={"mean": lambda: _mean_token(model), "unk": lambda: _embedded(model, torch.tensor([UNKNOWN_ID]))[0]},
        baseline="mean",
        foretells=True,
        path="lstm",
    )


def _language_head(model: LanguageModel) -> Head:
    """Return the head, multiplied by the projection before it, if any."""
    head, labels = model.head, model.tokens.tokens
    if isinstance(head, Softmax):
        weight, bias = head.weight.detach(), head.bias.detach()
    else:  # in an adaptive softmax, only frequent tokens have a logit of their own
        first = head.shortlist_size
        weight, bias = head.head.weight[:first].detach(), head.head.bias[:first].detach()
    if model.project is not None:
        weight = weight @ model.project.weight.detach()

    def log_probabilities(out: Tensor) -> Tensor:
        flat: Tensor = head.log_probabilities(model.features(out))
        return flat.view(*out.shape[:-1], -1)

    return Head(weight, bias, labels, log_probabilities)


@torch.no_grad()
def _mean_token(model: LanguageModel) -> Tensor:
    """Return the mean vector over all tokens, weighted by frequency in training."""
    counts = torch.tensor(model.tokens.counts, dtype=torch.float64)
    vectors = _embedded(model, torch.arange(len(counts))).double().cpu()
    return ((counts @ vectors) / counts.sum()).to(next(model.parameters()))


@torch.no_grad()
def _embedded(model: LanguageModel, ids: Tensor) -> Tensor:
    ids = ids.to(next(model.parameters()).device)
    return model.head.embed(ids) if model.embedding is None else model.embedding(ids)


LSTMCall = tuple[tuple[Any, ...], dict[str, Any], Any]  # positional arguments, keyword arguments and output


def lstm_subject(
    lstm: Recurrent[Any, Any],
    arguments: Arguments,
    head: Head | None = None,
    tokens: Sequence[str] | Sequence[Sequence[str]] | None = None,
) -> Subject:
    """Return the subject of an LSTM and the arguments of one call."""
    sizes = lstm.sizes
    _check_size(lstm, arguments.input)
    call, _ = read(arguments, sizes, lstm._eval_twin()._weights(), CallOptions(lstm.batch_first))
    if call.reset_h is not None:
        raise ArgumentError(
            "reset_to= is given, but explanations need resets to zero: explain each sequence separately, with its "
            "initial state as hx="
        )
    wide = sizes.directions * sizes.output_size
    if head is not None and head.weight.shape[1] != wide:
        raise ShapeError(f"the head reads {head.weight.shape[1]} features, but the LSTM gives D*P = {wide}")
    x = call.x.detach()
    T, N = x.shape[:2]
    lengths = [T] * N if call.lengths is None else call.lengths.tolist()
    return Subject(
        lstm,
        x,
        sizes.kind.as_given([part.detach() for part in call.initial]),
        head,
        _checked_tokens(tokens, lengths),
        call.lengths,
        call.reset,
        {"mean": lambda: _mean_step(x, lengths)},
    )


def _check_size(lstm: Recurrent[Any, Any], x: object = None) -> None:
    """Reject an input that is too large to run, even if it takes little memory itself."""
    if isinstance(x, Tensor) and x.dim() in (2, 3):
        row_steps = math.prod(x.shape[:-1])
        N = 1 if x.dim() == 2 else x.shape[0 if lstm.batch_first else 1]
        width = x.shape[-1] + lstm.sizes.directions * lstm.sizes.output_size
        check_bytes(row_steps * width * x.element_size(), "inputs and outputs", row_steps // max(N, 1), N)


def _mean_step(x: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return the mean input ``[C]`` over the real steps of all rows."""
    return torch.cat([x[:T, n] for n, T in enumerate(lengths)]).double().mean(0).to(x)


def _checked_tokens(
    tokens: Sequence[str] | Sequence[Sequence[str]] | None, lengths: Sequence[int]
) -> tuple[tuple[str, ...], ...] | None:
    if tokens is None:
        return None
    plain = isinstance(tokens, Sequence) and not isinstance(tokens, str)
    if not plain or not all(isinstance(part, Sequence) for part in tokens):
        raise ArgumentTypeError(f"tokens= must be a list of words, or one for each row, got {tokens!r:.60}")
    rows = [list(tokens)] if all(isinstance(token, str) for token in tokens) else [list(row) for row in tokens]
    if [len(row) for row in rows] != list(lengths):
        raise ShapeError(
            f"tokens= must have a word for each step of each row, {list(lengths)}, got {[len(row) for row in rows]}"
        )
    return tuple(tuple(map(str, row)) for row in rows)


def module_subject(
    model: nn.Module,
    x: Any,
    path: str | None = None,
    head: nn.Linear | Head | None = None,
    labels: Sequence[str] | None = None,
    tokens: Sequence[str] | Sequence[Sequence[str]] | None = None,
    *,
    softmax: bool | None = None,
) -> Subject:
    """Call a module once, and return the subject of the LSTM inside, with its input and the head that read it.

    The module's own forward runs. For this one call, the module is in eval mode and has our hooks, so other threads
    should not train it meanwhile. Explaining the subject later does not change the module.

    The head is found by observation: the one linear layer that, in this call, reads the LSTM's unchanged outputs and
    whose outputs, or a softmax or sigmoid of them, are what the module returns.
    """
    chosen = None if head is None else make_head(head, labels, softmax=softmax)
    path, module = _module_at(model, path)
    lstm = find_recordable(module)
    assert isinstance(lstm, Recurrent)
    calls, linear, result = _watched(model, module, lstm, x)
    if not calls:
        raise ArgumentError("the module did not call this LSTM, so it has no input; choose another with path=")
    args, kwargs, out = calls[0]
    arguments = Arguments(**dict(zip(("input", "hx"), args, strict=False)) | kwargs)
    plain = lstm_subject(lstm, arguments, chosen, tokens)
    observed = ModuleCall(model, _time_first(out, lstm.batch_first), plain.lengths is not None, linear, result)
    if head is None or chosen is None:
        observed_head = find_head(observed, labels, softmax=softmax)
    else:
        observed_head = with_softmax(head, observed.match(chosen), labels, softmax=softmax)
    return replace(plain, path=path, **observed_head._asdict())


def _time_first(out: Tensor | PackedSequence, batch_first: bool) -> Tensor:
    if isinstance(out, PackedSequence):
        return pad_packed_sequence(out)[0]
    if out.dim() == 2:
        return out[:, None]
    return out.transpose(0, 1) if batch_first else out


def _module_at(model: nn.Module, path: str | None) -> tuple[str, nn.Module]:
    """Return the layer at a path, with its path; without a path, the only LSTM, or the only layer if there is none."""
    every = [*model.named_modules(remove_duplicate=False)]
    layers = {name: part for name, part in every if isinstance(find_recordable(part), LSTM)}
    if path or not layers:
        layers = {name: part for name, part in every if isinstance(find_recordable(part), Recurrent)}
    kind = type(model).__name__
    if path is not None and not isinstance(path, str):
        raise ArgumentTypeError(f"path= must be the name of a module, got {type(path).__name__}")
    if not layers:
        refuse_keras(model)
        theirs = any(isinstance(part, nn.LSTM | nn.GRU | nn.RNN) for part in model.modules())
        cure = "convert it first, hs.convert(model), or open hs.accelerate()" if theirs else "give a model with one"
        raise ArgumentError(f"this {kind} contains no hiddenstate.LSTM, GRU or RNN; {cure}")
    module = at_path(path or "", layers)
    if module is None and not path:
        count = len(set(layers.values()))
        raise ArgumentError(
            f"this {kind} contains {count} recurrent layers; choose one with path=: {list_paths(layers)}"
        )
    if module is None:
        raise NameUnknownError(f"no LSTM, GRU or RNN at {path!r} in this {kind}: there is {list_paths(layers)}")
    return path or next(iter(layers)), module


def _watched(
    model: nn.Module, called: nn.Module, lstm: Recurrent[Any, Any], x: Any
) -> tuple[list[LSTMCall], list[LinearCall], object]:
    """Call the module without dropout; return copies of the LSTM's first call, of linear ones, and its result."""
    calls: list[LSTMCall] = []
    linear: list[LinearCall] = []
    width = lstm.sizes.directions * lstm.sizes.output_size

    def check_size(_: nn.Module, args: Any) -> None:
        _check_size(lstm, *args[:1])

    def hear(_: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        if not calls:  # only the first call is explained
            calls.append((_copied(args), _copied(kwargs), _copied(result[0])))

    def read_by(layer: Any, args: Any, kwargs: Any, output: Any) -> None:
        read_ = args[0] if args else kwargs.get("input")
        if layer.in_features == width and isinstance(read_, Tensor) and isinstance(output, Tensor):
            linear.append(LinearCall(layer, read_.clone(), output.clone()))

    def watch() -> None:
        called.register_forward_pre_hook(check_size)
        called.register_forward_hook(hear, with_kwargs=True)
        for part in model.modules():
            if isinstance(part, nn.Linear):
                part.register_forward_hook(read_by, with_kwargs=True)

    unwatched = lasting(watch, lambda: remove_hooks(model.modules(), check_size, hear, read_by))
    with unwatched, evaluating(model), torch.no_grad(), as_written():
        result = model(*(x if isinstance(x, tuple) else (x,)))
    return calls, linear, result


def _copied(value: Any) -> Any:
    """Return arguments or outputs of an LSTM with copies of their tensors."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, PackedSequence):
        return value._replace(data=value.data.clone())
    if isinstance(value, tuple | list):
        return tuple(map(_copied, value))
    return {name: _copied(part) for name, part in value.items()} if isinstance(value, dict) else value


def subject(
    model: Any,
    x: Any = None,
    *,
    hx: Any = None,
    lengths: Lengths = None,
    reset: Tensor | None = None,
    head: nn.Linear | Head | None = None,
    labels: Sequence[str] | None = None,
    tokens: Sequence[str] | Sequence[Sequence[str]] | None = None,
    path: str | None = None,
    softmax: bool | None = None,
) -> Subject:
    """Turn a model and its input into a `Subject`, which every function of `hiddenstate.explain` takes as model.

    Args:
        model: a recurrent layer: a `hiddenstate.LSTM`, `GRU` or `RNN` (while `hiddenstate.accelerate` is active, also
            torch's own); a module with one inside, such as a converted one; a `Tagger` or a `LanguageModel`; or a
            `Subject`, which is returned.
        x: the input: for a layer a tensor, in its own layout; for a module the argument of its call (a tuple holds
            several arguments); for a tagger a sentence, as text or as words; for a language model a text.
        hx: for a layer: the initial state, ``(h0, c0)`` for an LSTM.
        lengths: for a layer: the number of steps of each row.
        reset: for a layer: where new sequences begin.
        head: for a layer or a module: the linear layer that reads its outputs. In a module it is found automatically if
            exactly one linear layer reads the layer's unchanged outputs and the module returns what it gives, at any
            steps and in any layout, or a softmax or sigmoid of it. If you give a head whose outputs the module does
            not return, such as the first of several, results say so.
        labels: names of the head's logits; numbers by default.
        tokens: for a layer or a module: a word for each step.
        path: in a module with several layers, the path of the one to explain; a path before a place also works.
        softmax: whether the head's outputs are the scores of a softmax, which gives probabilities; without one,
            outputs are compared by distance, in their own unit. By default True only if a module returns the softmax.

    Returns:
        The `Subject`, detached: no gradient flows from an explanation to the computation of ``x``.

    Raises:
        ArgumentTypeError: the model is none of these, or ``x`` has the wrong type.
        ArgumentError: an option does not apply to this model, or the module contains no layer.
        RankError, ShapeError, DtypeError, DeviceError, NameUnknownError: an argument is invalid.
    """
    options = {"hx": hx, "lengths": lengths, "reset": reset, "head": head, "labels": labels, "tokens": tokens}
    options["softmax"] = softmax
    if isinstance(model, Subject):
        _refuse(options | {"x": x, "path": path}, "a Subject, which has it already")
        return model
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(
            "expected a recurrent layer, a module that contains one, a Tagger, a LanguageModel or a Subject, got "
            f"{type(model).__name__}"
        )
    check_module_memory(model)
    if isinstance(model, Tagger | LanguageModel):
        _refuse(options | {"path": path}, f"a {type(model).__name__}, which reads text")
        return tagger_subject(model, x) if isinstance(model, Tagger) else language_model_subject(model, x)
    lstm = find_recordable(model)
    if not isinstance(lstm, Recurrent):
        _refuse({"hx": hx, "lengths": lengths, "reset": reset}, "a module, which gives them to its LSTM itself")
        return module_subject(model, x, path, head, labels, tokens, softmax=softmax)
    _refuse({"path": path}, "a module, and this is an LSTM")
    if not isinstance(x, Tensor | PackedSequence):
        raise ArgumentTypeError(f"an LSTM reads a tensor, got x of type {type(x).__name__}")
    if softmax is not None and head is None:
        raise ArgumentError("softmax= describes a head's outputs; give the head too, as head=linear")
    own_head = None if head is None else make_head(head, labels, softmax=softmax)
    return lstm_subject(lstm, Arguments(x, hx, lengths, reset), own_head, tokens)


def resolve_subject(of: object, model: Any, x: Any = None, **options: Any) -> Subject:
    """Return the `subject` for a target; a path before the target's place selects the LSTM in a module."""
    path = split_path(parse_address(of).place)[0] if isinstance(of, str) else ""
    chooses = path and options.get("path") is None and isinstance(model, nn.Module)
    if chooses and not isinstance(model, Recurrent | Tagger | LanguageModel):
        options["path"] = path
    return subject(model, x, **options)


def _refuse(options: dict[str, Any], what: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise ArgumentError(f"{name}= is not for {what}; drop it")
