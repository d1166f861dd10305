"""Jacobians of each step along a run: how small changes of the state grow or fade."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from hiddenstate.explain.dynamics.state_map import StateMap, sorted_eigenvalues
from hiddenstate.explain.dynamics.thread_pool import side_by_side
from hiddenstate.explain.result.explanation import Explanation, Row
from hiddenstate.explain.result.terminal import sentence, share, shortened, table
from hiddenstate.explain.subject.progress_bar import Progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Spectrum(Explanation):
    """The Jacobian of each step with respect to the state before it: its eigenvalues, and the growth over the run.

    Attributes:
        words: the word at each step.
        eigenvalues: ``[T, D]``, complex, largest first.
        norms: ``[T]``, the largest singular value: the maximum factor by which a step can stretch a small change.
        exponents: ``[D]``, the Lyapunov exponents of this run: the mean logarithmic growth of a change per step, in
            orthogonal directions, largest first.
        residual: the difference between the sum of the exponents and the mean log determinant of the Jacobians, which
            should be equal.
        cost: row-steps that were run.
    """

    kind: ClassVar[str] = "spectrum"

    words: tuple[str, ...]
    eigenvalues: Tensor
    norms: Tensor
    exponents: Tensor
    residual: float
    cost: int

    @property
    def radius(self) -> Tensor:
        """``[T]``, the modulus of the largest eigenvalue at each step."""
        return self.eigenvalues[:, 0].abs()

    def rows(self) -> Sequence[Row]:
        """Return one row per step."""
        above = (self.eigenvalues.abs() > 1).sum(-1)
        values = zip(self.words, self.radius.tolist(), above.tolist(), self.norms.tolist(), strict=True)
        return [
            {"t": t, "word": word, "radius": radius, "above_1": count, "norm": norm}
            for t, (word, radius, count, norm) in enumerate(values)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        values = torch.stack([self.eigenvalues.real, self.eigenvalues.imag], dim=-1)
        own = {name: getattr(self, name) for name in ("words", "norms", "exponents", "residual", "cost")}
        return {**own, "eigenvalues": values}

    def __str__(self) -> str:
        largest, norms = float(self.norms.max()) or 1.0, self.norms.tolist()
        above = (self.eigenvalues.abs() > 1).sum(-1).tolist()
        lines = [
            [shortened(word), f"{radius:.3f}", str(count), f"{norm:.2f}", share(norm / largest)]
            for word, radius, count, norm in zip(self.words, self.radius.tolist(), above, norms, strict=True)
        ]
        top = float(self.exponents[0])
        fate = "grows" if top > 0 else "fades"
        return (
            table(["word", "|λ|", "above 1", "norm", ""], lines, "lrrrl")
            + "\n"
            + sentence(
                "|λ|: the largest eigenvalue of the step's Jacobian; above 1: how many eigenvalues are; norm: the "
                "maximum factor by which this step can stretch a small change of the state. Over the run, a small "
                f"change {fate} by a factor of about exp({top:+.3f}) per step (the largest Lyapunov exponent)."
            )
        )

    def _figure(self) -> "Figure":
        """Draw the moduli of the eigenvalues over the steps."""
        from hiddenstate.base.figures import Picture
        from hiddenstate.base.figures import shortened as cut

        figure = Picture(figsize=(max(5.0, 0.35 * len(self.words) + 2), 3.5), layout="constrained")
        axes = figure.add_subplot()
        for t in range(len(self.words)):
            axes.scatter([t] * self.eigenvalues.shape[1], self.eigenvalues[t].abs(), s=6, color="#0072b2")
        axes.axhline(1, color="#888888", linewidth=0.8)
        axes.set_xticks(range(len(self.words)), [cut(w) for w in self.words], rotation=90, fontsize=7, parse_math=False)
        axes.set_ylabel("|eigenvalue|")
        return figure


def compute_spectrum(
    map_: StateMap, states: Tensor, x: Tensor, words: tuple[str, ...], progress: Progress | None = None
) -> Spectrum:
    """Compute the spectrum along a run, a few steps at a time: Jacobians of a large state take a lot of memory.

    Args:
        map_: the LSTM's step.
        states: the state before each step, ``[T, D]``.
        x: the input, ``[T, C]``.
        words: the word at each step.
        progress: called with the steps done and their total.
    """
    basis, growth = torch.eye(map_.numbers, dtype=states.dtype), states.new_zeros(map_.numbers)
    found = list[tuple[Tensor, Tensor, Tensor]]()
    with side_by_side() as threads:
        for now, given in zip(states.split(threads.threads), x.split(threads.threads), strict=True):
            slopes = threads.call(map_.jacobian, now, given)
            for slope, measured in zip(slopes, threads.run(_measured, slopes.split(1)), strict=True):
                basis, stretched = threads.call(_one_further, slope, basis)
                growth = growth + stretched.diagonal().abs().log()
                found.append(measured)
                if progress is not None:
                    progress(len(found), len(x))
    eigenvalues, norms, determinants = zip(*found, strict=True)
    exponents = growth / len(x)
    both = exponents.sum(), torch.cat(determinants).mean()
    residual = float((both[0] - both[1]).abs()) if all(bool(v.isfinite()) for v in both) else float("nan")
    ordered = exponents.sort(descending=True).values
    return Spectrum(words, torch.cat(eigenvalues), torch.cat(norms), ordered, residual, len(x))


def _one_further(slope: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Map an orthonormal basis through a step; return the new orthonormal basis and how much each direction grew."""
    turned, stretched = torch.linalg.qr(slope @ basis)
    return turned, stretched


def _measured(slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the eigenvalues, largest singular value and log determinant of a Jacobian ``[1, D, D]``."""
    determinant = torch.linalg.slogdet(slope).logabsdet
    return sorted_eigenvalues(slope), torch.linalg.matrix_norm(slope, ord=2), determinant
