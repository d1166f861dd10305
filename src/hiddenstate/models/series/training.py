"""Trains a forecaster on a file of series: windows of the past, and the targets of the steps after each."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiddenstate.base.reading import reading
from hiddenstate.errors import ArgumentError
from hiddenstate.models.building import made_if_it_fits
from hiddenstate.models.cells import CELL_NAMES
from hiddenstate.models.series.config import SeriesConfig
from hiddenstate.models.series.dates import Array
from hiddenstate.models.series.forecasts import SeriesReading, Skill, ahead_text, with_unit
from hiddenstate.models.series.frames import Columns, Wanted, read_columns
from hiddenstate.models.series.network import Dense, NetworkShape, SeriesNetwork
from hiddenstate.models.series.series_model import SeriesModel, series_model
from hiddenstate.models.series.stored import StoredSeries
from hiddenstate.models.series.tables import find_table, read_table
from hiddenstate.models.training_run import ModelTask, Origin, Outcome, page, run_task, table, training_section
from hiddenstate.structure.sizes import Sizes
from hiddenstate.training.checkpoint import RunFolder
from hiddenstate.training.settings import RunFile, StrPath, read_run_file
from hiddenstate.training.task import Loss, OnProgress, Result, Score

# The files and settings allowed in the run file of a forecaster.
SERIES_RUN = RunFile(
    "series", SeriesConfig(), files={"data": "", "out": ""}, about={"command": "", "about_data": "", "licence": ""}
)
RIDGE = "ridge regression"
MOST_RIDGE_INPUTS = 2**12
_PENALTIES = tuple(10.0**power for power in range(-2, 7))
_WINDOWS_AT_ONCE = 2**12
_LIMITS = """\
- Expect good forecasts only of data like its training part: not of other places, instruments or a changed climate.
- Its output is bounded, unless its cells are `rnn_relu` (see `hiddenstate.explain.limits`): it can't forecast a record
  far outside its training part.
