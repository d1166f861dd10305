"""`Importance`: how much each feature matters at each lag over a data set, with intervals."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiddenstate.explain.attribution.feature_result import MOST_ROWS, Window
from hiddenstate.explain.result.explanation import Explanation, Row
from hiddenstate.explain.result.terminal import bar, number, sentence, shortened
from hiddenstate.structure.tables import table

RESAMPLES = 1000


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Importance(Explanation):
    """How much each feature matters at each lag over N rows. Returned by `importance`. W windows of lags, F features.

    Attributes:
        method: the name of the method of `attribute`.
        target: a description of the target.
        unit: its unit, or empty.
        features: the F features, or groups of features.
        windows: the W windows of steps in a row, by time; their names are lags.
        count: the number of rows, N.
        size: ``[W, F]``, the mean absolute part.
        signed: ``[W, F]``, the mean part.
        size_interval: ``[2, W, F]``, the bounds of the interval of ``size`` over rows, by block bootstrap; NaN if all
            rows are one block.
        signed_interval: ``[2, W, F]``, the bounds of the interval of ``signed``.
        occlusion: ``[W, F]``, the mean absolute loss when only that input is replaced; None if not requested.
        spread: the mean absolute difference between the target and the target with all inputs replaced.
        baseline: the name of the baseline.
        level: the share of resamples between the bounds.
        block: the number of neighbouring rows that are drawn together.
        residual: the largest error of the method's sum rule over all rows.
        cost: the row-steps that were run, not counting blocks that the folder already had.
    """

    kind = "importance"
    _saved = (
        "method target unit features windows count size signed size_interval signed_interval occlusion spread baseline "
        "level block residual cost"
    )

    method: str
    target: str
    unit: str
    features: tuple[str, ...]
    windows: tuple[Window, ...]
    count: int
    size: Tensor
    signed: Tensor
    size_interval: Tensor
    signed_interval: Tensor
    occlusion: Tensor | None
    spread: float
    baseline: str
    level: float
    block: int
    residual: float
    cost: int

    @property
    def has_one_block(self) -> bool:
        """Whether all rows are one block, so that nothing is known about other rows, and the intervals are NaN."""
        return self.block >= self.count

    @property
    def by_feature(self) -> Tensor:
        """``[F]``, the sum of the sizes over the lags."""
        return self.size.sum(0)

    @property
    def by_window(self) -> Tensor:
        """``[W]``, the sum of the sizes over the features."""
        return self.size.sum(1)

    def rows(self) -> list[Row]:
        """Return one row for each window of lags and each feature."""
        rows: list[Row] = []
        for w, window in enumerate(self.windows):
            for f, feature in enumerate(self.features):
                row: dict[str, Any] = {"window": window.name, "lag": window.lag, "feature": feature}
                for name, values, interval in (
                    ("size", self.size, self.size_interval),
                    ("signed", self.signed, self.signed_interval),
                ):
                    row[name] = float(values[w, f])
                    row[f"{name}_low"], row[f"{name}_high"] = interval[:, w, f].tolist()
                if self.occlusion is not None:
                    row["occlusion"] = float(self.occlusion[w, f])
                rows.append(row)
        return rows

    def __str__(self) -> str:
        unit, has_occlusion = f" {self.unit}" if self.unit else "", self.occlusion is not None
        blocks = f" (bootstrap of blocks of {self.block})" if self.block > 1 else ""
        size = f"size: mean absolute part ({self.method.replace('_', ' ')})"
        interval = f"with its {self.level:.0%} interval over rows{blocks}"
        if self.has_one_block:
            interval = "without an interval over rows, which would need more than one block of rows that share steps"
        legend = [f"{size}, {interval}", "signed: mean part"]
        legend += ["occlusion: mean absolute loss if only that input is replaced"] if has_occlusion else []
        spread, sizes = f"{self.spread:.3g}{unit}", dict(zip(self.features, self.by_feature.tolist(), strict=True))
        most = max(sizes.values())
        by_feature = [[shortened(name), f"{size:.3g}", bar(size, most)[13:]] for name, size in sizes.items()]
        lines = [
            sentence(f"Which feature matters for {self.target}, over {self.count:,} rows?"),
            sentence("; ".join(legend)),
            sentence(f"With all inputs replaced ({self.baseline}), the target changes by {spread} on average."),
            "",
            table(["feature", "size, all lags", ""], by_feature, "lrl"),
            "",
        ]
        P = self.size.numel()
        few = f" ({MOST_ROWS} of {P})" if P > MOST_ROWS else ""
        names = [f"lag{few}", "feature", "size", "interval", "signed", *["occlusion"] * has_occlusion, ""]
        return "\n".join([*lines, table(names, _largest(self), "rlrrr" + "r" * has_occlusion + "l")])

    def _figure(self) -> Any:
        """Draw the sizes as a heat map, lags across and features down, with sums."""
        from hiddenstate.explain.result.series_pictures import SeriesMap, draw_series_map

        unit = f" [{self.unit}]" if self.unit else ""
        end = self.windows[-1].lag + self.windows[-1].stop - 1
        return draw_series_map(
            SeriesMap(
                title=f"{self.target}, {self.count:,} rows",
                what=f"mean size of {self.method.replace('_', ' ')}{unit}",
                values=self.size,
                features=self.features,
                spans=[(start, stop) for _, start, stop, _ in self.windows],
                steps=[str(end - t) for t in range(self.windows[-1].stop)],
                along="lag",
            )
        )


def bootstrap(values: Tensor, block: int, level: float, seed: int) -> Tensor:
    """Return bounds ``[2, P]`` of the mean of rows, from circular blocks of neighbours (Politis & Romano 1992)."""
    rows = values.double().numpy()
    N = len(rows)
    if block >= N:
        return torch.full((2, rows.shape[1]), math.nan, dtype=torch.float64, device="cpu")
    draw = np.random.default_rng(seed)
    starts = draw.integers(0, N, size=(RESAMPLES, -(-N // block)))
    around = np.concatenate([np.zeros_like(rows[:1]), np.cumsum(np.concatenate([rows, rows[: block - 1]]), axis=0)])
    sums = around[block:] - around[:-block]  # of each block, by its start
    counts = np.empty((RESAMPLES, N))
    for count, drawn in zip(counts, starts, strict=True):
        count[:] = np.bincount(drawn, minlength=N)
    means = counts @ sums / (starts.shape[1] * block)
    bounds = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return torch.tensor(bounds)  # a copy, in torch's own memory


def _largest(result: Importance) -> list[list[str]]:
    """Return the rows of the largest sizes, largest first."""
    sizes, rows = result.size.flatten(), []
    for k in sizes.argsort(descending=True, stable=True)[:MOST_ROWS].tolist():
        w, f = divmod(k, len(result.features))
        low, high = result.size_interval[:, w, f].tolist()
        loss = [] if result.occlusion is None else [f"{float(result.occlusion[w, f]):.3g}"]
        interval = "" if result.has_one_block else f"{low:.3g} to {high:.3g}"
        numbers = [f"{float(sizes[k]):.3g}", interval, number(float(result.signed[w, f])), *loss]
        place = [result.windows[w].name, shortened(result.features[f])]
        rows.append([*place, *numbers, bar(float(sizes[k]), float(sizes.max()))[13:]])
    return rows
