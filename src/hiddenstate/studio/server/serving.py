"""Runs the studio's server until Ctrl-C or in the background, and opens a browser."""

import asyncio
import contextlib
import errno
import html
import ipaddress
import operator
import os
import signal
import socket
import tempfile
import threading
import time
import webbrowser
from collections.abc import Iterator, MutableSet
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from hiddenstate.base.scoped import Block, lasting
from hiddenstate.base.validation import optional_package
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.studio.messages import MOST_BYTES
from hiddenstate.studio.server.site import Site

_REDIRECT = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}">
<title>hiddenstate studio</title>
<p><a href="{url}">Open the studio</a></p>
"""
LOCAL = "127.0.0.1"
_MOST_REQUESTS = 512  # concurrent connections
_PATIENCE = 3  # seconds for open requests to finish when the server stops
_REQUEST = 10  # seconds for a request to arrive; longer than uvicorn keeps an idle connection


def open_browser(url: str, cleanup: contextlib.ExitStack) -> bool:
    """Open ``url`` by a private file that redirects, since all users see arguments; ``cleanup`` deletes it."""
    try:
        return webbrowser.open(cleanup.enter_context(redirect(url)))
    except (webbrowser.Error, OSError):  # OSError if there is nowhere to write the file
        return False


@contextlib.contextmanager
def redirect(url: str) -> Iterator[str]:
    """Write an HTML file that only this user can read and that redirects to ``url``; yield the file's own URL."""
    handle, name = tempfile.mkstemp(".html", "hiddenstate-studio-")  # mkstemp creates it with mode 0600
    os.close(handle)
    file = Path(name)
    try:
        file.write_text(_REDIRECT.format(url=html.escape(url)), encoding="utf-8")
        yield file.as_uri()
    finally:
        file.unlink(missing_ok=True)


class Connections(MutableSet[Any]):
    """uvicorn's connections, oldest first; beyond ``most``, a new one replaces a silent one, or else an idle one."""

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
        idle = [connection for connection in self if _is_idle(connection)]
        oldest = next((connection for connection in idle if connection.cycle is None), idle[0] if idle else None)
        if oldest is not None:
            self.discard(oldest)  # discarded at once, because the transport reports the end only later
            oldest.transport.close()

    async def close_idle(self, seconds: float) -> None:
        """Until cancelled, close connections that send no complete request within ``seconds``; uvicorn keeps them."""
        before: dict[Any, Any] = {}
        while True:
            await asyncio.sleep(seconds)
            waiting = {connection: connection.cycle for connection in self if _is_idle(connection)}
            for connection, cycle in waiting.items():
                if connection in before and before[connection] is cycle:  # no request since the last check
                    connection.transport.close()
            before = waiting


def _is_idle(connection: Any) -> bool:
    """Whether a connection waits for a request. A WebSocket, which has no ``cycle``, does not."""
    return hasattr(connection, "cycle") and (connection.cycle is None or connection.cycle.response_complete)


