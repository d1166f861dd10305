"""Settings of the documentation, and two additions to Sphinx: drawings, and a ban on external resources.

``{drawing}`` shows code and the picture that it draws. Nothing that a page loads may come from another host, and the
build fails if something does. The course's directives are in ``_ext/coursebook``.
"""

import os
import re
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from hiddenstate.errors import MissingDependencyError

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "hiddenstate"
author = "The hiddenstate authors"
try:
    version = release = version_of("hiddenstate")
except PackageNotFoundError:  # the course's pages, which do not show it, are built before the package is installed
    version = release = ""

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "coursebook"]
exclude_patterns = ["_build", "course/_*"]
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]

default_role = "py:obj"  # docstrings write `Trace`: a link if the name exists

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"hiddenstate {version}"
html_static_path = ["_static"]
html_css_files = ["pages.css", "course.css"]
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False

# A script, picture, frame, font or style sheet from another host.
_STRANGER = re.compile(
    r"""<(?:script|img|iframe|source|link)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*>
      | url\(\s*["']?(?:https?:)?//[^)]*\)
      | @import\s+["'](?:https?:)?//[^"']*""",
    re.VERBOSE,
)
# A script that requests anything from another host.
_STRANGER_OF_SCRIPT = re.compile(
    r"""\b(?:fetch|import|importScripts|Worker|WebSocket|EventSource)\(\s*["'`](?:https?:|wss?:)?//[^)]*\)
      | \.(?:src|href)\s*=\s*["'`](?:https?:)?//[^;]*""",
    re.VERBOSE,
)

# Code in a text: between backquotes, and a line of an example.
_QUOTED = re.compile(r"(``.+?``|`[^`]+`|^ *(?:>>>|\.\.\.) [^\n]*$)", re.DOTALL | re.MULTILINE)


class Drawing(SphinxDirective):
    """Code that binds a matplotlib figure to ``figure``, and what it draws; the argument describes the picture."""

    has_content = True
    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[Any]:
        """Show the code and, if matplotlib is installed, the picture."""
        code = "\n".join(self.content)
        shown = f"```python\n{code}\n```\n"
        folder = Path(self.env.app.doctreedir) / "drawings"
        path = folder / f"{self.env.docname.replace('/', '-')}-{self.lineno}.svg"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _draw(code, path)
        except MissingDependencyError as error:
            logging.getLogger(__name__).info("no drawing: %s", error)
            return self.parse_text_to_nodes(shown)
        uri = Path(os.path.relpath(path, self.env.srcdir)).as_posix()
        return self.parse_text_to_nodes(f"{shown}\n![{self.arguments[0]}](/{uri})\n")


def _draw(code: str, path: Path) -> None:
    namespace: dict[str, Any] = {}
    exec(code, namespace)  # our own pages
    namespace["figure"].savefig(path, metadata={"Date": None})


def _keep_bars(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Bars in a docstring are absolute values, |a - b|, and never reST's substitutions; code stays as it is."""
    parts = _QUOTED.split("\n".join(lines))
    parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
    lines[:] = "".join(parts).split("\n")


def _refuse_strangers(app: Sphinx, error: Exception | None) -> None:
    """Fail the build if a page loads anything from elsewhere."""
    if error is not None:
        return
    for path in sorted(Path(app.outdir).rglob("*")):
        patterns = {".html": [_STRANGER], ".css": [_STRANGER], ".js": [_STRANGER, _STRANGER_OF_SCRIPT]}
        for pattern in patterns.get(path.suffix, ()):
            found = pattern.search(path.read_text(encoding="utf-8"))
            if found:
                raise ExtensionError(f"{path.relative_to(app.outdir)} loads something from elsewhere: {found[0][:200]}")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive and the hooks."""
    app.add_directive("drawing", Drawing)
    app.connect("autodoc-process-docstring", _keep_bars)
    app.connect("build-finished", _refuse_strangers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
