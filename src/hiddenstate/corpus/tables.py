"""Reads and writes our Parquet files."""

import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hiddenstate.base.reading import reading
from hiddenstate.base.validation import optional_package


def write_table(path: Path, columns: Mapping[str, Any], about: Mapping[str, Any] | None = None) -> None:
    """Write columns (lists of texts, arrays, or `list_column`) to a Parquet file, and facts to its metadata as JSON."""
    pyarrow = optional_package("pyarrow", "corpus", "writing Parquet")
    parquet = optional_package("pyarrow.parquet", "corpus", "writing Parquet")
    table = pyarrow.table({name: _array(values) for name, values in columns.items()})
    if about is not None:
        table = table.replace_schema_metadata({"hiddenstate": json.dumps(about)})
    parquet.write_table(table, path, compression="zstd")


def list_column(
    values: Sequence[Any] | NDArray[Any], lengths: Sequence[int], names: Sequence[str] | None = None
) -> Any:
    """Return a column of lists, from the values of all lists one after another: texts, numbers, or indices of names."""
    pyarrow = optional_package("pyarrow", "corpus", "writing Parquet")
    flat = _array(values)
    if names is not None:
        flat = _array([*names]).take(flat)
    return pyarrow.ListArray.from_arrays(pyarrow.array([0, *accumulate(lengths)], pyarrow.int32()), flat)


def _array(values: Any) -> Any:
    """Return an Arrow array of texts (a list) or of numbers (an array)."""
    pyarrow = optional_package("pyarrow", "corpus", "writing Parquet")
    # With its type given, a shard's empty list has the type of other shards, so that all are read as one table.
    return pyarrow.array(values, pyarrow.string() if isinstance(values, list) else None)


def read_about(path: Path) -> Any:
    """Return the facts that `write_table` put into a file."""
    parquet = optional_package("pyarrow.parquet", "corpus", "reading Parquet")
    with reading(path):
        return json.loads(parquet.read_schema(path).metadata[b"hiddenstate"])
