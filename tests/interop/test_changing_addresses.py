"""Addresses that appear, change and vanish while a server and its clients run, in network namespaces."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import bass_webrtc as bw
from support import http_asking, netns
from support.client_peers import connect
from support.fixtures import skip_for
from support.netns import Host, Network
from support.patience import wait_until
from support.publisher_recorder import Recorder, assert_tones_soon
from support.reruns import real_time_audio

pytestmark = real_time_audio

NAME = "radio.example"
ICE_KINDS = pytest.mark.parametrize(
    "ice_servers", [(), (bw.IceServer("stun:127.0.0.1:9"),)], ids=["ICE-lite", "full ICE"]
)
BRIDGES = range(20, 60)


@pytest.fixture
def network() -> Iterator[Network]:
    skip_for(netns.missing())
    with Network() as network:
        yield network


def serve(host: Host, **config: Any) -> bw.Server:
    """A server that listens on every address that the host has or gets."""
    server = bw.Server(bw.Tone(440.0, 880.0), bw.ServerConfig(http_host="::", http_port=0, udp_port=0, **config))
    with host.entered():
        server.start()
    return server


def port_of(server: bw.Server) -> str:
    return server.url.rstrip("/").rpartition(":")[2]


@ICE_KINDS
def test_server_that_starts_before_its_network_is_heard_at_every_address(
    ice_servers: tuple[bw.IceServer, ...], network: Network
) -> None:
    """Addresses that appear after the start, link-local ones among them; zones in both spellings."""
    at_server, at_client = network.host("server"), network.host("client")
    with serve(at_server, ice_servers=ice_servers) as server:
        network.link(at_server, "169.254.7.1/16", at_client, "169.254.7.2/16")
        for number, end in enumerate((at_server, at_client), 1):
            end.ip("address", "add", f"fe80::7:{number}/64", "dev", "wire0", "nodad")
        hear(server, at_client, "169.254.7.1", "169.254.7.1")
        for url_host in ("[fe80::7:1%wire0]", "[fe80::7:1%25wire0]"):
            hear(server, at_client, url_host, "[fe80::7:1")
        network.link(at_server, "10.77.0.1/24", at_client, "10.77.0.2/24")
        hear(server, at_client, "10.77.0.1", "10.77.0.1")


def hear(server: bw.Server, at_client: Host, host: str, expected: str) -> None:
    """Play and publish at an address, over which the media go, too."""
    url = f"http://{host}:{port_of(server)}/"
    with bw.WhepClient(f"{url}whep") as pull, bw.WhipClient(bw.Tone(600.0), f"{url}whip") as push:
        with at_client.entered():
            connect(pull)
            connect(push)
        wait_until(lambda: pull.stats().packets_received > 20)
        for client in (pull, push):
            assert client.stats().remote_address.startswith(expected), (host, client.stats())
        wait_until(lambda: all(peer.stats().packets_received > 20 for peer in server.peers if peer.kind == "publisher"))
    wait_until(lambda: not server.peers)


@ICE_KINDS
def test_sessions_follow_the_addresses_of_both_sides(
    ice_servers: tuple[bw.IceServer, ...], network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's address changes, then the client's: the same sessions continue, after some seconds at most."""
    at_server, at_client = network.host("server"), network.host("client")
    network.link(at_server, "10.77.0.1/24", at_client, "10.77.0.2/24")
    current = {NAME: "10.77.0.1"}
    look_up = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *more, **rest: look_up(current.get(host, host), *more, **rest)
    )
    with serve(at_server, ice_servers=ice_servers, allowed_hosts=(NAME,)) as server:
        url = f"http://{NAME}:{port_of(server)}/"
        with bw.WhepClient(f"{url}whep") as pull, bw.WhipClient(bw.Tone(600.0), f"{url}whip") as push:
            with at_client.entered():
                connect(pull)
                connect(push)
            peers = sorted(server.peers, key=lambda peer: peer.id)
            wait_until(lambda: pull.stats().packets_received > 20)

            replace(at_server, "10.77.0.1/24", "10.77.0.9/24")
            current[NAME] = "10.77.0.9"
            wait_until(lambda: all(one.stats().remote_address.startswith("10.77.0.9:") for one in (pull, push)), 8.0)

            replace(at_client, "10.77.0.2/24", "10.77.0.8/24")
            wait_until(lambda: all(one.stats().local_address.startswith("10.77.0.8:") for one in (pull, push)), 5.0)

            with Recorder(pull.read) as heard, Recorder(server.read_input) as at_home:
                assert_tones_soon(heard, 440.0, 880.0)
                assert_tones_soon(at_home, 600.0, 600.0)
            assert sorted(server.peers, key=lambda peer: peer.id) == peers


def replace(host: Host, before: str, after: str) -> None:
    """Give a host another address, as DHCP does."""
    host.ip("address", "delete", before, "dev", "wire0")
    host.ip("address", "add", after, "dev", "wire0")


def test_candidates_are_few_and_reachable_however_many_interfaces_there_are(network: Network) -> None:
    """40 bridges of containers, some interfaces that are down, and an IPv6 address that is running out."""
    at_server, at_client = network.host("server"), network.host("client")
    network.link(at_server, "10.77.0.1/24", at_client, "10.77.0.2/24")
    at_server.ip("address", "add", "2001:db8::1/64", "dev", "wire0", "nodad", "preferred_lft", "0")
    with serve(at_server) as server:
        first = announced(server, at_client, "10.77.0.1")
        assert first == ["10.77.0.1"]
        add = "link add b{0} type veth peer name c{0}\naddress add 172.{0}.0.1/16 dev b{0}"
        up = "link set b{0} up\nlink set c{0} up"
        batch(at_server, *(add.format(number) for number in BRIDGES), *(up.format(number) for number in BRIDGES[1:]))
        at_client.ip("route", "add", "default", "via", "10.77.0.1")
        at_server.ip("route", "add", "default", "via", "10.77.0.2")
        last = f"172.{BRIDGES[-1]}.0.1"
        wait_until(lambda: len(announced(server, at_client, last)) > 10)
        hosts = announced(server, at_client, last)
        assert hosts[:2] == [last, "10.77.0.1"]
        assert 10 < len(hosts) <= 17
        assert f"172.{BRIDGES[0]}.0.1" not in hosts, "its interface is down"
        assert open_sockets(at_server) > 15

        batch(at_server, *(f"link delete b{number}" for number in BRIDGES))
        wait_until(lambda: announced(server, at_client, "10.77.0.1") == first)
        wait_until(lambda: open_sockets(at_server) < 6)


def batch(host: Host, *commands: str) -> None:
    """Run commands of iproute2's ``ip`` on a host."""
    host.run(["ip", "-batch", "-"], input="\n".join(commands), encoding="utf-8", check=True)


def announced(server: bw.Server, at_client: Host, host: str) -> list[str]:
    """Return the addresses in an answer, in order."""
    with at_client.entered():
        reply = http_asking.post(f"http://{host}:{port_of(server)}/")
    for peer in server.peers:
        server.remove_peer(peer.id)
    return re.findall(r"^a=candidate:\S+ 1 udp \d+ (\S+)", reply.body, re.MULTILINE)


def open_sockets(host: Host) -> int:
    """Return the number of UDP sockets on a host."""
    found = host.run(
        ["cat", "/proc/net/udp", "/proc/net/udp6"], capture_output=True, encoding="utf-8", check=True
    ).stdout
    return sum(line.lstrip()[:1].isdigit() for line in found.splitlines())
