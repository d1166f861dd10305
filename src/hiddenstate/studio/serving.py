"""Running the studio's server, until Ctrl-C or beside other work."""

import socket
import webbrowser

import uvicorn

from hiddenstate.studio.server import Site

LOCAL = "127.0.0.1"


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes any that is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.create_server((host, port), family=family)
    made.setblocking(False)
    return made


def serve(site: Site, host: str = LOCAL, port: int = 0, *, browser: bool = True) -> None:
    """Serve until Ctrl-C."""
    with listen(host, port) as listening:
        url = f"http://{host}:{listening.getsockname()[1]}/{site.token}/"
        print(f"Open {url} (Ctrl-C ends it)", flush=True)
        if browser:
            webbrowser.open(url)
        config = uvicorn.Config(site.app(), log_level="warning", access_log=False, server_header=False)
        uvicorn.Server(config).run(sockets=[listening])
