"""`importance`: how much each feature matters at each lag over a data set."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hiddenstate.base.files import check_folder_place, read_tensors, write_tensors, writing
from hiddenstate.base.scalars import check_at_least
from hiddenstate.base.scoped import lasting
from hiddenstate.base.validation import optional_package
from hiddenstate.edits.resolve import edits_in_force
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.explain.attribution.features import (
    FeatureGrid,
    Features,
    SeriesRequest,
    SeriesSpans,
    attribute_row,
    check_finite,
    checked_case,
)
from hiddenstate.explain.attribution.methods import DEFAULT_SAMPLES, Method, check_options
from hiddenstate.explain.importance.result import Importance, bootstrap
from hiddenstate.explain.importance.rows import BATCHED, DataRows, RowBatch, data_rows
from hiddenstate.explain.subject.progress_bar import Progress, check_progress, reporting
from hiddenstate.explain.subject.series import ExplainedSeries, SeriesCase, SeriesTarget, are_equal, series_case
from hiddenstate.explain.subject.series_sources import explained_series
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import BatchRunner
from hiddenstate.models.series.series_model import SeriesModel
from hiddenstate.nn.recurrent import Recurrent

FORMAT = "hiddenstate.importance/1"
ROWS_IN_A_FILE = 32


@dataclass(frozen=True, eq=False)
class ImportanceJob:
    """Attributes rows of a data set."""

    rows: DataRows
    of: SeriesTarget
    request: SeriesRequest

    @cached_property
    def first(self) -> tuple[SeriesCase, FeatureGrid]:
        """The first row with its target, and the players."""
        return checked_case(self.rows.series, self.of, 0, self.request)

    @cached_property
    def inside(self) -> SeriesCase | None:
        """The first row with the layer inside the module, if one linear layer reads the target from it."""
        case = series_case(self.rows.series, self.of, 0, inside=True)
        return case if isinstance(case.explained, Subject) else None

    def block(self, first: int) -> tuple[dict[str, Tensor], int]:
        """Return the parts ``[n, P]`` of n rows from ``first`` on, their targets, and the row-steps that were run."""
        last = min(first + ROWS_IN_A_FILE, self.rows.series.x.shape[1])
        return self._batch(first, last) if self.request.method in BATCHED else self._row_by_row(first, last)

    def _batch(self, first: int, last: int) -> tuple[dict[str, Tensor], int]:
        (case, grid), rows = self.first, slice(first, last)
        x, base = self.rows.series.x[:, rows], self.rows.base[:, rows]
        owner = grid.players(case, base[:, 0]).owner.expand(-1, x.shape[2])
        base = torch.where((owner < 0).to(x.device)[:, None], x, base)
        batch = RowBatch(BatchRunner(case.explained, case.target), x, base, owner, len(grid.windows) * len(grid.groups))
        whole, none = batch.values(x), batch.values(base)
        if self.inside is not None:  # faster, if it gives the same for all rows and baselines
            inside = replace(batch, work=BatchRunner(self.inside.explained, self.inside.target))
            got = torch.cat([inside.values(x), inside.values(base)])
            batch = inside if are_equal(got, torch.cat([whole, none]), self.inside.target, x.dtype) else batch
        work, points, is_occlusion = batch.work, self.request.options.points, self.request.method == "occlusion"
        losses = batch.losses(whole) if self.request.options.occlusion else torch.zeros(len(whole), batch.count)
        if is_occlusion:
            parts, missing = losses, whole - none - losses.sum(1)
        elif self.request.method == "gradient":
            parts = batch.along(torch.arange(len(whole)), [1.0], [1.0])
            missing = whole - none - parts.sum(1)
        else:
            parts, missing = batch.integrated(whole - none, points)
        ends = torch.stack([whole, none, missing], dim=1)
        return {"parts": parts, "occlusion": losses.double(), "ends": ends}, work.cost

    def _row_by_row(self, first: int, last: int) -> tuple[dict[str, Tensor], int]:
        parts, losses, ends, cost = [], [], [], 0
        options = self.request.options
        for row in range(first, last):
            request = self.request._replace(options=options._replace(seed=options.seed + row))
            case, grid = checked_case(self.rows.series, self.of, row, request)
            work = BatchRunner(case.explained, case.target)
            result = attribute_row(case, grid, self.rows.base[:, row], request, work)
            parts.append(result.parts)
            losses.append(torch.zeros_like(result.parts) if result.occlusion is None else result.occlusion)
            ends.append(torch.tensor([result.whole, result.none, result.residual], dtype=torch.float64))
            cost += work.cost
        names = ("parts", "occlusion", "ends")
        return dict(zip(names, map(torch.stack, (parts, losses, ends)), strict=True)), cost


def importance(
    model: Any,
    data: Any,
    *,
    of: SeriesTarget = None,
    method: Method = "integrated_gradients",
    baseline: Any = None,
    features: Features | None = None,
    spans: SeriesSpans | None = None,
    history: Any = None,
    window: int | None = None,
    stride: int = 1,
    points: int | None = None,
    samples: int = DEFAULT_SAMPLES,
    seed: int = 0,
    occlusion: bool = True,
    level: float = 0.95,
    block: int | None = None,
    folder: str | Path | None = None,
    client: Any = None,
    progress: Progress | bool | None = True,
    **options: Any,
) -> Importance:
    """Compute how much each feature matters at each lag over a data set, from the attributions of its rows.

    Each row is attributed as `attribute` does, and both the parts and their absolute values are averaged over all
    rows. Intervals over rows, by bootstrap, show how much they would change with other data.

    Args:
        model: a `SeriesModel`, a module with a recurrent layer, or a layer.
        data: a tensor or frame with rows; a long one, with ``window``; or batches of these, such as a data loader,
            whose pairs are inputs and targets. All rows have the same number of steps.
        of: the target; see `attribute`.
        method: the method; see `attribute`.
        baseline: what replaces an input; see `attribute`. With ``window``, it is the baseline of the long series.
        features: the columns or groups of columns; by default each column.
        spans: the windows of lags: single steps by default, or a number of steps, or pairs of steps of a row.
        history: more of the series, from which ``"mean"`` and ``"climatology"`` are computed.
        window: the number of steps of each row, if the data are a long series that is cut into rows. By default the
            ``window`` of a `SeriesModel` that has one.
        stride: the number of steps from one of these rows to the next.
        points: quadrature points of integrated gradients; None doubles them until the integral converges.
        samples: the number of orders to draw, if Shapley values are sampled.
        seed: the seed of the draws.
        occlusion: whether to also compute occlusion.
        level: the share of resamples between the bounds of an interval.
        block: the number of neighbouring rows that are resampled together, because they are similar; by default as many
            as share steps, or 1 if the rows are not cut from a long series.
        folder: a folder that keeps the parts of finished rows, in whole files, so that a run that was killed resumes
            there, with the same numbers.
        client: a `distributed.Client`, to attribute blocks of 32 rows on a Dask cluster, in one thread each. The rows
            and the model are sent to each worker once. The results equal those of one thread here.
        progress: True for a bar on stderr, False for none, or a function of the rows done and their total.
        options: the options of `attribute`.

    Returns:
        The `Importance`.

    Raises:
        ArgumentError: an option is out of range, or the folder was made with a different model, data or settings.
        ShapeError: rows have different numbers of steps.
        HiddenStateError: any error of `attribute`.
    """
    chosen = check_options(method, points, samples, seed, occlusion=occlusion, pairs=False)
    check_progress(progress)
    if isinstance(level, bool) or not isinstance(level, float) or not 0 < level < 1:
        raise ArgumentError(f"level must be between 0 and 1, such as 0.95, got {level!r}")
    if block is not None:
        check_at_least("block", block, 1)
    if client is not None and not callable(getattr(client, "scatter", None)):
        raise ArgumentTypeError(f"client must be a distributed.Client, got {type(client).__name__}")
    if folder is not None:
        check_folder_place(Path(folder), is_replaced=False)
        if callable(of):
            raise ArgumentTypeError(
                "with folder=, of= must be an output or a place, because functions can't be compared"
            )
    length = model.window if window is None and isinstance(model, SeriesModel) else window

    def read(values: Any) -> ExplainedSeries:
        return explained_series(model, values, all_steps=True, **options)

    rows = data_rows(read, data, history, baseline, length=length, stride=stride)
    job = ImportanceJob(rows, of, SeriesRequest(method, chosen, features, spans))
    N = rows.series.x.shape[1]
    size = min(N, rows.overlapping if block is None else block)
    with reporting(progress, unit="rows") as report:
        keeper = None if folder is None else BlockFolder(Path(folder), job, model)
        blocks, cost = _blocks(job, keeper, client, report)
    together = {name: torch.cat([values[name] for values in blocks]) for name in blocks[0]}
    return _result(job, together, cost, level=level, block=size, seed=seed)


def _blocks(
    job: ImportanceJob, keeper: "BlockFolder | None", client: Any, report: Progress | None
) -> tuple[list[dict[str, Tensor]], int]:
    """Return the parts of every block, from the folder or computed, and the row-steps that were run."""
    N, cost = job.rows.series.x.shape[1], 0
    firsts = range(0, N, ROWS_IN_A_FILE)
    blocks = {} if keeper is None else {first: kept for first in firsts if (kept := keeper.kept(first)) is not None}
    missing = [first for first in firsts if first not in blocks]
    for first, (values, row_steps) in _computed(job, missing, client):
        if keeper is not None:
            keeper.keep(first, values)
        blocks[first] = values
        cost += row_steps
        if report is not None:
            report(min(N, len(blocks) * ROWS_IN_A_FILE), N)
    if report is not None and not missing:
        report(N, N)
    return [blocks[first] for first in firsts], cost


def _computed(
    job: ImportanceJob, firsts: Sequence[int], client: Any
) -> Iterator[tuple[int, tuple[dict[str, Tensor], int]]]:
    """Yield the first row of each block with its parts and cost, computed here or, in any order, on a cluster."""
    if client is None:
        yield from ((first, job.block(first)) for first in firsts)
        return
    distributed = optional_package("distributed", "cluster", "running on a cluster")
    sent = client.scatter(job, broadcast=True, hash=False)
    futures = {client.submit(_block_in_one_thread, sent, first, pure=False): first for first in firsts}
    try:
        for future in distributed.as_completed(list(futures)):
            yield futures[future], future.result()
    finally:
        client.cancel(list(futures))


def _block_in_one_thread(job: ImportanceJob, first: int) -> tuple[dict[str, Tensor], int]:
    threads = torch.get_num_threads()
    with lasting(partial(torch.set_num_threads, 1), partial(torch.set_num_threads, threads)):
        return job.block(first)


def _result(
    job: ImportanceJob, values: dict[str, Tensor], cost: int, *, level: float, block: int, seed: int
) -> Importance:
    case, grid = job.first
    shape = len(grid.windows), len(grid.groups)
    parts, ends = values["parts"], values["ends"]
    for row in (~ends[:, 0].isfinite()).nonzero().flatten().tolist()[:1]:
        check_finite(float(ends[row, 0]), f"{case.target.name} of row {row}")
    losses = values["occlusion"] if job.request.options.occlusion else None
    lags = [range(window.lag, window.lag + window.stop - window.start) for window in grid.windows]
    bounds = bootstrap(torch.cat([parts.abs(), parts], dim=1), block, level, seed)
    size_interval, signed_interval = bounds.view(2, 2, *shape).unbind(1)
    names = [f"{span[0]}" if len(span) == 1 else f"{span[0]} to {span[-1]}" for span in lags]
    return Importance(
        method=job.request.method,
        target=case.target.name,
        unit=case.unit,
        features=tuple(grid.groups),
        windows=tuple(window._replace(name=name) for window, name in zip(grid.windows, names, strict=True)),
        count=len(parts),
        size=parts.abs().mean(0).view(shape),
        signed=parts.mean(0).view(shape),
        size_interval=size_interval,
        signed_interval=signed_interval,
        occlusion=None if losses is None else losses.abs().mean(0).view(shape),
        spread=float((ends[:, 0] - ends[:, 1]).abs().mean()),
        baseline=job.rows.baseline,
        level=level,
        block=block,
        residual=float(ends[:, 2].abs().max()),
        cost=cost,
    )


class BlockFolder:
    """Keeps the parts of blocks of rows as files in a folder, each with what it depends on."""

    def __init__(self, folder: Path, job: ImportanceJob, model: Any) -> None:
        self._folder, self._job = folder, job
        series = job.rows.series
        names = [*series.features, *series.targets, str(tuple(series.x.shape))]
        digest = hashlib.sha256(json.dumps([FORMAT, repr(job.of), repr(job.request), *names]).encode())
        module = model.module if isinstance(model, SeriesModel) else model.lstm if isinstance(model, Subject) else model
        for tensor in series.target_scale or ():
            _add(digest, tensor)
        assert isinstance(module, nn.Module)
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(name.encode())
            _add(digest, tensor)
        if any(isinstance(part, Recurrent) and edits_in_force(part) for part in module.modules()):
            raise ArgumentError("edits are active, and files of a folder don't tell them apart: exit their block first")
        self._common = digest
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def kept(self, first: int) -> dict[str, Tensor] | None:
        """Return the parts of the rows from ``first`` on, if the folder has them; reject parts of something else."""
        path, key = self._file(first)
        if not path.exists():
            return None
        tensors, metadata = read_tensors(path, FORMAT)
        if metadata.get("key") != key:
            raise ArgumentError(
                f"{path} was made with a different model, data or settings: choose another folder, or delete this one"
            )
        return tensors

    def keep(self, first: int, tensors: dict[str, Tensor]) -> None:
        """Write the parts of the rows from ``first`` on."""
        path, key = self._file(first)
        write_tensors(path, FORMAT, tensors, {"key": key})

    def _file(self, first: int) -> tuple[Path, str]:
        """Return the file of the rows from ``first`` on, and the hash of what their parts depend on."""
        digest = self._common.copy()
        for values in (self._job.rows.series.x, self._job.rows.base):
            _add(digest, values[:, first : first + ROWS_IN_A_FILE])
        return self._folder / f"rows-{first:08d}.safetensors", digest.hexdigest()


def _add(digest: Any, tensor: Tensor) -> None:
    values = tensor.detach().cpu().contiguous().reshape(-1)
    digest.update(f"{values.dtype} {list(tensor.shape)}".encode())
    digest.update(values.view(torch.uint8).numpy().tobytes())
