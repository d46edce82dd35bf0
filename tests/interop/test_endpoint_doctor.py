"""``bass-webrtc doctor URL``: the step at which it stops and its advice, for servers that fail at each step."""

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
from support.patience import wait_until

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
    """A proxy of the server's endpoint that modifies answers."""

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
    """Return the findings by title, in order."""
    return {finding.title: finding for finding in examine_endpoint(url, token, protocol)}


def assert_stops_at(step: str, findings: dict[str, Finding], *, with_delete: bool = False) -> Finding:
    """Check that all earlier steps are ok, none follows, and that there is advice."""
    expected = STEPS[: STEPS.index(step) + 1] + (["DELETE"] if with_delete else [])
    assert list(findings) == expected
    assert [one.level for one in findings.values()].count("error") == 1
    assert findings[step].level == "error"
    assert findings[step].detail
    assert findings[step].advice
    return findings[step]


@pytest.mark.parametrize("path", ["whip", "whep"])
def test_working_server_passes_every_step_and_keeps_no_session(server: bw.Server, path: str) -> None:
    findings = examine(f"{server.url}{path}")
    assert list(findings) == STEPS
    assert {one.level for one in findings.values()} == {"ok"}, findings
    assert findings["DTLS"].detail.startswith("SRTP_AEAD")
    wait_until(lambda: server.peers == ())


def test_unknown_host_name_stops_at_dns(server: bw.Server) -> None:
    assert "nothing.invalid" in assert_stops_at("DNS", examine("http://nothing.invalid/whip")).detail


def test_closed_port_stops_at_tcp() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/whip"
        assert "firewall" in assert_stops_at("TCP", examine(url)).advice


def test_untrusted_certificate_stops_at_tls(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    config = bw.ServerConfig(http_port=0, udp_port=0, tls_certificate=certificate, tls_key=key)
    with bw.Server(bw.Tone(), config) as server:
        server.start()
        assert "authority" in assert_stops_at("TLS", examine(f"{server.url}whip")).advice


def test_https_to_an_http_port_stops_at_tls(server: bw.Server) -> None:
    assert "HTTPS" in assert_stops_at("TLS", examine(f"{server.url}whip".replace("http:", "https:"))).advice


def test_missing_token_stops_at_post_and_right_token_passes() -> None:
    with bw.Server(bw.Tone(), bw.ServerConfig(http_port=0, udp_port=0, token=TOKEN)) as server:
        server.start()
        advice = assert_stops_at("POST", examine(f"{server.url}whep")).advice
        assert "--token" in advice
        assert "USER:PASSWORD@HOST" in advice, "as MediaMTX wants it"
        assert examine(f"{server.url}whep", TOKEN)["packets"].level == "ok"


def test_unknown_path_stops_at_post(server: bw.Server) -> None:
    assert "path" in assert_stops_at("POST", examine(f"{server.url}elsewhere", protocol="whip")).advice


def test_blocked_udp_stops_at_ice(server: bw.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall passes HTTP and drops UDP."""
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


def test_wrong_fingerprint_stops_at_dtls(server: bw.Server) -> None:
    def forge(answer: str) -> str:
        return re.sub(
            r"(a=fingerprint:sha-256 )(..)", lambda said: said[1] + ("01" if said[2] == "00" else "00"), answer
        )

    with meddler(server, forge) as url:
        assert "certificate" in assert_stops_at("DTLS", examine(url), with_delete=True).detail
    wait_until(lambda: server.peers == ())


def test_url_without_whip_or_whep_is_refused() -> None:
    with pytest.raises(bw.ConfigError, match="--protocol"):
        examine("http://127.0.0.1/stream")
