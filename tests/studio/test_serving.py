"""The server on the loopback interface: many clients, slow ones, ones that vanish."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import webbrowser
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import hiddenstate as hs
import programs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, MissingDependencyError
from hiddenstate.studio.bundles.bundle import Bundle
from hiddenstate.studio.server import serving
from hiddenstate.studio.server.serving import Running, is_local, page_url, serve
from hiddenstate.studio.server.site import MOST_PAGES, Site
from hiddenstate.studio.view import Studio

SECONDS = 20  # the limit for anything here
LARGE = 8 * 2**20  # more than a connection's buffers hold


def live() -> Studio:
    return hs.studio(hs.LSTM(4, 3).stream())


@pytest.fixture
def running() -> Iterator[Running]:
    site = Site({"large": Bundle("layer", "large", {}, b"\x01" * LARGE)})
    with Running(site) as made:
        yield made


def get(url: str, path: str = "", **headers: str) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=SECONDS)
    try:
        connection.request("GET", parts.path + path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def connected(url: str) -> socket.socket:
    """A connection on which nothing has been sent yet."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port or 0), timeout=SECONDS)


def raw(url: str, path: str) -> socket.socket:
    """A connection that has sent a request and reads nothing yet."""
    parts, made = urlsplit(url), connected(url)
    made.sendall(f"GET {parts.path}{path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
    return made


def test_it_serves_and_ends(running: Running) -> None:
    assert running.url.startswith("http://127.0.0.1:")
    assert get(running.url)[0] == 200
    assert get(running.url, "models/large/weights.safetensors") == (200, b"\x01" * LARGE)
    assert running.url in repr(running)
    running.stop()
    with pytest.raises(OSError, match="refused"):
        get(running.url)


def test_a_port_may_be_a_number_of_numpys() -> None:
    with live().start(port=np.int64(0)) as running:  # type: ignore[arg-type]
        assert get(running.url)[0] == 200


def test_it_listens_to_this_machine_alone(running: Running) -> None:
    assert running._socket.getsockname()[0] == "127.0.0.1"


def test_what_the_guard_refuses_is_refused_by_the_server_too(running: Running) -> None:
    parts = urlsplit(running.url)
    assert get(f"http://{parts.netloc}/")[0] == 403
    assert get(f"http://{parts.netloc}/wrong/")[0] == 403
    assert get(running.url, Host="evil.example")[0] == 421
    assert get(running.url, Origin="http://evil.example")[0] == 403
    assert get(running.url, "static/../../../../../etc/passwd")[0] in (403, 404)
    assert get(running.url, "static/%2e%2e/%2e%2e/etc/passwd")[0] == 404


def test_malformed_requests_do_no_harm(running: Running) -> None:
    for sent in (b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"A" * 200_000):
        with connected(running.url) as made:
            with contextlib.suppress(OSError):  # it may have closed before everything was sent
                made.sendall(sent)
                made.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                assert not made.recv(100).startswith(b"HTTP/1.1 200")
    assert get(running.url)[0] == 200


def test_slow_and_vanished_clients_block_nobody(running: Running) -> None:
    path = "models/large/weights.safetensors"
    slow = [raw(running.url, path) for _ in range(20)]
    gone = [raw(running.url, path) for _ in range(20)]
    half = connected(running.url)
    half.sendall(b"GET /unfinished")
    for each in gone:
        each.close()
    began = time.monotonic()
    assert get(running.url)[0] == 200
    assert get(running.url, path)[1] == b"\x01" * LARGE
    assert time.monotonic() - began < SECONDS
    received = slow[0].recv(100)
    assert received.startswith(b"HTTP/1.1 200")
    for each in (*slow, half):
        each.close()
    assert get(running.url)[0] == 200


def test_connections_that_send_no_whole_request_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_REQUEST", 0.2)
    studio = live()
    with studio.start() as running:
        page = handshake(running.url)
        wait_until(lambda: studio.audience.lookers)
        parts = urlsplit(running.url)
        half = [connected(running.url) for _ in range(serving._MOST_REQUESTS)]
        half[0].sendall(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n".encode())
        half[1].sendall(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\nGET /".encode())  # one and a half
        for each in half[:1] + half[2:]:
            with contextlib.suppress(ConnectionResetError):
                assert each.recv(1) == b""
        with half[1].makefile("rb") as answers:
            assert answers.readline() in (b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 503 Service Unavailable\r\n")
            answers.read()  # until it is closed
        assert get(running.url)[0] == 200
        assert len(studio.audience.lookers) == 1  # a page that stays connected does not count as a request
        for each in (*half, page):
            each.close()


def test_connections_that_ask_nothing_make_room_for_one_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_MOST_REQUESTS", 24)
    half: deque[socket.socket] = deque()
    studio = live()
    with studio.start() as running, contextlib.closing(handshake(running.url)):
        wait_until(lambda: studio.audience.lookers)
        for k in range(90):
            half.append(connected(running.url))
            if k % 3:  # a line without an end; or a whole request, which is rejected, and silence
                half[-1].sendall(b"GET / HTTP/1.1\r\n" + b"Host: a\r\n\r\n" * (k % 3 == 2))
            if len(half) > 40:
                half.popleft().close()
            if k > 30 and k % 3 == 0:
                assert get(running.url)[0] == 200, k
        assert len(running._server.server_state.connections) < 24
        assert len(studio.audience.lookers) == 1  # a page that stays connected is not one of them
    for each in half:
        each.close()


def test_a_connection_with_a_request_is_never_closed_to_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_MOST_REQUESTS", 8)
    with Running(Site({"large": Bundle("layer", "large", {}, b"\x01" * LARGE)})) as running:
        slow = raw(running.url, "models/large/weights.safetensors")
        begun = slow.recv(100)
        for each in [connected(running.url) for _ in range(30)]:
            each.close()
        with slow, slow.makefile("rb") as rest:
            answer = begun + rest.read(LARGE)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.count(b"\x01") > LARGE - 1000


def test_a_request_that_comes_slowly_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_REQUEST", 0.5)
    with live().start() as running, connected(running.url) as made:
        for piece in (f"GET {urlsplit(running.url).path} HT", "TP/1.1\r\nHost: ", "127.0.0.1\r\n\r\n"):
            made.sendall(piece.encode())
            time.sleep(0.1)
        assert made.recv(100).startswith(b"HTTP/1.1 200")


def test_it_ends_though_clients_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_PATIENCE", 1)
    running = Running(Site({"large": Bundle("layer", "large", {}, b"\x01" * LARGE)}))
    slow = raw(running.url, "models/large/weights.safetensors")
    slow.recv(10)
    began = time.monotonic()
    running.stop()
    took = time.monotonic() - began
    slow.close()
    assert took < 3 * SECONDS  # it would wait forever


def test_two_hundred_at_once() -> None:
    """Two hundred pages that stay connected, each with its own requests; all receive every step."""
    studio = live()
    with studio.start() as running:
        asyncio.run(asyncio.wait_for(_two_hundred(studio, running.url), SECONDS))
        assert get(running.url)[0] == 200
    assert studio.audience.lookers == ()


async def _two_hundred(studio: Studio, url: str) -> None:
    sockets = await asyncio.gather(*(connect(f"ws{url[4:]}live", origin=None) for _ in range(200)))
    answers = await asyncio.gather(*(asyncio.to_thread(get, url, "models/lstm-4-3/head.json") for _ in range(200)))
    assert {status for status, _ in answers} == {200}
    assert len(studio.audience.lookers) == 200
    assert studio.stream is not None
    studio.stream.step(torch.zeros(4), "a")
    for each in sockets:
        assert b'"begin"' in await each.recv()
        assert b'"step"' in await each.recv()
    await asyncio.gather(*(each.close() for each in sockets))


def test_one_too_many() -> None:
    studio = live()
    with studio.start() as running:
        asyncio.run(asyncio.wait_for(_too_many(f"ws{running.url[4:]}live"), SECONDS))


async def _too_many(url: str) -> None:
    sockets = await asyncio.gather(*(connect(url) for _ in range(MOST_PAGES)))
    with pytest.raises((InvalidStatus, ConnectionClosed)):
        async with connect(url) as further:
            await further.recv()
    await sockets[0].close()

    async def until_there_is_room() -> None:
        while True:  # there is one again as soon as a client leaves
            with contextlib.suppress(InvalidStatus):
                async with connect(url):
                    break

    await asyncio.wait_for(until_there_is_room(), 5)
    await asyncio.gather(*(each.close() for each in sockets))


def test_a_page_that_reads_nothing_does_not_slow_the_stream() -> None:
    studio = live()
    assert studio.stream is not None
    with studio.start() as running:
        deaf = handshake(running.url)
        for _ in range(200):
            if studio.audience.lookers:
                break
            time.sleep(0.01)
        began = time.monotonic()
        for _ in range(20_000):
            studio.stream.step(torch.zeros(4))
        took = time.monotonic() - began
        assert took < SECONDS
        assert len(studio.audience.lookers[0]._waiting) <= 513
        assert get(running.url)[0] == 200
        deaf.close()


def handshake(url: str) -> socket.socket:
    """A page that stays connected and never reads."""
    parts, made = urlsplit(url), connected(url)
    made.sendall(
        f"GET {parts.path}live HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    return made


def test_pages_that_vanish_are_forgotten() -> None:
    studio = live()
    assert studio.stream is not None
    with studio.start() as running:
        for made in [handshake(running.url) for _ in range(10)]:
            made.close()
        with contextlib.suppress(ConnectionError):
            handshake(running.url).close()
        wait_until(lambda: not studio.audience.lookers)
        studio.stream.step(torch.zeros(4))
        assert get(running.url)[0] == 200


def wait_until(true: Any) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_oversized_and_malformed_messages_end_only_their_own_page() -> None:
    studio = live()
    with studio.start() as running:
        url = f"ws{running.url[4:]}live"
        for sent in ("x" * 300_000, "{", '{"type": "view", "view": {"unit": "<script>"}}', b"\x00" * 300_000, b"\xff"):
            assert asyncio.run(asyncio.wait_for(_closed(url, sent), SECONDS)) in (1003, 1009)
        assert asyncio.run(asyncio.wait_for(_closed(url, '{"type": "view", "view": {"unit": 2}}', after=True), SECONDS))
    assert studio.view == {"unit": 2}


async def _closed(url: str, sent: str | bytes, *, after: bool = False) -> int:
    async with connect(url, max_size=None) as made:
        await made.send(sent)
        if after:
            await made.close()
        with contextlib.suppress(ConnectionClosed):
            await made.recv()
        return made.close_code or 0


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}])
def test_a_socket_of_another_site_is_refused(headers: dict[str, str]) -> None:
    with live().start() as running:
        with pytest.raises(InvalidStatus) as caught:
            asyncio.run(_open(f"ws{running.url[4:]}live", headers))
        assert caught.value.response.status_code == 403


async def _open(url: str, headers: dict[str, str]) -> None:
    host = headers.pop("Host", None)
    parts = urlsplit(url)
    target = url if host is None else url.replace(parts.netloc, f"{host}:{parts.port}")
    async with connect(target, host="127.0.0.1", port=parts.port, additional_headers=headers):
        pass


def test_show_reaches_the_pages_that_are_open() -> None:
    studio = live()
    with studio.start() as running:
        assert asyncio.run(asyncio.wait_for(_shown(studio, f"ws{running.url[4:]}live"), SECONDS))


async def _shown(studio: Studio, url: str) -> bool:
    async with connect(url) as made:
        studio.show(unit=2)
        return b'{"type": "view", "view": {"unit": 2}}' in await made.recv()


def test_addresses() -> None:
    site = Site({}, token="t")
    assert page_url(site, "127.0.0.1", 1) == "http://127.0.0.1:1/t/"
    assert page_url(site, "0.0.0.0", 1) == "http://127.0.0.1:1/t/"
    assert page_url(site, "::1", 1) == page_url(site, "::", 1) == "http://[::1]:1/t/"
    assert page_url(site, "box.local", 1) == "http://box.local:1/t/"
    assert [is_local(host) for host in ("127.0.0.1", "127.8.8.8", "::1", "LocalHost")] == [True] * 4
    assert [is_local(host) for host in ("0.0.0.0", "::", "192.168.0.7", "box.local")] == [False] * 4


def test_start_fails(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    port = urlsplit(running.url).port
    with pytest.raises(ArgumentError, match=f"can't listen on 127.0.0.1 port {port} .* use.; choose a different port"):
        live().start(port=port or 0)
    for host in ("203.0.113.1", "[::1]", "x" * 300):
        with pytest.raises(ArgumentError, match=rf"can't listen on {re.escape(host)} port 0 \([^()]*\)$"):
            live().start(host)
    for host in ("a\0b", "\ud800"):
        with pytest.raises(ArgumentError, match="host must be an address or a name, got"):
            live().start(host)
    with pytest.raises(ArgumentError, match="host is empty; give the address"):
        live().start("")
    with pytest.raises(ArgumentError, match="port must be in 0..65535, got 70000"):
        live().start(port=70_000)
    for wrong in (True, 1.5, "8000", None):
        with pytest.raises(ArgumentTypeError, match="port must be an int, got"):
            live().start(port=wrong)  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="host must be a string such as '127.0.0.1', got 1"):
        live().start(1)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'hiddenstate\[studio\]'"):
        live().start()
    monkeypatch.setitem(sys.modules, "starlette", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'hiddenstate\[studio\]'"):
        live().start()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_serve_says_who_can_reach_it(
    host: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def open_browser(url: str, cleanup: contextlib.ExitStack) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr(serving, "open_browser", open_browser)
    monkeypatch.setattr(Running, "wait", lambda self: None)
    serve(Site({}, token="t"), host)
    said = capsys.readouterr().out
    assert opened[0] in said
    assert "Ctrl-C ends it" in said
    assert ("Only this machine can reach it" in said) is (host == "127.0.0.1")
    assert ("WHOEVER REACHES THIS MACHINE" in said) is (host == "0.0.0.0")


def test_serve_says_that_there_is_no_browser(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def without(url: str) -> bool:
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(Running, "wait", lambda self: None)
    for opening in (without, lambda url: False):
        monkeypatch.setattr(webbrowser, "open", opening)
        serve(Site({}))
        assert "No browser could be opened here" in capsys.readouterr().out
    monkeypatch.setattr(webbrowser, "open", lambda url: True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))  # the file can't be written
    serve(Site({}))
    assert "No browser could be opened here" in capsys.readouterr().out
    serve(Site({}), browser=False)
    assert "No browser" not in capsys.readouterr().out


def test_a_request_for_no_path_is_refused(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    parts = urlsplit(running.url)
    for asked in ("OPTIONS *", "CONNECT a:1", "GET ?"):
        with connected(running.url) as made:
            made.sendall(f"{asked} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
            assert made.recv(100).startswith(b"HTTP/1.1 403"), asked
    assert caplog.text == ""


def test_serving_leaves_signals_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[Any] = []
    monkeypatch.setattr(Running, "wait", lambda self: seen.append(signal.getsignal(signal.SIGTERM)))
    serve(Site({}), browser=False)
    assert seen != [before]
    assert signal.getsignal(signal.SIGTERM) == before
    beside = threading.Thread(target=serve, args=(Site({}),), kwargs={"browser": False})
    beside.start()
    beside.join()
    assert seen[1:] == [before]  # no other thread may change the environment


def test_no_argument_of_the_browser_holds_the_secret(tmp_path: Path) -> None:
    """`webbrowser` runs the command in $BROWSER: here a script that records its arguments and the file they name."""
    browser, told = tmp_path / "browser", tmp_path / "told"
    program = tmp_path / "program.py"
    # The path of Python may contain spaces, which a script's first line can't.
    browser.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n')
    program.write_text(f'''
import json, os, pathlib, sys
file = pathlib.Path(sys.argv[1].removeprefix("file://"))
there = file.is_file()
said = {{"arguments": sys.argv, "text": there and file.read_text(), "mode": there and file.stat().st_mode & 0o777}}
pathlib.Path("{told}.part").write_text(json.dumps(said))
os.rename("{told}.part", "{told}")
''')
    browser.chmod(0o700)
    command = [sys.executable, "-m", "hiddenstate", "studio"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "BROWSER": f"{browser} %s", "TMPDIR": str(tmp_path)}
    with programs.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as made:
        assert made.stdout is not None
        ending = threading.Timer(6 * SECONDS, made.kill)
        ending.start()
        url = made.stdout.readline().removeprefix("The studio is at ").strip()
        while made.poll() is None and not told.exists():
            time.sleep(0.05)
        made.send_signal(signal.SIGTERM)
        made.communicate()
        ending.cancel()
    said = json.loads(told.read_text())
    secret = urlsplit(url).path.strip("/")
    assert secret
    assert not [argument for argument in said["arguments"] if secret in argument]
    assert f"url={url}" in said["text"]
    assert said["mode"] == 0o600
    assert not list(tmp_path.glob("*.html"))  # it is deleted with the server


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_destructor_ends_it_too(monkeypatch: pytest.MonkeyPatch, sent: signal.Signals) -> None:
    """Python ignores an exception in `__del__`: that of the process that opened a browser may be running."""

    class Process:
        def __del__(self) -> None:
            signal.raise_signal(sent)

    def waits(running: Running) -> None:
        raise AssertionError("the signal was lost")

    monkeypatch.setattr(serving, "open_browser", lambda url, cleanup: Process() is not None)
    monkeypatch.setattr(Running, "wait", waits)
    before = signal.getsignal(sent)
    serve(Site({}))
    assert signal.getsignal(sent) is before


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None])
def test_ctrl_c_that_is_ignored_or_handled_by_the_program_does_not_end_it(
    monkeypatch: pytest.MonkeyPatch, handler: Any
) -> None:
    seen: list[Any] = []

    def waits(running: Running) -> None:
        signal.raise_signal(signal.SIGINT)
        seen.append(signal.getsignal(signal.SIGINT))

    monkeypatch.setattr(Running, "wait", waits)
    before = signal.signal(signal.SIGINT, handler)
    try:
        serve(Site({}), browser=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [handler]


@pytest.mark.parametrize("sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_ends_it_quietly_and_so_does_sigterm(sent: signal.Signals) -> None:
    command = [sys.executable, "-m", "hiddenstate", "studio", "--no-browser"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with programs.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as made:
        assert made.stdout is not None
        ending = threading.Timer(6 * SECONDS, made.kill)
        ending.start()
        line = made.stdout.readline()
        url = line.removeprefix("The studio is at ").strip()
        assert get(url)[0] == 200
        socket_of_a_page = handshake(url)
        made.send_signal(sent)
        _, errors = made.communicate()
        socket_of_a_page.close()
        ending.cancel()
    assert made.returncode == 0
    assert errors == ""
