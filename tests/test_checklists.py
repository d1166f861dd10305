"""The checklists of ARCHITECTURE.md are true: their files exist, and have a part of every cell, tool and panel."""

import re
from collections.abc import Iterator
from inspect import isfunction
from pathlib import Path

import pytest

import hiddenstate as hs
from hiddenstate import explain
from hiddenstate.cells.kinds import CELLS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
CELL, TOOL, PANEL = "A kind of cell", "An explanation tool", "A panel"

NAMES = sorted({kind.partition("_")[0].lower() for kind in CELLS})
# Every tool: a public function of `run.py` in a folder, which may be named after the result, or of a file alone.
TOOLS = {
    name: value.__module__.partition(".")[2]
    for name, value in (vars(explain) | {"compare": hs.compare}).items()
    if isfunction(value) and re.fullmatch(r"hiddenstate\.explain\.\w+(\.run)?", value.__module__)
}
PANELS = sorted(path.name for path in (ROOT / "web" / "panels").iterdir() if path.is_dir())
# What is left out, and why.
LEFT_OUT = {
    ("importance", "docs/explain/importance.md"): "is a section of docs/explain/features.md",
    ("response", "docs/explain/response.md"): "is a section of docs/explain/features.md",
    ("probe", "docs/explain/probe.md"): "is a section of docs/explain/unit_in_ten_minutes.md and of features.md",
}


def places(heading: str) -> list[str]:
    """The paths of a checklist."""
    section = TEXT.split(f"\n### {heading}\n")[1].split("\n### ")[0]
    lines = re.findall(r"^- \[ \] (.*)$", section, re.MULTILINE)
    return [path for line in lines for path in re.findall(r"`([\w./-]+\.\w+)`", line)]


def missing(heading: str, name: str, module: str = "") -> Iterator[str]:
    """The files of a checklist that are not there, or do not have this name in them."""
    for place in places(heading):
        path = place.replace("MODULE", module.replace(".", "/")).replace("NAME", name)
        if (name, path) in LEFT_OUT:
            continue
        file = existing(ROOT / path)
        if file is None:
            yield f"{path} is missing"
        elif path == place and not re.search(name, file.read_text(encoding="utf-8"), re.IGNORECASE):
            yield f"{path} does not name {name}"


def existing(path: Path) -> Path | None:
    """A file, whether or not it is a component."""
    choices = [path, path.with_suffix(".ts"), path.with_suffix(".tsx")] if "web" in path.parts else [path]
    return next(filter(Path.is_file, choices), None)


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_cell_has_its_places(name: str) -> None:
    assert "\n".join(missing(CELL, name)) == ""


@pytest.mark.parametrize("name", TOOLS)
def test_every_tool_has_its_places(name: str) -> None:
    assert "\n".join(missing(TOOL, name, TOOLS[name])) == ""


def test_nothing_is_left_out_but_what_is_said() -> None:
    explain = ROOT / "src" / "hiddenstate" / "explain"
    tools = {f"explain.{path.parent.name}.run" for path in explain.glob("*/run.py")}
    tools |= {f"explain.{path.stem}" for path in explain.glob("*.py") if path.stem != "__init__"}
    assert tools <= set(TOOLS.values())
    for name, path in LEFT_OUT:
        assert name in {*NAMES, *TOOLS, *PANELS}
        assert not (ROOT / path).exists() or not re.search(rf"\b{name}\b", (ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PANELS)
def test_every_panel_has_its_places(name: str) -> None:
    assert "\n".join(missing(PANEL, name)) == ""


def test_a_file_that_is_gone_is_told() -> None:
    assert list(missing(CELL, "lstm")) == []
    assert "src/hiddenstate/cells/quokka.py is missing" in list(missing(CELL, "quokka"))
    assert "src/hiddenstate/cells/kinds.py does not name quokka" in list(missing(CELL, "quokka"))


def test_the_lists_stay_short() -> None:
    assert {heading: len(places(heading)) for heading in (CELL, TOOL, PANEL)} == {CELL: 20, TOOL: 7, PANEL: 3}
