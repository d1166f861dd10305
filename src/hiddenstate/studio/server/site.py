"""The studio's server: sends the page and its models, answers about an index, and forwards the view."""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from hiddenstate.errors import HiddenStateError, MessageError
from hiddenstate.studio.bundles.bundle import Bundle, as_json
from hiddenstate.studio.messages import Audience, Subscriber, ViewMessage, decode, frame
from hiddenstate.studio.page import CorpusPages, boot_data, new_nonce, page, policy, prepare
from hiddenstate.studio.server.guard import Guard, server_names


class CorpusRoutes:
    """The routes below ``index/``; one card and one search run at a time, in threads."""

    def __init__(self, answers: Any) -> None:
        self._answers = answers
        self._cards, self._searches = (ThreadPoolExecutor(1, f"hiddenstate {name}") for name in ("cards", "searches"))
        self._light = ThreadPoolExecutor(2, "hiddenstate passages")
        self._turn = asyncio.Lock()  # allows one card at a time

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            Route("/index/units.json", self.units),
            Route("/index/card.json", self.card),
            Route("/index/passages.json", self.passages),
            Route("/index/search", self.search),
        ]

    async def units(self, request: Request) -> Response:
        """Answer with the table of all units."""
        return await self._answer(self._light, self._answers.units)

    async def card(self, request: Request) -> Response:
        """Answer with the card of ``unit``."""
        async with self._turn:
            if await request.is_disconnected():  # users who move through the gallery don't wait for each card
                return Response(status_code=408)
            return await self._answer(self._cards, partial(self._answers.card, request.query_params.get("unit", "")))

    async def passages(self, request: Request) -> Response:
        """Answer with the passages of ``spans``, and the values of ``unit`` there."""
        asked = (request.query_params.get(name, "") for name in ("unit", "spans"))
        return await self._answer(self._light, partial(self._answers.passages, *asked))

    async def search(self, request: Request) -> Response:
        """Answer with lines of JSON: the progress, then the result of ``query`` or an error."""
        lines = self._lines(request.query_params.get("query", ""))
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def _answer(self, pool: ThreadPoolExecutor, work: Callable[[], Any]) -> Response:
        try:
            answer = await asyncio.get_running_loop().run_in_executor(pool, work)
        except HiddenStateError as error:
            return Response(as_json({"error": str(error)}), 422, media_type="application/json")
        return Response(as_json(answer), media_type="application/json")

    async def _lines(self, query: str) -> AsyncGenerator[bytes, None]:
        loop, lines = asyncio.get_running_loop(), asyncio.Queue[dict[str, Any]]()
        is_left = False

        def put(line: dict[str, Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the server may have stopped meanwhile
                loop.call_soon_threadsafe(lines.put_nowait, line)

        def report(finished: int, total: int) -> None:
            if is_left:
                raise _LeftError
            put({"done": finished, "total": total})

        def work() -> None:
            last: dict[str, Any] = {"error": "The search failed; the reason is in the studio's terminal."}
            try:
                last = {"found": self._answers.search(query, report)}
            except HiddenStateError as error:
                last = {"error": str(error)}
            except _LeftError:
                pass
            finally:
                put(last)

        working = loop.run_in_executor(self._searches, work)
        try:
            while True:
                line = await lines.get()
                yield as_json(line) + b"\n"
                if "done" not in line:
                    return
        finally:  # if the page is no longer waiting, a search that reruns the corpus stops at its next shard
            is_left = True
            working.cancel()


class _LeftError(Exception):
    """The page that sent the request is no longer open."""


MOST_PAGES = 256
PAUSE = 1 / 30  # minimum seconds between messages to a page; screens can't show more
_TOO_MANY, _REFUSED = 1013, 1003
_PIECE = 256 * 1024  # bytes sent before waiting for a slow client


class Pages:
    """The connected pages."""

    def __init__(self, audience: Audience, heard: Callable[[ViewMessage], None]) -> None:
        self._audience = audience
        self._heard = heard
        self._count = 0

    async def stay(self, socket: WebSocket) -> None:
        """Serve one page until it disconnects."""
        if self._count >= MOST_PAGES:
            await socket.close(_TOO_MANY, "too many pages are open")
            return
        self._count += 1
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        looker = Subscriber(lambda: _from_any_thread(loop, ready))
        self._audience.join(looker)
        try:
            await socket.accept()
            async with anyio.create_task_group() as both:
                both.start_soon(_tell, socket, looker, ready)
                await self._hear(socket)
                both.cancel_scope.cancel()
        finally:
            self._audience.leave(looker)
            self._count -= 1

    async def _hear(self, socket: WebSocket) -> None:
        while True:
            received = await socket.receive()
            if received["type"] == "websocket.disconnect":
                return
            try:
                self._heard(decode(received.get("text") or received.get("bytes") or ""))
            except MessageError as error:
                await socket.close(_REFUSED, str(error)[:100])
                return


async def _tell(socket: WebSocket, looker: Subscriber, ready: asyncio.Event) -> None:
    """Send a page its messages until it disconnects; then stop listening, which ends the connection."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # RuntimeError if we closed the connection
        while True:
            await ready.wait()
            ready.clear()
            for message in looker.take():
                await socket.send_bytes(frame(message))
            await asyncio.sleep(PAUSE)


def _from_any_thread(loop: asyncio.AbstractEventLoop, ready: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the server may have stopped meanwhile
        loop.call_soon_threadsafe(ready.set)


@dataclass(frozen=True, eq=False)
class Site:
    """The content of a server."""

    bundles: Mapping[str, Bundle]  # models by id; the first one is shown
    view: Mapping[str, Any] = field(default_factory=dict)  # the initial view
    live: str = ""  # the role of Python while the page is open, see `Boot` in web/types.ts
    pages: Pages | None = None  # the endpoint for connected pages, if any
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))  # the secret in the address
    corpus: CorpusPages | None = None  # the index behind the pages Units and Search, if any

    @cached_property
    def heads(self) -> Mapping[str, bytes]:
        """The models' heads, as JSON."""
        return {key: bundle.head_bytes() for key, bundle in self.bundles.items()}

    def app(self, host: str, *, local: bool = True) -> Guard:
        """Return the application that serves the site on an address, behind its guard."""
        prepare(index=self.corpus is not None)
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
        text = page(boot_data("server", self.bundles, self.view, self.live, index), nonce)
        allowed = policy(nonce, connect=f"'self' ws://{request.headers['host']}")
        headers = {"Content-Security-Policy": f"{allowed}; frame-ancestors 'none'"}
        return Response(text, headers=headers, media_type="text/html")

    async def head(self, request: Request) -> Response:
        """Answer with a model's head."""
        head = self.heads.get(request.path_params["model"])
        return _none() if head is None else Response(head, media_type="application/json")

    async def weights(self, request: Request) -> Response:
        """Answer with a model's weights."""
        bundle = self.bundles.get(request.path_params["model"])
        if bundle is None:
            return _none()
        length = {"Content-Length": str(len(bundle.weights))}
        return StreamingResponse(_pieces(bundle.weights), headers=length, media_type="application/octet-stream")


async def _pieces(content: bytes) -> AsyncIterator[memoryview]:
    for start in range(0, len(content), _PIECE):
        yield memoryview(content)[start : start + _PIECE]


def _none() -> Response:
    return PlainTextResponse("There is nothing at this address.", 404)
