"""Taggers and language models whose cells are GRUs or plain RNNs: trained, stored, read and run."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import hiddenstate as hs
from hiddenstate.cli import app
from hiddenstate.models.cells import CELL_NAMES
from hiddenstate.models.language.scoring import measure
from hiddenstate.models.model_folder import CARD, CONFIG, load_language_model
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.studio.bundles.opening import bundle_folder
from hiddenstate.text.conllu import read_conllu
from language_models import TEXT, make

DATA = Path(__file__).parents[1] / "data"
FILES = ("--train", str(DATA / "tiny-train.conllu"), "--dev", str(DATA / "tiny-dev.conllu"))
OTHERS = [cell for cell in CELL_NAMES if cell != "lstm"]
CONFIG_OF_TAGGER = TaggerConfig(word_size=5, char_size=3, char_hidden_size=4, hidden_size=6, weights_dtype="float32")


def run(*arguments: str) -> None:
    result = CliRunner().invoke(app, ["train", *arguments])
    assert result.exception is None, result.output


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_training(cell: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT, encoding="utf-8")
    text, small = str(tmp_path / "text"), ("--hidden-size", "6", "--epochs", "1", "--set", f"cell={cell}")
    more = ("--set", "num_layers=2", "--set", "dropout=0.2", "--set", "weight_drop=0.1")
    run("lm", "--train", text, "--dev", text, *small, *more, "--out", str(tmp_path / "lm"))
    run("tagger", *FILES, *small, "--out", str(tmp_path / "tagger"))
    lm: Any = hs.load(tmp_path / "lm")
    tagger: Any = hs.load(tmp_path / "tagger")
    for model, folder in ((lm, "lm"), (tagger, "tagger")):
        assert model.config.cell == cell
        assert model.lstm.mode == CELL_NAMES[cell]
        head = json.loads((tmp_path / folder / CONFIG).read_text())
        assert head["config"]["cell"] == cell
        assert f" {cell.upper()}, " in (tmp_path / folder / CARD).read_text()
        assert f"cell={cell}" in (tmp_path / folder / CARD).read_text()
        assert bundle_folder(tmp_path / folder).cell.name == CELL_NAMES[cell]
    pytest.importorskip("pyarrow")
    for model, corpus in ((lm, tmp_path / "text"), (tagger, DATA / "tiny-train.conllu")):
        indexed = tmp_path / f"{model.kind}.index"
        hs.index(model, corpus, indexed)
        index = hs.open_index(indexed)
        assert {name.rpartition(".")[2] for name in index.statistics} == {"h"}
        card = index.unit("l0.h[3]")
        assert (card.cost_name, len(card.matched)) == ("nats lost by the right output", 5)
        assert hs.studio(index=indexed).about_index["steps"] == index.steps  # type: ignore[index]


def test_training_resumes_with_a_state_of_one_tensor(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT, encoding="utf-8")
    text, small = str(tmp_path / "text"), ("--hidden-size", "6", "--set", "cell=gru", "--set", "steps=9")
    run("lm", "--train", text, "--dev", text, *small, "--epochs", "2", "--out", str(tmp_path / "a"))
    model = load_language_model(tmp_path / "a")
    state: Any = model.loss(torch.ones(3, 2, dtype=torch.int64), torch.ones(3, 2, dtype=torch.int64))[1]
    assert state.shape == (1, 2, 6)


@pytest.mark.parametrize("cell", OTHERS)
@pytest.mark.parametrize("suffix", ["", ".safetensors"])
def test_a_model_is_stored_with_its_cells(cell: str, suffix: str, tmp_path: Path) -> None:
    tagger = Tagger.build(replace(CONFIG_OF_TAGGER, cell=cell), read_conllu(DATA / "tiny-train.conllu")).eval()
    lm = make(cell=cell)
    words = ["the", "old", "cat"]
    for name, model in (("tagger", tagger), ("lm", lm)):
        path = tmp_path / f"{name}{suffix}"
        hs.save(model, path)
        again: Any = hs.load(path)
        assert type(again.lstm) is type(model.lstm)
        for key, value in model.state_dict().items():
            assert torch.equal(value, again.state_dict()[key])
    read: Any = hs.load(tmp_path / f"tagger{suffix}")
    assert read.tag([words])[0].tags == tagger.tag([words])[0].tags == tagger.read(words).columns["upos"].tags
    assert set(tagger.trace([words])) == {str(p) for p in tagger.lstm.trace(torch.randn(2, 1, tagger.lstm.input_size))}


@pytest.mark.parametrize("cell", OTHERS)
def test_a_language_model_in_pieces_and_at_once(cell: str) -> None:
    model = make(cell=cell)
    ids = torch.randint(1, len(model.tokens), (9, 2))
    whole, end = model(ids)
    first, state = model(ids[:4])
    second, last = model(ids[4:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(last, end)
    text = "".join(model.generate("the cat", 12))
    assert model.generate_many("the cat", 12)[0] == text
    numbers = model.tokens.encode(TEXT)[:101]
    alone, rows = measure(model, numbers), measure(model, numbers, rows=3)
    assert alone.tokens == rows.tokens == 101
    with torch.no_grad():
        begin = torch.tensor([[model.tokens.start], *([int(k)] for k in numbers[:-1])])
        nats, _ = model.surprise(begin, torch.as_tensor(numbers, dtype=torch.int64)[:, None])
    assert alone.nats == pytest.approx(float(nats.double().sum()), rel=1e-5)


def test_dropout_layer_by_layer_is_the_stack_without_dropout() -> None:
    model = make(cell="gru", dropout=0.0, weight_drop=0.0)
    ids = torch.randint(1, len(model.tokens), (5, 2))
    out, state = model.read(ids)
    model.config = replace(model.config, dropout=1e-9, input_dropout=0.0)
    model.train()
    same, end = model.read(ids)
    torch.testing.assert_close(same, out)
    torch.testing.assert_close(end, state)


@pytest.mark.parametrize("layer", [nn.GRU(4, 5), hs.RNN(4, 5, nonlinearity="relu"), nn.RNN(4, 5, 2)])
def test_models_of_your_own_layers(layer: Any) -> None:
    parts = nn.Embedding(4, 4), layer, nn.Linear(5, 4)
    model = hs.language_model(parts, "ab \n")
    ids = torch.tensor([[1], [2], [3]])
    names = [model.tokens.tokens.index(name) for name in "ab \n"]
    want = parts[2](layer(parts[0](torch.tensor([[0], [1], [2]])))[0]).log_softmax(-1)
    torch.testing.assert_close(model(ids)[0][..., names].log_softmax(-1), want)
    tagger = hs.tagger((nn.Embedding(3, 4), layer, nn.Linear(5, 2)), ["<unk>", "time", "flies"], ["NOUN", "VERB"])
    assert tagger.lstm.mode == layer.mode


def test_a_layer_as_a_file(tmp_path: Path) -> None:
    for nonlinearity in ("tanh", "relu"):
        rnn = hs.RNN(3, 4, 2, nonlinearity=nonlinearity, bidirectional=True)
        hs.save(rnn, tmp_path / "rnn.safetensors")
        again: Any = hs.load(tmp_path / "rnn.safetensors")
        assert (type(again), again.nonlinearity) == (hs.RNN, nonlinearity)
        x = torch.randn(5, 2, 3)
        assert torch.equal(again(x)[0], rnn(x)[0])
