"""Writes to unwritable places: either one of our errors with the name, and the old content stays, or everything is
written."""

import functools
import os
import random
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import torch
from pooch.utils import make_local_storage

import hiddenstate as hs
from attacks.formats import (
    CONLLU,
    TEXT,
    make_language_model,
    make_run,
    make_series_stream,
    make_stream,
    make_tagger,
    make_trace,
    read_series_stream,
    read_stream,
    state_dict,
)
from attacks.places import PLACES, READ_ONLY, Fill, NotToBeHadError
from hiddenstate.base.figures import Picture, save_picture
from hiddenstate.base.files import read_tensors
from hiddenstate.course import opening
from hiddenstate.course.figures import marks
from hiddenstate.course.files import NOTEBOOKS, copy
from hiddenstate.errors import FileWriteError
from hiddenstate.models.graph import c_file as graph_c_file
from hiddenstate.models.graph import file
from hiddenstate.models.model_file import FORMAT, read_layer, write_layer
from hiddenstate.models.model_folder import load_language_model, load_tagger
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.training import train_tagger
from hiddenstate.text import corpora
from hiddenstate.training.checkpoint import Checkpoint, Position, RunFolder

MISSING, WRITTEN, REFUSED = 3, 0, 4  # exit codes
Content = dict[str, bytes | None]
Place = Callable[[Path, Fill, random.Random], None]
CORPUS = "tiny-shakespeare"


class Thing(NamedTuple):
    """Something to write: first where nothing prevents it, then again where something does; and how to read it."""

    first: Callable[[Path], object]
    again: Callable[[Path], object]
    read: Callable[[Path], object]


def exported(path: Path) -> None:
    hs.export_onnx(hs.LSTM(2, 3), path, check=False)


def explanation(path: Path) -> None:
    hs.explain.ledger(hs.LSTM(2, 3), torch.randn(4, 1, 2), place="l0.c[1]").save(path)


def explanation_table(path: Path) -> None:
    hs.explain.ledger(hs.LSTM(2, 3), torch.randn(4, 1, 2), place="l0.c[1]").to_csv(path)


def begin(path: Path) -> None:
    make_run(path)
    RunFolder(path).write(Checkpoint(Position(), "data", state_dict()), finished=True)


def log(path: Path) -> None:
    RunFolder(path).log("step", {"text": "x" * random.randrange(1, 9000)})


def checkpoint(path: Path) -> None:
    RunFolder(path).write(Checkpoint(Position(), "data", state_dict()), finished=True)


def picture(path: Path) -> None:
    figure = Picture(figsize=(1, 1))
    figure.subplots().plot([random.random()])
    save_picture(figure, path.with_name("it.svg"))


def course_pages(path: Path) -> None:
    """The pages of the course, as after an update; notebooks replace pages, which a checkout may lack."""
    first, unit = Path("00-before.ipynb"), {"unit": marks.MODELS["unit"]}
    changed: dict[str, Any] = {"PAGES": NOTEBOOKS, "FIRST": first, "_stamp": lambda: str(random.random())}
    with mock.patch.multiple(opening, **changed), mock.patch.object(marks, "MODELS", unit):
        opening.first_page(path)


def page(path: Path) -> None:
    hs.studio(hs.LSTM(2, 3)).save(path)


def fetched(cache: Path) -> None:
    """A corpus whose download differs from the known text: its hash is not checked."""

    def retrieve(url: str, known_hash: str, fname: str, path: Path) -> None:
        if not (path / fname).exists():
            make_local_storage(path)
            (path / fname).write_text(TEXT * 50)

    pooch: Any = SimpleNamespace(retrieve=retrieve)
    with (
        mock.patch.object(corpora, "_pooch", return_value=pooch),
        mock.patch.dict(os.environ, HIDDENSTATE_CACHE=str(cache)),
    ):
        corpora.get(CORPUS)


def tagger_and_words(path: Path) -> None:
    make_tagger(path)
    path.with_name("words").write_text(CONLLU)


def half_replaced(path: Path) -> None:
    """As if a process was killed while replacing a model."""
    tagger_and_words(path)
    path.rename(path.with_name(f".{path.name}.0000.previous"))


def train(path: Path) -> None:
    """Train with checkpoints in a different place: a model that can't be saved must not be trained."""
    words, config = path.with_name("words"), TaggerConfig(epochs=1, hidden_size=2, word_minimum=1)
    with tempfile.TemporaryDirectory() as elsewhere:
        run = Path(elsewhere, "run")
        try:
            train_tagger(words, words, path, config, run=run)
        except FileWriteError as error:
            if run.exists():
                raise RuntimeError("it was trained in vain") from error
            raise


def model_file(path: Path) -> None:
    write_layer(hs.LSTM(2, 3), path)


@functools.cache
def captured(number: int) -> tuple[torch.nn.Module, Any, Any]:
    """A module, the arguments of a call, and what its capture found: that takes most of a save, and no disk."""
    torch.manual_seed(number)
    model, args = torch.nn.Sequential(hs.GRU(2, 3)).eval(), (torch.ones(4, 1, 2),)
    return model, args, file.graph_of(model, args)


def graph(path: Path, number: int = 0) -> None:
    model, args, found = captured(number)
    with mock.patch.object(file, "graph_of", return_value=found):
        file.write_graph(model, args, path, FORMAT)


def c_file(path: Path, number: int = 0) -> None:
    model, args, found = captured(number)
    with mock.patch.object(graph_c_file, "graph_of", return_value=found):
        hs.export_c(model, path, args)


def index(path: Path) -> None:
    hs.index(hs.LSTM(2, 3), [torch.randn(9, 2), torch.randn(4, 2)], path / "deeper", progress=False)


