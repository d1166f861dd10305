"""Findings about rows and time steps: mixed, exchanged or lost rows, steps that are not read, a future that is read."""

from collections.abc import Iterator

import torch

from hiddenstate.doctor.observations import Observations, by_row_and_step
from hiddenstate.doctor.report import Sign, counted
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
                    f"It is given {sizes}, whose axis {axis} is the batch axis; with batch_first={option} it reads "
                    "that axis as time. A change in row 0 changes the outputs of the rows after it"
                )
                change = f"set batch_first={not option}, or exchange the two axes before the call"
            yield Sign(call.path, f"its input, from {seen.operation(call.x)}", shows, change)
        for k in call.states:
            axis, axes = (0 if call.is_cell else 1), seen.row_axes(k)
            if axes and axis not in axes and not call.is_cell and 0 in axes:
                sizes = [*seen.base.values[k].data.shape]
                shows = f"Its initial state is {sizes}, whose axis 0 is the batch axis; a state's batch axis is axis 1"
                change = "make the state [layers, rows, units], whatever batch_first is"
                yield Sign(call.path, f"its state, from {seen.operation(k)}", shows, change, "M7")


def _breaker(seen: Observations, value: int) -> int | None:
    """Return the operation, going back from a value, after which there is no batch axis; None if there is none."""
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
    yield from () if broken else _steps_scattered(seen)


def _steps_scattered(seen: Observations) -> Iterator[Sign]:
    """A reshape of [rows, features, steps] to [rows, steps, features], which leaves rows apart."""
    for k in sorted(seen.used):
        value = seen.base.values[k]
        if value.op not in ("view", "reshape"):
            continue
        size = next(filter(None, (_scattered_size(seen, name, k) for name in ("first", "last"))), 0)
        if not size:
            continue
        call = next((call for call in seen.base.calls if k in seen.base.ancestors([call.x])), None)
        if call is not None:
            steps = seen.base.steps_of(call) if call.rows is None and not call.is_cell else size
            is_wrong = steps == size and input_of_layer(seen, call) == RIGHT
        else:
            is_after = any(seen.base.ancestors([k]) & {*other.outputs} for other in seen.base.calls)
            is_wrong = is_after and not _is_regrouped(seen, k)
        if is_wrong:
            sizes = [[*seen.base.values[i].data.shape] for i in (value.inputs[0], k)]
            shows = f"{sizes[0]} becomes {sizes[1]}: one step's values are spread over several steps"
            yield Sign(seen.module_of(k) if call is None else call.path, seen.operation(k), shows)
            return


def _is_regrouped(seen: Observations, value: int) -> bool:
    """Whether a reshape may make one step of several, or several of one, whose features a linear layer reads."""
    before, after = (seen.base.values[k].data.shape for k in (seen.base.values[value].inputs[0], value))
    if len(before) != 3 or len(after) != 3 or max(after[1:]) % min(after[1:]):
        return False
    linear = [k for k in seen.used if seen.base.values[k].op == "linear"]
    return any(value in seen.base.ancestors([k]) for k in linear)


def _scattered_size(seen: Observations, name: str, value: int) -> int:
    """Return the size of the time axis if a reshape leaves a step's change at other places of an axis so long; or 0."""
    places = []
    for k in (seen.base.values[value].inputs[0], value):
        changed, owners = seen.changed(name, k), seen.owners(k)
        if changed is None or owners is None:
            return 0
        where = (changed.cpu() & (owners == 0)).nonzero()  # of one row
        axes = [axis for axis in range(changed.dim()) if axis not in seen.row_axes(k)]
        places.append({axis: (changed.shape[axis], {*where[:, axis].tolist()}) for axis in axes if len(where)})
    before, after = places
    sizes = [[size for size, _ in found.values()] for found in places]
    for size, at in before.values():
        is_time = at == ({*range(len(at))} if name == "first" else {*range(size - len(at), size)}) and len(at) < size
        if is_time and sizes[0].count(size) == sizes[1].count(size) == 1 and (size, at) not in after.values():
            return size
    return 0


