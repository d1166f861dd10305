import json
import re
from queue import Queue
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from hiddenstate.studio.bundles.bundle import Bundle
from hiddenstate.studio.messages import MOST_BYTES, Audience, ViewMessage
from hiddenstate.studio.server.guard import server_names
from hiddenstate.studio.server.site import Pages, Site
from studio.test_html import EVIL, Elements

TOKEN = "secret-token"
OWN, SOCKET = "http://127.0.0.1:8765", "ws://127.0.0.1:8765"
BUNDLE = Bundle("lstm", EVIL, {"input_size": 4}, b"\x00" * 600_000)


def client(host: str = "127.0.0.1", *, local: bool = True, heard: Any = None, called: str = OWN) -> TestClient:
    pages = Pages(Audience(), heard or (lambda message: None))
    site = Site({"ours": BUNDLE}, {"text": EVIL}, "view", pages, TOKEN)
    return TestClient(site.app(host, local=local), base_url=called)


def test_the_page() -> None:
    answer = client().get(f"/{TOKEN}/")
    assert answer.status_code == 200
    found = Elements(answer.text)
    boot = json.loads(found.data["boot"])
    assert boot["models"] == [{"id": "ours", "name": EVIL}]
    assert boot["view"] == {"text": EVIL}
    assert boot["host"] == "server"
    assert boot["live"] == "view"
    assert found.tags.count("script") == 3  # the initial data, the modules, the start script: none came from the text
    assert "alert(1)</script>" not in answer.text


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (f"/{TOKEN}", f"/{TOKEN}/"),
        (f"/{TOKEN}?a=b", f"/{TOKEN}/?a=b"),
        (f"/{TOKEN}/models/ours/head.json/", f"/{TOKEN}/models/ours/head.json"),
        (f"/{TOKEN}/models/ours/weights.safetensors/", f"/{TOKEN}/models/ours/weights.safetensors"),
    ],
)
def test_a_slash_too_few_or_too_many_loses_no_token(asked: str, found: str) -> None:
    answer = client().get(asked, follow_redirects=False)
    assert answer.headers["Location"] == OWN + found
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert client().get(asked).status_code == 200


def test_headers() -> None:
    head = f"/{TOKEN}/models/ours/head.json"
    for path, status in ((f"/{TOKEN}/", 200), (head, 200), ("/", 403), (f"/{TOKEN}/x", 404)):
        answer = client().get(path)
        assert answer.status_code == status
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


def test_policy() -> None:
    policy = client().get(f"/{TOKEN}/").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'nonce-")
    assert "connect-src 'self' ws://127.0.0.1:8765;" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy


def test_the_page_asks_for_nothing_but_models() -> None:
    page = client().get(f"/{TOKEN}/").text
    assert re.findall(r"""(?:href|src)=["']?([^"'>]+)""", page)[0].startswith("data:image/svg+xml")
    assert len(re.findall(r"(?:href|src)=", page)) == 1


def test_each_page_has_a_nonce_of_its_own() -> None:
    ours = client()
    nonces = [re.findall(r'nonce="([^"]+)"', ours.get(f"/{TOKEN}/").text) for _ in range(2)]
    assert nonces[0] != nonces[1]
    assert len(nonces[0]) == 1
    assert f"'nonce-{nonces[1][0]}'" not in ours.get(f"/{TOKEN}/").headers["Content-Security-Policy"]


def test_a_model() -> None:
    ours = client()
    head = ours.get(f"/{TOKEN}/models/ours/head.json")
    assert head.json()["name"] == EVIL
    assert head.headers["Content-Type"] == "application/json"
    weights = ours.get(f"/{TOKEN}/models/ours/weights.safetensors")
    assert weights.content == BUNDLE.weights
    assert weights.headers["Content-Length"] == "600000"
    assert ours.get(f"/{TOKEN}/models/other/head.json").status_code == 404
    assert ours.get(f"/{TOKEN}/models/other/weights.safetensors").status_code == 404


PATHS = ("", "live", "models/ours/head.json", "models/ours/weights.safetensors", "none")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "start", ["/", "/other-token/", f"/{TOKEN}x/", f"/{TOKEN[:-1]}/", f"/{TOKEN.upper()}/", "/é/", f"//{TOKEN}/"]
)
def test_no_or_another_token_is_refused(start: str, path: str) -> None:
    answer = client().get(OWN + start + path)
    assert answer.status_code == 403
    assert TOKEN not in answer.text
    assert "Open the whole address" in answer.text


@pytest.mark.parametrize(
    "given",
    ["?token=secret-token", "/?secret-token", "/static/%2e%2e/secret-token", "/%73ecret-toke/", "/ secret-token/"],
)
def test_a_token_elsewhere_is_none(given: str) -> None:
    assert client().get(OWN + given).status_code == 403


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "",
        "@",
        "a b",
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_another_host_is_refused(host: str, path: str) -> None:
    """DNS rebinding: someone else's name that points here."""
    answer = client().get(f"/{TOKEN}/{path}", headers={"Host": host})
    assert answer.status_code == 421
    assert TOKEN not in answer.text


@pytest.mark.parametrize("host", ["localhost:9999", "127.0.0.1", "[::1]:80", "LOCALHOST:1"])
def test_this_machines_names_are_known(host: str) -> None:
    assert client().get(f"/{TOKEN}/", headers={"Host": host}).status_code == 200


