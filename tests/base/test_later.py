"""Names that are imported on first use."""

import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from hiddenstate.base.later import homes_in_stub, on_first_use


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    (tmp_path / "slow_package").mkdir()
    init = tmp_path / "slow_package" / "__init__.py"
    init.write_text("")
    init.with_suffix(".pyi").write_text(
        "from slow_package.part import word as word\nfrom slow_package.part import other as name\n"
        "from slow_package import part as part\n"
    )
    (tmp_path / "slow_package" / "part.py").write_text("word, other = object(), object()")
    monkeypatch.syspath_prepend(tmp_path)
    found = __import__("slow_package")
    for name, function in zip(("__getattr__", "__dir__"), on_first_use("slow_package", str(init)), strict=True):
        monkeypatch.setattr(found, name, function, raising=False)
    yield found
    for name in ("slow_package", "slow_package.part"):
        sys.modules.pop(name, None)


def test_a_name_is_imported_once_and_kept(package: types.ModuleType) -> None:
    assert "slow_package.part" not in sys.modules
    word = package.word
    assert word is sys.modules["slow_package.part"].word
    assert vars(package)["word"] is word
    assert package.name is sys.modules["slow_package.part"].other
    assert package.part is sys.modules["slow_package.part"]


def test_names_are_listed_before_they_are_imported(package: types.ModuleType) -> None:
    assert {"name", "part", "word"} <= set(dir(package))
    assert "slow_package.part" not in sys.modules


def test_a_name_that_is_not_there_fails(package: types.ModuleType) -> None:
    with pytest.raises(AttributeError, match="module 'slow_package' has no attribute 'other'"):
        package.other  # noqa: B018


def test_the_stub_is_found_where_only_compiled_files_are_installed(tmp_path: Path) -> None:
    (tmp_path / "__init__.pyi").write_text("from package.part import other as name\n")
    assert homes_in_stub(str(tmp_path / "__init__.pyc")) == {"name": ("package.part", "other")}
