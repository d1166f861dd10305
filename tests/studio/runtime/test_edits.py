import json
import random
from typing import Any

import pytest
import torch

import hiddenstate as hs
from hiddenstate.structure.names import layer_directions
from language_models import make as make_language_model
from studio.bundles import Bundle, bundle_of
from studio.runtime.driver import Runtime, as_data, close, head_of, values_of
from studio.runtime.test_plain import LSTMS, OTHERS, make
from studio.runtime.test_tagger import SENTENCES, scores_of
from studio.runtime.test_tagger import make as make_tagger
from support import draws

T = 6
EDITED = {name: LSTMS[name] for name in ("plain", "both ways", "projected", "without bias")} | OTHERS


def drawn(lstm: Any, draw: random.Random, steps: int = T, pre: bool = False) -> list[hs.Edit]:
    """Random edits of all kinds, including several of one place."""
    places = [each.name for each in layer_directions(lstm.num_layers, lstm.bidirectional)]
    kind = lstm.sizes.kind
    quantities = kind.quantities + kind.pre_activations if pre else kind.quantities
    found = []
    for _ in range(draw.randint(1, 5)):
        quantity = draw.choice(quantities)
        units = lstm.sizes.output_size if quantity == "h" else lstm.hidden_size
        found.append(
            hs.Edit(
                f"{draw.choice(places)}.{quantity}",
                draw.choice(("set", "scale", "add")),
                draw.choice((0.0, 1.0, -0.7, 2.5)),
                unit=chosen(draw, units),
                t=chosen(draw, steps),
                scope=draw.choice(("write", "readout")),
            )
        )
    return found


def chosen(draw: random.Random, size: int) -> tuple[int, ...] | None:
    if draw.random() < 0.3:
        return None
    return tuple(k - draw.choice((0, size)) for k in draw.sample(range(size), draw.randint(1, size)))


@pytest.mark.parametrize("settings", EDITED.values(), ids=EDITED)
@pytest.mark.parametrize("pre", [False, True])
def test_random_edits(runtime: Runtime, settings: dict[str, Any], pre: bool) -> None:
    lstm, draw = make(**settings), random.Random(4)
    runtime.load(bundle_of(lstm))
    for _ in range(draws(25)):
        x, edits = torch.randn(T, settings["input_size"]), drawn(lstm, draw, pre=pre)
        with lstm.edit(*edits):
            trace = lstm.trace(x)
        run = runtime.run(numbers=x, edits=edits)
        for place, values in values_of(run).items():
            close(values, trace[place], rtol=1e-5)  # forget gates of 2.5 make thousands
        for found in run["tracks"]:
            name = found["info"]["name"]
            assert (found["carried"] is not None) == any(
                edit.scope == "readout" and edit.place.startswith(f"{name}.") for edit in edits
            )
            if found["carried"] is not None:
                memory = found["carried"][lstm.sizes.kind.memory]
                close(memory.view(T, -1), trace.carried[name][:, 0], rtol=1e-5)


@pytest.mark.parametrize("name", ["plain", "without bias", "gru without bias"])
def test_random_edits_of_streams(runtime: Runtime, name: str) -> None:
    settings = (LSTMS | OTHERS)[name]
    lstm, draw = make(**settings), random.Random(5)
    runtime.load(bundle_of(lstm))
    for _ in range(draws(15)):
        x = torch.randn(T, settings["input_size"])
        edits = [e for e in drawn(lstm, draw) if e.t is None or (isinstance(e.t, tuple) and min(e.t) >= 0)]
        run, whole = runtime.stream(numbers=x, edits=edits), runtime.run(numbers=x, edits=edits)
        for place, values in values_of(run).items():
            close(values, values_of(whole)[place], rtol=1e-5)


@pytest.mark.parametrize("scope", ["write", "readout"])
def test_edits_change_tags(runtime: Runtime, scope: Any) -> None:
    tagger, words = make_tagger(columns=("upos", "xpos")), SENTENCES[0]
    runtime.load(bundle_of(tagger))
    for place in ("l0.f", "l1r.c", "l0r.h", "l1.o"):
        edits = [hs.set(place, to=0.9, t=1, scope=scope), hs.scale(place, by=-1.5, unit=[0, 3], scope=scope)]
        with tagger.lstm.edit(*edits):
            reading = tagger.read(words)
        for head in runtime.run(words, edits)["heads"]:
            wanted = tagger.split(scores_of(tagger, reading))[head["name"]]
            close(head_of(head).logits, wanted)
            assert (wanted - tagger.split(scores_of(tagger, tagger.read(words)))[head["name"]]).abs().max() > 1e-3