- It gives no interval for a single forecast."""


class SeriesTraining(Result[Skill]):
    """The result of training a forecaster: ``dev`` and ``test`` compare its forecasts of these parts with simple ones.

    Besides the simple forecasts of `SeriesReading.skill`, there is ridge regression on the same features, fitted to the
    training part; the dev part chooses its penalty, and whether it reads all steps of a window or only the last half,
    quarter and so on.
    """


def train_series(
    data: StrPath,
    out: StrPath,
    config: SeriesConfig,
    *,
    run: StrPath | None = None,
    command: str = "",
    about_data: str = "",
    licence: str = "",
    on_progress: OnProgress = lambda progress: None,
) -> SeriesTraining:
    """Train a forecaster on a CSV or Parquet file, and keep the model of the epoch that is best on the dev part.

    The parts follow one another: training, dev, test. Scales are computed from the training part. An interruption loses
    nothing, as for `train_language_model`: see `resume_series`.

    Args:
        data: the file.
        out: the model's folder; an earlier model there is replaced when the first epoch is done. `hiddenstate.load`
            reads it as a `SeriesModel`.
        config: the columns, split, sizes and rates; ``target`` is needed.
        run: folder for checkpoints and metrics; by default the model's, with ``.run`` appended.
        command: for the card, the command line.
        about_data: for the card, a description of the data.
        licence: for the card, the licence of the weights.
        on_progress: called after every batch with a `Step` and after every epoch with an `Epoch`.

    Raises:
        NameUnknownError: the file lacks a column.
        FileFormatError: the file is damaged.
        ArgumentError: dates or values are not as `SeriesModel.prepare` takes them, a column is constant in the training
            part, a part is too short, ``out`` holds something other than a model, ``run`` holds an unfinished run, or
            the loss became NaN or infinite.
        ArgumentTypeError: a column holds text.
        RunInUseError: another process trains in the run's folder.
        FileWriteError: a file cannot be written.
        OSError: the file cannot be read.
    """
    about = {"command": command, "about_data": about_data, "licence": licence}
    wanted = RunFile.of(SERIES_RUN.kind, config, {"data": find_table(data), "out": out}, about)
    return run_series(wanted, run, on_progress=on_progress)


def resume_series(run: StrPath, *, on_progress: OnProgress = lambda progress: None) -> SeriesTraining:
    """Resume an interrupted run from its last checkpoint; the final model is exactly the same.

    Args:
        run: the run's folder.
        on_progress: as for `train_series`.

    Raises:
        HiddenStateError, OSError: as for `resume_language_model`.
    """
    return run_series(read_run_file(RunFolder(run).check(), SERIES_RUN), run, resume=True, on_progress=on_progress)


class SeriesTask(ModelTask[SeriesConfig, StoredSeries, Skill, SeriesTraining]):
    """A forecaster's `Task`; a window belongs to the part with all its targets, and may read steps before."""

    higher_is_better = False
    unit = "windows"

    def __init__(self, wanted: RunFile[SeriesConfig]) -> None:
        super().__init__(wanted, self.card, SeriesTraining)
        config, path = self.config, wanted.files["data"]
        if not config.target:
            raise ArgumentError("there is no target: name the columns to forecast, with --target")
        named: dict[str, Any] = {"dates": config.dates or None, "rows": config.rows or None}
        frame, dates, features = read_table(path, config.features, config.target, needs_others=True, **named)
        options = {**named, "dates": dates, "gaps": None if config.gaps == "refuse" else config.gaps}
        with reading(path):
            columns = read_columns(frame, Wanted(features, config.target, **options))
            self.parts = _parts(columns, config)
            scale = {name: _scale(columns, name, self.parts["train"]) for name in {*features, *config.target}}
            steps = 0 if config.horizon == 1 else config.horizon
            sizes = Sizes(len(features), config.hidden_size, config.num_layers, cell=CELL_NAMES[config.cell])
            after = Dense(config.hidden_size, len(config.target) * config.horizon, bias=True)
            shape = NetworkShape((), sizes, "", last=True, after=(after,), horizon=steps)
            network = made_if_it_fits(lambda: SeriesNetwork(shape))
            units = dict(unit.split("=", 1) for unit in config.units)
            model = series_model(network, features, config.target, scale=scale, units=units, window=config.window)
            self.series = model.prepare(frame, missing=config.fill, **options)
            assert self.series.truth is not None
            self.wanted_values = model.target_scale.scaled(self.series.truth).float()
            self.windows = self._windows("train")
            for name in ("train", "dev", "test"):
                if self.parts[name] and not len(self._windows(name)):
                    raise ArgumentError(
                        f"the {name} part, {self._dates(name)}, has no window of {config.window} steps with "
                        f"{config.horizon} measured after it: choose a smaller window, or other borders"
                    )
        self.model = model._to_stored()
        content = (self.series.x.numpy().tobytes(), self.series.truth.numpy().tobytes(), repr(features).encode())
        self.fingerprint = hashlib.sha256(b"".join(content)).hexdigest()

    def _origins(self, name: str) -> range:
        """Return the last step of each window whose targets are in a part."""
        part = self.parts[name]
        first = max(part.start, self.config.window) - 1
        return range(first, max(first, part.stop - self.config.horizon))

    def _windows(self, name: str) -> Tensor:
        """Return the last step and the row ``[M, 2]`` of each window in a part whose targets are all measured."""
        origins = torch.tensor(self._origins(name), dtype=torch.int64)
        ahead = torch.arange(1, self.config.horizon + 1)
        known = self.wanted_values[origins[:, None] + ahead].isfinite().all(1).all(-1).nonzero()
        return torch.stack([origins[known[:, 0]], known[:, 1]], dim=1)

    def _dates(self, name: str) -> str:
        names, part = self.series.step_names(), self.parts[name]
        return f"{names[part.start]} to {names[part.stop - 1]}" if part else "nothing"

    def plan(self, epoch: int) -> Sequence[Tensor]:
        """Shuffle the training windows into batches."""
        generator = torch.Generator().manual_seed(self.config.seed + epoch - 1)
        order = torch.randperm(len(self.windows), generator=generator)
        return self.windows[order].split(self.config.batch_windows)

    def size(self, epoch: int) -> int:
        """Count the training windows."""
        return len(self.windows)

    def loss(self, item: Tensor) -> Loss:
        """Compute the mean squared error of some windows, in standard deviations of the training part."""
        origins, rows = item.unbind(1)
        window, ahead = torch.arange(1 - self.config.window, 1), torch.arange(1, self.config.horizon + 1)
        device = next(self.model.parameters()).device
        x = self.series.x[origins + window[:, None], rows].to(device)
        wanted = self.wanted_values[origins + ahead[:, None], rows].to(device)
        return Loss((self.model(x)[0].reshape(wanted.shape) - wanted).square().mean(), len(item))

    def read(self, stored: StoredSeries, name: str) -> SeriesReading:
        """Return a model's forecasts of a part."""
        model = SeriesModel._of_stored(stored)
        series = replace(self.series, x=self.series.x.to(next(stored.parameters()).device))
        return model.read_input(series, origins=self._origins(name))

    def evaluate(self) -> Score:
        """Measure the error on the dev part."""
        self.dev = self._skill(self.read(self.model, "dev"), "dev")
        lines = [line for line in self.dev.lines if line.rival == "persistence" and line.ahead is None]
        factors = dict(zip(self.config.target, SeriesModel._of_stored(self.model).target_scale.factor, strict=True))
        value = float(np.mean([(line.rmse / float(factors[line.target])) ** 2 for line in lines]))
        units = dict(unit.split("=", 1) for unit in self.config.units)
        texts = [f"RMSE {line.rmse:.4g} {units.get(line.target, '')}".strip() for line in lines]
        texts = [f"{text}, skill {line.skill:.2f}" for text, line in zip(texts, lines, strict=True)]
        named = [f"{line.target} {text}" if len(lines) > 1 else text for text, line in zip(texts, lines, strict=True)]
        return Score(value, "; ".join(named), {f"rmse {line.target}": line.rmse for line in lines})

    def measure(self, model: StoredSeries, part: str) -> Skill | None:
        """Compare with simple forecasts."""
        return self._skill(self.read(model, part), part) if self.parts[part] else None

    def _skill(self, reading: SeriesReading, name: str) -> Skill:
        return reading.compare({RIDGE: self.ridge[name]} if self.ridge else {})

    @cached_property
    def ridge(self) -> Mapping[str, Array]:
        """The forecasts ``[O, A, N, K]`` of `ridge_forecasts`, by part; none if there are too many inputs."""
        if self.config.window * self.series.x.shape[2] > MOST_RIDGE_INPUTS:
            return {}
        x, wanted = self.series.x.cpu().double(), self.wanted_values.double()
        origins = {name: self._origins(name) for name in ("dev", "test")}
        forecasts = ridge_forecasts(x, wanted, self.windows, origins, (self.config.window, self.config.horizon))
        scale = SeriesModel._of_stored(self.model).target_scale
        return {name: scale.in_units(values).numpy() for name, values in forecasts.items()}

    def card(self, name: str, model: StoredSeries, origin: Origin, outcome: Outcome[Skill]) -> str:
        """Write the card in Markdown; ``name`` is its heading."""
        config, series = self.config, SeriesModel._of_stored(model)
        count = sum(parameter.numel() for parameter in model.parameters())
        steps = f"the last {config.window} steps of {', '.join(series.features)}"
        targets = ", ".join(with_unit(target, series.units) for target in series.targets)
        data = f"`{origin.train}`: trained on {self._dates('train')}; best epoch chosen on {self._dates('dev')}"
        if self.parts["test"]:
            data += f"; tested on {self._dates('test')}, which was not used for training, scaling or selection"
        several = f" It has {len(self.series.rows)} rows." if len(self.series.rows) > 1 else ""
        sections = {
            "What it is": f"A forecaster: it reads {steps}, and forecasts {targets}, {ahead_text(series.form.ahead)}. "
            "Made with hiddenstate; load it with `hiddenstate.load`, and read a frame with its `read`.",
            "Architecture": f"{model.shape}\n\n{count:,} parameters, stored and computed in float32.",
            "Data": "\n\n".join(filter(None, [origin.about_data, f"{data}.{several}"])),
            "Training": training_section(config, origin, outcome),
            "How well it forecasts": self._results(outcome, series.units),
            "Licence": origin.licence or "Not stated.",
            "Limits": _LIMITS,
        }
        return page(name, sections)

    def _results(self, outcome: Outcome[Skill], units: Mapping[str, str]) -> str:
        parts = {name: skill for name, skill in (("dev", outcome.dev), ("test", outcome.test)) if skill is not None}
        rows = [
            f"| {name} | {with_unit(line.target, units)} | {line.rmse:.4g} | {line.mae:.4g} | {line.rival} | "
            f"{line.rival_rmse:.4g} | {line.rival_mae:.4g} | {_with_interval(line.skill, line.low, line.high)} | "
            f"{_with_interval(line.mae_skill, line.mae_low, line.mae_high)} |"
            for name, skill in parts.items()
            for line in skill.lines
            if line.ahead is None
        ]
        text = (
            "Skill is 1 - MSE / MSE of the rival, or 1 - MAE / MAE of the rival: 0 is no better, 1 is perfect. In "
            "brackets, 95 % intervals from a bootstrap over blocks of neighbouring dates. Persistence is the last "
            "known value. Ridge regression reads the same steps of the same features, or only the last half, quarter "
            "and so on; it is fitted to the training part, and the dev part chooses its penalty and how many steps it "
            "reads."
        )
        if not self.ridge:
            text += f" Here it is left out, because it would have more than {MOST_RIDGE_INPUTS:,} inputs."
        head = "| part | target | RMSE | MAE | rival | its RMSE | its MAE | skill (MSE) | skill (MAE) |"
        verdicts = [f"On the {[*parts][-1]} part:", "\n".join(_verdicts([*parts.values()][-1]))]
        return "\n\n".join([table(text, head, rows), *verdicts])


