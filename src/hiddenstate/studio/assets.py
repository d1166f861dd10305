"""The page's modules and styles, which are files of the package."""

import re
from pathlib import Path

STATIC = Path(__file__).parent / "static"
# Type declarations, and the scripts that start the page or embed it in a notebook: no module imports them.
_NO_MODULE = re.compile(r"(.*/)?types\.js|hosts/.*")


def names(suffix: str) -> list[str]:
    """Return the names of all modules or styles; those nearer to the root come first, so that styles build on them."""
    found = [path.relative_to(STATIC).as_posix() for path in STATIC.rglob(f"*{suffix}")]
    return sorted((name for name in found if not _NO_MODULE.fullmatch(name)), key=lambda name: (name.count("/"), name))


def text(name: str) -> str:
    """Return the text of a file that is known to exist."""
    return (STATIC / name).read_text(encoding="utf-8")


def state() -> tuple[tuple[str, int, int], ...]:
    """Return a key that changes when a module or style changes."""
    found = ((name, (STATIC / name).stat()) for suffix in (".js", ".css") for name in names(suffix))
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in found)
