"""The server of the how-to page answers bad lines, stays finite, and drops clients that do not read."""

import asyncio
import json
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
import torch

from coursebook.pages import blocks_of
from pages import DOCS

PAGE = DOCS / "howto" / "streaming-server.md"
GOOD = b'{"x": [0.1, 0.2, 0.3, 0.4]}\n'
Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, Any]]


@pytest.fixture
def page() -> dict[str, Any]:
    """The names of the page down to its server."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks_of(PAGE):
        if block.language == "python" and "start_server" not in names:
            exec(compile(block.text, str(PAGE), "exec", dont_inherit=True), names)
    return names


def run(page: dict[str, Any], *clients: Client) -> list[Any]:
    """The results of clients of a server that runs meanwhile; errors that the server does not handle are raised."""
    unhandled: list[dict[str, Any]] = []

    async def main() -> list[Any]:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        server = await page["start_server"]("127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.gather(*(connect(client, port) for client in clients))

    async def connect(client: Client, port: int) -> Any:
        peer = socket.create_connection(("127.0.0.1", port))
        # The system buffers little, so that a client that does not read is noticed soon.
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        reader, writer = await asyncio.open_connection(sock=peer)
        try:
            return await asyncio.wait_for(client(reader, writer), 30)
        finally:
            writer.close()

    results = asyncio.run(main())
    assert unhandled == []
    return results


def talk(*lines: bytes) -> Client:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[Any]:
        answers = []
        for line in lines:
            writer.write(line)
            answers.append(json.loads(await reader.readline()))
        return answers

    return client


BAD = [
    b"\n",
    b"not JSON\n",
    b"\xff\xfe\n",
    b"[" * 50_000 + b"\n",
    b"[1, 2, 3, 4]\n",
    b"7\n",
    b"{}\n",
    b'{"x": null}\n',
    b'{"x": [1, 2, 3]}\n',
    b'{"x": [[1, 2, 3, 4]]}\n',
    b'{"x": [true, 2, 3, 4]}\n',
    b'{"x": ["1", 2, 3, 4]}\n',
    b'{"x": [NaN, 2, 3, 4]}\n',
    b'{"x": [-Infinity, 2, 3, 4]}\n',
    b'{"x": [1e999, 2, 3, 4]}\n',
    b'{"x": [1e300, 2, 3, 4]}\n',
    b'{"x": [' + b"9" * 5_000 + b", 2, 3, 4]}\n",
    b'{"x": [1, 2, 3, 4], "reset": 1}\n',
    b'{"x": [1, 2, 3, 4], "reset": [[]]}\n',
]


@pytest.mark.parametrize("line", BAD, ids=lambda line: line[:24].decode(errors="replace"))
def test_a_bad_line_is_answered_and_changes_nothing(page: dict[str, Any], line: bytes) -> None:
    (answers,), (want,) = run(page, talk(GOOD, line, GOOD)), run(page, talk(GOOD, GOOD))
    assert set(answers[1]) == {"error"}
    assert [answers[0], answers[2]] == want
    assert want[1]["t"] == 2


def test_integers_are_numbers(page: dict[str, Any]) -> None:
    integers, floats = run(page, talk(b'{"x": [1, -2, 0, 3]}\n'), talk(b'{"x": [1.0, -2.0, 0.0, 3.0]}\n'))
    assert integers == floats
    assert set(integers[0]) == {"t", "scores"}


def test_a_line_that_is_too_long_is_answered(page: dict[str, Any]) -> None:
    ((too_long, rest, step),) = run(page, talk(b"1" * (page["MOST_BYTES"] + 1), b"\n", GOOD))
    assert set(too_long) == set(rest) == {"error"}
    assert step["t"] == 1


def test_a_client_that_vanishes_is_forgotten(page: dict[str, Any]) -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GOOD * 10 + GOOD[:5])
        await writer.drain()
        writer.transport.abort()

    assert run(page, client, talk(GOOD))[1][0]["t"] == 1


def test_a_client_that_never_reads_is_disconnected_and_others_are_served(page: dict[str, Any]) -> None:
    page["PATIENCE"] = 0.3
    buffered: list[int] = []
    serve = page["serve"]

    async def measured(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        write = writer.write
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)

        def counted(data: Any) -> None:
            write(data)
            buffered.append(writer.transport.get_write_buffer_size())

        writer.write = counted  # type: ignore[method-assign]
        await serve(reader, writer)

    page["serve"] = measured

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        start = time.monotonic()
        with suppress(ConnectionError):  # otherwise this never ends
            while True:
                writer.write(GOOD * 1_000)
                await writer.drain()
        return time.monotonic() - start

    seconds, answers = run(page, deaf, talk(*[GOOD] * 50))
    assert seconds < 25
    assert [answer["t"] for answer in answers] == list(range(1, 51))
    assert max(buffered) <= page["MOST_BYTES"] + 200  # one answer more


def test_the_scores_stay_finite(page: dict[str, Any]) -> None:
    (answers,) = run(page, talk(b'{"x": [3e38, -3e38, 3e38, 1]}\n', GOOD))
    assert torch.tensor(answers[1]["scores"]).isfinite().all()
