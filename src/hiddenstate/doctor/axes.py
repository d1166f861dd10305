"""Findings about rows and time steps: mixed, exchanged or lost rows, steps that are not read, a future that is read."""

from collections.abc import Iterator

import torch

from hiddenstate.doctor.observations import Observations, by_row_and_step
from hiddenstate.doctor.report import Sign
from hiddenstate.tracing.watch import LayerCall, Run, is_other

_PAIRS = ("matmul", "mm", "bmm", "einsum", "cdist", "cosine_similarity", "sub", "tensordot")
_SHORTENS = ("conv1d", "conv2d", "max_pool1d", "avg_pool1d", "max_pool2d", "unfold", "stft", "max_pool1d_with_indices")
RIGHT, EXCHANGED, MIXED, UNKNOWN = "right", "exchanged", "mixed", "unknown"


def input_of_layer(seen: Observations, call: LayerCall) -> str:
    """Say whether the rows that a layer reads are the example's rows."""
    owners = seen.owners(call.x)
    if owners is None or bool((owners == -2).any()):
        return UNKNOWN
    several = int((owners.unique() >= 0).sum()) > 1
    if call.rows is not None:
        per_row = [owners[call.rows == row].unique() for row in call.rows.unique()]
        return MIXED if any(int((part >= 0).sum()) > 1 for part in per_row) else RIGHT
    if owners.dim() != (2 if call.is_cell else 3):
        return UNKNOWN
    axes = seen.row_axes(call.x)
    if not several:  # a single row, in a loop over rows; or a cell that reads a row's steps as rows
        is_row = call.is_cell and bool((owners >= 0).any()) and owners.shape[0] == seen.example.steps > 1
        return EXCHANGED if is_row else UNKNOWN
    if call.row_axis in axes:
        return RIGHT
    return EXCHANGED if not call.is_cell and 1 - call.row_axis in axes else MIXED


def axes_exchanged(seen: Observations) -> Iterator[Sign]:
    """A layer reads rows as time steps, or the axes of its state are exchanged."""
    for call, *_ in seen.by_layer.values():
        value = seen.base.values[call.x]
        if input_of_layer(seen, call) == EXCHANGED:
            sizes = [*value.data.shape]
            if call.is_cell:
                shows = f"It is given {sizes}, the steps of one row, as the rows of one step, and rows as its steps"
                change = "call it with one step of all rows, x[:, t]"
            else:
                option = getattr(call.layer, "batch_first", False)
                axis = 1 - call.row_axis
                shows = (
                    f"It is given {sizes}, of which axis {axis} is the rows; with batch_first={option} it reads that "
                    f"axis as time. A change in row 0 changes the outputs of the rows after it"
                )
                change = f"set batch_first={not option}, or exchange the two axes before the call"
            yield Sign(call.path, f"its input, from {seen.operation(call.x)}", shows, change)
        for k in call.states:
            axis, axes = (0 if call.is_cell else 1), seen.row_axes(k)
            if axes and axis not in axes and not call.is_cell and 0 in axes:
                sizes = [*seen.base.values[k].data.shape]
                shows = f"Its initial state is {sizes}, of which axis 0 is the rows; the rows of a state are on axis 1"
                change = "make the state [layers, rows, units], whatever batch_first is"
                yield Sign(call.path, f"its state, from {seen.operation(k)}", shows, change, "M7")


def _breaker(seen: Observations, value: int) -> int | None:
    """Return the operation, going back from a value, after which no axis is the rows; None if there is none."""
    visited = set()
    while value not in visited:
        visited.add(value)
        if seen.row_axes(value):
            return None
        inputs = [k for k in seen.base.values[value].inputs if seen.has_rows(k)]
        if any(seen.row_axes(k) for k in inputs):
            return value
        value = next((k for k in inputs if not seen.is_mixed(k)), value)
    return None


def _first_mixing(seen: Observations) -> int | None:
    """Return the first value of the results' ancestors that depends on several rows; None if no result does."""
    results = [k for k in seen.base.results if seen.base.values[k].data.numel() > 1]
    if not any(seen.is_mixed(k) for k in results):
        return None
    return next((k for k in sorted(seen.used) if seen.is_mixed(k)), None)


