"""The examples in docstrings give what they say."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "src"
WITH_EXAMPLES = sorted(path for path in SOURCES.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.relative_to(SOURCES).with_suffix("").as_posix())
def test_examples_in_docstrings(path: Path) -> None:
    module = import_module(".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__"))
    examples = [found for found in doctest.DocTestFinder().find(module) if found.examples]
    assert examples
    differences: list[str] = []
    for example in examples:
        doctest.DocTestRunner(verbose=False).run(example, out=differences.append)
    assert differences == [], "".join(differences)
