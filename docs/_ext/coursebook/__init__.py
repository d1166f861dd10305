"""The course's part of the documentation: directives, live figures, and the notebooks made from its pages.

What is needed to build the site and nothing of it is in the package. `tests/course/AUTHORING.md` says how a page is
written. Begin with `pages.py`, which reads one.
"""

import zlib
from pathlib import Path
from typing import Any


def setup(app: Any) -> dict[str, Any]:
    """Register the directives and roles, and what the build does for them."""
    from coursebook import build, directives  # tests read pages where there is no Sphinx

    directives.register(app)
    build.register(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": _version()}


def _version() -> int:
    """Number this code by what it says: when it has changed, pages that were read before are read again."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return zlib.crc32(b"".join(path.read_bytes() for path in sources))
