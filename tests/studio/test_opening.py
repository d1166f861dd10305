import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, FileFormatError, HiddenStateError, NameUnknownError
from hiddenstate.models.model_folder import load_language_model, load_tagger, save, shipped
from hiddenstate.studio.bundles.bundle import Bundle
from hiddenstate.studio.bundles.opening import bundle_folder, bundle_model, named, opened
from hiddenstate.studio.live import LiveStream
from language_models import make


def test_a_folder_is_taken_as_it_lies_there() -> None:
    bundle = bundle_folder(shipped())
    assert bundle.weights == (shipped() / "weights.safetensors").read_bytes()
    assert bundle.config == json.loads((shipped() / "config.json").read_bytes())["config"]
    assert bundle.vocabulary == json.loads((shipped() / "vocabulary.json").read_bytes())
    assert (bundle.kind, bundle.name) == ("tagger", "tagger-en")


def test_a_language_model_and_its_folder(tmp_path: Path) -> None:
    model = make(weights_dtype="float16")
    save(model, tmp_path / "lm", "# Card")
    bundle = bundle_folder(tmp_path / "lm")
    assert (bundle.kind, bundle.name) == ("language-model", "lm")
    assert opened(tmp_path / "lm", "mine").name == "mine"
    assert opened(str(tmp_path / "lm")).kind == "language-model"
    assert bundle_model(model).config == bundle.config
    assert bundle_model(model).vocabulary == bundle.vocabulary


def test_weights_in_memory_are_as_small_as_they_can_be_without_a_change() -> None:
    tagger = load_tagger(shipped())
    assert len(bundle_model(tagger).weights) == len(bundle_folder(shipped()).weights)  # they were float16 on disk
    with torch.no_grad():
        tagger.head.bias[0] = 0.1  # float16 has no such number
    found = safetensors.torch.load(bundle_model(tagger).weights)
    assert found["head.bias"].dtype is torch.float32
    assert torch.equal(found["head.bias"], tagger.head.bias)


def test_whole_numbers_with_scales_stay_that(tmp_path: Path) -> None:
    save(make(weights_dtype="int8"), tmp_path / "model")
    again = bundle_model(load_language_model(tmp_path / "model")).weights
    stored, found = (
        safetensors.torch.load_file(tmp_path / "model" / "weights.safetensors"),
        safetensors.torch.load(again),
    )
    matrices = [name for name in stored if stored[name].dtype is torch.int8]
    assert matrices
    for name in matrices:
        assert torch.equal(found[name], stored[name])
        assert torch.equal(found[f"{name}.scale"], stored[f"{name}.scale"])


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json", "weights.safetensors", "MODEL_CARD.md"])
def test_a_folder_fails(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(shipped(), folder)
    (folder / name).unlink()
    with pytest.raises(FileFormatError, match=name):
        opened(folder)
    (folder / name).write_bytes(b"\x00{")
    if name != "MODEL_CARD.md":
        with pytest.raises(FileFormatError):
            opened(folder)
    with pytest.raises(FileFormatError, match="no such folder"):
        opened(tmp_path / "none")
    shutil.copy(shipped() / "config.json", folder)
    head = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps({**head, "kind": "other"}))
    with pytest.raises(FileFormatError):
        opened(folder)


def test_whatever_has_an_lstm() -> None:
    lstm = hs.LSTM(4, 3)
    x = torch.randn(5, 1, 4)
    model = nn.ModuleDict({"encoder": nn.LSTM(4, 3), "decoder": hs.LSTM(3, 3)})
    assert opened(lstm).name == "LSTM(4, 3)"
    assert opened(model, path="encoder").name == "encoder"
    assert opened(load_tagger(shipped()), path="char_lstm").kind == "layer"
    assert opened(lstm.trace(x)).kind == "trace"
    assert opened(lstm.stream()).config["input_size"] == 4
    assert opened(LiveStream(lstm.stream()), "live").name == "live"
    run = hs.trace(nn.Sequential(lstm), x)
    assert opened(run).name == "0"
    bundle = Bundle("layer", "x", {}, b"")
    assert opened(bundle) is bundle


