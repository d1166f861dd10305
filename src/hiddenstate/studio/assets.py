"""What the page is made of: its modules and styles, as they lie in the package."""

import re
from pathlib import Path

STATIC = Path(__file__).parent / "static"
# Types alone, and what begins the page or holds it in a notebook, which no module imports.
_NO_MODULE = re.compile(r"(.*/)?types\.js|hosts/.*")


def names(suffix: str) -> list[str]:
    """Every module or style: what lies nearer to the root first, so that later styles may rely on earlier ones."""
    found = [path.relative_to(STATIC).as_posix() for path in STATIC.rglob(f"*{suffix}")]
    return sorted((name for name in found if not _NO_MODULE.fullmatch(name)), key=lambda name: (name.count("/"), name))


def text(name: str) -> str:
    """Text of a file that is surely there."""
    return (STATIC / name).read_text(encoding="utf-8")


def state() -> tuple[tuple[str, int, int], ...]:
    """Something that differs when a module or style does."""
    found = ((name, (STATIC / name).stat()) for suffix in (".js", ".css") for name in names(suffix))
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in found)
