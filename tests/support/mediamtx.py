"""MediaMTX, if its binary is on PATH or named by ``MEDIAMTX``; no package registry has it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from .client_peers import free_port
from .netns import Host

_PATIENCE_S = 10.0


def binary() -> str | None:
    """Its path."""
    return shutil.which(os.environ.get("MEDIAMTX") or "mediamtx")


def missing() -> str | None:
    """Return what is missing on this machine, for ``pytest.skip``; None if nothing is."""
    return None if binary() else "MediaMTX: no mediamtx on PATH, and MEDIAMTX names none"


class MediaMtx:
    """MediaMTX with WHIP and WHEP, always on the same ports. A context manager.

    Args:
        folder: For its configuration and its log.
        host: The network host it runs on; None for this machine's own network.
        address: Where it listens.
        settings: Fields of its configuration (JSON is YAML).
    """

    def __init__(self, folder: Path, *, host: Host | None = None, address: str = "127.0.0.1", **settings: Any) -> None:
        """Start it and wait until it listens."""
        self._host = host
        self._address = address
        self._port = free_port()
        configuration = {
            **dict.fromkeys(("rtsp", "rtmp", "hls", "srt"), False),
            "webrtcAddress": f"{address}:{self._port}",
            "webrtcLocalUDPAddress": f"{address}:{free_port()}",
            "webrtcIPsFromInterfaces": False,
            "webrtcAdditionalHosts": [address],
            "paths": {"all_others": {}},
            **settings,
        }
        self._file = folder / "mediamtx.yml"
        self._file.write_text(json.dumps(configuration), encoding="utf-8")
        self._log = (folder / "mediamtx.log").open("wb")
        self.start()

    def url(self, stream: str, protocol: str, user: str = "") -> str:
        """Return the URL of an endpoint; ``user`` is ``NAME:PASSWORD``."""
        return f"http://{user and user + '@'}{self._address}:{self._port}/{stream}/{protocol}"

    def start(self) -> None:
        """Also works after ``kill``."""
        program = binary()
        assert program is not None
        start = subprocess.Popen if self._host is None else self._host.popen
        self._process: subprocess.Popen[Any] = start(
            [program, str(self._file)], stdout=self._log, stderr=subprocess.STDOUT
        )
        self.pid = self._process.pid
        give_up_s = time.monotonic() + _PATIENCE_S
        while True:
            with contextlib.suppress(OSError), self._host.entered() if self._host else contextlib.nullcontext():
                socket.create_connection((self._address, self._port), 1.0).close()
                return
            assert self._process.poll() is None, Path(self._log.name).read_text(errors="replace", encoding="utf-8")[
                -2000:
            ]
            assert time.monotonic() < give_up_s, "MediaMTX does not listen"
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it, without any message to its peers."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> MediaMtx:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._log.close()
