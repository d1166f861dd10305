"""The studio's server: sends the page and the models, which the page runs, and answers requests about an index."""

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

from hiddenstate.studio import html
from hiddenstate.studio.bundles.bundle import Bundle
from hiddenstate.studio.corpus import CorpusPages
from hiddenstate.studio.page import new_nonce, page, policy, prepare
from hiddenstate.studio.server.corpus_routes import CorpusRoutes
from hiddenstate.studio.server.guard import Guard, server_names
from hiddenstate.studio.server.sockets import Pages

_PIECE = 256 * 1024  # bytes sent before waiting for a slow client


@dataclass(frozen=True, eq=False)
class Site:
    """The content of a server.

    Attributes:
        bundles: models by id; the first one is shown.
        view: the initial view.
        live: the role of Python while the page is open, see `Boot` in web/types.ts.
        pages: the endpoint for connected pages, if any.
        token: the secret in the address.
        corpus: the index behind the pages Units and Search, if any.
    """

    bundles: Mapping[str, Bundle]
    view: Mapping[str, Any] = field(default_factory=dict)
    live: str = ""
    pages: Pages | None = None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    corpus: CorpusPages | None = None

    @cached_property
    def heads(self) -> Mapping[str, bytes]:
        """The models' heads, as JSON."""
        return {key: bundle.head_bytes() for key, bundle in self.bundles.items()}

    def app(self, host: str, *, local: bool = True) -> Guard:
        """Return the application that serves the site on an address, behind its guard."""
        prepare()
        routes: list[BaseRoute] = [
            Route("/", self.page),
            Route("/models/{model}/head.json", self.head),
            Route("/models/{model}/weights.safetensors", self.weights),
        ]
        if self.pages is not None:
            routes.append(WebSocketRoute("/live", self.pages.stay))
        if self.corpus is not None:
            routes += CorpusRoutes(self.corpus.answers).routes()
        names = server_names(host, () if local else (socket.gethostname(),))
        return Guard(Starlette(routes=routes), self.token, names, any_address=not local)

    async def page(self, request: Request) -> Response:
        """Answer with the page."""
        nonce = new_nonce()
        index = None if self.corpus is None else self.corpus.about()
        text = page(html.boot("server", self.bundles, self.view, self.live, index), nonce)
        allowed = policy(nonce, connect=f"'self' ws://{request.headers['host']}")
        headers = {"Content-Security-Policy": f"{allowed}; frame-ancestors 'none'"}
        return Response(text, headers=headers, media_type="text/html")

    async def head(self, request: Request) -> Response:
        """Answer with a model's head."""
        found = self.heads.get(request.path_params["model"])
        return _none() if found is None else Response(found, media_type="application/json")

    async def weights(self, request: Request) -> Response:
        """Answer with a model's weights."""
        found = self.bundles.get(request.path_params["model"])
        if found is None:
            return _none()
        length = {"Content-Length": str(len(found.weights))}
        return StreamingResponse(_pieces(found.weights), headers=length, media_type="application/octet-stream")


async def _pieces(content: bytes) -> AsyncIterator[memoryview]:
    for start in range(0, len(content), _PIECE):
        yield memoryview(content)[start : start + _PIECE]


def _none() -> Response:
    return PlainTextResponse("There is nothing at this address.", 404)
