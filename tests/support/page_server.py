"""Serves the test player (listen.html) to a browser from a separate origin."""

from __future__ import annotations

import functools
import http.server
import threading
from pathlib import Path


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


class PageServer:
    """A small HTTP server on a free port; ``ServerConfig.allow_origins`` must contain its ``origin``.

    AudioWorklet requires a secure context: a loopback address, or the ``trusted_address`` of ``Firefox``.
    """

    def __init__(self, address: str = "127.0.0.1") -> None:
        handler = functools.partial(_QuietHandler, directory=str(Path(__file__).parent))
        self._server = http.server.ThreadingHTTPServer((address, 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.origin = f"http://{address}:{self._server.server_port}"
        self.listen_url = f"{self.origin}/listen.html"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> PageServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
