"""Draws random sentences of the project's text, to be read by someone who has not seen them.

    python docs/sentences.py [--seed N] [--count N] [--kind KIND]

A reader marks each sentence that a native speaker would rephrase. The kinds: docs (Markdown, without code and tables),
docstrings, comments (Python, C++ and TypeScript), messages (of errors), help (of the command line) and page (texts of
the studio's page).
"""

import argparse
import ast
import io
import random
import re
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "hiddenstate"
SHORTEST = 4  # words
OPTIONS = ("file", "folder", "setting")  # functions of the command line whose first argument is a help text
# Strings and comments of C++ and JavaScript; consecutive lines that begin with // are one comment.
CODE = re.compile(
    r'"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`|(?<![^\n])[ ]*//[^\n]*(?:\n[ ]*//[^\n]*)*|//[^\n]*|/\*.*?\*/', re.S
)


def sentences(text: str) -> Iterator[str]:
    """Split prose into sentences, leaving out fragments of fewer than four words."""
    for paragraph in re.split(r"\n\s*\n|\n\s*[-*|] ", text):
        joined = " ".join(paragraph.split())
        for sentence in re.split(r"(?<=[.!?:])\s+(?=[A-Z`\"“])", joined):
            if len(sentence.split()) >= SHORTEST and re.search(r"[a-z]{3}", sentence):
                yield sentence


def docs() -> Iterator[str]:
    """The prose of the Markdown files."""
    folders = [ROOT / "docs", ROOT / "native", ROOT / "tests", ROOT / "benchmarks"]
    files = [*ROOT.glob("*.md"), *(path for folder in folders for path in folder.rglob("*.md"))]
    for path in files:
        if not {"_build", "build"} & set(path.parts):
            text = re.sub(r"^(```|~~~).*?^\1", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
            yield re.sub(r"^(\||:|#|<|\{).*$", "", text, flags=re.M)


def docstrings() -> Iterator[str]:
    """The docstrings of the package."""
    for tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = re.sub(r"^\s*>>>.*?(\n\s*\n|\Z)", "", ast.get_docstring(node) or "", flags=re.M | re.S)
                yield re.sub(r"^(\w+:$|    (?=\w+(, \w+)*: ))", "\n", text, flags=re.M)  # each argument by itself


def comments() -> Iterator[str]:
    """The comments of the package, of the native code and of the page."""
    for path in SOURCE.rglob("*.py"):
        found: list[tokenize.TokenInfo] = []
        for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
            if token.type == tokenize.COMMENT:
                alone = not token.line[: token.start[1]].strip()
                follows = found and alone and token.start == (found[-1].start[0] + 1, found[-1].start[1])
                if not follows:
                    yield " ".join(each.string.lstrip("# ") for each in found)
                    found.clear()
                found.append(token)
        yield " ".join(each.string.lstrip("# ") for each in found)
    for path in [*(ROOT / "native").rglob("*.h"), *(ROOT / "native").rglob("*.cpp"), *_page_sources()]:
        tokens = [token.lstrip() for token in CODE.findall(path.read_text(encoding="utf-8"))]
        for token in tokens:
            if token.startswith("/"):
                text = re.sub(r"^\s*(//|\*)   .*", "", token, flags=re.M)  # code and drawings are indented
                text = re.sub(r"^\s*(//|/\*\*?|\*/?)|\*/$", "", text, flags=re.M)
                yield re.sub(r"(^|\s)@\w.*", "", text, flags=re.S)  # JSDoc's tags come after the description


def messages() -> Iterator[str]:
    """The texts of the errors that the package raises; ``…`` stands for a value."""
    for tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                yield from filter(None, map(_text, node.exc.args))


def help_texts() -> Iterator[str]:
    """The help texts of the command line."""
    for path in (SOURCE / "cli").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "help":
                yield _text(node.value)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in OPTIONS:
                yield _text(node.args[0])
            if isinstance(node, ast.FunctionDef):
                yield ast.get_docstring(node) or ""


def page() -> Iterator[str]:
    """Texts in the page's modules: strings of several words."""
    for path in _page_sources():
        for quoted in CODE.findall(path.read_text(encoding="utf-8")):
            text = re.sub(r"\$\{[^}]*\}", "…", quoted[1:-1])
            if quoted[0] in '"`' and re.search(r"[a-z] [a-z]+ [a-z]", text) and not re.search(r"[{};<>]", text):
                yield text


KINDS: dict[str, Callable[[], Iterator[str]]] = {
    "docs": docs,
    "docstrings": docstrings,
    "comments": comments,
    "messages": messages,
    "help": help_texts,
    "page": page,
}


def _page_sources() -> list[Path]:
    return [path for path in (ROOT / "web").rglob("*.ts*") if "node_modules" not in path.parts]


def _trees() -> Iterator[ast.Module]:
    for path in SOURCE.rglob("*.py"):
        yield ast.parse(path.read_text(encoding="utf-8"))


def _text(node: ast.expr) -> str:
    """A string, or an f-string with ``…`` in place of its values."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(value) if isinstance(value, ast.Constant) else "…" for value in node.values)
    return ""


def draw(kind: str, count: int, seed: int) -> list[str]:
    """Draw sentences of one kind, or all if there are fewer."""
    every = sorted({sentence for text in KINDS[kind]() for sentence in sentences(text)})
    return random.Random(seed).sample(every, min(count, len(every)))


def main() -> None:
    """Print numbered sentences of each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--kind", choices=KINDS, action="append")
    options = parser.parse_args()
    for kind in options.kind or KINDS:
        print(f"\n{kind}, seed {options.seed}")
        for number, sentence in enumerate(draw(kind, options.count, options.seed), 1):
            print(f"{number:4d}  {sentence}")


if __name__ == "__main__":
    main()
