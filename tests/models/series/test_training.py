import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, HiddenStateError
from hiddenstate.models import SeriesConfig, SeriesModel, resume_series, shipped, train_series
from hiddenstate.models.model_folder import CARD, WEIGHTS
from hiddenstate.models.series.training import SERIES_RUN, SeriesTask, ridge_forecasts
from hiddenstate.training.settings import read_run_file
from hiddenstate.training.task import Step
from support import Later

linear_model: Any = Later("sklearn.linear_model")

SMALL = SeriesConfig(
    target=("flow",), window=4, hidden_size=5, epochs=3, warmup_steps=2, learning_rate=0.02, batch_windows=16
)


def frame(days: int = 120, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    rain = random.gamma(0.3, 8, days)
    flow = np.convolve(rain, 0.5 ** np.arange(6))[:days] + random.normal(0, 0.1, days)
    index = pd.date_range("2012-01-01", periods=days, name="date")
    return pd.DataFrame({"rain": rain, "flow": flow, "rest": random.random(days)}, index)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    frame().to_csv(path)
    return path


def loaded(folder: Path) -> SeriesModel:
    model = hs.load(folder)
    assert isinstance(model, SeriesModel)
    return model


@pytest.mark.parametrize("horizon", [1, 3])
def test_the_saved_model_forecasts_what_was_measured(tmp_path: Path, data: Path, horizon: int) -> None:
    config = replace(SMALL, horizon=horizon, units=("flow=m3/s",), test_from="2012-04-01", cell="gru")
    result = train_series(data, tmp_path / "model", config, licence="none")
    model = loaded(tmp_path / "model")
    assert (model.features, model.targets, model.window) == (("rain", "flow", "rest"), ("flow",), 4)
    assert (model.horizon, model.units) == (horizon, {"flow": "m3/s"})
    assert result.test is not None
    held_out = model.read(frame()).between("2012-04-01", "2012-04-29")
    assert [line for line in result.test.lines if line.rival != "ridge regression"] == list(held_out.skill().lines)
    assert list(held_out.origins) == list(range(90, 120 - horizon))
    errors = (held_out.values - torch.from_numpy(held_out.truth)).numpy()
    line = result.test.against("persistence")
    assert line.rmse == pytest.approx(np.sqrt((errors**2).mean()))
    assert line.mae == pytest.approx(np.abs(errors).mean())
    known = frame()["flow"].to_numpy()
    steps = np.array(held_out.origins)[:, None] + np.arange(1, horizon + 1)
    assert line.rival_mae == pytest.approx(np.abs(known[steps] - known[np.array(held_out.origins)][:, None]).mean())
    assert line.mae_skill == pytest.approx(1 - line.mae / line.rival_mae)
    assert line.mae_low <= line.mae_skill <= line.mae_high
    card = (tmp_path / "model" / CARD).read_text(encoding="utf-8")
    assert "tested on 2012-04-01 to 2012-04-29" in card
    assert str(tmp_path) not in card


def test_the_future_does_not_leak(tmp_path: Path, data: Path) -> None:
    """Neither the weights of an epoch nor a scale depend on what follows the training part."""
    config = replace(SMALL, dev_from="2012-03-21", test_from="2012-04-10", epochs=1)
    train_series(data, tmp_path / "a", config)
    other = frame()
    other.loc["2012-03-21":] = 1000 + 50 * frame(seed=3).loc["2012-03-21":]
    other.to_csv(data)
    train_series(data, tmp_path / "b", config)
    a, b = loaded(tmp_path / "a"), loaded(tmp_path / "b")
    assert (tmp_path / "a" / WEIGHTS).read_bytes() == (tmp_path / "b" / WEIGHTS).read_bytes()
    part = frame()[:"2012-03-20"]
    np.testing.assert_allclose(a.scale.offset, part.mean())
    np.testing.assert_allclose(a.scale.factor, part.std(ddof=0))
    assert torch.equal(a.scale.factor, b.scale.factor)


def test_windows_stay_in_their_part(data: Path) -> None:
    config = replace(SMALL, horizon=2, dev_from="2012-03-21", test_from="2012-04-10")
    task = SeriesTask(replace(SERIES_RUN, settings=config, files={"data": str(data), "out": ""}))
    ends = {name: task._windows(name)[:, 0].tolist() for name in task.parts}
    assert ends["train"] == list(range(3, 78))  # 80 and 100 are the borders
    assert ends["dev"] == list(range(79, 98))
    assert ends["test"] == list(range(99, 118))
    batches = task.plan(2)
    assert sorted(torch.cat(list(batches))[:, 0].tolist()) == ends["train"]
    assert torch.equal(torch.cat(list(batches)), torch.cat(list(task.plan(2))))
    x = frame().to_numpy()
    scaled = (x - x[:80].mean(0)) / x[:80].std(0)
    with torch.no_grad():
        windows = [scaled[end - 3 : end + 1] for end in batches[0][:, 0]]
        out = task.model(torch.tensor(np.stack(windows, 1)).float())[0]
    want = np.stack([scaled[batches[0][:, 0] + ahead, 1:2] for ahead in (1, 2)])
    assert float(task.loss(batches[0]).mean.detach()) == pytest.approx(np.square(out.numpy() - want).mean(), rel=1e-5)


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("step", [1, 7, 12])
def test_an_interrupted_run_goes_on_and_ends_in_the_same_weights(tmp_path: Path, data: Path, step: int) -> None:
    config = replace(SMALL, checkpoint_steps=2, log_steps=1)
    whole = train_series(data, tmp_path / "whole", config)

    def stop(progress: object) -> None:
        if isinstance(progress, Step) and progress.step == step:
            raise StoppedError  # not KeyboardInterrupt: the last checkpoint may be older, as when the process is killed

    with pytest.raises(StoppedError):
        train_series(data, tmp_path / "broken", config, on_progress=stop)
    result = resume_series(tmp_path / "broken.run")
    assert (tmp_path / "broken" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()
    assert result.test is not None
    assert str(result.test) == str(whole.test)
    steps = [json.loads(line)["step"] for line in (tmp_path / "broken.run" / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)


def test_changed_data_are_refused(tmp_path: Path, data: Path) -> None:
    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_series(data, tmp_path / "model", SMALL, on_progress=stop)
    frame(seed=1).to_csv(data)
    with pytest.raises(ArgumentError, match="data"):
        resume_series(tmp_path / "model.run")


def test_several_rows_with_missing_days(tmp_path: Path) -> None:
    parts = [frame(seed=seed).assign(station=name) for seed, name in enumerate("AB")]
    long = pd.concat(parts).reset_index()
    long.loc[5, "rain"] = np.nan
    long.loc[6, "flow"] = np.nan
    long = long.drop(index=[30, 31])
    long.to_parquet(tmp_path / "long.parquet")
    config = replace(SMALL, rows="station", gaps="insert", missing="previous", target=("flow", "rain"), test_share=0.0)
    task = SeriesTask(replace(SERIES_RUN, settings=config, files={"data": str(tmp_path / "long.parquet"), "out": ""}))
    windows = {tuple(pair) for pair in task.windows.tolist()}
    assert {(end, 0) for end in (4, 5, 29, 30)} & windows == set()  # what follows them was not measured
    assert {(end, 1) for end in (4, 5, 29, 30)} <= windows
    rain = long[long["date"] < "2012-04-12"]["rain"]
    np.testing.assert_allclose(float(hs.models.SeriesModel._of_stored(task.model).scale.offset[0]), rain.mean())
    result = train_series(tmp_path / "long.parquet", tmp_path / "model", config)
    assert result.test is None
    assert {line.target for line in result.dev.lines} == {"flow", "rain"}


def test_ridge_is_that_of_scikit_learn() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(60, 2, 3, generator=random, dtype=torch.float64)
    wanted = torch.randn(60, 2, 1, generator=random, dtype=torch.float64) + x[..., :1].roll(2, 0)
    windows = torch.cartesian_prod(torch.arange(3, 38), torch.arange(2))
    origins = {"dev": range(39, 48), "test": range(49, 58)}
    got = ridge_forecasts(x, wanted, windows, origins, (4, 2))

    def lags(pairs: torch.Tensor, steps: int) -> Any:
        return torch.stack([x[end + 1 - steps : end + 1, row].flatten() for end, row in pairs.tolist()]).numpy()

    def targets(pairs: torch.Tensor) -> Any:
        return torch.stack([wanted[end + 1 : end + 3, row].flatten() for end, row in pairs.tolist()]).numpy()

    pairs = {name: torch.cartesian_prod(torch.tensor(part), torch.arange(2)) for name, part in origins.items()}
    fits = [
        (float(np.square(fit.predict(lags(pairs["dev"], steps)) - targets(pairs["dev"])).mean()), steps, power)
        for steps in (4, 2, 1)
        for power in range(-2, 7)
        if (fit := linear_model.Ridge(10.0**power).fit(lags(windows, steps), targets(windows)))
    ]
    _, steps, power = min(fits)
    fit = linear_model.Ridge(10.0**power).fit(lags(windows, steps), targets(windows))
    for name, values in got.items():
        want = fit.predict(lags(pairs[name], steps)).reshape(-1, 2, 2, 1).swapaxes(1, 2)
        np.testing.assert_allclose(values, want, rtol=1e-9, atol=1e-10)


def with_text(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype({"rain": object}).assign(rain=lambda t: t["rain"].where(t.index != "2012-02-01", "wet"))


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (None, {"target": ()}, "there is no target"),
        (None, {"target": ("flaw",)}, "no column 'flaw' (but 'flow')"),
        (None, {"features": ("rain", "snow")}, "no column 'snow'"),
        (None, {"units": ("snow=mm",)}, "units names 'snow'"),
        (None, {"window": 110}, "the train part, 2012-01-01 to 2012-03-24, has no window of 110 steps"),
        (None, {"horizon": 20}, "the dev part, 2012-03-25 to 2012-04-11, has no window"),
        (None, {"dev_from": "2013-01-01"}, "no step is at 2013-01-01"),
        (None, {"dev_from": "2012-04-20"}, "the dev part would begin at 2012-04-20 and the test part at 2012-04-12"),
        (None, {"dev_from": "20th"}, "'20th' is not a date"),
        (lambda t: t.reset_index(drop=True), {"test_from": "500"}, "test_from is step 500, but the file has 120"),
        (lambda t: t.reset_index(drop=True), {"dev_from": "²"}, "dev_from must be the number of a step"),
        (lambda t: t.assign(rest=0.1), {}, "scale of 'rest' is 0, because the column was constant"),
        (lambda t: t.assign(rest=np.nan), {}, "'rest' has no value in the training part"),
        (lambda t: t.drop(t.index[7]), {}, "the dates have gaps"),
        (lambda t: t.iloc[::-1], {}, "not in order"),
        (lambda t: t.assign(rain=t["rain"].where(t.index != "2012-02-01")), {}, "'rain' at 2012-02-01 is missing"),
        (lambda t: t.assign(rain=t["rain"].where(t.index != "2012-02-01", np.inf)), {}, "2012-02-01 is infinite"),
        (with_text, {"features": ("rain",)}, "'rain' holds 'wet' in line 33"),
        (lambda t: t.iloc[:1], {}, "the training part comes first"),
        (None, {"hidden_size": 2**40}, "can't be made"),
    ],
)
def test_bad_data_and_settings_fail(
    tmp_path: Path, change: Any, settings: dict[str, Any], message: str, data: Path
) -> None:
    (frame() if change is None else change(frame())).to_csv(data)
    with pytest.raises(HiddenStateError) as raised:
        train_series(data, tmp_path / "model", replace(SMALL, **settings))
    assert message in str(raised.value)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": ("a", "a")}, "target names 'a' twice"),
        ({"units": ("m",)}, "such as flow=m3/s"),
        ({"missing": "none"}, "missing must be a number or previous"),
        ({"dev_share": 0.5, "test_share": 0.5}, "nothing to train on"),
    ],
)
def test_settings_that_fail(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        SeriesConfig(**settings)


CONFIG = Path(__file__).parents[3] / "examples" / "configs" / "seattle-weather.toml"


@pytest.fixture(scope="module")
def seattle() -> tuple[SeriesModel, pd.DataFrame]:
    table = pd.read_csv(shipped("seattle-weather") / "seattle-weather.csv", index_col="date", parse_dates=True)
    return hs.load("seattle-weather"), table


def test_the_card_of_the_shipped_forecaster_has_its_skill(seattle: tuple[SeriesModel, pd.DataFrame]) -> None:
    model, table = seattle
    card = (shipped("seattle-weather") / CARD).read_text(encoding="utf-8")
    lines = model.read(table).between("2015").skill().lines
    assert len(lines) == 3
    for line in lines:
        row = f"| test | temp_max [°C] | {line.rmse:.4g} | {line.mae:.4g} | {line.rival} | {line.rival_rmse:.4g} |"
        assert row in card
    assert read_run_file(CONFIG, SERIES_RUN).about["about_data"] in card
    size = sum(path.stat().st_size for path in shipped("seattle-weather").iterdir())
    assert size < 1_000_000


@pytest.mark.slow
def test_one_command_makes_the_shipped_forecaster_again(
    tmp_path: Path, seattle: tuple[SeriesModel, pd.DataFrame]
) -> None:
    wanted = read_run_file(CONFIG, SERIES_RUN)
    result = train_series(wanted.files["data"], tmp_path / "model", wanted.settings)
    assert result.test is not None
    shipped_rmse = seattle[0].read(seattle[1]).between("2015").skill().against("persistence").rmse
    assert result.test.against("persistence").rmse == pytest.approx(shipped_rmse, abs=0.05)  # other machines round
