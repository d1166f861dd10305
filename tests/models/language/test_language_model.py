import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models.language.config import LanguageConfig
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.model_folder import CONFIG, FILES, VOCABULARY, load_as, save
from language_models import KINDS, SMALL, make, tokens_of

kinds = pytest.mark.parametrize("kind", KINDS)


def ids_for(model: LanguageModel, T: int, N: int) -> torch.Tensor:
    return torch.randint(len(model.tokens), (T, N))


@kinds
def test_shapes_and_probabilities(kind: str) -> None:
    model = make(**KINDS[kind])
    ids = ids_for(model, 5, 3)
    said, (h, c) = model(ids)
    assert said.shape == (5, 3, len(model.tokens))
    assert h.shape == c.shape == (2, 3, 7)
    torch.testing.assert_close(said.exp().sum(-1), torch.ones(5, 3))


def test_against_plain_torch() -> None:
    model = make()
    assert model.embedding is not None
    ids = ids_for(model, 6, 2)
    out, (h, c) = model.lstm.to_torch()(model.embedding.weight[ids])
    want = nn.functional.linear(out, model.head.weight, model.head.bias).log_softmax(-1)  # type: ignore[arg-type]
    said, state = model(ids)
    torch.testing.assert_close(said, want)
    torch.testing.assert_close(state, (h, c))


@kinds
def test_pieces_of_any_size_give_the_whole(kind: str) -> None:
    model = make(**KINDS[kind])
    ids = ids_for(model, 7, 2)
    whole, end = model(ids)
    state, parts = None, []
    for piece in ids.split([1, 4, 2]):
        said, state = model(piece, state)
        parts.append(said)
    torch.testing.assert_close(torch.cat(parts), whole)
    torch.testing.assert_close(state, end)


@kinds
def test_surprise_and_loss_are_what_the_probabilities_say(kind: str) -> None:
    model = make(**KINDS[kind])
    ids, targets = ids_for(model, 4, 3), ids_for(model, 4, 3)
    want = -model(ids)[0].gather(-1, targets[..., None])[..., 0]
    nats, _ = model.surprise(ids, targets)
    torch.testing.assert_close(nats, want)
    loss, _ = model.loss(ids, targets)
    torch.testing.assert_close(loss.surprise, want.mean())
    assert torch.equal(loss.mean, loss.surprise)


@kinds
def test_every_weight_learns(kind: str) -> None:
    model = make(**KINDS[kind], dropout=0.3, weight_drop=0.3, token_dropout=0.1, input_dropout=0.1).train()
    ids = torch.arange(len(model.tokens))[:, None].expand(-1, 20)
    model.loss(ids, ids)[0].mean.backward()
    grads = {name: weight.grad for name, weight in model.named_parameters()}
    assert all(grad is not None and grad.isfinite().all() for grad in grads.values()), grads.keys()


def test_without_dropout_training_is_evaluation() -> None:
    model = make(dropout=0.0, input_dropout=0.0).train()
    ids = ids_for(model, 5, 2)
    torch.testing.assert_close(model(ids), model.eval()(ids))


def test_layer_by_layer_is_the_stack() -> None:
    # The rate is so low that nothing is dropped, but the layers are called one by one.
    model = make(dropout=1e-12, input_dropout=0.0).train()
    ids = ids_for(model, 5, 2)
    state = (torch.randn(2, 2, 7), torch.randn(2, 2, 7))
    torch.testing.assert_close(model(ids, state), model.eval()(ids, state))


def test_dropout_between_layers_is_locked() -> None:
    model = make(dropout=0.5, input_dropout=0.0).train()
    seen: list[torch.Tensor] = []
    model._layers[1].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model(ids_for(model, 30, 4))
    gone = seen[0] == 0
    assert torch.equal(gone, gone[:1].expand_as(gone))
    assert 0.2 < gone.float().mean() < 0.8


def test_weight_drop_drops_recurrent_weights_anew_in_each_batch() -> None:
    model = make(weight_drop=0.4, dropout=0.0, input_dropout=0.0).train()
    ids, weight = ids_for(model, 3, 2), model.lstm.get_parameter("weight_hh_l0")
    before, dropped = weight.detach().clone(), list[torch.Tensor]()
    for _ in range(2):
        model.zero_grad()
        model.loss(ids, ids)[0].mean.backward()
        assert weight.grad is not None
        # From the second step on the hidden state is not zero, so only dropped weights have no gradient.
        dropped.append(weight.grad.eq(0))
    assert 0.2 < dropped[0].float().mean() < 0.6
    assert not torch.equal(*dropped)
    assert torch.equal(weight, before)
    other = model.lstm.get_parameter("weight_ih_l0").grad
    assert other is not None
    assert not other.eq(0).any()


