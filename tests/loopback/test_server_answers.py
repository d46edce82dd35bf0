"""What a server's answers say of the server: as little as is needed, and nothing that joins two sessions."""

from __future__ import annotations

import re
from typing import Any

import pytest

import bass_webrtc as bw
from bass_webrtc.peer.sockets import local_addresses
from support import http_asking
from support.conformance import covers

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


@covers("SD2", "SE8")
@pytest.mark.parametrize("signaling_mode", ["http", "callback"])
def test_two_sessions_have_nothing_in_common(signaling_mode: str) -> None:
    """Source, CNAME (RFC 7022), stream, key pair (RFC 8827, 6.5) and ICE credentials are of one session."""
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


def test_own_addresses_are_announced_beside_the_public_one() -> None:
    with serve(public_ips=(PUBLIC_IP,)) as server:
        (answer,) = answers(server, 1)
    own = {host for host in local_addresses() if not host.startswith("127.") and host != "::1"}
    assert announced(answer) == {PUBLIC_IP} | own


@covers("SE31")
def test_own_addresses_are_announced_to_nobody_where_that_is_not_wanted() -> None:
    """A visitor on this machine itself learns of loopback, which is no secret."""
    with serve(public_ips=(PUBLIC_IP,), announce_local_addresses=False) as server:
        (answer,) = answers(server, 1)
        assert announced(answer) == {PUBLIC_IP}
        assert announced(http_asking.post(server.url).body) <= {PUBLIC_IP, "127.0.0.1", "::1"}


def test_own_addresses_are_not_told_with_full_ice_either() -> None:
    with serve(public_ips=(PUBLIC_IP,), announce_local_addresses=False, signaling_mode="callback") as server:
        (answer,) = answers(server, 1)
    assert announced(answer) == {PUBLIC_IP}
    assert all(" typ srflx raddr 0.0.0.0 rport 9" in candidate for candidate in values(answer, "candidate"))


def test_a_public_address_of_an_interface_is_told_where_it_is_named() -> None:
    own = local_addresses()[0]
    with serve(public_ips=(own,), announce_local_addresses=False, signaling_mode="callback") as server:
        (answer,) = answers(server, 1)
    assert announced(answer) == {own}


def test_there_must_be_something_to_announce() -> None:
    with pytest.raises(bw.ConfigError, match=r"announce_local_addresses.*expected"):
        bw.ServerConfig(announce_local_addresses=False)
    bw.ServerConfig(announce_local_addresses=False, ice_servers=(bw.IceServer("stun:192.0.2.1"),))
