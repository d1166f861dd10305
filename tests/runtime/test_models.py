"""The shipped models without torch: the same tags, and the same text."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hiddenstate as hs
import language_models
from hiddenstate.models.language.language_model import generate
from hiddenstate.models.language.sampling import Sampling
from hiddenstate.models.model_folder import load_any, load_language_model, load_tagger
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.text.conllu import read_conllu
from runtime.built import FOLDER, IS_BUILT, ROOT, needs_runtime

if IS_BUILT:
    import hiddenstate_runtime as hr

pytestmark = needs_runtime

SENTENCES = ["Giraffes in a field", "She can't have known what the old man's son would do .", "", "WOW", "x" * 80]
WITHOUT_TORCH = """
import sys
import hiddenstate_runtime as hr
tagger = hr.load(sys.argv[1])
print(" ".join(tagger.tag("Giraffes in a field").tags))
print("".join(hr.load(sys.argv[2]).generate("ROMEO:", 40, hr.Sampling(seed=1))))
assert not {"torch", "hiddenstate"} & set(sys.modules)
try:
    import torch
except ImportError:
    print("no torch")
"""


def test_taggings_are_the_same(tmp_path: Path) -> None:
    tagger = load_tagger("tagger-en")
    hs.save(tagger, tmp_path / "t.safetensors")
    ours = hr.load(tmp_path / "t.safetensors")
    rows = [ours.tag(text).words for text in SENTENCES]
    for got, wanted in zip(ours.tag_many(SENTENCES), tagger.tag(rows), strict=True):
        assert got.words == wanted.words
        assert got.tags == wanted.tags
        assert np.allclose(got.columns["upos"].probabilities, wanted.probabilities, atol=1e-6)


@pytest.mark.parametrize("cell", ["gru", "rnn", "rnn_relu"])
def test_models_of_other_cells(cell: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    sentences = read_conllu(ROOT / "tests" / "data" / "tiny-dev.conllu")
    tagger = Tagger.build(TaggerConfig(cell=cell, hidden_size=17), sentences).eval()
    hs.save(tagger, tmp_path / "t.safetensors")
    rows = [sentence.forms for sentence in sentences[:20]]
    stored: Any = hs.load(tmp_path / "t.safetensors")  # its weights are rounded
    for got, wanted in zip(hr.load(tmp_path / "t.safetensors").tag_many(rows), stored.tag(rows), strict=True):
        assert np.allclose(got.columns["upos"].probabilities, wanted.probabilities, atol=1e-6)
    lm = language_models.make(cell=cell)
    hs.save(lm, tmp_path / "lm.safetensors")
    text = "".join(hr.load(tmp_path / "lm.safetensors").generate("the cat", 30, hr.Sampling(temperature=0.0)))
    stored = hs.load(tmp_path / "lm.safetensors")
    assert text == "".join(stored.generate("the cat", 30, Sampling(temperature=0.0)))


def test_a_tagger_with_a_chain_and_two_columns(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sentences = [[("a", "X", "P"), ("b", "Y", "Q"), ("a", "Z", "P")], [("c", "X", "Q")]]
    text = "".join(
        "".join(f"{k}\t{w}\t_\t{u}\t{x}\t_\t0\t_\t_\t_\n" for k, (w, u, x) in enumerate(words, 1)) + "\n"
        for words in sentences
    )
    (tmp_path / "c.conllu").write_text(text)
    config = TaggerConfig(
        columns=("upos", "xpos"), crf=True, word_minimum=1, char_minimum=1, lower_case=False, bidirectional=False
    )
    tagger = Tagger.build(config, list(read_conllu(tmp_path / "c.conllu"))).eval()
    for chain in tagger.chains.values():
        for part in chain.parameters():
            part.data.normal_()
    hs.save(tagger, tmp_path / "t.safetensors")
    ours, rows = hr.load(tmp_path / "t.safetensors"), [["a", "b", "q"], ["c"], []]
    for got, wanted in zip(ours.tag_many(rows), tagger.tag(rows), strict=True):
        assert {column: tags.tags for column, tags in got.columns.items()} == {
            column: tags.tags for column, tags in wanted.columns.items()
        }


@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.5, "top_k": 5}, {"temperature": 0}, {"top_p": 0.8}])
def test_written_text_is_the_same(sampling: dict[str, Any], tmp_path: Path) -> None:
    model = load_language_model("shakespeare")
    hs.save(model, tmp_path / "lm.safetensors")
    ours = hr.load(tmp_path / "lm.safetensors")
    prompt = "ROMEO:\n"
    got = "".join(ours.generate(prompt, 300, hr.Sampling(seed=3, **sampling)))
    wanted = generate(model, model.tokens.encode(prompt), 300, Sampling(seed=3, **sampling))
    assert got == model.tokens.text_of(list(wanted), int(model.tokens.encode(prompt)[-1]))


def test_surprise_is_the_same(tmp_path: Path) -> None:
    model = load_language_model("shakespeare")
    hs.save(model, tmp_path / "lm.safetensors")
    text = "What light through yonder window breaks?\n" * 3
    ids = torch.tensor([model.tokens.start, *model.tokens.encode(text).tolist()])
    with torch.no_grad():
        wanted, _ = model.surprise(ids[:-1, None], ids[1:, None])
    assert np.allclose(hr.load(tmp_path / "lm.safetensors").surprise(text), wanted[:, 0], atol=1e-5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "t.safetensors"
    hs.save(load_tagger("tagger-en"), path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("entry", "change"),
    [
        ("vocabulary", {"tags": "x"}),
        ("vocabulary", {"tags": {"upos": 3}}),
        ("vocabulary", {"temperatures": {"upos": {}}}),
        ("vocabulary", {"temperatures": {"upos": 0}}),
        ("vocabulary", {"temperatures": 3}),
        ("vocabulary", {"words": None}),
        ("config", {"max_chars": 3.5}),
        ("config", {"hidden_size": -1}),
        ("config", {"hidden_size": 2**70}),
        ("config", {"word_size": "x"}),
        ("config", {"num_layers": None}),
    ],
)
def test_damaged_taggers_are_refused_when_they_are_loaded(entry: str, change: dict[str, Any], whole: bytes) -> None:
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])
    metadata = header["__metadata__"]
    metadata[entry] = json.dumps({**json.loads(metadata[entry]), **change})
    changed = json.dumps(header).encode()
    with pytest.raises(hr.HiddenStateError, match="cannot load the model"):
        hr.load(len(changed).to_bytes(8, "little") + changed + whole[8 + size :])


def test_the_code_on_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "howto" / "without_torch.md").read_text(encoding="utf-8")
    code = page.partition("## Python\n")[2].partition("```{code-block} python\n")[2].partition("\n```")[0]
    lstm = hs.LSTM(10, 64)
    hs.save(lstm, tmp_path / "lstm.safetensors")
    hs.save(load_tagger("tagger-en"), tmp_path / "tagger.safetensors")
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).standard_normal((5, 10), np.float32)
    names: dict[str, Any] = {"x": x, "result": np.empty(64, np.float32)}
    exec(compile(code, "without_torch.md", "exec"), names)
    with torch.no_grad():
        assert np.array_equal(names["out"], lstm(torch.from_numpy(x))[0])
    assert np.array_equal(names["result"], names["out"][0])
    assert names["tagger"].tag("Giraffes in a field").tags == ("NOUN", "ADP", "DET", "NOUN")


def test_it_runs_where_there_is_no_torch(tmp_path: Path) -> None:
    files = [str(tmp_path / f"{name}.safetensors") for name in ("tagger-en", "shakespeare")]
    for file in files:
        hs.save(load_any(Path(file).stem), file)
    site = tmp_path / "site"
    site.mkdir()
    for part in Path(np.__file__).parents[1].glob("numpy*"):
        (site / part.name).symlink_to(part)
    found = subprocess.run(
        [
            sys.executable,
            "-S",
            "-c",
            WITHOUT_TORCH,
            *(str(tmp_path / f"{n}.safetensors") for n in ("tagger-en", "shakespeare")),
        ],
        env={**os.environ, "PYTHONPATH": f"{FOLDER}{os.pathsep}{site}"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = found.stdout.splitlines()
    assert lines[0] == "NOUN ADP DET NOUN"
    assert lines[-1] == "no torch"
