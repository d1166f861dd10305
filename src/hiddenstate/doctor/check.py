"""`check`: finds the silent mistakes of a recurrent model by running it, and the table of the kinds of findings."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from hiddenstate.base.memory import MOST_BYTES, check_memory_of, check_module_memory
from hiddenstate.base.scoped import lasting
from hiddenstate.doctor import axes, learning, states
from hiddenstate.doctor.observations import Observations, Question, observe
from hiddenstate.doctor.report import CheckReport, Finding, Kind, Sign, counted, finding_of
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.tracing.traceable import has_keras_layers, is_keras_layer
from hiddenstate.tracing.watch import Snapshot, tensors_in

_CALL = "pass what the model is called with: check(model, x, ...)"
_NO_LOSS = "no loss was given: pass loss= and targets="


def fails(seen: Observations) -> Iterator[Sign]:
    """The model fails on the example, or the loss on its results."""
    if seen.base.error:
        at = f" ({seen.base.line})" if seen.base.line else ""
        change = f"correct that line, or {_CALL}" if at else ""
        if type(seen.model).forward is nn.Module.forward:
            change = "name the method forward"
        yield Sign("", f"forward{at}", f"It fails on the example: {seen.base.error}", change)
    elif seen.base.loss_error and not any(learning.loss_axes(seen)):
        change = "make them fit: the loss is called as loss(model(x), targets)"
        yield Sign("", "the loss", f"The loss fails on {seen.base.loss_error}", change)


KINDS = (
    Kind(fails, "", _CALL),
    Kind(axes.not_finite, "", "look at that operation: a division by 0, a logarithm of 0, exploding values"),
    Kind(axes.axes_exchanged, "rows", "give the layer's layout with batch_first", "M8"),
    Kind(axes.view_for_transpose, "rows", "use transpose or permute, and reshape after it", "M9"),
    Kind(axes.rows_mixed, "rows", "apply it along an axis other than that of the rows"),
    Kind(axes.rows_out_of_order, "rows", "put the rows back in their order, or use enforce_sorted=False"),
    Kind(axes.rows_lost, "rows", "index the axis of time, not that of the rows"),
    Kind(axes.row_squeezed, "rows", "name the axis to drop, as in squeeze(-1)"),
    Kind(axes.future_read, "steps", "read in one direction, and combine no later steps"),
    Kind(axes.steps_apart, "steps", "pass the state that a step returns to the next step", "M1"),
    Kind(axes.one_step, "steps", "give it sequences [rows, steps, features] of all steps", "M32"),
    Kind(axes.last_step_unread, "steps", "read the layer's output at the last true step of each row"),
    Kind(axes.constant_result, "steps", "connect the result with the input"),
    Kind(
        states.padding_read,
        "padding",
        "give the layer lengths (lengths=, or a packed sequence), and read each row at its own last step",
        "M29",
    ),
    Kind(states.state_kept, "", "return the state instead of keeping it, or add a method that resets it", "M25"),
    Kind(states.graph_grows, "", "keep state.detach()", "M27"),
    Kind(states.random_result, "", "begin with zeros, or a parameter"),
    Kind(states.layer_made_in_forward, "", "make the layer in __init__", "M11"),
    Kind(states.unregistered, "", "hold them in an nn.ModuleList, nn.ModuleDict or nn.ParameterList"),
    Kind(states.state_ignored, "recurrence", "pass the state on to the layer", "M1"),
    Kind(states.cell_state_lost, "recurrence", "pass on both: h, c = cell(x, (h, c))", "M3"),
    Kind(states.wrong_state, "gradients", "read h_n[-1] of one direction, or h_n[-2] and h_n[-1] of two"),
    Kind(learning.gradient_cut, "gradients", learning.GRADIENT_KEPT),
    Kind(
        learning.gradient_by_lag,
        "gradients",
        "smaller recurrent weights (orthogonal ones), an LSTM or GRU instead of an RNN, clipped gradients",
        "M20",
    ),
    Kind(learning.gates, "gates", "initialise the weights as torch does"),
    Kind(
        learning.forget_bias,
        "recurrence",
        "set it in one of the two bias vectors, and set the other to 0",
        "M22",
        is_note=True,
    ),
    Kind(learning.dropout_never, "recurrence", "put nn.Dropout after it, or add a layer", "M23"),
    Kind(learning.loss_of_probabilities, "loss", "return the scores, without that operation"),
    Kind(learning.loss_axes, "loss or its error", "scores.transpose(1, 2), or flatten both to rows × steps", "M31"),
    Kind(learning.loss_over_padding, "loss", "ignore_index= in the loss, or a mask", "M31"),
    Kind(learning.target_read, "targets", "shift the targets by one step, or leave them out of the input"),
    Kind(
        learning.last_value_repeated,
        "targets",
        "compare with the last value and a constant before training longer; predict the difference from the last value",
        "M34",
    ),
    Kind(learning.unused, "", "call it, or remove it", is_note=True),
    Kind(learning.slow, "recurrence", "see the reason", is_note=True),
)
_NONE_CALLED = "no recurrent layer or cell was called"
_NEEDS: dict[str, tuple[Callable[[Observations], bool], str]] = {
    "rows": (lambda seen: len(seen.row_runs) > 1, "the example has one row"),
    "steps": (lambda seen: bool(seen.step_runs), "the example has one time step"),
    "padding": (lambda seen: (seen.padded or seen.lengthened) is not None, "the model did not run with other padding"),
    "recurrence": (lambda seen: bool(seen.base.calls), _NONE_CALLED),
    "gates": (lambda seen: bool(seen.base.calls) or has_keras_layers(seen.model), _NONE_CALLED),
    "gradients": (lambda seen: bool(seen.base.calls) and "gradients" not in seen.untested, _NONE_CALLED),
    "loss": (lambda seen: seen.base.loss is not None, _NO_LOSS),
    "loss or its error": (lambda seen: seen.base.loss is not None or bool(seen.base.loss_error), _NO_LOSS),
    "targets": (lambda seen: seen.example.targets is not None, "no targets were given: pass targets="),
}


def check(
    model: nn.Module,
    /,
    *args: Any,
    targets: Any = None,
    loss: Callable[..., Any] | None = None,
    layout: str | None = None,
    lengths: Any = None,
    causal: bool | None = None,
    **kwargs: Any,
) -> CheckReport:
    """Look for the silent mistakes of a recurrent model, by running it on an example and on changed copies of it.

    It finds mistakes that leave all shapes correct: mixed rows, exchanged axes, reading the future or padding, a state
    that is kept, lost or wrong, gradients that end early, and others, which the guide "Check a model" lists. It watches
    torch's layers and ours, including cells in loops and packed sequences. Long examples are cut to 32 steps and 3 rows
    if the model runs on those. The model runs in eval mode, some ten times; afterwards its weights, buffers, mode,
    hooks, gradients and attributes, and the random states, are restored.

    Args:
        model: any module.
        args: what the model is called with: a batch, preferably a real one of three or more rows.
        targets: the targets of the batch, as the loss takes them, with rows first.
        loss: the loss function, called as ``loss(model(*args), targets)``.
        layout: letters for the axes of the first sequence, N for rows and T for time steps, such as "NTC", "TN" or
            "NCT"; the last ones may be left out. If None, rows first, unless the layers read it as time first and
            nothing contradicts.
        lengths: the true length of each row, if rows are padded. It is also passed to the model if its ``forward`` has
            an argument of that name. If None, they are taken from the arguments: lengths, a mask, packed sequences, or
            the embedding's padding index.
        causal: whether results at a step may depend only on that step and earlier ones, as in a forecast, a language
            model or a stream. If None, reading the future is reported as a note; if False, not at all.
        kwargs: keyword arguments of the model.

    Returns:
        A `CheckReport`, which can be printed: its ``findings`` name the module and the operation, show the numbers, and
        say what to change.

    Raises:
        ArgumentTypeError: the model is not a module, or there is no sequence among the arguments.
        ArgumentError: the layout or the lengths do not fit the example, a tensor would take more than 8 GiB, or a layer
            of Keras is not built.
        DtypeError: a tensor's memory was freed.

    >>> import torch, hiddenstate as hs
    >>> report = hs.check(torch.nn.LSTM(4, 3), torch.randn(6, 8, 4), layout="NTC")
    >>> [finding.kind for finding in report.mistakes]
    ['axes-exchanged']
    >>> report.mistakes[0].change
    'set batch_first=True, or exchange the two axes before the call'
    """
    if not isinstance(model, nn.Module):
        got = f"the class {model.__name__}: pass an instance" if isinstance(model, type) else type(model).__name__
        raise ArgumentTypeError(f"expected a torch.nn.Module, got {got}")
    if any(is_keras_layer(part) and not part.built for part in ([model] if is_keras_layer(model) else model.modules())):
        raise ArgumentError(
            "a layer of Keras in the model has no weights yet, and they could not be removed after the check: "
            "call the model once first"
        )
    if isinstance(loss, type):
        raise ArgumentTypeError(f"loss must be a function of results and targets, got a class: pass {loss.__name__}()")
    check_module_memory(model)
    examples = {
        **{f"argument {k}": value for k, value in enumerate(args)},
        **kwargs,
        "targets": targets,
        "lengths": lengths,
    }
    check_memory_of(examples.items())
    for name, value in examples.items():
        for tensor in tensors_in(value):
            nbytes = tensor.numel() * tensor.element_size()
            if nbytes > MOST_BYTES:
                raise ArgumentError(
                    f"{name} of shape {list(tensor.shape)} would take {nbytes:,} bytes, but at most {MOST_BYTES:,} are "
                    "allowed: a batch of a few rows is enough"
                )
    if lengths is not None and "lengths" in inspect.signature(model.forward).parameters:
        kwargs = {**kwargs, "lengths": lengths}
    question = Question(model, args, kwargs, targets, loss, layout, lengths, causal)
    snapshot = Snapshot(model)
    with lasting(lambda: None, snapshot.put_back):
        seen = observe(question, snapshot)
        snapshot.put_back()
        return _report(seen)


def _report(seen: Observations) -> CheckReport:
    findings: list[Finding] = []
    tested: list[str] = []
    untested: dict[str, str] = {}
    for kind in KINDS:
        is_met, why = _NEEDS.get(kind.needs, (lambda _: True, ""))
        if seen.base.error and kind.name != "fails":
            untested[kind.name] = "the model fails"
        elif not is_met(seen):
            untested[kind.name] = seen.untested.get(kind.needs) or why
        else:
            findings += [finding_of(kind, sign) for sign in kind.look(seen)]
            tested.append(kind.name)
    if not seen.by_layer and any(finding.kind == "gates" for finding in findings):
        # a saturated layer of Keras loses rows
        findings = [finding for finding in findings if finding.kind != "rows-lost"]
    findings.sort(key=lambda finding: not finding.is_mistake)
    return CheckReport(
        type(seen.model).__name__, _described(seen), tuple(findings), tuple(tested), untested, tuple(seen.assumptions)
    )


def _described(seen: Observations) -> str:
    example = seen.example
    size = f"{counted(example.rows, 'row')} of {counted(example.steps, 'step')}"
    layers = ", ".join(f"`{path}`" if path else "itself" for path in seen.by_layer)
    layers = layers or ("Keras', seen from outside" if has_keras_layers(seen.model) else "none")
    others = len(seen.example_shape) - len(example.layout)
    layout = example.layout + ("C" if others == 1 else "..." * (others > 1))
    return f"on {list(seen.example_shape)} read as {layout!r}, run on {size}; recurrent: {layers}"
