import json
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.training import loop
from hiddenstate.training.checkpoint import CHECKPOINT, METRICS, RunFolder
from hiddenstate.training.loop import fit
from hiddenstate.training.settings import TrainConfig
from hiddenstate.training.task import Epoch, Loss, OnProgress, Step
from tasks import CONFIG, UNITS, Line


def run(
    folder: Path, task: Line, resume: bool = False, on_progress: OnProgress = lambda progress: None
) -> tuple[Epoch, ...]:
    place = RunFolder(folder / "run")
    place.mend() if resume else place.begin("")
    return fit(task, place, folder / "model", resume=resume, on_progress=on_progress)


def weights(task: Line) -> list[Tensor]:
    return [value.clone() for value in task.model.state_dict().values()]


def same(first: Line, second: Line) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))


def timeless(folder: Path) -> list[dict[str, Any]]:
    """The metrics without times."""
    lines = [json.loads(line) for line in (folder / "run" / METRICS).read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("units_per_second", "seconds_left")} for line in lines]


def stop_after(steps: int) -> Callable[[Step | Epoch], None]:
    def stop(progress: Step | Epoch) -> None:
        if isinstance(progress, Step) and progress.step == steps:
            raise KeyboardInterrupt

    return stop


def test_it_learns_and_tells(tmp_path: Path) -> None:
    seen: list[Step | Epoch] = []
    history = run(tmp_path, Line(replace(CONFIG, epochs=20)), on_progress=seen.append)
    assert history[-1].last.loss < 0.5 * history[0].last.loss
    assert tuple(each for each in seen if isinstance(each, Epoch)) == history
    steps = [each for each in seen if isinstance(each, Step)]
    assert [step.step for step in steps] == list(range(1, 201))
    first = steps[:10]
    assert [step.units for step in first] == list(range(4, 44, 4))
    assert first[-1].loss == pytest.approx(sum(step.batch_loss for step in first) / 10)
    assert {step.units_total for step in steps} == {UNITS}
    assert steps[-1].seconds_left == 0 < steps[0].seconds_left
    lines = timeless(tmp_path)
    assert [line["step"] for line in lines if line["event"] == "step"] == list(range(4, 201, 4))
    told = [line["details"]["error"] for line in lines if line["event"] == "epoch"]
    assert told == [epoch.score.value for epoch in history]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], tuple[Path, Line, Any]]:
    """Runs that nothing breaks: the folder, the task and the history."""

    @cache
    def whole(config: Any) -> tuple[Path, Line, Any]:
        folder, task = tmp_path_factory.mktemp("unbroken"), Line(config)
        return folder, task, run(folder, task)

    return whole


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"optimizer": "sgd", "schedule": "constant"},
        {"optimizer": "sgd", "momentum": 0.9, "clip_norm": 0.0},
        {"schedule": "plateau", "average": 0.9, "weight_decay": 0.1},
        {"precision": "bf16"},
    ],
)
@pytest.mark.parametrize("steps", [1, 9, 10, 15, 30])
def test_a_resumed_run_is_the_unbroken_run(
    tmp_path: Path, unbroken: Callable[[Any], tuple[Path, Line, Any]], change: dict[str, Any], steps: int
) -> None:
    config = replace(CONFIG, **change)
    folder, whole, history = unbroken(config)
    broken, resumed = Line(config), Line(config)
    with pytest.raises(KeyboardInterrupt, match="its last checkpoint is in"):
        run(tmp_path / "broken", broken, on_progress=stop_after(steps))
    again = run(tmp_path / "broken", resumed, resume=True)
    assert same(whole, resumed)
    assert [epoch.score for epoch in again] == [epoch.score for epoch in history]
    assert timeless(tmp_path / "broken") == timeless(folder)
    first, second = (place / "model" / "weights.json" for place in (folder, tmp_path / "broken"))
    assert first.read_bytes() == second.read_bytes()


