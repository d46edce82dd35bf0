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

_PATIENCE_S = 10.0


def binary() -> str | None:
    """Its path."""
    return shutil.which(os.environ.get("MEDIAMTX") or "mediamtx")


def missing() -> str | None:
    """Return what is missing on this machine, for ``pytest.skip``; None if nothing is."""
    return None if binary() else "MediaMTX: no mediamtx on PATH, and MEDIAMTX names none"


class MediaMtx:
    """MediaMTX with WHIP and WHEP on loopback, always on the same ports. A context manager."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        """Start it and wait until it listens. ``settings`` are fields of its configuration (JSON is YAML)."""
        self._port = free_port()
        configuration = {
            **dict.fromkeys(("rtsp", "rtmp", "hls", "srt"), False),
            "webrtcAddress": f"127.0.0.1:{self._port}",
            "webrtcLocalUDPAddress": f"127.0.0.1:{free_port()}",
            "webrtcIPsFromInterfaces": False,
            "webrtcAdditionalHosts": ["127.0.0.1"],
            "paths": {"all_others": {}},
            **settings,
        }
        self._file = folder / "mediamtx.yml"
        self._file.write_text(json.dumps(configuration), encoding="utf-8")
        self._log = (folder / "mediamtx.log").open("wb")
        self.start()

    def url(self, stream: str, protocol: str, user: str = "") -> str:
        """Return the URL of an endpoint; ``user`` is ``NAME:PASSWORD``."""
        return f"http://{user and user + '@'}127.0.0.1:{self._port}/{stream}/{protocol}"

    def start(self) -> None:
        """Also works after ``kill``."""
        program = binary()
        assert program is not None
        self._process = subprocess.Popen([program, str(self._file)], stdout=self._log, stderr=subprocess.STDOUT)
        give_up_s = time.monotonic() + _PATIENCE_S
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self._port), 1.0).close()
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
