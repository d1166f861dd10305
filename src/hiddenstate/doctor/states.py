"""Findings about padding and states: padding that is read, states that are kept, lost, ignored, or the wrong ones."""

import re
from collections.abc import Iterator, Sequence
from itertools import takewhile

import torch
from torch import Tensor

from hiddenstate.doctor.axes import are_the_padded, earlier_changed, lost_rows, where_lost
from hiddenstate.doctor.observations import Observations, by_row_and_step
from hiddenstate.doctor.report import Sign
from hiddenstate.tracing.traceable import has_keras_layers, is_keras_layer, keras_states
from hiddenstate.tracing.watch import LayerCall, Run, Value, hidden_modules, is_other

_RANDOM_MASKS = ("dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout", "dropout1d", "dropout2d")
_RESET = re.compile("reset|detach|init_(hidden|state)")
_SAME = 1e-5
_MASK = "mask the padding, with mask_zero=True or Masking, and use no layer after it that drops the mask"


def _at_true_steps(seen: Observations, value: int, changed: Tensor) -> Tensor:
    """Return a value's changes up to the end of each row, if its axes show where that is."""
    rows, steps = seen.result_axes(value)
    if rows is None or steps is None:
        return changed
    true = torch.arange(changed.shape[steps]) < seen.lengths_along(value, rows)[:, None]
    return by_row_and_step(changed, rows, steps)[true.to(changed.device)]


def _changes_with_padding(seen: Observations, run: Run, value: int, other: int) -> bool:
    """Whether a value of the first run changes if rows have more padding, or the longest rows are others."""
    old, new = seen.base.values[value].data, run.values[other].data
    if new.dim() != old.dim():
        return False
    for axis, sizes in enumerate(zip(old.shape, new.shape, strict=True)):
        old, new = old.narrow(axis, 0, min(sizes)), new.narrow(axis, 0, min(sizes))
    difference = (new.float() - old.float()).abs().nan_to_num()
    if run is seen.without_longest:  # the rows that are in both
        lengths, rows = seen.example.lengths, seen.result_axes(value)[0]
        if lengths is None or rows is None or seen.row_axes(value)[rows] != [*range(len(lengths))]:
            return False
        is_longest = (lengths == lengths.max()).view(-1, *[1] * (old.dim() - rows - 1)).to(old.device)
        difference = difference.masked_fill(is_longest, 0)
    difference = _at_true_steps(seen, value, difference)
    if not difference.numel():
        return False
    return float(difference.max()) > _SAME * max(float(old.float().abs().nan_to_num(posinf=0, neginf=0).max()), 1e-12)


def padding_read(seen: Observations) -> Iterator[Sign]:
    """Results of a row's true steps depend on how much padding comes after them."""
    # Values of the padding may matter, such as zeros beside which a convolution reads; their number must not. With
    # other values, every operation is called as before, so that the first one that reads them can be named.
    example, longer, padded = seen.example, seen.lengthened, seen.padded
    changed: list[int] = []
    if longer is not None:
        changed = _changed_with_padding(seen, longer)
    elif padded is not None:
        changed = [k for k in seen.base.results if _reads_padding(seen, padded, k)]
    what = "Three more steps of padding" if longer is not None else "Other values in the padding"
    if not changed and seen.without_longest is not None:  # padding that is cut off after the longest row
        longer, what = seen.without_longest, "Shorter rows in place of the longest, and so less padding in the others,"
        changed = _changed_with_padding(seen, longer)
    if not changed:
        lost = lost_rows(seen)
        if lost and are_the_padded(seen, lost):
            shows = (
                f"The inputs of rows {lost}, which are shorter than the longest, change no result: only padding is read"
            )
            k = where_lost(seen, seen.row_runs[lost[0]])
            yield Sign(seen.module_of(k), seen.operation(k), shows)
        return
    used, sizes = sorted(seen.base.ancestors(changed[:1])), (example.rows * example.steps, example.steps)
    used = [k for k in used if seen.base.values[k].op != "input" and not _is_flat(seen, k, sizes)]
    first = next((k for k in used if padded is not None and _reads_padding(seen, padded, k)), changed[0])
    if first == changed[0] and longer is not None:  # the values are counted from the end: a few before may be more
        by = len(longer.values) - len(seen.base.values)
        pairs = zip(reversed(seen.base.values), reversed(longer.values), strict=False)
        same = len([*takewhile(lambda pair: pair[0].op == pair[1].op, pairs)])
        used = [k for k in used if k >= len(seen.base.values) - same]
        first = next((k for k in used if _changes_with_padding(seen, longer, k, k + by)), first)
    value = seen.base.values[first]
    call = seen.base.call_of(first)
    shortest = int(example.lengths.min()) if example.lengths is not None else 0
    shows = f"{what} change results. Rows are {shortest} to {example.steps} steps long"
    if call is not None and not call.has_lengths:
        kind = "in both directions" if call.directions == 2 else "to the end of the padding"
        shows += f"; `{call.path}` reads all rows {kind}, since it is given no lengths"
    idea = "M30" if call is not None and call.directions == 2 else ""
    path = value.module if call is None else call.path
    by_window = "conv" in value.op  # only at the end of a row, which most published models accept
    change = _MASK if has_keras_layers(seen.model) else ""
    yield Sign(path, seen.operation(first), shows, change, idea, is_note=longer is None or by_window)


