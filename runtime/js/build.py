"""Assembles the JavaScript package in build/js: index.js, and the studio's runtime with relative imports."""

import re
import shutil
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STATIC = ROOT / "src" / "hiddenstate" / "studio" / "static"
_MODULE = re.compile(r'"studio/([^"]+)"')


def write(target: Path) -> None:
    """Write the package to a folder, replacing it."""
    shutil.rmtree(target, ignore_errors=True)
    sources = {source.relative_to(STATIC): source for source in (STATIC / "runtime").rglob("*.js")}
    for name, source in {**sources, Path("types.js"): STATIC / "types.js", Path("index.js"): HERE / "index.js"}.items():
        up = "./" + "../" * (len(name.parts) - 1)
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(_MODULE.sub(lambda match, up=up: f'"{up}{match[1]}"', source.read_text()))
    for path in (HERE / "package.json", HERE / "README.md", HERE / "tsconfig.json", ROOT / "LICENSE"):
        shutil.copy(path, target)


if __name__ == "__main__":
    write(ROOT / "build" / "js")
