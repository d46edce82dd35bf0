"""What a server's answers say of the server: as little as is needed, and nothing that joins two sessions."""

from __future__ import annotations

import re
from typing import Any

import pytest

import bass_webrtc as bw
from support import http_asking

PUBLIC_IP = "203.0.113.7"
STRANGER = {"X-Forwarded-For": "198.51.100.9"}


def serve(**config: Any) -> bw.Server:
    proxies = () if config.get("signaling_mode") == "callback" else ("127.0.0.1",)
    return bw.Server(bw.Tone(), bw.ServerConfig(http_port=0, udp_port=0, trusted_proxies=proxies, **config))


def values(answer: str, name: str) -> list[str]:
    """Of an attribute, in order."""
    return re.findall(rf"^a={name}:(.*)\r$", answer, re.MULTILINE)


def announced(answer: str) -> set[str]:
    """Addresses of the candidates."""
    return {candidate.split()[4] for candidate in values(answer, "candidate")}


def answers(server: bw.Server, count: int = 2) -> list[str]:
    """By HTTP, or where there is none by the program."""
    server.start()
    if server.url:
        return [http_asking.post(server.url, headers=STRANGER).body for _ in range(count)]
    return [server.add_peer(http_asking.offer())[1] for _ in range(count)]


@pytest.mark.parametrize("signaling_mode", ["http", "callback"])
def test_two_sessions_have_nothing_in_common(signaling_mode: str) -> None:
    """SD2, SE8: source, CNAME (RFC 7022), stream, key pair (RFC 8827, 6.5) and ICE credentials are of one session."""
    with serve(signaling_mode=signaling_mode) as server:
        one, other = answers(server)
    for answer in (one, other):
        ssrcs = [value.split()[0] for value in values(answer, "ssrc")]
        assert len(set(ssrcs)) == 1
        assert len(values(answer, "msid")) == 1
        assert values(answer, "crypto") == []
    for name in ("ssrc", "msid", "fingerprint", "ice-ufrag", "ice-pwd"):
        assert values(one, name), name
        assert not set(values(one, name)) & set(values(other, name)), name
    cnames = [re.findall(r"cname:(\S+)", answer) for answer in (one, other)]
    assert [len(found) for found in cnames] == [1, 1]
    assert cnames[0] != cnames[1]
