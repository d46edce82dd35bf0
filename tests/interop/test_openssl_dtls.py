"""DTLS-SRTP with the ``openssl`` program (Debian: openssl) in both roles, over UDP on the loopback interface."""

from __future__ import annotations

import re
import select
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from bass_webrtc.rtc.dtls import Certificate, Connected, DtlsEvent, DtlsRole, DtlsSession, SrtpKeys
from bass_webrtc.rtc.sdp import Fingerprint
from support.conformance import covers

OPENSSL = shutil.which("openssl") or ""
pytestmark = pytest.mark.skipif(not OPENSSL, reason="needs the program openssl (Debian: openssl)")

PROFILES = {"SRTP_AEAD_AES_128_GCM": (7, 12), "SRTP_AES128_CM_SHA1_80": (1, 14)}
PATIENCE_S = 10.0
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Fingerprint]:
    """Return arguments that name a certificate and its key, and the fingerprint as openssl prints it."""
    folder: Path = tmp_path_factory.mktemp("openssl")
    key, certificate = str(folder / "key.pem"), str(folder / "certificate.pem")
    make = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=peer"
    subprocess.run([OPENSSL, *make.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    show = [OPENSSL, "x509", "-in", certificate, "-noout", "-fingerprint", "-sha256"]
    shown = subprocess.run(show, check=True, capture_output=True, encoding="utf-8").stdout
    return ["-cert", certificate, "-key", key], Fingerprint("sha-256", shown.strip().partition("=")[2])


def _start(arguments: list[str], profile: str, salt_bytes: int) -> subprocess.Popen[bytes]:
    export = ["-keymatexport", "EXTRACTOR-dtls_srtp", "-keymatexportlen", str(2 * (16 + salt_bytes))]
    command = [OPENSSL, arguments[0], "-dtls1_2", "-use_srtp", profile, *export, *arguments[1:]]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _shake_hands(session: DtlsSession, udp: socket.socket, remote: tuple[str, int] | None) -> DtlsEvent:
    """Run the session over the socket until an event. The remote address is learnt from the first datagram."""
    deadline_s = time.monotonic() + PATIENCE_S
    session.start(time.monotonic())
    while time.monotonic() < deadline_s:
        for data in session.to_send():
            assert remote is not None
            udp.sendto(data, remote)
        for event in session.events():
            return event
        if select.select([udp], [], [], 0.02)[0]:
            data, remote = udp.recvfrom(4096)
            session.receive(data, time.monotonic())
        session.handle_timeout(time.monotonic())
    pytest.fail("nothing happened")


def _exported(output: str, salt_bytes: int) -> tuple[bytes, bytes]:
    """Return the keys and salts of client and server from openssl's output (RFC 5764, 4.2)."""
    material = re.search(r"Keying material: ([0-9A-F]+)", output)
    assert material, output
    block = bytes.fromhex(material[1])
    return block[:16] + block[32 : 32 + salt_bytes], block[16:32] + block[32 + salt_bytes :]


def _check(event: DtlsEvent, role: DtlsRole, profile: str, output: str) -> None:
    number, salt_bytes = PROFILES[profile]
    client, server = _exported(output, salt_bytes)
    assert isinstance(event, Connected)
    assert event.keys == (SrtpKeys(number, client, server) if role == "client" else SrtpKeys(number, server, client))
    assert f"profile={profile}" in output


@covers("SE4", "SE5", "WS55")
@pytest.mark.parametrize("profile", PROFILES)
def test_s_client_gets_the_same_keys(pem: tuple[list[str], Fingerprint], profile: str) -> None:
    """The close_notify of s_client ends the session."""
    arguments, fingerprint = pem
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((HOST, 0))
        address = f"{HOST}:{udp.getsockname()[1]}"
        with _start(["s_client", "-connect", address, *arguments], profile, PROFILES[profile][1]) as peer:
            session = DtlsSession(Certificate.generate(), "server", [fingerprint])
            event = _shake_hands(session, udp, None)
            output, _ = peer.communicate(b"Q\n", PATIENCE_S)
        _check(event, "server", profile, output.decode(errors="replace"))
        udp.settimeout(PATIENCE_S)
        session.receive(udp.recv(4096), time.monotonic())
        assert [type(event).__name__ for event in session.events()] == ["Closed"]


@covers("SE4", "SE5", "WS54")
@pytest.mark.parametrize("profile", PROFILES)
def test_s_server_gets_the_same_keys(pem: tuple[list[str], Fingerprint], profile: str) -> None:
    """Our close_notify ends the session of s_server."""
    arguments, fingerprint = pem
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free,
    ):
        udp.bind((HOST, 0))
        free.bind((HOST, 0))
        remote = (HOST, int(free.getsockname()[1]))
        free.close()
        accept = ["-accept", f"{HOST}:{remote[1]}", "-naccept", "1", "-Verify", "1"]
        with _start(["s_server", *accept, *arguments], profile, PROFILES[profile][1]) as peer:
            assert peer.stdout is not None
            while b"ACCEPT" not in (line := peer.stdout.readline()):
                assert line, "s_server did not start"
            session = DtlsSession(Certificate.generate(), "client", [fingerprint])
            event = _shake_hands(session, udp, remote)
            session.close()
            for data in session.to_send():
                udp.sendto(data, remote)
            output, _ = peer.communicate(timeout=PATIENCE_S)
        _check(event, "client", profile, output.decode(errors="replace"))
        assert "CONNECTION CLOSED" in output.decode(errors="replace")
