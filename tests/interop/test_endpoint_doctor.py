"""``bass-webrtc doctor URL``: where it stops, and what it advises, for servers that fail at every step."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import bass_webrtc as bw
from bass_webrtc.cli import endpoint_doctor
from bass_webrtc.cli.doctor import Finding
from bass_webrtc.cli.endpoint_doctor import Protocol, examine_endpoint
from support.certificates import write_certificate
from support.client_peers import wait_until

STEPS = ["DNS", "TCP", "TLS", "OPTIONS", "POST", "ICE", "DTLS", "packets", "DELETE"]
TOKEN = "a-token"

Meddling = Callable[[str], str]


@pytest.fixture
def server() -> Iterator[bw.Server]:
    with bw.Server(bw.Tone(), bw.ServerConfig(http_port=0, udp_port=0)) as server:
        server.start()
        yield server


@contextlib.contextmanager
def meddler(server: bw.Server, meddle: Meddling) -> Iterator[str]:
    """An endpoint that is the server's, but for what it does to answers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            connection = http.client.HTTPConnection(server.url[len("http://") : -1])
            connection.request(self.command, self.path, body, {"Content-Type": self.headers.get("Content-Type") or ""})
            reply = connection.getresponse()
            answer = meddle(reply.read().decode()).encode()
            connection.close()
            self.send_response(reply.status)
            for name in ("Content-Type", "Location"):
                if name in reply.headers:
                    self.send_header(name, reply.headers[name])
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_DELETE = do_PATCH = do_OPTIONS = do_POST

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as between:
        threading.Thread(target=between.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{between.server_port}/whep"
        finally:
            between.shutdown()


def examine(url: str, token: str | None = None, protocol: Protocol | None = None) -> dict[str, Finding]:
    """By title, in the order in which they came."""
    return {finding.title: finding for finding in examine_endpoint(url, token, protocol)}


def assert_stops_at(step: str, findings: dict[str, Finding], *, with_delete: bool = False) -> Finding:
    """All before is well, nothing comes after, and there is advice."""
    expected = STEPS[: STEPS.index(step) + 1] + (["DELETE"] if with_delete else [])
    assert list(findings) == expected
    assert [one.level for one in findings.values()].count("error") == 1
    assert findings[step].level == "error"
    assert findings[step].detail
    assert findings[step].advice
    return findings[step]


@pytest.mark.parametrize("path", ["whip", "whep"])
def test_a_server_that_works_is_well_at_every_step_and_has_no_session_left(server: bw.Server, path: str) -> None:
    findings = examine(f"{server.url}{path}")
    assert list(findings) == STEPS
    assert {one.level for one in findings.values()} == {"ok"}, findings
    assert findings["DTLS"].detail.startswith("SRTP_AEAD")
    wait_until(lambda: server.peers == ())


def test_a_name_that_nobody_has(server: bw.Server) -> None:
    assert "nothing.invalid" in assert_stops_at("DNS", examine("http://nothing.invalid/whip")).detail


def test_a_port_where_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/whip"
        assert "firewall" in assert_stops_at("TCP", examine(url)).advice


def test_a_certificate_that_nobody_knows(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    config = bw.ServerConfig(http_port=0, udp_port=0, tls_certificate=certificate, tls_key=key)
    with bw.Server(bw.Tone(), config) as server:
        server.start()
        assert "authority" in assert_stops_at("TLS", examine(f"{server.url}whip")).advice


def test_https_where_http_is_spoken(server: bw.Server) -> None:
    assert "HTTPS" in assert_stops_at("TLS", examine(f"{server.url}whip".replace("http:", "https:"))).advice


def test_a_token_that_is_missing_and_one_that_is_right() -> None:
    with bw.Server(bw.Tone(), bw.ServerConfig(http_port=0, udp_port=0, token=TOKEN)) as server:
        server.start()
        assert "--token" in assert_stops_at("POST", examine(f"{server.url}whep")).advice
        assert examine(f"{server.url}whep", TOKEN)["packets"].level == "ok"


def test_a_path_where_there_is_nothing(server: bw.Server) -> None:
    assert "path" in assert_stops_at("POST", examine(f"{server.url}elsewhere", protocol="whip")).advice


def test_an_address_that_does_not_answer(server: bw.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall that lets HTTP through and UDP not."""
    monkeypatch.setattr(endpoint_doctor, "_ICE_TIMEOUT_S", 1.0)
    with socket.socket(type=socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        port = str(deaf.getsockname()[1])

        def move(answer: str) -> str:
            return re.sub(r"(a=candidate:\S+ 1 \S+ \d+) \S+ \d+", rf"\1 127.0.0.1 {port}", answer)

        with meddler(server, move) as url:
            found = assert_stops_at("ICE", examine(url), with_delete=True)
    assert "UDP" in found.advice
    wait_until(lambda: server.peers == ())


def test_a_certificate_that_is_another_than_was_said(server: bw.Server) -> None:
    def forge(answer: str) -> str:
        return re.sub(
            r"(a=fingerprint:sha-256 )(..)", lambda said: said[1] + ("01" if said[2] == "00" else "00"), answer
        )

    with meddler(server, forge) as url:
        assert "certificate" in assert_stops_at("DTLS", examine(url), with_delete=True).detail
    wait_until(lambda: server.peers == ())


def test_a_url_that_does_not_say_what_it_speaks() -> None:
    with pytest.raises(bw.ConfigError, match="--protocol"):
        examine("http://127.0.0.1/stream")
