"""The map feature × lag over a data set: the mean of the attributions of its rows, with intervals, and resumable."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, HiddenStateError, ShapeError
from hiddenstate.explain.importance import run
from hiddenstate.explain.importance.result import bootstrap
from hiddenstate.explain.subject import target
from support import diagonal


class Forecaster(nn.Module):
    def __init__(self, kind: Any = nn.GRU, *, mixed: bool = False) -> None:
        super().__init__()
        self.mix = nn.Linear(3, 3) if mixed else nn.Identity()
        self.rnn, self.head = kind(3, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, x: Tensor, state: Any = None) -> Any:
        return self.head(self.rnn(self.mix(x), state)[0][:, -1])


def forecaster(**options: Any) -> Forecaster:
    torch.manual_seed(0)
    module = Forecaster(**options).double()
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(2)
    return module


def rows(N: int = 70, T: int = 6) -> Tensor:
    return torch.randn(N, T, 3, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize(
    ("mixed", "method"),
    diagonal([False, True], ["frozen", "integrated_gradients", "gradient", "occlusion", "shapley"]),
)
def test_it_is_the_mean_of_the_attributions(method: Any, mixed: bool) -> None:
    if mixed and method == "frozen":
        pytest.skip("frozen looks inside a layer that reads the module's own input")
    module, x = forecaster(mixed=mixed), rows(67)
    options: Any = {"of": 0, "features": {"a": 0, "b": [1, 2]}, "spans": 2, "method": method, "baseline": "mean"}
    result = hs.explain.importance(module, x, **options)
    each = [hs.explain.attribute(module, x, row=row, **options) for row in range(67)]
    parts = torch.stack([one.table for one in each])
    assert torch.allclose(result.size, parts.abs().mean(0), rtol=1e-9, atol=1e-12)
    assert torch.allclose(result.signed, parts.mean(0), rtol=1e-9, atol=1e-12)
    losses = torch.stack([one.occlusion[0].view(3, 2) for one in each if one.occlusion is not None])
    assert result.occlusion is not None
    assert torch.allclose(result.occlusion, losses.abs().mean(0), rtol=1e-9, atol=1e-12)
    assert result.spread == pytest.approx(np.mean([abs(one.value - float(one.references[0])) for one in each]))
    assert [window.name for window in result.windows] == ["4 to 5", "2 to 3", "0 to 1"]
    assert bool((result.size_interval[0] <= result.size).all())
    assert bool((result.size <= result.size_interval[1]).all())
    assert result.count == 67
    if method == "integrated_gradients":
        assert result.residual == pytest.approx(max(abs(one.residual) for one in each), rel=1e-6, abs=1e-12)


def test_points_are_run_in_parts_if_a_row_has_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = forecaster(), rows(5)
    options: Any = {"of": 0, "method": "integrated_gradients", "points": 11, "occlusion": False}
    want = hs.explain.importance(module, x, **options)
    sizes: list[int] = []
    values = target.BatchRunner.values

    def counted(work: target.BatchRunner, x: Tensor, *state: Any) -> Tensor:
        sizes.append(x.shape[1])
        return values(work, x, *state)

    monkeypatch.setattr(target.BatchRunner, "values", counted)
    monkeypatch.setattr(target, "ROW_STEPS_AT_ONCE", 16 * 6)
    got = hs.explain.importance(module, x, **options)
    assert torch.allclose(got.signed, want.signed, rtol=1e-12, atol=1e-14)
    assert max(sizes) <= 16
    assert sizes.count(16 // 4) == 10  # 11 points of each row, at most 4 together: gradients need 4 times the memory


def test_losses_of_windows_with_gaps_before_a_target_in_the_middle() -> None:
    """Columns and steps of no player stay, and windows after the target lose nothing."""
    torch.manual_seed(0)
    lstm, x = hs.LSTM(3, 4, num_layers=2).double(), rows(5, 9).transpose(0, 1)
    options: Any = {"of": "l1.c[2]@5", "features": {"a": [0, 2]}, "spans": [(0, 1), (2, 5), (7, 9)]}
    result = hs.explain.importance(lstm, x, method="occlusion", **options)
    each = [hs.explain.attribute(lstm, x, row=row, method="occlusion", **options).table for row in range(5)]
    assert torch.allclose(result.signed, torch.stack(each).mean(0), rtol=1e-10, atol=1e-13)
    assert float(result.size[2]) == 0
    assert float(result.size[:2].min()) > 0


@pytest.mark.parametrize(("plant", "cells"), [(hs.plant.delay(), {(5, 2)}), (hs.plant.delay(2, 0), {(2, 0)})])
def test_it_finds_what_is_planted(plant: hs.plant.Plant, cells: set[tuple[int, int]]) -> None:
    result = hs.explain.importance(plant.lstm, plant.inputs(0, T=12, N=20), of=plant.target, baseline="zero")
    large = {(result.windows[w].lag, f) for w, f in (result.size > 0.05 * result.size.max()).nonzero().tolist()}
    assert large == cells
    assert float(result.size.sum()) == pytest.approx(result.spread, rel=1e-3)


def series_of(years: int) -> Any:
    pandas = pytest.importorskip("pandas")
    draw = np.random.default_rng(0)
    index = pandas.date_range("2010-01-01", periods=365 * years)
    return pandas.DataFrame(draw.normal(size=(365 * years, 3)), columns=["rain", "heat", "flow"], index=index)


def test_windows_of_a_long_series() -> None:
    model = hs.series_model(forecaster(), ["rain", "heat", "flow"], "flow", scale={"rain": (1.0, 2.0)}, units="m³/s")
    frame = series_of(3)
    options: Any = {"of": "flow", "method": "gradient"}
    for name in ("mean", "climatology"):
        part = frame.iloc[400:440]
        result = hs.explain.importance(model, part, window=10, stride=5, baseline=name, history=frame, **options)
        each = [
            hs.explain.attribute(model, part.iloc[k : k + 10], baseline=name, history=frame, **options).table
            for k in range(0, 31, 5)
        ]
        assert torch.allclose(result.size, torch.stack(each).abs().mean(0), atol=1e-12)
        assert (result.count, result.block, result.unit) == (7, 2, "m³/s")
        assert [window.lag for window in result.windows] == list(range(10, 0, -1))
    several = hs.explain.importance(model, [frame.iloc[:10], frame.iloc[10:20]], **options)
    assert several.count == 2
    windowed = hs.series_model(forecaster(), ["rain", "heat", "flow"], "flow", window=10)
    assert hs.explain.importance(windowed, frame.iloc[:15], **options).count == 6


def test_baselines_of_several_rows_are_those_of_each_and_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = hs.series_model(forecaster(), ["rain", "heat", "flow"], "flow")
    frame = series_of(3)
    history = {"A": frame, "B": frame * 2 + 1, "C": frame**2}
    part = {name: rows.iloc[400:406] for name, rows in reversed(history.items())}
    usual = {name: rows.iloc[:6].set_axis(part["A"].index) for name, rows in history.items()}
    options: Any = {"of": "flow", "method": "gradient", "history": history}
    read: list[object] = []
    prepare = type(model).prepare

    def counted(*args: Any, **named: Any) -> Any:
        read.append(args)
        return prepare(*args, **named)

    for baseline in ("mean", "climatology", "previous", "zero", usual):
        each = [hs.explain.attribute(model, part, row=row, baseline=baseline, **options).table for row in "CBA"]
        with monkeypatch.context() as patch:
            patch.setattr(type(model), "prepare", counted)
            result = hs.explain.importance(model, part, baseline=baseline, **options)
        assert torch.allclose(result.size, torch.stack(each).abs().mean(0), rtol=1e-12, atol=1e-14)
        assert len(read) <= 3  # the data, the history, and the baseline
        read.clear()


def test_a_frame_is_a_baseline() -> None:
    model = hs.series_model(forecaster(), ["rain", "heat", "flow"], "flow")
    frame = series_of(3)
    part = frame.iloc[400:406]
    options: Any = {"of": "flow", "method": "gradient", "baseline": frame.iloc[:6].set_axis(part.index)}
    result = hs.explain.importance(model, part, **options)
    assert torch.allclose(result.size, hs.explain.attribute(model, part, **options).table.abs(), rtol=1e-12)


def test_batches_of_a_loader() -> None:
    module, x = forecaster(), rows(20)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, torch.zeros(20)), batch_size=7)
    for baseline in (x.mean((0, 1)), "mean"):  # that of all batches
        whole = hs.explain.importance(module, x, of=0, baseline=baseline)
        batches = hs.explain.importance(module, loader, of=0, baseline=baseline)
        assert torch.allclose(whole.size, batches.size, rtol=1e-12)


def test_a_killed_run_goes_on_with_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = forecaster(), rows(200)
    options: Any = {"of": 0, "method": "shapley", "spans": 1, "samples": 3, "occlusion": False}
    fresh = hs.explain.importance(module, x, **options)
    computed: list[int] = []
    block = run.ImportanceJob.block

    def killed(job: run.ImportanceJob, first: int) -> Any:
        if len(computed) == 2:
            raise KeyboardInterrupt
        computed.append(first)
        return block(job, first)

    monkeypatch.setattr(run.ImportanceJob, "block", killed)
    with pytest.raises(KeyboardInterrupt):
        hs.explain.importance(module, x, folder=tmp_path / "parts", **options)
    assert [path.name for path in sorted((tmp_path / "parts").iterdir())] == [
        "rows-00000000.safetensors", "rows-00000032.safetensors"
    ]  # fmt: skip
    monkeypatch.undo()
    resumed = hs.explain.importance(module, x, folder=tmp_path / "parts", **options)
    assert json.loads(resumed.to_json()) | {"cost": 0} == json.loads(fresh.to_json()) | {"cost": 0}
    assert 0 < resumed.cost < fresh.cost
    again = hs.explain.importance(module, x, folder=tmp_path / "parts", **options)
    assert again.cost == 0
    changed = x.clone()
    changed[3] += 1
    other = forecaster()
    with torch.no_grad():
        other.head.bias.add_(1)
    for model, data, more in ((module, changed, {}), (other, x, {}), (module, x, {"seed": 1})):
        with pytest.raises(ArgumentError, match="a different model, data or settings"):
            hs.explain.importance(model, data, folder=tmp_path / "parts", **options | more)
    assert len(list((tmp_path / "parts").iterdir())) == 7


def test_a_folder_tells_apart_models_whose_layer_is_called_lstm(tmp_path: Path) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Any:
            return self.head(self.lstm(x)[0][:, -1])

    module, x = Named().double(), rows(5)
    hs.explain.importance(module, x, of=0, folder=tmp_path)
    with torch.no_grad():
        module.head.weight.mul_(2)
    with pytest.raises(ArgumentError, match="a different model, data or settings"):
        hs.explain.importance(module, x, of=0, folder=tmp_path)


def test_a_folder_tells_apart_scales_that_are_nearly_equal(tmp_path: Path) -> None:
    part = series_of(1).iloc[:8]
    for k, factor in enumerate((3.1, 3.1 + 1e-6)):
        model = hs.series_model(forecaster(), ["rain", "heat", "flow"], "flow", target_scale=(1.0, factor))
        if k == 0:
            hs.explain.importance(model, part, of="flow", folder=tmp_path)
            continue
        with pytest.raises(ArgumentError, match="a different model, data or settings"):
            hs.explain.importance(model, part, of="flow", folder=tmp_path)


def test_an_interval_is_as_wide_as_theory_says() -> None:
    draw = np.random.default_rng(0)
    noise = draw.normal(size=(4000, 1))
    low, high = bootstrap(torch.from_numpy(noise), 1, 0.95, seed=0)[:, 0].tolist()
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(4000), rel=0.1)
    steady = np.zeros((4000, 1))
    for t in range(1, 4000):
        steady[t] = 0.9 * steady[t - 1] + noise[t]
    low, high = bootstrap(torch.from_numpy(steady), 100, 0.95, seed=0)[:, 0].tolist()
    assert high - low == pytest.approx(2 * 1.96 * 10 / np.sqrt(4000), rel=0.25)  # (1 / (1 - 0.9)) times as wide
    once = bootstrap(torch.tensor([[1.0], [3.0]]), 2, 0.95, seed=0)
    assert bool(once.isnan().all())  # one block tells nothing of other rows


def test_results(tmp_path: Path) -> None:
    result = hs.explain.importance(forecaster(), rows(20), of=0)
    text = str(result)
    assert "word" not in text + result.to_json()
    assert "(12 of 18)" in text
    assert len(result.to_dataframe()) == 18
    assert set(result.rows()[0]) == {
        "window", "lag", "feature", "size", "size_low", "size_high", "signed", "signed_low", "signed_high", "occlusion"
    }  # fmt: skip
    figure = result.plot(tmp_path / "map.png")
    texts = [label.get_text() for axes in figure.axes for label in axes.get_xticklabels()]
    assert texts[-8:].count("0") >= 1
    assert float(result.by_feature.sum()) == pytest.approx(float(result.by_window.sum()))
    reported: list[tuple[int, int]] = []
    hs.explain.importance(forecaster(), rows(40), of=0, progress=lambda rows, total: reported.append((rows, total)))
    assert reported == [(32, 40), (40, 40)]


@pytest.mark.parametrize(
    ("data", "options", "error", "words"),
    [
        (rows(), {"window": 7}, ArgumentError, "window must be in 1..6"),
        (rows(), {"window": 3, "stride": 0}, ArgumentError, "stride"),
        (rows(), {"level": 1.0}, ArgumentError, "level"),
        (rows(), {"block": 0}, ArgumentError, "block"),
        (rows(), {"method": "guess"}, ArgumentError, "unknown method"),
        (rows(), {"baseline": ["zero", "mean"]}, ArgumentError, "one baseline"),
        (rows(), {"of": lambda y: y[:, 0], "folder": "parts"}, ArgumentTypeError, "functions"),
        (rows(), {"progress": 1}, ArgumentTypeError, "progress"),
        ([rows(2, 6), rows(2, 7)], {}, ShapeError, "one number of steps"),
        ([], {}, ArgumentError, "empty"),
        ("series.csv", {}, ArgumentTypeError, "a tensor, a frame, or batches"),
        (3, {}, ArgumentTypeError, "a tensor, a frame, or batches"),
        (rows(), {"hx": torch.zeros(1, 70, 4).double()}, ArgumentError, "begin without a state"),
        (rows(), {"hx": torch.zeros(1, 70, 4).double(), "window": 3}, ArgumentError, "begin without a state"),
    ],
)
def test_bad_input_fails(data: Any, options: dict[str, Any], error: type[HiddenStateError], words: str) -> None:
    with pytest.raises(error, match=words):
        hs.explain.importance(forecaster(), data, **{"of": 0, **options})


def test_a_folder_that_is_damaged_fails(tmp_path: Path) -> None:
    module, x = forecaster(), rows(5)
    hs.explain.importance(module, x, of=0, folder=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(HiddenStateError, match=path.name):
        hs.explain.importance(module, x, of=0, folder=tmp_path)
    own = nn.Sequential(hs.LSTM(3, 2))
    edited = own[0]
    assert isinstance(edited, hs.LSTM)
    with edited.edit(hs.zero("l0.f")), pytest.raises(ArgumentError, match="edits are active"):
        hs.explain.importance(own, x.float(), of=0, folder=tmp_path / "other")


def test_only_windows_of_one_series_share_steps() -> None:
    module = forecaster()
    for data, stride, block in ((rows(8, T=6), 1, 1), (rows(8, T=7), 1, 2), (rows(2, T=30), 2, 3), ([*rows(4)], 1, 1)):
        result = hs.explain.importance(module, data, of=0, window=6, stride=stride, method="gradient")
        assert result.block == block
        assert bool((result.size_interval[0] < result.size_interval[1]).all())
    alone = hs.explain.importance(module, rows(1, T=8), of=0, window=6, method="gradient")
    assert (alone.block, alone.count) == (3, 3)
    assert bool(alone.size_interval.isnan().all())
    assert "without an interval over rows" in str(alone)
    assert "nan" not in str(alone)


@pytest.mark.parametrize("method", ["integrated_gradients", "shapley"])
def test_a_cluster_gives_the_same_numbers_and_resumes(tmp_path: Path, method: Any) -> None:
    distributed = pytest.importorskip("distributed")
    module, x = forecaster(), rows(150)
    options: Any = {"of": 0, "spans": 3, "method": method, "baseline": "zero", "progress": False}
    alone = hs.explain.importance(module, x, **options)
    threads = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**threads) as cluster, distributed.Client(cluster) as client:
        two = hs.explain.importance(module, x, client=client, folder=tmp_path / "parts", **options)
        (tmp_path / "parts" / "rows-00000064.safetensors").unlink()
        part = hs.explain.importance(module, x, client=client, folder=tmp_path / "parts", **options)
    assert two.cost == alone.cost > part.cost > 0
    for name in ("size", "signed", "size_interval", "occlusion"):
        assert torch.equal(getattr(two, name), getattr(alone, name)), name
        assert torch.equal(getattr(part, name), getattr(alone, name)), name
    with pytest.raises(ArgumentTypeError, match=r"client must be a distributed.Client"):
        hs.explain.importance(module, x, client="tcp://127.0.0.1", **options)