def view_for_transpose(seen: Observations) -> Iterator[Sign]:
    """A reshape puts parts of several rows where one row should be: before a layer, in a state, or before a head."""
    broken: dict[int, str] = {}
    for call, *_ in seen.by_layer.values():
        values = [call.x] if input_of_layer(seen, call) == MIXED else []
        values += [k for k in call.states if seen.has_rows(k) and not seen.row_axes(k) and not seen.is_mixed(k)]
        for k in values:
            broken.setdefault(_breaker(seen, k) or k, call.path)
    mixing = _first_mixing(seen)
    if not broken and mixing is not None:
        for k in seen.base.values[mixing].inputs:
            breaker = None if seen.is_mixed(k) or not seen.has_rows(k) else _breaker(seen, k)
            if breaker is not None:
                broken.setdefault(breaker, seen.module_of(mixing))
    if not broken and mixing is None:
        for k in seen.base.results:
            breaker = _breaker(seen, k) if seen.has_rows(k) and seen.base.values[k].data.dim() > 1 else None
            if breaker is not None:
                broken.setdefault(breaker, seen.module_of(breaker))
    for k, path in broken.items():
        yield Sign(path, seen.operation(k), f"{_shapes_around(seen, k)}: parts of several are side by side")


def _shapes_around(seen: Observations, value: int) -> str:
    """Describe the shapes before and after an operation whose result has no axis of rows."""
    after = f"{[*seen.base.values[value].data.shape]}, in which no axis is the rows"
    before = next((k for k in seen.base.values[value].inputs if seen.row_axes(k)), None)
    if before is None:
        return after
    axis = next(iter(seen.row_axes(before)))
    return f"{[*seen.base.values[before].data.shape]}, whose axis {axis} is the rows, becomes {after}"


def rows_mixed(seen: Observations) -> Iterator[Sign]:
    """An operation combines rows: a mean, softmax or normalisation over the wrong axis."""
    k = _first_mixing(seen)
    if k is None or any(view_for_transpose(seen)) or any(axes_exchanged(seen)):
        return
    value = seen.base.values[k]
    rows = seen.example.rows
    if value.op in _PAIRS and [*value.data.shape].count(rows) > 1:
        return  # every row is compared with every other, as a contrastive loss does
    owners = [i for i in value.inputs if seen.has_rows(i)]
    axis = next((f", whose axis {axis} is the rows," for i in owners for axis in seen.row_axes(i)), "")
    shows = f"Its input{axis} keeps rows apart, and its result does not: one row's input changes the results of others"
    yield Sign(value.module, seen.operation(k), shows)


def rows_out_of_order(seen: Observations) -> Iterator[Sign]:
    """A result's rows come in a different order from the example's."""
    for k in seen.base.results:
        for axis, order in seen.row_axes(k).items():
            if len(order) == seen.example.rows and order != sorted(order) and -1 not in order:
                calls = [call for call in seen.base.calls if seen.base.ancestors([k]).intersection(call.outputs)]
                path = calls[-1].path if calls else seen.module_of(k)
                shows = f"Along axis {axis} of the result, the rows are {order}: results go to the wrong sequences"
                yield Sign(path, seen.operation(k), shows)
                return


def lost_rows(seen: Observations) -> list[int]:
    """Return the rows that have no influence on any result, if others have one."""
    read = []
    for run in seen.row_runs:
        if any(run.change_of(k) is None for k in seen.base.results):
            return []
        # Compared exactly: rows are told apart only from what is more than rounding, but may have less influence.
        pairs = [(run.values[k].tensor.detach(), seen.base.values[k].data) for k in seen.base.results]
        read.append(any(is_other(new, old) for new, old in pairs))
    return [row for row, is_read in enumerate(read) if not is_read] if any(read) else []


def rows_lost(seen: Observations) -> Iterator[Sign]:
    """Some rows have no influence on any result, and not only because just their padding is read."""
    lost = lost_rows(seen)
    if lost and not are_the_padded(seen, lost):
        k = where_lost(seen, seen.row_runs[lost[0]])
        shows = f"The inputs of rows {lost} of {len(seen.row_runs)} change no result"
        yield Sign(_reader(seen, k), seen.operation(k), shows)


