"""Findings about training: gradients that end or explode, gates, dropout, losses, targets, and what costs time."""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from hiddenstate.doctor.axes import view_for_transpose
from hiddenstate.doctor.observations import Observations, by_row_and_step
from hiddenstate.doctor.report import Sign, counted
from hiddenstate.errors import HiddenStateError
from hiddenstate.interop.torch.accelerate.acceleration import accelerate
from hiddenstate.tracing.models import trace
from hiddenstate.tracing.trace import Trace

GRADIENT_KEPT = "keep tensors in the graph: no detach, .data, no_grad, numpy or argmax"
_CUTS = ("detach", "detach_", "data", "item", "tolist", "numpy", "tensor", "as_tensor", "from_numpy")
_BY_ELEMENT = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "sub", "rsub", "__rsub__")
_TRANSPOSES = ("transpose", "permute", "swapaxes", "swapdims", "movedim", "moveaxis", "mT", "einsum")
_EXPLODES, _VANISHES = 1e3, 1e-4  # times the gradient at the last step
_SATURATED, _FLAT = 0.9, 0.01


def gradient_cut(seen: Observations) -> Iterator[Sign]:
    """No gradient reaches a recurrent module, or it ends between two steps of a loop."""
    trained = {
        path for path, calls in seen.by_layer.items() if any(p.requires_grad for p in calls[0].layer.parameters())
    }
    cuts = [k for k in sorted(seen.used) if _cuts(seen, k)]
    if seen.step_runs and all(seen.depends(name, k) is False for name in seen.step_runs for k in seen.base.results):
        return  # a constant has no gradient
    if seen.weighted_sum() is None:
        if trained and (cuts or seen.base.loss is not None):
            k = cuts[0] if cuts else seen.base.results[0]
            yield Sign(seen.module_of(k), seen.operation(k), "No result has a gradient", is_note=seen.base.loss is None)
        return
    reached = dict(_without_gradient(seen))
    for path in sorted(trained):
        calls = seen.by_layer[path]
        outputs = {k for call in calls for k in call.outputs}
        if not any(seen.depends_on_steps(k) for k in outputs):
            continue
        prefix = f"{path}." if path else ""
        own = {name: g for name, g in seen.parameter_gradients.items() if name.startswith(prefix)}
        if own and not any(g is not None and bool((g != 0).any()) for g in own.values()):
            reaches = any(g is not None and bool(g.any()) for g in map(seen.layer_gradients.get, outputs))
            if reaches or not seen.is_read(path):
                continue  # its gates are saturated, nothing reads it, or the weights that read it are still 0
            k = next((k for k in cuts if seen.base.ancestors([k]) & outputs), _last_of(seen, outputs))
            shows = f"The results depend on it, but no gradient reaches its {len(own)} parameters"
            yield Sign(path, seen.operation(k), shows)
            reached = {}  # which is also why none reaches what it reads
            continue
        states = [k for call in calls[1:] for k in call.states if seen.depends_on_steps(k) and k in seen.used]
        stopped = [k for k in states if not seen.base.values[k].tensor.requires_grad]
        if stopped and len(stopped) == len(states):
            k = next((k for k in cuts if k in seen.base.ancestors(stopped)), stopped[0])
            times = counted(len(calls) - 1, "time")
            shows = f"Its state is passed on {times}, never with its gradient: it learns within a call"
            is_burn_in = any(seen.base.steps_of(call) > 1 for call in calls)
            yield Sign(path, seen.operation(k), shows, is_note=True if is_burn_in else None)
    for name, k in reached.items():
        shows = f"The results depend on its `{name.rpartition('.')[2]}`, which no gradient reaches: it is never trained"
        change = f"nothing, if that is intended; else {GRADIENT_KEPT}"
        yield Sign(name.rpartition(".")[0], seen.operation(k), shows, change, is_note=True)


