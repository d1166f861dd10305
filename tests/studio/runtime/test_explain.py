"""Explanations in the page have the same numbers as in Python."""

import itertools
import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import hiddenstate as hs
from hiddenstate import explain
from hiddenstate.explain.ledger.cell import Ledger
from hiddenstate.explain.ledger.run import ReadoutLedger
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import resolve_target
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.tagger.context_vectors import ContextualVectors
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.structure.names import LayerDirection, layer_directions
from language_models import make as make_language_model
from studio.bundles import bundle_of
from studio.runtime.driver import Runtime, unpacked
from studio.runtime.test_plain import LSTMS, OTHERS
from studio.runtime.test_plain import make as make_layer
from studio.runtime.test_tagger import make as make_tagger

ATOL = 1e-4
SENTENCE = ["The", "old", "man", "the", "boats", "."]
SPANS = [(0, 2), (3, 4), (4, 6)]

_SCRIPT = """
async (given) => {
  const names = ["ledger", "target", "players", "occlusion", "shapley", "sweep"];
  const imported = await Promise.all(names.map((name) => import(`studio/runtime/explain/${name}.js`)));
  const [ledgers, targets, players, occlusions, values, sweep] = imported;
  const { subject, other } = window;
  const drained = (work) => {
    let cost = 0;
    for (;;) {
      const next = work.next();
      if (next.done) return { ...next.value, cost };
      cost += next.value;
    }
  };
  const target = (() => {
    const { unit, label, kind, t } = given.target;
    if (kind === "state") return targets.stateTarget(subject, unit, t);
    const reader = subject.readers[given.target.reader ?? 0];
    return targets[`${kind}Target`](reader, label, t);
  })();
  const plain = (value) => JSON.parse(JSON.stringify(value, (_, each) =>
    ArrayBuffer.isView(each) ? Array.from(each, (x) => (Number.isNaN(x) ? "nan" : x)) : each));
  const all = (spans) => players.createPlayers(subject, spans.map(([start, stop]) => ({ start, stop })));
  const doings = {
    value: () => target.of(targets.outputAt(subject, target.t)),
    ledger: () => {
      const one = ledgers.memoryLedger(subject, given.k, given.unit, given.t, target?.readout ?? null);
      return { ...one, erased: one.steps.map((_, s) => ledgers.erasedMostAt(one, s)) };
    },
    readout: () => ledgers.targetLedger(subject, target.t, target.readout),
    telling: () => ledgers.mostTelling(subject, target.t, target.readout),
    occlusion: () => {
      const every = all(given.spans);
      return { ...drained(occlusions.occlusion(every, target)), expected: occlusions.occlusionCost(every, target) };
    },
    shapley: () => {
      const every = all(given.spans);
      return { ...drained(values.shapley(every, target)), expected: values.shapleyCost(every, target) };
    },
    places: () => sweep.allPlaces(subject),
    sweep: () => {
      const work = sweep.sweep(subject, other, target, sweep.allPlaces(subject));
      let next = work.next();
      while (!next.done) next = work.next();
      return next.value;
    },
  };
  return plain(doings[given.what]());
}
"""


class Explained:
    """One run in the page and in Python."""

    def __init__(self, runtime: Runtime, model: Any, x: Any, other: Any = None, given: dict[str, Tensor] | None = None):
        self.runtime = runtime
        runtime.load(bundle_of(model, given))
        self._keep("subject", x)
        if other is not None:
            self._keep("other", other)
        states = [value[:, None] for name, value in (given or {}).items() if name != "input"]
        hx = None if not states else tuple(states) if len(states) > 1 else states[0]
        self.subject = subject_of(model, x, hx)
        self.other = None if other is None else subject_of(model, other, hx)

    def _keep(self, name: str, x: Any) -> None:
        rows = f"{x.tolist()}.map((row) => Float32Array.from(row))" if isinstance(x, Tensor) else ""
        run = f"model.runNumbers({rows})" if rows else f"model.run({json.dumps(list(x))})"
        self.runtime.ask(f"(window.{name} = model.subject({run}), true)")

    def ask(self, what: str, target: dict[str, Any], **given: Any) -> Any:
        return unpacked(self.runtime.page.run(_SCRIPT, {"what": what, "target": target, **given}))


def subject_of(model: Any, x: Any, hx: Any = None) -> Subject:
    if isinstance(model, LanguageModel):
        return explain.subject(model, "".join(x))
    if isinstance(model, Tagger):
        return explain.subject(model, list(x))
    return explain.subject(model, x[:, None], **({} if hx is None else {"hx": hx}))


