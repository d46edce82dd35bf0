"""Serves a folder over HTTP on loopback, as a web radio does: completely, or stalling midway."""

from __future__ import annotations

import contextlib
import functools
import http.server
import shutil
import threading
from pathlib import Path
from typing import BinaryIO, Self


class _Handler(http.server.SimpleHTTPRequestHandler):
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def copyfile(self, source: BinaryIO, outputfile: BinaryIO) -> None:  # type: ignore[override]
        if (stall_at := self.server.stall_at_bytes) is not None:
            outputfile.write(source.read(stall_at))
            outputfile.flush()
            self.server.resumed.wait()
        with contextlib.suppress(ConnectionError):  # The player has disconnected.
            shutil.copyfileobj(source, outputfile)


class _Server(http.server.ThreadingHTTPServer):
    stall_at_bytes: int | None = None

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))
        self.resumed = threading.Event()


class MediaServer:
    """A context manager.

    Attributes:
        origin: ``http://127.0.0.1:PORT``.
    """

    def __init__(self, folder: Path, *, stall_at_bytes: int | None = None) -> None:
        """Serve ``folder``. Every transfer stalls after ``stall_at_bytes``, until ``resume``."""
        self._server = _Server(folder)
        self._server.stall_at_bytes = stall_at_bytes
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def resume(self) -> None:
        """Resume stalled transfers."""
        self._server.resumed.set()

    def close(self) -> None:
        self.resume()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
