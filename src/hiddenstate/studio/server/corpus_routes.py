"""The routes that answer the pages Units and Search; one card and one search run at a time, in threads."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from hiddenstate.errors import HiddenStateError
from hiddenstate.studio.bundles.bundle import as_json


class CorpusRoutes:
    """The routes below ``index/``."""

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
