"""Names that are imported on first use."""

import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from hiddenstate.base.later import on_first_use


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    (tmp_path / "slow_package").mkdir()
    (tmp_path / "slow_package" / "__init__.py").write_text("")
    (tmp_path / "slow_package" / "part.py").write_text("word, other = object(), object()")
    monkeypatch.syspath_prepend(tmp_path)
    found = __import__("slow_package")
    monkeypatch.setattr(
        found, "__getattr__", on_first_use("slow_package", {"word": "part", "name": "part:other"}), raising=False
    )
    yield found
    for name in ("slow_package", "slow_package.part"):
        sys.modules.pop(name, None)


def test_a_name_is_imported_once_and_kept(package: types.ModuleType) -> None:
    assert "slow_package.part" not in sys.modules
    word = package.word
    assert word is sys.modules["slow_package.part"].word
    assert vars(package)["word"] is word
    assert package.name is sys.modules["slow_package.part"].other


def test_a_name_that_is_not_there_fails(package: types.ModuleType) -> None:
    with pytest.raises(AttributeError, match="module 'slow_package' has no attribute 'other'"):
        package.other  # noqa: B018
