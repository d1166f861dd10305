"""``hiddenstate explain``: explains what the values of a run mean, with one command per tool."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hiddenstate.cli.conventions import Command
from hiddenstate.cli.explain_command import (
    TAGGER,
    AgainstOption,
    AheadOption,
    AtOption,
    LabelOption,
    LastOption,
    OfOption,
    Read,
    RowOption,
    TargetOption,
    WordOption,
    explaining,
    read_by,
)
from hiddenstate.cli.series import DEFAULT, MOST_EXACT, USUAL_STEPS, SeriesRead
from hiddenstate.errors import ArgumentError

if TYPE_CHECKING:
    from hiddenstate.explain.comparison.run import Comparison
    from hiddenstate.explain.graph.run import Graph
    from hiddenstate.explain.result.explanation import Explanation
    from hiddenstate.explain.subject.subject import Subject
    from hiddenstate.explain.subject.target import TargetLike
    from hiddenstate.explain.sweep.result import Sweep

DEFAULT_SAMPLES = 200  # of `hiddenstate.explain.attribute`
_SPAN = re.compile(r"(\d+)(?:-(\d+))?")
Method = Literal["shapley", "integrated_gradients", "frozen", "cd", "occlusion", "gradient"]
By = Literal["auto", "step", "word"]
DynamicsView = Literal["timescales", "saturation", "fixed-points", "spectrum"]
SweepDirection = Literal["noising", "denoising"]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def explain() -> None:
    """Explain a model: what decided a result or a forecast, and which steps wrote what it remembers."""


def attribute(
    read: Read | SeriesRead,
    word: WordOption = None,
    label: LabelOption = None,
    against: AgainstOption = None,
    of: OfOption = None,
    at: AtOption = None,
    method: Annotated[
        Method | None,
        typer.Option(
            help="Attribution method; integrated_gradients for more than 12 inputs of a series.", show_default="shapley"
        ),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="What replaces a word: zero, mean or unk; an input of a series: mean (of the file), climatology, "
            "previous or zero. Repeat the option to compare several. Default: the model's own baseline.",
            metavar="NAME",
        ),
    ] = None,
    spans: Annotated[
        str | None,
        typer.Option(
            help="Spans of words that are replaced together, such as 0-1,2: each span by itself, and in pairs. For a "
            "series, a number of steps, such as 7."
        ),
    ] = None,
    by: Annotated[
        By,
        typer.Option(
            help="For character models: replace single characters (step) or whole words; auto: words in long texts."
        ),
    ] = "auto",
    state: Annotated[
        bool, typer.Option("--state", help="Also treat the initial state as a player, which can be replaced.")
    ] = False,
    samples: Annotated[
        int, typer.Option(help="Number of orders to draw when Shapley values are sampled.")
    ] = DEFAULT_SAMPLES,
    ahead: AheadOption = None,
    last: LastOption = None,
    row: RowOption = None,
) -> "Explanation":
    """Show which words decided the result or, for a series model, which feature, at which lag, made a forecast.

    For a tagger: why it chose this tag and not the next best. For a language model: why this token comes next. Each
    method is shown beside occlusion, the loss when one word is replaced, and disagreements are marked.

    Examples: hiddenstate explain attribute "The old man the boats." --word man

    hiddenstate explain attribute seattle-weather.csv --model seattle-weather --at 2015-07-05 --spans 5
    """
    from hiddenstate.explain.attribution import run as attributions

    if isinstance(read, SeriesRead):
        if (word, label, against, by, state) != (None, None, None, "auto", False):
            raise ArgumentError(
                "--word, --label, --against, --by and --state are for texts; a series has --of and --at"
            )
        case = read.case(of, at, ahead, last)
        windows: Any = int(spans) if spans is not None and spans.isdecimal() else spans and _read_spans(spans)
        count = len(windows) if isinstance(windows, list) else -(-len(case.part.x) // (windows or 1))
        usual: Method = "shapley" if count * len(read.model.features) <= MOST_EXACT else "integrated_gradients"
        return attributions.attribute(
            read.model,
            case.part,
            of=case.target,
            hx=case.state,
            history=read.series,
            method=method or usual,
            baseline=baseline or None,
            spans=windows,
            samples=samples,
            row=read.number(row),
            progress=False,
        )
    method = method or "shapley"
    if of is not None and (word, label, against) != (None, None, None):
        raise ArgumentError("--of names the whole target; drop --word, --label and --against")
    linear = method in ("frozen", "cd")
    target: Any = of or read.target(word, label, against, linear=linear)
    if spans is not None:
        chosen: list[tuple[int, int]] | None = _read_spans(spans)
    else:
        chosen = _words(read.subject) if _in_words(read, by) else None
    return attributions.attribute(
        read.subject,
        of=target,
        method=method,
        baseline=baseline or None,
        spans=chosen,
        state="player" if state else "baseline",
        samples=samples,
    )


def _read_spans(text: str) -> list[tuple[int, int]]:
    spans = []
    for part in text.split(","):
        match = _SPAN.fullmatch(part.strip())
        if match is None:
            raise ArgumentError(f"--spans takes word numbers and ranges, such as 0-1,2; got {text!r}")
        first = int(match[1])
        spans.append((first, int(match[2] or first) + 1))
    return spans


def _in_words(read: Read, by: By) -> bool:
    from hiddenstate.explain.attribution.shapley import EXACT_STEPS
    from hiddenstate.models.language.language_model import LanguageModel

    if not isinstance(read.model, LanguageModel) or read.model.config.level != "char":
        return False
    return by == "word" or (by == "auto" and read.subject.T > EXACT_STEPS)


def _words(read: "Subject") -> list[tuple[int, int]]:
    """Group characters into words, each with the white space before it."""
    characters = read.words()
    ends = [t for t in range(1, read.T) if characters[t].isspace() and not characters[t - 1].isspace()]
    starts = [0, *ends]
    return list(zip(starts, [*starts[1:], len(characters)], strict=True))


def compare(
    read: Read,
    other: Annotated[
        str | None, typer.Option(help="A second text with the same number of words.", metavar="TEXT")
    ] = None,
    with_model: Annotated[str | None, typer.Option("--with", help="Another model.", metavar="DIR|NAME")] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Smallest difference at which two outputs count as different.")
    ] = 1e-5,
) -> "Comparison":
    """Show where two models, or one model on two texts, diverge.

    Patching each layer shows which one carries the difference.

    Example: hiddenstate explain compare "I can fish" --other "I eat fish"
    """
    from hiddenstate.explain.comparison import run as comparisons
    from hiddenstate.explain.subject.sources import subject

    if other is None and with_model is None:
        raise ArgumentError("nothing to compare with; give --other TEXT, --with MODEL, or both")
    text = read.text if other is None else other
    two = subject(read.model, text) if with_model is None else read_by(with_model, text).subject
    return comparisons.compare(read.subject, two, None, tolerance=tolerance).checked()


def dynamics(
    read: Read,
    view: Annotated[
        DynamicsView,
        typer.Option(
            help="How long units remember; how often gates are closed or open; states that a step without input leaves "
            "unchanged; how much small changes grow at each word."
        ),
    ] = "timescales",
    starts: Annotated[
        int, typer.Option(min=1, help="Number of states from which the search for fixed points starts.")
    ] = 16,
) -> "Explanation":
    """Show the dynamics of a model's LSTM while it reads a text.

    Fixed points and spectra need an LSTM that reads only forward, such as a language model's; without --model they
    are shown for shakespeare.

    Example: hiddenstate explain dynamics "To be, or not to be" --model shakespeare
    """
    from hiddenstate.explain.dynamics import run as dynamics_of

    analysed = dynamics_of.dynamics(read.subject)
    views: dict[DynamicsView, Callable[[], Explanation]] = {
        "timescales": analysed.timescales,
        "saturation": analysed.saturation,
        "fixed-points": partial(analysed.fixed_points, starts=starts),
        "spectrum": analysed.spectrum,
    }
    return views[view]()


def default_model(options: Mapping[str, Any]) -> str:
    """Return the shipped model that is used without ``--model``, which supports this view."""
    return "shakespeare" if options["view"] in ("fixed-points", "spectrum") else TAGGER


def graph(
    read: Read,
    word: WordOption = None,
    label: LabelOption = None,
    against: AgainstOption = None,
    of: OfOption = None,
    units: Annotated[int, typer.Option(min=1, help="Number of cell states to keep in the graph.")] = 30,
    check: Annotated[
        bool, typer.Option(help="Also remove each edge with an edit, and show what the target actually loses.")
    ] = True,
) -> "Graph":
    """Trace a logit back through units and steps to the words.

    Gates are held fixed; --check, on by default, removes each edge by an edit, to show the effect with free gates.

    Example: hiddenstate explain graph "The old man the boats ." --word man --plot graph.png
    """
    from hiddenstate.explain.graph import run as graphs

    target: TargetLike = of or read.target(word, label, against, linear=True)
    result = graphs.graph(read.subject, of=target, units=units)
    return result.checked() if check else result


def ledger(
    read: Read,
    place: Annotated[
        str | None,
        typer.Option(
            help="Cell state to decompose, such as l1.c[125] or l1.c[125]@7; without a unit, all units.",
            metavar="PLACE",
        ),
    ] = None,
    word: WordOption = None,
    label: LabelOption = None,
    against: AgainstOption = None,
) -> "Explanation":
    """Show which steps wrote what a unit remembers, and which erased it.

    The parts add up exactly. Without --place, it decomposes what the last layer remembers for a tag, or for the next
    character.

    Example: hiddenstate explain ledger "The old man the boats." --place "l1.c[125]" --word the
    """
    from hiddenstate.explain.ledger import run as ledgers

    if place is not None and (label, against) != (None, None):
        raise ArgumentError("--label and --against choose a logit, --place chooses a state; give only one of the two")
    if place is None:
        return ledgers.ledger(read.subject, place=read.target(word, label, against, linear=True))
    if word is not None:
        if "@" in place:
            raise ArgumentError(f"{place!r} already names a step, and so does --word {word}; drop one")
        place = f"{place}@{read.find_step(word)}"
    return ledgers.ledger(read.subject, place=place)


def sweep(
    read: Read,
    other: Annotated[
        str,
        typer.Option(help="A second text with the same number of words, whose values are patched in.", metavar="TEXT"),
    ],
    word: WordOption = None,
    label: LabelOption = None,
    of: OfOption = None,
    places: Annotated[
        str | None, typer.Option(help="Patterns of the gates and states to patch; all states by default.")
    ] = None,
    direction: Annotated[
        SweepDirection, typer.Option(help="Patch values of the other text into this one (noising), or the reverse.")
    ] = "noising",
    top: Annotated[
        int, typer.Option(min=0, help="Estimate all patches by gradient, and run only this many; 0: run them all.")
    ] = 0,
) -> "Sweep":
    """Show which single state carries the difference between two texts.

    Each state of one text is patched into the other, one at a time, to see how a logit changes. For a tagger, --word
    defaults to the first word whose tag differs between the texts; without --label, the target is the logit of this
    text's prediction minus the logit of the other's.

    Example: hiddenstate explain sweep "I can fish" --other "I eat fish" --word 1
    """
    from hiddenstate.explain.subject.sources import subject
    from hiddenstate.explain.sweep import run as sweeps

    clean, corrupt = read.subject, subject(read.model, other)
    target: TargetLike
    if of is not None:
        target = of
    elif label is None and clean.T == corrupt.T:
        target = _told_apart(clean, corrupt, None if word is None else read.find_step(word))
    else:
        target = read.target(word, label, linear=True)
    return sweeps.sweep(
        read.model,
        clean,
        corrupt,
        of=target,
        places=places,
        direction=direction,
        mode="gradient+exact" if top else "exact",
        top=top,
    )


FeatureOption = Annotated[str, typer.Option(help="The column that moves.")]


def importance(
    read: SeriesRead,
    of: TargetOption = None,
    ahead: AheadOption = None,
    method: Annotated[Method, typer.Option(help="Attribution method.")] = "integrated_gradients",
    window: Annotated[
        int | None, typer.Option(min=1, help="Steps of each row, for a model without a window.", show_default="30")
    ] = None,
    stride: Annotated[int, typer.Option(min=1, help="Steps from one row to the next.")] = 1,
    baseline: Annotated[
        str, typer.Option(help="What replaces an input: mean, climatology, previous or zero.")
    ] = "mean",
    folder: Annotated[
        Path | None, typer.Option(help="Keep finished rows there, and resume there.", metavar="DIR")
    ] = None,
) -> "Explanation":
    """Show how much each feature matters at each lag over a file of numbers.

    Example: hiddenstate explain importance seattle-weather.csv --stride 10
    """
    from hiddenstate.explain.importance import run as importances

    case = read.case(of, None, ahead, None)
    steps = read.model.window or window or USUAL_STEPS
    if len(read.series.x) < steps:
        raise ArgumentError(
            f"the file has {len(read.series.x)} steps, but a row has {steps}: choose a smaller --window"
        )
    return importances.importance(
        read.model,
        read.series,
        of=case.target,
        method=method,
        window=steps,
        stride=stride,
        baseline=baseline,
        folder=folder,
    )


def response(
    read: SeriesRead,
    feature: FeatureOption,
    of: TargetOption = None,
    at: AtOption = None,
    lag: Annotated[int | None, typer.Option(help="Steps before the forecast; default: the last that is read.")] = None,
    ahead: AheadOption = None,
    last: LastOption = None,
) -> "Explanation":
    """Show how a forecast follows one feature at one lag over a range, and which gate flattens it.

    Example: hiddenstate explain response seattle-weather.csv --feature wind --at 2015-07-05
    """
    import torch

    from hiddenstate.explain.response import run as responses

    case, column = read.case(of, at, ahead, last), read.column(feature)
    values = read.model.scale.in_units(read.series.x.double().cpu())[..., column]
    return responses.response(
        read.model,
        case.part,
        of=case.target,
        hx=case.state,
        feature=feature,
        lag=lag,
        values=torch.linspace(float(values.min()), float(values.max()), 21),
    )


def limits(
    read: SeriesRead, of: TargetOption = None, at: AtOption = None, ahead: AheadOption = None, last: LastOption = None
) -> "Explanation":
    """Show what a forecast can never exceed, whatever the input.

    Example: hiddenstate explain limits seattle-weather.csv
    """
    from hiddenstate.explain.response import bounds

    case = read.case(of, at, ahead, last)
    return bounds.limits(read.model, case.part, of=case.target, hx=case.state)


def _told_apart(clean: "Subject", corrupt: "Subject", t: int | None) -> "TargetLike":
    """Return one text's prediction minus the other's, at a step; by default the first step at which they differ."""
    import torch

    from hiddenstate.explain.subject.target import logit

    with torch.no_grad():
        best, others = (read.run().logits[:, 0].argmax(-1).tolist() for read in (clean, corrupt))
    differ = [k for k, (mine, its) in enumerate(zip(best, others, strict=True)) if mine != its]
    step = t if t is not None else differ[0] if differ else clean.T - 1
    return logit(best[step], word=step, against=None if best[step] == others[step] else others[step])


for command in (compare, graph, ledger, sweep):
    app.command(cls=Command)(explaining(command))
app.command(cls=Command)(explaining(attribute, reads="both"))
for of_series in (importance, response, limits):
    app.command(cls=Command)(explaining(of_series, lambda _: DEFAULT, reads="series"))
app.command(cls=Command)(explaining(dynamics, default_model))
