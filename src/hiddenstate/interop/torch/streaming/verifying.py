"""Compares a module's stream with the module itself on the example, and names the part that makes them differ."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from hiddenstate.errors import ArgumentError, HiddenStateError
from hiddenstate.interop.torch.streaming.finding import ModelForm, StreamedArguments, quoted
from hiddenstate.tracing.watch import Run, Snapshot, Value, Watch

SIZES = (7, 2, 1)  # of chunks, besides the whole: first those on which most modules run
_ROUNDING = 1e-5  # relative to the largest value; for narrow types, some units of their precision
# What an operation does over time, by parts of its name.
_OVER_TIME = {
    "conv": "looks ahead: pad it before the first step only",
    "norm": "normalises over time",
    "attention": "attends to all steps",
    "softmax": "attends to all steps",
    "matmul": "mixes the steps (attention)",
    "bmm": "mixes the steps (attention)",
    "einsum": "mixes the steps",
    "pool": "pools over time",
    "mean": "pools over time",
    "sum": "pools over time",
    "max": "pools over time",
    "min": "pools over time",
    "std": "pools over time",
    "flip": "reverses the steps",
    "interpolate": "resamples the steps",
}


def gap(a: Tensor, b: Tensor, whole: Tensor | None = None) -> float:
    """Return how two results differ in units of rounding, relative to ``whole`` if smaller; infinite if forms do."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return float("inf")
    if not (a.is_floating_point() or a.is_complex()):
        return 0.0 if torch.equal(a, b) else float("inf")
    if not a.numel():
        return 0.0
    differs = (a != b) & ~(a.isnan() & b.isnan())
    size = (a - b).abs().nan_to_num(nan=float("inf"))[differs]
    finite = b.abs()[b.isfinite()]
    least = 1.0 if whole is None or not whole.numel() else min(1.0, 1000 * float(whole.abs().nan_to_num().max()))
    largest = max(least, float(finite.max())) if finite.numel() else least
    allowed = max(_ROUNDING, 8 * torch.finfo(a.dtype).eps) * largest
    return 0.0 if not size.numel() else float(size.max()) / allowed if allowed else float("inf")


def refuse_unsteady(model: nn.Module, example: StreamedArguments) -> None:
    """Reject a module that gives different results when it is called again, because of what it keeps or draws."""
    snapshot = Snapshot(model)
    torch.manual_seed(0)
    runs = [_watched(model, lambda: example.call(model, example.x))]
    kept = snapshot.changed()
    torch.manual_seed(1)
    runs.append(_watched(model, lambda: example.call(model, example.x)))
    for run in runs:
        if isinstance(run.out, BaseException):
            raise run.out
    if _is_equal(*runs):
        return
    snapshot.put_back()
    torch.manual_seed(1)
    if kept and _is_equal(runs[0], _watched(model, lambda: example.call(model, example.x))):
        raise ArgumentError(
            f"the module keeps a state between calls, in {', '.join(f'`{name}`' for name in kept[:3])}, which a stream "
            "does instead: hold its layers in a module whose forward starts from a fresh state, or takes the state and "
            "returns it"
        )
    pairs = zip(*(run.values for run in runs), strict=False)
    value = next((a for a, b in pairs if a.op != b.op or gap(a.data, b.data) > 1), None)
    where = f"{quoted(value.module)} ({value.place})" if value is not None else "the module"
    raise ArgumentError(f"{where} draws random numbers, or keeps a state between calls, so no two calls give the same")


def _is_equal(run: Run, again: Run) -> bool:
    outs = _tensors(run.out), _tensors(again.out)
    return len(outs[0]) == len(outs[1]) and all(gap(a, b) <= 1 for a, b in zip(*outs, strict=True))


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def _watched(model: nn.Module, call: Callable[[], Any]) -> Run:
    """Return what happens in a call of the module; its error, if it fails, as its result."""
    watch = Watch(model)
    with watch.watching():
        try:
            watch.run.out = call()
        except Exception as error:  # the user's code may raise anything
            watch.run.out = error
    return watch.run


def verify(form: ModelForm, new_stream: Callable[[int], Any]) -> None:
    """Reject a module whose stream does not give, in chunks and row by row, what the module gives for the whole."""
    (rows, steps), x = form.example.axes, form.example.x
    try:
        whole = pytree.tree_leaves(form.example.call(form.model, x))
        if steps is not None:
            for size in (*SIZES, x.shape[steps]):
                _in_chunks(form, x, whole, new_stream(1 if rows is None else x.shape[rows]), size)
        if rows is not None:
            _by_row(form, x if steps is None else x.narrow(steps, 0, SIZES[0]), new_stream(x.shape[rows]))
    except HiddenStateError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise ArgumentError(
            f"this {type(form.model).__name__} can't be streamed: it fails on numbers of rows or steps other than the "
            f"example's, with {type(error).__name__}: {error}"
        ) from error


