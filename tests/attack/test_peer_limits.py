"""One client tries to take all places of a server, with offers alone or connected, over IPv4 and IPv6."""

from __future__ import annotations

import time

import pytest

from support.attacks import HonestPeer, Measured
from support.farm import PlayerFarm
from support.http_asking import post
from support.server_process import ServerProcess

ATTACKER, THIRD = "127.0.0.2", "127.0.0.3"


def test_one_client_with_ipv4_and_ipv6_leaves_a_place(measured: Measured) -> None:
    with ServerProcess(http_host="::", max_peers_per_address=None) as server:
        ipv4_url = server.url.replace("[::1]", "127.0.0.1")
        ipv4 = [post(ipv4_url).status for _ in range(5)]
        ipv6 = [post(server.url).status for _ in range(5)]
        measured("offers over IPv4 and IPv6", "4 of 5 places", f"{(ipv4 + ipv6).count(201)} of 5")
        assert ipv4 == [201, 201, 201, 429, 429]
        assert ipv6 == [201, 429, 429, 429, 429]
        assert post(ipv4_url, source=THIRD).status == 201
        assert server.stats()["peers_refused"] == 6


def test_one_client_with_two_ipv4_addresses_leaves_a_place() -> None:
    with ServerProcess(max_peers_per_address=None) as server:
        statuses = [post(server.url, source=f"127.0.0.{2 + number % 2}").status for number in range(10)]
        assert statuses.count(201) == 4
        with HonestPeer(server.url, "127.0.0.9") as honest:
            honest.begin()
            time.sleep(0.5)
            assert honest.end().packets > 0


def test_connected_peers_of_one_address_leave_places(measured: Measured) -> None:
    with ServerProcess(max_peers_per_address=None) as server, PlayerFarm() as farm:
        farm.connect(server.whep_url, 3)
        refused = post(server.url)
        connected = server.stats()["active_peers"]
        measured("connected peers of one address", "3 of 5 places", f"{connected} of 5")
        assert connected == 3
        assert refused.status == 429
        assert "max_peers_per_address" in refused.body
        with HonestPeer(server.url, THIRD) as honest:
            honest.begin()
            time.sleep(0.5)
            assert honest.end().packets > 0


@pytest.mark.parametrize("limit", [1, 4, 5])
def test_limit_per_address_is_a_setting(limit: int) -> None:
    with ServerProcess(max_peers_per_address=limit) as server:
        assert [post(server.url, source=ATTACKER).status for _ in range(6)].count(201) == limit
