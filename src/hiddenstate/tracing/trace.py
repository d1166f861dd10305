"""A trace: the record of a call, with its tables, pictures and files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hiddenstate.base import registry
from hiddenstate.base.validation import State
from hiddenstate.tracing.record import Record

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.figure import Figure

# What a notebook shows of a trace. The studio, which is above this room, adds its view; the last one is taken.
notebook_views: list[Callable[["Trace"], str | None]] = registry.notebook_views


@dataclass(frozen=True, eq=False, repr=False)
class Trace(Record):
    """What one call of an LSTM computed. Made by `hiddenstate.LSTM.trace`.

    ``trace["l0.f"]`` is a tensor laid out as the call's input was: ``[T, N, H]``, ``[N, T, H]`` with
    ``batch_first``, ``[T, H]`` unbatched. Past a row's end (``lengths``) it is zero. T counts the recorded steps.
    `Record` lists the attributes.
    """

    def before_resets(self) -> State:
        """Return the states that resets cut off: what each layer and direction carried to each border.

        Forward that is the state after the step before the border (the initial state, before step 0), in reverse the
        one after the step behind it. At borders past a row's end it is the state that the row ended with, or in reverse
        begins with.

        Returns:
            h ``[B, L*D, P]`` and c ``[B, L*D, H]``: one for each True of ``reset`` in the order of the mask that was
            given, so that they stand beside ``x[reset]``. Differentiable.

        Raises:
            ArgumentError: the run had no ``reset=``, not all steps were recorded, or a readout edit was in force.
            NameUnknownError: h or c of a layer and direction was not recorded.
        """
        from hiddenstate.tracing.cut_states import states_before_resets

        self._check_memory()
        return states_before_resets(self)

    def to_dataframe(self) -> "pandas.DataFrame":
        """One line per batch row, layer, direction, time step and unit; a column per recorded quantity.

        Steps past a row's end are left out. Needs pandas (``pip install 'hiddenstate[frames]'``).
        """
        from hiddenstate.tracing.tables import trace_to_dataframe

        self._check_memory()
        return trace_to_dataframe(self)

    def to_xarray(self) -> "xarray.Dataset":
        """A variable per recorded quantity, with dimensions layer, direction, time, batch and unit.

        What was not recorded, or lies past a row's end, is NaN. Needs xarray
        (``pip install 'hiddenstate[frames]'``).
        """
        from hiddenstate.tracing.tables import trace_to_xarray

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
        """Draw gates and states over the sequence: heat maps of all units, or curves of one.

        Needs matplotlib (``pip install 'hiddenstate[plot]'``).

        Args:
            path: a file to write the picture to, in the format that its name ends with; none when None.
            layer: layer, from 0.
            reverse: the reverse direction; time still runs to the right.
            row: batch row; only its real steps are drawn.
            unit: hidden unit; all when None.

        Raises:
            NameUnknownError: no such layer or direction, or nothing of it was recorded.
            IndexRangeError: no such row or unit.
            ArgumentError: the row has no recorded step, or no picture can be written to such a file.
            IsADirectoryError, FileWriteError: the file cannot be written.
        """
        from hiddenstate.base.figures import draw_to
        from hiddenstate.tracing.plots import plot_trace

        self._check_memory()
        return draw_to(path, lambda: plot_trace(self, layer=layer, reverse=reverse, row=row, unit=unit))

    def _repr_html_(self) -> str | None:
        """The first row in the studio, in a notebook; None, and so its text alone, where that can't show it."""
        return notebook_views[-1](self) if notebook_views else None

    def save(self, path: str | Path) -> None:
        """Write the trace to a safetensors file (beside, then renamed: never half-written)."""
        from hiddenstate.tracing.files import save_trace

        self._check_memory()
        save_trace(self, path)

    @staticmethod
    def load(path: str | Path) -> "Trace":
        """Read a trace that `save` wrote; a packed output comes back padded.

        Raises:
            FileFormatError: the file is not a trace, or of a later version of the format.
        """
        from hiddenstate.tracing.files import load_record

        return load_record(path, Trace)
