"""When an allocation of the native code fails, that is a MemoryError: nothing aborts, and nothing is left half done."""

import os
from pathlib import Path

import pytest

from attacks import allocations


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes allocations fail."""
    if allocations.compiler() is None:
        pytest.skip("needs Linux and a C++ compiler")
    if os.environ.get("LD_PRELOAD"):
        pytest.skip("a sanitizer is preloaded already")
    return allocations.compiled(tmp_path_factory.mktemp("failing"))


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_each_allocation_that_fails_is_a_memory_error(failing: Path, seed: int) -> None:
    done = allocations.run(failing, seed)
    assert done.returncode == 0, done.stdout + done.stderr
