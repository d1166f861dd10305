"""The map (ARCHITECTURE.md and the rooms' docstrings) is true, and no import is upward or part of a cycle.

Every import counts: those at the top of a file, those inside functions, and those only for types.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "hiddenstate"
FACES = ("__init__", "__main__", "run")  # at the root, above all rooms
NATIVE = "hiddenstate._native"
MOST_FILES_IN_A_CHAIN = 24  # as many as in 0.1.0
MOST_ROOMS_IN_A_CHAIN = 11
MOST_ROOT_FILES = 4
MOST_FILES_SIDE_BY_SIDE = 16  # in a folder

Graph = Mapping[str, set[str]]


def rooms_on_the_map(text: str) -> list[str]:
    """The rooms in the table of ARCHITECTURE.md, the highest first."""
    return re.findall(r"^\| `(\w+)(?:/|\.py)` \|", text, re.M)


def listed_in(docstring: str) -> set[str]:
    """The files and folders that a room's docstring lists: a line of its list starts with them."""
    lists = re.findall(r"^- (.*(?:\n  .*)*)", docstring, re.M)
    return {name for each in lists for name in re.findall(r"`([\w*]+(?:\.py|\.json|/))`", each)}


def modules_in(package: Path) -> dict[str, Path]:
    """The files of a package by module name; a stub lists names that its package imports on first use."""
    found = {}
    for path in [*package.rglob("*.py"), *package.rglob("*.pyi")]:
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if path.name == "__init__.py" else parts)] = path
    return found


def imports_of(source: str, modules: Mapping[str, Path]) -> Iterator[str]:
    """Modules of the package that a file imports, anywhere in it."""
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
    found: dict[str, set[str]] = {}
    for name, path in modules.items():
        package = name.removesuffix(".__init__")  # of a stub
        found.setdefault(package, set()).update(imports_of(path.read_text(encoding="utf-8"), modules))
    return {name: others - {name} for name, others in found.items()}


def circles_in(graph: Graph) -> list[set[str]]:
    """Files that import one another, directly or indirectly: Tarjan's strongly connected components."""
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
    """The longest chain of imports in a graph without cycles."""

    @cache
    def below(name: str) -> tuple[str, ...]:
        return (name, *max((below(other) for other in graph.get(name, ())), key=len, default=()))

    return max(map(below, graph), key=len)


def room_of(module: str) -> str:
    """``hiddenstate.models.tagger.tagger`` is in ``models``; the package itself is ``__init__``."""
    return [*module.split("."), "__init__"][1]


def between_rooms(graph: Graph) -> Graph:
    rooms: dict[str, set[str]] = {}
    for name, others in graph.items():
        here = room_of(name)
        rooms.setdefault(here, set()).update(room_of(other) for other in others if room_of(other) != here)
    return rooms


def upward_in(graph: Graph, order: Sequence[str]) -> list[str]:
    """Imports from a room that is not below."""
    height = {room: k for k, room in enumerate([*order, *FACES])}
    return [
        f"{name} imports {other}"
        for name, others in graph.items()
        for other in others
        if other != NATIVE and room_of(other) != room_of(name) and height[room_of(other)] >= height[room_of(name)]
    ]


def the_map() -> list[str]:
    return rooms_on_the_map((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))


def packages() -> list[Path]:
    """The folders of Python files, except the root."""
    return sorted(path.parent for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE)


def has_files(folder: Path) -> bool:
    """Whether there is anything but bytecode, which a room that is gone leaves."""
    return any(path.name != "__pycache__" for path in folder.iterdir())


def contents_of(folder: Path) -> set[str]:
    built = PACKAGE / "course" / "pages"  # by `make pages`
    inside = [path for path in folder.iterdir() if not path.name.startswith("__") and path != built]
    rooms = {f"{path.name}/" for path in inside if path.is_dir() and has_files(path)}
    return rooms | {path.name for path in inside if path.suffix == ".py"}


