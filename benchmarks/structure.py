"""Measures the structure of a checkout: files, imports, cycles, sizes. Nothing in it is imported or run.

    python benchmarks/structure.py [CHECKOUT ...]

With several checkouts, such as before and after a change, the table has a column for each.
"""

import ast
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

Graph = dict[str, set[str]]


def modules(checkout: Path) -> dict[str, Path]:
    """Files of the package by module name."""
    source = checkout / "src"
    found = {}
    for path in (source / "hiddenstate").rglob("*.py"):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(checkout: Path, *, load_only: bool = False) -> Graph:
    """The package's modules that each file imports: when loaded, or also inside functions and for types."""
    files = modules(checkout)
    del files["hiddenstate"]  # the root re-exports the rooms; its version is used everywhere
    graph: Graph = {}
    for name, path in files.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = tree.body if load_only else list(ast.walk(tree))
        graph[name] = {module for node in nodes for module in _imported(node, files)} - {name}
    return graph


def _imported(node: ast.AST, files: dict[str, Path]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in files)
    if isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            below = f"{node.module}.{alias.name}"
            if below in files:
                yield below
            elif node.module in files:
                yield node.module


def circles(graph: Graph) -> list[int]:
    """Sizes of the groups of files that import one another (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    sizes: list[int] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in graph[name]:
            if other not in index:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            sizes.extend([len(group)] if len(group) > 1 else [])

    for name in graph:
        if name not in index:
            visit(name)
    return sorted(sizes, reverse=True)


def longest_chain(graph: Graph) -> int:
    """Files in the longest chain of imports, in a graph without cycles."""

    @cache
    def depth(name: str) -> int:
        return 1 + max((depth(other) for other in graph[name]), default=0)

    return max(map(depth, graph))


def rooms(graph: Graph) -> Graph:
    """Imports between folders at the package's root; a file there is its own room."""
    found: Graph = {}
    for name, others in graph.items():
        found.setdefault(name.split(".")[1], set()).update(other.split(".")[1] for other in others)
    return {room: others - {room} for room, others in found.items()}


def longest(checkout: Path, folder: str, *endings: str) -> str:
    """The file with the most lines."""
    files = [path for path in (checkout / folder).rglob("*") if path.suffix in endings and _is_ours(path)]
    lines, path = max((path.read_text(encoding="utf-8").count("\n"), path) for path in files)
    return f"{lines} ({path.name})"


def core_lines(checkout: Path) -> int:
    """Lines that check, describe and pass on a call, in Python and C++; without the kernel and the reference."""
    package = checkout / "src" / "hiddenstate"
    python = [path for path in (package / "engine").rglob("*.py") if path.stem != "reference"]
    paths = [*python, package / "edits" / "resolve.py", *(checkout / "native" / "python").iterdir()]
    return sum(path.read_text(encoding="utf-8").count("\n") for path in paths)


def lstm_file(checkout: Path) -> tuple[int, int]:
    """Modules of the package that the file of `LSTM` imports, and the class's private methods."""
    path = modules(checkout)["hiddenstate.nn.lstm"]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    files = modules(checkout)
    used = {module for node in tree.body for module in _imported(node, files)}
    kind = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "LSTM")
    names = [node.name for node in kind.body if isinstance(node, ast.FunctionDef)]
    return len(used), sum(name.startswith("_") and not name.endswith("__") for name in names)


def longest_entry(checkout: Path) -> str:
    """The function of the native module with the most parameters."""
    text = (checkout / "src" / "hiddenstate" / "_native.pyi").read_text(encoding="utf-8")
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    most = max(found, key=lambda node: len(_parameters(node)))
    return f"{len(_parameters(most))} ({most.name})"


def _parameters(node: ast.FunctionDef) -> list[ast.arg]:
    return [each for each in node.args.posonlyargs + node.args.args if each.arg != "self"]


def autograd_functions(checkout: Path) -> int:
    """Autograd functions, without ONNX's."""
    files = [path for name, path in modules(checkout).items() if "onnx" not in name]
    return sum(path.read_text(encoding="utf-8").count("(torch.autograd.Function)") for path in files)


_EXPORT = re.compile(r"^export (?:async )?(?:function\*?|const|let|class|type|interface) (\w+)", re.MULTILINE)


def scripts(checkout: Path) -> tuple[int, int, int]:
    """The most modules in one folder of the page, imports between panels, and exported names with two homes."""
    web = checkout / "web"
    files = [path for path in web.rglob("*.ts*") if _is_ours(path)]
    folders = [path.parent for path in files]
    homes: dict[str, set[Path]] = {}
    between = 0
    for path in files:
        text = path.read_text(encoding="utf-8")
        for name in re.findall(
            r"^export (?:async )?(?:function\*?|const|let|class|type|interface) (\w+)", text, re.MULTILINE
        ):
            homes.setdefault(name, set()).add(path)
        targets = [web / target for target in re.findall(r'from "studio/([^"]+)"', text)]
        between += sum(1 for target in targets if _panel(path) and _panel(target) not in (None, _panel(path)))
    doubled = sum(len(where) > 1 for where in homes.values())
    return max(map(folders.count, folders)), between, doubled


