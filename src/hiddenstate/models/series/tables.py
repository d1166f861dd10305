"""Files of series: CSV, read by pandas, and Parquet, read by PyArrow, as frames with dates."""

import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hiddenstate.base.messages import shorten
from hiddenstate.base.reading import reading
from hiddenstate.base.validation import optional_package
from hiddenstate.errors import ArgumentError, ArgumentTypeError, FileFormatError, NameUnknownError
from hiddenstate.models.series.frames import check_bytes, check_columns

if TYPE_CHECKING:
    import pandas

_SHIPPED = {"seattle-weather.csv": "seattle-weather"}  # files of series in the folders of shipped models
_LINES_AT_ONCE = 2**17
_SAMPLE = 1000  # lines from which the kinds of columns are found


def find_table(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file of series: one in the working directory, or one of the package's by name."""
    if (shipped := _SHIPPED.get(str(path))) is None or Path(path).exists():
        return Path(path)
    return Path(__file__).parents[1] / "shipped" / shipped / str(path)


def read_table(
    source: str | Path | BinaryIO,
    features: Sequence[str] = (),
    others: Sequence[str] = (),
    *,
    needs_others: bool = False,
    dates: str | None = None,
    rows: str | None = None,
) -> tuple["pandas.DataFrame", str | None, tuple[str, ...]]:
    """Read the columns of a file that are needed; return its frame, the column of its dates, and the features."""
    pandas = optional_package("pandas", "frames", "reading a file of series")
    name = str(source) if isinstance(source, str | Path) else "standard input"
    if isinstance(source, str | Path):
        source = find_table(source)
        source.open("rb").close()  # raises what the system says
    with reading(name), warnings.catch_warnings():
        warnings.simplefilter("error", pandas.errors.ParserWarning)  # lines that are longer than the header
        warnings.filterwarnings("ignore", "Parsing dates in")  # both orders of day and month are tried
        table = _Parquet(source) if name.endswith((".parquet", ".pq")) else _Csv(source)
        sample = table.sample()
        there = [str(column) for column in sample.columns]
        for column in [part for part in (dates, rows) if part is not None]:
            if column not in there:
                raise NameUnknownError(f"there is no column {column!r}: the columns are {shorten(there)}")
        digits = _digits_as_dates(sample, [column for column in there if column not in (rows, *features, *others)])
        if not features:
            commas = [column for column in there if column not in (dates, rows) and _has_commas(sample[column])]
            if commas:
                raise FileFormatError(
                    f"there are numbers with a comma, in {', '.join(map(repr, commas[:8]))}: write a point before "
                    "decimals and nothing between thousands, or name the features to read"
                )
            features = [column for column in there if column not in (dates, rows) and _holds_numbers(sample[column])]
            if not features:
                raise FileFormatError(
                    f"there is no column of numbers, with a point before decimals: the columns are {shorten(there)}"
                )
        needed = (*features, *others) if needs_others else features
        named = check_columns(there, tuple(dict.fromkeys(needed)), others, "the file")
        dates_column = dates or _dates_in(sample, [column for column in there if column not in (*named, rows)])
        frame = table.read([column for column in there if column in (*named, dates_column, rows)])
        for column in named:
            frame[column] = _as_numbers(frame[column])
        if dates_column is not None:
            if dates_column in digits:
                frame[dates_column] = frame[dates_column].astype(str)
            frame[dates_column] = _as_dates(frame[dates_column])
    return frame, dates_column, tuple(features)


class _Csv:
    """A CSV file, with the delimiter found in its header: a comma, a semicolon or a tab."""

    def __init__(self, source: Path | BinaryIO) -> None:
        self.source = source if isinstance(source, Path) else io.BytesIO(source.read())
        heads = {delimiter: self._open(sep=delimiter, header=None, nrows=1, dtype=str) for delimiter in ",;\t"}
        self.sep = max(heads, key=lambda delimiter: heads[delimiter].shape[1])
        names = heads[self.sep].iloc[0].dropna().tolist()  # as they are in the file: pandas renames doubled ones
        self.doubled = [name for name in names if names.count(name) > 1]

    def _open(self, **options: Any) -> Any:
        import pandas

        if isinstance(self.source, io.BytesIO):
            self.source.seek(0)
        return pandas.read_csv(self.source, encoding="utf-8-sig", index_col=False, low_memory=False, **options)

    def sample(self) -> "pandas.DataFrame":
        """Return the first lines."""
        if self.doubled:
            raise ArgumentError(f"the file has the column {self.doubled[0]!r} several times: keep one")
        return self._open(sep=self.sep, nrows=_SAMPLE)

    def read(self, names: Sequence[str]) -> "pandas.DataFrame":
        """Read some columns, in parts, so that a frame that is too large is never in memory."""
        import pandas

        parts, count = [], 0
        with self._open(sep=self.sep, usecols=names, chunksize=_LINES_AT_ONCE) as chunks:
            for part in chunks:
                count += len(part)
                check_bytes(count, 1, len(names))
                parts.append(part)
        return pandas.concat(parts, ignore_index=True)


class _Parquet:
    """A Parquet file."""

    def __init__(self, source: Path | BinaryIO) -> None:
        self.file = optional_package("pyarrow.parquet", "corpus", "reading Parquet").ParquetFile(source)

    def sample(self) -> "pandas.DataFrame":
        """Return the first lines."""
        first = next(self.file.iter_batches(_SAMPLE), self.file.schema_arrow.empty_table())
        return first.to_pandas(ignore_metadata=True)

    def read(self, names: Sequence[str]) -> "pandas.DataFrame":
        """Read some columns, if they are not too large."""
        check_bytes(self.file.metadata.num_rows, 1, len(names))
        return self.file.read(columns=list(names)).to_pandas(ignore_metadata=True)


def _holds_numbers(column: Any) -> bool:
    """Whether most values are numbers: a column with a few texts is not left out, but refused by `_as_numbers`."""
    return bool(column.dtype.kind in "fiub" or (column.dtype.kind == "O" and _numbers_in(column).notna().mean() > 0.5))


def _has_commas(column: Any) -> bool:
    """Whether most values are numbers, some of them with a comma: they would be left out silently."""
    if column.dtype.kind != "O":
        return False
    texts = column.dropna().astype(str).str.strip()
    commas = texts.str.fullmatch(r"[-+]?[\d.]*(,\d+)+")
    return bool(commas.any() and (commas | _numbers_in(texts).notna()).mean() > 0.5)


def _numbers_in(column: Any) -> Any:
    import pandas

    return pandas.to_numeric(column, errors="coerce")


def _as_numbers(column: Any) -> Any:
    """Return a column as numbers; reject texts."""
    numbers = column if column.dtype.kind in "fiub" else _numbers_in(column)
    wrong = numbers.isna() & column.notna()
    if wrong.any():
        raise ArgumentTypeError(
            f"the column {column.name!r} holds {shorten(column[wrong].iloc[0])} in line {_line(wrong)}, expected a "
            "number, with a point before decimals: correct it, or leave it empty if it is missing"
        )
    return numbers


def _dates_in(sample: "pandas.DataFrame", columns: Sequence[str]) -> str | None:
    """Return the only one of these columns that has dates; None if none has."""
    dated = [column for column in columns if sample[column].dtype.kind == "M" or _holds_dates(sample[column])]
    if len(dated) > 1:
        raise ArgumentError(f"several columns hold dates: {', '.join(dated)}. Name the one of the steps (dates=)")
    return dated[0] if dated else None


def _holds_dates(column: Any) -> bool:
    """Whether most texts are dates: a column with a few others is not left out, but refused by `_as_dates`."""
    texts = column.dropna()
    if column.dtype.kind in "fiubmM" or not len(texts):
        return False
    return any(_in_format(texts, format_, utc=True).notna().mean() > 0.5 for format_ in _formats(str(texts.iloc[0])))


def _digits_as_dates(sample: "pandas.DataFrame", columns: Sequence[str]) -> list[str]:
    """Turn columns of integers such as 20121231, unless all are equal, into dates in place; return their names."""
    digits = []
    for name in columns:
        column = sample[name]
        if column.dtype.kind in "iu" and column.between(1800_01_01, 2199_12_31).all() and column.nunique() > 1:
            dates = _in_format(column.astype(str), "%Y%m%d")
            if dates.notna().all():
                sample[name] = dates
                digits.append(name)
    return digits


def _formats(text: str) -> list[str]:
    """Return the formats in which a text may be a date: year first, or else month first and day first."""
    from pandas.tseries.api import guess_datetime_format

    orders = [False] if text[:4].isdigit() else [False, True]
    guesses = [guess_datetime_format(text.strip(), dayfirst=dayfirst) for dayfirst in orders]
    return [format_ for format_ in dict.fromkeys(guesses) if format_ is not None]


def _in_format(texts: Any, format_: str, *, utc: bool = False) -> Any:
    """Return texts as dates; those of another format, or in several time zones if not in ``utc``, as missing."""
    import pandas

    try:
        times = pandas.to_datetime(texts.str.strip(), format=format_, errors="coerce", utc=utc)
    except (AttributeError, TypeError, ValueError):
        times = None
    return pandas.Series(pandas.NaT, texts.index) if times is None or times.dtype.kind != "M" else times


def _as_dates(column: Any) -> Any:
    """Return a column with its texts as dates; reject texts whose month and day can't be told apart."""
    if column.dtype.kind in "fiubmM":
        return column
    lacking = column.isna()
    if lacking.any():
        raise ArgumentError(f"the dates in {column.name!r} lack one in line {_line(lacking)}: every step needs one")
    formats = _formats(str(column.iloc[0])) if len(column) else []
    readings = {format_: _in_format(column, format_) for format_ in formats}
    whole = [times for times in readings.values() if times.notna().all()]
    if len(whole) > 1 and not whole[0].equals(whole[1]):
        raise ArgumentError(
            f"the dates in {column.name!r} could be month first or day first, such as {column.iloc[0]!r}: write them "
            "as 2012-12-31"
        )
    if whole:
        return whole[0]
    wrong = min((times.isna() for times in readings.values()), key=lambda part: part.sum(), default=~lacking)
    raise ArgumentError(
        f"the dates in {column.name!r} hold {shorten(column[wrong].iloc[0]) if len(column) else 'nothing'} in line "
        f"{_line(wrong)}, which is not a date, or differs from the others in its format or time zone: write all as "
        "2012-12-31 or 2012-12-31 18:00, with times in UTC"
    )


def _line(where: Any) -> int:
    """Return the line of the first True, from 1, with the header as the first."""
    return int(where.to_numpy().argmax()) + 2
