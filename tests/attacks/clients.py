"""Clients unlike any browser: what they send is random, incomplete, slow, or never read; the studio's server must
survive."""

import contextlib
import logging
import random
import resource
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import hiddenstate as hs
from hiddenstate.studio.server.serving import Running

SECONDS = 10  # maximum seconds for an answer
MEMORY = 1 << 28  # maximum total bytes
LEFT = 20  # connections that stay open and silent

PATHS = (
    "",
    "models/lstm/head.json",
    "models/lstm/weights.safetensors",
    "live",
    "../..",
    "%2e%2e/",
    "\x00",
    "%",
    "é" * 99,
)
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "G\x00T", "get", "")
UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
)
HEADERS = (
    "Content-Length: 99999999999999999999",
    "Content-Length: -1",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 5",
    UPGRADE,
    "Upgrade: h2c",
    "Range: bytes=0-1,1-2,2-3",
    "Origin: null",
    "Host: a\r\nHost: b",
    "X: " + "x" * 70_000,
    ": no name",
    "no colon",
    "Expect: 100-continue",
    "\x00: \xff",
)


class Client:
    """Sends something chosen at random."""

    def __init__(self, url: str, draw: random.Random) -> None:
        self.parts, self.draw = urlsplit(url), draw

    def connected(self) -> socket.socket:
        return socket.create_connection((self.parts.hostname or "", self.parts.port or 0), timeout=SECONDS)

    def request(self) -> bytes:
        """A request that is mostly wrong."""
        draw = self.draw
        start = draw.choice((self.parts.path, "/", "/wrong/", "", self.parts.path[:-1]))
        lines = [f"{draw.choice(METHODS)} {start}{draw.choice(PATHS)} HTTP/{draw.choice(('1.1', '1.0', '2.0', '9'))}"]
        lines += [f"Host: {self.parts.netloc}"] * draw.choice((0, 1, 1, 1, 2))
        lines += draw.choices(HEADERS, k=draw.randrange(3))
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace")
        return head + draw.choice((b"", b"5\r\nhello\r\n", draw.randbytes(draw.choice((1, 100, 10_000)))))

    def frames(self) -> bytes:
        """Random frames of a socket that stays open, behind a handshake that is right."""
        draw, frames = self.draw, b""
        for _ in range(draw.randrange(1, 5)):
            size = draw.choice((0, 5, 126, 127))
            length = {126: struct.pack(">H", draw.randrange(2**16)), 127: struct.pack(">Q", draw.randrange(2**64))}
            frames += bytes([draw.randrange(256), draw.choice((0, 128)) | size]) + length.get(size, b"")
            frames += draw.randbytes(draw.randrange(200))
        head = f"GET {self.parts.path}live HTTP/1.1\r\nHost: {self.parts.netloc}\r\n{UPGRADE}\r\n"
        return f"{head}Origin: http://{self.parts.netloc}\r\n\r\n".encode() + frames

    def mangled(self) -> bytes:
        """A request with lost or changed bytes."""
        data = bytearray(self.request())
        for _ in range(self.draw.randrange(1, 9)):
            data[self.draw.randrange(len(data))] = self.draw.randrange(256)
        return bytes(data[: self.draw.randrange(len(data) + 1)])

    def send(self) -> socket.socket:
        """Send one thing, whole or in pieces; the connection stays open."""
        draw, made = self.draw, self.connected()
        makers: tuple[Callable[[], bytes], ...] = (self.request, self.frames, self.mangled, lambda: draw.randbytes(99))
        data = draw.choice(makers)()
        with contextlib.suppress(OSError):  # the server may have closed it before all was sent
            for part in (data,) if draw.random() < 0.8 else (data[:9], data[9:]):
                made.sendall(part)
        return made


class Told(logging.Handler):
    """Keeps the server's messages about its own errors, except its parser's messages about unusable connections."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        error = record.exc_info[1] if record.exc_info else None
        if not type(error).__module__.startswith("h11"):
            self.said.append(f"{record.getMessage()}: {error}")


def answer(url: str) -> bytes:
    """The page that a good client gets."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=SECONDS) as made:
        made.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        found = b""
        while part := made.recv(1 << 16):
            found += part
    return found


def peak() -> int:
    """The peak memory of this process, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def attack_server(first: int, count: int, folder: Path) -> None:
    """Send this many things that no browser sends; between them, a good client must be answered quickly and
    completely."""
    told, answers = Told(), dict[str, int]()
    logging.getLogger("uvicorn").addHandler(told)
    with hs.studio(hs.LSTM(4, 3).stream()).start() as running:
        whole = len(answer(running.url))
        held, left = peak(), list[socket.socket]()
        for k in range(first, first + count):
            (folder / "at").write_text(f"server {k}")
            made = Client(running.url, random.Random(f"client {k}")).send()
            if k % 3 == 0:  # some read, some vanish immediately, some stay silent
                status = status_of(made)
                answers[status] = answers.get(status, 0) + 1
            left.append(made)
            if len(left) > LEFT:
                left.pop(k % LEFT).close()
            if k % 10 == 0:
                check(running, whole, told)
        for each in left:
            each.close()
        check(running, whole, told)
        if peak() - held > MEMORY:
            raise RuntimeError(f"it took {peak() - held:,} bytes")
    if any(status.startswith("5") and status != "503" for status in answers):  # it says that there are too many
        raise RuntimeError(f"the server failed: {answers}")
    (folder / "at").write_text(f"{count} clients, and the page whole after every ten")


def status_of(made: socket.socket) -> str:
    """The status of an answer, or whatever came instead."""
    made.settimeout(0.05)
    with contextlib.suppress(OSError):
        return made.recv(12).partition(b" ")[2].decode("latin1") or "closed"
    return "none"


def check(running: Running, whole: int, told: Told) -> None:
    """Check that a good client gets the whole page, and that the server has reported no errors."""
    began = time.monotonic()
    found = answer(running.url)
    # Nonces differ, and are of one length.
    if not found.startswith(b"HTTP/1.1 200") or len(found) != whole:
        raise RuntimeError(f"a good client got {found[:100]!r}, {len(found):,} bytes of {whole:,}")
    if time.monotonic() - began > SECONDS:
        raise RuntimeError(f"a good client waited {time.monotonic() - began:.1f} seconds")
    if told.said:
        raise RuntimeError(f"the server said {told.said[0][:500]}")
