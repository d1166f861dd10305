"""A page that stays in touch: it is told what happens, and tells what is looked at."""

import asyncio
import contextlib
from collections.abc import Callable

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect

from hiddenstate.errors import MessageError
from hiddenstate.studio.audience import Audience, Subscriber
from hiddenstate.studio.messages import ViewMessage, decode, frame

MOST_PAGES = 256
PAUSE = 1 / 30  # seconds between two times that a page is told: screens show no more
_TOO_MANY, _REFUSED = 1013, 1003


class Pages:
    """The pages that are in touch now.

    Args:
        audience: whom the pages belong to.
        heard: told what a page says.
    """

    def __init__(self, audience: Audience, heard: Callable[[ViewMessage], None]) -> None:
        self._audience = audience
        self._heard = heard
        self._count = 0

    async def stay(self, socket: WebSocket) -> None:
        """Stay in touch with one page until it goes."""
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
    """Tell a page what there is to tell, until it has gone; then it is heard no more, which ends all."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # the second where it is we who closed
        while True:
            await ready.wait()
            ready.clear()
            for message in looker.take():
                await socket.send_bytes(frame(message))
            await asyncio.sleep(PAUSE)


def _from_any_thread(loop: asyncio.AbstractEventLoop, ready: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the server may have ended meanwhile
        loop.call_soon_threadsafe(ready.set)