def _without_gradient(seen: Observations) -> Iterator[tuple[str, int]]:
    """Yield the parameters outside of recurrent modules that no gradient reaches, and the value that reads each."""
    layers = tuple(f"{path}." for path in seen.by_layer if path)
    unreached = {
        id(weight): name
        for name, weight in seen.model.named_parameters()
        if seen.parameter_gradients.get(name, weight) is None
    }
    for k in sorted(seen.used):
        for i in seen.base.values[k].inputs:
            name = unreached.pop(id(seen.base.values[i].tensor), "")
            if name and not name.startswith(layers):
                yield name, k


def _last_of(seen: Observations, outputs: set[int]) -> int:
    """Return the last value that is known to be computed from a layer's outputs, such as what becomes an array."""
    reached = set(outputs)
    for k, value in enumerate(seen.base.values):
        if reached.intersection(value.inputs):
            reached.add(k)
    return max(reached)


def _cuts(seen: Observations, value: int) -> bool:
    """Whether an operation ends the gradient of something that it depends on."""
    known = seen.base.values[value]
    if not known.data.is_floating_point() or known.tensor.requires_grad:
        return False
    from_trained = any(seen.base.values[k].tensor.requires_grad for k in known.inputs)
    return (from_trained or known.op in _CUTS) and seen.depends_on_steps(value)


def gradient_by_lag(seen: Observations) -> Iterator[Sign]:
    """The gradient of the last step's result grows or falls by orders of magnitude on the way back."""

    def at_last_step(value: int, tensor: Tensor) -> Tensor | None:
        _, steps = seen.result_axes(value)
        return tensor if steps is None else tensor.select(steps, -1)

    by_input = seen.layer_gradients
    if any(seen.result_axes(k)[1] is not None for k in seen.base.results):
        total = seen.weighted_sum(at_last_step)
        if total is None:
            return
        by_input = seen.gradients(total, {call.x: seen.base.values[call.x].tensor for call in seen.base.calls})
    for path, calls in seen.by_layer.items():
        gradients = [by_input.get(call.x) for call in calls]
        norms = _norms_by_step(seen, gradients, calls[0].row_axis, calls[0].is_cell or len(calls) > 1)
        if calls[0].rows is not None or len(norms) < 3 or not norms[-1] > 0:
            continue
        ratio = max(norms) / norms[-1]
        if ratio > _EXPLODES or not all(norm < float("inf") for norm in norms):
            step = norms.index(max(norms))
            shows = f"The gradient is {ratio:.3g} times as large {len(norms) - 1 - step} steps back as at the last step"
            yield Sign(path, "its gradient", shows)
            continue
        small = [k for k, norm in enumerate(norms) if norm < _VANISHES * max(norms)]
        if small and norms[0] <= _VANISHES * max(norms):
            lag = len(norms) - 1 - small[-1]
            shows = f"After {counted(lag, 'step')} back, less than {_VANISHES:g} of the gradient is left"
            change = "nothing, if no more context is needed; else a forget bias of 1 or more, or shorter sequences"
            yield Sign(path, "its gradient", shows, change, is_note=True)


def _norms_by_step(seen: Observations, gradients: list[Tensor | None], row_axis: int, by_call: bool) -> list[float]:
    if by_call:
        return [0.0 if g is None else float(g.norm()) for g in gradients]
    gradient = gradients[0]
    if gradient is None or gradient.dim() != 3:
        return []
    lines = gradient if row_axis == 0 else gradient.transpose(0, 1)
    lengths = seen.example.lengths
    if lengths is not None and len(lengths) == len(lines):
        lines = lines[lengths == lengths.max()][:, : int(lengths.max())]
    return [float(norm) for norm in lines.transpose(0, 1).flatten(1).norm(dim=1)]


def gates(seen: Observations) -> Iterator[Sign]:
    """Gates are saturated or forget at once, and units are dead."""
    try:  # steps of a cell that carry the state form one trace
        with torch.no_grad(), accelerate():
            run = trace(seen.model.eval(), *seen.example.args, **seen.example.kwargs)
    except Exception:  # a forward of its own may raise anything
        return
    for path in seen.by_layer or run.by_path:  # Keras' layers are only traced
        for record in run.by_path.get(path, ())[:1]:
            yield from _gates_of(seen, path, record)


