"""Connected pages: they receive events, and send changes of the view."""

import asyncio
import contextlib
from collections.abc import Callable

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect

from hiddenstate.errors import MessageError
from hiddenstate.studio.audience import Audience, Subscriber
from hiddenstate.studio.messages import ViewMessage, decode, frame

MOST_PAGES = 256
PAUSE = 1 / 30  # minimum seconds between messages to a page; screens can't show more
_TOO_MANY, _REFUSED = 1013, 1003


class Pages:
    """The connected pages.

    Args:
        audience: the audience to which the pages belong.
        heard: called with each message from a page.
    """

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
