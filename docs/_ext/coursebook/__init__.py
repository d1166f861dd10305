"""The course's part of the documentation: directives, live figures, and the notebooks made from its pages.

This code is only needed to build the site, and is not in the package. `tests/course/AUTHORING.md` explains how to write
a page. Begin with `pages.py`, which reads one.
"""

import zlib
from pathlib import Path
from typing import Any


def setup(app: Any) -> dict[str, Any]:
    """Register the directives and roles, and what the build does for them."""
    from coursebook import build, directives  # tests read pages without Sphinx

    directives.register(app)
    build.register(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": _version()}


def _version() -> int:
    """Return a version of this code derived from its content: when it changes, pages are read again."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return zlib.crc32(b"".join(path.read_bytes() for path in sources))