def _verdicts(skill: Skill) -> Iterator[str]:
    """Yield what the intervals say about each rival."""
    for line in skill.lines:
        if line.ahead is None and not math.isnan(line.low):
            better = "better than" if line.low > 0 else "worse than" if line.high < 0 else "not shown to be better than"
            yield f"- {line.target}: {better} {line.rival}"


def _with_interval(skill: float, low: float, high: float) -> str:
    return f"{skill:.3f}" if math.isnan(low) else f"{skill:.3f} ({low:.3f} to {high:.3f})"


def ridge_forecasts(
    x: Tensor, wanted: Tensor, windows: Tensor, origins: Mapping[str, range], sizes: tuple[int, int]
) -> dict[str, Tensor]:
    """Return ridge regression's forecasts ``[O, A, N, K]``, scaled; the dev part chooses steps and penalty."""
    (W, H), (_, N, C), K = sizes, x.shape, wanted.shape[2]
    series, ahead = x.unfold(0, W, 1), torch.arange(1, H + 1)

    def batches(pairs: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for some in pairs.split(_WINDOWS_AT_ONCE):
            ends, rows = some.unbind(1)
            inputs = series[ends - W + 1, rows].transpose(1, 2).flatten(1)
            yield inputs, wanted[ends[:, None] + ahead, rows[:, None]].flatten(1)

    mean_x, mean_y = x.new_zeros(W * C), x.new_zeros(H * K)
    for inputs, outputs in batches(windows):
        mean_x, mean_y = mean_x + inputs.sum(0) / len(windows), mean_y + outputs.sum(0) / len(windows)
    x_x, x_y = x.new_zeros(W * C, W * C), x.new_zeros(W * C, H * K)
    for inputs, outputs in batches(windows):
        x_x += (inputs - mean_x).T @ (inputs - mean_x)
        x_y += (inputs - mean_x).T @ (outputs - mean_y)
    fits = []
    for steps in sorted({W >> k for k in range(W.bit_length())}):
        last = slice((W - steps) * C, None)
        values, vectors = torch.linalg.eigh(x_x[last, last])
        fits += [(last, vectors @ ((vectors.T @ x_y[last]) / (values.clamp(min=0) + p)[:, None])) for p in _PENALTIES]
    every = {name: torch.cartesian_prod(torch.tensor(part), torch.arange(N)) for name, part in origins.items() if part}
    errors = torch.zeros(len(fits), dtype=torch.float64)
    for inputs, outputs in batches(every["dev"]):
        centred = inputs - mean_x
        errors += torch.stack([(centred[:, at] @ fit + mean_y - outputs).square().nansum() for at, fit in fits])
    last, weights = fits[int(errors.argmin())]
    forecasts = {
        name: torch.cat([(inputs - mean_x)[:, last] @ weights + mean_y for inputs, _ in batches(pairs)])
        for name, pairs in every.items()
    }
    return {name: values.reshape(-1, N, H, K).movedim(2, 1) for name, values in forecasts.items()}


def _parts(columns: Columns, config: SeriesConfig) -> dict[str, range]:
    """Return the steps of the training, dev and test part."""
    T, dates = len(next(iter(columns.values.values()))), columns.dates

    def border(name: str, share: float, end: int) -> int:
        text = getattr(config, name)
        if not text:
            return end - round(T * share)
        if dates is None or dates.values.dtype.kind != "M":
            if not text.isdecimal():
                raise ArgumentError(f"{name} must be the number of a step, as there are no dates, got {text!r}")
            if int(text) >= T:
                raise ArgumentError(f"{name} is step {text}, but the file has {T}, from 0")
            return int(text)
        return dates.steps_of(slice(text, None))[0]

    test = border("test_from", config.test_share, T)
    dev = border("dev_from", config.dev_share, test)
    if not 0 < dev < test:
        names = [str(step) if dates is None or not 0 <= step < T else dates.names[step] for step in (dev, test)]
        raise ArgumentError(
            f"the dev part would begin at {names[0]} and the test part at {names[1]}: the training part comes first, "
            "and each needs at least a step"
        )
    return {"train": range(dev), "dev": range(dev, test), "test": range(test, T)}


def _scale(columns: Columns, name: str, part: range) -> tuple[float, float]:
    """Return the mean and the standard deviation of a column in a part; 0 if it is constant."""
    values = columns.values[name][part.start : part.stop]
    values = values[np.isfinite(values)]
    if not values.size:
        raise ArgumentError(f"the column {name!r} has no value in the training part")
    return float(values.mean()), 0.0 if values.min() == values.max() else float(values.std())


# Executes a run file: the run's folder, if it is not the default one, and whether to resume, may be given.
run_series = partial(run_task, SeriesTask)