def _gates_of(seen: Observations, path: str, record: Trace) -> Iterator[Sign]:
    values = {name: record[name] for name in record.names if not name.endswith("_pre")}
    for layer in sorted({name.split(".")[0] for name in values}):
        own = {name.split(".")[1]: value for name, value in values.items() if name.startswith(f"{layer}.")}
        flat = {name: _flat_share(name, value) for name, value in own.items() if name not in ("c", "h")}
        if not flat:
            flat = {"h": _flat_share("h", own["h"])}
        share = sum(flat.values()) / len(flat)
        units, dead = own["h"].shape[-1], int((own["h"].abs().flatten(0, -2).amax(0) < 1e-6).sum())
        if share > _SATURATED:
            calls = seen.by_layer.get(path)
            scale = f"; its inputs have a standard deviation of {_spread(seen, calls[0].x):.3g}" if calls else ""
            shows = f"In layer {layer}, {100 * share:.0f} % of all gates are within {_FLAT} of a limit{scale}"
            change = "scale its inputs to a standard deviation of about 1, or its weights to torch's initial ones; "
            change += "if training made the weights large, use a lower learning rate"
            yield Sign(path, f"`{layer}`", shows, change)
        elif "f" in own and "c" in own and float(own["f"].mean()) < 0.05:
            shows = (
                f"In layer {layer}, the mean of the forget gate is {float(own['f'].mean()):.3g}: c is forgotten at once"
            )
            yield Sign(path, f"`{layer}.f`", shows, "set the forget bias to 0 or more; 1 is usual", "M17")
        elif dead > units / 2:
            shows = f"In layer {layer}, {dead} of {units} units are 0 at every step"
            yield Sign(path, f"`{layer}.h`", shows, "initialise its weights as torch does", is_note=dead < units)


def _flat_share(name: str, value: Tensor) -> float:
    if name in ("g", "n", "h"):
        return float((value.abs() > 1 - _FLAT).float().mean())
    return float(((value < _FLAT) | (value > 1 - _FLAT)).float().mean())


def _spread(seen: Observations, value: int) -> float:
    data = seen.base.values[value].data.float()
    return float(data.std()) if data.numel() > 1 else 0.0


