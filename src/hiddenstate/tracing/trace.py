"""A trace: the record of a call, with methods for tables, plots and files."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from hiddenstate.base import later
from hiddenstate.base.files import read_tensors, write_tensors
from hiddenstate.base.reading import reading
from hiddenstate.cells.cell import Cell
from hiddenstate.cells.kinds import cell_named
from hiddenstate.errors import FileFormatError
from hiddenstate.structure.names import parse_place
from hiddenstate.tracing.record import Record

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.figure import Figure


Shape = tuple[int, ...]

KIND = "hiddenstate.trace/1"
_LONGEST = 2**40  # time steps
_PLAIN = ("steps", "length", "num_layers", "bidirectional", "layout", "tokens")

# How a notebook displays a trace. The studio, a higher-level package, adds its view; the last one is used.
notebook_views: list[Callable[["Trace"], str | None]] = later.notebook_views


@dataclass(frozen=True, eq=False, repr=False)
class Trace(Record):
    """The values that one call of an LSTM, GRU or RNN computed. Created by its method ``trace``.

    ``trace["l0.f"]`` is a tensor with the layout of the call's input: ``[T, N, H]``, ``[N, T, H]`` with
    ``batch_first``, ``[T, H]`` unbatched. Past a row's end (``lengths``) it is zero. T is the number of recorded steps.
    `Record` lists the attributes.
    """

    def before_resets(self) -> Any:
        """Return the states discarded by resets: the state of each layer and direction at each border.

        In the forward direction that is the state after the step before the border (before step 0, the initial state);
        in the reverse direction, the state after the step that follows the border. At borders past a row's end it is
        the row's final state, or in reverse its initial state.

        Returns:
            h ``[B, L*D, P]`` and c ``[B, L*D, H]``: one for each True in ``reset``, in the order of the mask, so that
            they line up with ``x[reset]``. Differentiable. Only h if there is no cell state.

        Raises:
            ArgumentError: the run had no ``reset=``, not all steps were recorded, or a readout edit was active.
            NameUnknownError: h or c of a layer and direction was not recorded.
        """
        from hiddenstate.tracing.views import states_before_resets

        self._check_memory()
        return states_before_resets(self)

    def to_dataframe(self) -> "pandas.DataFrame":
        """Return a line for each batch row, layer, direction, time step and unit, with a column for each quantity.

        Steps past a row's end are omitted. Needs pandas (``pip install 'hiddenstate[frames]'``).
        """
        from hiddenstate.tracing.views import trace_to_dataframe

        self._check_memory()
        return trace_to_dataframe(self)

    def to_xarray(self) -> "xarray.Dataset":
        """Return a variable for each recorded quantity, with dimensions layer, direction, time, batch and unit.

        Values that were not recorded, or are past a row's end, are NaN. Needs xarray
        (``pip install 'hiddenstate[frames]'``).
        """
        from hiddenstate.tracing.views import trace_to_xarray

        self._check_memory()
        return trace_to_xarray(self)

    def plot(
        self,
        path: str | Path | None = None,
        *,
        layer: int = 0,
        reverse: bool = False,
        row: int = 0,
        unit: int | None = None,
    ) -> "Figure":
        """Plot gates and states over the sequence: heat maps of all units, or curves of one.

        Needs matplotlib (``pip install 'hiddenstate[plot]'``).

        Args:
            path: a file to write the plot to, in the format of its extension; not written if None.
            layer: the layer, from 0.
            reverse: whether to plot the reverse direction; time still runs to the right.
            row: the batch row; only its real steps are plotted.
            unit: the hidden unit; all if None.

        Raises:
            NameUnknownError: no such layer or direction, or nothing of it was recorded.
            IndexRangeError: no such row or unit.
            ArgumentError: the row has no recorded step, or matplotlib cannot write files of this format.
            IsADirectoryError, FileWriteError: the file cannot be written.
        """
        from hiddenstate.base.figures import draw_to
        from hiddenstate.tracing.plots import plot_trace

        self._check_memory()
        return draw_to(path, lambda: plot_trace(self, layer=layer, reverse=reverse, row=row, unit=unit))

    def _repr_html_(self) -> str | None:
        """Show the first row in the studio, in a notebook; return None, which shows the repr, if that is impossible."""
        return notebook_views[-1](self) if notebook_views else None

    def save(self, path: str | Path) -> None:
        """Write the trace to a safetensors file, atomically: it is never half-written."""
        self._check_memory()
        out = self.out
        if isinstance(out, PackedSequence):
            out, _ = pad_packed_sequence(out, batch_first=self.layout == "NT")
        cell = self.layers.cell
        tensors: dict[str, Tensor | None] = {
            "out": out,
            **_named(cell, self.state, "{}_n"),
            **_named(cell, self.initial, "{}0"),
            "lengths": self.lengths,
            "reset": self.reset,
            **({} if self.reset_to is None else _named(cell, self.reset_to, "reset_{}")),
            **{f"values.{name}": value for name, value in self.values.items()},
            **{f"carried.{name}": value for name, value in self.carried.items()},
        }
        plain = json.dumps(
            {name: getattr(self, name) for name in (*_PLAIN, *(["cell"] if self.cell != "LSTM" else []))}
        )
        # safetensors orders tensors by size and name, so the order of the places is stored separately.
        write_tensors(
            path,
            KIND,
            {name: value for name, value in tensors.items() if value is not None},
            {"trace": plain, "names": json.dumps(self.names)},
        )

    @staticmethod
    def load(path: str | Path) -> "Trace":
        """Read a trace that `save` wrote; a packed output is returned padded.

        Raises:
            FileFormatError: the file is not a trace, or has a later version of the format.
        """
        tensors, metadata = read_tensors(path, KIND)
        with reading(path):
            try:
                trace = Trace(**_fields(tensors, metadata))
            except (KeyError, TypeError, ValueError) as error:
                raise FileFormatError(f"{path} is damaged: it lacks parts of a trace ({error!r})") from error
            _check(trace)
        return trace


def _named(cell: Cell, states: Any, form: str) -> dict[str, Tensor]:
    """Return the tensors of a state by their names in a file."""
    return dict(zip(map(form.format, cell.carried), cell.parts_of(states), strict=True))


def _fields(tensors: dict[str, Tensor], metadata: dict[str, str]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(metadata["trace"])
    plain["steps"] = tuple(plain["steps"])
    if plain["tokens"] is not None:
        plain["tokens"] = tuple(tuple(words) for words in plain["tokens"])
    cell = cell_named(plain.get("cell", "LSTM"))

    def state(form: str) -> Any:
        return cell.as_given([tensors[form.format(name)] for name in cell.carried])

    return dict(
        out=tensors["out"],
        state=state("{}_n"),
        initial=state("{}0"),
        values={name: tensors[f"values.{name}"] for name in json.loads(metadata["names"])},
        carried={name.removeprefix("carried."): v for name, v in tensors.items() if name.startswith("carried.")},
        lengths=tensors.get("lengths"),
        reset=tensors.get("reset"),
        reset_to=state("reset_{}") if "reset_h" in tensors else None,
        **plain,
    )


def _check(record: Record) -> None:
    """Reject a record that no call could have produced. As in a call, its values may be any numbers."""
    # Only the first error is reported, because each check relies on those before it.
    for wrong in chain(_wrong_data(record), _wrong_tensors(record), _wrong_tokens(record)):
        raise FileFormatError(f"it is not a trace: {wrong}")


def _wrong_data(record: Record) -> Iterator[str]:
    initial, steps = record.layers.cell.parts_of(record.initial), [-1, *record.steps]
    h0, c0 = initial[0], initial[-1]
    if not _is_count(record.length, _LONGEST):
        yield f"length must be a whole number, at least 0, got {record.length!r:.50}"
    if type(record.bidirectional) is not bool:
        yield f"bidirectional must be true or false, got {record.bidirectional!r:.50}"
    if record.layout not in ("TN", "NT", "T"):
        yield f"layout must be TN, NT or T, got {record.layout!r:.50}"
    if h0.dim() != 3 or c0.dim() != 3 or not h0.shape[2] or not c0.shape[2]:
        names = "h0 and c0" if len(initial) > 1 else "h0"
        yield f"{names} must be [L*D, N, units], got {' and '.join(str(list(part.shape)) for part in initial)}"
    if not _is_count(record.num_layers, len(h0)) or record.num_layers * (1 + record.bidirectional) != len(h0):
        yield f"num_layers must match h0, which has shape {list(h0.shape)}, got {record.num_layers!r:.50}"
    for last, step in pairwise(steps):
        if not _is_count(step, record.length - 1) or step <= last:
            yield f"steps must increase and be below the length of {record.length}, got {step!r:.50} after {last}"
    for name in record.values:
        parse_place(name, *record.layers)
    for name in record.carried.keys() - {track.name for track in record.layers.directions}:
        yield f"there is no layer and direction {name!r:.50}"


def _wrong_tensors(record: Record) -> Iterator[str]:
    for name, value, wanted in _parts(record):
        if value.shape != wanted:
            yield f"{name} has shape {list(value.shape)}, expected {list(wanted)}"
        if name not in ("lengths", "reset") and not value.is_floating_point():
            yield "states and values must be of a floating-point type"
    if record.reset is not None and record.reset.dtype is not torch.bool:
        yield f"reset must be bool, got {record.reset.dtype}"
    lengths = record.lengths
    whole = lengths is None or not (lengths.is_floating_point() or lengths.dtype is torch.bool)
    if lengths is not None and not (whole and bool(((lengths >= 0) & (lengths <= record.length)).all())):
        yield f"lengths must be whole numbers from 0 to {record.length}"


def _wrong_tokens(record: Record) -> Iterator[str]:
    if record.tokens is not None and len(record.tokens) != record.batch:
        yield f"there are tokens for {len(record.tokens)} rows, expected {record.batch}"
    for row, words in enumerate(record.tokens or ()):
        if len(words) < record.row_length(row) or not all(isinstance(word, str) for word in words):
            yield f"tokens of row {row} must be one string for each of its steps"


def _parts(record: Record) -> Iterator[tuple[str, Tensor, Shape]]:
    """Yield every tensor and the shape that it must have."""
    cell = record.layers.cell
    initial, units = cell.parts_of(record.initial), {}
    (stacked, N, P), H = initial[0].shape, initial[-1].shape[2]
    steps, T, D = len(record.steps), record.length, 1 + record.bidirectional
    flat = record.layout == "T"
    for name, part in zip(cell.carried, initial, strict=True):
        units[name] = part.shape[2]
        yield f"{name}0", part, (stacked, N, units[name])
    for name, value in zip(cell.carried, cell.parts_of(record.state), strict=True):
        yield f"{name}_n", value, (stacked, units[name]) if flat else (stacked, N, units[name])
    assert isinstance(record.out, Tensor)  # a packed output is padded in a file
    yield "out", record.out, {"TN": (T, N, D * P), "NT": (N, T, D * P), "T": (T, D * P)}[record.layout]
    for name, value in record.values.items():
        yield name, value, (steps, N, P if name.endswith(".h") else H)
    for name, value in record.carried.items():
        yield name, value, (steps, N, H)
    if record.lengths is not None:
        yield "lengths", record.lengths, (N,)
    if record.reset is not None:
        yield "reset", record.reset, (T, N)
    borders = () if record.reset_to is None else cell.parts_of(record.reset_to)
    for name, value in zip(cell.carried, borders, strict=False):
        by_step = value.dim() == 3 and value.shape[1] == T * N
        yield f"reset_{name}", value, (stacked, T * N if by_step else N, units[name])


def _is_count(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most
