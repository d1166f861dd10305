"""`selfcheck`: scores any attribution method on networks whose true attribution is known."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hiddenstate.base.scalars import check_int
from hiddenstate.base.validation import check_dense, check_memory
from hiddenstate.errors import ArgumentError, ArgumentTypeError, ShapeError
from hiddenstate.explain.attribution.result import Attribution
from hiddenstate.explain.attribution.run import attribute
from hiddenstate.explain.ledger.cell import Ledger
from hiddenstate.explain.ledger.run import ledger
from hiddenstate.explain.result.explanation import Explanation, Row
from hiddenstate.explain.result.terminal import sentence, share
from hiddenstate.explain.subject.progress_bar import Progress, counted, reporting
from hiddenstate.explain.subject.subject import check_row_steps
from hiddenstate.plant.expected import EXPECTED, Expectation, Verdict, garden
from hiddenstate.plant.planted import Plant
from hiddenstate.structure.addresses import Address, parse_address
from hiddenstate.structure.tables import table

Method = Callable[[Any, Tensor, str], Tensor | Sequence[float]]  # takes a layer, an input and a target

FINDS, LEANS = 0.85, 0.3  # minimum agreement for the verdicts "finds" and "in part"
MOST_INPUTS = 2**16
NOTHING = 1e-3  # maximum amount for the verdict "sees nothing"


@dataclass(frozen=True)
class PlantScore:
    """A method's score on one plant.

    Attributes:
        plant: the plant's name.
        agreement: the cosine between its scores and the true worth of each step, over all inputs: 1 if they are
            proportional, 0 if the method finds nothing.
        amount: the norm of its scores divided by the norm of the true ones.
        verdict: ``"finds"``, ``"in part"``, ``"misled"`` or ``"sees nothing"``.
        truth: what the plant computes.
        expected: the expected verdict, for one of this library's methods.
        why: the reason for that expectation.
    """

    plant: str
    agreement: float
    amount: float
    verdict: Verdict
    truth: str
    expected: Verdict | None = None
    why: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class SelfCheck(Explanation):
    """The result of `hiddenstate.explain.selfcheck`.

    Attributes:
        scores: the method's score on each plant.
        inputs: the number of inputs for each plant.
        residual: the largest disagreement (1 minus the agreement) among the plants on which the method finds anything.
        cost: the row-steps that the method ran.
    """

    scores: tuple[PlantScore, ...]
    inputs: int
    residual: float
    cost: int

    kind = "selfcheck"
    _saved = "plants=rows inputs residual cost"

    @property
    def verdicts(self) -> Mapping[str, Verdict]:
        """The verdict on each plant."""
        return {score.plant: score.verdict for score in self.scores}

    def rows(self) -> Sequence[Row]:
        """Return one row per plant."""
        return [asdict(score) for score in self.scores]

    def __str__(self) -> str:
        rows = [
            [name, verdict, f"{agreement:.3f}", share(max(agreement, 0.0)), f"{amount:.3f}"]
            for name, agreement, amount, verdict, *_ in map(astuple, self.scores)
        ]
        lines = [table(["plant", "verdict", "agreement", "", "amount"], rows, "llrlr")]
        lines.append(
            sentence(
                f"agreement: the cosine between the scores and each step's true worth, over {self.inputs} inputs; "
                f"amount: the norm of the scores relative to that of the true ones. {self.cost:,} row-steps."
            )
        )
        for score in self.scores:
            if score.expected is not None:
                is_right = score.expected == score.verdict
                right = "as expected" if is_right else f"NOT as expected, which is {score.expected!r}"
                lines.append(sentence(f"{score.plant}, {right}: {score.why}."))
        return "\n".join(lines)

    def _draw(self, axes: Any) -> None:
        """Draw the agreement on each plant as a bar."""
        axes.figure.set_size_inches(6, 0.4 * len(self.scores) + 1)
        axes.barh([score.plant for score in self.scores], [score.agreement for score in self.scores], color="#0072b2")
        axes.axvline(FINDS, color="#888888", linestyle="--", linewidth=0.8)
        axes.set_xlim(-1, 1)
        axes.invert_yaxis()
        axes.set_xlabel("agreement with the truth")


def selfcheck(
    method: Method | str,
    *,
    plants: Mapping[str, Plant] | None = None,
    T: int = 10,
    inputs: int = 8,
    progress: Progress | bool | None = True,
) -> SelfCheck:
    """Score an attribution method on planted networks, whose true attribution is known.

    Args:
        method: takes an LSTM, an input ``[T, 1, C]`` and a target such as ``"l0.c[0]@9"``, and returns a score for
            each step, ``[T]``: its contribution to the target, relative to an input of zeros. Or the name of a method
            of this library, ``"ledger"`` or one of `hiddenstate.explain.attribute`: the result then also states the
            expected verdicts and the reasons.
        plants: the plants by name; by default those of `hiddenstate.plant.garden`, for a function (and for ``"cd"``)
            only its LSTMs. Give ``hiddenstate.plant.garden()`` to a function that also takes a GRU.
        T: the number of time steps of each input.
        inputs: the number of inputs for each plant.
        progress: True for a bar on stderr, False for none, or a function of the plants done and their total.

    Raises:
        ArgumentTypeError: the method is neither a function nor a name, it did not return numbers, ``plants`` is not a
            mapping of plants, or ``progress`` is neither a function nor a bool.
        ArgumentError: there are no inputs or no plants, there are too many inputs or steps, or the method is unknown.
        DtypeError: the method returned a sparse, nested or quantized tensor, or one whose memory was freed.
        ShapeError: the method did not return one finite number per step.

    >>> print(selfcheck(lambda lstm, x, of: x.sum((1, 2))).verdicts["integrator"])
    finds
    """
    T, count = check_int("T", T), check_int("inputs", inputs)
    run, expected = _named(method)
    chosen = plants
    if plants is None:
        chosen = {name: plant for name, plant in garden().items() if name in expected} or garden("LSTM")
    if not isinstance(chosen, Mapping) or not all(isinstance(plant, Plant) for plant in chosen.values()):
        raise ArgumentTypeError(f"plants must be a mapping from names to plants, got {type(chosen).__name__}")
    if count < 1 or not chosen:
        raise ArgumentError(f"selfcheck needs at least one input and one plant, got {count} and {len(chosen)}")
    check_row_steps(T * count * len(chosen), f"lower T={T:,} or inputs={count:,}")
    if count > MOST_INPUTS:
        raise ArgumentError(f"inputs must be at most {MOST_INPUTS:,}, as each is a call of the method; got {count:,}")
    scores, cost = [], 0
    with reporting(progress) as report:
        for plant in counted(list(chosen.values()), report):
            with _counting_row_steps(plant.lstm) as row_steps:
                score = _score(run, plant, T, count)
            if plant.name in expected:
                score = replace(score, expected=expected[plant.name].verdict, why=expected[plant.name].why)
            scores.append(score)
            cost += sum(row_steps)
    seen = [1 - score.agreement for score in scores if score.verdict != "sees nothing"]
    return SelfCheck(tuple(scores), count, max(seen, default=0.0), cost)


def _named(method: Method | str) -> tuple[Method, Mapping[str, Expectation]]:
    """Return a method's function and, for one of this library's methods, the expected verdicts."""
    if not isinstance(method, str):
        if not callable(method):
            raise ArgumentTypeError(f"a method must be a function or the name of one, got {type(method).__name__}")
        return method, {}
    if method not in EXPECTED:
        raise ArgumentError(f"unknown method {method!r}: expected a function, or one of {', '.join(EXPECTED)}")
    if method == "ledger":
        return _ledger, EXPECTED[method]
    chosen: Any = method

    def run(lstm: Any, x: Tensor, of: str) -> Tensor:
        result: Attribution = attribute(lstm, x, of=of, method=chosen, baseline="zero", occlusion=False, progress=False)
        return result.scores

    return run, EXPECTED[method]


def _ledger(lstm: Any, x: Tensor, of: str) -> Tensor:
    """Return how much of what each step wrote is still in the target unit's memory."""
    place, unit, t, _ = parse_address(of)
    entries = ledger(lstm, x, place=str(Address(f"{place.split('.')[0]}.{lstm.sizes.kind.memory}", unit, t)))
    assert isinstance(entries, Ledger)
    return entries.parts[:, 0]


