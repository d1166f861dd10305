"""What version 0.1.0 wrote is read, with its numbers; what programs and pickles of then import is there."""

import importlib
import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.models.folder import load, load_language_model
from support import assert_close

DATA = Path(__file__).parent / "data" / "v0_1_0"
NUMBERS = load_file(DATA / "numbers.safetensors")
MODULES = (DATA / "modules.txt").read_text(encoding="utf-8").split()
WORDS = ("Nora", "follows", "a", "dog", ".")
TEXT = "the cat sat on the mat .\nthe dog saw the cat .\n"

# What README, docs and examples of 0.1.0 import, or name as the place of something.
IMPORTS = {
    "hiddenstate": (
        "ConversionReport Edit HiddenStateError LSTM LSTMCell ModelTrace Moment Sizes Stream Structure "
        "Studio Trace __version__ add backend convert convert_back equinox_weights errors export_onnx find_lstms "
        "flax_weights from_equinox from_flax from_keras from_onnx from_state_dict from_torch keras_weights native "
        "onnx_weights patch scale set structure_of studio trace zero"
    ),
    "hiddenstate.conversion_report": "Converted Left",
    "hiddenstate.errors": "HiddenStateError MissingDependencyError",
    "hiddenstate.interop.found": "Found",
    "hiddenstate.interop.layouts": "LAYOUTS",
    "hiddenstate.models.accuracy": "Accuracy Report TagAccuracy evaluate fitted_temperatures words_of",
    "hiddenstate.models.calibration": "Calibration",
    "hiddenstate.models.config": "TaggerConfig",
    "hiddenstate.models.contextual": "ContextualVectors",
    "hiddenstate.models.crf": "Chain",
    "hiddenstate.models.folder": "load load_language_model save shipped",
    "hiddenstate.models.generation": "Sampling",
    "hiddenstate.models.language": "LanguageModel",
    "hiddenstate.models.language_config": "LanguageConfig defaults_for",
    "hiddenstate.models.report_plot": "plot_reports",
    "hiddenstate.models.scoring": "Dynamic Scored score",
    "hiddenstate.models.softmax": "AdaptiveSoftmax",
    "hiddenstate.models.surprise": "Tally measure",
    "hiddenstate.models.tagger": "Tagger",
    "hiddenstate.models.tagging": "Guess Reading Tagging Tags",
    "hiddenstate.structure": "Weight",
    "hiddenstate.studio.live": "Watched",
    "hiddenstate.studio.serving": "Running",
    "hiddenstate.summary": "StepSummary summary_of",
    "hiddenstate.text.batches": "Batch Encoded Encoder plan_batches",
    "hiddenstate.text.conllu": "Sentence from_words parse_conllu read_conllu to_conllu with_comments with_tags",
    "hiddenstate.text.continuous": "Rows spans",
    "hiddenstate.text.corpora": "Corpus get path_of",
    "hiddenstate.text.source": "read_text",
    "hiddenstate.text.tokenise": "sentences tokenise",
    "hiddenstate.text.tokens": "Tokens learn",
    "hiddenstate.text.vocabulary": "Vocabulary",
    "hiddenstate.train": "Training resume_tagger train_tagger",
    "hiddenstate.train_language": "LanguageTraining resume_language_model train_language_model",
    "hiddenstate.training.checkpoint": "RunFolder",
    "hiddenstate.training.config": "TrainConfig",
    "hiddenstate.training.loop": "fit",
    "hiddenstate.training.machine": "machine_of",
    "hiddenstate.training.plot": "plot_run read_metrics",
    "hiddenstate.training.progress": "Epoch Result Score Step",
    "hiddenstate.training.task": "Loss Task split",
}


def inputs() -> Tensor:
    return torch.arange(40.0).sin().reshape(5, 2, 4)


def old_pickle(name: str) -> Any:
    return pickle.loads((DATA / "pickles" / f"{name}.pickle").read_bytes())


def tags_by(tagger: Any) -> Tensor:
    found: Tensor = tagger.tag([WORDS])[0].probabilities
    return found


