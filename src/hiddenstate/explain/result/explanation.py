"""`Explanation`: the base class of all results of `hiddenstate.explain`: tables, files, pictures."""

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import isfunction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, overload

import numpy as np
from torch import Tensor

from hiddenstate.base.files import written_beside
from hiddenstate.base.memory import check_memory_of
from hiddenstate.base.validation import optional_package

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

FORMAT = "hiddenstate.explanation/1"

Cell = str | int | float | bool | None
Row = Mapping[str, Cell]


def _checking_memory(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method of a result so that it first checks that no tensor's memory was freed."""

    @wraps(method)
    def checked(self: object, *args: Any, **kwargs: Any) -> Any:
        check_memory_of(vars(self).items())
        return method(self, *args, **kwargs)

    return checked


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

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""

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

    @abstractmethod
    def _figure(self) -> "Figure":
        """Return the picture."""

    def to_dataframe(self) -> "pandas.DataFrame":
        """Return the rows as a data frame. Needs pandas (``pip install 'hiddenstate[frames]'``).

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        package = optional_package("pandas", "frames", "to_dataframe")
        frame: pandas.DataFrame = package.DataFrame([dict(row) for row in self.rows()])
        return frame

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
        rows, buffer = self.rows(), io.StringIO()
        writer = csv.DictWriter(buffer, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        if path is None:
            return buffer.getvalue()
        _write(path, buffer.getvalue())
        return None

    def save(self, path: str | Path) -> None:
        """Write everything to a JSON file (atomically: never half-written).

        Raises:
            FileNotFoundError, IsADirectoryError, FileWriteError: the file cannot be written.
        """
        _write(path, self.to_json())


def _write(path: str | Path, text: str) -> None:
    with written_beside(path) as beside:
        beside.write_text(text, encoding="utf-8")


def plain(value: Any) -> Any:
    """Turn tensors, arrays and tuples into lists, and numbers that are not finite into null, for JSON."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, Tensor):
        return plain(value.detach().cpu().numpy())
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not np.isfinite(value) else value