def forget_bias(seen: Observations) -> Iterator[Sign]:
    """The forget bias was set in both bias vectors, so it is twice what was meant."""
    for path, calls in seen.by_layer.items():
        named = dict(calls[0].layer.named_parameters())
        for name, bias in named.items():
            other = named.get(name.replace("_ih", "_hh"))
            if "bias_ih" not in name or other is None or len(calls[0].outputs) < 2 or len(bias) % 4:
                continue
            quarter = slice(len(bias) // 4, len(bias) // 2)
            first, second = bias.detach()[quarter], other.detach()[quarter]
            if bool((first == first[0]).all()) and bool((second == first[0]).all()) and float(first[0]) > 0:
                shows = (
                    f"The forget bias is {float(first[0]):g} in `{name}` and again in its twin: {2 * float(first[0]):g}"
                )
                yield Sign(path, f"`{name}`", shows)


def dropout_never(seen: Observations) -> Iterator[Sign]:
    """Dropout that never acts, because it applies between layers and there is only one."""
    for path, calls in seen.by_layer.items():
        layer = calls[0].layer
        dropout = float(getattr(layer, "dropout", 0) or 0)
        if dropout and getattr(layer, "num_layers", 0) == 1:
            yield Sign(path, f"dropout={dropout:g}", f"dropout={dropout:g} acts between layers, but there is only one")


def loss_of_probabilities(seen: Observations) -> Iterator[Sign]:
    """A loss that takes scores is given probabilities, or one that takes their logarithms is given scores."""
    for k in range(seen.base.loss_from, len(seen.base.values)):
        value = seen.base.values[k]
        scores = seen.base.values[value.inputs[0]].data if value.inputs else torch.zeros(0)
        if not scores.numel():
            continue
        wrong = ""
        if (value.op == "cross_entropy" and _are_probabilities(scores)) or (
            value.op == "nll_loss" and scores.is_floating_point() and bool((scores >= 0).all())
        ):
            wrong = "softmax"
        elif value.op == "binary_cross_entropy_with_logits" and bool(((scores > 0) & (scores < 1)).all()):
            wrong = "sigmoid"
        ancestors = sorted(seen.base.ancestors([value.inputs[0]]), reverse=True)
        source = next((i for i in ancestors if seen.base.values[i].op == wrong), None) if wrong else None
        change = "return log_softmax of the scores, or use cross_entropy" if value.op == "nll_loss" else ""
        if source is None and change and bool((scores.exp().sum(min(1, scores.dim() - 1)) > 1.01).all()):
            source = value.inputs[0]
        if source is not None:
            wants = "logarithms of probabilities" if value.op == "nll_loss" else "scores"
            limits = f"{float(scores.min()):.3g} to {float(scores.max()):.3g}"
            shows = f"`{value.op}` is given values from {limits}, but takes {wants}"
            yield Sign(seen.module_of(source), seen.operation(source), shows, change)
            return


def _are_probabilities(scores: Tensor) -> bool:
    if not scores.is_floating_point() or scores.dim() < 1 or bool((scores < 0).any()):
        return False
    total = scores.sum(1 if scores.dim() > 1 else 0)
    return torch.allclose(total, torch.ones_like(total), atol=1e-4)


def loss_axes(seen: Observations) -> Iterator[Sign]:
    """Cross-entropy is given the classes on the last axis of three; or results are broadcast against targets."""
    targets = seen.example.targets
    shape = seen.base.values[seen.base.results[0]].data.shape
    if "Expected target size" in seen.base.loss_error and isinstance(targets, Tensor) and shape[:-1] == targets.shape:
        yield Sign("", "the loss", f"The loss takes axis 1 for the classes, and fails on {seen.base.loss_error}")
    for k in range(seen.base.loss_from, len(seen.base.values)):
        value = seen.base.values[k]
        yield from _broadcast(seen, k)
        if value.op != "cross_entropy" or not value.inputs:
            continue
        shape = seen.base.values[value.inputs[0]].data.shape
        rows, steps = seen.result_axes(value.inputs[0])
        if len(shape) > 2 and 1 in (rows, steps) and not _is_transposed(seen, value.inputs[0], rows):
            what = "time steps" if steps == 1 else "rows"
            shows = f"cross_entropy is given {[*shape]}, but takes axis 1, the {what}, for the classes"
            yield Sign("", seen.operation(k), shows)


def _is_transposed(seen: Observations, scores: int, rows: int | None) -> bool:
    """Whether scores have as many classes as steps, and something was transposed after a layer: no axis tells."""
    if len(seen.step_axes(scores, rows)) < 2:
        return False
    outputs = {k for call in seen.base.calls for k in call.outputs}
    moved = [k for k in seen.base.ancestors([scores]) if seen.base.values[k].op in _TRANSPOSES]
    return any(outputs & seen.base.ancestors([k]) for k in moved)


def _broadcast(seen: Observations, k: int) -> Iterator[Sign]:
    """Results and targets have different shapes, and each result is compared with the targets of several rows."""
    value, targets = seen.base.values[k], seen.example.targets
    shapes = [seen.base.values[i].data.shape for i in value.inputs if i in seen.base.results]
    if value.op not in _BY_ELEMENT or not shapes or not isinstance(targets, Tensor):
        return
    (shape, *_), goal = shapes, targets.shape
    try:
        both = torch.broadcast_shapes(shape, goal)
    except RuntimeError:
        return
    if both.numel() > max(shape.numel(), goal.numel()) > 1:
        shows = f"{value.op} is given {[*shape]} and targets {[*goal]}, which it expands to {[*both]}: "
        shows += "each result is compared with the targets of all rows"
        change = "give both the same shape, such as results.squeeze(-1) or targets.unsqueeze(-1)"
        yield Sign("", seen.operation(k), shows, change)


def loss_over_padding(seen: Observations) -> Iterator[Sign]:
    """The loss depends on results after the end of a row."""
    lengths, loss = seen.example.lengths, seen.base.loss
    if lengths is None or loss is None or loss.numel() != 1:
        return
    for k in seen.base.results:
        rows, steps = seen.result_axes(k)
        gradient = seen.gradients(loss, {k: seen.base.values[k].tensor})[k]
        if gradient is None or rows is None or steps is None:
            continue
        by_row = by_row_and_step(gradient, rows, steps).abs().sum(2).cpu()
        past = torch.arange(by_row.shape[1]) >= lengths[:, None]
        count = int(((by_row != 0) & past).sum())
        if count:
            share = float(by_row[past].sum() / by_row.sum())
            shows = f"{count} of {int(past.sum())} padded results have a gradient, {100 * share:.0f} % of the gradient"
            yield Sign("", "the loss", shows)


def _sequences(seen: Observations) -> Iterator[tuple[int, Tensor]]:
    """Yield the sequences among the arguments, rows first and then steps, and which part each is."""
    for k, (leaf, part) in enumerate(zip(seen.example.leaves, seen.example.parts, strict=True)):
        if part.kind == "sequence" and isinstance(leaf, Tensor) and part.rows is not None and part.steps is not None:
            yield k, leaf.movedim((part.rows, part.steps), (0, 1))


def target_read(seen: Observations) -> Iterator[Sign]:
    """The targets are among the arguments, and results depend on them at or after their own step."""
    targets = seen.example.targets
    rows = seen.example.rows
    if not isinstance(targets, Tensor) or targets.shape[:1] != (rows,) or targets.numel() < 3:
        return
    if any(view_for_transpose(seen)):  # results are at other steps than their own
        return
    for part, sequence in _sequences(seen):
        for shift, what in _places_of_target(sequence, targets):
            if _reads_target(seen, part, shift, per_step=targets.dim() > 1 and targets.shape[1] > 1):
                shows = f"The target of each step is {what}, and the result there changes with it"
                if shift is None:
                    shows = f"The target of each row is {what}, and the result changes with it"
                yield Sign("", f"argument {part}", shows)
                return


def _places_of_target(sequence: Tensor, targets: Tensor) -> Iterator[tuple[int | None, str]]:
    """Yield how many steps ahead of its own step the target appears in the input; None for one target per row."""
    if sequence.is_floating_point() != targets.is_floating_point():
        return
    features = sequence.flatten(2) if sequence.dim() > 2 else sequence[..., None]
    steps = features.shape[1]
    wanted = targets.flatten(1) if targets.dim() > 1 else targets[:, None]
    if wanted.shape[1] == steps and steps > 2:
        for shift in (0, 1, 2):
            same = features[:, shift:] == wanted[:, : steps - shift, None]
            for k in torch.nonzero(same.flatten(0, 1).all(0)).flatten().tolist():
                yield (
                    shift,
                    f"feature {k} of the input {counted(shift, 'step')} later"
                    if shift
                    else f"feature {k} of its own input",
                )
    elif wanted.shape[1] == 1 and targets.is_floating_point() and len(wanted.unique()) > 2:
        for step, k in torch.nonzero((features == wanted[:, :, None]).all(0)).tolist():
            yield None, f"feature {k} of its input at step {step}"


def _reads_target(seen: Observations, part: int, shift: int | None, *, per_step: bool) -> bool:
    if shift is None or not per_step:
        return True
    changed = seen.example.with_step_changed(-1, torch.Generator().manual_seed(0)).leaves
    leaves = iter(changed[k] if k == part else leaf for k, leaf in enumerate(seen.example.leaves))
    run = seen.rerun(seen.example.mapped(lambda *_: next(leaves)))
    for k in seen.base.results:
        rows, steps = seen.result_axes(k)
        mask = run.change_of(k)
        if mask is None or rows is None or steps is None:
            continue
        by_row, place = by_row_and_step(mask, rows, steps).any(2).cpu(), torch.arange(seen.example.steps)
        last = seen.lengths_along(k, rows)[:, None] - 1  # of each row, which is the step that was changed
        is_earlier = shift == 0 and bool((by_row & (place < last)).any())
        if bool((by_row & (place == last - shift)).any()) and not is_earlier:
            return True
    return False


def last_value_repeated(seen: Observations) -> Iterator[Sign]:
    """A forecast is the last value of the series, or a constant, and no better than that."""
    targets = seen.example.targets
    if not isinstance(targets, Tensor) or not targets.is_floating_point() or not seen.base.results:
        return
    result = seen.base.values[seen.base.results[0]].data
    if result.numel() != targets.numel() or not result.is_floating_point():
        return
    forecast, wanted = result.reshape(targets.shape), targets.to(result)
    error = float((forecast - wanted).square().mean())
    spread = float(wanted.std())
    across = float(forecast.std(0).max()) if len(forecast) > 1 else spread
    if spread > 0 and across < 1e-3 * spread:
        shows = f"Over the rows, its forecasts spread by {across:.2g}, the targets by {spread:.2g}: it is a constant"
        yield Sign("", "its result", shows)
    for _, sequence in _sequences(seen):
        if not sequence.is_floating_point():
            continue
        for feature in sequence.flatten(2).unbind(2) if sequence.dim() > 2 else [sequence]:
            last = feature if targets.dim() > 1 and targets.shape[:2] == feature.shape else feature[:, -1:]
            if last.numel() not in (targets.numel(), len(targets)) or not spread > 0:
                continue
            last = last.reshape(len(last), -1).expand(targets.reshape(len(targets), -1).shape).reshape(targets.shape)
            distance = float((forecast - last).square().mean().sqrt())
            naive = float((last - wanted).square().mean())
            if distance < 0.1 * spread and error > 0.9 * naive:
                shows = (
                    f"Its forecasts differ from the last value by {distance:.2g} (the targets spread by {spread:.2g}); "
                    f"its squared error is {error:.3g}, that of the last value {naive:.3g}"
                )
                yield Sign("", "its result", shows)
                return


def unused(seen: Observations) -> Iterator[Sign]:
    """Modules with parameters are never called, or nothing reads what a recurrent layer computes."""
    for path, calls in seen.by_layer.items():
        outputs = {k for call in calls for k in call.outputs}
        if not outputs & seen.used and not seen.is_read(path):
            yield Sign(
                path, "its outputs", "It is called, but nothing that it computes reaches a result", is_note=False
            )
    names = [
        path
        for path, part in seen.model.named_modules()
        if path
        and path not in seen.base.modules
        and any(True for _ in part.parameters(recurse=False))
        and not _weights_used(seen, part)
    ]
    if names:
        listed = ", ".join(f"`{name}`" for name in names[:4]) + (", ..." if names[4:] else "")
        yield Sign(names[0], "", f"Not called on this example, though they have parameters: {listed}")


def _weights_used(seen: Observations, part: nn.Module) -> bool:
    own = {id(weight) for weight in part.parameters()}
    return any(value.op == "parameter" and id(value.tensor) in own for value in seen.base.values)


def slow(seen: Observations) -> Iterator[Sign]:
    """One of our layers that leaves the fast path, or a cell in a loop that a layer would compute in one call."""
    for path, calls in seen.by_layer.items():
        layer = calls[0].layer
        if not calls[0].is_cell and hasattr(layer, "path"):
            try:
                report = cast(Any, layer).path(seen.base.values[calls[0].x].data)
            except (HiddenStateError, RuntimeError, TypeError, ValueError):
                continue
            if report.name in ("reference", "torch"):
                reason = next(iter(report.reasons.values()), "")
                yield Sign(path, f"its path, {report.name}", f"A faster path can't run it: {reason}")
        elif calls[0].is_cell and len(calls) > 3:
            own = {k for call in calls for k in call.outputs}
            if not any(seen.base.ancestors([call.x]) & own for call in calls[1:3]):
                shows = f"It is called {len(calls)} times, with inputs that do not depend on its own results"
                yield Sign(path, "its calls", shows, "a layer computes the same in one call, several times as fast")