@torch.no_grad()
def test_edits_of_a_language_model_hold_from_its_first_token_on(runtime: Runtime) -> None:
    model, text = make_language_model(), "the cat"
    runtime.load(bundle_of(model))
    ids = torch.from_numpy(model.tokens.ids("\n" + text)).long()[:, None]
    edits = [hs.zero("l0.f"), hs.add("l1.c", value=0.5, t=0)]
    _, state = model.read(ids[:1])
    with model.lstm.edit(*edits):
        logs, _ = model(ids[1:], state)
    close(head_of(runtime.run(list(text), edits)["heads"][0]).logits.log_softmax(-1), logs[:, 0])


def test_an_edit_that_changes_nothing_changes_nothing(runtime: Runtime) -> None:
    lstm, x = make(**LSTMS["both ways"]), torch.randn(T, 5)
    runtime.load(bundle_of(lstm))
    plain = values_of(runtime.run(numbers=x))
    edited = values_of(runtime.run(numbers=x, edits=[hs.scale("l1.c", by=1.0), hs.add("l0r.f", value=0.0)]))
    assert all(torch.equal(plain[place], edited[place]) for place in plain)


def test_dot_products_of_edited_runs(runtime: Runtime) -> None:
    """A gate's sum is made of the values that are passed on, not of the recorded ones."""
    lstm, x = make(**LSTMS["both ways"]), torch.randn(T, 5)
    runtime.load(bundle_of(lstm))
    edits = [hs.zero("l0.h", t=2, scope="readout"), hs.zero("l0r.h", t=2, scope="readout"), hs.zero("l0.o", t=1)]
    with lstm.edit(*edits):
        trace = lstm.trace(x, pre=True)
    for name, t in (("l0", 2), ("l0", 3), ("l0r", 2), ("l0r", 1), ("l1", 2)):
        data = json.dumps([as_data(edit) for edit in edits])
        run = f"model.runNumbers({x.tolist()}.map((row) => Float32Array.from(row)), {data})"
        found = runtime.ask(f"model.dotProduct({run}, '{name}', 'f', 1, {t})")
        assert found["sum"] == pytest.approx(trace[f"{name}.f_pre"][t, 1].item(), abs=1e-5)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ({"place": "l7.f"}, ["l7.f", "l0 l0r"]),
        ({"place": "l0.q"}, ["l0.q", "i f g o c h"]),
        ({"place": "l0.f\n"}, ["one of"]),
        ({"place": "l0r"}, ["l0r", "one of"]),
        ({"kind": "patch"}, ["patch", "set scale add"]),
        ({"scope": "both"}, ["both", "write readout"]),
        ({"value": None}, ["a number"]),
        ({"value": "1"}, ["a number"]),
        ({"t": [2]}, ["step 2", "0 to 1"]),
        ({"t": [-3]}, ["step -3"]),
        ({"t": [0.5]}, ["step 0.5"]),
        ({"unit": [3]}, ["unit 3", "0 to 2"]),
        ({"unit": [0, -3]}, ["distinct values"]),
    ],
)
def test_edits_fail(runtime: Runtime, edit: dict[str, Any], words: list[str]) -> None:
    runtime.load(bundle_of(make(input_size=1, hidden_size=3, bidirectional=True)))
    given = {"place": "l0.f", "kind": "set", "value": 0, "unit": None, "t": None, "scope": "write", **edit}
    with runtime.refuses(*words):
        runtime.page.run("(edit) => each([{numbers: [[1], [2]], edits: [edit]}])", given)


def test_edits_of_streams_fail(runtime: Runtime) -> None:
    runtime.load(bundle_of(make(input_size=1, hidden_size=3)))
    with runtime.refuses("step -1 of a stream"):
        runtime.stream(numbers=torch.ones(2, 1), edits=[hs.zero("l0.f", t=-1)])
    runtime.load(bundle_of(make(input_size=1, hidden_size=3, bidirectional=True)))
    with runtime.refuses("bidirectional layer"):
        runtime.stream(numbers=torch.ones(2, 1))


def test_units_of_a_projected_state(runtime: Runtime) -> None:
    bundle: Bundle = bundle_of(make(**LSTMS["projected"]))
    runtime.load(bundle)
    with runtime.refuses("unit 2", "0 to 1"):
        runtime.run(numbers=torch.ones(2, 3), edits=[hs.zero("l0.h", unit=2)])
    runtime.run(numbers=torch.ones(2, 3), edits=[hs.zero("l0.c", unit=4)])
