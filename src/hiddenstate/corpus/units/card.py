"""The card of one unit: contexts, distribution, the label it correlates with, and the effect of zeroing it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from hiddenstate.base.messages import plain
from hiddenstate.corpus.index.folder import IndexFolder
from hiddenstate.corpus.index.sequences import NO_LABEL, Context, scramble
from hiddenstate.corpus.search.result import text_of, words_around
from hiddenstate.corpus.units.evidence import (
    LEAST_STEPS,
    MOST_STEPS,
    NATS,
    SIGNIFICANT,
    UnitEffect,
    effects_of,
    held_out,
    label_chance,
)
from hiddenstate.corpus.units.table import known_number, time_constants
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.result.explanation import Measured, Row
from hiddenstate.explain.result.terminal import bar, sentence, shortened
from hiddenstate.structure.tables import table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HELD_OUT_STEPS = 8192  # minimum, if the corpus has that many
EFFECT_STEPS = 4096
LOGITS = 4  # number shown on each side
ROUNDING = 1e-5  # by how much two paths of a call may differ, in nats or units of distance
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


class UnitContext(NamedTuple):
    """A context of a unit: where it is, its tokens around the step with the extreme value, and the values there."""

    kind: str
    context: Context
    step: int
    value: float
    before: tuple[str, ...]
    token: str
    after: tuple[str, ...]
    separator: str = " "

    def texts(self) -> dict[str, str]:
        """Return the tokens as texts."""
        parts = {"before": self.before, "token": (self.token,), "after": self.after}
        return {name: text_of(tokens, self.separator) for name, tokens in parts.items()}


@dataclass(frozen=True, eq=False, repr=False)
class UnitCard(Measured):
    """The behaviour of one unit over a corpus.

    Attributes:
        unit: such as ``l1.c[125]``.
        contexts: the contexts with the highest and the lowest value, and random ones.
        mean: the mean of the unit over the corpus.
        deviation: the standard deviation.
        quantiles: the quantiles by share.
        histogram: the number of steps in each bin, at a random eighth of the steps.
        edges: the edges of the bins; the outer ones of unbounded values are infinite, which is None in `to_dict` and
            null in JSON.
        low: the share of steps at which it is below 0.1 (for gates), -0.9 (for g, n and h) or -1 (for unbounded
            values).
        high: the share of steps at which it is above 0.9, or 1 for unbounded values.
        time_constant: the time constant of its memory, in steps, infinite if it never forgets; None if f (z for a GRU)
            was not indexed. JSON has no infinite numbers: see ``never_forgets`` in `to_dict`.
        logits: how much one standard deviation of the unit adds to the outputs of the head, before any softmax, that it
            raises or lowers most.
        tokens: tokens with the mean of the unit at their steps, the most unusual means first.
        labels: the number of labels.
        label: the label with the largest absolute correlation on one half of the corpus; empty if none correlates.
        chosen: that correlation; None without a label.
        held_out: the correlation on a sample of the other half; None if the unit or the label is constant there, or
            there are fewer than 66 steps.
        held_out_steps: the steps of that sample.
        p: the probability of a correlation this large by chance: the larger of two values. One is from shifting the
            labels along the sample. The other gives each sequence's part a random sign or, if there are fewer than 32
            sequences and the label varies inside them, shifts the labels inside each. None if that can't be known, as
            for a label that covers whole sequences if there are fewer than eight.
        units: the number of units in the index.
        cost_name: the meaning of the effects.
        effect: the effect of zeroing the unit.
        held: the effect of holding it at its mean, which shows what its variation contributes.
        matched: the effects of zeroing some other units of the same place that are equally large on average.
        margin: the smallest of several differences, each reduced by two standard errors: by how much zeroing the unit,
            and holding it at its mean, costs more at its label than nothing and than elsewhere, and by how much zeroing
            it costs more there than zeroing each matched unit. Standard errors treat sequences as independent or, if
            there are fewer than 32 and the label varies inside them, windows of 64 steps. None if fewer than 8 of these
            have, or lack, the label, or if there is no other unit.
        cost: the row-steps that were run.
    """

    kind: ClassVar[str] = "unit"

    unit: str
    contexts: tuple[UnitContext, ...]
    mean: float
    deviation: float
    quantiles: tuple[tuple[float, float], ...]
    histogram: tuple[int, ...]
    edges: tuple[float, ...]
    low: float
    high: float
    time_constant: float | None
    logits: tuple[tuple[str, float], ...]
    tokens: tuple[tuple[str, float, int], ...]
    labels: int
    label: str
    chosen: float | None
    held_out: float | None
    held_out_steps: int
    p: float | None
    units: int
    cost_name: str
    effect: UnitEffect
    held: UnitEffect
    matched: tuple[UnitEffect, ...]
    margin: float | None
    cost: int

    @property
    def is_confirmed(self) -> bool:
        """Whether p is below 0.01, and so small that by chance less than one unit is expected to reach it."""
        return self.p is not None and self.p < SIGNIFICANT and self.p * self.units < 1

    @property
    def is_used(self) -> bool:
        """Whether the label is confirmed, and zeroing the unit costs the correct output more there; see `margin`."""
        return self.is_confirmed and self.cost_name == NATS and self.margin is not None and self.margin > ROUNDING

    def rows(self) -> Sequence[Row]:
        """Return one row per context."""
        return [
            {
                "kind": context.kind,
                "shard": context.context.shard,
                "sequence": context.context.sequence,
                "step": context.step,
                "value": context.value,
                **context.texts(),
            }
            for context in self.contexts
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON: infinite `edges` are None, and every tuple is a list."""
        names = [name for name in self.__dataclass_fields__ if name != "contexts"]
        data = {name: getattr(self, name) for name in (*names, "is_confirmed", "is_used", "verdict")}
        data |= {"effect": self.effect._asdict(), "held": self.held._asdict()}
        data["matched"] = [effect._asdict() for effect in self.matched]
        data |= {"never_forgets": self.time_constant == math.inf, "contexts": list(self.rows())}
        return {name: plain(value) for name, value in data.items()}

    def __str__(self) -> str:
        lines = [f"{self.unit}: mean {self.mean:+.3f}, standard deviation {self.deviation:.3f}, "]
        time = "" if self.time_constant is None else f", time constant {self.time_constant:.1f} steps"
        if self.time_constant == math.inf:
            time = ", infinite time constant: it never forgets"
        lines[0] += f"low {self.low:.0%}, high {self.high:.0%}{time}"
        lines.append("quantiles " + ", ".join(f"{share:.0%} {value:+.2f}" for share, value in self.quantiles))
        for kind in ("top", "bottom", "random"):
            lines += ["", f"{kind}:"]
            lines += [
                "{value:+7.3f}  {before} [{token}] {after}".format(value=context.value, **context.texts())
                for context in self.contexts
                if context.kind == kind
            ]
        if self.tokens:
            means = [f"{shortened(token)} {mean:+.2f}" for token, mean, _ in self.tokens]
            lines += ["", "mean at tokens: " + ", ".join(means)]
        if self.logits:
            largest = max(abs(value) for _, value in self.logits)
            rows = [[shortened(name), f"{value:+.3f}", bar(value, largest)] for name, value in self.logits]
            lines += ["", table(["output", "of +1 deviation", ""], rows, "lrl")]
        return "\n".join([*lines, "", self._effects_table()])

    @property
    def verdict(self) -> str:
        """What the held-out correlation and the effects show, and the limits of that evidence."""
        if not self.labels:
            return "There are no labels."
        if self.chosen is None:
            return "Labels are chosen on one half of the sequences, and none correlates with the unit there."
        text = f"The label most correlated with it is {self.label}: r = {self.chosen:+.2f} where the label was chosen"
        if self.held_out_steps < LEAST_STEPS:
            return f"{text}. There are too few other sequences to confirm that."
        if self.held_out is None:
            return f"{text}. That can't be confirmed: on other sequences, the unit or the label is constant."
        if self.p is None:
            return (
                f"{text}, {self.held_out:+.2f} on other sequences. There are too few of them to know whether that is "
                "chance, because the steps of a sequence depend on one another."
            )
        expected = self.p * self.units
        count = f"{expected:,.0f}" if expected >= 10 else f"{expected:.2g}"
        by_chance = f"which {count} of the index's {self.units:,} units would reach by chance"
        text += f", {self.held_out:+.2f} on other sequences (p = {self.p:.4f}, {by_chance}). "
        if not self.is_confirmed:
            return f"{text}The label is therefore not confirmed."
        if self.margin is None:
            return f"{text}There are too few sequences, or units, to say what zeroing it costs there."
        edited = "zeroing it, or holding it at its mean,"
        if self.margin <= ROUNDING:
            return (
                f"{text}But there is no evidence that it is used for this: within two standard errors, {edited} costs "
                f"nothing at {self.label}, or no more than elsewhere, or zeroing it costs no more there than zeroing a "
                "matched unit."
            )
        does = "costs" if self.is_used else "changes the outputs"
        text += f"{edited.capitalize()} {does} more at {self.label} than elsewhere, and zeroing it {does} more there "
        if not self.is_used:
            return f"{text}than zeroing any matched unit; whether anything reads them is unknown."
        return f"{text}than zeroing any matched unit, by more than two standard errors each: it is used for that."

    @property
    def _effects(self) -> tuple[UnitEffect, ...]:
        return (self.effect, self.held._replace(unit="held at its mean"), *self.matched)

    def _effects_table(self) -> str:
        rows = [[effect.unit, f"{effect.there:+.4f}", f"{effect.elsewhere:+.4f}"] for effect in self._effects]
        if not self.label:
            return f"{self.verdict}\n{self.cost_name}, if zeroed:\n" + table(["", "", "everywhere"], rows, "l")
        head = [f"{self.cost_name}, if zeroed", f"at {self.label}", "elsewhere"]
        return f"{sentence(self.verdict)}\n\n{table(head, rows, 'l')}"

    def _figure(self) -> "Figure":
        """Draw the distribution, and the effects."""
        from hiddenstate.base.figures import Picture

        figure = Picture(figsize=(8, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        edges = np.clip(np.array(self.edges), self.quantiles[0][1] - 1, self.quantiles[-1][1] + 1)
        left.stairs(np.array(self.histogram), edges, fill=True)
        left.set_xlabel(self.unit)
        left.set_ylabel("steps")
        names, there, elsewhere = zip(*self._effects, strict=True)
        right.bar([k - 0.2 for k in range(len(names))], there, 0.4, label=self.label or "all")
        right.bar([k + 0.2 for k in range(len(names))], elsewhere, 0.4, label="elsewhere")
        right.set_xticks(range(len(names)), names, rotation=60)
        right.set_ylabel(self.cost_name)
        right.legend(fontsize=8)
        return figure


def unit_card(index: IndexFolder, address: str) -> UnitCard:
    """Return the card of a unit; arguments and errors are those of `Index.unit`."""
    name, unit = index.resolve_unit(address)
    index.place(name)
    if index.columns is not None:
        raise ArgumentError(f"a series has no card of a unit: see Index.follows(unit={address!r})")
    known, edges = index.statistics[name], index.edges(name)
    correlations = known.correlations(0)
    best = int(known.best_labels(0)[unit]) if len(known.labels) else -1
    chosen = float(correlations[best, unit]) if best >= 0 else np.nan
    label = NO_LABEL if np.isnan(chosen) else known.labels[best]
    low, high = known.saturation(edges)
    time = float(time_constants(index, name)[unit])
    units = sum(statistics.units for statistics in index.statistics.values())
    chances = 4 * units  # so that p can be below 1 / units
    sample, steps = held_out(index, max(HELD_OUT_STEPS, chances))
    held, p = label_chance(index, sample, name, unit, label, chances)
    fewer, effect_steps = held_out(index, EFFECT_STEPS, MOST_STEPS)
    cost_name, effects, margin = effects_of(index, fewer, name, unit, label)
    return UnitCard(
        unit=f"{name}[{unit}]",
        contexts=tuple(_contexts(index, name, unit)),
        mean=float(known.mean[unit]),
        deviation=float(known.deviation[unit]),
        quantiles=tuple(zip(QUANTILES, known.quantiles(QUANTILES, edges)[unit].tolist(), strict=True)),
        histogram=tuple(known.histogram[unit].tolist()),
        edges=tuple(edges.tolist()),
        low=float(low[unit]),
        high=float(high[unit]),
        time_constant=known_number(time),
        logits=_logits(index, name, unit),
        tokens=_tokens(index, name, unit),
        labels=len(known.labels),
        label=label,
        chosen=known_number(chosen),
        held_out=held,
        held_out_steps=steps,
        p=p,
        units=units,
        cost_name=cost_name,
        effect=effects[0],
        held=effects[1],
        matched=tuple(effects[2:]),
        margin=margin,
        cost=steps + effect_steps * (len(effects) + 1),
    )


def _contexts(index: IndexFolder, name: str, unit: int) -> list[UnitContext]:
    known = index.statistics[name]
    contexts = []
    for kind, keys in (("top", known.top_key[unit]), ("bottom", known.bottom_key[unit]), ("random", index.random)):
        for key in keys[keys >= 0].tolist():
            context = index.context(key)
            values = index.values(context, [name])[name][:, unit]
            # A random context shows a random step instead of an extreme one.
            drawn = int(scramble(np.array([key + 1]))[0] % np.uint64(len(values)))
            at = {"top": int(values.argmax()), "bottom": int(values.argmin()), "random": drawn}[kind]
            text, step = index.text(context.shard), context.start + at
            before, (token,), after = words_around(text, context._replace(start=step, stop=step + 1))
            contexts.append(UnitContext(kind, context, step, float(values[at]), before, token, after, text.separator))
    return contexts


def _tokens(index: IndexFolder, name: str, unit: int) -> tuple[tuple[str, float, int], ...]:
    """Return the tokens at which a unit's mean is most unusual, with the mean and how often they were counted."""
    known = index.statistics[name]
    if not len(known.token_count):
        return ()
    counts = known.token_count
    means = known.token_means(unit)
    score = np.where(counts >= 8, np.abs(means - known.mean[unit]) * np.sqrt(counts), -1)
    order = np.argsort(-score, kind="stable")[: 2 * LOGITS]
    return tuple((index.reader.common[k], float(means[k]), int(counts[k])) for k in order.tolist() if score[k] > 0)


def _logits(index: IndexFolder, name: str, unit: int) -> tuple[tuple[str, float], ...]:
    """Return how much one standard deviation of a unit of the last hidden state adds to the most affected logits."""
    place, head, sizes = index.place(name), index.reader.head, index.reader.lstm.sizes
    if head is None or place.quantity != "h" or place.layer != sizes.num_layers - 1:
        return ()
    weights = head.weight[:, unit + place.reverse * sizes.output_size].double().numpy()
    added = weights * index.statistics[name].deviation[unit]
    order = np.argsort(-added, kind="stable").tolist()
    chosen = order if len(order) <= 2 * LOGITS else [*order[:LOGITS], *order[-LOGITS:]]
    return tuple((head.labels[k], float(added[k])) for k in chosen)
