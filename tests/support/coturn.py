"""A TURN server for tests: coturn with listeners for UDP, TCP and TLS.

    with Coturn(tmp_path) as turn:
        servers = [turn.server("udp"), turn.server("tls")]

Its state is deleted when the ``with`` block ends.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import bass_webrtc as bw
from bass_webrtc.config import StunServer, TurnServer, parse_ice_server

from . import stun
from .certificates import write_certificate
from .netns import Host

Kind = Literal["udp", "tcp", "tls"]

_URLS = {"udp": "turn:{}:{}?transport=udp", "tcp": "turn:{}:{}?transport=tcp", "tls": "turns:{}:{}?transport=tcp"}
_USER, _PASSWORD = "guest", "the guest's password"
_PATIENCE_S = 10.0


def missing() -> str | None:
    """Return what is missing on this machine, for ``pytest.skip``; None if nothing is."""
    return None if shutil.which("turnserver") else "a TURN server needs Debian's coturn"


class Coturn:
    """A running coturn.

    Attributes:
        port: For UDP and TCP.
        tls_port: For TLS.
        certificate: Of TLS, PEM.
    """

    def __init__(
        self,
        folder: Path,
        *,
        address: str = "127.0.0.1",
        host: Host | None = None,
        secret: str | None = None,
        nonce_lifetime_s: int = 600,
        allocation_lifetime_s: int = 3600,
        config: str | None = None,
    ) -> None:
        """Start it and wait until it listens.

        Args:
            folder: For its certificate, its log and its database.
            address: Where it listens and relays.
            host: The network host it runs on; None for this machine's own network.
            secret: Accept time-limited credentials made with this secret, instead of one user and password.
            nonce_lifetime_s: Lifetime of a nonce, after which it is stale (error 438).
            allocation_lifetime_s: Maximum lifetime of an allocation without refresh.
            config: Its turnserver.conf, with the ``secret``. Options given here take precedence: addresses, ports
                and certificate.
        """
        self._address = address
        self._host = host
        self._log = (folder / "coturn.log").open("w+b")
        self.certificate, key = write_certificate(folder, address)
        with contextlib.nullcontext() if host is None else host.entered():
            self.port, self.tls_port = _free_port(address), _free_port(address)
        command = [
            "turnserver",
            *("--log-file=stdout", "--simple-log", "--verbose", "--no-cli", f"--userdb={folder / 'turndb'}"),
            *(f"--listening-ip={address}", f"--relay-ip={address}", "--relay-threads=1", f"--pidfile={folder / 'pid'}"),
            *(f"--listening-port={self.port}", f"--tls-listening-port={self.tls_port}"),
            *(f"--cert={self.certificate}", f"--pkey={key}"),
        ]
        if config is not None:
            (folder / "turnserver.conf").write_text(config, encoding="utf-8")
            command += ["-c", str(folder / "turnserver.conf")]
        else:
            command += [
                *("-n", "--allow-loopback-peers", "--realm=bass-webrtc", "--fingerprint"),
                *(f"--stale-nonce={nonce_lifetime_s}", f"--max-allocate-lifetime={allocation_lifetime_s}"),
                *_authentication(secret),
            ]
        start = subprocess.Popen if host is None else host.popen
        self._process = start(command, stdout=self._log, stderr=subprocess.STDOUT)
        self._wait_until_ready()

    @property
    def stun(self) -> StunServer:
        """Return it as a STUN server."""
        return StunServer(self._address, self.port)

    def url(self, kind: Kind) -> str:
        """Return it as a TURN server over one of three transports."""
        return _URLS[kind].format(self._address, self.tls_port if kind == "tls" else self.port)

    def server(self, kind: Kind, username: str = _USER, credential: str = _PASSWORD) -> TurnServer:
        """Return the same with credentials."""
        server = parse_ice_server(self.url(kind), username, credential)
        assert isinstance(server, TurnServer)
        return server

    def ice_servers(self, *kinds: Kind) -> tuple[bw.IceServer, ...]:
        """Return it as a STUN server, and as a TURN server over these transports."""
        return bw.IceServer(str(self.stun)), *(bw.IceServer(self.url(one), _USER, _PASSWORD) for one in kinds)

    def tls_context(self) -> ssl.SSLContext:
        """Return a TLS context that trusts only its certificate."""
        return ssl.create_default_context(cafile=self.certificate)

    def log(self) -> str:
        """Return its log."""
        self._log.flush()
        return Path(self._log.name).read_text(errors="replace", encoding="utf-8")

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Suspend it meanwhile."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kill it, without any message to its clients."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Coturn:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._log.close()

    def _wait_until_ready(self) -> None:
        deadline_s = time.monotonic() + _PATIENCE_S
        with contextlib.nullcontext() if self._host is None else self._host.entered():
            while not self._is_ready():
                if self._process.poll() is not None or time.monotonic() > deadline_s:
                    self.stop()
                    raise RuntimeError(f"coturn does not listen: {self.log()[-2000:]}")
                time.sleep(0.05)

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as udp:
            for port in (self.port, self.tls_port):
                socket.create_connection((self._address, port), 1.0).close()
            udp.settimeout(0.2)
            udp.sendto(stun.Message(stun.BINDING_REQUEST).encode(None), (self._address, self.port))
            return bool(udp.recv(2048))
        return False


def _authentication(secret: str | None) -> list[str]:
    if secret is None:
        return ["--lt-cred-mech", f"--user={_USER}:{_PASSWORD}"]
    return ["--use-auth-secret", f"--static-auth-secret={secret}"]


def _free_port(address: str) -> int:
    """Return a port that is free for UDP and TCP."""
    while True:
        with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind((address, 0))
            with contextlib.suppress(OSError):
                tcp.bind((address, udp.getsockname()[1]))
                port: int = udp.getsockname()[1]
                return port
