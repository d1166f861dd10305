from typing import Any

import numpy as np
import pytest
import torch

from hiddenstate.models.language.language_model import LanguageModel, Softmax
from hiddenstate.text.tokens import split
from language_models import KINDS, TEXT, make
from studio.bundles import bundle_of
from studio.runtime.driver import Runtime, close, head_of, values_of

TEXTS = ["the cat\nsat ", "戦 é😀 xyzzy  the\tdog\n\nso", "the " * 60]
MORE: dict[str, dict[str, Any]] = {
    "backward": {"backward": True},
    "backward words": {"level": "word", "backward": True},
    "three layers": {"num_layers": 3},
    "a cluster that is tied, same size": {"level": "word", "cutoffs": (2,), "tied": True, "embedding_size": 7},
    "clusters of a crooked factor": {"level": "word", "cutoffs": (2, 6, 9), "cutoff_factor": 1.7},
}
ALL = {**KINDS, **MORE}


def pieces_of(model: LanguageModel, text: str) -> list[str]:
    found = [piece for part in split(model.config.level, [text]) for piece in part]
    return found[::-1] if model.config.backward else found


@torch.no_grad()
def read(model: LanguageModel, tokens: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """The logarithms of probabilities after each token, and each token's surprise."""
    pieces = tokens if model.config.level == "word" else "".join(tokens)
    ids = torch.from_numpy(np.concatenate([[model.tokens.start], model.tokens.ids(pieces)])).long()[:, None]
    logs, _ = model(ids)
    nats, _ = model.surprise(ids[:-1], ids[1:])
    return logs[1:, 0], nats[:, 0]


@pytest.mark.parametrize("settings", ALL.values(), ids=ALL)
def test_language_model(runtime: Runtime, settings: dict[str, Any]) -> None:
    model = make(**settings)
    runtime.load(bundle_of(model))
    for text, tokens in zip(TEXTS, runtime.tokenise(TEXTS), strict=True):
        assert tokens == pieces_of(model, text)
        run, (logs, nats) = runtime.run(tokens), read(model, tokens)
        head = head_of(run["heads"][0])
        assert head.labels == model.tokens.tokens
        close(head.logits.log_softmax(-1), logs)
        close(head.probabilities, logs.exp())
        close(run["surprise"], nats, atol=2e-5)
        assert head.chosen == tuple(model.tokens.tokens[k] for k in logs.argmax(-1).tolist())
        assert run["known"] == [token in model.tokens.tokens[1:] for token in tokens]


def test_scores_before_softmax(runtime: Runtime) -> None:
    model, tokens = make(), list("the cat")
    runtime.load(bundle_of(model))
    ids = torch.from_numpy(model.tokens.ids("\nthe cat")).long()[:, None]
    with torch.no_grad():
        out, _ = model.read(ids)
        assert isinstance(model.head, Softmax)
        wanted = out[1:, 0] @ model.head.weight.T + model.head.bias
    close(head_of(runtime.run(tokens)["heads"][0]).logits, wanted)


def test_a_run_goes_on_from_the_line_end(runtime: Runtime) -> None:
    model, tokens = make(), list("the cat")
    runtime.load(bundle_of(model))
    ids = torch.from_numpy(model.tokens.ids("\nthe cat")).long()[:, None]
    with torch.no_grad():
        _, state = model.read(ids[:1])
        trace = model.lstm.trace(model.embed(ids[1:]), state)
    run = runtime.run(tokens)
    for place, values in values_of(run).items():
        close(values, trace[place][:, 0])
    for k, track in enumerate(run["tracks"]):
        close(track["initial"]["h"], state[0][k, 0])
        close(track["initial"]["c"], state[1][k, 0])


@pytest.mark.parametrize("settings", [{}, {"level": "word", "cutoffs": (3,)}, {"backward": True}])
def test_stream(runtime: Runtime, settings: dict[str, Any]) -> None:
    runtime.load(bundle_of(make(**settings)))
    tokens = runtime.tokenise([TEXT[:60]])[0]
    assert_same(runtime.stream(tokens), runtime.run(tokens))


def test_stream_keeps_the_last_steps(runtime: Runtime) -> None:
    runtime.load(bundle_of(make()))
    tokens = list(TEXT[:50])
    last, whole = runtime.stream(tokens, keep=7), runtime.run(tokens)
    assert last["tokens"] == tokens[-7:]
    close(last["surprise"], whole["surprise"][-7:])
    place = values_of(whole)["l1.c"]
    close(values_of(last)["l1.c"], place[-7:])
    close(last["tracks"][1]["initial"]["c"], place[-8])


def test_stream_that_begins_elsewhere(runtime: Runtime) -> None:
    model = make()
    runtime.load(bundle_of(model))
    tokens = list("the cat sat")
    whole = runtime.run(tokens)
    rest = runtime.ask(f"""(() => {{
      const [begun, rest] = [model.stream(), model.stream()];
      {tokens}.slice(0, 4).forEach(begun.read);
      const last = (track, name) => [...track.values[name].slice(-7)];
      const all = (name) => Float32Array.from(begun.run().tracks.flatMap((track) => last(track, name)));
      rest.reset({{ t: 4, h: all("h"), c: all("c") }});
      {tokens}.slice(4).forEach(rest.read);
      return rest.run();
    }})()""")
    assert rest["tokens"] == tokens[4:]
    close(rest["surprise"], whole["surprise"][4:])
    close(values_of(rest)["l1.h"], values_of(whole)["l1.h"][4:])


def assert_same(a: Any, b: Any) -> None:
    if isinstance(a, torch.Tensor):
        close(a.float(), b, atol=1e-6)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for name in a:
            assert_same(a[name], b[name])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


def test_language_model_fails(runtime: Runtime) -> None:
    runtime.load(bundle_of(make()))
    with runtime.refuses("no text", "one character"):
        runtime.run([])
    with runtime.refuses("Shorten it"):
        runtime.ask("model.run(Array(2 ** 24).fill('a'))")
    with runtime.refuses("read nothing"):
        runtime.ask("model.stream().run()")


def test_what_a_language_model_says_of_itself(runtime: Runtime) -> None:
    runtime.load(bundle_of(make()))
    assert runtime.ask("[model.kind, model.unit]") == ["language-model", "character"]
    runtime.load(bundle_of(make(level="word", cutoffs=(3,))))
    assert runtime.ask("[model.kind, model.unit]") == ["language-model", "word"]
