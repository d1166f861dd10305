"""The page as one text, with its script, styles and boot data, and as one file that also contains models.

The script, styles and models are deflated and written as base64. A short script unpacks them
and starts the page. So a server sends everything in one response, and a file needs no network, which its policy also
forbids.
"""

import base64
import html as escaping
import json
import secrets
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from hiddenstate.base.files import written_beside
from hiddenstate.studio import assets, html
from hiddenstate.studio.bundles.bundle import Bundle


def new_nonce() -> str:
    """Return the nonce that marks a page's own scripts and styles."""
    return secrets.token_urlsafe(16)


def policy(nonce: str, **sources: str) -> str:
    """Return the content security policy of a page, which allows its own scripts and styles, and these sources."""
    own = {"script": f"'nonce-{nonce}'", "style": f"'nonce-{nonce}'", "img": "blob: data:"}
    return html.policy(**own, **sources)


def prepare() -> None:
    """Pack the script now, so that the first request for the page need not wait.

    Raises:
        MissingDependencyError: the page could not be built when the package was installed.
    """
    _packed_code(assets.state())


def page(boot: Mapping[str, Any], nonce: str, *, head: Sequence[str] = (), data: Sequence[str] = ()) -> str:
    """Return the page.

    Args:
        boot: its boot data.
        nonce: the nonce of its policy.
        head: more lines for its head.
        data: more elements for its body.
    """
    return html.fill(
        head,
        [
            html.data("boot", boot),
            html.packed("code", _packed_code(assets.state())),
            *data,
            f'<script nonce="{nonce}">{assets.text(assets.LOADER)}</script>',
        ],
    )


def offline_page(
    bundles: Mapping[str, Bundle],
    view: Mapping[str, Any],
    *,
    host: str = "file",
    live: str = "",
    index: Mapping[str, Any] | None = None,
) -> str:
    """Return the page with these models included.

    Args:
        bundles: the models by id; the first one is shown.
        view: the initial view.
        host: where the page runs: ``file`` or ``notebook``.
        live: the role of Python while the page is open.
        index: the data about an index that the page shows; its pages need a server.
    """
    nonce = new_nonce()
    head = [f'<meta http-equiv="Content-Security-Policy" content="{escaping.escape(policy(nonce))}">']
    data = [html.data(f"bundle-{key}", _parts(bundle)) for key, bundle in bundles.items()]
    return page(html.boot(host, bundles, view, live, index), nonce, head=head, data=data)


def write_page(path: str | Path, text: str) -> None:
    """Write a page under a temporary name, and rename it.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    with written_beside(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")


def packed(content: bytes) -> str:
    """Deflate bytes and encode them in base64."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(deflate.compress(content) + deflate.flush()).decode()


def _parts(bundle: Bundle) -> dict[str, str]:
    return {"head": packed(bundle.head_bytes()), "weights": packed(bundle.weights)}


@lru_cache(maxsize=1)
def _packed_code(_: object) -> str:
    """Return the script and the styles as JSON; the files are read again if they have changed."""
    code = {"script": assets.text(assets.SCRIPT), "styles": assets.text(assets.STYLES)}
    return packed(json.dumps(code, ensure_ascii=False).encode())
