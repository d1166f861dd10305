"""An index depends on its model, corpus and labels as they were when it was made, and on nothing else."""

import errno
import functools
import io
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import hiddenstate as hs
from corpus.corpora import arrays, lstm_of, make, plain_values, words_of
from hiddenstate.cli import app
from hiddenstate.corpus import opened
from hiddenstate.corpus.search import find
from hiddenstate.errors import ArgumentError, ArgumentTypeError, FileFormatError, FileWriteError
from hiddenstate.models.language.config import LanguageConfig
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.text.tokens import learn
from support import diagonal

pytest.importorskip("pyarrow")
pytest.importorskip("lark")

DATA = Path(__file__).parents[1] / "data" / "tiny-train.conllu"
LINES = [f"the old lion {'sleeps' * (k % 3)} tonight {k}\n" for k in range(60)]
GENTLE: dict[str, Any] = {"places": "l0.h", "thresholds": {"*": (0.5,)}}


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A text that is cut into several shards."""
    monkeypatch.setattr(opened, "TEXT_SHARD_BYTES", 300)
    path = tmp_path / "text.txt"
    path.write_text("".join(LINES))
    return path


def every_file(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "run.lock"
    }


class StoppedError(Exception):
    """Stops a run."""


def after_a_shard(action: Callable[[], object]) -> Callable[[int, int], None]:
    """Progress that calls a function once, after the first shard."""
    calls: list[int] = []

    def report(count: int, total: int) -> None:
        if count < total and not calls:
            calls.append(count)
            action()

    return report


def stop() -> None:
    raise StoppedError


WORDS = ("<unk>", "the", "old", "lion")


def small_tagger(words: Sequence[str] = WORDS) -> Any:
    lstm = lstm_of(bidirectional=True)
    return hs.tagger((torch.nn.Embedding(4, 3), lstm, torch.nn.Linear(10, 2)), words, ["A", "B"])


def language_model() -> Any:
    torch.manual_seed(0)
    tokens, _ = learn(io.BytesIO("".join(LINES).encode()), "char")
    return LanguageModel(LanguageConfig(embedding_size=4, hidden_size=5), tokens).eval()


# The model.


@pytest.mark.parametrize("reopened", [False, True])
def test_training_on_does_not_change_an_index(tmp_path: Path, reopened: bool) -> None:
    lstm, xs = lstm_of(), arrays(20, 1)
    values = np.concatenate(plain_values(lstm, xs, "l0.h"))[:, 1]
    index = make(tmp_path / "index", lstm, xs)
    card = index.unit("l0.h[1]").to_json()
    with torch.no_grad():
        for weight in lstm.parameters():
            weight.zero_()
    index = hs.open_index(index.folder) if reopened else index
    assert index.search("l0.h[1] > .123").matched_steps == int((values > np.float32(0.123)).sum()) > 0
    assert index.unit("l0.h[1]").to_json() == card
    best = index.like(xs[3], 2, k=1).matches[0]
    assert (best.context.sequence, best.context.start) == (3, 2)
    assert best.score == pytest.approx(1, abs=1e-5)


def test_a_model_that_is_trained_while_it_is_indexed_is_indexed_as_it_was(tmp_path: Path, text: Path) -> None:
    model = language_model()
    whole = hs.index(model, text, tmp_path / "whole", **GENTLE)

    def train() -> None:
        with torch.no_grad():
            model.lstm.weight_hh_l0.zero_()

    hs.index(model, text, tmp_path / "other", progress=after_a_shard(train), **GENTLE)
    assert every_file(tmp_path / "other") == every_file(whole.folder)


@pytest.mark.parametrize("change", ["float16 on disk", "int8 layer", "float64"])
def test_an_index_is_that_of_the_model_it_stores(tmp_path: Path, change: str) -> None:
    """The model that is stored with an index has the weights that were indexed."""
    tagger = small_tagger()
    if change == "int8 layer":
        tagger = hs.convert(tagger, weights="int8", inplace=False)
    elif change == "float64":
        tagger = tagger.double()
    else:
        tagger.config = replace(tagger.config, weights_dtype="float16")
    index = hs.index(tagger, DATA, tmp_path / "index")
    again = hs.open_index(index.folder)
    query = "l0.h[1] > .0123"
    assert index.search(query).summary()["count"] == again.search(query).summary()["count"] > 0
    weight = tagger.state_dict()["head.weight"]
    np.testing.assert_allclose(again.reader.model.head.weight.detach(), weight, rtol=1e-7)
    hs.studio(tagger, index=again)
    hs.index(tagger, DATA, tmp_path / "index")


def test_a_folder_with_the_model_of_another_index_is_refused(tmp_path: Path) -> None:
    lstm, xs = lstm_of(), arrays(4, 1)
    index, other = make(tmp_path / "a", lstm, xs), make(tmp_path / "b", lstm_of(1), xs)
    shutil.rmtree(index.folder / "model")
    shutil.copytree(other.folder / "model", index.folder / "model")
    with pytest.raises(FileFormatError, match="not the model that was indexed"):
        hs.open_index(index.folder)


def test_a_model_with_the_same_layer_is_another_model(tmp_path: Path) -> None:
    indexed = small_tagger()
    index = hs.index(indexed, DATA, tmp_path / "index")
    others = [small_tagger(("<unk>", "the", "new", "lion")), small_tagger(), small_tagger()]
    with torch.no_grad():
        others[1].head.weight.add_(1)
        next(others[2].word_embedding.parameters()).add_(1)
    for other in others:
        with pytest.raises(ArgumentError, match="belongs to a different model"):
            hs.studio(other, index=index)
    hs.studio(small_tagger(), index=index)
    layer = make(tmp_path / "layer", indexed.lstm, arrays(3, 1))
    with pytest.raises(ArgumentError, match="belongs to a different model"):
        hs.studio(indexed, index=layer)


# Types that are in force.


@contextmanager
def in_float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def no_default_device() -> Iterator[None]:
    """In torch 2.8 get_default_device() fails after this."""
    torch.set_default_device("cpu")
    torch.set_default_device(None)
    yield


AROUND: dict[str, Callable[[], Any]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "float64": in_float64,
    "device": lambda: torch.device("meta"),
    "no device": no_default_device,
}


@pytest.mark.parametrize(("kind", "name"), diagonal(["LSTM", "GRU", "tagger", "language model"], AROUND))
def test_an_index_does_not_depend_on_the_types_in_force(tmp_path: Path, kind: str, name: str) -> None:
    around = AROUND[name]

    def answers(folder: Path) -> list[Any]:
        index = hs.index(model, corpus, folder, labels=labels)
        files = {name: content for name, content in every_file(folder).items() if not name.startswith("model/")}
        for opened_index in (index, hs.open_index(folder)):
            query = "l0.h[1] > .0123, l0.h[2] < .05 before"
            found = [opened_index.search(query).summary()["count"], opened_index.unit("l0.h[1]").to_json()]
            nearest = opened_index.like(x, 1).to_json()
        return [files, found, nearest, opened_index.units().to_json()]

    model: Any
    corpus: Any
    x: Any
    labels: Any = None
    if kind in ("LSTM", "GRU"):
        corpus = arrays(9, 1)
        model, x, labels = lstm_of(cell=kind), corpus[1], words_of(corpus, 2)
    elif kind == "tagger":
        model, corpus, x = small_tagger(), DATA, "the old lion"
    else:
        model, corpus, x = language_model(), tmp_path / "text.txt", "the old"
        corpus.write_text("".join(LINES[:9]))
    expected = answers(tmp_path / "plain")
    with around():
        assert answers(tmp_path / "around") == expected


# Labels.


def halves(tokens: Sequence[str], *, above: str = "m") -> list[str]:
    return [str(token > above) for token in tokens]


class Above:
    def __init__(self, above: str) -> None:
        self.above = above

    def __call__(self, tokens: Sequence[str]) -> list[str]:
        return halves(tokens, above=self.above)

    def labels(self, tokens: Sequence[str]) -> list[str]:
        return halves(tokens, above=self.above)


ABOVE = "m"


def of_a_global(tokens: Sequence[str]) -> list[str]:
    return halves(tokens, above=ABOVE)


def closure(above: str) -> Callable[[Sequence[str]], list[str]]:
    return lambda tokens: halves(tokens, above=above)


def default(limit: str) -> Callable[[Sequence[str]], list[str]]:
    def inner(tokens: Sequence[str], above: str = limit) -> list[str]:
        return halves(tokens, above=above)

    return inner


FUNCTIONS: dict[str, Callable[[str], Callable[[Sequence[str]], list[str]]]] = {
    "closure": closure,
    "default": default,
    "partial": lambda above: functools.partial(halves, above=above),
    "callable object": Above,
    "bound method": lambda above: Above(above).labels,
}


@pytest.mark.parametrize(
    ("kind", "is_complete"), [*((kind, False) for kind in (*FUNCTIONS, "global")), ("closure", True), ("global", True)]
)
def test_labels_of_two_functions_are_never_mixed(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch, kind: str, is_complete: bool
) -> None:
    def function(above: str) -> Callable[[Sequence[str]], list[str]]:
        if kind == "global":
            monkeypatch.setitem(globals(), "ABOVE", above)
            return of_a_global
        return FUNCTIONS[kind](above)

    model, folder = language_model(), tmp_path / "index"
    if is_complete:
        hs.index(model, text, folder, labels=function("m"), **GENTLE)
    else:
        with pytest.raises(StoppedError):
            hs.index(model, text, folder, labels=function("m"), progress=after_a_shard(stop), **GENTLE)
    with pytest.raises(ArgumentError, match="labels= returns different labels"):
        hs.index(model, text, folder, labels=function("f"), **GENTLE)
    index = hs.index(model, text, folder, labels=function("m"), **GENTLE)  # the first function may go on
    hs.index(model, text, tmp_path / "whole", labels=lambda tokens: halves(tokens), **GENTLE)
    assert every_file(folder) == every_file(tmp_path / "whole")
    for shard in index.shards:
        item = index.text(shard).item(0)
        assert list(item.labels) == halves(item.tokens)


@pytest.mark.slow
def test_worker_processes_give_the_labels_of_this_process(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = language_model()
    with pytest.raises(ArgumentTypeError, match=r"labels= .* worker processes"):
        hs.index(model, text, tmp_path / "lambda", labels=lambda tokens: [*tokens], workers=2)
    assert not (tmp_path / "lambda").exists()
    monkeypatch.setitem(globals(), "ABOVE", "f")  # which a worker process does not see
    with pytest.raises(ArgumentError, match="labels= returns different labels"):
        hs.index(model, text, tmp_path / "global", labels=of_a_global, workers=2, **GENTLE)
    one = hs.index(model, text, tmp_path / "global", labels=of_a_global, **GENTLE)
    assert one.search("label = True").matched_steps > 0


# The corpus.


def rewritten(path: Path) -> None:
    path.write_text(path.read_text().replace("lion", "cats"))


def rewritten_with_the_same_time(path: Path) -> None:
    before = path.stat()
    rewritten(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def shortened(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def replaced(path: Path) -> None:
    path.with_suffix(".new").write_text(path.read_text().upper())
    path.with_suffix(".new").replace(path)


CHANGES = [rewritten, rewritten_with_the_same_time, shortened, replaced]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["text", "parquet"])
def test_a_corpus_that_changes_while_it_is_indexed_is_refused(
    tmp_path: Path, text: Path, change: Callable[[Path], None], kind: str
) -> None:
    model, folder, path, new = language_model(), tmp_path / "index", text, tmp_path / "new.txt"
    shutil.copyfile(text, new)
    change(new)
    if kind == "parquet":
        path, new = (as_parquet(each) for each in (text, new))
    content, times = path.read_bytes(), path.stat()

    def put(other: bytes) -> None:
        path.write_bytes(other)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    with pytest.raises(FileFormatError, match=r"text\.txt changed .* restore|text\.parquet (changed|is damaged)"):
        hs.index(model, path, folder, progress=after_a_shard(lambda: put(new.read_bytes())), **GENTLE)
    with pytest.raises(FileFormatError, match="not complete"):
        hs.open_index(folder)
    with pytest.raises(ArgumentError, match="differ in files"):
        hs.index(model, path, folder, **GENTLE)
    put(content)
    hs.index(model, path, folder, **GENTLE)
    hs.index(model, path, tmp_path / "whole", **GENTLE)
    assert every_file(folder) == every_file(tmp_path / "whole")


def as_parquet(path: Path) -> Path:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"n": [*range(len(path.read_text().splitlines()))], "text": path.read_text().splitlines()})
    parquet.write_table(table, path.with_suffix(".parquet"), row_group_size=20)
    return path.with_suffix(".parquet")


def test_arrays_that_change_while_they_are_indexed_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hiddenstate.corpus.index.readers.ARRAYS_TOGETHER", 4)
    xs, lstm = arrays(12, 1), lstm_of()
    with pytest.raises(ArgumentError, match=r"arrays 4 to 7 changed"):
        make(tmp_path / "index", lstm, xs, progress=after_a_shard(lambda: [x.zero_() for x in xs]))
    with pytest.raises(FileFormatError, match="not complete"):
        hs.open_index(tmp_path / "index")


@pytest.mark.parametrize("command", ["tag", "score"])
def test_a_corpus_that_changes_while_it_is_tagged_or_scored_is_refused(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    from hiddenstate.corpus.shards import run

    process = run.process

    def process_and_change(*arguments: Any) -> None:
        process(*arguments)
        shortened(text)

    monkeypatch.setattr(run, "process", process_and_change)
    second = tmp_path / "second.txt"
    shutil.copyfile(text, second)
    monkeypatch.setattr("hiddenstate.corpus.shards.plan.SHARD_BYTES", 300)
    monkeypatch.setattr("hiddenstate.corpus.tasks.SHARD_BYTES", 300)
    arguments = [command, str(second), str(text), "-o", str(tmp_path / "out"), "--shards"]
    with pytest.raises(FileFormatError, match=r"text\.txt changed"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


@pytest.mark.parametrize("content", ["", "\n\n", "# only a comment\n\n"])
def test_a_corpus_with_nothing_to_read_leaves_nothing(tmp_path: Path, content: str) -> None:
    path, folder, tagger = tmp_path / "a.conllu", tmp_path / "deeper" / "index", small_tagger()
    path.write_text(content)
    with pytest.raises(FileFormatError, match="nothing to read"):
        hs.index(tagger, path, folder)
    assert not folder.exists()
    folder.mkdir(parents=True)
    with pytest.raises(FileFormatError, match="nothing to read"):
        hs.index(tagger, path, folder)
    shutil.copyfile(DATA, path)
    hs.index(tagger, path, folder)


# Messages, and files of strangers.


@pytest.mark.parametrize("key", ["shards", "thresholds", "places", "sizes", "labels", "weights", "kind", "model"])
def test_damaged_manifests_are_refused(tmp_path: Path, key: str) -> None:
    index = make(tmp_path / "index", lstm_of(), arrays(4, 1))
    manifest = index.folder / "manifest.json"
    about = json.loads(manifest.read_text())
    wrong: list[Any] = [None, 3, "x", [], {}, [1], {"a": 1}, {"l0.h": 1}, {"l0.h": ["x"]}, {"l0.h": [1e400]}]
    for value in [*wrong, {"l9.h": [1]}, {"l0.h": [0.5] * 100_000}]:
        if key == "labels" or (key == "thresholds" and value == {}):
            continue
        manifest.write_text(json.dumps({**about, key: value}))
        with pytest.raises(FileFormatError, match="manifest|an index"):
            hs.open_index(index.folder)
    manifest.write_text(json.dumps({**about, "labels": {"a": 1}}))
    hs.open_index(index.folder).search("l0.h[1] > .1")


def test_queries_beyond_all_numbers_are_refused_without_a_warning(tmp_path: Path) -> None:
    index = make(tmp_path / "index", lstm_of(), arrays(4, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ArgumentError, match="beyond the range of float32"):
            index.search("l0.h[1] > 1e39")
        with pytest.raises(ArgumentError, match="thresholds must be finite"):
            make(tmp_path / "other", lstm_of(), arrays(4, 1), thresholds={"*": (1e39,)})
    for steps in ("5000000..", "5000000", "5000000..6000000"):
        with pytest.raises(ArgumentError, match=r"at most 4,194,304 steps, got 5000000"):
            index.search(f"l0.h[1] > 1 for {steps}")
    assert index.search("l0.h[1] > 1 for 1..5000000").count == 0


@pytest.mark.parametrize("x", ["a text", 3, None, [["a"]], object()])
def test_a_layer_finds_states_like_those_of_an_array(tmp_path: Path, x: Any) -> None:
    index = make(tmp_path / "index", lstm_of(), arrays(4, 1))
    with pytest.raises(ArgumentTypeError, match=r"array .* must be a tensor or an array of numbers \[T, C\], got"):
        index.like(x)
    with pytest.raises(ArgumentTypeError, match=r"array 0 must be"):
        hs.index(lstm_of(), [x], tmp_path / "other")


def test_stored_bits_do_not_follow_a_link(tmp_path: Path) -> None:
    index, elsewhere = make(tmp_path / "index", lstm_of(), arrays(4, 1)), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (index.folder / "searched").symlink_to(elsewhere)
    with pytest.raises(FileWriteError, match="is a link"):
        index.search("l0.h[1] > .123")
    assert not list(elsewhere.iterdir())


def test_a_read_only_index_answers_without_storing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lstm, xs = lstm_of(), arrays(20, 1)
    values = np.concatenate(plain_values(lstm, xs, "l0.h"))[:, 1]
    index = make(tmp_path / "index", lstm, xs)

    def refuse(number: int) -> None:
        def mkdir(path: Path, **_: Any) -> None:
            raise OSError(number, os.strerror(number), str(path))

        monkeypatch.setattr(Path, "mkdir", mkdir)

    refuse(errno.EROFS)
    result = index.search("l0.h[1] > .123")
    assert result.matched_steps == int((values > np.float32(0.123)).sum()) > 0
    assert result.cost == index.steps
    assert not (index.folder / "searched").exists()
    refuse(errno.ENOSPC)
    with pytest.raises(FileWriteError, match="make room"):
        index.search("l0.h[1] > .123")


def test_single_letters_among_words_stay_apart(tmp_path: Path) -> None:
    lines = [["I", "a", "b", "x", "c", "d"], ["longer", "words", "x", "too"]]
    index = make(tmp_path / "words", lstm_of(), [torch.ones(len(line), 3) for line in lines], tokens=lines)
    assert "I a b [x] c d" in str(index.search("token = x"))
    assert index.search("token = x").rows()[1]["before"] in ("I a b", "longer words")
    letters = make(tmp_path / "letters", lstm_of(), [torch.ones(6, 3)], tokens=[list("Iabxcd")])
    assert "Iab [x] cd" in str(letters.search("token = x"))


def test_stored_bits_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lstm, xs = lstm_of(), arrays(20, 1)
    values = np.concatenate(plain_values(lstm, xs, "l0.h"))
    monkeypatch.setattr(find, "MOST_SEARCHED", 10 * 4096)
    index, searched = make(tmp_path / "index", lstm, xs), tmp_path / "index" / "searched"
    for k in range(1, 60):
        unit, limit = k % 5, np.float32(k / 200)
        assert index.search(f"l0.h[{unit}] > {limit}").matched_steps == int((values[:, unit] > limit).sum())
        assert len([*searched.iterdir()]) <= 10
    many = " and ".join(f"l0.h[1] > {-k / 100}" for k in range(1, 30))
    assert index.search(many).cost  # a query may need more than that
    assert index.search("l0.h[2] > .777").matched_steps == int((values[:, 2] > np.float32(0.777)).sum())
    assert len([*searched.iterdir()]) <= 10


def test_bits_that_another_search_forgets_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lstm, xs = lstm_of(), arrays(20, 1)
    values = np.concatenate(plain_values(lstm, xs, "l0.h"))[:, 1]
    index = make(tmp_path / "index", lstm, xs)
    stored = find.make_bits

    def make_and_forget(*arguments: Any) -> Any:
        steps = stored(*arguments)
        shutil.rmtree(index.folder / "searched")
        return steps

    monkeypatch.setattr("hiddenstate.corpus.search.find.make_bits", make_and_forget)
    assert index.search("l0.h[1] > .123").matched_steps == int((values > np.float32(0.123)).sum())
