"""The studio's modules are in layered rooms, and import only downward. Each check is also run on modules that fail
it."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter

import pytest
from studio_page import WEB

ROOMS = ("runtime", "state", "ui", "panels", "page")  # each may import from those before it
SHARED = {"facts.js", "types.js"}
PACKAGE = (WEB.parent / "runtime" / "js" / "index.ts").read_text(encoding="utf-8")
MOST_FILES = 30  # in one folder
MOST_LINES = 300  # in one module

IMPORT = re.compile(r'^(?:import|export)\b[^;"]*from\s+"studio/([^"]+)"', re.MULTILINE)
TYPE_IMPORT = re.compile(r'\bimport\("studio/([^"]+)"\)')
COMMENT = re.compile(r"/\*\*.*?\*/|^\s*//[^\n]*$", re.DOTALL | re.MULTILINE)
EXPORT = re.compile(r"^export\s+(?:async\s+)?(?:function\*?|class|const|let)\s+(\w+)", re.MULTILINE)
FUNCTION = re.compile(r"^(?:export\s+)?(?:async\s+)?function\*?\s+\w+(\(.*?^\})", re.DOTALL | re.MULTILINE)
ARROW = re.compile(r"^(?:export\s+)?const\s+\w+ = (\([^\n]*=>.*?;)$(?=\n(?:\n|\w)|\s*\Z)", re.DOTALL | re.MULTILINE)

Sources = Mapping[str, str]


def sources() -> dict[str, str]:
    """Return the text of every module of the page, by the name under which others import it."""
    roots = [WEB / name for name in ("main.tsx", "facts.ts", "types.ts")]
    paths = [*roots, *(path for room in ROOMS for path in (WEB / room).rglob("*.ts*"))]
    return {path.relative_to(WEB).with_suffix(".js").as_posix(): path.read_text(encoding="utf-8") for path in paths}


def imports(source: str) -> set[str]:
    """Return what a module imports, types included."""
    return set(IMPORT.findall(source)) | set(TYPE_IMPORT.findall(source))


def homes(modules: Sources) -> list[str]:
    """Return the exported names, and verbatim copies of functions, that are in more than one module."""
    found: dict[str, list[str]] = defaultdict(list)
    for module, source in modules.items():
        code = COMMENT.sub("", source)
        for name in EXPORT.findall(code):
            found[name].append(module)
        for body in {" ".join(body.split()) for form in (FUNCTION, ARROW) for body in form.findall(code)}:
            found[body].append(module)
    return [f"{name}: {', '.join(where)}" for name, where in found.items() if len(where) > 1]


def upward(modules: Sources) -> list[str]:
    """Return the imports from a higher room, or from the root; the root's facts and types are for all."""
    return [
        f"{module} imports {other}"
        for module, source in modules.items()
        if module not in ("main.js", *SHARED)
        for other in imports(source) - SHARED
        if other.split("/")[0] not in ROOMS[: ROOMS.index(module.split("/")[0]) + 1]
    ]


def across(modules: Sources) -> list[str]:
    """Return the imports of one panel from another."""
    return [
        f"{module} imports {other}"
        for module, source in modules.items()
        for other in imports(source)
        if module.startswith("panels/") and other.startswith("panels/") and module.split("/")[1] != other.split("/")[1]
    ]


def circles(modules: Sources) -> list[str]:
    """Return the modules of an import cycle, if there is one."""
    try:
        TopologicalSorter({module: imports(source) for module, source in modules.items()}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def crowded(modules: Sources) -> list[str]:
    """Return the folders with too many modules, and the modules with too many lines."""
    folders = Counter(module.rpartition("/")[0] for module in modules)
    return [
        *(folder for folder, count in folders.items() if count > MOST_FILES),
        *(module for module, source in modules.items() if source.count("\n") > MOST_LINES),
    ]


def unreached(modules: Sources) -> list[str]:
    """Return the modules that nothing imports, directly or not, from ``main.js`` or the JavaScript package."""
    seen: set[str] = set()
    waiting = ["main.js", *(imports(PACKAGE) & set(modules))]
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += imports(modules[module])
    return sorted(set(modules) - seen)


Check = Callable[[Sources], list[str]]
CHECKS: tuple[Check, ...] = (homes, upward, across, circles, crowded, unreached)


@cache
def shipped() -> dict[str, str]:
    return sources()


@pytest.mark.parametrize("check", CHECKS)
def test_rooms(check: Check) -> None:
    assert check(shipped()) == []


def using(*names: str) -> str:
    return "".join(f'import {{ a }} from "studio/{name}";\n' for name in names)


BROKEN: list[tuple[Check, dict[str, str]]] = [
    (homes, {"state/a.js": "// A.\nexport const a = 1;", "ui/a.js": "export function a() {\n}"}),
    (homes, {"state/a.js": "function a(x) {\n  return x;\n}", "ui/b.js": "export function b(x) {\n  return x;\n}"}),
    (homes, {"state/a.js": "const a = (x) => x + 1;\n", "ui/b.js": "export const b = (x) => x + 1;\n"}),
    (upward, {"state/a.js": using("ui/a.js")}),
    (upward, {"ui/a.js": 'import type { A } from "studio/panels/lines/index.js";\n'}),
    (upward, {"page/a.js": using("main.js")}),
    (across, {"panels/lines/index.js": using("panels/table/rows.js")}),
    (across, {"panels/lines/index.js": 'import type { A } from "studio/panels/table/rows.js";\n'}),
    (circles, {"ui/a.js": using("ui/b.js"), "ui/b.js": 'const b = (a: import("studio/ui/a.js").A) => a;\n'}),
    (crowded, {f"ui/{k}.js": "" for k in range(MOST_FILES + 1)}),
    (crowded, {"ui/a.js": "\n" * (MOST_LINES + 1)}),
    (unreached, {"main.js": using("ui/a.js"), "ui/a.js": "", "ui/b.js": ""}),
]


@pytest.mark.parametrize(("check", "modules"), BROKEN)
def test_each_check_finds_what_breaks_it(check: Check, modules: dict[str, str]) -> None:
    assert check(modules) != []


def test_every_folder_is_a_room() -> None:
    assert {path.name for path in WEB.iterdir() if path.is_dir()} - {"node_modules"} == {*ROOMS, "hosts"}
    assert {path.name for path in (WEB / "panels").iterdir() if path.is_file()} == set()


def test_every_panel_has_an_index_and_its_own_style() -> None:
    for panel in (WEB / "panels").iterdir():
        assert [path.stem for path in panel.glob("index.ts*")] == ["index"], panel.name
        assert [style.name for style in panel.glob("*.css")] == [f"{panel.name}.css"]
