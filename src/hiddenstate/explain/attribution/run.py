"""`attribute`: how much each word contributes to a target, by any method."""

from collections.abc import Sequence
from typing import Any, Literal, overload

from hiddenstate.errors import ArgumentError
from hiddenstate.explain.attribution.feature_result import FeatureAttribution
from hiddenstate.explain.attribution.features import Features, SeriesRequest, attribute_series
from hiddenstate.explain.attribution.methods import DEFAULT_SAMPLES, METHODS, Method, check_options, check_suits
from hiddenstate.explain.attribution.players import Baseline, Spans, make_players, resolve_baselines
from hiddenstate.explain.attribution.result import Attribution, joined
from hiddenstate.explain.subject.progress_bar import Progress, check_progress, reporting
from hiddenstate.explain.subject.series import SeriesTarget
from hiddenstate.explain.subject.series_sources import explained_series
from hiddenstate.explain.subject.sources import resolve_subject
from hiddenstate.explain.subject.subject import check_row_steps
from hiddenstate.explain.subject.target import BatchRunner, TargetLike, resolve_row, resolve_target
from hiddenstate.models.series.series_model import SeriesModel


@overload
def attribute(model: SeriesModel, x: Any = None, *, of: SeriesTarget = None, **options: Any) -> FeatureAttribution: ...


@overload
def attribute(
    model: Any, x: Any = None, *, of: SeriesTarget = None, features: Features, **options: Any
) -> FeatureAttribution: ...


@overload
def attribute(
    model: Any,
    x: Any = None,
    *,
    of: TargetLike,
    method: Method = "shapley",
    baseline: Baseline | Sequence[Baseline] | None = None,
    spans: Spans | None = None,
    features: None = None,
    state: Literal["baseline", "player"] = "baseline",
    row: int | None = None,
    points: int | None = None,
    samples: int = DEFAULT_SAMPLES,
    seed: int = 0,
    occlusion: bool = True,
    progress: Progress | bool | None = True,
    **options: Any,
) -> Attribution: ...


