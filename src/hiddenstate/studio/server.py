"""The studio's server: the page, its modules, and models by their ids. It computes nothing: the page runs them."""

import gzip
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hiddenstate.studio import assets, html
from hiddenstate.studio.bundle import Bundle
from hiddenstate.studio.guard import Guard

IMPORT_MAP = '{"imports": {"studio/": "./static/"}}'
_SMALL = 512  # bytes, which are not worth compressing


@dataclass(frozen=True, eq=False)
class Site:
    """What a server shows.

    Attributes:
        bundles: models by id; the first is the one that is shown.
        view: what the page begins with.
        token: the secret in the address.
    """

    bundles: Mapping[str, Bundle]
    view: Mapping[str, Any] = field(default_factory=dict)
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def boot(self) -> dict[str, Any]:
        """What the page is told at the beginning."""
        models = [{"id": key, "name": bundle.name, "kind": bundle.kind} for key, bundle in self.bundles.items()]
        return {"host": "server", "models": models, "view": self.view, "token": self.token, "live": ""}

    @cached_property
    def heads(self) -> Mapping[str, bytes]:
        """The models' heads, as JSON."""
        return {key: bundle.head_bytes() for key, bundle in self.bundles.items()}

    def app(self) -> Guard:
        """Return the application that serves it, behind its guard."""
        routes = [
            Route("/", self.page),
            Route("/static/{name:path}", self.asset),
            Route("/models/{model}/head.json", self.head),
            Route("/models/{model}/weights.safetensors", self.weights),
        ]
        return Guard(Starlette(routes=routes), self.token)

    async def page(self, request: Request) -> Response:
        """Answer with the page."""
        if not request.url.path.endswith("/"):
            return RedirectResponse(f"/{self.token}/")
        scripts, styles = assets.names(".js"), assets.names(".css")
        head = [
            *(f'<link rel="stylesheet" href="static/{name}">' for name in styles),
            f'<script type="importmap">{IMPORT_MAP}</script>',
            *(f'<link rel="modulepreload" href="static/{name}">' for name in scripts),
        ]
        body = [html.data("boot", self.boot), '<script type="module" src="static/main.js"></script>']
        sources = html.policy(
            script=f"'self' {html.source_hash(IMPORT_MAP)}",
            style="'self'",
            img="'self' blob: data:",
            connect=f"'self' ws://{request.headers['host']}",
        )
        security = {"Content-Security-Policy": f"{sources}; frame-ancestors 'none'"}
        return _answer(request, html.fill(head, body).encode(), "text/html; charset=utf-8", headers=security)

    async def asset(self, request: Request) -> Response:
        """Answer with a module or a style."""
        found = assets.read(request.path_params["name"])
        return _none() if found is None else _answer(request, found.content, found.media_type, found.tag)

    async def head(self, request: Request) -> Response:
        """Answer with what a model is."""
        found = self.heads.get(request.path_params["model"])
        return _none() if found is None else _answer(request, found, "application/json")

    async def weights(self, request: Request) -> Response:
        """Answer with a model's weights, which hardly get smaller when they are compressed."""
        found = self.bundles.get(request.path_params["model"])
        return _none() if found is None else Response(found.weights, media_type="application/octet-stream")


def _none() -> Response:
    return Response("There is no such thing here.", 404, media_type="text/plain")


def _answer(
    request: Request, content: bytes, media_type: str, tag: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    """Answer compressed where the browser takes that, or not at all where it has the very same already."""
    given = dict(headers or {})
    if tag:
        given["ETag"] = f'"{tag}"'
        if given["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=given)
    if len(content) > _SMALL and "gzip" in request.headers.get("accept-encoding", ""):
        content = gzip.compress(content, 5)
        given |= {"Content-Encoding": "gzip"}
    return Response(content, headers={**given, "Vary": "Accept-Encoding"}, media_type=media_type)


def ids_of(bundles: Sequence[Bundle]) -> dict[str, Bundle]:
    """Give each bundle an id that can stand in an address: its name, and a number where that is not enough."""
    found: dict[str, Bundle] = {}
    for bundle in bundles:
        plain = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in bundle.name).strip("-")[:60]
        stem, count = plain.lower() or bundle.kind, 2
        key = stem
        while key in found:
            key, count = f"{stem}-{count}", count + 1
        found[key] = bundle
    return found
