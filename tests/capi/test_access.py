"""A C program decides who may use its server, and where its clients may be sent: ``access.c``."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import bass_webrtc as bw
from support import c_library
from support.http_asking import ask, post

BINARY = c_library.TESTS / "access.c"
DEFAULT = "-"


@contextmanager
def server(hosts: str = DEFAULT, origins: str = DEFAULT, proxies: str = DEFAULT, peers: int = 0) -> Iterator[str]:
    """The URL of a C program's server for up to 4 peers."""
    command = [str(c_library.program(BINARY)), "server", hosts, origins, proxies, str(peers)]
    with c_library.running(command) as process:
        yield f"http://127.0.0.1:{int(c_library.read_line(process))}/"
        process.communicate("\n", timeout=30)  # The log of refusals goes to standard error.
        assert process.returncode == 0


def statuses(url: str, field: str, *values: str) -> list[int]:
    """The statuses of requests that have these values of a header field."""
    return [ask(url, "GET", "/healthz", headers={field: value}).status for value in values]


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (DEFAULT, [421, 421]),
        ("", [421, 421]),
        ("radio.example", [200, 421]),
        ("tv.example, radio.example", [200, 421]),
        ("*", [200, 200]),
    ],
)
def test_c_program_names_its_server(hosts: str, expected: list[int]) -> None:
    with server(hosts) as url:
        assert statuses(url, "Host", "radio.example", "evil.example") == expected


@pytest.mark.parametrize(
    ("origins", "expected"),
    [
        (DEFAULT, [403, 403]),
        ("", [403, 403]),
        ("https://tv.example, https://radio.example", [200, 403]),
        ("*", [200, 200]),
    ],
)
def test_c_program_allows_pages_of_other_origins(origins: str, expected: list[int]) -> None:
    with server(origins=origins) as url:
        assert statuses(url, "Origin", "https://radio.example", "https://evil.example") == expected


@pytest.mark.parametrize(
    ("proxies", "expected"),
    [(DEFAULT, [201, 201, 429]), ("", [201, 201, 429]), ("::1, 127.0.0.0/8", [201, 201, 201])],
)
def test_c_program_trusts_its_reverse_proxy(proxies: str, expected: list[int]) -> None:
    """Half of 4 peers may have one address; behind a trusted proxy each client has its own."""
    with server(proxies=proxies) as url:
        replies = [post(url, headers={"X-Forwarded-For": f"203.0.113.{last}"}) for last in (1, 2, 3)]
        assert [reply.status for reply in replies] == expected


@pytest.mark.parametrize(
    ("peers", "expected"), [(0, [201, 201, 429, 429]), (1, [201, 429, 429, 429]), (4, [201, 201, 201, 201])]
)
def test_c_program_limits_the_peers_of_an_address(peers: int, expected: list[int]) -> None:
    with server(peers=peers) as url:
        assert [post(url).status for _ in range(4)] == expected


@pytest.mark.parametrize(("level", "expected"), [("info", True), ("error", False), ("loud", False)])
def test_variable_decides_what_a_c_program_logs(level: str, expected: bool) -> None:
    """Without it, or with a value that is no level, only warnings and errors."""
    command = [str(c_library.program(BINARY)), "server", DEFAULT, DEFAULT, DEFAULT, "0"]
    with c_library.running(command, {"BASS_WEBRTC_LOG_LEVEL": level}) as process:
        url = f"http://127.0.0.1:{int(c_library.read_line(process))}/"
        assert post(url).status == 201
        _, errors = process.communicate("\n", timeout=30)
    assert ("peer 0: player arrived from 127.0.0.1" in errors) is expected, errors


class Redirect(BaseHTTPRequestHandler):
    """Redirects to a server at another address of this machine."""

    target = ""

    def do_POST(self) -> None:
        self.send_response(307)
        self.send_header("Location", self.target + self.path.lstrip("/"))
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


@contextmanager
def redirected() -> Iterator[str]:
    """The URL of a server at 127.0.0.1 that redirects to one at 127.0.0.2, where it must not lead by default."""
    with bw.Server(bw.Tone(440.0), bw.ServerConfig(http_host="127.0.0.2", http_port=0, udp_port=0)) as media:
        media.start()
        handler = type("ToMedia", (Redirect,), {"target": media.url})
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as front:
            thread = threading.Thread(target=front.serve_forever)
            thread.start()
            yield f"http://127.0.0.1:{front.server_port}/"
            front.shutdown()
            thread.join()


@pytest.mark.parametrize("kind", ["whip", "whep"])
def test_c_program_lets_a_server_send_its_client_to_private_addresses(kind: str) -> None:
    binary = c_library.program(BINARY)
    with redirected() as url:
        assert "private network" in c_library.run(binary, kind, url + kind, "0")
        assert c_library.run(binary, kind, url + kind, "1") == "connected\n"