def _shapes_around(seen: Observations, value: int) -> str:
    """Describe the shapes before and after an operation whose result has no axis of rows."""
    after = f"{[*seen.base.values[value].data.shape]}, which has no batch axis"
    before = next((k for k in seen.base.values[value].inputs if seen.row_axes(k)), None)
    if before is None:
        return after
    axis = next(iter(seen.row_axes(before)))
    return f"{[*seen.base.values[before].data.shape]}, whose axis {axis} is the batch axis, becomes {after}"


def rows_mixed(seen: Observations) -> Iterator[Sign]:
    """An operation combines rows: a mean, softmax or normalisation over the wrong axis."""
    k = _first_mixing(seen)
    if k is None or _is_other_order(seen, k) or any(view_for_transpose(seen)) or any(axes_exchanged(seen)):
        return
    value = seen.base.values[k]
    rows = seen.example.rows
    if value.op in _PAIRS and [*value.data.shape].count(rows) > 1:
        return  # every row is compared with every other, as a contrastive loss does
    owners = [i for i in value.inputs if seen.has_rows(i)]
    axis = next((f", whose axis {axis} is the batch axis," for i in owners for axis in seen.row_axes(i)), "")
    shows = f"Its input{axis} keeps rows apart, but its result does not: one row's input changes the results of others"
    yield Sign(value.module, seen.operation(k), shows)


def _is_other_order(seen: Observations, value: int) -> bool:
    """Whether an operation combines values that have all rows on one axis, in different orders."""
    orders = [seen.row_axes(k) for k in seen.base.values[value].inputs if seen.has_rows(k)]
    rows = [*range(seen.example.rows)]
    return any(
        sorted(a[n]) == sorted(b[n]) == rows and a[n] != b[n] for a in orders for b in orders for n in {*a} & {*b}
    )


def rows_out_of_order(seen: Observations) -> Iterator[Sign]:
    """Rows come in a different order from the example's, in a result or beside others that are in order."""
    mixing = _first_mixing(seen)
    if mixing is not None and _is_other_order(seen, mixing):
        shows = "Rows in one order are combined with the same rows in another: one row's input changes others' results"
        yield Sign(seen.module_of(mixing), seen.operation(mixing), shows)
    yield from _lengths_out_of_order(seen)
    for k in seen.base.results:
        for axis, order in seen.row_axes(k).items():
            if len(order) == seen.example.rows and order != sorted(order) and -1 not in order:
                calls = [call for call in seen.base.calls if seen.base.ancestors([k]).intersection(call.outputs)]
                path = calls[-1].path if calls else seen.module_of(k)
                shows = f"Along axis {axis} of the result, the rows are {order}: results go to the wrong sequences"
                yield Sign(path, seen.operation(k), shows)
                return


def _lengths_out_of_order(seen: Observations) -> Iterator[Sign]:
    """Rows are packed with the lengths of other rows."""
    lengths, shape = seen.example.lengths, seen.example.sequence.shape
    sequence = next((k for k in seen.base.inputs if seen.base.values[k].data.shape == shape), None)
    passed = zip(seen.example.leaves, seen.example.parts, strict=True)
    given = [torch.as_tensor(leaf).tolist() for leaf, part in passed if part.kind == "lengths"]  # of any sequence
    given += [] if lengths is None else [lengths.tolist()]
    for call, *_ in seen.by_layer.values():
        owners = seen.owners(call.x)
        if lengths is None or call.rows is None or owners is None or sequence not in seen.base.ancestors([call.x]):
            continue  # or it reads another sequence, with its own lengths
        by_element = owners.flatten(1).amax(1)
        read = [int((by_element == row).sum()) for row in range(seen.example.rows)]
        if read not in given and sorted(read) == sorted(lengths.tolist()):
            shows = f"Rows that are {lengths.tolist()} steps long are packed as if they were {read} steps long"
            change = "put rows and lengths in the same order: x[order] with lengths[order], or both as they come"
            yield Sign(call.path, f"its input, from {seen.operation(call.x)}", shows, change)


