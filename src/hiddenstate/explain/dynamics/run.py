"""`dynamics`: an LSTM as a dynamical system: time scales, gate saturation, fixed points and spectra."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from hiddenstate.base.scalars import check_at_least, check_seed
from hiddenstate.cells.cell import Cell
from hiddenstate.cells.kinds import CELLS
from hiddenstate.errors import ArgumentError, ArgumentTypeError, ShapeError
from hiddenstate.explain.dynamics.fixed_points import (
    FixedPoints,
    StateMap,
    find_fixed_points,
    make_state_map,
    side_by_side,
    sorted_eigenvalues,
)
from hiddenstate.explain.result.explanation import Explanation, Measured, Row
from hiddenstate.explain.result.terminal import sentence, share, shortened
from hiddenstate.explain.subject.progress_bar import Progress, check_progress, reporting
from hiddenstate.explain.subject.sources import subject
from hiddenstate.explain.subject.subject import Subject, check_cell, check_row_steps, real_steps
from hiddenstate.nn.rnn import Layer
from hiddenstate.structure.tables import table

SHUT, OPEN = 0.1, 0.9
EDGES = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, float("inf"))  # steps
SPANS = tuple(pairwise(EDGES))


@dataclass(frozen=True, eq=False, repr=False)
class Timescales(Measured):
    """The time constant of every unit: the number of steps after which 1/e of its cell state remains.

    It is ``-1 / mean(log f)`` over the steps: after T steps, the share that the cell keeps is the product of T forget
    gates, which is ``exp(-T / time constant)``. It is infinite if f is 1 at every step, and 0 if f is 0 at any step. In
    a GRU, z takes the place of f, and h that of the cell state.

    Attributes:
        constants: for each layer and direction, such as ``l0``, the time constants ``[H]``, in steps, float64.
        steps: the number of real steps, in all rows, that were averaged.
        memory: the state that is kept: c, or h in a GRU.
    """

    kind = "timescales"
    _saved = "constants steps residual cost"

    constants: Mapping[str, Tensor]
    steps: int
    cost: int
    memory: str = "c"

    def rows(self) -> Sequence[Row]:
        """Return one row per unit."""
        return [
            {"track": name, "unit": k, "time_constant": value}
            for name, values in self.constants.items()
            for k, value in enumerate(values.tolist())
        ]

    def __str__(self) -> str:
        head = ["", *(f"{low:g}-{high:g}" if high < 1e9 else f"over {low:g}" for low, high in SPANS)]
        lines = []
        for name, values in self.constants.items():
            inside = [int(((values >= low) & (values < high)).sum()) for low, high in SPANS]
            inside[-1] += int((values == float("inf")).sum())
            lines.append([name, *map(str, inside)])
        longest = [
            f"{name}.{self.memory}[{int(v.argmax())}] {float(v.max()):.1f}" for name, v in self.constants.items()
        ]
        return (
            "Units by the time constant of their memory, in steps:\n"
            + table([*head, ""], [[*line, ""] for line in lines], "l")
            + f"\nlongest: {', '.join(longest)}; over {self.steps:,} steps."
        )

    def _draw(self, axes: Any) -> None:
        """Draw the time constants of each layer and direction, sorted, on a logarithmic axis."""
        for name, values in self.constants.items():
            axes.plot(values.sort().values, label=name)
        axes.set_yscale("log")
        axes.set_xlabel("units, sorted")
        axes.set_ylabel("time constant, steps")
        axes.legend(fontsize=8)


@dataclass(frozen=True, eq=False, repr=False)
class Saturation(Measured):
    """How often each gate is shut (below 0.1) or open (above 0.9); Karpathy, Johnson & Fei-Fei (2015).

    For values from -1 to 1 (g of an LSTM, n of a GRU, h of an RNN), the limits are -0.9 and 0.9.

    Attributes:
        shut: maps a place such as ``l0.f`` to the share of steps ``[H]`` at which each unit's gate is shut; float64.
        open: maps a place to the share of steps at which each unit's gate is open.
        steps: the number of real steps, in all rows.
        cell: the kind of cell.
    """

    kind = "saturation"
    _saved = "shut open steps residual cost"

    shut: Mapping[str, Tensor]
    open: Mapping[str, Tensor]
    steps: int
    cost: int
    cell: str = "LSTM"

    def rows(self) -> Sequence[Row]:
        """Return one row per gate and unit."""
        return [
            {"place": name, "unit": k, "shut": float(self.shut[name][k]), "open": float(self.open[name][k])}
            for name in self.shut
            for k in range(len(self.shut[name]))
        ]

    def __str__(self) -> str:
        lines = []
        for name in self.shut:
            shut, opened = self.shut[name], self.open[name]
            always = int((opened > 0.95).sum()), int((shut > 0.95).sum())
            meaning = CELLS[self.cell].meanings[name.split(".")[1]]
            sides = [f"{float(v.mean()):.2f} {share(float(v.mean()))}" for v in (shut, opened)]
            lines.append([name, meaning, *sides, *map(str, reversed(always))])
        head = ["", "", "shut", "open", "always shut", "always open"]
        return (
            sentence(
                f"Share of {self.steps:,} steps at which gates are shut (below 0.1) or open (above 0.9); of "
                f"{CELLS[self.cell].candidate}, below -0.9 or above 0.9. The last columns count units for which that "
                "holds at more than 95 % of the steps."
            )
            + "\n"
            + table(head, lines, "llll")
        )

    def _figure(self) -> Any:
        """Draw each gate of each unit as a point that shows how often it is shut, and how often it is open."""
        from hiddenstate.base.figures import Picture

        kind = CELLS[self.cell]
        names = sorted({name.split(".")[1] for name in self.shut}, key=kind.gate_names.index)
        figure = Picture(figsize=(3 * len(names), 3.2), layout="constrained")
        for k, gate in enumerate(names):
            axes = figure.add_subplot(1, len(names), k + 1)
            for name in self.shut:
                if name.endswith(f".{gate}"):
                    axes.scatter(self.shut[name], self.open[name], s=8, label=name.split(".")[0])
            axes.set_title(f"{gate}: {kind.meanings[gate]}", fontsize=9)
            axes.set_xlabel("shut")
            axes.set_ylabel("open")
            axes.legend(fontsize=7)
        return figure


def compute_timescales(forget: Mapping[str, Tensor], cost: int, memory: str = "c") -> Timescales:
    """Compute time constants from forget gates ``[steps, H]`` of each layer and direction."""
    means = {name: values.double().log().mean(0) for name, values in forget.items()}
    # A gate that is 1 at every step forgets nothing; an edit may even set it above 1.
    constants = {name: torch.where(mean >= 0, torch.inf, -1 / mean) for name, mean in means.items()}
    return Timescales(constants, len(next(iter(forget.values()))), cost, memory=memory)


def compute_saturation(gates: Mapping[str, Tensor], cost: int, kind: Cell) -> Saturation:
    """Count how often gates ``[steps, H]`` are shut or open."""
    signed = {f".{gate.name}" for gate in kind.gates if gate.activation == "tanh"}
    low = {
        name: (values < (-OPEN if name[name.index(".") :] in signed else SHUT)).double().mean(0)
        for name, values in gates.items()
    }
    high = {name: (values > OPEN).double().mean(0) for name, values in gates.items()}
    return Saturation(low, high, len(next(iter(gates.values()))), cost, cell=kind.name)


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
    """

    kind = "spectrum"
    _saved = "words norms exponents residual cost eigenvalues"

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

    def _draw(self, axes: Any) -> None:
        """Draw the moduli of the eigenvalues over the steps."""
        from hiddenstate.base.figures import shortened as cut

        axes.figure.set_size_inches(max(5.0, 0.35 * len(self.words) + 2), 3.5)
        for t in range(len(self.words)):
            axes.scatter([t] * self.eigenvalues.shape[1], self.eigenvalues[t].abs(), s=6, color="#0072b2")
        axes.axhline(1, color="#888888", linewidth=0.8)
        axes.set_xticks(range(len(self.words)), [cut(w) for w in self.words], rotation=90, fontsize=7, parse_math=False)
        axes.set_ylabel("|eigenvalue|")


