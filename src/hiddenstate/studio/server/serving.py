"""Runs the studio's server until Ctrl-C or in the background."""

import asyncio
import contextlib
import errno
import ipaddress
import operator
import signal
import socket
import threading
from functools import partial
from types import TracebackType
from typing import Any

from hiddenstate.base.scoped import Block, lasting
from hiddenstate.base.validation import optional_package
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.studio.messages import MOST_BYTES
from hiddenstate.studio.server.browser import open_browser
from hiddenstate.studio.server.connections import Connections
from hiddenstate.studio.server.site import Site

LOCAL = "127.0.0.1"
_MOST_REQUESTS = 512  # concurrent connections
_PATIENCE = 3  # seconds for open requests to finish when the server stops
_REQUEST = 10  # seconds for a request to arrive; longer than uvicorn keeps an idle connection


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
            while self._thread.is_alive():
                self._thread.join(0.5)
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
    """Check an address to listen on, and return it.

    Raises:
        ArgumentTypeError, ArgumentError: the host or port is invalid.
    """
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
    """Return a listening socket.

    Raises:
        ArgumentError: it can't listen; the message gives the reason.
    """
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
    with contextlib.suppress(KeyboardInterrupt), _sigterm_is_ctrl_c(), Running(site, host, port) as running:
        print(f"The studio is at {running.url}\n{_reach(host)}. Ctrl-C ends it.", flush=True)
        with contextlib.ExitStack() as cleanup:
            if browser and not open_browser(running.url, cleanup):
                print("No browser could be opened here. Open the address yourself.", flush=True)
            running.wait()


def _sigterm_is_ctrl_c() -> Block:
    """Make SIGTERM, which stops containers, act like Ctrl-C; only the main thread can set this."""
    if threading.current_thread() is not threading.main_thread():
        return Block()
    before = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL
    change = partial(signal.signal, signal.SIGTERM)
    return lasting(partial(change, signal.default_int_handler), partial(change, before))


def _reach(host: str) -> str:
    if is_local(host):
        return "Only this machine can reach it"
    return (
        f"It listens on {host}: WHOEVER REACHES THIS MACHINE and knows the whole address can see the models, and "
        "network traffic is not encrypted. Others put this machine's name or address into it"
    )
