import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

import pytest
import safetensors.torch
import torch

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, FileFormatError, HiddenStateError
from hiddenstate.models import model_folder as folder
from hiddenstate.models.model_folder import (
    CARD,
    CONFIG,
    FILES,
    VOCABULARY,
    WEIGHTS,
    load_as,
    load_language_model,
    load_tagger,
    save,
    shipped,
)
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.text.vocabulary import Vocabulary

WORDS = ["the", "cat", "sat", "tac"]


def make(seed: int = 0, weights_dtype: str = "float32") -> Tagger:
    torch.manual_seed(seed)
    config = TaggerConfig(word_size=3, char_size=2, char_hidden_size=2, hidden_size=4, weights_dtype=weights_dtype)
    return Tagger(config, Vocabulary.build(WORDS), Vocabulary.build("thecasé"), {"upos": ["A", "B", "C"]}).eval()


def said_by(tagger: Tagger) -> torch.Tensor:
    return tagger.tag([WORDS])[0].probabilities


def beside(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.iterdir() if p != path)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save(make(), tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_round_trip(tmp_path: Path, dtype: str) -> None:
    tagger, path = make(weights_dtype=dtype), tmp_path / "deep" / "model"
    save(tagger, path, card="# Card é\n")
    again = load_tagger(path)
    assert sorted(p.name for p in path.iterdir()) == sorted(FILES)
    assert beside(path) == []
    assert (path / CARD).read_text(encoding="utf-8") == "# Card é\n"
    assert (again.config, again.encoder) == (tagger.config, tagger.encoder)
    assert not again.training
    assert {value.dtype for value in again.state_dict().values()} == {torch.float32}
    assert {value.dtype for value in safetensors.torch.load_file(path / WEIGHTS).values()} == {getattr(torch, dtype)}
    gap = float((said_by(again) - said_by(tagger)).abs().max())
    assert gap == 0 if dtype == "float32" else 0 < gap < 1e-3


def test_saving_what_was_loaded_changes_nothing(tmp_path: Path) -> None:
    save(make(weights_dtype="float16"), tmp_path / "first")
    save(load_tagger(tmp_path / "first"), tmp_path / "second")
    for name in FILES:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_save_replaces_a_model(model: Path) -> None:
    other = make(seed=1)
    save(other, model)
    assert torch.equal(said_by(load_tagger(model)), said_by(other))
    assert beside(model) == []


def test_save_into_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    save(make(), tmp_path / "model")
    load_tagger(tmp_path / "model")


def test_save_through_a_link(model: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(model)
    save(make(seed=1), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert torch.equal(said_by(load_tagger(model)), said_by(make(seed=1)))


def test_interrupted_writing_leaves_the_old_model(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(safetensors.torch, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(make(seed=1), model)
    assert torch.equal(said_by(load_tagger(model)), said_by(make()))
    assert beside(model) == []


def test_failed_rename_leaves_the_old_model(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise OSError("disk on fire")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="disk on fire"):
        save(make(seed=1), model)
    assert torch.equal(said_by(load_tagger(model)), said_by(make()))
    assert beside(model) == []


def test_killed_between_renames_says_where_the_old_model_is(model: Path) -> None:
    model.rename(model.with_name(".model.0123.previous"))
    with pytest.raises(FileFormatError, match=r"\.model\.0123\.previous next to it .*rename it"):
        load_tagger(model)


def test_save_fails_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        save(make(), tmp_path / "file" / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_save_refuses_what_does_not_fit(tmp_path: Path) -> None:
    tagger = make(weights_dtype="float16")
    with torch.no_grad():
        tagger.head.bias[0] = 1e6
    with pytest.raises(ArgumentError, match=r"'head.bias' cannot be stored as float16: it has values up to 1e\+06"):
        save(tagger, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_loading_uses_up_no_random_numbers(model: Path) -> None:
    before = torch.get_rng_state()
    load_tagger(model)
    assert torch.equal(torch.get_rng_state(), before)


def test_save_refuses_other_folders(tmp_path: Path, model: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("dear diary")
    with pytest.raises(ArgumentError, match=r"notes holds 'diary.txt', which is not part of a model"):
        save(make(), tmp_path / "notes")
    assert (tmp_path / "notes" / "diary.txt").read_text() == "dear diary"
    with pytest.raises(ArgumentError, match="is a file; give a folder"):
        save(make(), tmp_path / "notes" / "diary.txt")
    (model / CONFIG).write_text('{"format": "something else"}')
    with pytest.raises(FileFormatError, match="not a model folder"):
        save(make(), model)
    (model / CONFIG).unlink()
    with pytest.raises(ArgumentError, match=r"not a model folder: config\.json is missing"):
        save(make(), model)


@pytest.mark.parametrize("name", FILES)
def test_load_fails_without_a_file(model: Path, name: str) -> None:
    (model / name).unlink()
    with pytest.raises(FileFormatError, match=f"{name} is missing; a model folder has config.json, vocabulary.json"):
        load_tagger(model)


def test_load_fails_without_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"no model at .*none: there is no such folder$"):
        load_tagger(tmp_path / "none")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "oracle"}, "is a model of kind 'oracle', expected 'tagger'"),
        ({"version": 7}, "has format version 7, but this hiddenstate only reads up to 6; upgrade hiddenstate"),
        ({"version": "1"}, "version must be a positive integer, got '1'"),
        ({"version": True}, "version must be a positive integer, got True"),
        ({"format": "zip"}, "is not a model folder"),
        ({"config": None}, "model: a tagger's config must be an object"),
        ({"config": {"wings": 2}}, "model: unknown field 'wings'"),
        ({"config": {"hidden_size": 5}}, r"weight '.*' has shape \[\d+, \d+\], expected \[\d+, \d+\]"),
        ({"config": {"hidden_size": 4, "num_layers": 3}}, "does not fit"),
        # More than any memory: it must be rejected before it is allocated.
        ({"config": {"hidden_size": 10**8}}, r"weight '.*' has shape \[\d+, \d+\], expected \[400000000, \d+\]"),
        ({"config": {"hidden_size": 10**9}}, "model is damaged: .*overflow"),
        ({"config": {"word_size": 10**30}}, "model: "),
        ({"config": {"word_size": 10**15}}, r"weight 'word_embedding.weight' has shape"),
    ],
)
def test_load_fails_on_another_config(model: Path, change: dict[str, Any], message: str) -> None:
    head = json.loads((model / CONFIG).read_text())
    if change.get("config"):
        change = {"config": {**head["config"], **change["config"]}}
    (model / CONFIG).write_text(json.dumps({**head, **change}))
    with pytest.raises(FileFormatError, match=message):
        load_tagger(model)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (CONFIG, b"{", r"config.json is damaged: not JSON"),
        (CONFIG, b"[]", r"config.json is damaged: expected an object, got list"),
        (CONFIG, b"\xff", r"config.json is damaged: not JSON"),
        (VOCABULARY, b"{}", r"model: not the description of a tagger"),
        (VOCABULARY, b"nonsense", r"vocabulary.json is damaged"),
        (CONFIG, b"[" * 200_000, r"config.json is damaged: not JSON \(maximum recursion"),
        (WEIGHTS, b"nonsense", r"weights.safetensors is damaged"),
        (WEIGHTS, b"", r"weights.safetensors is damaged"),
    ],
)
def test_load_fails_on_damage(model: Path, name: str, content: bytes, message: str) -> None:
    (model / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        load_tagger(model)


def test_load_fails_on_cut_or_other_weights(model: Path, tmp_path: Path) -> None:
    whole = (model / WEIGHTS).read_bytes()
    (model / WEIGHTS).write_bytes(whole[:-10])
    with pytest.raises(FileFormatError, match="damaged"):
        load_tagger(model)
    weights = safetensors.torch.load(whole)
    safetensors.torch.save_file({**weights, "extra": torch.zeros(1)}, model / WEIGHTS)
    with pytest.raises(FileFormatError, match="'extra' is not expected"):
        load_tagger(model)
    safetensors.torch.save_file({**weights, "head.bias": weights["head.bias"] * float("nan")}, model / WEIGHTS)
    with pytest.raises(FileFormatError, match="'head.bias' has values that are not finite"):
        load_tagger(model)
    safetensors.torch.save_file({**weights, "head.bias": weights["head.bias"].int()}, model / WEIGHTS)
    with pytest.raises(FileFormatError, match="'head.bias' is of type torch.int32, expected a floating-point type"):
        load_tagger(model)
    del weights["head.bias"]
    safetensors.torch.save_file(weights, model / WEIGHTS)
    with pytest.raises(FileFormatError, match=r"'head.bias' is missing"):
        load_tagger(model)


def test_load_as_another_class(model: Path) -> None:
    class Oracle(Tagger):
        kind: ClassVar[str] = "oracle"

    with pytest.raises(FileFormatError, match="kind 'tagger', expected 'oracle'"):
        load_as(Oracle, model)


def test_loading_survives_moving(model: Path, tmp_path: Path) -> None:
    shutil.move(model, tmp_path / "elsewhere")
    assert torch.equal(said_by(load_tagger(tmp_path / "elsewhere")), said_by(make()))


def test_shipped() -> None:
    path = folder.shipped()
    assert sorted(p.name for p in path.iterdir()) == sorted(FILES)
    assert sum(p.stat().st_size for p in path.iterdir()) <= 4_000_000
    assert load_tagger(path).config.weights_dtype == "int8"
    writer = folder.shipped("shakespeare")
    assert sorted(p.name for p in writer.iterdir()) == sorted(FILES)
    assert sum(p.stat().st_size for p in writer.iterdir()) <= 4_000_000
    assert folder.load_language_model(writer).config.level == "char"


def test_shipped_fails() -> None:
    with pytest.raises(ArgumentError, match="hiddenstate comes with no model 'milton'; choose one of tagger"):
        folder.shipped("milton")


def test_a_shipped_model_is_loaded_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(hs.load("tagger-en")) is type(load_tagger(shipped()))
    assert type(hs.load("shakespeare")) is type(load_language_model("shakespeare"))
    with pytest.raises(HiddenStateError, match="no model at tagger-xx"):
        hs.load("tagger-xx")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shakespeare").mkdir()  # a folder of that name is meant
    with pytest.raises(HiddenStateError, match=r"config\.json is missing"):
        hs.load("shakespeare")


def test_only_models_and_layers_are_saved(tmp_path: Path) -> None:
    for layer in (hs.LSTM(2, 3, proj_size=2), hs.GRU(2, 3, bidirectional=True)):
        hs.save(layer, tmp_path / "m.safetensors")
        again: Any = hs.load(tmp_path / "m.safetensors")
        assert repr(again) == repr(layer)
        assert all(torch.equal(value, again.state_dict()[name]) for name, value in layer.state_dict().items())
        with pytest.raises(TypeError, match="saved as a file"):
            hs.save(layer, tmp_path / "folder")
    with pytest.raises(TypeError, match="got hs.RNNCell"):
        hs.save(hs.RNNCell(2, 3), tmp_path / "m.safetensors")