def test_other_names_where_others_may_ask() -> None:
    ours = client("0.0.0.0", local=False)
    for host, status in (("192.168.0.7:8765", 200), ("[fe80::1]", 200), ("evil.example", 421), ("1.2.3.4.5", 421)):
        assert ours.get(f"/{TOKEN}/", headers={"Host": host}).status_code == status, host
    assert "box.local" in server_names("box.local")
    assert "[fe80::7]" in server_names("FE80::7")


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "https://127.0.0.1:8765",
        "http://127.0.0.1:8766",
        "http://127.0.0.1",
        "file://",
        "",
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_another_origin_is_refused(origin: str, path: str) -> None:
    answer = client().get(f"/{TOKEN}/{path}", headers={"Origin": origin})
    assert answer.status_code == 403
    assert answer.text == "Requests from other sites are not allowed."


def test_one_origin_among_several_is_refused() -> None:
    headers = [("Origin", OWN), ("Origin", "http://evil.example")]
    assert client().get(f"/{TOKEN}/", headers=headers).status_code == 403


def test_half_a_character_that_a_page_sent_does_no_harm() -> None:
    site = Site({"ours": BUNDLE.named("\ud83d")}, {"text": "a\ud83d"}, token=TOKEN)
    ours = TestClient(site.app("127.0.0.1"), base_url=OWN)
    boot = json.loads(Elements(ours.get(f"/{TOKEN}/").text).data["boot"])
    assert boot["view"] == {"text": "a\ud83d"}
    assert ours.get(f"/{TOKEN}/models/ours/head.json").json()["name"] == "\ud83d"


def test_the_own_origin_may_ask() -> None:
    assert client().get(f"/{TOKEN}/models/ours/head.json", headers={"Origin": OWN}).status_code == 200


def test_what_a_browser_says_of_another_site() -> None:
    ours, page = client(), f"/{TOKEN}/models/ours/head.json"
    assert ours.get(page, headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}).status_code == 403
    assert ours.get(page, headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}).status_code == 200
    assert ours.get(page, headers={"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(method: str) -> None:
    assert client().request(method, f"/{TOKEN}/models/ours/head.json").status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "static/../server.py",
        "static/%2e%2e/server.py",
        "static/..%2fserver.py",
        "static/..%5cserver.py",
        "static/ui/../../server.py",
        "static//etc/passwd",
        "static/%00main.js",
        "static/main.js%00.css",
        "models/..%2f..%2fstatic/head.json",
        "models/../../etc/passwd/head.json",
        "static/hosts/widget.js",
        "static/jsconfig.json",
        "static/index.html",
        "../../etc/passwd",
    ],
)
def test_no_path_leads_out(path: str) -> None:
    ours = client()
    scope_path = f"/{TOKEN}/{path}"
    answer = ours.request("GET", OWN + scope_path)
    assert answer.status_code in (403, 404)
    assert "import" not in answer.text


def test_a_page_that_stays_in_touch() -> None:
    heard: Queue[ViewMessage] = Queue()
    with client(heard=heard.put).websocket_connect(f"{SOCKET}/{TOKEN}/live", headers={"Origin": OWN}) as socket:
        socket.send_text('{"type": "view", "view": {"step": 3}}')
        socket.send_text('{"type": "view", "view": {"text": "</script>"}}')
        assert [heard.get(timeout=10).view for _ in range(2)] == [{"step": 3}, {"text": "</script>"}]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/live", {}),
        ("/other/live", {}),
        (f"/{TOKEN}/live", {"Origin": "http://evil.example"}),
        (f"/{TOKEN}/live", {"Host": "evil.example"}),
        (f"/{TOKEN}/none", {}),
        (f"/{TOKEN}", {}),
    ],
)
def test_a_page_of_another_is_not_kept_in_touch(path: str, headers: dict[str, str]) -> None:
    with pytest.raises(WebSocketDisconnect), client().websocket_connect(SOCKET + path, headers=headers):
        pass


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"type": "step"}', '{"type": "view", "view": {"step": "x"}}', "x" * (MOST_BYTES + 1)]
)
def test_what_is_no_message_ends_it(text: str) -> None:
    with client().websocket_connect(f"{SOCKET}/{TOKEN}/live") as socket:
        socket.send_text(text)
        with pytest.raises(WebSocketDisconnect) as caught:
            socket.receive_bytes()
    assert caught.value.code == 1003


def test_bytes_are_no_message() -> None:
    with client().websocket_connect(f"{SOCKET}/{TOKEN}/live") as socket:
        socket.send_bytes(b"\x00\xff")
        with pytest.raises(WebSocketDisconnect):
            socket.receive_bytes()


def test_a_site_without_python_behind_it_has_no_socket() -> None:
    site = Site({"ours": BUNDLE}, token=TOKEN)
    with (
        pytest.raises(WebSocketDisconnect),
        TestClient(site.app("127.0.0.1"), base_url=OWN).websocket_connect(f"{SOCKET}/{TOKEN}/live"),
    ):
        pass


def test_tokens_differ_and_are_long() -> None:
    first, second = Site({}).token, Site({}).token
    assert first != second
    assert len(first) >= 32
