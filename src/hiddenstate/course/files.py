"""The notebooks and data of the course, which are files of the package."""

import os
from contextlib import suppress
from pathlib import Path

from hiddenstate.base.files import copy_new, drop_empty, refuse_link, writing
from hiddenstate.errors import ArgumentError, NameUnknownError

_HERE = Path(__file__).parent
NOTEBOOKS, DATA = _HERE / "notebooks", _HERE / "data"


def data(name: str) -> Path:
    """Return the path of a file of the course's data.

    Raises:
        NameUnknownError: there is no such file.
    """
    there = [path.name for path in _files(DATA)]
    if name not in there:
        raise NameUnknownError(f"the course has no data {name!r}; it has {', '.join(there) or 'none'}")
    return DATA / name


THINGS = ["key", "boat", "letter", "lamp", "keys", "boats", "letters", "lamps"]
PLACES = ["drawer", "cabinet", "box", "room", "drawers", "cabinets", "boxes", "rooms"]


def keys_sentences() -> list[list[str]]:
    """Return the 1,536 sentences of chapter 1, as lists of words; the verb is 1, 4 or 11 words after its noun."""
    sentences = []
    for a, b, c in ((a, b, c) for a in THINGS for b in PLACES for c in PLACES):
        verb = "are" if a.endswith("s") else "is"
        sentences += [
            f"the {a} {verb} in the {b} of the old {c} that she left".split(),
            f"the {a} that she left {verb} in the {b} of the old {c}".split(),
            f"the {a} that she left in the {b} of the old {c} {verb}".split(),
        ]
    return sentences


def copy(folder: Path) -> list[Path]:
    """Copy the notebooks into a folder, and the data into its subfolder ``data``; both are created if needed."""
    wanted = {folder / path.name: path for path in _files(NOTEBOOKS)}
    wanted |= {folder / "data" / path.name: path for path in _files(DATA)}
    refuse_link(folder / "data")
    for place in wanted:
        if os.path.lexists(place):
            raise ArgumentError(f"{place} already exists, perhaps with your answers; give a different folder")
    folders = [folder / "data", folder, *folder.parents]
    missing = [parent for parent in folders if not parent.exists()]
    copied: list[Path] = []
    with writing(folder):
        try:
            for place, path in wanted.items():
                place.parent.mkdir(parents=True, exist_ok=True)
                copy_new(path, place)
                copied.append(place)
        except BaseException:
            for place in copied:
                with suppress(OSError):
                    place.unlink()
            drop_empty(missing)
            raise
    return list(wanted)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix != ".py")
