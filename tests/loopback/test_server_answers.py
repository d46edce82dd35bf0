"""SDP answers reveal as little as possible about the server, and nothing that links two sessions."""

from __future__ import annotations

import re
from typing import Any

import pytest

import bass_webrtc as bw
from bass_webrtc.peer.ice.addresses import local_addresses
from support import http_asking
from support.conformance import covers

PUBLIC_IP = "203.0.113.7"
REMOTE_CLIENT = {"X-Forwarded-For": "198.51.100.9"}


def serve(**config: Any) -> bw.Server:
    proxies = () if config.get("signaling_mode") == "callback" else ("127.0.0.1",)
    return bw.Server(bw.Tone(), bw.ServerConfig(http_port=0, udp_port=0, trusted_proxies=proxies, **config))


def values(answer: str, name: str) -> list[str]:
    """Values of an SDP attribute, in order."""
    return re.findall(rf"^a={name}:(.*)\r$", answer, re.MULTILINE)


def announced(answer: str) -> set[str]:
    """Addresses of the candidates in an answer."""
    return {candidate.split()[4] for candidate in values(answer, "candidate")}


def answers(server: bw.Server, count: int = 2) -> list[str]:
    """Request answers over HTTP, or through ``add_peer`` if the server has no HTTP."""
    server.start()
    if server.url:
        return [http_asking.post(server.url, headers=REMOTE_CLIENT).body for _ in range(count)]
    return [server.add_peer(http_asking.offer())[1] for _ in range(count)]


@covers("SD2", "SE8")
@pytest.mark.parametrize("signaling_mode", ["http", "callback"])
def test_sessions_share_no_identifiers(signaling_mode: str) -> None:
    """SSRC, CNAME (RFC 7022), stream, key pair (RFC 8827, 6.5) and ICE credentials are unique to a session."""
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


def test_local_addresses_are_announced_with_the_public_one() -> None:
    with serve(public_ips=(PUBLIC_IP,)) as server:
        (answer,) = answers(server, 1)
    own = {host for host in local_addresses() if not host.startswith("127.") and host != "::1"}
    assert announced(answer) == {PUBLIC_IP} | own


@covers("SE31")
def test_local_addresses_can_be_withheld() -> None:
    """A client on the same machine still gets the loopback address."""
    with serve(public_ips=(PUBLIC_IP,), announce_local_addresses=False) as server:
        (answer,) = answers(server, 1)
        assert announced(answer) == {PUBLIC_IP}
        assert announced(http_asking.post(server.url).body) <= {PUBLIC_IP, "127.0.0.1", "::1"}


def test_local_addresses_can_be_withheld_with_full_ice() -> None:
    with serve(public_ips=(PUBLIC_IP,), announce_local_addresses=False, signaling_mode="callback") as server:
        (answer,) = answers(server, 1)
    assert announced(answer) == {PUBLIC_IP}
    assert all(" typ srflx raddr 0.0.0.0 rport 9" in candidate for candidate in values(answer, "candidate"))


def test_public_ip_of_a_local_interface_is_announced() -> None:
    own = local_addresses()[0]
    with serve(public_ips=(own,), announce_local_addresses=False, signaling_mode="callback") as server:
        (answer,) = answers(server, 1)
    assert announced(answer) == {own}


def test_configuration_without_any_address_is_rejected() -> None:
    with pytest.raises(bw.ConfigError, match=r"announce_local_addresses.*expected"):
        bw.ServerConfig(announce_local_addresses=False)
    bw.ServerConfig(announce_local_addresses=False, ice_servers=(bw.IceServer("stun:192.0.2.1"),))
