"""The map in ARCHITECTURE.md is true, and no import goes upward or round in a circle.

Every import counts: those made when a file is loaded, those inside functions, and those for types alone.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "hiddenstate"
FACES = ("_aliases", "__init__", "__main__")  # at the root, above all rooms
NATIVE = "hiddenstate._native"
MOST_FILES_IN_A_CHAIN = 24  # as many as in 0.1.0
MOST_ROOMS_IN_A_CHAIN = 11
MOST_ROOT_FILES = 4

Graph = Mapping[str, set[str]]


def map_of(text: str) -> dict[str, list[str]]:
    """The rooms on the map, in its order, each with the files and folders that are listed below it."""
    block = text.split("src/hiddenstate/\n", 1)[1].split("\ntests/", 1)[0]
    rooms: dict[str, list[str]] = {}
    for line in block.splitlines():
        room = re.match(r"  (\w+)(?:\.py|/)", line)
        if room:
            rooms[room[1]] = []
        elif line.startswith("    ") and rooms:
            listed = re.match(r"    ((?:\w+(?:\.py|/) ?)+)", line)
            rooms[list(rooms)[-1]] += listed[1].split() if listed else []
    return rooms


def modules_in(package: Path) -> dict[str, Path]:
    """Every file of a package by its module's name."""
    found = {}
    for path in [*package.rglob("*.py"), *package.rglob("*.pyi")]:
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(source: str, modules: Mapping[str, Path]) -> Iterator[str]:
    """Modules of the package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "hiddenstate":
                yield name if name in modules else name.rpartition(".")[0]


@cache
def graph() -> Graph:
    modules = modules_in(PACKAGE)
    return {name: set(imports_of(path.read_text(encoding="utf-8"), modules)) - {name} for name, path in modules.items()}


def circles_in(graph: Graph) -> list[set[str]]:
    """Files that import one another, directly or by way of others: Tarjan's strongly connected components."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found: list[set[str]] = []

    def visit(name: str) -> None:
        index[name] = lowest[name] = len(index)
        path.append(name)
        for other in graph.get(name, set()):
            if other not in index:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in path:
                lowest[name] = min(lowest[name], index[other])
        if lowest[name] == index[name]:
            start = path.index(name)
            if len(path) - start > 1:
                found.append(set(path[start:]))
            del path[start:]

    for name in graph:
        if name not in index:
            visit(name)
    return found


def longest_chain(graph: Graph) -> Sequence[str]:
    """The longest way down the imports of a graph without circles."""

    @cache
    def below(name: str) -> tuple[str, ...]:
        return (name, *max((below(other) for other in graph.get(name, ())), key=len, default=()))

    return max(map(below, graph), key=len)


def room_of(module: str) -> str:
    """``hiddenstate.models.tagger`` is in ``models``; the package itself is ``__init__``."""
    return [*module.split("."), "__init__"][1]


def between_rooms(graph: Graph) -> Graph:
    rooms: dict[str, set[str]] = {}
    for name, others in graph.items():
        here = room_of(name)
        rooms.setdefault(here, set()).update(room_of(other) for other in others if room_of(other) != here)
    return rooms


def upward_in(graph: Graph, order: Sequence[str]) -> list[str]:
    """Imports of a room that is not below."""
    height = {room: k for k, room in enumerate([*order, *FACES])}
    return [
        f"{name} imports {other}"
        for name, others in graph.items()
        for other in others
        if other != NATIVE and room_of(other) != room_of(name) and height[room_of(other)] >= height[room_of(name)]
    ]


def rooms_on_the_map() -> dict[str, list[str]]:
    return map_of((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))