def test_checkpoints_inside_an_epoch_are_enough(tmp_path: Path) -> None:
    """As after a kill: only the earlier checkpoints exist."""
    config = replace(CONFIG, checkpoint_steps=3)
    whole, resumed = Line(config), Line(config)
    run(tmp_path / "whole", whole)

    def die(progress: Step | Epoch) -> None:
        if isinstance(progress, Step) and progress.step == 17:
            raise SystemExit

    with pytest.raises(SystemExit):
        run(tmp_path / "broken", Line(config), on_progress=die)
    steps: list[int] = []
    run(tmp_path / "broken", resumed, True, lambda each: steps.append(each.step if isinstance(each, Step) else 0))
    assert steps[0] == 16
    assert same(whole, resumed)
    assert timeless(tmp_path / "broken") == timeless(tmp_path / "whole")


def test_checkpoints_by_the_clock(tmp_path: Path) -> None:
    written: list[bool] = []

    def look(progress: Step | Epoch) -> None:
        written.append((tmp_path / "run" / CHECKPOINT).exists())

    run(tmp_path, Line(replace(CONFIG, checkpoint_minutes=1e-9)), on_progress=look)
    assert written[:2] == [False, True]


def test_ended_before_its_first_checkpoint(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run").begin("")
    (tmp_path / "run" / METRICS).write_text("cut off")
    resumed, whole = Line(), Line()
    run(tmp_path, resumed, resume=True)
    run(tmp_path / "whole", whole)
    assert same(resumed, whole)
    assert timeless(tmp_path) == timeless(tmp_path / "whole")


def test_resuming_what_is_finished_trains_no_more(tmp_path: Path) -> None:
    first, second = Line(), Line()
    history = run(tmp_path, first)
    assert run(tmp_path, second, resume=True) == history
    assert same(first, second)


def test_the_seed_fixes_the_run_and_nothing_else_does(tmp_path: Path) -> None:
    lines = []
    for number, seed in enumerate([1, 1, 2]):
        torch.manual_seed(number)
        lines.append(Line(replace(CONFIG, seed=seed)))
        torch.manual_seed(number)
        before = torch.get_rng_state()
        run(tmp_path / str(number), lines[-1])
        assert torch.equal(before, torch.get_rng_state())
    assert same(lines[0], lines[1])
    assert not same(lines[0], lines[2])


def test_the_best_is_kept_and_patience_ends(tmp_path: Path) -> None:
    task = Line(replace(CONFIG, epochs=9, patience=2))
    task.scores = [3.0, 2.0, 2.0, float("nan"), 1.0]
    history = run(tmp_path, task)
    assert [epoch.is_best for epoch in history] == [True, True, False, False]
    assert task.kept == [1, 2]


def test_higher_is_better(tmp_path: Path) -> None:
    task = Line(replace(CONFIG, epochs=3))
    task.scores, task.higher_is_better = [1.0, 3.0, 2.0], True
    run(tmp_path, task)
    assert task.kept == [1, 2]


def test_the_average_is_measured_and_kept_and_the_last_weights_go_on(tmp_path: Path) -> None:
    plain, averaged = Line(), Line(replace(CONFIG, average=0.99))
    history = [run(tmp_path / name, task) for name, task in (("plain", plain), ("averaged", averaged))]
    assert same(plain, averaged)
    assert [a.score.value != b.score.value for a, b in zip(*history, strict=True)] == [True] * 3
    kept = [(tmp_path / name / "model" / "weights.json").read_text() for name in ("plain", "averaged")]
    assert kept[0] != kept[1]


def test_a_signal_ends_the_run_after_the_batch(tmp_path: Path) -> None:
    seen: list[int] = []

    def press(progress: Step | Epoch) -> None:
        if isinstance(progress, Step):
            seen.append(progress.step)
            if progress.step == 5:
                signal.raise_signal(signal.SIGTERM)

    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Line(), on_progress=press)
    assert seen == [1, 2, 3, 4, 5]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    run(tmp_path, Line(), True, press)
    assert seen == list(range(1, 31))


