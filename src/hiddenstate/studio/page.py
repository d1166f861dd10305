"""The page as one file: it runs the models, needs no network and may not use one.

Modules, styles and models lie in the file deflated, as base64. A short script unpacks the modules, makes each an
address of the browser's own (``blob:``), and tells the browser by an import map which name leads to which.
"""

import base64
import html as escaping
import json
import secrets
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hiddenstate.files import written_beside
from hiddenstate.studio import assets, html
from hiddenstate.studio.bundle import Bundle

_LOADER = "hosts/loader.js"


def offline_page(bundles: Mapping[str, Bundle], view: Mapping[str, Any], *, host: str = "file", live: str = "") -> str:
    """Return the page with these models in it.

    Args:
        bundles: the models by id; the first is the one that is shown.
        view: what the page begins with.
        host: what the page is told that it runs in: ``file`` or ``notebook``.
        live: what Python does while the page is open.
    """
    nonce = secrets.token_urlsafe(16)
    # Whatever the page's own text says, nothing is loaded from anywhere, and no script runs but those that are here.
    allowed = html.policy(script=f"'nonce-{nonce}' blob:", style=f"'nonce-{nonce}'", img="blob: data:")
    head = [f'<meta http-equiv="Content-Security-Policy" content="{escaping.escape(allowed)}">']
    body = [
        html.data("boot", html.boot(host, bundles, view, live)),
        html.packed("modules", packed(_modules())),
        *(html.data(f"bundle-{key}", _parts(bundle)) for key, bundle in bundles.items()),
        f'<script nonce="{nonce}">{assets.text(_LOADER)}</script>',
    ]
    return html.fill(head, body)


def write_page(path: str | Path, page: str) -> None:
    """Write a page beside its place, and rename it.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    with written_beside(path) as beside:
        beside.write_text(page, encoding="utf-8", newline="\n")


def packed(content: bytes) -> str:
    """Deflate bytes, and write them in signs that stand in any text."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(deflate.compress(content) + deflate.flush()).decode()


def _parts(bundle: Bundle) -> dict[str, str]:
    return {"head": packed(bundle.head_bytes()), "weights": packed(bundle.weights)}


def _modules() -> bytes:
    """Return the modules by name, and the styles, as JSON."""
    modules = {name: without_comments(assets.text(name)) for name in assets.names(".js")}
    styles = "\n".join(assets.text(name) for name in assets.names(".css"))
    return json.dumps({"modules": modules, "styles": styles}, ensure_ascii=False).encode()


def without_comments(source: str) -> str:
    """Leave out the comments of a module that have lines of their own, which are for its readers."""
    return "\n".join(_code(source.split("\n")))


def _code(lines: list[str]) -> Iterator[str]:
    inside = False
    for line in lines:
        text = line.strip()
        if inside:
            inside = not text.endswith("*/")
        elif text.startswith("/**") and "*/" not in text:
            inside = True
        elif not text.startswith("//") and not (text.startswith("/**") and text.endswith("*/")):
            yield line
