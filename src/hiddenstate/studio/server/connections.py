"""The server's open connections, of which idle ones make room for new ones."""

import asyncio
from collections.abc import Iterator, MutableSet
from typing import Any


class Connections(MutableSet[Any]):
    """The connections of one uvicorn server, oldest first. uvicorn adds and discards them.

    uvicorn answers 503 once it has ``most`` connections. Before that, a new connection replaces the oldest one that has
    sent no request or, if all have sent one, the oldest one that has been answered and is idle.

    Args:
        most: uvicorn's ``limit_concurrency``.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[Any, None] = {}

    def __contains__(self, connection: object) -> bool:
        return connection in self._open

    def __iter__(self) -> Iterator[Any]:
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Any) -> None:
        """Add a connection, and close an idle one if there would be too many."""
        if len(self) >= self._most - 1:
            self._make_room()
        self._open[connection] = None

    def discard(self, connection: Any) -> None:
        """Remove a closed connection."""
        self._open.pop(connection, None)

    def _make_room(self) -> None:
        idle = [each for each in self if _is_idle(each)]
        oldest = next((each for each in idle if each.cycle is None), idle[0] if idle else None)
        if oldest is not None:
            self.discard(oldest)  # discarded at once, because the transport reports the end only later
            oldest.transport.close()

    async def close_idle(self, seconds: float) -> None:
        """Until cancelled, close connections that send no complete request within ``seconds``; uvicorn keeps them."""
        before: dict[Any, Any] = {}
        while True:
            await asyncio.sleep(seconds)
            waiting = {each: each.cycle for each in self if _is_idle(each)}
            for connection, cycle in waiting.items():
                if connection in before and before[connection] is cycle:  # no request since the last check
                    connection.transport.close()
            before = waiting


def _is_idle(connection: Any) -> bool:
    """Whether a connection waits for a request. A WebSocket, which has no ``cycle``, does not."""
    return hasattr(connection, "cycle") and (connection.cycle is None or connection.cycle.response_complete)