def importance(path: Path) -> None:
    model, x = torch.nn.LSTM(2, 3).eval(), torch.ones(4, 5, 2)
    hs.explain.importance(model, x, of=0, folder=path / "deeper", progress=False)


def nothing(path: Path) -> None:
    """Start with nothing."""


def read_run(path: Path) -> None:
    RunFolder(path).read("data")


THINGS = {
    "stream": Thing(make_stream, make_stream, read_stream),
    "stream of series": Thing(make_series_stream, make_series_stream, read_series_stream),
    "trace": Thing(make_trace, make_trace, hs.Trace.load),
    "tagger": Thing(make_tagger, make_tagger, load_tagger),
    "model-file": Thing(model_file, model_file, read_layer),
    "new-tagger": Thing(nothing, lambda path: make_tagger(path / "deeper"), lambda path: load_tagger(path / "deeper")),
    "language-model": Thing(make_language_model, make_language_model, load_language_model),
    "onnx": Thing(exported, exported, hs.from_onnx),
    "explanation": Thing(explanation, explanation, Path.read_text),
    "explanation-table": Thing(explanation_table, explanation_table, Path.read_text),
    "picture": Thing(picture, picture, lambda path: None),
    "begin": Thing(begin, lambda path: RunFolder(path).begin("a"), lambda path: RunFolder(path).check()),
    "new-run": Thing(nothing, lambda path: RunFolder(path / "deeper").begin("a"), lambda path: None),
    "log": Thing(begin, log, read_run),
    "checkpoint": Thing(begin, checkpoint, read_run),
    "course": Thing(nothing, copy, lambda path: None),
}
# Large things, or things with a second place: tried where nothing can be written.
MORE_THINGS = {
    "graph": Thing(graph, functools.partial(graph, number=1), lambda path: read_tensors(path, FORMAT)),
    "c-file": Thing(c_file, functools.partial(c_file, number=1), Path.read_text),
    "index": Thing(nothing, index, lambda path: None),
    "importance": Thing(nothing, importance, lambda path: None),
    "course-pages": Thing(course_pages, course_pages, lambda path: (path / "00-before.ipynb").read_text()),
    "page": Thing(page, page, Path.read_text),
    "cache": Thing(fetched, lambda path: fetched(path / "deeper"), fetched),
    "empty-cache": Thing(Path.mkdir, fetched, lambda path: None),
    "train": Thing(tagger_and_words, train, load_tagger),
    "train-after-a-kill": Thing(half_replaced, train, lambda path: None),
}


def content(folder: Path) -> Content:
    """All that is in a folder: folders, and files with their bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def write_once(thing: Thing, place: Place, folder: Path, draw: random.Random) -> int:
    """Write a thing into a place; return the outcome."""
    path = folder / "it"
    torch.manual_seed(0)
    try:
        place(folder, lambda: thing.first(path), draw)
    except NotToBeHadError:
        return MISSING
    before = content(folder)
    torch.manual_seed(1)
    try:
        thing.again(path)
    except FileWriteError as error:
        if str(path) not in str(error) or error.errno is None:
            raise RuntimeError(f"no name or number in {error!r}") from error
        after = content(folder)
        if after != before:
            changed = {name for name, _ in before.items() ^ after.items()}
            raise RuntimeError(f"it was refused ({error}), and is not as before: {sorted(changed)}") from error
        if path.exists():
            thing.read(path)
        return REFUSED
    if any(path.is_file() for path in folder.rglob("*.part")):
        raise RuntimeError("parts of files are left")
    thing.read(path)
    return WRITTEN


def forked(work: Callable[[], int]) -> int:
    """Do work in a fork with its own rights and disks; return its exit code."""
    child = os.fork()
    if not child:
        code = 1
        try:
            code = work()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def write_badly(first: int, count: int, folder: Path) -> None:
    """Write this many things into unwritable places; the outcome is written into ``folder / "at"``."""
    folder.chmod(0o755)  # so that other users can reach it
    codes: Counter[int] = Counter()
    for k in range(first, first + count):
        draw = random.Random(f"write {k}")
        name, place = draw.choice(list(THINGS)), draw.choice(list(PLACES))
        (folder / "at").write_text(f"writes {k}, {name} into {place}")
        own = folder / str(k)
        own.mkdir()
        code = forked(functools.partial(write_once, THINGS[name], PLACES[place], own, draw))
        if code not in (WRITTEN, REFUSED, MISSING):
            raise RuntimeError(f"writes {k}, {name} into {place}: exit code {code}")
        codes[code] += 1
    told = f"{codes[REFUSED]} of {count} refused, nothing was lost"
    (folder / "at").write_text(told + (f"; {codes[MISSING]} places not to be had" if codes[MISSING] else ""))


def write_nowhere(name: str, folder: Path) -> None:
    """Write one thing where nothing can be written, which must fail each time; it can still be read there."""
    folder.chmod(0o755)  # so that other users can reach it
    thing = {**THINGS, **MORE_THINGS}[name]
    (folder / "before").mkdir()  # loads all modules, which another user may not be allowed to
    for do in thing:
        do(folder / "before" / "it")
    codes: Counter[int] = Counter()
    for place, make in READ_ONLY.items():
        (folder / "at").write_text(f"{name} into {place}")
        own = folder / place
        own.mkdir()
        code = forked(functools.partial(write_once, thing, make, own, random.Random(name)))
        if code not in (REFUSED, MISSING):
            raise RuntimeError(f"{name} into {place}: exit code {code}" + ", it was written" * (code == WRITTEN))
        codes[code] += 1
    told = f"refused in {codes[REFUSED]} places"
    (folder / "at").write_text(told + (f"; {codes[MISSING]} not to be had" if codes[MISSING] else ""))
