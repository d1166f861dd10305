"""Failure at every point of a save: a write, fsync, rename or lock that fails leaves the old file or the new one."""

import random
import shutil
from pathlib import Path

import pytest
import torch

import hiddenstate as hs
from attacks.writes import MORE_THINGS, THINGS, Content, Thing, content
from disk_faults import failed_everywhere

torch.manual_seed(0)
LSTM = hs.LSTM(4, 3, num_layers=2).eval()
X = torch.randn(5, 2, 4)
PLAIN = LSTM(X)[0].detach()
# These are not single files but runs, which can be resumed: see corpus/test_shards.py for an index.
RUNS = "index", "importance"
ALL = {name: thing for name, thing in {**THINGS, **MORE_THINGS}.items() if name not in RUNS}
# Pooch writes the cache; training has its own test.
WRITTEN = [name for name in ALL if "cache" not in name and not name.startswith("train")]
COLLECTIONS = ("course", "corpus")
LEAST = {"log": 2, "onnx": 6, "tagger": 15, "language-model": 15, "course": 6}


def seed(number: int) -> None:
    torch.manual_seed(number)
    random.seed(number)


def is_whole(after: Content, old: Content, new: Content, *, is_collection: bool) -> bool:
    """Whether all files are the old ones or all are the new ones; in a collection, each file may be either.

    New files are compared by their lengths: safetensors orders metadata at random.
    """
    if is_collection:
        return all(value in (old.get(name, b"?"), new.get(name, b"?")) for name, value in after.items())
    return after == old or lengths(after) == lengths(new)


def lengths(files: Content) -> dict[str, int]:
    return {name: len(value or b"") for name, value in files.items()}


def templates(thing: Thing, folder: Path) -> tuple[Path, Content, Content]:
    """A folder with initial files, its content, and the content after a save that succeeds."""
    before, after = folder / "template", folder / "new"
    for each in (before, after):
        seed(0)
        each.mkdir()
        thing.first(each / "it")
    old = content(before)
    seed(1)
    thing.again(after / "it")
    return before, old, content(after)


@pytest.mark.parametrize("name", WRITTEN)
def test_an_operation_that_fails_leaves_what_was_there_or_the_new_file(name: str, tmp_path: Path) -> None:
    thing = ALL[name]
    template, old, new = templates(thing, tmp_path)
    place = tmp_path / "place"

    def prepare() -> None:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(template, place)

    def work() -> None:
        seed(1)
        thing.again(place / "it")

    def check(failed: str) -> None:
        after = content(place)
        assert is_whole(after, old, new, is_collection=name in COLLECTIONS), f"{failed}: {sorted(after)}"
        if (place / "it").exists():
            thing.read(place / "it")
        assert torch.equal(LSTM(X)[0], PLAIN)
        prepare()
        work()  # not locked
        prepare()

    prepare()
    failed_everywhere(work, place, check, LEAST.get(name, 4))


def test_importance_goes_on_in_a_folder_in_which_an_operation_failed(tmp_path: Path) -> None:
    module, x = torch.nn.LSTM(2, 3).eval(), torch.randn(4, 5, 2)
    place = tmp_path / "place"

    def work(folder: Path | None = place / "it" / "deeper") -> hs.explain.Importance:
        return hs.explain.importance(module, x, of=0, folder=folder, progress=False)

    want = work(None)

    def check(failed: str) -> None:
        again = work()
        assert torch.equal(again.signed, want.signed), failed
        assert torch.equal(work().signed, want.signed), failed
        shutil.rmtree(place)
        place.mkdir()

    place.mkdir()
    failed_everywhere(work, place, check, 4)
