"""The result of `probe`, with edits that test whether the model uses what the probe reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hiddenstate.base.indexing import resolve_one
from hiddenstate.edits.edit import Edit, add
from hiddenstate.edits.edit import set as set_to
from hiddenstate.errors import NameUnknownError
from hiddenstate.explain.probe.linear import Accuracy, Eraser
from hiddenstate.explain.probe.states import Model, run_places
from hiddenstate.explain.result.explanation import Explanation, Row
from hiddenstate.explain.result.terminal import sentence, share
from hiddenstate.structure.tables import table

Score = Accuracy

NAMES = {
    "probe": "probe",
    "control": "control task: random labels of words",
    "untrained": "the same model, untrained",
    "word": "the word alone",
    "input": "probe on the input alone",
    "majority": "the most frequent label",
    "erased": "probe after erasing",
}
VOID_NAMES = {"control": "the control task", "word": "a guess from the input's usual label", "erased": "erasing"}
EQUAL = {"untrained": "an untrained copy of the model", "input": "the input alone"}


@dataclass(frozen=True, eq=False, repr=False)
class Probe(Explanation):
    """The accuracy with which a linear probe reads a label from a place, with its controls.

    Attributes:
        place: the place.
        labels: the names of the labels.
        scores: held-out accuracies with 95 % intervals: ``probe``, ``control`` (the same probe for random labels of
            words), ``untrained`` (the same model with new weights), ``word`` (the word's most frequent label) or
            ``input`` (the same probe for the input at that step, if inputs hardly ever recur), ``majority`` (always the
            most frequent label), ``erased`` (a new probe after `eraser`).
        void: the controls that are left out because their result is certain in advance, with the reason.
        repeated: the share of held-out steps whose word or input occurs in the training half.
        steps: the number of steps with a label.
        eraser: removes the label from states.
        directions: ``[K, U]``, the probe's weights for each label; with two labels, only one row, for the second label.
        means: ``[K, U]``, the mean state of each label.
        model: the probed model.
        cost: row-steps that were run.
        residual: always 0, because nothing is decomposed.
    """

    kind = "probe"
    _saved = (
        "place labels scores void repeated selectivity steps erased_directions=eraser.rank directions cost residual"
    )

    place: str
    labels: tuple[str, ...]
    scores: Mapping[str, Score]
    void: Mapping[str, str]
    repeated: float
    steps: int
    eraser: Eraser
    directions: Tensor
    means: Tensor
    model: Model
    cost: int
    residual: float = 0.0

    @property
    def selectivity(self) -> float | None:
        """The accuracy beyond that of the control task: near 0 for a probe that memorises words. None if it is void."""
        control = self.scores.get("control")
        return None if control is None else self.scores["probe"].value - control.value

    def rows(self) -> Sequence[Row]:
        """Return one row per score."""
        return [{"score": name, **score._asdict()} for name, score in self.scores.items()]

    def erase(self, data: Sequence[Any]) -> Edit:
        """Return the edit that removes the label from a run over some sequences, so that no linear probe can find it.

        The place is set to its values without the edit, from which the label is removed. In the block, run the same
        sequences together and in this order, as ``model.trace(data)`` does.

        Args:
            data: sequences, as for `probe`.
        """
        values, _ = run_places(self.model, data, self.place)
        if values.dim() == 3 and hasattr(self.model, "tokens"):  # a language model reads a newline first
            return set_to(self.place, self.eraser(values), t=slice(1, 1 + len(values)))
        return set_to(self.place, self.eraser(values))

    def steer(self, amount: float, to: str | int = -1, *, t: Any = None) -> Edit:
        """Return the edit that moves the place's values from the mean of all states towards that of a label.

        Args:
            amount: 1 moves all the way; negative numbers move away.
            to: the label, or its number.
            t: the steps; all by default.

        Raises:
            NameUnknownError, IndexRangeError: there is no such label.
        """
        if isinstance(to, str) and to not in self.labels:
            raise NameUnknownError(f"no label {to!r}; the labels are {', '.join(self.labels[:20])}")
        k = self.labels.index(to) if isinstance(to, str) else resolve_one(to, len(self.labels), "to")
        way = (self.means[k] - self.eraser.mean) * amount
        return add(self.place, way.to(next(self.model.parameters()).dtype), t=t)

    def __str__(self) -> str:
        rows = [
            [NAMES[name], f"{score.value:.1%}", f"{score.low:.1%} to {score.high:.1%}", share(score.value, 12)]
            for name, score in self.scores.items()
        ]
        rows += [[NAMES[name], "void", "", ""] for name in self.void]
        return f"{sentence(self._summary())}\n\n{table(['', 'accuracy', 'interval', ''], rows, 'lrrl')}"

    def _summary(self) -> str:
        text = f"Accuracy of {len(self.labels)} labels at {self.place}, on held-out sequences, with 95 % intervals. "
        if self.selectivity is not None:
            text += f"Selectivity {self.selectivity:+.1%}. "
        for reason in dict.fromkeys(self.void.values()):
            names = " and ".join(VOID_NAMES[name] for name, why in self.void.items() if why == reason)
            text += f"{names[0].upper()}{names[1:]} would show nothing: {reason}. "
        equal = [EQUAL[k] for k in EQUAL if k in self.scores and self.scores[k].value >= self.scores["probe"].low]
        if equal:
            names, verb = " and ".join(equal), "gives" if len(equal) == 1 else "give"
            text += f"{names[0].upper()}{names[1:]} {verb} about as much, so the model need not have learnt it. "
        return f"{text}A label that can be read is not necessarily used: see what .erase(data) does."

    def _figure(self) -> Any:
        """Draw the accuracies with their intervals."""
        from hiddenstate.base.figures import Picture

        figure = Picture(figsize=(6, 3), layout="constrained")
        axes = figure.add_subplot()
        for k, score in enumerate(self.scores.values()):
            axes.plot([score.low, score.high], [k, k], color="0.5")
            axes.plot([score.value], [k], "o")
        axes.set_yticks(range(len(self.scores)), list(self.scores))
        axes.invert_yaxis()
        axes.set_xlabel("accuracy")
        return figure


def class_means(states: Tensor, classes: Tensor, count: int) -> Tensor:
    """Return the mean state of each class, ``[count, U]``, float64."""
    indicator = torch.nn.functional.one_hot(classes, count).double()
    return (indicator.T @ states.double()) / indicator.sum(0).clamp_min(1)[:, None]
