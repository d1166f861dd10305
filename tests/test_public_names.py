"""Documentation, course and examples use only public names: those of `hiddenstate` and of a few of its modules."""

import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import hiddenstate as hs
from pages import DOCS, ROOT

# As docs/api.md lists them. `python -m hiddenstate.run` is a command.
PUBLIC = {
    "hiddenstate",
    *(f"hiddenstate.{name}" for name in ("course", "errors", "explain", "models", "plant", "run", "text", "training")),
}
PACKAGE = ROOT / "src" / "hiddenstate"
ROOMS = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
# The reference documents the classes of some results where they are defined; comments are not shown.
SKIPPED = re.compile(r"```\{eval-rst\}.*?```|<!--.*?-->", re.DOTALL)
IMPORT = re.compile(r"^[\s>.]*from (hiddenstate[\w.]*) import \(?([\w, ]+)", re.MULTILINE)
DOTTED = re.compile(r"(?<![\w/.-])(?:hs|hiddenstate)((?:\.\w+)+)")


def texts() -> Iterator[tuple[Path, str]]:
    for path in [*DOCS.rglob("*.md"), ROOT / "README.md", *PACKAGE.rglob("MODEL_CARD.md")]:
        if "_build" not in path.parts:
            yield path, SKIPPED.sub("", path.read_text(encoding="utf-8"))
    for path in (ROOT / "examples").rglob("*.py"):
        yield path, path.read_text(encoding="utf-8")
    for path in [*PACKAGE.rglob("*.ipynb"), *(ROOT / "examples").rglob("*.ipynb")]:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        yield path, "\n".join("".join(cell["source"]) for cell in cells)


def names_in(text: str) -> Iterator[str]:
    """The names of the package that a text imports or mentions, in full."""
    for module, names in IMPORT.findall(text):
        yield from (f"{module}.{name.split()[0]}" for name in names.split(",") if name.strip())
    yield from (f"hiddenstate{name}" for name in DOTTED.findall(text))


def is_private(name: str) -> bool:
    """Whether a name is not public; False for a name of something else, such as a file."""
    first = name.split(".")[1]
    if first not in ROOMS and not hasattr(hs, first):
        return False
    value: object = hs
    place = "hiddenstate"
    for part in name.split(".")[1:]:
        place = f"{place}.{part}"
        if part.startswith("_") and part != "__version__":
            return True
        if not hasattr(value, part):
            try:
                import_module(place)
            except ImportError:
                return True
        value = getattr(value, part)
        if not isinstance(value, ModuleType):
            return False
        if place not in PUBLIC:
            return True
    return False


@pytest.mark.parametrize(
    ("text", "private"),
    [
        ("import hiddenstate as hs\nhs.load('x'), hs.explain.ledger, hiddenstate.text.tokenise('a'), hs.set", []),
        ("from hiddenstate.models import Tagger, LanguageModel\n>>> from hiddenstate import errors", []),
        ("native/runtime/hiddenstate.h, hiddenstate.js, python -m hiddenstate.run", []),
        ("from hiddenstate.models.model_folder import load", ["hiddenstate.models.model_folder.load"]),
        (">>> from hiddenstate.text.conllu import read_conllu", ["hiddenstate.text.conllu.read_conllu"]),
        ("from hiddenstate.engine import kernels, native", ["hiddenstate.engine.kernels", "hiddenstate.engine.native"]),
        (
            "`hiddenstate.training.loop.fit` and hs.nn.lstm.LSTM",
            ["hiddenstate.training.loop.fit", "hiddenstate.nn.lstm.LSTM"],
        ),
        ("from hiddenstate.models import Taggers", ["hiddenstate.models.Taggers"]),
    ],
)
def test_private_names_are_found(text: str, private: list[str]) -> None:
    assert sorted({name for name in names_in(text) if is_private(name)} & set(private)) == sorted(private)
    assert bool(private) or not [name for name in names_in(text) if is_private(name)]


def test_documentation_course_and_examples_use_only_public_names() -> None:
    private = {
        path.relative_to(ROOT).as_posix(): names
        for path, text in texts()
        if (names := sorted({name for name in names_in(text) if is_private(name)}))
    }
    assert private == {}


def test_the_reference_lists_the_public_modules() -> None:
    assert set(re.findall(r"`(hiddenstate[\w.]*)`", (DOCS / "api.md").read_text(encoding="utf-8"))) == PUBLIC