def test_a_stream_has_the_weights_of_its_lstm() -> None:
    lstm = hs.LSTM(4, 3, num_layers=2, bias=False, proj_size=2)
    found = safetensors.torch.load(opened(lstm.stream()).weights)
    assert set(found) == set(lstm.state_dict())
    assert all(torch.equal(found[name], value) for name, value in lstm.state_dict().items())


def test_a_module_that_is_called() -> None:
    embedding = nn.Embedding(10, 4)
    model = nn.Sequential(embedding, nn.LSTM(4, 3))
    found = safetensors.torch.load(opened(model, x=torch.tensor([1, 2, 3]), tokens=list("abc")).weights)
    assert torch.equal(found["given.input"], embedding.weight[1:4])


def test_names() -> None:
    lstm, run = hs.LSTM(4, 3), hs.trace(nn.Sequential(hs.LSTM(4, 3)), torch.zeros(2, 4))
    assert named([{"before": lstm, "after": lstm}, lstm]) == [("before", lstm), ("after", lstm), ("", lstm)]
    assert named([run]) == [("", run)]
    assert named([]) == [("", shipped())]
    converted = hs.convert(nn.LSTM(4, 3))
    assert named([converted]) == [("", converted)]
    with pytest.raises(ArgumentError, match="no model to open"):
        named([{}])


@pytest.mark.parametrize(
    ("thing", "options", "error", "match"),
    [
        (3, {}, ArgumentTypeError, "the studio shows .* got int"),
        (hs.Sizes(4, 3), {}, ArgumentTypeError, "got Sizes"),
        (nn.Linear(2, 2), {}, ArgumentError, "no LSTM"),
        (shipped(), {"x": [[1.0]]}, ArgumentError, "x= is for a layer"),
        (nn.ModuleList([nn.LSTM(2, 2), nn.LSTM(2, 2)]), {}, ArgumentError, "choose one with path="),
        (nn.LSTM(2, 2), {"path": "a"}, NameUnknownError, "no LSTM, GRU or RNN at 'a'"),
        (nn.LSTM(2, 2), {"tokens": ["a"]}, ArgumentError, "hx= and tokens= go with x="),
        (nn.LSTM(2, 2), {"hx": (torch.zeros(1, 2), torch.zeros(1, 2))}, ArgumentError, "go with x="),
        (nn.LSTM(2, 2), {"x": "abc"}, ArgumentTypeError, "x must be numbers that the layer reads, got str"),
        (nn.LSTM(2, 2), {"x": [[1.0, 2.0], [1.0]]}, ArgumentTypeError, "got list: expected sequence of length 2"),
        (nn.LSTM(2, 2, device="meta"), {}, ArgumentError, "no numbers to show"),
        (shipped(), {"path": "char_lstm"}, ArgumentError, "path= is for a module or a trace of one"),
        (hs.LSTM(2, 2).trace(torch.zeros(3, 2)), {"path": "a"}, ArgumentError, "but this is a Trace"),
        (hs.LSTM(2, 2).stream(), {"path": "a"}, ArgumentError, "but this is a Stream"),
    ],
)
def test_opened_fails(thing: Any, options: dict[str, Any], error: type[HiddenStateError], match: str) -> None:
    with pytest.raises(error, match=match):
        opened(thing, **options)


def test_a_run_of_several_traces_fails() -> None:
    run = hs.trace(nn.Sequential(hs.LSTM(4, 4), nn.Identity()), torch.zeros(2, 4))
    with pytest.raises(NameUnknownError):
        opened(run, path="1")


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = hs.LSTM(4, 4), hs.LSTM(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.b(self.a(x)[0])[0]
        return out


def test_a_trace_of_several_is_chosen() -> None:
    run = hs.trace(Twice(), torch.zeros(2, 4))
    assert opened(run, path="b").name == "b"
    with pytest.raises(ArgumentError, match="2 traces; choose one with path=: 'a', 'b'"):
        opened(run)