def compute_spectrum(
    map_: StateMap, states: Tensor, x: Tensor, words: tuple[str, ...], progress: Progress | None = None
) -> Spectrum:
    """Compute the spectrum along a run, a few steps at a time: Jacobians of a large state take a lot of memory."""
    basis, growth = torch.eye(map_.numbers, dtype=states.dtype), states.new_zeros(map_.numbers)
    measures = list[tuple[Tensor, Tensor, Tensor]]()
    with side_by_side() as (workers, threads):
        for before, inputs in zip(states.split(threads), x.split(threads), strict=True):
            slopes = map_.jacobian(before, inputs)
            for slope, measured in zip(slopes, workers.map(_measured, slopes.split(1)), strict=True):
                basis, stretched = torch.linalg.qr(slope @ basis)  # how much each direction grew
                growth = growth + stretched.diagonal().abs().log()
                measures.append(measured)
                if progress is not None:
                    progress(len(measures), len(x))
    eigenvalues, norms, determinants = zip(*measures, strict=True)
    exponents = growth / len(x)
    both = exponents.sum(), torch.cat(determinants).mean()
    residual = float((both[0] - both[1]).abs()) if all(bool(v.isfinite()) for v in both) else float("nan")
    ordered = exponents.sort(descending=True).values
    return Spectrum(words, torch.cat(eigenvalues), torch.cat(norms), ordered, residual, len(x))