def lost_rows(seen: Observations) -> list[int]:
    """Return the rows that have no influence on any result, if others have one."""
    read = []
    for run in seen.row_runs:
        if any(run.change_of(k) is None for k in seen.base.results):
            return []
        # Compared exactly: rows are told apart only from what is more than rounding, but may have less influence.
        pairs = [(run.values[k].tensor.detach(), seen.base.values[k].data) for k in seen.base.results]
        read.append(any(is_other(new, old) for new, old in pairs))
    lost = [row for row, is_read in enumerate(read) if not is_read] if any(read) else []
    return [] if lost and _is_rounded(seen, where_lost(seen, seen.row_runs[lost[0]])) else lost


def rows_lost(seen: Observations) -> Iterator[Sign]:
    """Some rows have no influence on any result, and not only because just their padding is read."""
    lost = lost_rows(seen)
    if lost and not are_the_padded(seen, lost) and not any(not_finite(seen)):
        k = where_lost(seen, seen.row_runs[lost[0]])
        if any(_is_at_rows(seen, call, lost) for call in seen.base.calls):
            return  # the layer is saturated, which `gates` reports
        shows = f"The inputs of rows {lost} of {len(seen.row_runs)} change no result"
        yield Sign(_reader(seen, k), seen.operation(k), shows)


def _is_rounded(seen: Observations, value: int) -> bool:
    """Whether an operation makes whole numbers of fractions, such as argmax, which hides small changes."""
    known = seen.base.values[value]
    # An index that is rounded hides them as well: that of gather, or x[index].
    read = known.inputs if len(known.inputs) == 1 else seen.base.ancestors(known.inputs)
    are_fractions = [seen.base.values[k].data.is_floating_point() for k in read]
    return not known.data.is_floating_point() and any(are_fractions)


def _is_at_rows(seen: Observations, call: LayerCall, rows: list[int]) -> bool:
    """Whether results have a gradient with respect to a layer's outputs of some rows."""
    if call.rows is not None or input_of_layer(seen, call) != RIGHT:
        return False
    axes = [0, 0] if call.is_cell else [call.row_axis, 1, 1]
    gradients = [seen.layer_gradients.get(k) for k in call.outputs]
    return any(
        g is not None and all(bool(g.select(axis, row).any()) for row in rows)
        for g, axis in zip(gradients, axes, strict=False)
    )


def row_squeezed(seen: Observations) -> Iterator[Sign]:
    """With one row, an operation drops the batch axis."""
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
        shows = f"A change at the last step changes results up to {counted(ahead, 'step')} before it"
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


def steps_apart(seen: Observations) -> Iterator[Sign]:
    """A cell, or a layer that is called step by step, starts from an initial state at every step."""
    for path, all_calls in seen.by_layer.items():
        calls = [call for call in all_calls if call.rows is None and seen.base.steps_of(call) == 1]
        if len(calls) < 3:
            continue
        steps = [call for call in calls if seen.depends_on_steps(call.x)]
        read = {name for call in steps for name in seen.step_runs if seen.depends(name, call.x)}
        carried = any(seen.depends_on_steps(k) for call in calls for k in call.states)
        states = [[seen.base.values[k].data for k in call.states] for call in calls]
        is_same = all(own and len(own) == len(states[0]) and all(map(torch.equal, own, states[0])) for own in states)
        is_fed_back = calls[0].sequence in seen.base.ancestors([calls[-1].x])  # as in a decoder that reads its result
        moves = seen.depends("last", calls[-1].x) and not seen.depends("last", calls[0].x)  # above another cell
        apart = (is_same or not carried) and (moves or not seen.depends("first", calls[-1].x))
        if len(read) < 2 or not (apart or (is_same and is_fed_back)):
            continue
        begin = "the same state" if is_same else "a state that no step has changed" if calls[-1].states else "no state"
        shows = (
            f"It is called {len(calls)} times, and each time with {begin}: no step reads the state of the one before"
        )
        yield Sign(path, "its state", shows)


