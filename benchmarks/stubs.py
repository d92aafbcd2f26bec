"""The other ends of calls, which answer at once: PayPal for what a checkout asks of it, Google's metadata server."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from uuid import uuid4


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # an answer leaves in one piece
    password: ClassVar[str] = ""

    def do_GET(self) -> None:
        # The metadata server, asked through a proxy: http://metadata.google.internal/.../token
        self._answer(200, {"access_token": self.password, "expires_in": 3599, "token_type": "Bearer"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/v1/oauth2/token":
            self._answer(200, {"access_token": "stub", "expires_in": 32400, "token_type": "Bearer"})
        else:
            name = uuid4().hex[:17].upper()
            link = {"href": f"https://paypal.example/{name}", "rel": "payer-action", "method": "GET"}
            self._answer(200, {"id": name, "status": "PAYER_ACTION_REQUIRED", "links": [link]})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called there
        pass

    def _answer(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@contextmanager
def stub(*, password: str = "") -> Iterator[str]:
    """The URL of a server that is PayPal at 0 ms to a POST, and gives `password` as the access token to a GET."""
    handler = type("_Stub", (_Answering,), {"password": password})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