def _panel(path: Path) -> str | None:
    """The panel that a module belongs to: its folder in ``panels``."""
    return path.parts[path.parts.index("panels") + 1] if "panels" in path.parts else None


def most_files(checkout: Path) -> str:
    """The folder with the most Python files side by side, except ``cli``, which has a file for each command."""
    folders = Counter(path.parent for path in modules(checkout).values() if path.parent.name != "cli")
    folder, count = folders.most_common(1)[0]
    return f"{count} ({folder.name})"


def named_of(checkout: Path) -> int:
    """Functions whose names end in ``_of``, which rarely describes what they do."""
    texts = (path.read_text(encoding="utf-8") for path in modules(checkout).values())
    return sum(len(re.findall(r"^ *def \w+_of\(", text, re.MULTILINE)) for text in texts)


def gate_orders(checkout: Path) -> int:
    """Files that write down our order of the gates; other frameworks' orders are in ``layouts.py``."""
    order = re.compile(r"""["']i["'], ["']f["'], ["']g["'], ["']o["']|["']ifgo["']|Gate\("i\"""")
    files = [path for path in modules(checkout).values() if "course" not in path.parts and path.name != "layouts.py"]
    return sum(bool(order.search(path.read_text(encoding="utf-8"))) for path in files)


def _is_ours(path: Path) -> bool:
    return "node_modules" not in path.parts


def lines(checkout: Path, folder: str, *endings: str) -> int:
    """Lines of all files of a kind."""
    files = (path for path in (checkout / folder).rglob("*") if path.suffix in endings and _is_ours(path))
    return sum(path.read_text(encoding="utf-8").count("\n") for path in files)


def words(checkout: Path) -> int:
    """Words of the documentation's Markdown files, code included."""
    files = (path for path in (checkout / "docs").rglob("*.md") if "_build" not in path.parts)
    return sum(len(path.read_text(encoding="utf-8").split()) for path in files)


def rows() -> dict[str, Callable[[Path], object]]:
    """The measurements, by name."""

    def root(checkout: Path) -> str:
        package = checkout / "src" / "hiddenstate"
        packages = [path for path in package.iterdir() if (path / "__init__.py").is_file()]
        return f"{len(list(package.glob('*.py')))} / {len(packages)}"

    return {
        "root: Python files / packages": root,
        "circles of files, all kinds of import": lambda checkout: circles(imports(checkout)) or 0,
        "most files side by side (cli aside)": most_files,
        "functions named x_of": named_of,
        "files that write down the gate order": gate_orders,
        "lines: Python source": lambda checkout: lines(checkout, "src", ".py"),
        "lines: native": lambda checkout: lines(checkout, "native", ".h", ".cpp"),
        "lines: TypeScript": lambda checkout: lines(checkout, "web", ".ts", ".tsx"),
        "lines: tests, Python": lambda checkout: lines(checkout, "tests", ".py"),
        "lines: ARCHITECTURE.md": lambda checkout: (checkout / "ARCHITECTURE.md").read_text("utf-8").count("\n"),
        "words under docs": words,
        "longest chain when loaded, files": lambda checkout: longest_chain(imports(checkout, load_only=True)),
        "longest chain when loaded, rooms": lambda checkout: _chain_of_rooms(checkout),
        "autograd Functions": autograd_functions,
        "Python core and C++ seam, lines": core_lines,
        "longest Python file": lambda checkout: longest(checkout, "src/hiddenstate", ".py"),
        "longest native file": lambda checkout: longest(checkout, "native", ".h", ".cpp"),
        "longest TypeScript file": lambda checkout: longest(checkout, "web", ".ts", ".tsx"),
        "modules that the file of LSTM imports": lambda checkout: lstm_file(checkout)[0],
        "private methods of LSTM": lambda checkout: lstm_file(checkout)[1],
        "longest parameter list of a native entry": longest_entry,
        "TypeScript: files in one folder": lambda checkout: scripts(checkout)[0],
        "TypeScript: imports between panels": lambda checkout: scripts(checkout)[1],
        "TypeScript: exported names with two homes": lambda checkout: scripts(checkout)[2],
    }


def _chain_of_rooms(checkout: Path) -> object:
    graph = rooms(imports(checkout, load_only=True))
    return longest_chain({room: others & graph.keys() for room, others in graph.items()}) if not circles(graph) else "-"


def main() -> None:
    """Print the table."""
    checkouts = [Path(name).resolve() for name in sys.argv[1:]] or [Path(__file__).resolve().parents[1]]
    for name, measure in rows().items():
        print(f"{name:45s} " + "  ".join(f"{measure(checkout)!s:>24s}" for checkout in checkouts))


if __name__ == "__main__":
    main()