def _changed_with_padding(seen: Observations, run: Run) -> list[int]:
    pairs = zip(seen.base.results, run.results, strict=False)
    return [k for k, other in pairs if _changes_with_padding(seen, run, k, other)]


def _reads_padding(seen: Observations, run: Run, value: int) -> bool:
    mask = run.change_of(value)
    if mask is None or mask.dim() != seen.base.values[value].data.dim():
        return False
    return bool(_at_true_steps(seen, value, mask).any())


def _is_flat(seen: Observations, value: int, sizes: Sequence[int]) -> bool:
    """Whether a value has steps, but no axes of rows and steps by which to leave out the padding."""
    rows, steps = seen.result_axes(value)
    return (rows is None or steps is None) and any(size in sizes for size in seen.base.values[value].data.shape)


def _changed_results(seen: Observations, run: Run) -> list[int]:
    pairs = zip(seen.base.results, run.results, strict=False)
    return [k for k, other in pairs if is_other(run.values[other].tensor.detach(), seen.base.values[k].data)]


def _first_changed(seen: Observations, run: Run, results: Sequence[int]) -> Value:
    """Return the first value that differs, or that is computed by a different operation."""
    parted = next((k for k, mask in enumerate(run.changed) if mask is None), len(run.values))
    used = sorted(seen.base.ancestors(results))
    first = next((k for k in used if run.is_changed(k)), parted)
    value = run.values[parted] if first >= parted < len(run.values) else seen.base.values[first]
    return value if first < parted or value.op not in ("parameter", "constant") else value._replace(op="its state")


def _size_of_change(seen: Observations, run: Run, value: int) -> str:
    old, new = seen.base.values[value].data, run.values[run.results[seen.base.results.index(value)]].tensor
    if not old.is_floating_point() or new.shape != old.shape:
        return "differently"
    return f"by up to {float((new.detach() - old).abs().max()):.3g}"


def state_kept(seen: Observations) -> Iterator[Sign]:
    """A second call on the same input gives different results, since the model keeps something."""
    if seen.again.error:
        yield Sign("", "a second call", f"It runs once; the second call fails: {seen.again.error}")
        return
    changed = _changed_results(seen, seen.again)
    if not changed or seen.kept_graph or seen.base.layers_made:
        return  # graph_grows or layer_made_in_forward reports it
    first = _first_changed(seen, seen.again, changed)
    resets = _resets(seen)
    shows = f"A second call on the same example changes results {_size_of_change(seen, seen.again, changed[0])}"
    if resets:
        shows += f"; the model keeps its state until `{resets[0]}` is called"
        yield Sign(first.module, first.place, shows, "call it before another sequence", is_note=True)
    else:
        yield Sign(first.module, first.place, shows)


def _resets(seen: Observations) -> list[str]:
    """Return the names of the methods that reset or detach a model's own state."""
    parts = [*seen.model.modules(), *(module for _, module in hidden_modules(seen.model))]
    if any(True for part in parts for _ in keras_states(part)):
        return ["reset_state"]
    classes = {type(part) for part in parts if not is_keras_layer(part)}
    names = {name for kind in classes for name in {*dir(kind)} - {*dir(torch.nn.Module)}}
    return sorted(name for name in names if _RESET.search(name) and not name.endswith("reset_parameters"))


def graph_grows(seen: Observations) -> Iterator[Sign]:
    """The state that is kept between calls is not detached: the second backward pass fails, or each takes longer."""
    if not seen.kept_graph or seen.again.error:
        return
    first = _first_changed(seen, seen.again, _changed_results(seen, seen.again) or seen.base.results)
    shows = "Gradients of the second call's result go back into the first call, whose graph the first backward frees"
    resets = _resets(seen)
    if resets:
        shows += f"; call `{resets[0]}` before it"
    yield Sign(first.module, first.place, shows, is_note=bool(resets))