def row_squeezed(seen: Observations) -> Iterator[Sign]:
    """With one row, an operation drops the axis of the rows."""
    single = seen.single
    if single is None:
        return
    for k, (value, alone) in enumerate(zip(seen.base.values, single.values, strict=False)):
        if value.op != alone.op:
            return
        before, after = [*value.data.shape], [*alone.data.shape]
        if len(after) < len(before) and k in seen.used:
            effect = f", and the model fails: {single.error}" if single.error else ""
            shows = f"Of {seen.example.rows} rows, its result is {before}; of one row, {after}{effect}"
            yield Sign(value.module, seen.operation(k), shows)
            return


def are_the_padded(seen: Observations, rows: list[int]) -> bool:
    """Whether these rows are the padded ones: those that are shorter than the longest."""
    lengths = seen.example.lengths
    return lengths is not None and rows == (lengths < lengths.max()).nonzero()[:, 0].tolist()


def where_lost(seen: Observations, run: Run) -> int:
    """Return the last operation whose input changed and whose result did not."""
    for k in sorted(seen.used, reverse=True):
        is_input_changed = any(run.is_changed(i) for i in seen.base.values[k].inputs)
        if is_input_changed and k < len(run.changed) and not run.is_changed(k):
            return k
    return seen.base.results[0]


def _reader(seen: Observations, value: int) -> str:
    """Return the path of the recurrent module whose output a value is a part of, or of the module that computed it."""
    outputs = {k: call.path for call in seen.base.calls for k in call.outputs}
    todo, visited = [value], set()
    while todo:
        k = todo.pop(0)
        if k in outputs:
            return outputs[k]
        visited.add(k)
        todo += [i for i in seen.base.values[k].inputs if i not in visited]
    return seen.module_of(value)


def earlier_changed(seen: Observations, value: int) -> int | None:
    """Return how far before the last step a value depends on it, in steps; None if it does not."""
    mask = seen.changed("last", value)
    rows, steps = seen.result_axes(value)
    if mask is None or steps is None:
        return None
    if seen.example.lengths is None or rows is None:  # all rows in one
        by_row, lengths = mask.movedim(steps, 0).reshape(mask.shape[steps], -1).any(1)[None], [seen.example.steps]
    else:
        by_row, lengths = by_row_and_step(mask, rows, steps).any(2), seen.lengths_along(value, rows).tolist()
    ahead = []
    for row, length in enumerate(lengths):
        before = by_row[row, : length - 1]
        ahead += [length - 1 - int(before.long().argmax())] if bool(before.any()) else []
    return max(ahead, default=None)


def future_read(seen: Observations) -> Iterator[Sign]:
    """A result at a step depends on later steps."""
    if seen.question.causal is False:
        return
    for k in seen.base.results:
        ahead = earlier_changed(seen, k)
        if ahead is None:
            continue
        used = sorted(seen.base.ancestors([k]))
        first = next((i for i in used if earlier_changed(seen, i) is not None), k)
        call = seen.base.call_of(first)
        before = seen.base.ancestors([first])  # the output of a layer that reads packed input has no axes to see it by
        call = call or next(
            (call for call in seen.base.calls if call.directions == 2 and before & {*call.outputs}), None
        )
        both = call is not None and call.directions == 2
        path = seen.module_of(first) if call is None else call.path
        shows = f"A change at the last step changes results up to {ahead} steps before it"
        if both:
            shows += ", since the layer is bidirectional"
        note = not seen.question.causal
        if note:
            shows += (
                ". That is right where the whole sequence is known, and wrong for a forecast, a next word or a stream"
            )
        place = seen.operation(first if call is None else call.sequence)
        yield Sign(path, place, shows, idea="M33" if both else "", is_note=note)
        return


def _steps_of(seen: Observations, call: LayerCall) -> int:
    shape = seen.base.values[call.x].data.shape
    return 1 if call.is_cell else shape[1 - call.row_axis] if len(shape) == 3 else shape[0]