def test_penalties() -> None:
    ids = ids_for(make(), 5, 3)
    plain, _ = make().loss(ids, ids)
    out, _ = make().read(ids)
    active, _ = make(activation_penalty=2.0).loss(ids, ids)
    torch.testing.assert_close(active.mean - plain.mean, 2 * out.square().mean())
    changing, _ = make(change_penalty=3.0).loss(ids, ids)
    torch.testing.assert_close(changing.mean - plain.mean, 3 * (out[1:] - out[:-1]).square().mean())
    assert torch.equal(changing.surprise, plain.surprise)
    one, _ = make(change_penalty=3.0).loss(ids[:1], ids[:1])
    assert one.mean.isfinite()


@kinds
def test_under_autocast(kind: str) -> None:
    model = make(**KINDS[kind]).train()
    ids = ids_for(model, 4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = model.loss(ids, ids)
    assert loss.mean.dtype is torch.float32
    loss.mean.backward()


@kinds
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_folder_round_trip(tmp_path: Path, kind: str, dtype: str) -> None:
    model = make(**KINDS[kind], weights_dtype=dtype)
    save(model, tmp_path / "model", card="# Card\n")
    again = load_as(LanguageModel, tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == sorted(FILES)
    assert (again.config, again.tokens) == (model.config, model.tokens)
    assert not again.training
    ids = ids_for(model, 4, 2)
    gap = (model(ids)[0] - again(ids)[0]).abs().max()
    assert gap == 0 if dtype == "float32" else gap < 0.02


def test_state_dict_has_each_weight_once() -> None:
    names = make(tied=True).state_dict().keys()
    assert {name.split(".")[0] for name in names} == {"lstm", "head", "project"}


def test_damaged_folders(tmp_path: Path) -> None:
    path = tmp_path / "model"
    changes: list[tuple[str, Callable[[Any], object], str]] = [
        (CONFIG, lambda data: data["config"].update(hidden_size=8), "weight 'lstm.weight_ih_l0' has shape"),
        (CONFIG, lambda data: data["config"].update(level="word"), "can't have tokens of level char"),
        (CONFIG, lambda data: data["config"].update(cutoffs=[2, 1]), "cutoffs must be above 0 and increasing"),
        (CONFIG, lambda data: data.update(kind="tagger"), "is a model of kind 'tagger', expected 'language-model'"),
        (VOCABULARY, lambda data: data.pop("tokens"), "not the tokens of a language model"),
        (VOCABULARY, lambda data: data["tokens"].append("😀"), "must be distinct, with one count each"),
    ]
    for name, change, message in changes:
        save(make(), path)
        data = json.loads((path / name).read_bytes())
        change(data)
        (path / name).write_text(json.dumps(data))
        with pytest.raises(FileFormatError, match=message):
            load_as(LanguageModel, path)
    save(make(), path)
    weights = path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(FileFormatError, match="is damaged"):
        load_as(LanguageModel, path)


def test_fails() -> None:
    with pytest.raises(ArgumentError, match="a config of level word can't have tokens of level char"):
        LanguageModel(replace(SMALL, level="word"), tokens_of("char"))
    V = len(tokens_of("word"))
    with pytest.raises(ArgumentError, match=f"cutoffs must be below the number of tokens, {V}, got {V}"):
        LanguageModel(replace(SMALL, level="word", cutoffs=(2, V), cutoff_factor=2.0), tokens_of("word"))
    for cutoffs in ((3, 3), (5, 2), (0, 4)):
        with pytest.raises(ArgumentError, match="cutoffs must be above 0 and increasing"):
            replace(SMALL, cutoffs=cutoffs)
    with pytest.raises(ArgumentError, match="the vectors of the last cluster would be empty"):
        replace(SMALL, cutoffs=(2, 3), cutoff_factor=4.0)
    assert LanguageConfig().with_texts({"cutoffs": "10, 20"}).cutoffs == (10, 20)
    with pytest.raises(ArgumentError, match="setting cutoffs must be integers separated by commas, got 'a'"):
        LanguageConfig().with_texts({"cutoffs": "a"})


def test_a_trace_of_texts_has_their_tokens() -> None:
    model: Any = hs.load("shakespeare")
    run = model.trace(["To be", "or"], keep=["l0.c"])
    assert run.words(0) == ("\n", *"To be")
    assert run.words(1) == ("\n", *"or")
    alone = model.trace("or", keep=["l0.c"])
    assert torch.allclose(run.pick("l0.c", row=1)[0][:3, 0], alone["l0.c"][:, 0], atol=1e-6)


def test_texts_and_ids_are_told_apart() -> None:
    model: Any = hs.load("shakespeare")
    with pytest.raises(TypeError, match=r"read takes ids.*got the text 'To be'.*trace\(text\)"):
        model.read("To be")
    with pytest.raises(TypeError, match="text or a list of texts"):
        model.trace([1, 2])
    with pytest.raises(hs.HiddenStateError, match="no text"):
        model.trace([])
