"""Finds `hiddenstate_runtime`, which ``make runtime`` builds into build/runtime."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "runtime"
IS_BUILT = any(FOLDER.glob("hiddenstate_runtime/_native*"))

if IS_BUILT:
    sys.path.append(str(FOLDER))

# Where a native module is required, a runtime that was not built is an error.
needs_runtime = pytest.mark.skipif(
    not IS_BUILT and os.environ.get("HIDDENSTATE_REQUIRE_NATIVE") != "1", reason="make runtime builds it"
)
