"""The studio's server: the page, its modules, and models by their ids. It computes nothing: the page runs them."""

import gzip
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute

from hiddenstate.studio import assets, html
from hiddenstate.studio.bundle import Bundle
from hiddenstate.studio.guard import Guard, names_of
from hiddenstate.studio.sockets import Pages

IMPORT_MAP = '{"imports": {"studio/": "./static/"}}'
_SMALL = 512  # bytes, which are not worth compressing
_PIECE = 256 * 1024  # bytes that are sent before a slow client is waited for


@dataclass(frozen=True, eq=False)
class Site:
    """What a server shows.

    Attributes:
        bundles: models by id; the first is the one that is shown.
        view: what the page begins with.
        live: what Python does while the page is open, see `Boot` in static/types.js.
        pages: what pages that stay in touch talk to, if they do.
        token: the secret in the address.
    """

    bundles: Mapping[str, Bundle]
    view: Mapping[str, Any] = field(default_factory=dict)
    live: str = ""
    pages: Pages | None = None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @cached_property
    def heads(self) -> Mapping[str, bytes]:
        """The models' heads, as JSON."""
        return {key: bundle.head_bytes() for key, bundle in self.bundles.items()}

    def app(self, host: str, *, local: bool = True) -> Guard:
        """Return the application that serves it on an address, behind its guard."""
        routes: list[BaseRoute] = [
            Route("/", self.page),
            Route("/static/{name:path}", self.asset),
            Route("/models/{model}/head.json", self.head),
            Route("/models/{model}/weights.safetensors", self.weights),
        ]
        if self.pages is not None:
            routes.append(WebSocketRoute("/live", self.pages.stay))
        names = names_of(host, () if local else (socket.gethostname(),))
        return Guard(Starlette(routes=routes), self.token, names, any_address=not local)

    async def page(self, request: Request) -> Response:
        """Answer with the page."""
        head = [
            *(f'<link rel="stylesheet" href="static/{name}">' for name in assets.names(".css")),
            f'<script type="importmap">{IMPORT_MAP}</script>',
            *(f'<link rel="modulepreload" href="static/{name}">' for name in assets.names(".js")),
        ]
        body = [
            html.data("boot", html.boot("server", self.bundles, self.view, self.live)),
            '<script type="module" src="static/main.js"></script>',
        ]
        allowed = html.policy(
            script=f"'self' {html.source_hash(IMPORT_MAP)}",
            style="'self'",
            img="'self' blob: data:",
            connect=f"'self' ws://{request.headers['host']}",
        )
        security = {"Content-Security-Policy": f"{allowed}; frame-ancestors 'none'"}
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
        if found is None:
            return _none()
        length = {"Content-Length": str(len(found.weights))}
        return StreamingResponse(_pieces(found.weights), headers=length, media_type="application/octet-stream")


async def _pieces(content: bytes) -> AsyncIterator[memoryview]:
    for start in range(0, len(content), _PIECE):
        yield memoryview(content)[start : start + _PIECE]


def _none() -> Response:
    return PlainTextResponse("There is no such thing here.", 404)


def _answer(
    request: Request, content: bytes, media_type: str, tag: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    """Answer compressed where the browser takes that, or without content where it has the very same already."""
    given = {**(headers or {}), "Vary": "Accept-Encoding"}
    if tag:
        given["ETag"] = f'"{tag}"'
        if given["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=given)
    if len(content) > _SMALL and "gzip" in request.headers.get("accept-encoding", ""):
        content = gzip.compress(content, 1)
        given["Content-Encoding"] = "gzip"
    return Response(content, headers=given, media_type=media_type)