@contextmanager
def _counting_row_steps(lstm: Any) -> Iterator[list[int]]:
    """Return a context manager that collects the row-steps of each call of an LSTM."""
    counts: list[int] = []

    def count(_: nn.Module, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], Tensor):
            counts.append(args[0].numel() // args[0].shape[-1])

    hook = lstm.register_forward_pre_hook(count)
    try:
        yield counts
    finally:
        hook.remove()


def _score(method: Method, plant: Plant, T: int, inputs: int) -> PlantScore:
    scores, worths = [], []
    place, unit = plant.place
    for seed in range(inputs):
        x = plant.inputs(seed, T=T)
        worths.append(plant.worth(x)[:, 0].double())
        scores.append(_checked(method(plant.lstm, x, f"{place}[{unit}]@{T - 1}"), T))
    got, truth = torch.cat(scores).numpy(), torch.cat(worths).numpy()
    sizes = float(np.linalg.norm(got)), float(np.linalg.norm(truth))
    if not sizes[1]:
        raise ArgumentError(f"no step matters in any of the {inputs} inputs of {plant.name!r}; give more inputs")
    amount = sizes[0] / sizes[1]
    agreement = float(got @ truth) / (sizes[0] * sizes[1]) if amount > NOTHING else 0.0
    return PlantScore(plant.name, agreement, amount, _verdict(agreement, amount), plant.truth)


def _verdict(agreement: float, amount: float) -> Verdict:
    if amount <= NOTHING:
        return "sees nothing"
    return "finds" if agreement >= FINDS else "in part" if agreement >= LEANS else "misled"


def _checked(scores: object, T: int) -> Tensor:
    if isinstance(scores, Tensor):
        check_dense(scores, "the tensor that the method returned")
        check_memory(scores, "the tensor that the method returned")
    try:
        values = torch.as_tensor(scores).detach().double().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentTypeError(f"a method must return numbers, got {type(scores).__name__}") from error
    if values.shape != (T,) or not bool(values.isfinite().all()):
        raise ShapeError(
            f"a method must return one finite number per step, here [{T}], got {list(values.shape)}"
            + (" with infinite or missing numbers" if values.shape == (T,) else "")
        )
    return values