def one_step(seen: Observations) -> Iterator[Sign]:
    """A layer is given sequences of one step, although the example has more."""
    for path, calls in seen.by_layer.items():
        if seen.example.steps < 2 or calls[0].is_cell or any(seen.base.steps_of(call) != 1 for call in calls):
            continue
        owned = any(seen.has_rows(k) or seen.depends_on_steps(k) for call in calls for k in call.states)
        if calls[0].rows is not None or owned or len(calls) > 2:
            continue
        x = seen.base.values[calls[0].x].data
        example = seen.example.sequence
        features = seen.question.layout is None and example.dim() == 2 and example.is_floating_point()
        shows = (
            f"It is given {[*x.shape]}: {x.shape[calls[0].row_axis]} rows of one step, from an example of "
            f"{seen.example.steps} steps. Its recurrent weights read a state of zeros"
        )
        operation = f"its input, from {seen.operation(calls[0].x)}"
        yield Sign(path, operation, shows, is_note=True if features else None)


def last_step_unread(seen: Observations) -> Iterator[Sign]:
    """A result for a whole row does not depend on its last step, or all results only on the first one."""
    others = [seen.depends(name, k) for name in ("before the last", "last") for k in seen.base.results]
    is_first_alone = seen.example.steps > 2 and all(depends is False for depends in others)
    for k in seen.base.results:
        _, steps = seen.result_axes(k)
        shape = seen.base.values[k].data.shape
        is_per_row = steps is None and seen.example.rows in shape[:2]  # not the steps of all rows, one after another
        if not (is_per_row or is_first_alone) or seen.depends("last", k) is not False:
            continue
        if not (seen.depends("first", k) or seen.depends("before the last", k)):
            continue
        used = seen.base.ancestors([k])
        layers = [call for call in seen.base.calls if call.sequence in used or used & {*call.outputs}]
        reaches = any(seen.depends("last", call.x) for call in layers)
        if not is_per_row and not reaches:
            continue  # what begins at the first step and is continued, such as a simulation
        if is_first_alone and any(_has_gradient_at_last(seen, call) for call in layers):
            continue  # its influence is lost in rounding, beside values that explode
        shortened = any(seen.base.values[i].op in _SHORTENS for i in used)
        lost = where_lost(seen, seen.step_runs["last"])
        if _is_rounded(seen, lost):
            continue
        read = "the steps before it do" if seen.depends("before the last", k) else "only step 0 does"
        shows = f"Of {seen.example.steps} steps, the last one of each row changes no result; {read}"
        path = _reader(seen, lost) if reaches else layers[0].path if layers else seen.module_of(lost)
        yield Sign(path, seen.operation(lost), shows, is_note=True if shortened and not reaches else None)
        return


def _has_gradient_at_last(seen: Observations, call: LayerCall) -> bool:
    gradient, mask = seen.layer_gradients.get(call.x), seen.changed("last", call.x)
    return gradient is not None and mask is not None and bool(gradient[mask].any())


def constant_result(seen: Observations) -> Iterator[Sign]:
    """No result depends on the example."""
    runs = [*seen.row_runs, *seen.step_runs.values()]
    masks = [run.change_of(k) for run in runs for k in seen.base.results]
    if not masks or any(not_finite(seen)) or any(mask is None or bool(mask.any()) for mask in masks):
        return
    k = where_lost(seen, runs[0])
    if _is_rounded(seen, k):
        return
    shows = "Changes of whole rows and of single steps of the example change no result"
    weights = [seen.base.values[i] for i in seen.base.values[k].inputs]
    is_new = any(value.op == "parameter" and not bool(value.data.any()) for value in weights)
    if is_new:
        shows += ", since all its weights are 0: right only before training"
    yield Sign(_reader(seen, k), seen.operation(k), shows, is_note=True if is_new else None)


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