def asked(subject: Subject, t: int, label: int, kind: str = "logit") -> tuple[dict[str, Any], Any]:
    """The same target for the page and for Python."""
    if subject.head is None:
        last, P = subject.sizes.num_layers - 1, subject.sizes.output_size
        place = f"{LayerDirection(last, label >= P).name}.h[{label % P}]@{t}"
        return {"kind": "state", "unit": label, "t": t}, place
    make = explain.logit if kind == "logit" else explain.log_probability
    return {"kind": kind, "label": label, "t": t}, make(label, word=t)


def numbers(values: Sequence[Any]) -> Tensor:
    return torch.tensor([float(value) for value in values], dtype=torch.float64)


def near(found: Any, wanted: Any, atol: float = ATOL) -> None:
    found = found if isinstance(found, Tensor) else torch.as_tensor(found, dtype=torch.float64)
    torch.testing.assert_close(found.double(), torch.as_tensor(wanted).double(), rtol=1e-5, atol=atol)


def cases(runtime: Runtime, name: str) -> Explained:
    torch.manual_seed(3)
    if name == "tagger":
        return Explained(runtime, make_tagger(), SENTENCE, ["A", "cat", "man", "the", "sat", "."])
    if name == "temperatures":
        return Explained(runtime, make_tagger(columns=("upos", "xpos")), SENTENCE, [*SENTENCE[:5], "?"])
    if name == "language model":
        return Explained(runtime, make_language_model(), "the cat", "so cats")
    if name == "tied":
        return Explained(runtime, make_language_model(tied=True), "the cat", "the dog")
    if name == "state given":
        lstm, size = make_layer(**LSTMS["both ways"]), 2 * LSTMS["both ways"]["num_layers"]
        H = lstm.hidden_size
        given = {"input": torch.randn(5, lstm.input_size), "h0": torch.randn(size, H), "c0": torch.randn(size, H)}
        return Explained(runtime, lstm, given["input"], torch.randn(5, lstm.input_size), given)
    if name == "GRU state given":
        gru = make_layer(**OTHERS["gru"])
        given = {"input": torch.randn(5, gru.input_size), "h0": torch.randn(4, gru.hidden_size)}
        return Explained(runtime, gru, given["input"], torch.randn(5, gru.input_size), given)
    lstm = make_layer(**(LSTMS | OTHERS)[name])
    return Explained(runtime, lstm, torch.randn(5, lstm.input_size), torch.randn(5, lstm.input_size))


NAMES = [
    "tagger",
    "temperatures",
    "language model",
    "tied",
    "plain",
    "both ways",
    "projected",
    "without bias",
    "state given",
    "gru without bias",
    "GRU state given",
]
WITHOUT_LEDGER = ["rnn", "relu"]


