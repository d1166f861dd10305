"""``read`` and ``explain`` on files of numbers, and ``train series``, run as by a user."""

import csv
import io
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from typer.testing import CliRunner, Result

import hiddenstate as hs
import programs
from hiddenstate.cli import app
from hiddenstate.errors import HiddenStateError
from hiddenstate.models import SeriesModel, shipped
from hiddenstate.models.model_folder import CARD, WEIGHTS

SEATTLE = ("seattle-weather.csv", "--model", "seattle-weather")


def invoke(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=text)


def run(*arguments: str, text: str | None = None) -> str:
    result = CliRunner().invoke(app, arguments, input=text, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def weather() -> pd.DataFrame:
    return pd.read_csv(shipped("seattle-weather") / "seattle-weather.csv", index_col="date", parse_dates=True)


@pytest.fixture(scope="module")
def model() -> SeriesModel:
    return hs.load("seattle-weather")


def test_read_shows_forecasts_skill_and_gates(model: SeriesModel) -> None:
    shown = run("read", *SEATTLE, "--from", "2015-01-01")
    reading = model.read(weather()).between("2015-01-01")
    assert str(reading) in shown
    assert str(reading.skill()) in shown
    assert "word" not in shown.lower()
    line = next(line for line in shown.splitlines() if line.startswith("2015-12-29"))
    assert line.split()[1] != "7.2"
    gates = shown.split("\n\n")[2].splitlines()
    assert gates[0] == "How the last forecast was made: layer 0 of rnn, mean over its units."
    last = gates[-1].split()
    assert last[:5] == ["2015-12-31", "0", "5.6", "-2.1", "3.5"]
    assert float(last[9]) == pytest.approx(float(reading.trace["rnn"]["l0.c"][-1, 0].norm()), abs=0.006)


def test_read_writes_all_forecasts(tmp_path: Path, model: SeriesModel) -> None:
    reading = model.read(weather())
    rows = list(csv.DictReader(io.StringIO(run("read", *SEATTLE, "--format", "csv"))))
    assert [float(row["forecast"]) for row in rows] == pytest.approx(reading.values.flatten().tolist())
    assert (rows[0]["origin"], rows[0]["date"], rows[0]["measured"]) == (
        "2012-01-30",
        "2012-01-31",
        "9.4",
    )
    found = json.loads(run("read", *SEATTLE, "--json", "--from", "2015-12-30"))
    assert [line["measured"] for line in found["forecasts"]] == [5.6, 5.6, None]
    assert found["units"]["temp_max"] == "°C"
    picture = tmp_path / "forecasts.png"
    run("read", *SEATTLE, "--plot", str(picture), "-o", str(tmp_path / "text"))
    assert picture.stat().st_size > 1000


def test_read_from_standard_input_and_parquet(tmp_path: Path) -> None:
    want = run("read", *SEATTLE)
    weather().to_parquet(tmp_path / "data.parquet")
    assert run("read", str(tmp_path / "data.parquet"), *SEATTLE[1:]) == want
    assert run("read", "-", *SEATTLE[1:], text=weather().to_csv()) == want


def test_read_several_rows_with_gaps_and_missing_values(tmp_path: Path, model: SeriesModel) -> None:
    one = weather()[:100].drop(weather().index[50])
    one.iloc[10, 0] = np.nan
    other = weather()[:100] + 1
    long = pd.concat([one.assign(city="Seattle"), other.assign(city="Tacoma")]).reset_index()
    path = tmp_path / "long.csv"
    long.to_csv(path, index=False)
    options = ("--rows", "city", "--gaps", "insert", "--missing", "previous")
    rows = list(csv.DictReader(io.StringIO(run("read", str(path), *SEATTLE[1:], *options, "--format", "csv"))))
    want = model.read(long, dates="date", rows="city", gaps="insert", missing="previous")
    assert [float(row["forecast"]) for row in rows] == pytest.approx(want.to_dataframe()["forecast"].tolist())
    assert "of Tacoma was made" in run("read", str(path), *SEATTLE[1:], *options, "--row", "Tacoma")


def test_attribute_says_which_feature_at_which_lag(model: SeriesModel) -> None:
    found = json.loads(run("explain", "attribute", *SEATTLE, "--at", "2015-07-05", "--spans", "10", "--json"))
    part = weather()["2015-06-05":"2015-07-04"]
    want = hs.explain.attribute(model, part, of="temp_max", spans=10, history=weather(), progress=False)
    np.testing.assert_allclose(found["parts"], want.parts, rtol=1e-5)
    assert found["value"] == pytest.approx(float(model.read(part).values[-1]))
    shown = run("explain", "attribute", *SEATTLE, "--at", "2015-07-05")
    assert shown.startswith("What makes temp_max at 2015-07-05 +29.")
    assert "integrated gradients" in shown
    assert "word" not in shown.lower()
    beyond = run(
        "explain", "attribute", *SEATTLE, "--at", "2016-01-01", "--baseline", "climatology", "--spans", "0-19,20-29"
    )
    assert beyond.startswith("What makes temp_max at 2016-01-01")
    assert "2015-12-30" not in beyond


def test_importance_response_and_limits(tmp_path: Path, model: SeriesModel) -> None:
    folder = tmp_path / "parts"
    options = ("seattle-weather.csv", "--stride", "300", "--folder", str(folder), "--json")
    found = json.loads(run("explain", "importance", *options))
    want = hs.explain.importance(model, weather(), of="temp_max", stride=300, progress=False)
    np.testing.assert_allclose(found["size"], want.size)
    assert any(folder.iterdir())
    found = json.loads(run("explain", "response", "seattle-weather.csv", "--feature", "wind", "--lag", "2", "--json"))
    assert (found["feature"], found["lag"]) == ("wind", 2)
    assert found["values"][0] == pytest.approx(weather()["wind"].min())
    found = json.loads(run("explain", "limits", "seattle-weather.csv", "--json"))
    assert found["low"] == pytest.approx(hs.explain.limits(model, weather()[-30:], of="temp_max").low)


class PerStep(nn.Module):
    def __init__(self, horizon: int = 0) -> None:
        super().__init__()
        self.lstm, self.linear, self.horizon = nn.LSTM(2, 6, batch_first=True), nn.Linear(6, horizon or 1), horizon

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        out, state = self.lstm(x, state)
        return (self.linear(out), state) if not self.horizon else self.linear(out[:, -1])[..., None]


@pytest.fixture
def river(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    hours = pd.date_range("2020-01-01", periods=200, freq="h", name="time")
    pd.DataFrame({"rain": random.random(200), "flow": random.random(200)}, hours).to_csv(tmp_path / "river.csv")
    torch.manual_seed(0)
    scale = {"rain": (0.5, 0.3), "flow": (0.5, 0.3)}
    hs.save(hs.series_model(PerStep(), ["rain", "flow"], "flow", scale=scale), tmp_path / "step")
    hs.save(hs.series_model(PerStep(3), ["rain", "flow"], "flow", scale=scale, window=12), tmp_path / "horizon")
    return tmp_path


def test_a_forecast_with_state_is_explained_as_it_was_made(river: Path) -> None:
    """The steps that are not explained still give the state: the value is that of the whole series."""
    options = (str(river / "river.csv"), "--model", str(river / "step"), "--at", "2020-01-06 00:00", "--last", "5")
    found = json.loads(run("explain", "attribute", *options, "--json"))
    model = hs.load(river / "step")
    assert isinstance(model, SeriesModel)
    frame = pd.read_csv(river / "river.csv", index_col="time", parse_dates=True)
    want = model.read(frame).forecasts.loc["2020-01-06 00:00", "flow"]
    assert found["value"] == pytest.approx(want, rel=1e-5)
    assert len(found["windows"]) == 5
    assert run("explain", "limits", *options).startswith("Whatever the input, flow at 2020-01-06 00:00 is between")


def test_a_step_of_a_horizon(river: Path) -> None:
    options = (str(river / "river.csv"), "--model", str(river / "horizon"), "--at", "2020-01-06 00:00")
    model = hs.load(river / "horizon")
    assert isinstance(model, SeriesModel)
    frame = pd.read_csv(river / "river.csv", index_col="time", parse_dates=True)
    whole = model.read(frame).to_dataframe().set_index(["date", "ahead"])["forecast"]
    for ahead in (1, 3):
        found = json.loads(run("explain", "attribute", *options, "--ahead", str(ahead), "--spans", "4", "--json"))
        assert found["value"] == pytest.approx(whole[pd.Timestamp("2020-01-06"), ahead], rel=1e-5)
    shown = run("read", *options[:3], "--to", "2020-01-02")
    assert "1 to 3 steps ahead" in shown


@pytest.mark.parametrize("name", ["step", "horizon"])
def test_gates_are_those_of_the_last_forecast_that_is_shown(river: Path, name: str) -> None:
    data, options = pd.read_csv(river / "river.csv"), ("--model", str(river / name))
    data[:31].to_csv(river / "part.csv", index=False)
    last = 31 if name == "step" else 33  # hours: the forecasts read the same steps
    to = f"2020-01-02 {last - 24:02}:00"
    shown = run("read", str(river / "river.csv"), *options, "--to", to)
    assert shown.split("\n\n")[2] == run("read", str(river / "part.csv"), *options).split("\n\n")[2]


@pytest.mark.parametrize(("name", "step"), [("step", 201), ("step", 300), ("horizon", 201), ("horizon", 9999)])
def test_a_forecast_of_steps_that_are_not_in_the_file(river: Path, name: str, step: int) -> None:
    pd.read_csv(river / "river.csv")[["rain", "flow"]].to_csv(river / "plain.csv", index=False)
    result = invoke("explain", "limits", str(river / "plain.csv"), "--model", str(river / name), "--at", str(step))
    assert f"the forecast for {step} reads steps after 199, the last of the file" in str(result.exception)
    assert ("or a larger --ahead" in str(result.exception)) is (name == "horizon")
    result = invoke("explain", "limits", str(river / "plain.csv"), "--model", str(river / name), "--at", "²")
    assert "--at must be the number of a step" in str(result.exception)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("read seattle-weather.csv --model seattle-weather --unit 3", "--unit and --direction are for texts"),
        ("read none.csv --model seattle-weather", "No such file"),
        ("read seattle-weather.csv --model seattle-weather --dates day", "no column 'day'"),
        ("read seattle-weather.csv --model seattle-weather --layer 1", "--layer 1 is out of range"),
        ("read seattle-weather.csv --model seattle-weather --from 2020-01-01", "no step is at 2020-01-01 or later: "),
        ("read seattle-weather.csv --model seattle-weather --to 2010", "no step is at 2010 or earlier: "),
        ("read seattle-weather.csv --model seattle-weather --from 2515-06-01", "must be in the years 1678 to 2261"),
        ("read seattle-weather.csv --model seattle-weather --row Tacoma", "no row 'Tacoma'"),
        ("read seattle-weather.csv --model seattle-weather --missing none", "--missing takes a number or previous"),
        ("read other.csv --model seattle-weather", "no column 'precipitation'"),
        ("read other.csv", "other.csv is a file of numbers: name a series model with --model"),
        ("read Dogs --dates day", "--dates is for a file of numbers"),
        ("explain attribute Dogs --at 2015-01-01", "--at is for a file of numbers"),
        ("explain attribute other.csv", "other.csv is a file of numbers"),
        ("explain attribute seattle-weather.csv --model seattle-weather --word 3", "--word, --label"),
        ("explain attribute seattle-weather.csv --model seattle-weather --of flow", "flow"),
        ("explain attribute seattle-weather.csv --model seattle-weather --at 2012-01-10", "choose a later date"),
        ("explain attribute seattle-weather.csv --model seattle-weather --at 2015-07", "names 31 steps"),
        ("explain attribute seattle-weather.csv --model seattle-weather --at 2017-01-01", "no step is at 2017-01-01"),
        ("explain attribute seattle-weather.csv --model seattle-weather --last 5", "--last is for models that carry"),
        ("explain attribute seattle-weather.csv --model seattle-weather --ahead 2", "--ahead chooses a step"),
        ("explain graph seattle-weather.csv --model seattle-weather", "seattle-weather is a series model"),
        ("explain limits Dogs --model tagger-en", "tagger-en reads text"),
        ("explain response seattle-weather.csv --feature rain", "no feature 'rain'"),
        ("train series other.csv --target flaw --out model", "no column 'flaw'"),
        ("train series other.csv --out model", "there is no target"),
    ],
)
def test_what_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("other.csv").write_text("day,flow\n2012-01-01,1\n2012-01-02,2\n")
    result = invoke(*shlex.split(command))
    assert isinstance(result.exception, HiddenStateError | OSError), result.output
    assert message in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["other.csv"]


