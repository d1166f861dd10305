"""Serves a tagger over HTTP: ``python serve.py PORT [MODEL]``. POST a sentence to get its tags as JSON."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import hiddenstate as hs
from hiddenstate.models import Tagger
from hiddenstate.text import tokenise

MOST_BYTES = 10_000


class Handler(BaseHTTPRequestHandler):
    """Answers one request at a time."""

    server: "TaggingServer"

    def do_GET(self) -> None:
        """Tell a health check that the model is loaded."""
        self._answer({"ready": True})

    def do_POST(self) -> None:
        """Tag the sentence in the body."""
        length = int(self.headers.get("Content-Length", 0))
        if length > MOST_BYTES:
            self.send_error(413, f"at most {MOST_BYTES} bytes, please")
            return
        words = tokenise(self.rfile.read(length).decode(errors="replace"))
        (tagging,) = self.server.tagger.tag([words])
        self._answer({"words": words, "tags": tagging.tags})

    def _answer(self, data: object) -> None:
        body = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class TaggingServer(HTTPServer):
    """Holds the model, which is loaded once."""

    def __init__(self, port: int, model: str) -> None:
        tagger = hs.load(model)
        if not isinstance(tagger, Tagger):
            raise SystemExit(f"{model} is not a tagger")
        self.tagger = tagger
        super().__init__(("", port), Handler)


if __name__ == "__main__":
    port, model = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "tagger-en"
    with TaggingServer(port, model) as server:
        print(f"listening on port {server.server_port}", flush=True)
        server.serve_forever()