class Running:
    """A server running in its own thread: ``url`` is its address; `stop`, or leaving a ``with`` block, ends it.

    Args:
        site: the content.
        host: the address to listen on.
        port: the port to listen on; 0 for any free port.

    Raises:
        ArgumentError, ArgumentTypeError: it can't listen on this address.
        MissingDependencyError: starlette or uvicorn is not installed.
    """

    def __init__(self, site: Site, host: str = LOCAL, port: int = 0) -> None:
        host, port = address(host, port)
        self._server = make_server(site, host)
        self._socket = listen(host, port)
        self.url = page_url(site, host, self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._run, name="hiddenstate studio", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the server, and wait until it has stopped."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def wait(self) -> None:
        """Wait until the server stops; Ctrl-C stops it."""
        with contextlib.suppress(KeyboardInterrupt):
            # No join(): until Python 3.13, Ctrl-C during it can mark a thread as ended while it runs.
            while self._thread.is_alive():
                time.sleep(0.1)
        self.stop()

    def _run(self) -> None:
        # Uses asyncio's own loop, because at shutdown uvloop would wait for clients that read nothing.
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        asyncio.get_running_loop().set_exception_handler(_report)
        connections = Connections(_MOST_REQUESTS)
        self._server.server_state.connections = connections
        closing = asyncio.create_task(connections.close_idle(_REQUEST))
        await self._server.serve(sockets=[self._socket])
        closing.cancel()
        for connection in list(connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # lets connections close before the loop does

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"Running({self.url})"


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report exceptions, except for a connection refused because it arrived as the socket closed."""
    error = context.get("exception")
    if not isinstance(error, OSError) or error.errno != errno.EBADF:
        loop.default_exception_handler(context)


def make_server(site: Site, host: str) -> Any:
    """Create a uvicorn server."""
    uvicorn = optional_package("uvicorn", "studio", "the studio's server")
    return uvicorn.Server(
        uvicorn.Config(
            site.app(host, local=is_local(host)),
            log_config=None,
            log_level="warning",
            access_log=False,  # the log would contain the token
            server_header=False,
            limit_concurrency=_MOST_REQUESTS,
            timeout_graceful_shutdown=_PATIENCE,
            ws_max_size=MOST_BYTES,
            ws_per_message_deflate=False,
        )
    )


def address(host: object, port: object) -> tuple[str, int]:
    """Check an address to listen on, and return it."""
    if not isinstance(host, str):
        raise ArgumentTypeError(f"host must be a string such as {LOCAL!r}, got {host!r}")
    if not host:  # an empty host would mean all of this machine's addresses
        raise ArgumentError("host is empty; give the address to listen on, such as 127.0.0.1 for this machine only")
    if not host.isprintable():  # for null bytes and lone surrogates, sockets would raise other errors
        raise ArgumentError(f"host must be an address or a name, got {host!a}")
    try:
        if isinstance(port, bool):
            raise TypeError
        number = operator.index(port)  # type: ignore[arg-type]
    except TypeError:
        raise ArgumentTypeError(f"port must be an int, got {port!r}") from None
    if not 0 <= number < 2**16:
        raise ArgumentError(f"port must be in 0..65535, got {number}")
    return host, number


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_MOST_REQUESTS)
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (while")[0]  # the rest of the message would repeat the address
        hint = "; choose a different port, or 0 for any free one" if port else ""
        raise ArgumentError(f"can't listen on {host} port {port} ({why}){hint}") from error


def page_url(site: Site, host: str, port: int) -> str:
    """Return the address of the page for a browser on this machine."""
    host = {"0.0.0.0": LOCAL, "::": "::1"}.get(host, host)
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/{site.token}/"


def is_local(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(site: Site, host: str = LOCAL, port: int = 0, *, browser: bool = True) -> None:
    """Serve until Ctrl-C or SIGTERM; print the address and who can reach it."""
    interrupted: list[int] = []  # signals
    with contextlib.suppress(KeyboardInterrupt), _interrupts(interrupted), Running(site, host, port) as running:
        print(f"The studio is at {running.url}\n{_reach(host)}. Ctrl-C ends it.", flush=True)
        with contextlib.ExitStack() as cleanup:
            if browser and not open_browser(running.url, cleanup):
                print("No browser could be opened here. Open the address yourself.", flush=True)
            if not interrupted:  # Python ignores what a signal raises in a destructor, such as Popen's
                running.wait()


def _interrupts(interrupted: list[int]) -> Block:
    """Make SIGTERM, which stops containers, act like Ctrl-C, and note both; only the main thread can set this.

    Ctrl-C stays as it is where it is ignored, as in the background of a script, or has a handler of the program's own.
    """
    if threading.current_thread() is not threading.main_thread():
        return Block()

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupted.append(number)
        signal.default_int_handler(number, frame)

    before = {signal.SIGTERM: signal.getsignal(signal.SIGTERM) or signal.SIG_DFL}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        before[signal.SIGINT] = signal.default_int_handler
    return lasting(
        lambda: [signal.signal(number, interrupt) for number in before],
        lambda: [signal.signal(*handler) for handler in before.items()],
    )


def _reach(host: str) -> str:
    if is_local(host):
        return "Only this machine can reach it"
    return (
        f"It listens on {host}: WHOEVER REACHES THIS MACHINE and knows the whole address can see the models, and "
        "network traffic is not encrypted. From other machines, put this machine's name or address into it"
    )