def test_train_series_and_the_command_on_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--target", "temp_max,wind", "--features", "temp_max,wind", "--units", "wind=m/s", "--window", "5")
    small = ("--epochs", "2", "--hidden-size", "4", "--test-from", "2015-01-01", "--plot", "run.png")
    result = invoke("train", "series", "seattle-weather.csv", *options, *small, "--out", "first")
    assert result.exception is None, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("epoch 1/2  loss ")
    assert "windows/s  dev temp_max RMSE" in lines[0]
    assert "dev   temp_max, 1 step ahead: RMSE" in result.stdout
    assert "test  temp_max, 1 step ahead: RMSE" in result.stdout
    assert "ridge regression" in result.stdout
    assert Path("run.png").stat().st_size > 1000
    card = Path("first", CARD).read_text(encoding="utf-8")
    command = next(line for line in card.splitlines() if line.startswith("hiddenstate train series "))
    Path("first").rename("kept")
    Path("first.run").rename("kept.run")
    assert invoke(*shlex.split(command)[1:]).exception is None
    assert Path("first", WEIGHTS).read_bytes() == Path("kept", WEIGHTS).read_bytes()
    result = invoke("train", "series", "--resume", "kept.run", "--target", "wind")
    assert "drop the other options" in str(result.exception)


def test_a_killed_training_goes_on_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = ("--epochs", "3", "--hidden-size", "4", "--window", "5", "--set", "checkpoint_steps=1")
    options = ("train", "series", "seattle-weather.csv", "--target", "wind", *small, "--out")
    assert invoke(*options, "whole").exception is None
    kill = (
        "import os, sys; from hiddenstate.training import loop; from hiddenstate.cli import main\n"
        "write = loop.RunFolder.write\n"
        "def last(self, checkpoint, **options):\n"
        "    write(self, checkpoint, **options)\n"
        "    if checkpoint.position.step == 20: os.kill(os.getpid(), 9)\n"
        "loop.RunFolder.write = last\n"
        f"sys.argv = ['hiddenstate', *{[*options, 'broken']!r}]; main()"
    )
    assert programs.run([sys.executable, "-c", kill], capture_output=True, check=False).returncode == -9
    assert invoke("train", "series", "--resume", "broken.run").exception is None
    assert Path("broken", WEIGHTS).read_bytes() == Path("whole", WEIGHTS).read_bytes()


def peak_of(*command: str) -> int:
    """Run a program, and return the peak of its memory in bytes.

    It is started by a small process, because a program's peak begins at that of the process that starts it.
    """
    start = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=sys.stderr)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    starter = [sys.executable, "-c", start, sys.executable, *command]
    peak = int(subprocess.run(starter, check=True, stdout=subprocess.PIPE).stdout)
    return peak * (1024 if sys.platform == "linux" else 1)


@pytest.mark.slow
def test_a_hundred_thousand_lines_in_bounded_memory(tmp_path: Path) -> None:
    table = pd.concat([weather()] * 70)[:100_000]
    table.index = pd.date_range("1900-01-01", periods=len(table), freq="h", name="date")
    peaks = []
    for lines in (100, len(table)):
        table[:lines].to_csv(tmp_path / "data.csv")
        command = "-m", "hiddenstate", "read", str(tmp_path / "data.csv"), *SEATTLE[1:]
        peaks.append(peak_of(*command, "-o", str(tmp_path / f"{lines} lines")))
    assert peaks[1] - peaks[0] < 2**28