@pytest.mark.parametrize("name", NAMES)
def test_ledgers(runtime: Runtime, name: str) -> None:
    case = cases(runtime, name)
    sizes, T = case.subject.sizes, case.subject.T
    for k, (layer, reverse) in enumerate(layer_directions(sizes.num_layers, sizes.bidirectional)):
        for t in (0, T // 2, T - 1):
            unit, label = (3 * k + t) % sizes.hidden_size, t % 3
            target, _ = asked(case.subject, t, label)
            found = case.ask("ledger", target, k=k, unit=unit, t=t)
            wanted = explain.ledger(
                case.subject, place=f"{LayerDirection(layer, reverse).name}.{sizes.kind.memory}[{unit}]@{t}"
            )
            assert isinstance(wanted, Ledger)
            assert found["steps"] == list(wanted.steps)
            for part in ("written", "kept", "parts", "forget"):
                near(numbers(found[part]), getattr(wanted, part)[:, 0])
            near([found["initial"], found["value"]], [float(wanted.initial[0]), float(wanted.value[0])])
            assert abs(found["residual"]) < 1e-5
            steps = [None if s < 0 else found["steps"][s] for s in found["erased"]]
            assert steps == list(wanted.erased_at())
            if wanted.effect is None:
                assert case.subject.head is None or found["effect"] is None  # JSON's form of NaN
            else:
                near(found["effect"], float(wanted.effect[0, label]))


@pytest.mark.parametrize("name", NAMES)
def test_ledgers_of_targets(runtime: Runtime, name: str) -> None:
    case = cases(runtime, name)
    for t in range(case.subject.T):
        target, of = asked(case.subject, t, t % 3)
        found, wanted = case.ask("readout", target), explain.ledger(case.subject, place=of)
        if isinstance(wanted, Ledger):  # a GRU's hidden state is its memory
            by_step = torch.zeros(case.subject.T, dtype=torch.float64)
            by_step[list(wanted.steps)] = wanted.parts[:, 0].double()
            near(numbers(found["parts"]), by_step)
            near([found["initial"], found["value"]], [float(wanted.initial[0]), float(wanted.value[0])])
            continue
        assert isinstance(wanted, ReadoutLedger)
        near(numbers(found["parts"]), wanted.by_step.sum(0))
        near(
            [found["initial"], found["bias"], found["value"]], [float(wanted.initial.sum()), wanted.bias, wanted.value]
        )
        assert abs(found["residual"]) < 1e-4
        near(found["parts"][t] + found["residual"], float(wanted.by_step.sum(0)[t]) + wanted.residual)
        near(case.ask("value", target), wanted.value)
        telling = case.ask("telling", target)
        assert telling["unit"] < case.subject.sizes.hidden_size


def test_the_most_telling_memory(runtime: Runtime, tagger: Tagger) -> None:
    case = Explained(runtime, tagger, SENTENCE)
    for t in range(len(SENTENCE)):
        for label in (0, 7, 15):
            found = case.ask("telling", asked(case.subject, t, label)[0])
            sizes = []
            for place in ("l1.c", "l1r.c"):
                ledger = explain.ledger(case.subject, place=f"{place}@{t}")
                assert isinstance(ledger, Ledger)
                assert ledger.effect is not None
                sizes.append((ledger.effect[:, label] * (ledger.value - ledger.written[-1])).abs())  # f·c_prev
            most = torch.stack(sizes)
            assert most[found["k"] - 2, found["unit"]] >= most.max() - ATOL


def test_the_most_telling_memory_where_no_other_step_is_in_memory(runtime: Runtime, tagger: Tagger) -> None:
    case = Explained(runtime, tagger, SENTENCE[:1])
    found = case.ask("telling", asked(case.subject, 0, 7)[0])
    sizes = []
    for place in ("l1.c", "l1r.c"):
        ledger = explain.ledger(case.subject, place=f"{place}@0")
        assert isinstance(ledger, Ledger)
        assert ledger.effect is not None
        sizes.append((ledger.effect[:, 7] * ledger.value).abs())
    most = torch.stack(sizes)
    assert most[found["k"] - 2, found["unit"]] >= most.max() - ATOL


def attributed(case: Explained, method: Any, of: Any, spans: list[tuple[int, int]] | None) -> Any:
    return explain.attribute(case.subject, of=of, method=method, spans=spans, occlusion=method == "occlusion")


def check_attribution(case: Explained, t: int, label: int, kind: str, spans: list[tuple[int, int]] | None) -> float:
    """Return by how much the page's parts differ at most."""
    target, of = asked(case.subject, t, label, kind)
    every = spans or [(s, s + 1) for s in range(case.subject.T)]
    most = 0.0
    for method in ("occlusion", "shapley"):
        found, wanted = case.ask(method, target, spans=every), attributed(case, method, of, spans)
        near(numbers(found["parts"]), wanted.scores)
        near([found["whole"], found["none"]], [wanted.value, float(wanted.references[0])])
        assert found["cost"] <= found["expected"] * 1.001
        most = max(most, float((numbers(found["parts"]) - wanted.scores).abs().max()))
        if method == "shapley":
            assert wanted.exact
            assert abs(found["residual"]) < 1e-9
            near(sum(found["parts"]), found["whole"] - found["none"], 1e-9)
    return most


@pytest.mark.parametrize("spans", [None, SPANS], ids=["steps", "spans"])
@pytest.mark.parametrize("name", NAMES[:9])
def test_attributions(runtime: Runtime, name: str, spans: list[tuple[int, int]] | None) -> None:
    case = cases(runtime, name)
    if spans is not None:
        spans = [(start, min(stop, case.subject.T)) for start, stop in spans]
    for t in (0, case.subject.T // 2, case.subject.T - 1):
        check_attribution(case, t, t % 3, "logit", spans)
        if case.subject.head is not None:
            check_attribution(case, t, t % 3, "probability", spans)


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES[9:] + WITHOUT_LEDGER)
def test_attributions_of_other_cells(runtime: Runtime, name: str) -> None:
    """By definition: the target for all ways to replace steps with zeros."""
    case = cases(runtime, name)
    T, subject = case.subject.T, case.subject
    for t, label in ((0, 1), (2, 0), (T - 1, 2)):
        values = {}
        for present in itertools.product((0.0, 1.0), repeat=T):
            out, _ = subject.lstm(subject.x * torch.tensor(present)[:, None, None], subject.initial)
            values[present] = float(out[t, 0, label])
        whole = (1.0,) * T
        without = [values[(*whole[:s], 0.0, *whole[s + 1 :])] for s in range(T)]
        shares = [0.0] * T
        for present, value in values.items():
            n = int(sum(present))
            for s in range(T):
                size = n - 1 if present[s] else n  # how many others are present
                weight = math.factorial(size) * math.factorial(T - size - 1) / math.factorial(T)
                shares[s] += weight * (value if present[s] else -value)
        target, _ = asked(subject, t, label)
        spans = [(s, s + 1) for s in range(T)]
        near(numbers(case.ask("occlusion", target, spans=spans)["parts"]), [values[whole] - one for one in without])
        near(numbers(case.ask("shapley", target, spans=spans)["parts"]), shares)


def test_attributions_of_the_shipped_tagger(runtime: Runtime, tagger: Tagger) -> None:
    case = Explained(runtime, tagger, SENTENCE)
    for t in range(len(SENTENCE)):
        check_attribution(case, t, (3 * t + 7) % 17, "logit" if t % 2 else "probability", None)


def test_attributions_in_context(runtime: Runtime) -> None:
    pair = (make_language_model(0, num_layers=1), make_language_model(1, backward=True))
    case = Explained(runtime, make_tagger(ContextualVectors(*pair)), SENTENCE)
    check_attribution(case, 2, 1, "logit", None)


def test_labels_of_an_adaptive_softmax(runtime: Runtime) -> None:
    model = make_language_model(level="word", cutoffs=(3, 8), cutoff_factor=2.0)
    runtime.load(bundle_of(model))
    words = ["the", "cat", "sat"]
    runtime.ask(f"(window.subject = model.subject(model.run({json.dumps(words)})), true)")
    rare = len(model.tokens.tokens) - 1
    assert runtime.ask(f"window.subject.readers[0].logit({rare})") is None
    subject = explain.subject(model, " ".join(words))
    for label in (1, rare):
        target = {"kind": "probability", "label": label, "t": 2}
        found = runtime.page.run(_SCRIPT, {"what": "value", "target": target})
        wanted = resolve_target(explain.log_probability(label, word=2), subject)
        near(found, float(wanted.of(subject.run()).detach()))


@torch.no_grad()
def patched_in_python(case: Explained, of: Any, places: list[dict[str, Any]]) -> Tensor:
    """One state at a time, by an edit of the whole call."""
    subject, other = case.subject, case.other
    assert other is not None
    target, sizes = resolve_target(of, subject), subject.sizes
    names = [each.name for each in layer_directions(sizes.num_layers, sizes.bidirectional)]
    trace, found = other.trace(), []
    for place in places:
        name, t = f"{names[place['track']]}.{place['quantity']}", place["t"]
        with subject.lstm.edit(hs.set(name, to=trace.values[name][t], t=t)):
            found.append(float(target.of(subject.run(keep=target.keep, steps=target.steps if target.keep else ()))))
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES + WITHOUT_LEDGER)
def test_patches(runtime: Runtime, name: str) -> None:
    case = cases(runtime, name)
    for t in (0, case.subject.T // 2, case.subject.T - 1):
        target, of = asked(case.subject, t, t % 3)
        places = case.ask("places", target)
        sizes = case.subject.sizes
        assert len(places) == len(sizes.kind.states) * len(sizes.layer_directions) * case.subject.T
        near(numbers(case.ask("sweep", target)), patched_in_python(case, of, places))


def test_patches_of_the_shipped_tagger(runtime: Runtime, tagger: Tagger) -> None:
    case = Explained(runtime, tagger, SENTENCE, [*SENTENCE[:2], "men", *SENTENCE[3:]])
    for t in (2, 4):
        target, of = asked(case.subject, t, 7)
        near(numbers(case.ask("sweep", target)), patched_in_python(case, of, case.ask("places", target)))


def test_patches_from_the_same_run_change_nothing(runtime: Runtime, tagger: Tagger) -> None:
    case = Explained(runtime, tagger, SENTENCE, SENTENCE)
    target, _ = asked(case.subject, 2, 7)
    near(numbers(case.ask("sweep", target)), torch.full((8 * len(SENTENCE),), case.ask("value", target)), 1e-6)


def test_what_cannot_be_explained_fails(runtime: Runtime) -> None:
    runtime.load(bundle_of(make_language_model(backward=True)))
    with runtime.refuses("reads from the end", "forward"):
        runtime.ask("model.subject(model.run(['a', 'b']))")
    lstm = make_layer(**LSTMS["plain"])
    runtime.load(bundle_of(lstm.trace(torch.randn(4, lstm.input_size))))
    with runtime.refuses("a trace, which has no weights"):
        runtime.ask("model.subject(model.given).baseline()")
    whole = bundle_of(make_language_model())
    head = {**whole.head, "vocabulary": {**whole.head["vocabulary"], "counts": [1]}}
    runtime.load_raw(json.dumps(head).encode(), whole.weights)
    with runtime.refuses("the model's vocabulary has no token counts"):
        runtime.ask("model.subject(model.run(['a'])).baseline()")
