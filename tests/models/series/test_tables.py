import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hiddenstate.errors import ArgumentError, FileFormatError, HiddenStateError, NameUnknownError
from hiddenstate.models.series import frames, tables
from hiddenstate.models.series.tables import find_table, read_table

DAYS = pd.date_range("2012-01-05", periods=20)


def table() -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame({"day": DAYS, "rain": random.random(20), "flow": random.random(20), "note": ["dry"] * 20})


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("form", ["%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%Y%m%d", "%Y-%m-%d %H:%M"])
def test_csv_with_any_separator_and_form_of_dates(tmp_path: Path, separator: str, form: str) -> None:
    path = tmp_path / "data.csv"
    table().to_csv(path, sep=separator, date_format=form, index=False)
    frame, dates, features = read_table(path)
    assert (dates, features) == ("day", ("rain", "flow"))
    assert list(frame.columns) == ["day", "rain", "flow"]
    assert (frame["day"] == DAYS).all()
    np.testing.assert_allclose(frame[["rain", "flow"]], table()[["rain", "flow"]])


def test_parquet_is_the_same_as_csv(tmp_path: Path) -> None:
    whole = table()
    whole.to_csv(tmp_path / "data.csv", index=False)
    whole.to_parquet(tmp_path / "data.parquet")
    whole.assign(day=whole["day"].astype(str)).set_index("day").to_parquet(tmp_path / "texts.parquet")
    want, *named = read_table(tmp_path / "data.csv", ["flow"], ["rain", "snow"])
    for name in ("data.parquet", "texts.parquet"):
        frame, *others = read_table(tmp_path / name, ["flow"], ["rain", "snow"])
        assert others == named == ["day", ("flow",)]
        pd.testing.assert_frame_equal(frame[want.columns], want, check_dtype=False)


def test_only_columns_that_are_needed_are_read(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    table().assign(other=1.0).to_csv(path, index=False)
    assert list(read_table(path, ["flow"])[0].columns) == ["day", "flow"]
    assert list(read_table(path, ["flow"], rows="note")[0].columns) == ["day", "flow", "note"]
    frame, dates, _ = read_table(path, ["flow"], dates="rain")  # numbers such as seconds
    assert dates == "rain"
    assert frame["rain"].dtype.kind == "f"


def test_standard_input_and_no_dates() -> None:
    frame, dates, features = read_table(io.BytesIO(b"rain,flow\n1,2\n3,4\n"))
    assert (dates, features) == (None, ("rain", "flow"))
    assert frame["flow"].tolist() == [2, 4]


def test_a_time_zone(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("time,flow\n2012-01-01T00:00+01:00,1\n2012-01-01T01:00+01:00,2\n")
    times = read_table(path)[0]["time"]
    assert times.dt.tz is not None
    path.write_text("time,flow\n2012-03-25T01:00+01:00,1\n2012-03-25T03:00+02:00,2\n")
    hours = tmp_path / "hours.csv"
    hours.write_text("time,flow\n2012-01-01 22:00,1\n2012-01-01 23:00,2\n2012-01-01 24:00,3\n")
    with pytest.raises(ArgumentError, match="hold '2012-01-01 24:00' in line 4, which is not a date"):
        read_table(hours)
    for dates in ("time", None):  # also where the column is found
        with pytest.raises(
            ArgumentError,
            match=r"csv: the dates in 'time' hold .* differs from the others in its format or time zone.*times in UTC",
        ):
            read_table(path, dates=dates)


def test_a_file_that_comes_with_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_table("seattle-weather.csv").is_file()
    frame, dates, features = read_table("seattle-weather.csv")
    assert (len(frame), dates, features) == (1461, "date", ("precipitation", "temp_max", "temp_min", "wind"))
    Path("seattle-weather.csv").write_text("date,flow\n2012-01-01,1\n")
    assert len(read_table("seattle-weather.csv")[0]) == 1


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("day,flow,flow\n2012-01-01,1,2\n", {}, "has the column 'flow' several times"),
        ("day,flow\n2012-01-01,1\n", {"features": ["flaw"]}, "no column 'flaw' (but 'flow')"),
        ("day,flow\n2012-01-01,1\n", {"dates": "date"}, "no column 'date': the columns are ['day', 'flow']"),
        ("day,flow\n2012-01-01,1\n", {"rows": "station"}, "no column 'station'"),
        ("a,b,flow\n2012-01-01,2012-01-02,1\n", {}, "several columns hold dates: a, b"),
        ("day,flow\n01/02/2012,1\n02/02/2012,1\n", {}, "month first or day first, such as '01/02/2012'"),
        ("day,flow\n2012-01-01,1\n,2\n", {"dates": "day"}, "lack one in line 3"),
        ("day,flow\n2012-01-01,1\n2012-02-30,2\n", {"dates": "day"}, "hold '2012-02-30' in line 3"),
        ("day,flow\nMonday,1\n", {"dates": "day"}, "hold 'Monday' in line 2"),
        ("day,note\n2012-01-01,dry\n", {}, "no column of numbers, with a point before decimals"),
        ('day,flow\n2012-01-01,"3,2"\n', {}, "numbers with a comma, in 'flow': write a point"),
        ("day;a;b;c\n2012-01-01;3;-0,5;1.234,5\n2012-01-02;4;2;\n", {}, "in 'b', 'c': write a point"),
        ("day\ta\tb\n2012-01-01\t3\t1,234,567\n", {}, "a comma, in 'b'"),
        ("", {}, "No columns"),
        ("day,flow\n2012-01-01,1,2,3\n2012-01-02\n", {}, "Length of header"),
    ],
)
def test_files_that_fail(tmp_path: Path, text: str, options: dict[str, object], message: str) -> None:
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(HiddenStateError) as raised:
        read_table(path, **options)  # type: ignore[arg-type]
    assert message in str(raised.value)
    assert str(path) in str(raised.value)