@pytest.mark.parametrize(
    ("after", "number", "ends"), [(0, signal.SIGINT, True), (0, signal.SIGTERM, False), (9, signal.SIGINT, False)]
)
def test_a_second_one_ends_it_at_once_but_not_its_echo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: float, number: signal.Signals, ends: bool
) -> None:
    monkeypatch.setattr(loop, "AGAIN", after)

    task = Line()
    compute = task.loss

    def press(item: list[int]) -> Loss:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(number)
        return compute(item)

    monkeypatch.setattr(task, "loss", press)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, task)
    assert (tmp_path / "run" / CHECKPOINT).exists() is not ends


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_have_the_precision_and_the_model_the_device(
    tmp_path: Path, precision: str, dtype: torch.dtype
) -> None:
    task, seen = Line(replace(CONFIG, epochs=1, precision=precision, device="auto")), set[tuple[torch.dtype, str]]()
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    task.x, task.y = task.x.to(device), task.y.to(device)
    task.load_state = lambda state: setattr(task, "last", torch.zeros(1, device=device))  # type: ignore[method-assign]
    hook = task.model[0].register_forward_hook(lambda *call: seen.add((call[-1].dtype, call[-1].device.type)))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, task, on_progress=stop_after(3))
    hook.remove()
    assert seen == {(dtype, device.type)}


def test_the_gradient_is_clipped(tmp_path: Path) -> None:
    config = TrainConfig(epochs=1, optimizer="sgd", learning_rate=1.0, warmup_steps=0, schedule="constant")
    task = Line(replace(config, clip_norm=0.001), batch=UNITS)
    before = weights(task)
    run(tmp_path, task)
    moved = torch.cat([(a - b).flatten() for a, b in zip(weights(task), before, strict=True)])
    assert float(moved.norm()) == pytest.approx(0.001, rel=1e-3)


def test_fit_fails(tmp_path: Path) -> None:
    task = Line()
    task.y = task.y * float("inf")
    with pytest.raises(ArgumentError, match="training diverged: loss inf in epoch 1; lower the learning rate"):
        run(tmp_path, task)


def test_resume_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Line(), on_progress=stop_after(3))
    other = Line()
    other.fingerprint = "other points"
    with pytest.raises(ArgumentError, match="data of the run in .* has changed since"):
        run(tmp_path, other, resume=True)
    whole = (tmp_path / "run" / CHECKPOINT).read_bytes()
    (tmp_path / "run" / CHECKPOINT).write_bytes(whole[:-9])
    with pytest.raises(FileFormatError, match="is damaged"):
        run(tmp_path, Line(), resume=True)


@pytest.mark.parametrize(
    "change",
    [{"average": 0.9}, {"optimizer": "sgd"}, {"units": 9}],
    ids=["a mean of the weights", "another optimizer", "another size"],
)
def test_resuming_with_settings_that_do_not_fit_fails(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Line(), on_progress=stop_after(3))
    units = change.pop("units", 8)
    other = Line(replace(CONFIG, **change))
    other.model[0], other.model[2] = torch.nn.Linear(3, units), torch.nn.Linear(units, 1)
    with pytest.raises(ArgumentError, match=r"does not fit the settings; undo the changes made to run\.toml"):
        run(tmp_path, other, resume=True)


@pytest.mark.parametrize(
    "change", [{"seed": 7}, {"learning_rate": 0.1}, {"weight_decay": 0.5}, {"clip_norm": 0.1}, {"schedule": "constant"}]
)
def test_resuming_with_a_setting_that_was_changed_fails_and_names_it(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Line(), on_progress=stop_after(3))
    (name, value), before = next(iter(change.items())), (tmp_path / "run" / CHECKPOINT).read_bytes()
    with pytest.raises(ArgumentError, match=rf"{name} was .* and is now '?{value}'?\. Only epochs, patience"):
        run(tmp_path, Line(replace(CONFIG, **change)), resume=True)
    assert (tmp_path / "run" / CHECKPOINT).read_bytes() == before


def test_how_long_a_run_goes_on_and_what_it_writes_may_change(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Line(), on_progress=stop_after(3))
    longer = replace(CONFIG, epochs=4, patience=8, log_steps=1, checkpoint_steps=2, checkpoint_minutes=1.0)
    assert len(run(tmp_path, Line(longer), resume=True)) == 4