def test_every_room_is_on_the_map_and_the_map_names_no_other() -> None:
    there = {path.name for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").is_file()}
    there |= {path.stem for path in PACKAGE.glob("*.py")} - set(FACES)
    assert set(rooms_on_the_map()) == there


@pytest.mark.parametrize("room", [room for room, files in rooms_on_the_map().items() if files])
def test_a_room_whose_files_are_listed_has_these_and_no_others(room: str) -> None:
    inside = [path for path in (PACKAGE / room).iterdir() if not path.name.startswith("__")]
    there = [path.name for path in inside if path.suffix == ".py"]
    there += [f"{path.name}/" for path in inside if path.is_dir()]
    assert sorted(rooms_on_the_map()[room]) == sorted(there)


def test_no_file_imports_another_in_a_circle() -> None:
    assert circles_in(graph()) == []


def test_rooms_import_only_from_those_above_them_on_the_map() -> None:
    assert upward_in(graph(), list(rooms_on_the_map())) == []


def test_the_longest_chain_of_imports_is_short() -> None:
    files = longest_chain({name: others - {NATIVE} for name, others in graph().items()})
    assert len(files) <= MOST_FILES_IN_A_CHAIN, " > ".join(files)
    rooms = {room: others - {"_native"} for room, others in between_rooms(graph()).items() if room not in FACES}
    assert len(longest_chain(rooms)) <= MOST_ROOMS_IN_A_CHAIN, " > ".join(longest_chain(rooms))


def test_one_file_alone_imports_the_native_module() -> None:
    assert [name for name, others in graph().items() if NATIVE in others] == ["hiddenstate.base.native_module"]


def test_few_files_stand_at_the_root() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_ROOT_FILES


def test_every_package_says_what_lives_there_and_imports_nothing() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), path
        # The faces: of the library, the command line, the tools of explanation, the plants, and of the course.
        if path.parent.name not in ("hiddenstate", "cli", "explain", "plant", "course"):
            assert len(tree.body) == 1, path


def test_imports_are_seen_wherever_they_are() -> None:
    modules = dict.fromkeys(("hiddenstate", "hiddenstate.a", "hiddenstate.b", "hiddenstate.b.c", NATIVE), Path())
    source = """
import torch, hiddenstate.a
from hiddenstate import b
from hiddenstate.b.c import name
if TYPE_CHECKING:
    from hiddenstate import _native
def f():
    try:
        from hiddenstate import other
    except ImportError:
        pass
"""
    assert sorted(imports_of(source, modules)) == [
        "hiddenstate",
        NATIVE,
        "hiddenstate.a",
        "hiddenstate.b",
        "hiddenstate.b.c",
    ]


def test_circles_and_ways_upward_are_found() -> None:
    chain = {"h.a.x": {"h.b.y"}, "h.b.y": {"h.c.z"}, "h.c.z": set[str]()}
    assert circles_in(chain) == []
    assert longest_chain(chain) == ("h.a.x", "h.b.y", "h.c.z")
    assert upward_in(chain, ["c", "b", "a"]) == []
    assert upward_in(chain, ["c", "a", "b"]) == ["h.a.x imports h.b.y"]
    assert circles_in({**chain, "h.c.z": {"h.a.x"}}) == [set(chain)]
    assert circles_in({"a": {"b", "c"}, "b": {"a"}, "c": set()}) == [{"a", "b"}]
    assert longest_chain(between_rooms({**chain, "h.a.w": {"h.a.x"}})) == ("a", "b", "c")


def test_the_map_is_read_as_it_is_written() -> None:
    text = "src/hiddenstate/\n  errors.py  errors\n  base/  shared\n    a.py b.py  these\n    c/   a folder\n\ntests/\n"
    assert map_of(text) == {"errors": [], "base": ["a.py", "b.py", "c/"]}


# What reads a file's content, and may raise anything then.
PARSERS = re.compile(
    r"\b(json\.loads?|tomllib\.loads?|torch\.load|onnx\.load|safe_open|load_file|safetensors\.torch\.load|h5py\.File"
    r"|zipfile\.ZipFile|parse_id_value)\("
)
# The package's own files; messages, checked there; who holds a lock, which may be unknown; a folder that was loaded; a
# process of its own, whose errors are told to who stands inside the door.
NEED_NO_DOOR = {
    *("studio.assets", "studio.messages", "text.tokenise", "training.lock", "studio.models"),
    "interop.keras.hdf5_process",
}


def test_whoever_reads_a_file_does_so_inside_the_door() -> None:
    for name, path in modules_in(PACKAGE).items():
        source = path.read_text(encoding="utf-8")
        if PARSERS.search(source) and name.removeprefix("hiddenstate.") not in NEED_NO_DOOR:
            assert "with reading(" in source or name == "hiddenstate.base.reading", name