def attribute(
    model: Any,
    x: Any = None,
    *,
    of: Any = None,
    method: Method = "shapley",
    baseline: Any = None,
    spans: Any = None,
    features: Features | None = None,
    history: Any = None,
    state: Literal["baseline", "player"] = "baseline",
    row: Any = None,
    points: int | None = None,
    samples: int = DEFAULT_SAMPLES,
    seed: int = 0,
    occlusion: bool = True,
    progress: Progress | bool | None = True,
    **options: Any,
) -> Attribution | FeatureAttribution:
    """Compute how much each word contributes to a target; or, for a series, each feature in each window of steps.

    The methods and their sum rules:

    - ``shapley``: a word's mean contribution over all orders in which words are added; absent words are replaced by the
      baseline. Adds up to ``f(x) - f(baseline)``. Exact up to 16 steps or spans if the LSTM is unidirectional, the
      target is not a function and no edits are active, otherwise up to 12. More are exact in the first case if the
      LSTM forgets so quickly that this runs fewer rows than sampling would; otherwise they are sampled.
    - ``integrated_gradients``: the gradient integrated along the line from the baseline (Sundararajan, Taly & Yan
      2017). Adds up to ``f(x) - f(baseline)`` within the error of the quadrature.
    - ``frozen``: parts in the linear map that the run becomes if its gates are held fixed. Together with the parts of
      biases and initial states, adds up to the target. Blind to effects that only open or close a gate. For linear
      targets.
    - ``cd``: contextual decomposition (Murdoch, Liu & Yu 2018), β of each word; does not add up. For linear targets of
      LSTMs.
    - ``occlusion``: what is lost when one word is replaced. An exact measurement, but the parts do not add up.
    - ``gradient``: gradient times difference to the baseline, a first-order estimate.

    Args:
        model: a layer, a module, a model with text, or a `Subject`; see `hiddenstate.explain.subject`.
        x: the model's input.
        of: the target: `logit`, `log_probability`, a place such as ``"l1.c[125]@7"``, or a function of `Outputs`.
        method: one of the methods above.
        baseline: what a replaced step reads: ``"zero"``, ``"mean"``, ``"unk"``, a tensor ``[C]`` or ``[T, C]``, or
            a list of these to compare several. None means the model's default: ``"unk"`` for a tagger, ``"mean"`` for a
            language model, otherwise ``"zero"``.
        spans: pairs ``(start, stop)`` of steps, stop excluded, that are replaced together. Steps outside all spans
            never change. If the method allows it, interactions of spans are also computed.
        features: for a model that reads numbers: the columns of its own input whose parts are computed. True for each
            column, a list of columns, or a dict from names to columns that are replaced together, such as
            ``{"rain": [0], "temperature": [1, 2]}``. For a `SeriesModel`, True by default. See below.
        history: for a series: more of it, from which ``"mean"`` and ``"climatology"`` are computed.
        state: ``"baseline"`` keeps the initial state; ``"player"`` makes it a player, replaced by zeros.
        row: the row to explain, if there are several.
        points: quadrature points of integrated gradients; None doubles them until the integral converges.
        samples: the number of orders to draw, if Shapley values are sampled.
        seed: the seed of the draw.
        occlusion: whether to also compute occlusion, and mark where the method disagrees with it.
        progress: True for a bar on stderr, False for none, or a function of the row-steps done and their total.
        options: the options of `hiddenstate.explain.subject`; for a `SeriesModel`, the options of its ``prepare``, and
            ``hx``; for a module with ``features=`` also ``hx`` and ``time_first``.

    With ``features=``, the model's own input is explained, before any projection, convolution or scaler, and x may have
    any number of rows. There:

    - If a series is longer than the windows of a `SeriesModel`, the last window is explained, and the whole series is
      the default ``history``.
    - ``of`` may also be the number or name of an output, `output`, or a function of what the module returns; it may be
      left out if there is only one output.
    - ``spans`` may also be a number of steps, or pairs of dates, both included.
    - ``baseline`` is ``"mean"`` by default: each column's mean in the series, or in ``history``. It may also be
      ``"previous"``, the value one step before; ``"climatology"``, the mean of the same day and time of other years;
      or, for a `SeriesModel`, a frame.
    - Shapley values are exact up to 16 players if one linear layer reads the target from a unidirectional layer that
      reads the input itself, and for more if that layer forgets quickly; otherwise up to 12. ``frozen`` needs such a
      layer; others take any module.

    Returns:
        The `Attribution`; with ``features=``, a `FeatureAttribution`.

    Raises:
        ArgumentError: the method or baseline is unknown; spans overlap; ``frozen`` is used with a target that is not
            linear, or with active edits; or more than 2^30 row-steps would be run.
        TraceTooLargeError: a run of the input would take more than 8 GiB.
        NameUnknownError, IndexRangeError: there is no such label, word, place, step or row.
        HiddenStateError: any error of `hiddenstate.explain.subject`.
    """
    chosen = check_options(method, points, samples, seed, occlusion=occlusion, pairs=spans is not None)
    check_progress(progress)
    if features is not None or isinstance(model, SeriesModel):
        request = SeriesRequest(method, chosen._replace(pairs=True), features, spans, baseline, state)
        series = explained_series(model, x, **options)
        past = None if history is None else series.read_more(history)
        with reporting(progress) as report:
            return attribute_series(series, of, row, request, past, report)
    if history is not None:
        raise ArgumentError("history= is for series: give features= too")
    row_subject = resolve_subject(of, model, x, **options).only(resolve_row(of, row))
    if spans is None and (occlusion or method in ("occlusion", "shapley")):
        # Each step is replaced in a run of its own, which may share the steps before it with others.
        check_row_steps(
            row_subject.T * (row_subject.T + 1) // 2,
            f"give fewer than T = {row_subject.T:,} steps, or join steps with spans=",
        )
    target = resolve_target(of, row_subject)
    check_suits(method, target, row_subject)
    bases = resolve_baselines(row_subject, baseline)
    every = [make_players(row_subject, base, spans, state) for base in bases.values()]
    with reporting(progress) as report:
        work = BatchRunner(row_subject, target, report)
        values = [METHODS[method](work, players, chosen) for players in every]
    return Attribution(
        words=row_subject.words(),
        players=every[0].every,
        **joined(target.name, work.cost, method, tuple(bases), values),
    )
