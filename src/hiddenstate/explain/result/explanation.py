"""`Explanation`: the base class of all results of `hiddenstate.explain`: tables, files, pictures."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import isfunction
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, overload

import torch
from torch import Tensor

from hiddenstate.base.files import written_beside
from hiddenstate.base.memory import check_memory_of
from hiddenstate.base.messages import plain
from hiddenstate.base.validation import optional_package
from hiddenstate.structure.names import Place
from hiddenstate.structure.tables import csv_text

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

FORMAT = "hiddenstate.explanation/1"

Cell = str | int | float | bool | None
Row = Mapping[str, Cell]


class Explanation(ABC):
    """A result: frozen data, readable with ``print`` and available as rows, JSON or a data frame.

    Each has a ``residual``, the error of its sum rule, and a ``cost``, the number of row-steps run for it.
    """

    kind: ClassVar[str]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, member in list(vars(cls).items()):
            if not name.startswith("_") or name == "__str__":
                if isfunction(member):
                    setattr(cls, name, _checking_memory(member))
                elif isinstance(member, property) and member.fget is not None:
                    setattr(cls, name, property(_checking_memory(member.fget)))

    @abstractmethod
    def rows(self) -> Sequence[Row]:
        """Return the result as rows of a table, all with the same columns."""

    @property
    def _saved(self) -> str:
        """What `to_dict` returns, in this order: names of attributes or methods; ``key=name`` if they differ."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return everything except models and runs, ready for JSON."""
        check_memory_of(vars(self).items())
        keys = [entry.partition("=") for entry in self._saved.split()]
        return {key: _as_data(attrgetter(name or key)(self)) for key, _, name in keys}

    @abstractmethod
    def __str__(self) -> str:
        """Return the result as a table with bars, for a terminal."""

    def __repr__(self) -> str:
        return str(self)

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw the result. Needs matplotlib (``pip install 'hiddenstate[plot]'``).

        Args:
            path: a file to write the picture to, in the format of its extension; None writes no file.

        Raises:
            MissingDependencyError: matplotlib is not installed.
            ArgumentError: the file's format is not supported.
            IsADirectoryError, FileWriteError: the file cannot be written.
        """
        from hiddenstate.base.figures import draw_to

        check_memory_of(vars(self).items())
        return draw_to(path, self._figure)

    def _figure(self) -> "Figure":
        """Return the picture: one plot, or what a result of several plots draws itself."""
        from hiddenstate.base.figures import one_plot

        figure, axes = one_plot(6, 3.5)
        self._draw(axes)
        return figure

    def _draw(self, axes: Any) -> None:
        """Draw the result on the axes of one plot."""
        raise NotImplementedError

    def to_dataframe(self) -> "pandas.DataFrame":
        """Return the rows as a data frame. Needs pandas (``pip install 'hiddenstate[frames]'``).

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        package = optional_package("pandas", "frames", "to_dataframe")
        return package.DataFrame([dict(row) for row in self.rows()])

    def to_json(self) -> str:
        """Return everything as JSON."""
        data = {"format": FORMAT, "kind": self.kind, **self.to_dict()}
        return json.dumps(plain(data), ensure_ascii=False, indent=2, allow_nan=False) + "\n"

    @overload
    def to_csv(self, path: None = None) -> str: ...

    @overload
    def to_csv(self, path: str | Path) -> None: ...

    def to_csv(self, path: str | Path | None = None) -> str | None:
        """Return the rows as CSV with a header line, or write them to a file, as pandas does.

        Args:
            path: the file to write (atomically: never half-written); None returns the text.

        Raises:
            FileNotFoundError, IsADirectoryError, FileWriteError: the file cannot be written.
        """
        text = csv_text(self.rows())
        if path is None:
            return text
        _write(path, text)
        return None

    def save(self, path: str | Path) -> None:
        """Write everything to a JSON file (atomically: never half-written).

        Raises:
            FileNotFoundError, IsADirectoryError, FileWriteError: the file cannot be written.
        """
        _write(path, self.to_json())


class Measured(Explanation):
    """A result that decomposes nothing, so its ``residual`` is always 0."""

    residual: float = 0.0


def _checking_memory(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method of a result so that it first checks that no tensor's memory was freed, which crashes torch."""

    @wraps(method)
    def checked(self: object, *args: Any, **kwargs: Any) -> Any:
        check_memory_of(vars(self).items())
        return method(self, *args, **kwargs)

    return checked


def _as_data(value: Any) -> Any:
    """Return a value for `to_dict`: places as text, named tuples as dictionaries, complex numbers as pairs."""
    if callable(value):
        return value()
    if isinstance(value, Place):
        return str(value)
    if hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, Mapping):
        return {key: _as_data(part) for key, part in value.items()}
    if isinstance(value, tuple) and value and isinstance(value[0], tuple) and hasattr(value[0], "_asdict"):
        return [_as_data(part) for part in value]
    return torch.view_as_real(value) if isinstance(value, Tensor) and value.is_complex() else value


def _write(path: str | Path, text: str) -> None:
    with written_beside(path) as beside:
        beside.write_text(text, encoding="utf-8")