def _measured(slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the eigenvalues, largest singular value and log determinant of a Jacobian ``[1, D, D]``."""
    determinant = torch.linalg.slogdet(slope).logabsdet
    return sorted_eigenvalues(slope), torch.linalg.matrix_norm(slope, ord=2), determinant


def dynamics(model: Any, x: Any = None, **options: Any) -> "Dynamics":
    """Analyse an LSTM, a GRU or a plain RNN as a dynamical system.

    Args:
        model: as for `subject`.
        x: the input data; by default one step of zeros for a layer.
        options: as for `subject`.

    Raises:
        ArgumentTypeError, ArgumentError, ShapeError: as for `subject`.
    """
    if isinstance(model, Layer) and x is None:
        x = model._like().new_zeros((1, 1, model.input_size))
    return Dynamics(subject(model, x, **options))


@dataclass(frozen=True, eq=False, repr=False)
class Dynamics:
    """Views of an LSTM as a dynamical system, each computed by one method. Returned by `dynamics`.

    Attributes:
        subject: the LSTM and its data.
    """

    subject: Subject

    def __repr__(self) -> str:
        return f"Dynamics({self.subject}): timescales() saturation() fixed_points(x) spectrum()"

    def timescales(self) -> Timescales:
        """Measure each unit's time constant over the data, from its forget gate (in a GRU, its update gate).

        Raises:
            ArgumentError: it is a plain RNN.
        """
        why = "a plain RNN has no gate that keeps its state, so its units have no time constants; see spectrum()"
        check_cell(self.subject, "timescales()", tuple(name for name, cell in CELLS.items() if cell.keeper), why)
        gate, memory = self.subject.sizes.kind.keeper, self.subject.sizes.kind.memory
        gates, cost = self._gates((gate,))
        return compute_timescales({name.split(".")[0]: values for name, values in gates.items()}, cost, memory)

    def saturation(self) -> Saturation:
        """Count how often each gate (in a tanh RNN, each hidden state) is shut or open over the data.

        Raises:
            ArgumentError: it is an RNN with relu.
        """
        kind = self.subject.sizes.kind
        bounded = tuple(name for name, cell in CELLS.items() if all(gate.bounds for gate in cell.gates))
        check_cell(self.subject, "saturation()", bounded, "relu has no upper bound to saturate at")
        return compute_saturation(*self._gates(kind.gate_names), kind)

    def fixed_points(
        self,
        x: Tensor | None = None,
        *,
        starts: int = 64,
        descent: int = 400,
        seed: int = 0,
        progress: Progress | bool | None = True,
    ) -> FixedPoints:
        """Search for states that a step with this input leaves unchanged.

        Half of the starts are states of a run on the data, plus noise; the others are random.

        Args:
            x: the input ``[C]``; zeros by default.
            starts: the number of states to start from.
            descent: the number of descent steps from each start, before Newton's method.
            seed: the seed of the random starts.
            progress: True for a bar on stderr, False for none, or a function of the descent steps done and their total.

        Raises:
            ArgumentTypeError: the input is not a tensor, or ``progress`` is neither a function nor a bool.
            ShapeError: the input is not ``[C]``.
            ArgumentError: the LSTM is bidirectional or too large, edits are active, there are no starts, there are
                too many starts and descent steps, or the seed is out of range.
        """
        if x is not None and not isinstance(x, Tensor):
            raise ArgumentTypeError(f"x must be a tensor [C], got {type(x).__name__}")
        check_progress(progress)
        map_, C = make_state_map(self.subject.lstm), self.subject.sizes.input_size
        constant = torch.zeros(C, dtype=torch.float64) if x is None else x.detach().cpu().double()
        if constant.shape != (C,):
            raise ShapeError(f"fixed points need a constant input [{C}], got {list(constant.shape)}")
        count, steps = check_at_least("starts", starts, 1), check_at_least("descent", descent, 1)
        check_row_steps(3 * count * steps, f"lower starts={count:,} or descent={steps:,}")
        with reporting(progress) as report:
            return find_fixed_points(map_, constant, self._starts(map_, count, check_seed(seed)), steps, report)

    def spectrum(self, row: int = 0, *, progress: Progress | bool | None = True) -> Spectrum:
        """Compute the Jacobian's eigenvalues at each step of one row of the data, and the Lyapunov exponents.

        Args:
            row: the row to analyse.
            progress: True for a bar on stderr, False for none, or a function of the steps done and their total.

        Raises:
            ArgumentTypeError: ``progress`` is neither a function nor a bool.
            ArgumentError: the LSTM is bidirectional or too large, edits are active, or there is a reset.
            IndexRangeError: there is no such row.
        """
        check_progress(progress)
        map_, subject = make_state_map(self.subject.lstm), self.subject.only(row)
        if subject.reset is not None and bool(subject.reset.any()):
            raise ArgumentError("a change of the state does not survive a reset: give a run without resets")
        states = self._states(map_, subject)
        with reporting(progress) as report:
            return compute_spectrum(map_, states, subject.x[:, 0].detach().cpu().double(), subject.words(), report)

    def _gates(self, kinds: tuple[str, ...]) -> tuple[dict[str, Tensor], int]:
        """Return gates at the real steps of all rows, ``[steps, H]`` by place, and the row-steps run."""
        subject = self.subject
        names = [f"{track.name}.{kind}" for track in subject.sizes.layer_directions for kind in kinds]
        with torch.no_grad():
            values = subject.run(keep=names).values
        real = real_steps(subject)
        if not bool(real.any()):
            raise ShapeError("the data have no steps, so there is nothing to analyse")
        return {name: values[name].cpu()[real] for name in names}, subject.T * subject.N

    @staticmethod
    def _states(map_: StateMap, subject: Subject) -> Tensor:
        """The states before each step of one row, ``[T, D]``."""
        with torch.no_grad():
            trace = subject.trace()
        kind = subject.sizes.kind
        parts = [
            torch.stack([trace.values[f"{track.name}.{q}"][:, 0].cpu() for track in subject.sizes.layer_directions])
            for q in kind.carried
        ]
        return torch.cat([map_.joined(kind.parts_of(subject.initial)), map_.joined(parts)[:-1]])

    def _starts(self, map_: StateMap, count: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)

        def drawn(rows: int) -> Tensor:
            return torch.randn(rows, map_.numbers, generator=generator, dtype=torch.float64)

        long_enough = [n for n in range(self.subject.N) if self.subject.row_length(n)]
        seen = torch.cat([self._states(map_, self.subject.only(n)) for n in long_enough[:count]])
        chosen = seen[torch.randint(0, len(seen), (count // 2,), generator=generator)]
        return torch.cat([chosen + 0.1 * drawn(len(chosen)), drawn(count - len(chosen))])