def _in_chunks(form: ModelForm, x: Tensor, whole: list[Any], stream: Any, size: int) -> None:
    axis: int = form.example.axes[1]  # type: ignore[assignment]
    T = x.shape[axis]
    for start in range(0, T, size):
        end = min(start + size, T)
        before = stream.fork()
        results = pytree.tree_leaves(stream.feed(x.narrow(axis, start, end - start)))
        current: list[Any] = whole if end == T else [None] * len(whole)  # results without steps
        if end < T and size == SIZES[0] and any(axes is not None and axes[1] is None for axes in form.outputs):
            current = pytree.tree_leaves(form.example.call(form.model, x.narrow(axis, 0, end)))
        for axes, result, of_all, now in zip(form.outputs, results, whole, current, strict=True):
            if axes is not None:
                want = now if axes[1] is None else of_all.narrow(axes[1], start, end - start)
                if want is not None and gap(result, want, of_all) > 1:
                    _refuse(form, x, before, start, end)


def _by_row(form: ModelForm, x: Tensor, stream: Any) -> None:
    """Feed each row separately, and again after resetting that row; compare with all rows together."""
    rows, steps = form.example.axes
    parts = x.split(1, rows)
    count = 1 if steps is None else x.shape[steps]
    together = pytree.tree_leaves(stream.fork()._read(x, None, count))
    alone = []
    for row, part in enumerate(parts):
        index = torch.tensor([row], device=x.device)
        stream._read(part, index, count)
        stream.reset(rows=[row])
        alone.append(pytree.tree_leaves(stream._read(part, index, count)))
    for axes, want, *results in zip(form.outputs, together, *alone, strict=True):
        if axes is not None and axes[0] is not None and gap(torch.cat(results, dim=axes[0]), want, want) > 1:
            raise ArgumentError(
                f"this {type(form.model).__name__} can't be streamed: a row by itself gives different results than "
                "among others, so rows are mixed (hs.check finds where)"
            )


def _refuse(form: ModelForm, x: Tensor, stream: Any, start: int, end: int) -> None:
    """Raise ArgumentError with the first part whose results differ between a chunk and the whole."""
    axis: int = form.example.axes[1]  # type: ignore[assignment]
    call, model = form.example.call, form.model
    name = f"this {type(model).__name__} can't be streamed"
    begun, part = x.narrow(axis, 0, end), x.narrow(axis, start, end - start)
    whole = _watched(model, lambda: call(model, x))
    until = _watched(model, lambda: call(model, begun))
    origin = _first_apart(until, whole, end, set(), at_end=False)
    why = "depends on later steps"
    if origin is None:
        carried = stream._call_from(stream._state, end - start)
        with carried.within():
            chunk = _watched(model, lambda: call(model, part))
        origin = _first_apart(chunk, until, end - start, set(form.carriers.values()), at_end=True)
        why = "needs earlier steps, which only recurrent layers, cells and Conv1d keep"
    if origin is None:
        raise ArgumentError(
            f"{name}: in chunks it gives different results than for the whole, first at steps {start} to {end - 1}. "
            "Only recurrent layers, cells and Conv1d carry a state, each from its own last step"
        )
    if origin.module in form.carriers.values() and "conv" not in origin.op:
        why = "is read at the end of the sequence by what runs before it"
    elif why.startswith("depends") or "conv" not in origin.op:
        why = next((known for word, known in _OVER_TIME.items() if word in origin.op.lower()), why)
    raise ArgumentError(f"{name}: {quoted(origin.module)} {why} ({origin.place})")


def _first_apart(short: Run, long: Run, steps: int, skipped: set[str], *, at_end: bool) -> Value | None:
    """Return where a run first differs from the same steps of a longer one, or None."""
    pairs = [[(k, value) for k, value in enumerate(run.values) if value.module not in skipped] for run in (short, long)]
    apart: set[int] = set()
    for (k, a), (_, b) in zip(*pairs, strict=False):
        if a.op != b.op or a.data.dim() != b.data.dim():
            return None
        if a.op in ("parameter", "constant"):
            continue
        moved = [axis for axis in range(a.data.dim()) if a.data.shape[axis] != b.data.shape[axis]]
        mine, other = a.data, b.data
        for axis in moved[:1]:
            count = min(steps, mine.shape[axis])
            mine, other = (
                part.narrow(axis, part.shape[axis] - count if at_end else 0, min(count, part.shape[axis]))
                for part in (mine, other)
            )
        if len(moved) > 1 or gap(mine, other) <= 1:
            continue
        apart.add(k)
        if moved or at_end:
            return _origin(short, k, apart)
    return None


def _origin(run: Run, k: int, apart: set[int]) -> Value:
    """Return the value that caused another value's difference, such as the mean that was subtracted from it."""
    while True:
        earlier = [other for other in run.values[k].inputs if other in apart and other != k]
        if not earlier:
            return run.values[k]
        k = earlier[0]
