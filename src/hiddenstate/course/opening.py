"""Prepares the course's pages for a browser: copies them to the user's cache, with their figures and answers.

A page opened from disk can load scripts, but not the weights that the package ships, so these are written as scripts.
"""

import hashlib
import os
import sys
from pathlib import Path

from hiddenstate.base.files import folder_beside, mend_folder, put_folder, write_bytes, writing
from hiddenstate.errors import MissingDependencyError

PAGES = Path(__file__).parent / "pages"  # built at installation; git ignores them
FIRST = Path("course", "00-before.html")
_MODELS = Path("_static", "course")
_STAMP = "stamp.txt"


def first_page(folder: Path | None = None) -> Path:
    """Write the pages, unless they are there already, and return the path of the first one."""
    if not (PAGES / FIRST).is_file():
        raise MissingDependencyError(
            f"the course's pages could not be built at installation: there is no {PAGES / FIRST}. Install hiddenstate "
            "again with `pip install --verbose`, which prints the reason, or run `make pages` in its checkout; "
            "`hiddenstate course DIR` copies the notebooks, which need no build"
        )
    target = folder if folder is not None else cache() / "course"
    stamp = _stamp()
    with writing(target):
        mend_folder(target)
        if not (target / _STAMP).is_file() or (target / _STAMP).read_text(encoding="utf-8") != stamp:
            with folder_beside(target) as beside:
                _write(beside, stamp)
                put_folder(beside, target)
    return target / FIRST


def cache() -> Path:
    """Return the user's cache folder for this package; it may not exist yet."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "hiddenstate"


def _write(folder: Path, stamp: str) -> None:
    from hiddenstate.course.figures.marks import MODELS, fill, script  # loads the models of the figures

    contents = {path.relative_to(PAGES): path.read_bytes() for path in _files()}
    contents |= {place: fill(text.decode()).encode() for place, text in contents.items() if place.suffix == ".html"}
    contents |= {_MODELS / f"model-{name}.js": script(name).encode() for name in MODELS}
    contents[Path(_STAMP)] = stamp.encode()
    for place, content in contents.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / place, content)


def _files() -> list[Path]:
    return sorted(path for path in PAGES.rglob("*") if path.is_file())


def _stamp() -> str:
    """Return a digest of the shipped pages, models and figures: a copy with the same stamp is up to date."""
    digest = hashlib.sha256()
    shipped = Path(__file__).parents[1] / "models" / "shipped"
    figures = Path(__file__).parent / "figures"
    for path in [*_files(), *sorted(shipped.rglob("*.safetensors")), *sorted(figures.glob("*.py"))]:
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