def steps_apart(seen: Observations) -> Iterator[Sign]:
    """A cell, or a layer that is called step by step, starts from an initial state at every step."""
    for path, calls in seen.by_layer.items():
        if len(calls) < 3 or calls[0].rows is not None or any(_steps_of(seen, call) != 1 for call in calls):
            continue
        steps = [call for call in calls if seen.depends_on_steps(call.x)]
        read = {name for call in steps for name in seen.step_runs if seen.depends(name, call.x)}
        carried = any(seen.depends_on_steps(k) for call in calls for k in call.states)
        if len(read) < 2 or carried or seen.depends("first", calls[-1].x):
            continue
        states = "no state" if not calls[-1].states else "a state that no step has changed"
        shows = f"It is called {len(calls)} times, and each time with {states}: no step reads what came before it"
        yield Sign(path, "its state", shows)


def one_step(seen: Observations) -> Iterator[Sign]:
    """A layer is given sequences of one step, although the example has more."""
    for path, calls in seen.by_layer.items():
        if seen.example.steps < 2 or calls[0].is_cell or any(_steps_of(seen, call) != 1 for call in calls):
            continue
        owned = any(seen.has_rows(k) or seen.depends_on_steps(k) for call in calls for k in call.states)
        if calls[0].rows is not None or owned or len(calls) > 2:
            continue
        x = seen.base.values[calls[0].x].data
        example = seen.example.sequence
        features = example.dim() == 2 and example.is_floating_point()
        shows = (
            f"It is given {[*x.shape]}: {x.shape[calls[0].row_axis]} rows of one step, from an example of "
            f"{seen.example.steps} steps. Its recurrent weights read a state of zeros"
        )
        operation = f"its input, from {seen.operation(calls[0].x)}"
        yield Sign(path, operation, shows, is_note=True if features else None)


def last_step_unread(seen: Observations) -> Iterator[Sign]:
    """A result for a whole row does not depend on its last step."""
    for k in seen.base.results:
        _, steps = seen.result_axes(k)
        shape = seen.base.values[k].data.shape
        is_per_row = seen.example.rows in shape[:2]  # not the steps of all rows, one after another
        if steps is not None or not is_per_row or seen.depends("last", k) is not False:
            continue
        if not (seen.depends("first", k) or seen.depends("before the last", k)):
            continue
        used = seen.base.ancestors([k])
        layers = [call for call in seen.base.calls if call.sequence in used or used & {*call.outputs}]
        reaches = any(seen.depends("last", call.x) for call in layers)
        shortened = any(seen.base.values[i].op in _SHORTENS for i in used)
        lost = where_lost(seen, seen.step_runs["last"])
        read = "the steps before it do" if seen.depends("before the last", k) else "only step 0 does"
        shows = f"Of {seen.example.steps} steps, the last one of each row changes no result; {read}"
        path = _reader(seen, lost) if reaches else layers[0].path if layers else seen.module_of(lost)
        yield Sign(path, seen.operation(lost), shows, is_note=True if shortened and not reaches else None)
        return


def constant_result(seen: Observations) -> Iterator[Sign]:
    """No result depends on the example."""
    runs = [*seen.row_runs, *seen.step_runs.values()]
    masks = [run.change_of(k) for run in runs for k in seen.base.results]
    if not masks or any(mask is None or bool(mask.any()) for mask in masks):
        return
    k = where_lost(seen, runs[0])
    shows = "Changes of whole rows and of single steps of the example change no result"
    yield Sign(_reader(seen, k), seen.operation(k), shows)


def not_finite(seen: Observations) -> Iterator[Sign]:
    """A result is NaN or infinite."""
    bad = [k for k in seen.base.results if not bool(torch.isfinite(seen.base.values[k].data).all())]
    if not bad:
        return
    used = sorted(seen.base.ancestors(bad))
    nans = [k for k in used if bool(seen.base.values[k].data.isnan().any())]
    k = (nans or [k for k in used if not bool(torch.isfinite(seen.base.values[k].data).all())])[0]
    value = seen.base.values[k]
    count = int((~torch.isfinite(value.data)).sum())
    what = "example" if value.op == "input" else f"result of {seen.operation(k)}"
    shows = f"{count} of {value.data.numel()} values of the {what} are NaN or infinite; all before it are finite"
    yield Sign(value.module, seen.operation(k), shows)