def predicted_by(model: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(torch.from_numpy(model.tokens.encode(TEXT)).long()[:, None])[0]
    return found


def test_model_folders() -> None:
    assert_close(tags_by(load(DATA / "tagger")), NUMBERS["tagger"])
    assert_close(predicted_by(load_language_model(DATA / "language")), NUMBERS["language"])


def test_whole_models() -> None:
    model = torch.load(DATA / "model.pt", weights_only=False)
    assert [type(module) for module in model.children()] == [hs.LSTM, hs.LSTMCell, nn.Linear]
    with torch.no_grad():
        out, _ = model["lstm"](inputs())
        h, _ = model["cell"](out[-1])
        assert_close(model["head"](h), NUMBERS["model"])
    assert_close(tags_by(torch.load(DATA / "tagger.pt", weights_only=False)), NUMBERS["tagger"])
    assert_close(predicted_by(torch.load(DATA / "language.pt", weights_only=False)), NUMBERS["language"])


def test_a_whole_model_is_written_and_read_again() -> None:
    file = io.BytesIO()
    torch.save(torch.load(DATA / "model.pt", weights_only=False), file)
    file.seek(0)
    assert type(torch.load(file, weights_only=False)["lstm"]) is hs.LSTM


def test_a_stream_file() -> None:
    stream = torch.load(DATA / "model.pt", weights_only=False)["lstm"].stream(batch=2)
    stream.load(DATA / "stream.safetensors")
    assert stream.t == 2
    assert_close(stream.step(inputs()[2]), NUMBERS["stream"])


def check_trace(trace: hs.Trace) -> None:
    assert type(trace) is hs.Trace
    assert isinstance(trace.out, Tensor)
    assert_close(trace.out, NUMBERS["trace.out"])
    assert {f"trace.{name}" for name in trace} == {name for name in NUMBERS if name.startswith("trace.l")}
    for name in trace:
        assert_close(trace[name], NUMBERS[f"trace.{name}"], name)
    assert trace.words(0) == WORDS
    assert trace.row_length(1) == 3


def test_a_trace_file() -> None:
    check_trace(hs.Trace.load(DATA / "trace.safetensors"))


def test_pickles_of_modules() -> None:
    lstm, cell = old_pickle("lstm"), old_pickle("cell")
    assert type(lstm) is hs.LSTM
    assert type(cell) is hs.LSTMCell
    assert_close(lstm(inputs())[0], NUMBERS["lstm"])
    assert_close(old_pickle("converted")[0].to_torch()(inputs())[0], old_pickle("converted")[0](inputs())[0])
    found = old_pickle("found")
    assert_close(found["lstm"](inputs())[0], NUMBERS["lstm"])


def test_pickles_of_data() -> None:
    check_trace(old_pickle("trace"))
    assert old_pickle("sizes") == hs.Sizes(4, 3, num_layers=2, bidirectional=True)
    assert old_pickle("structure") == hs.structure_of(hs.Sizes(4, 3))
    assert str(old_pickle("structure")) == str(hs.structure_of(hs.Sizes(4, 3)))
    assert old_pickle("weight") == hs.structure_of(hs.Sizes(4, 3))["l0.W_if"]
    edit = old_pickle("edit")
    assert type(edit) is hs.Edit
    assert (edit.place, edit.kind, edit.unit, edit.t) == ("l0.f", "set", (0, 2), slice(1, 3))
    assert type(old_pickle("moment")) is hs.Moment
    assert str(old_pickle("moment")) == str(old_pickle("trace").at(t=2, unit=1, layer=1))
    run = old_pickle("run")
    assert type(run) is hs.ModelTrace
    assert isinstance(run.out, tuple)
    assert_close(run.out[0], NUMBERS["lstm"])
    assert run[""]["l1.h"].shape == (5, 2, 3)
    assert type(old_pickle("report")) is hs.ConversionReport
    assert len(old_pickle("report").converted) == 1


@pytest.mark.parametrize("module", IMPORTS)
def test_what_the_pages_of_then_import(module: str) -> None:
    found = importlib.import_module(module)
    assert [name for name in IMPORTS[module].split() if not hasattr(found, name)] == []


@pytest.mark.parametrize("module", MODULES)
def test_every_module_of_then_can_be_imported(module: str) -> None:
    assert importlib.import_module(module) is sys.modules[module]


@pytest.mark.parametrize("name", ["native", "lstm", "conversion", "train"])
def test_the_ways_to_import_a_module(name: str) -> None:
    program = f"""
import hiddenstate as hs
from hiddenstate import {name} as one
import hiddenstate.{name} as other
import hiddenstate.trace, hiddenstate.structure, hiddenstate.studio.view
from hiddenstate.structure import Structure
assert one is other is hs.{name}
assert callable(hs.trace) and callable(hs.studio), (hs.trace, hs.studio)
assert Structure is hs.Structure
assert not hasattr(hs, "no_such_module")
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_nothing_else_can_be_imported() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("hiddenstate.no_such_module")
    with pytest.raises(ImportError):
        exec("from hiddenstate import no_such_module")


def test_an_old_import_leaves_todays_functions() -> None:
    code = """
import hiddenstate as hs
import hiddenstate.edit, hiddenstate.trace, hiddenstate.conversion_report
from hiddenstate.edit import Edit
from hiddenstate.conversion_report import Left
assert all(type(value) is type(lambda: 0) for value in (hs.edit, hs.trace, hs.conversion_report))
assert Edit is hs.Edit
"""
    subprocess.run([sys.executable, "-c", code], check=True)