def test_columns_with_commas_are_left_out_on_demand(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("day;flow;level;note\n31.12.2012;3;1,5;wet, cold\n30.12.2012;4;2,5;dry, 12\n")
    assert read_table(path, ["flow"])[2] == ("flow",)
    path.write_text(path.read_text().replace("1,5", "1.5").replace("2,5", "2.5"))
    assert read_table(path)[1:] == ("day", ("flow", "level"))


def test_missing_damaged_and_too_large_files_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "none.csv")
    (tmp_path / "data.parquet").write_bytes(b"PAR1 and more")
    with pytest.raises(FileFormatError, match=r"data.parquet is damaged"):
        read_table(tmp_path / "data.parquet")
    (tmp_path / "data.csv").write_bytes(b"day,flow\n2012-01-01,\xff\n")
    with pytest.raises(FileFormatError, match=r"data.csv is damaged"):
        read_table(tmp_path / "data.csv")
    whole = table()
    whole.to_csv(tmp_path / "data.csv", index=False)
    whole.to_parquet(tmp_path / "data.parquet")
    monkeypatch.setattr(frames, "MOST_BYTES", 8 * 3 * 10)
    monkeypatch.setattr(tables, "_LINES_AT_ONCE", 5)
    for name in ("data.csv", "data.parquet"):
        with pytest.raises(ArgumentError, match="read it in parts"):
            read_table(tmp_path / name)


def test_a_column_of_labels_is_no_column_of_dates(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("station,flow\nMay,1\nOctober,2\n")
    with pytest.raises(NameUnknownError):
        read_table(path, ["rain"])
    assert read_table(path)[1] is None


def test_integers_are_dates_only_if_all_are(tmp_path: Path) -> None:
    path, days = tmp_path / "data.csv", pd.Series(DAYS).dt.strftime("%Y%m%d").astype(int)
    whole = table().assign(day=days, station=20120101, day_and_some=days + 70)
    whole.to_csv(path, index=False)
    assert read_table(path)[1:] == ("day", ("rain", "flow", "station", "day_and_some"))
    assert read_table(path, ["day", "flow"])[1:] == (None, ("day", "flow"))  # named as a feature
    last = whole[-1:].assign(day=20129999)
    pd.concat([whole] * 600 + [last]).to_csv(path, index=False)  # after the lines that are looked at first
    with pytest.raises(ArgumentError, match="20129999"):
        read_table(path)
