"""The page as one text, from a template, with its script, styles and boot data; and as one file that contains models.

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
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from hiddenstate.base.files import written_beside
from hiddenstate.studio import assets
from hiddenstate.studio.bundles.bundle import Bundle, as_json

# Markers in the template, each on its own line.
_HEAD, _BODY = "<!-- head -->", "<!-- body -->"


def fill(head: Sequence[str], body: Sequence[str]) -> str:
    """Insert lines into the template's head, and at the end of its body."""
    template = assets.text(assets.TEMPLATE)
    return template.replace(_HEAD, "\n    ".join(head), 1).replace(_BODY, "\n    ".join(body), 1)


def data_element(identifier: str, value: Any) -> str:
    """Return an element with data for a script; nothing in the data can end the element or start another."""
    text = as_json(value).decode()
    return script_element(identifier, text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def script_element(identifier: str, text: str) -> str:
    """Return an element with text for a script; the text must contain no ``<``."""
    assert "<" not in text
    return f'<script type="application/json" id="{escaping.escape(identifier)}">{text}</script>'


@dataclass(frozen=True, eq=False)
class CorpusPages:
    """The pages Units and Search."""

    answers: Any  # the `hiddenstate.corpus.answers.IndexAnswers` of the index that they query
    model: str  # the id of the indexed model in the studio

    def about(self) -> dict[str, Any]:
        """Return the data that the page has from the start; see `Boot` in web/types.ts."""
        return {**self.answers.about(), "model": self.model}


def boot_data(
    host: str,
    bundles: Mapping[str, Bundle],
    view: Mapping[str, Any],
    live: str = "",
    index: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the page's boot data; see `Boot` in web/types.ts."""
    models = [{"id": key, "name": bundle.name} for key, bundle in bundles.items()]
    return {"host": host, "models": models, "view": view, "live": live, "index": index}


def allow_only(**sources: str) -> str:
    """Return a content security policy that allows only these sources."""
    allowed = {"default": "'none'", **sources}
    directives = [f"{name}-src {value}" for name, value in allowed.items()]
    return "; ".join([*directives, "base-uri 'none'", "form-action 'none'"])


def new_nonce() -> str:
    """Return the nonce that marks a page's own scripts and styles."""
    return secrets.token_urlsafe(16)


def policy(nonce: str, **sources: str) -> str:
    """Return the content security policy of a page, which allows its own scripts and styles, and these sources."""
    own = {"script": f"'nonce-{nonce}'", "style": f"'nonce-{nonce}'", "img": "blob: data:"}
    return allow_only(**own, **sources)


def prepare(*, index: bool) -> None:
    """Pack the script now, so that the first request for the page need not wait."""
    _packed_code(assets.state(), _script(index))


def _script(index: bool) -> str:
    """Return the name of the script; only with an index does it have the pages of one."""
    return assets.INDEX_SCRIPT if index else assets.SCRIPT


def page(boot: Mapping[str, Any], nonce: str, *, head: Sequence[str] = (), data: Sequence[str] = ()) -> str:
    """Return the page."""
    return fill(
        head,
        [
            data_element("boot", boot),
            script_element("code", _packed_code(assets.state(), _script(bool(boot.get("index"))))),
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
    """Return the page with these models included."""
    nonce = new_nonce()
    head = [f'<meta http-equiv="Content-Security-Policy" content="{escaping.escape(policy(nonce))}">']
    data = [data_element(f"bundle-{key}", _parts(bundle)) for key, bundle in bundles.items()]
    return page(boot_data(host, bundles, view, live, index), nonce, head=head, data=data)


def write_page(path: str | Path, text: str) -> None:
    """Write a page under a temporary name, and rename it."""
    with written_beside(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")


def packed(content: bytes) -> str:
    """Deflate bytes and encode them in base64."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(deflate.compress(content) + deflate.flush()).decode()


def _parts(bundle: Bundle) -> dict[str, str]:
    return {"head": packed(bundle.head_bytes()), "weights": packed(bundle.weights)}


@lru_cache(maxsize=2)
def _packed_code(_: object, script: str) -> str:
    """Return the script and the styles as JSON; the files are read again if they have changed."""
    code = {"script": assets.text(script), "styles": assets.text(assets.STYLES)}
    return packed(json.dumps(code, ensure_ascii=False).encode())