def random_result(seen: Observations) -> Iterator[Sign]:
    """In eval mode, results depend on random numbers."""
    changed = _changed_results(seen, seen.reseeded)
    if not changed or seen.base.layers_made:
        return
    first = _first_changed(seen, seen.reseeded, changed)
    size = _size_of_change(seen, seen.reseeded, changed[0])
    shows = f"In eval mode, another random seed changes results {size}"
    if first.op in _RANDOM_MASKS:
        change = "pass training=self.training to the function, or use the module nn.Dropout"
        yield Sign(first.module, first.place, f"{shows}: dropout acts", change, "M24")
        return
    for calls in seen.by_layer.values():
        drawn = [k for k in calls[0].states if seen.reseeded.is_changed(k) and not seen.depends_on_rows(k)]
        if drawn and not seen.reseeded.is_changed(calls[0].x):  # a code that is drawn for each row depends on it
            yield Sign(calls[0].path, f"its initial state, from {first.place}", f"{shows}: it begins at random")
            return
    yield Sign(first.module, first.place, shows, "call it with a fixed seed to compare results", is_note=True)


def layer_made_in_forward(seen: Observations) -> Iterator[Sign]:
    """A module is made inside forward: its weights are new at every call."""
    for path, line in seen.base.layers_made.items():
        yield Sign(path, line, "It draws the initial values of parameters at every call")


def unregistered(seen: Observations) -> Iterator[Sign]:
    """Parameters are used that are not registered in the model, such as those in a list, a dict or a function."""
    hidden = {path: module for path, module in hidden_modules(seen.model) if path in seen.base.modules}
    counts = {path: sum(p.numel() for p in module.parameters(recurse=False)) for path, module in hidden.items()}
    for k, path in seen.base.unregistered.items():
        if path not in seen.base.layers_made and path not in counts:
            counts[path] = seen.base.values[k].data.numel()
    for path, count in counts.items():
        if count:
            shows = f"It uses {count:,} weights that model.parameters() does not return"
            yield Sign(path, "", f"{shows}: no optimizer trains them and no checkpoint contains them")


def state_ignored(seen: Observations) -> Iterator[Sign]:
    """A state that is passed in changes nothing, or chunks that carry it differ from the whole."""
    run = seen.restated
    if run is not None and not _changed_results(seen, run) and not run.error and not _is_masked(seen):
        path = next(iter(seen.by_layer), "")
        yield Sign(path, "its initial state", "Other values of the state that is passed in change no result")
        return
    chunked = seen.chunked
    if chunked is None or any(earlier_changed(seen, k) for k in seen.base.results):
        return
    difference = float((chunked.chunks - chunked.whole).abs().max())
    if difference <= 1e-4 * max(float(chunked.whole.abs().max()), 1e-12):
        return
    path = next(iter(seen.by_layer), "")
    ignored = torch.equal(chunked.chunks, chunked.fresh)
    shows = f"Two chunks that carry the state differ from the whole sequence by up to {difference:.3g}"
    if ignored:
        shows += f"; the second chunk is as if `{chunked.argument}` had not been passed in"
    yield Sign(path, f"`{chunked.argument}`", shows, is_note=None if ignored else True)


def _is_masked(seen: Observations) -> bool:
    """Whether a state that is passed in reaches the results, as 0 times its value: all rows of the example begin."""
    return any(gradient is not None for gradient in seen.state_gradients)


def cell_state_lost(seen: Observations) -> Iterator[Sign]:
    """In a loop, c is not carried, or h is passed in for c."""
    for path, calls in seen.by_layer.items():
        pairs = [(k, calls[k - 1].final, calls[k].states) for k in range(1, len(calls)) if len(calls[k].states) == 2]
        if len(pairs) < 2 or any(len(final) != 2 for _, final, _ in pairs):
            continue
        data = [
            ([seen.base.values[i].data for i in final], [seen.base.values[i].data for i in states])
            for _, final, states in pairs
        ]
        for own, other, name in ((1, 0, "c"), (0, 1, "h")):
            # where one of the two is carried, as after a step, and not where another sequence begins
            lost = [
                (pair, before, after)
                for pair, (before, after) in zip(pairs, data, strict=True)
                if not torch.equal(before[own], after[own])
                and (torch.equal(before[other], after[other]) or torch.equal(before[other], after[own]))
            ]
            if len(lost) < 2 or not any(seen.depends_on_steps(k) for (_, _, states), *_ in lost for k in states):
                continue
            wrong = [torch.equal(before[other], after[own]) for _, before, after in lost]
            instead = "hc"[other == 1]
            if all(wrong):
                shows = f"Its {name} at every step is the {instead} of the step before it"
            elif not any(seen.depends_on_steps(states[own]) for (_, _, states), *_ in lost):
                shows = f"Its {name} at every step is one that no step has changed, though its {instead} is carried"
            else:
                continue
            yield Sign(path, "its state", shows)
            break


