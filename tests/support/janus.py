"""Janus VideoRoom behind simple-whip-server: a foreign WHIP server, on a network host of the test.

    with Janus(tmp_path, host, "10.77.0.1") as janus:
        url = janus.create_endpoint("studio", token="…", forward_to=port)

Janus decrypts incoming media and forwards it as plain RTP to a UDP port on the host's loopback.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import node_packages

from .netns import Host

_WEBSOCKET_PORT, _HTTP_PORT = 8188, 7080
_ROOM = 1234
_PATIENCE_S = 15.0

_JANUS = """\
general: {{ debug_level = 4 }}
nat: {{ ice_ignore_list = "lo" }}
transports: {{ disable = "{transports}" }}
plugins: {{ disable = "{plugins}" }}
loggers: {{ disable = "libjanus_jsonlog.so" }}
"""
_WEBSOCKETS = f'general: {{ ws = true\n ws_ip = "127.0.0.1"\n ws_port = {_WEBSOCKET_PORT} }}\n'
_VIDEO_ROOM = f'room-{_ROOM}: {{ description = "test"\n publishers = 6 }}\n'


def missing() -> str | None:
    """Return what is missing on this machine, for ``pytest.skip``; None if nothing is."""
    if shutil.which("janus") is None:
        return "needs Debian's janus"
    return node_packages.whip_server_missing()


class Janus:
    """Both programs running. A context manager."""

    def __init__(self, folder: Path, host: Host, address: str) -> None:
        """Start them and wait until they answer.

        Args:
            folder: Folder for their settings and logs.
            host: Host to run on.
            address: Address of that host on which WHIP is served.
        """
        self._host, self._address = host, address
        self._log = (folder / "janus.log").open("wb")
        self._processes: list[subprocess.Popen[bytes]] = []
        libraries = Path(next(Path("/usr/lib").glob("*/janus")))
        others = {
            kind: ",".join(one.name for one in (libraries / kind).glob("*.so") if wanted not in one.name)
            for kind, wanted in (("transports", "websockets"), ("plugins", "videoroom"))
        }
        (folder / "janus.jcfg").write_text(_JANUS.format(**others), encoding="utf-8")
        (folder / "janus.transport.websockets.jcfg").write_text(_WEBSOCKETS, encoding="utf-8")
        (folder / "janus.plugin.videoroom.jcfg").write_text(_VIDEO_ROOM, encoding="utf-8")
        settings = {
            "janus": {"address": f"ws://127.0.0.1:{_WEBSOCKET_PORT}"},
            "port": _HTTP_PORT,
            "rest": "/whip",
            "allowTrickle": True,
            "strictETags": True,
            "iceServers": [],
        }
        for name in node_packages.WHIP_SERVER_FILES:
            shutil.copy(node_packages.whip_server() / name, folder)
        (folder / "config.js").write_text(f"module.exports = {json.dumps(settings)};\n", encoding="utf-8")
        try:
            self._start(["janus", "-F", str(folder), "-P", str(libraries / "plugins"), "-o"])
            self._start([str(node_packages.NODE), str(folder / "server.js")])
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def create_endpoint(self, name: str, *, token: str, forward_to: int) -> str:
        """Return the URL of an endpoint; its media is forwarded to that UDP port on loopback as plain RTP."""
        recipient = {"host": "127.0.0.1", "audioPort": forward_to}
        body = {"id": name, "room": _ROOM, "token": token, "recipient": recipient}
        assert self._request("POST", "/whip/create", json.dumps(body)) == 200
        return f"http://{self._address}:{_HTTP_PORT}/whip/endpoint/{name}"

    def published(self) -> list[str]:
        """Return the endpoints with a publisher."""
        connection = self._connect()
        connection.request("GET", "/whip/endpoints")
        found = json.load(connection.getresponse())
        connection.close()
        return [one["id"] for one in found if one["enabled"]]

    def close(self) -> None:
        """Kill both."""
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._log.close()

    def __enter__(self) -> Janus:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, command: list[str]) -> None:
        environment = os.environ | {"NODE_PATH": str(node_packages.node_modules())}
        self._processes.append(
            self._host.popen(
                command, env=environment, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
            )
        )

    def _connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self._address, _HTTP_PORT, timeout=5.0)
        connection.sock = self._host.connect(self._address, _HTTP_PORT)
        return connection

    def _request(self, method: str, path: str, body: str | None = None) -> int:
        connection = self._connect()
        connection.request(method, path, body, {"Content-Type": "application/json"})
        status = connection.getresponse().status
        connection.close()
        return status

    def _wait_until_ready(self) -> None:
        """simple-whip-server listens once it reaches Janus, which it tries every two seconds."""
        give_up_s = time.monotonic() + _PATIENCE_S
        while True:
            with contextlib.suppress(OSError):
                if self._request("GET", "/whip/healthcheck") == 200:
                    return
            if time.monotonic() > give_up_s or any(process.poll() is not None for process in self._processes):
                self._log.flush()
                said = Path(self._log.name).read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"Janus does not answer: {said[-2000:]}")
            time.sleep(0.05)
