"""`subject`: turns anything that can be explained into a `Subject`."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from hiddenstate.base.memory import check_module_memory
from hiddenstate.engine.inputs import Arguments, Lengths
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.explain.subject.head import Head, make_head
from hiddenstate.explain.subject.module_sources import lstm_subject, module_subject
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.text_sources import language_model_subject, tagger_subject
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.structure.addresses import parse_address
from hiddenstate.structure.names import split_path
from hiddenstate.tracing.traceable import find_recordable


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
        model: a `hiddenstate.LSTM`; a module with one inside, such as a converted one; a `Tagger` or a
            `LanguageModel`; or a `Subject`, which is returned. For `ledger`, a `hiddenstate.GRU` also works. While
            `hiddenstate.accelerate` is active, so do torch's own.
        x: the input: for an LSTM a tensor, in its own layout; for a module the argument of its call (a tuple holds
            several arguments); for a tagger a sentence, as text or as words; for a language model a text.
        hx: for an LSTM: the initial state ``(h0, c0)``.
        lengths: for an LSTM: the number of steps of each row.
        reset: for an LSTM: where new sequences begin.
        head: for an LSTM or a module: the linear layer that reads its outputs. In a module it is found automatically if
            exactly one linear layer reads the LSTM's unchanged outputs and the module returns what that layer gives, at
            any steps and in any layout, or a softmax or sigmoid of it. If you give a head whose outputs the module does
            not return, such as the first layer of several, results say so.
        labels: names of the head's logits; numbers by default.
        tokens: for an LSTM or a module: a word for each step.
        path: in a module with several LSTMs, the path of the one to explain; a path before a place also works.
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
    if isinstance(model, Tagger | LanguageModel):
        check_module_memory(model)
        _refuse(options | {"path": path}, f"a {type(model).__name__}, which reads text")
        return tagger_subject(model, x) if isinstance(model, Tagger) else language_model_subject(model, x)
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(
            "expected an LSTM, a module that contains one, a Tagger, a LanguageModel or a Subject, got "
            f"{type(model).__name__}"
        )
    check_module_memory(model)
    lstm = find_recordable(model)
    if not isinstance(lstm, Recurrent):
        _refuse({"hx": hx, "lengths": lengths, "reset": reset}, "a module, which gives them to its LSTM itself")
        return module_subject(model, x, path, head, labels, tokens, softmax=softmax)
    _refuse({"path": path}, "a module, and this is an LSTM")
    if not isinstance(x, Tensor | PackedSequence):
        raise ArgumentTypeError(f"an LSTM reads a tensor, got x of type {type(x).__name__}")
    if softmax is not None and head is None:
        raise ArgumentError("softmax= says what reads a head's outputs; give the head too, as head=linear")
    own_head = None if head is None else make_head(head, labels, softmax=softmax)
    return lstm_subject(lstm, Arguments(x, hx, lengths, reset), own_head, tokens)


def resolve_subject(of: object, model: Any, x: Any = None, **options: Any) -> Subject:
    """Return the `subject` for a target; a path before the target's place selects the LSTM in a module.

    Args:
        of: the target, such as ``"encoder.l1.c[125]@7"``.
        model: as for `subject`.
        x: the input, as for `subject`.
        options: the options of `subject`.

    Raises:
        HiddenStateError: any error of `subject`.
    """
    path = split_path(parse_address(of).place)[0] if isinstance(of, str) else ""
    chooses = path and options.get("path") is None and isinstance(model, nn.Module)
    if chooses and not isinstance(model, Recurrent | Tagger | LanguageModel):
        options["path"] = path
    return subject(model, x, **options)


def _refuse(options: dict[str, Any], what: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise ArgumentError(f"{name}= is not for {what}; drop it")
