"""A pytest plugin: names that tests of torch 2.6 import and later versions of torch lack.

No test of a recurrent layer uses them.
"""

from importlib import import_module
from typing import Any

_NAMES: tuple[tuple[str, str, Any], ...] = (
    ("torch.testing._internal.common_nn", "new_module_tests", []),
    ("torch.testing._internal.jit_metaprogramming_utils", "additional_module_tests", []),
    ("torch.jit.frontend", "_IS_ASTUNPARSE_INSTALLED", False),
    ("torch.testing._internal.common_cuda", "tf32_is_not_fp32", lambda: True),
    ("torch.testing._internal.common_mkldnn", "bf32_on_and_off", lambda *_: lambda test: test),
)


def pytest_configure() -> None:
    """Restore them before any test is imported."""
    for place, name, value in _NAMES:
        if not hasattr(import_module(place), name):
            setattr(import_module(place), name, value)