def test_every_room_is_on_the_map_and_the_map_names_no_other() -> None:
    there = {path.name for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").is_file()}
    there |= {path.stem for path in PACKAGE.glob("*.py")} - set(FACES)
    assert sorted(the_map()) == sorted(there)


@pytest.mark.parametrize("folder", packages(), ids=lambda folder: folder.relative_to(PACKAGE).as_posix())
def test_a_rooms_docstring_lists_its_files_and_no_others(folder: Path) -> None:
    source = (folder / "__init__.py").read_text(encoding="utf-8")
    listed = listed_in(ast.get_docstring(ast.parse(source)) or "")
    there = contents_of(folder)
    patterns = {name for name in listed if "*" in name}
    covered = {name for name in there for pattern in patterns if fnmatch(name, pattern)}
    assert {name for name in listed - patterns if name.endswith((".py", "/"))} | covered == there


def test_few_files_lie_side_by_side() -> None:
    counts = {folder.relative_to(PACKAGE).as_posix(): len(list(folder.glob("*.py"))) for folder in packages()}
    assert {name: count for name, count in counts.items() if count > MOST_FILES_SIDE_BY_SIDE} == {}


def test_no_file_imports_another_in_a_circle() -> None:
    assert circles_in(graph()) == []


def test_rooms_import_only_from_those_below_them_on_the_map() -> None:
    assert upward_in(graph(), the_map()[::-1]) == []


def test_the_longest_chain_of_imports_is_short() -> None:
    files = longest_chain({name: others - {NATIVE} for name, others in graph().items()})
    assert len(files) <= MOST_FILES_IN_A_CHAIN, " > ".join(files)
    rooms = {room: others - {"_native"} for room, others in between_rooms(graph()).items() if room not in FACES}
    assert len(longest_chain(rooms)) <= MOST_ROOMS_IN_A_CHAIN, " > ".join(longest_chain(rooms))


def test_one_file_alone_imports_the_native_module() -> None:
    assert [name for name, others in graph().items() if NATIVE in others] == ["hiddenstate.base.native_module"]


def test_few_files_stand_at_the_root() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_ROOT_FILES


def test_every_package_says_what_lives_there_and_at_most_hands_on_names() -> None:
    for folder in packages():
        tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), folder
        # The entry points of the command line and of the course do more.
        if folder.name not in ("cli", "course"):
            own = "hiddenstate." + ".".join(folder.relative_to(PACKAGE).parts)
            assert all(hands_on_names(node, own) for node in tree.body[1:]), folder


def hands_on_names(node: ast.stmt, package: str) -> bool:
    """Whether a statement imports names from a package's own files, now or on first use, or lists them."""
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").startswith((f"{package}.", "typing", "hiddenstate.base.later"))
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING" and all(hands_on_names(each, package) for each in node.body)
    names = [ast.unparse(target) for target in node.targets] if isinstance(node, ast.Assign) else []
    return names in (["__all__"], ["(__getattr__, __dir__)"])


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
    assert rooms_on_the_map("| room | holds |\n|---|---|\n| `nn/` | x |\n| `errors.py` | y |\n") == ["nn", "errors"]
    assert listed_in("About `z.py`.\n\n- `a.py`, `b.py`: these; `c.json`\n  and `d/`\n\n`e.py`") == {
        "a.py",
        "b.py",
        "c.json",
        "d/",
    }


# Calls that parse a file's content, and may raise any exception.
PARSERS = re.compile(
    r"\b(json\.loads?|tomllib\.loads?|torch\.load|onnx\.load|safe_open|load_file|safetensors\.torch\.load|h5py\.File"
    r"|zipfile\.ZipFile|parse_id_value)\("
)
# The package's own files; messages, checked there; a folder that was loaded; a separate process and its answers, whose
# errors are passed to the code inside the door.
NEED_NO_DOOR = {
    *("studio.assets", "studio.messages", "text.tokenise", "text.corpora", "studio.bundles.opening", "models.cells"),
    "interop.keras.hdf5_process",
    "course.figures.numeric_answers",  # reads the package's own pages
    "models.model_file",  # reads through `base.files`
    "models.graph.graph",  # parses what `base.files` or hiddenstate_runtime has read
}


def test_whoever_reads_a_file_does_so_inside_the_door() -> None:
    assert {f"hiddenstate.{name}" for name in NEED_NO_DOOR} <= {*modules_in(PACKAGE)}
    for name, path in modules_in(PACKAGE).items():
        source = path.read_text(encoding="utf-8")
        if PARSERS.search(source) and name.removeprefix("hiddenstate.") not in NEED_NO_DOOR:
            assert "with reading(" in source or name == "hiddenstate.base.reading", name
