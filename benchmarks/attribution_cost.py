"""Row-steps that Shapley values of a forecast take: ours, shap's KernelExplainer and captum's ShapleyValueSampling.

    python benchmarks/attribution_cost.py [--inputs N]

A row-step is a step of a row that the forecaster reads. The error is measured against the exact values, from all 2^P
ways to replace P players, which are groups of features in windows of steps. The table has the fewest row-steps, of
doubling budgets, with which the median error over the inputs is at most each limit. Needs shap and captum.
"""

import argparse
import math
import sys
import warnings
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import hiddenstate as hs

FEATURES, UNITS = 3, 32
SCALES = (1, 3)  # of the initial weights; larger weights remember for longer
# Groups of features, windows, and steps of a window.
PLAYERS = {
    "12 windows of 2 steps": (1, 12, 2),
    "3 features × 4 windows of 7 steps": (3, 4, 7),
    "12 windows of 30 steps": (1, 12, 30),
    "3 features × 4 windows of 91 steps": (3, 4, 91),
}
LIMITS = (0.1, 0.01, 1e-3, 1e-5)
Values = np.ndarray[Any, Any]


class Forecaster(nn.Module):
    """An LSTM and a linear layer, which count the row-steps that they read."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.lstm, self.linear = nn.LSTM(FEATURES, UNITS, batch_first=True), nn.Linear(UNITS, 1)
        self.row_steps = 0
        with torch.no_grad():
            for weight in self.parameters():
                weight.mul_(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[N, 1]``."""
        self.row_steps += x.shape[0] * x.shape[1]
        out: Tensor = self.linear(self.lstm(x)[0][:, -1])
        return out


