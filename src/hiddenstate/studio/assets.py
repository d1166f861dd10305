"""What the page is made of: its modules and styles, as they lie in the package."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

STATIC = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
# The only names there are, so that none can lead out of the folder.
_NAME = re.compile(r"(?:[a-z0-9-]+/)*[a-z0-9-]+\.(?:js|css)")
# Types alone, and what begins the page in a file or a notebook, which no module imports.
_NO_MODULE = re.compile(r"types\.js|hosts/.*")


@dataclass(frozen=True)
class Asset:
    """One file of the page.

    Attributes:
        name: where it lies below the folder, with slashes.
        content: its bytes.
        media_type: what it is.
        tag: of the content, for caches.
    """

    name: str
    content: bytes
    media_type: str
    tag: str


def names(suffix: str) -> list[str]:
    """Every module or style: what lies nearer to the root first, so that later styles may rely on earlier ones."""
    found = [path.relative_to(STATIC).as_posix() for path in STATIC.rglob(f"*{suffix}")]
    return sorted((name for name in found if is_asset(name)), key=lambda name: (name.count("/"), name))


def is_asset(name: str) -> bool:
    """Whether a name is one that a file of the page may have."""
    return _NAME.fullmatch(name) is not None and _NO_MODULE.fullmatch(name) is None


def read(name: str) -> Asset | None:
    """Read one file as it is now; None where there is none of this name."""
    path = STATIC / name
    if not is_asset(name) or not path.is_file():
        return None
    content = path.read_bytes()
    return Asset(name, content, TYPES[path.suffix], hashlib.sha256(content).hexdigest()[:32])


def text(name: str) -> str:
    """Text of a file that is surely there."""
    return (STATIC / name).read_text(encoding="utf-8")
