"""The map in ARCHITECTURE.md is true: every file is on it, and imports only from those above it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "hiddenstate"


def units_on_the_map() -> list[str]:
    """Files and folders of the package, in the order of the map."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    block = text.split("src/hiddenstate/\n", 1)[1].split("\ntests/", 1)[0]
    names = re.findall(r"\b(\w+\.py|\w+/)", block)
    return [name.removesuffix(".py").removesuffix("/") for name in dict.fromkeys(names)]


def unit_of(module: str) -> str:
    """``hiddenstate.models.tagger`` is part of ``models``."""
    return module.split(".")[1]


def imports_when_loaded(file: Path) -> set[str]:
    """Modules of the package that a file imports at its top level (not inside functions, not for types alone)."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "hiddenstate":
            below = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "hiddenstate" else []
            found |= {unit_of(name) for name in below or [node.module]}
    return found


def sources() -> list[tuple[str, Path]]:
    files = [path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or not path.stem.startswith("__")]
    return [(path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path) for path in files]


def test_every_file_is_on_the_map_and_the_map_names_no_other() -> None:
    assert {unit for unit, _ in sources()} == set(units_on_the_map())


def test_files_import_only_from_those_above_them() -> None:
    order = {unit: k for k, unit in enumerate(units_on_the_map())}
    upward = [
        f"{path.relative_to(PACKAGE)} imports {other}"
        for unit, path in sources()
        for other in imports_when_loaded(path) - {unit, "_native"}
        if order[other] > order[unit]
    ]
    assert upward == []
