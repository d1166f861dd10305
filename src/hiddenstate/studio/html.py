"""The page's HTML: one template, filled for a server or for a file."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from hiddenstate.studio import assets
from hiddenstate.studio.bundles.bundle import Bundle, as_json

# Markers in the template, each on its own line.
_HEAD, _BODY = "<!-- head -->", "<!-- body -->"


def fill(head: Sequence[str], body: Sequence[str]) -> str:
    """Insert lines into the template's head, and at the end of its body."""
    template = assets.text(assets.TEMPLATE)
    return template.replace(_HEAD, "\n    ".join(head), 1).replace(_BODY, "\n    ".join(body), 1)


def data(identifier: str, value: Any) -> str:
    """Return an element with data for a script; nothing in the data can end the element or start another."""
    text = as_json(value).decode()
    return packed(identifier, text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def packed(identifier: str, text: str) -> str:
    """Return an element with text for a script; the text must contain no ``<``."""
    assert "<" not in text
    return f'<script type="application/json" id="{html.escape(identifier)}">{text}</script>'


def boot(
    host: str,
    bundles: Mapping[str, Bundle],
    view: Mapping[str, Any],
    live: str = "",
    index: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the page's boot data; see `Boot` in web/types.ts."""
    models = [{"id": key, "name": bundle.name, "kind": bundle.kind} for key, bundle in bundles.items()]
    return {"host": host, "models": models, "view": view, "live": live, "index": index}


def policy(**sources: str) -> str:
    """Return a content security policy that allows only these sources."""
    allowed = {"default": "'none'", **sources}
    directives = [f"{name}-src {value}" for name, value in allowed.items()]
    return "; ".join([*directives, "base-uri 'none'", "form-action 'none'"])
