"""A trace: the record of a call, with methods for tables, plots and files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiddenstate.base import later
from hiddenstate.tracing.record import Record

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.figure import Figure

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
        from hiddenstate.tracing.files import save_trace

        self._check_memory()
        save_trace(self, path)

    @staticmethod
    def load(path: str | Path) -> "Trace":
        """Read a trace that `save` wrote; a packed output is returned padded.

        Raises:
            FileFormatError: the file is not a trace, or has a later version of the format.
        """
        from hiddenstate.tracing.files import load_record

        return load_record(path, Trace)