def players_of(groups: int, windows: int, span: int) -> tuple[Tensor, dict[str, list[int]], int]:
    """Return the player ``[T, C]`` of each number, the groups of features, and the number of steps."""
    columns, T = {1: [[0, 1, 2]], 3: [[0], [1], [2]]}[groups], windows * span
    owner = torch.empty(T, FEATURES, dtype=torch.long)
    for g, members in enumerate(columns):
        owner[:, members] = (torch.arange(T) // span * groups + g)[:, None]
    return owner, {f"group {g}": members for g, members in enumerate(columns)}, T


def outputs(model: Forecaster, x: Tensor, owner: Tensor, kept: Values) -> Values:
    """Return the forecast with only some players kept ``[R, P]``, and all others replaced by 0."""
    mask = torch.as_tensor(kept, dtype=torch.bool)[:, owner]
    with torch.no_grad():
        values: Values = model(torch.where(mask, x, torch.zeros_like(x)))[:, 0].double().numpy()
    return values


def exact_values(model: Forecaster, x: Tensor, owner: Tensor, count: int) -> Values:
    """Return Shapley values ``[P]`` by their definition, from all 2^P coalitions."""
    bits = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    worth = np.concatenate([outputs(model, x, owner, part) for part in np.array_split(bits, 8)])
    weight = np.array([1 / (count * math.comb(count - 1, size)) for size in range(count)])
    sizes, values = bits.sum(1), np.empty(count)
    for player in range(count):
        without = np.flatnonzero(bits[:, player] == 0)
        values[player] = (weight[sizes[without]] * (worth[without | 1 << player] - worth[without])).sum()
    return values


def ours(model: Forecaster, x: Tensor, groups: dict[str, list[int]], span: int) -> tuple[Values, int]:
    """Return our values and the row-steps that they took."""
    options: Any = {"of": 0, "features": groups, "spans": span, "baseline": "zero", "occlusion": False}
    result = hs.explain.attribute(model, x, method="shapley", **options)
    return result.table.flatten().numpy(), result.cost


def kernel(model: Forecaster, x: Tensor, owner: Tensor, count: int, budget: int, seed: int) -> Values:
    """Return the values of shap's KernelExplainer from a number of coalitions."""
    import shap

    np.random.seed(seed)
    explainer = shap.KernelExplainer(lambda kept: outputs(model, x, owner, kept), np.zeros((1, count)))
    values = explainer.shap_values(np.ones((1, count)), nsamples=budget, l1_reg=False, silent=True)
    return np.asarray(values).reshape(-1)


def sampling(model: Forecaster, x: Tensor, owner: Tensor, count: int, budget: int, seed: int) -> Values:
    """Return the values of captum's ShapleyValueSampling from about a number of coalitions."""
    from captum.attr import ShapleyValueSampling

    torch.manual_seed(seed)
    explainer, draws = ShapleyValueSampling(lambda rows: model(rows)[:, 0]), max(1, budget // count)
    with torch.no_grad():
        parts = explainer.attribute(
            x[None], baselines=0, feature_mask=owner[None], n_samples=draws, perturbations_per_eval=count
        )
    firsts = [int((owner.flatten() == player).nonzero()[0]) for player in range(count)]
    values: Values = parts.flatten()[firsts].double().numpy()
    return values


def row_steps_by_limit(
    method: Callable[..., Values], model: Forecaster, cases: list[tuple[Tensor, Values]], owner: Tensor, count: int
) -> dict[float, int]:
    """Return the fewest row-steps with which a method reaches each limit of the median error.

    A negative number is that of the largest budget, with which it did not.
    """
    needed: dict[float, int | None] = dict.fromkeys(LIMITS)
    most = 2**count - 2 if method is kernel else 2**14
    budgets = [*(k for k in (2**n for n in range(5, 15)) if k < most), most]
    for budget in budgets:
        model.row_steps, errors = 0, []
        for seed, (x, want) in enumerate(cases):
            got = method(model, x, owner, count, budget, seed)
            errors.append(float(np.linalg.norm(got - want) / np.linalg.norm(want)))
        for limit in LIMITS:
            if needed[limit] is None and np.median(errors) <= limit:
                needed[limit] = model.row_steps // len(cases)
        if all(needed.values()):
            break
    return {limit: steps or -(model.row_steps // len(cases)) for limit, steps in needed.items()}


def main(inputs: int) -> None:
    """Print a table for each kind of players, and each scale of the weights."""
    for (name, shape), scale in product(PLAYERS.items(), SCALES):
        torch.manual_seed(0)
        model = Forecaster(scale).eval()
        owner, by_name, T = players_of(*shape)
        count = int(owner.max()) + 1
        xs = [torch.randn(T, FEATURES, generator=torch.Generator().manual_seed(seed)) for seed in range(inputs)]
        cases = [(x, exact_values(model, x, owner, count)) for x in xs]
        runs = [ours(model, x[None], by_name, shape[-1]) for x in xs]
        error = max(
            np.linalg.norm(got - want) / np.linalg.norm(want) for (got, _), (_, want) in zip(runs, cases, strict=True)
        )
        cost = int(np.median([cost for _, cost in runs]))
        print(f"{name}, weights × {scale}: {count} players, LSTM of {UNITS} units; medians of {inputs} inputs")
        print(f"  ours, exact: {cost:,} row-steps, error {error:.0e}; enumeration: {2**count * T:,} row-steps")
        needed = {
            title: row_steps_by_limit(method, model, cases, owner, count)
            for title, method in {"shap, KernelExplainer": kernel, "captum, ShapleyValueSampling": sampling}.items()
        }
        print(f"  {'relative error at most':30}", *(f"{limit:>23.3%}" for limit in LIMITS))
        for title, by_limit in needed.items():
            cells = [f"{'> ' * (k < 0)}{abs(k):,} ({abs(k) / cost:.1f}×)" for k in by_limit.values()]
            print(f"  {title:30}", *(f"{cell:>23}" for cell in cells))
        sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=9, metavar="N", help="the number of random inputs (9)")
    arguments = parser.parse_args()
    try:
        import captum.attr  # noqa: F401
        import shap  # noqa: F401
    except ImportError as error:
        sys.exit(f"{error.name} is missing: pip install shap captum")
    warnings.filterwarnings("ignore")
    main(arguments.inputs)