def wrong_state(seen: Observations) -> Iterator[Sign]:
    """The results read a state other than the last layer's final one, judging by the outputs that they depend on."""
    for path, calls in seen.by_layer.items():
        call = calls[-1]
        if call.is_cell or any(len(other.outputs) < 2 for other in calls):
            continue
        h, out = _read_of(seen, calls, 1), _read_of(seen, calls, 0)
        c = _read_of(seen, calls, 2) if len(call.outputs) > 2 else None
        if h is None and out is None and c is not None:
            shows = "Of its outputs, the results read only c_n, the memory, and never h"
            yield Sign(path, "its c_n", shows, idea="M3")
        if h is not None:
            reading = [seen.base.ancestors([k]) for k in seen.base.results]
            both = any(
                used & {o.outputs[0] for o in calls} and used & {o.outputs[1] for o in calls} for used in reading
            )
            yield from _wrong_part_of_h(call, path, h, is_note=True if both and out is not None else None)
        if out is not None and call.directions == 2:
            yield from _wrong_end(seen, calls, h)


def _read_of(seen: Observations, calls: Sequence[LayerCall], which: int) -> Tensor | None:
    """Return where the results read an output of a layer's calls, which have one shape; None if nowhere."""
    total: Tensor | None = None
    for call in calls:
        gradient = seen.layer_gradients.get(call.outputs[which])
        mask = None if gradient is None else gradient != 0
        if mask is not None and bool(mask.any()):
            total = mask if total is None or total.shape != mask.shape else total | mask
    return total


def _wrong_part_of_h(call: LayerCall, path: str, read: Tensor, *, is_note: bool | None) -> Iterator[Sign]:
    layers, directions = int(getattr(call.layer, "num_layers", 1)), call.directions
    by_state = read.flatten(1).any(1).view(layers, directions)
    names = [f"h_n[{k}]" for k in range(layers * directions) if by_state.flatten()[k]]
    if not bool(by_state[-1].any()):
        shows = (
            f"The results read {', '.join(names)} of its {layers} layers: never the last layer's, h_n[-{directions}]"
        )
        yield Sign(path, "its h_n", shows, idea="M4", is_note=is_note)
    elif directions == 2 and not bool(by_state[-1].all()):
        lost = "forward" if not bool(by_state[-1, 0]) else "reverse"
        shows = f"The results read {', '.join(names)}: never the {lost} direction's final state of the last layer"
        yield Sign(path, "its h_n", shows, "read both, torch.cat([h_n[-2], h_n[-1]], -1)", "M5", is_note=is_note)


def _wrong_end(seen: Observations, calls: Sequence[LayerCall], h: Tensor | None) -> Iterator[Sign]:
    path = calls[0].path
    reads = [(call, read) for call in calls if (read := _read_of(seen, [call], 0)) is not None]
    for half, name in enumerate(("forward", "reverse")):
        if h is None and not any(bool(read.chunk(2, -1)[half].any()) for _, read in reads):
            shows = f"The results read nothing of its {name} direction"
            yield Sign(path, "its output", shows, "read both halves of its output", "M5")
            return
    for half, name in ((1, "reverse"), (0, "forward")):
        if all(_is_read_at_end(seen, call, read.chunk(2, -1)[half], name) for call, read in reads):
            where = "its last step" if name == "reverse" else "step 0"
            shows = f"The results read its {name} direction only at {where}, where that direction has read one step"
            yield Sign(path, "its output", shows, idea="M5")


def _is_read_at_end(seen: Observations, call: LayerCall, read: Tensor, name: str) -> bool:
    """Whether a direction's output is read only at the step at which that direction begins."""
    if read.dim() != 3 or call.rows is not None:
        return False
    part = (read if call.row_axis == 0 else read.transpose(0, 1)).any(2)
    steps = part.shape[1]
    end = steps - 1 if name == "reverse" else 0
    return steps > 2 and bool((part.sum(1) == 1).all()) and _is_at_end(seen, part, name, end)


def _is_at_end(seen: Observations, part: Tensor, name: str, end: int) -> bool:
    places = part.long().argmax(1).cpu()
    lengths = seen.example.lengths
    if name == "reverse" and lengths is not None and len(lengths) == len(places):
        return bool(((places == end) | (places == lengths - 1)).all())
    return bool((places == end).all())
