"""The examples run unchanged, and the notebook has the same code as the script."""

import asyncio
import io
import os
import re
import runpy
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cosine_similarity

import hiddenstate as hs
from hiddenstate.models.model_folder import load_tagger
from hiddenstate.models.tagger.training import train_tagger
from support import Later

jupytext: Any = Later("jupytext")
nbclient: Any = Later("nbclient")
nbformat: Any = Later("nbformat")

EXAMPLES = Path(__file__).parents[1] / "examples"
TRAIN = Path(__file__).parent / "data" / "tiny-train.conllu"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
# The lesson's numbers, as torch prints them.
GOLDEN = ["[1.4934, 0.4987, 0.2319, 1.1746]", "[-0.4372,  0.2583,  0.2947]", "[-0.7344,  0.6209,  0.4191]"]
GOLDEN += ["[ 0.1611,  0.2200,  0.2213]", "[-0.2007, -0.1559,  0.2489]", "[-0.4429, -0.2975,  0.3252]"]


def test_the_lesson_prints_its_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "structure_and_hidden_state.py"))
    printed = capsys.readouterr().out
    assert [line for line in GOLDEN if line not in printed] == []
    assert "W_if" in printed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_is_the_script(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    source = jupytext.read(path.with_suffix(".py"))
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in source.cells], "run `make notebook`"


# ipykernel and its event loop warn about their own internals.
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    printed = "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", []))
    assert [line for line in GOLDEN if line not in printed] == []


def archive(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return path


def run_example(name: str, *arguments: str | Path) -> None:
    before, sys.argv = sys.argv, [name, *map(str, arguments)]
    try:
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    finally:
        sys.argv = before


def test_text_for_contexts_from_what_packages_have(tmp_path: Path) -> None:
    quips, pages = tmp_path / "quips", tmp_path / "pages"
    quips.mkdir()
    pages.mkdir()
    (quips / "wisdom").write_text("Don't panic.\n\t\t-- Someone\n%\nOne. Two words.\n")
    (quips / "wisdom.dat").write_bytes(b"\0")
    page = "<html><head><title>No</title></head><p>A paragraph &amp; <b>its</b> words, long enough.</p></html>"
    (pages / "secA.html").write_text(page)
    moods = {f"x/{name}_GroundTruth.txt": b"" for name in ("movieReviewSnippets", "nytEditorialSnippets", "tweets")}
    moods["x/amazonReviewSnippets_GroundTruth.txt"] = b"1_1\t-0.9\tit works &amp; it's fine.\n"
    inner = archive(tmp_path / "inner.tar.gz", moods).read_bytes()
    vader = archive(tmp_path / "vader.tar.gz", {"v/hutto_ICWSM_2014.tar.gz": inner})
    pattern = {
        "p/tagged-en-oanc.txt": b"1/2/CD of/IN it/PRP\n",
        "p/polarity-en-pang&lee1.csv": b'"1","it\'s good . "\n',
    }
    more = tmp_path / "more.txt"
    sources = ("--pattern", archive(tmp_path / "pattern.tar.gz", pattern), "--vader", vader)
    run_example("text_of_packages.py", "--fortunes", quips, "--anarchism", pages, *sources, "--out", more)
    expected = [
        "Do n't panic . -- Someone",
        "One .",
        "Two words .",
        "it works & it 's fine .",
        "1/2 of it",
        "it 's good .",
    ]
    assert more.read_text().splitlines() == [*expected, "A paragraph & its words , long enough ."]

    out, trees = tmp_path / "out.txt", tmp_path / "trees.conllu"
    trees.write_text("".join(f"{k}\t{word}" + "\t_" * 8 + "\n" for k, word in enumerate(["Hello", "."], 1)) + "\n")
    run_example("text_for_contexts.py", "--sentences", trees, "--times", "2", "--lines", more, "--out", out)
    assert sorted(out.read_text().splitlines()) == sorted([*more.read_text().splitlines(), *["Hello ."] * 2])


def test_a_start_from_neighbours_knows_which_words_are_alike(tmp_path: Path) -> None:
    nouns, verbs = ("cat", "dog", "cow", "hen"), ("sees", "finds", "hears", "likes")
    text = [f"The {one} {verb} a {other} here." for one in nouns for other in nouns for verb in verbs]
    (tmp_path / "more.txt").write_text("\n".join(text))
    config = tmp_path / "small.toml"
    sizes = "word_size = 6\nhidden_size = 8\nepochs = 1\nweights_dtype = 'float32'\n"
    config.write_text(f"[files]\ntrain = '{TRAIN.as_posix()}'\ndev = '{TRAIN.as_posix()}'\n[settings]\n{sizes}")
    start = tmp_path / "start"
    given = ("--config", config, "--untagged", tmp_path / "more.txt", "--contexts", "50", "--spread", "0.2")
    run_example("start_from_neighbours.py", *given, "--out", start)
    tagger = load_tagger(start)
    vectors = tagger.word_embedding.weight.detach()
    torch.testing.assert_close(vectors[2:].square().mean(dim=1).sqrt(), torch.full([len(vectors) - 2], 0.2))
    noun, verb = (vectors[tagger.encoder.words.ids(words)] for words in (nouns, verbs))
    assert cosine_similarity(noun[:, None], noun, dim=-1).min() > 0.9 > cosine_similarity(noun[:, None], verb, -1).max()
    train_tagger(TRAIN, TRAIN, tmp_path / "out", tagger.config, start=start)
    assert load_tagger(tmp_path / "out").encoder.words == tagger.encoder.words


@pytest.mark.skipif(
    not torch.distributed.is_available() or not torch.distributed.is_gloo_available(), reason="this torch has no gloo"
)
@pytest.mark.slow
def test_training_in_two_processes_brings_the_loss_down() -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, str(EXAMPLES / "data_parallel.py")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    losses = [float(loss) for loss in re.findall(r"step +\d+  loss (\S+)", done.stdout)]
    assert len(losses) == 6
    assert losses[-1] < losses[0] / 2


def test_a_server_gives_a_thousand_sources_what_streams_of_their_own_give() -> None:
    example = runpy.run_path(str(EXAMPLES / "streaming_server.py"))
    server = asyncio.run(example["main"](1000))  # raises an error if an answer differs
    assert server.steps > 4 * server.turns  # many sources share a turn
    assert server._stream.rows == ()


@pytest.mark.parametrize("bad", [torch.zeros(3), torch.zeros(1, 4), torch.full([4], float("nan"))])
def test_a_bad_input_to_a_server_fails_only_for_its_source(bad: torch.Tensor) -> None:
    example = runpy.run_path(str(EXAMPLES / "streaming_server.py"))
    lstm, x = hs.LSTM(4, 3), torch.randn(4)

    async def main() -> torch.Tensor:
        server = example["Server"](lstm)
        serving = asyncio.create_task(server.run())
        async with server.source() as good, server.source() as other:
            wrong, right = await asyncio.wait_for(
                asyncio.gather(other.step(bad), good.step(x), return_exceptions=True), 10
            )
        serving.cancel()
        assert isinstance(wrong, ValueError)
        assert isinstance(right, torch.Tensor)
        return right

    assert torch.equal(asyncio.run(main()), lstm.stream().step(x))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, about TorchScript
def test_a_torchscript_model_streams_with_its_own_numbers() -> None:
    example = runpy.run_path(str(EXAMPLES / "torchscript_stream.py"), run_name="example")
    assert example["main"]() < 1e-6
