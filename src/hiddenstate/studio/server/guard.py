"""Access control: the checks on every request, and the headers of every response.

The studio shows a user's models in the user's own browser. Other sites open in that browser must not reach it: not by
their own requests (Origin), not by a domain that resolves to this machine (Host: DNS rebinding), and not by guessing
(the token). Cross-origin requests are never allowed.
"""

import hmac
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Sites = frozenset[str]

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?", re.IGNORECASE)
_LOCAL = ("localhost", "127.0.0.1", "[::1]")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
NO_TOKEN = (
    "This is hiddenstate's studio. Open the whole address that it printed when it started: it contains a secret at its "
    "end."
)


@dataclass(frozen=True)
class Guard:
    """Wraps an application, and answers forbidden requests itself.

    The token is the first part of the path, so every request that the page makes below its own address includes it.
    """

    app: ASGIApp  # the application that handles allowed requests, mounted below the token, so that redirects keep it
    token: str  # the secret
    # host names under which the server may be reached; with ``any_address``, also numeric addresses, which DNS can't
    # redirect
    names: Sites = frozenset(_LOCAL)
    any_address: bool = False  # whether it listens to other machines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(Headers(scope=scope), scope["path"])
        if refusal is None:
            await self.app({**scope, "root_path": f"/{self.token}"}, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await receive()  # receives the connection request
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1][:100]})
        else:
            await PlainTextResponse(refusal[1], refusal[0])(scope, receive, _with_headers(send))

    def _refusal(self, headers: Headers, path: str) -> tuple[int, str] | None:
        """Return the status and message with which a request is refused, or None."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return 421, "The studio does not answer to this name. Open the address that it printed."
        if any(origin.lower() != f"http://{hosts[0].lower()}" for origin in headers.getlist("origin")):
            return 403, "Requests from other sites are not allowed."
        if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            return 403, "Requests from other sites are not allowed."
        first = path.split("/")[1] if path.startswith("/") else ""  # a path may also be *, for example with OPTIONS
        if not hmac.compare_digest(first.encode(), self.token.encode()):
            return 403, NO_TOKEN
        return None

    def _is_ours(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match["name"].lower()
        return name in self.names or (self.any_address and _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _with_headers(send: Send) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return answer


def server_names(host: str, others: Iterable[str] = ()) -> Sites:
    """Host names that a server bound to ``host`` accepts."""
    bound = f"[{host}]" if ":" in host else host
    return frozenset(name.lower() for name in (*_LOCAL, bound, *others))
