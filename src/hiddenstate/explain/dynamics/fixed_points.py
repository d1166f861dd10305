"""States that a step leaves unchanged, by descent, then Newton's method; Sussillo & Barak (2013)."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import jacrev, vmap
from torch.nn.functional import linear

from hiddenstate.base.forks import ForkSafeLock
from hiddenstate.base.indexing import resolve_one
from hiddenstate.base.memory import check_module_memory
from hiddenstate.base.scoped import lasting
from hiddenstate.base.validation import AnyState
from hiddenstate.cells.cell import Weights, ignore
from hiddenstate.edits.resolve import edits_in_force
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.result.explanation import Explanation, Row
from hiddenstate.explain.result.terminal import sentence
from hiddenstate.explain.subject.progress_bar import Progress
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.structure.sizes import Sizes
from hiddenstate.structure.tables import table

MOST_NUMBERS = 4096  # at this state size, the Jacobian takes 134 MB
BYTES_AT_ONCE = 2**28


@dataclass(frozen=True, eq=False)
class StateMap:
    """``z' = F(z, x)``, where z ``[D]`` holds the hidden and any cell states of all layers."""

    sizes: Sizes  # the sizes of the LSTM, which is unidirectional
    weights: tuple[Weights, ...]  # the weights of each layer, float64 on the CPU

    @property
    def numbers(self) -> int:
        """D, the size of a state."""
        return self.sizes.num_layers * sum(self._widths)

    @property
    def _widths(self) -> list[int]:
        """The sizes of one layer's part of each state that is carried."""
        return [self.sizes.units(name) for name in self.sizes.kind.carried]

    def __call__(self, z: Tensor, x: Tensor) -> Tensor:
        """Return the states after one step with input ``x [N, C]`` from the states ``z [N, D]``."""
        states = self.split(z)
        ends: list[tuple[Tensor, ...]] = []
        for layer, w in enumerate(self.weights):
            before = tuple(state[layer] for state in states)
            ends.append(self.sizes.kind.step(linear(x, w.ih, w.b_ih), before, w, ignore))
            x = ends[-1][0]
        return torch.cat([part for parts in zip(*ends, strict=True) for part in parts], dim=-1)

    def split(self, z: Tensor) -> tuple[tuple[Tensor, ...], ...]:
        """Return each state that is carried, by layer: h ``[N, P]`` and, if there is one, c ``[N, H]``."""
        widths, L = self._widths, self.sizes.num_layers
        parts = z.split([L * width for width in widths], dim=-1)
        return tuple(part.split(width, dim=-1) for part, width in zip(parts, widths, strict=True))

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        """Return h ``[L, N, P]`` and, if there is one, c ``[L, N, H]`` as vectors ``[N, D]``."""
        return torch.cat([layer for part in parts for layer in part.detach().cpu().double()], dim=-1)

    def jacobian(self, z: Tensor, x: Tensor) -> Tensor:
        """Return dF/dz ``[N, D, D]`` at states ``[N, D]`` and inputs ``[N, C]``."""
        size = max(1, BYTES_AT_ONCE // (self.numbers**2 * 8 * 8))
        parts = [vmap(jacrev(self))(*pair) for pair in zip(z.split(size), x.split(size), strict=True)]
        return torch.cat(parts) if len(z) else z.new_zeros(0, self.numbers, self.numbers)

    def eigenvalues(self, z: Tensor, x: Tensor) -> Tensor:
        """Return the Jacobian's eigenvalues ``[N, D]``, complex, largest first."""
        return sorted_eigenvalues(self.jacobian(z, x))


def sorted_eigenvalues(matrices: Tensor) -> Tensor:
    """Return the eigenvalues ``[N, D]`` of matrices ``[N, D, D]``, complex, largest first."""
    eigenvalues = torch.linalg.eigvals(matrices) if len(matrices) else matrices.new_zeros(matrices.shape[:2])
    return eigenvalues.gather(-1, eigenvalues.abs().argsort(dim=-1, descending=True))


def make_state_map(lstm: Recurrent[Any, Any]) -> StateMap:
    """Return the state map of an LSTM."""
    check_module_memory(lstm)
    sizes = lstm.sizes
    if sizes.bidirectional:
        raise ArgumentError(
            f"a step of a bidirectional {sizes.kind.label} is not a map from state to state: give a unidirectional one"
        )
    if edits_in_force(lstm):
        raise ArgumentError("dynamics analyses a layer without edits, but edits are active: exit their block first")
    weights = [
        Weights(*(None if value is None else value.detach().cpu().double() for value in layer))  # type: ignore[arg-type]
        for layer in lstm._eval_twin()._weights()
    ]
    state_map = StateMap(sizes, tuple(weights))
    if state_map.numbers > MOST_NUMBERS:
        raise ArgumentError(
            f"a state of {state_map.numbers:,} numbers ({' and '.join(sizes.kind.carried)} of all layers) is too "
            f"large: its Jacobian would take {state_map.numbers**2 * 8 / 1e6:,.0f} MB; give an LSTM of "
            f"at most {MOST_NUMBERS:,}"
        )
    return state_map


NEAR = 1e-2  # maximum speed at which Newton's method is tried
STILL = 1e-9  # maximum speed of a fixed point
SAME = 1e-4  # points closer than this count as the same
LARGE = 256  # minimum state size for dividing the starts among threads
NEWTON_STEPS = 30
SHOWN = 16


@dataclass(frozen=True, eq=False, repr=False)
class FixedPoints(Explanation):
    """States that a step with this input leaves unchanged, stable ones first: K points, states of size D.

    Attributes:
        x: the input ``[C]``.
        states: ``[K, D]``, the hidden and cell states of all layers, concatenated; see `state`.
        speed: ``[K]``, how far a step moves each point (the norm of ``F(z) - z``).
        eigenvalues: ``[K, D]``, the eigenvalues of the Jacobian at each point, complex, largest first.
        found: ``[K]``, how many searches (two per start) reached each point.
        starts: the number of states from which the search started.
        residual: the largest speed.
        map: one step of the LSTM, in float64.
    """

    kind = "fixed points"
    _saved = "x points=rows states eigenvalues starts residual cost"

    x: Tensor
    states: Tensor
    speed: Tensor
    eigenvalues: Tensor
    found: Tensor
    starts: int
    residual: float
    cost: int
    map: StateMap

    def __len__(self) -> int:
        return len(self.states)

    @property
    def unstable(self) -> Tensor:
        """``[K]``, the number of unstable directions of each point: eigenvalues of modulus above 1."""
        return (self.eigenvalues.abs() > 1).sum(-1)

    @property
    def stable(self) -> Tensor:
        """``[K]``, whether nearby states converge to the point."""
        return self.unstable == 0

    def state(self, k: int) -> AnyState:
        """Return point k as an initial state ``(h0 [L, 1, P], c0 [L, 1, H])``: ``lstm(x, points.state(0))``.

        Without cell states, as in a GRU, it is h0.

        Raises:
            IndexRangeError, ArgumentTypeError: there is no such point.
        """
        k = resolve_one(k, len(self), "k")
        parts = [torch.stack(part) for part in self.map.split(self.states[k : k + 1])]
        return self.map.sizes.kind.as_given(parts)

    def kind_of(self, k: int) -> str:
        """Return the kind of point k: ``stable``, ``saddle`` or, if every direction is unstable, ``repeller``.

        Raises:
            IndexRangeError, ArgumentTypeError: there is no such point.
        """
        k = resolve_one(k, len(self), "k")
        away = int(self.unstable[k])
        return "stable" if not away else "repeller" if away == self.states.shape[1] else "saddle"

    def rows(self) -> Sequence[Row]:
        """Return one row per point."""
        return [
            {
                "point": k,
                "kind": self.kind_of(k),
                "unstable": int(self.unstable[k]),
                "largest_eigenvalue": float(self.eigenvalues[k, 0].abs()),
                "speed": float(self.speed[k]),
                "found": int(self.found[k]),
            }
            for k in range(len(self))
        ]

    def __str__(self) -> str:
        if not len(self):
            return sentence(
                f"No fixed point was found from {self.starts} starts: no search converged. Give more starts, or "
                "a longer descent; the LSTM may also have no fixed point near the states of its runs."
            )
        stable = int(self.stable.sum())
        lines = [
            [
                str(k),
                self.kind_of(k),
                str(int(self.unstable[k])),
                f"{float(self.eigenvalues[k, 0].abs()):.4f}",
                str(int(self.found[k])),
                " ".join(f"{v:+.2f}" for v in self.states[k, :6].tolist()),
            ]
            for k in range(min(len(self), SHOWN))
        ]
        head = ["point", "kind", "ways out", "|λ|", "found", "state begins"]
        more = f"\nand {len(self) - SHOWN} more" if len(self) > SHOWN else ""
        return (
            f"{len(self)} fixed points from {self.starts} starts: {stable} stable, {len(self) - stable} not.\n"
            + table(head, lines, "rlrrrl")
            + f"{more}\n"
            + sentence(
                "ways out: unstable directions; |λ|: the largest eigenvalue. A step moves no point by more than "
                f"{self.residual:.0e}. There may be others that no search reached."
            )
        )

    def _draw(self, axes: Any) -> None:
        """Draw the eigenvalues of each point in the complex plane, with the unit circle."""
        axes.figure.set_size_inches(5, 5)
        turn = torch.linspace(0, 2 * torch.pi, 200)
        axes.plot(turn.cos(), turn.sin(), color="#888888", linewidth=0.8)
        for k in range(len(self)):
            color = "#0072b2" if bool(self.stable[k]) else "#d55e00"
            axes.scatter(self.eigenvalues[k].real, self.eigenvalues[k].imag, s=12, color=color)
        axes.set_aspect("equal")
        axes.set_title("eigenvalues: stable points blue, others orange", fontsize=9)


def find_fixed_points(
    map_: StateMap, x: Tensor, starts: Tensor, descent: int, progress: Progress | None = None
) -> FixedPoints:
    """Search for fixed points from states ``[S, D]`` by ``descent`` steps, then Newton's method."""
    with side_by_side() as (workers, threads):
        shares = starts.chunk(threads if map_.numbers >= LARGE else 1)
        reports = [progress, *[None] * (len(shares) - 1)]
        searched = [*workers.map(partial(_searched, map_, x, descent), shares, reports)]
        states, counts = _unique(torch.cat([points for points, _ in searched]))
        by_point = [
            *workers.map(lambda point: map_.eigenvalues(point, x[None]), states.split(1) if len(states) else ())
        ]
    eigenvalues = torch.cat(by_point) if by_point else states.to(torch.complex128)
    cost = sum(steps for _, steps in searched)
    speed = (map_(states, x.expand(len(states), -1)) - states).norm(dim=-1)
    unstable = (eigenvalues.abs() > 1).sum(-1)
    order = sorted(range(len(states)), key=lambda k: (int(unstable[k]), -int(counts[k])))
    residual = float(speed.max()) if len(speed) else 0.0
    return FixedPoints(
        x, states[order], speed[order], eigenvalues[order], counts[order], len(starts), residual, cost, map_
    )


_one_at_a_time = ForkSafeLock()


@contextmanager
def side_by_side() -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """Open a single-threaded worker for each of torch's threads: threads that share a product wait for each other.

    The number of threads that torch gives to a new thread is that of the process, which is restored at the end. Another
    block waits until then: it would take 1 for that number, and restore it.
    """
    with _one_at_a_time.lock:
        threads = torch.get_num_threads()
        one_thread, before = partial(torch.set_num_threads, 1), partial(torch.set_num_threads, threads)
        with lasting(one_thread, before), ThreadPoolExecutor(threads, initializer=one_thread) as workers:
            yield workers, threads


def _searched(map_: StateMap, x: Tensor, descent: int, starts: Tensor, progress: Progress | None) -> tuple[Tensor, int]:
    """Search from some of the starts; return the points that each search reached, and the row-steps run."""
    settled = starts
    with torch.no_grad():
        for _ in range(descent // 4):  # running the states forward brings them near stable points
            settled = map_(settled, x.expand(len(settled), -1))
    near = _descended(map_, x, torch.cat([starts, settled]), descent, progress)
    speeds = (map_(near, x.expand(len(near), -1)) - near).norm(dim=-1)
    points, newton = _refined(map_, x, near[speeds < NEAR])
    return points, len(starts) * (descent // 4) + 2 * len(starts) * descent + newton


def _descended(map_: StateMap, x: Tensor, z: Tensor, steps: int, progress: Progress | None) -> Tensor:
    """Minimise the squared speed of each state separately, by gradient descent with a rate that decays to 0."""
    z = z.clone().requires_grad_()
    optimiser = torch.optim.Adam([z], lr=0.03)
    for k in range(steps):
        optimiser.param_groups[0]["lr"] = 0.03 * (1 - k / steps)
        with torch.enable_grad():
            speed = 0.5 * (map_(z, x.expand(len(z), -1)) - z).square().sum()
        (z.grad,) = torch.autograd.grad(speed, z)
        optimiser.step()
        if progress is not None:
            progress(k + 1, steps)
    return z.detach()


@torch.no_grad()
def _refined(map_: StateMap, x: Tensor, z: Tensor) -> tuple[Tensor, int]:
    """Solve ``F(z) = z`` by Newton's method from each state; return those that converge."""
    refined, cost = [z[:0]], 0
    for part in z.split(max(1, 2**27 // (map_.numbers**2 * 8))):
        at = part.clone()
        for _ in range(NEWTON_STEPS):
            moved = map_(at, x.expand(len(at), -1)) - at
            cost += len(at)
            left = moved.norm(dim=-1) >= STILL / 100
            if not bool(left.any()):
                break
            slope = map_.jacobian(at[left], x.expand(int(left.sum()), -1)) - torch.eye(map_.numbers, dtype=at.dtype)
            at[left] += torch.linalg.lstsq(slope, -moved[left][..., None]).solution[..., 0].clamp(-1, 1)
        speed = (map_(at, x.expand(len(at), -1)) - at).norm(dim=-1)
        refined.append(at[(speed < STILL) & at.isfinite().all(-1)])
    return torch.cat(refined), cost


def _unique(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct points, and the number of duplicates of each."""
    kept: list[Tensor] = []
    counts: list[int] = []
    for point in z:
        same = next((k for k, other in enumerate(kept) if float((point - other).norm()) < SAME), None)
        if same is None:
            kept.append(point)
            counts.append(1)
        else:
            counts[same] += 1
    return torch.stack(kept) if kept else z[:0], torch.tensor(counts, dtype=torch.int64)
