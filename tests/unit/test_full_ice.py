"""The full ICE agent on loopback, in virtual time: connecting, nomination, restart and closing.

See also test_full_ice_arrivals.py and test_full_ice_gathering.py.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence

import pytest
from ice_ends import A_PACKET, End, connect, end_and_peer, introduce, two_ends

from bass_webrtc.config import parse_ice_server
from bass_webrtc.errors import ClosedError, IceError, PeerLimitError
from bass_webrtc.peer.ice.full_ice import FullIce, IceSettings, SocketBudget
from bass_webrtc.peer.ice.gathering import Gatherer
from bass_webrtc.rtc.sdp import IceCredentials
from support import stun
from support.conformance import covers
from support.ice_peer import CONTROLLED, CONTROLLING, HOST, PRIORITY, USE_CANDIDATE, IcePeer
from support.ice_recorder import IceRecorder
from support.usage import own_descriptors
from support.virtual_time import in_virtual_time

# -- connecting


@in_virtual_time
async def test_connects_and_carries_data_both_ways() -> None:
    async with two_ends() as (a, b):
        pairs = await asyncio.gather(a.ice.connect(), b.ice.connect())
        assert pairs[0].remote == pairs[1].local == (HOST, b.port)
        assert not pairs[0].is_relay
        assert a.ice.send(A_PACKET)
        assert b.ice.send(A_PACKET)
        await asyncio.sleep(0.01)
        assert a.data == b.data == [A_PACKET]
        assert (a.pairs, b.pairs) == ([pairs[0]], [pairs[1]])


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@in_virtual_time
async def test_connects_over_ipv6() -> None:
    a, b = (End(controlling, hosts=["::1", HOST]) for controlling in (True, False))
    await a.ice.gather()
    await b.ice.gather()
    introduce(a, b)
    pairs = await asyncio.gather(a.ice.connect(), b.ice.connect())
    assert {pair.remote[0] for pair in pairs} == {"::1"}
    a.ice.send(A_PACKET)
    await asyncio.sleep(0.01)
    assert b.data == [A_PACKET]
    await a.ice.close()
    await b.ice.close()


@covers("SE26")
@in_virtual_time
async def test_credentials_have_required_length() -> None:
    end = End()
    assert (len(end.ice.credentials.ufrag), len(end.ice.credentials.password)) == (8, 24)


@covers("SE28")
@pytest.mark.parametrize("controlling", [(True, True), (False, False)])
@in_virtual_time
async def test_role_conflict_is_resolved(controlling: tuple[bool, bool]) -> None:
    async with two_ends(controlling=controlling) as (a, b):
        await asyncio.gather(a.ice.connect(), b.ice.connect())
        assert a.ice.controlling != b.ice.controlling


@covers("SE28")
@in_virtual_time
async def test_endless_role_conflicts_do_not_loop() -> None:
    async with end_and_peer(controlling=True) as (end, peer):
        peer.error = 487
        connecting = asyncio.create_task(end.ice.connect())
        await asyncio.sleep(10)
        assert len(peer.requests) == 2
        connecting.cancel()


@covers("WS11")
@in_virtual_time
async def test_lite_peer_makes_agent_controlling() -> None:
    end = End(controlling=False)
    await end.ice.gather()
    peer = await IcePeer.open(end.ice.credentials)
    end.ice.set_remote(peer.credentials, [peer.candidate], ice_lite=True)
    await end.ice.connect()
    assert end.ice.controlling
    assert [USE_CANDIDATE in request.attributes for request in peer.requests] == [False, True]
    await end.ice.close()
    peer.transport.close()


@in_virtual_time
async def test_duplicate_of_descriptor_sends_to_peer_and_outlives_agent() -> None:
    """As the sending thread uses it."""
    async with two_ends() as (a, b):
        pair, _ = await asyncio.gather(a.ice.connect(), b.ice.connect())
        assert pair.descriptor is not None
        with socket.socket(fileno=socket.dup(pair.descriptor)) as own:
            own.sendto(A_PACKET, pair.remote)
            await asyncio.sleep(0.01)
            await a.ice.close()
            own.sendto(A_PACKET, pair.remote)
            await asyncio.sleep(0.01)
        assert b.data == [A_PACKET, A_PACKET]


@in_virtual_time
async def test_early_data_is_kept_until_nomination() -> None:
    """The peer's first ClientHello may arrive before the nomination."""
    async with end_and_peer() as (end, peer):
        connecting = asyncio.create_task(end.ice.connect())
        await asyncio.sleep(0.1)
        peer.check(end.port, PRIORITY, CONTROLLING)
        for number in range(20):
            peer.send(bytes([22, number]), end.port)
        await asyncio.sleep(0.1)
        assert end.data == []
        peer.nominate(end.port)
        await connecting
        assert end.data == [bytes([22, number]) for number in range(4, 20)]


# -- the PAC timer


@covers("CL14")
@in_virtual_time
async def test_connect_without_candidates_fails_after_pac_timer() -> None:
    async with end_and_peer(signal_candidate=False) as (end, _):
        started_s = asyncio.get_running_loop().time()
        with pytest.raises(IceError, match="no usable candidate"):
            await end.ice.connect()
        assert asyncio.get_running_loop().time() - started_s == pytest.approx(39.5, abs=0.1)


@covers("CL14")
@in_virtual_time
async def test_late_check_of_peer_without_candidates_connects() -> None:
    """OBS and FFmpeg send no usable candidates (RFC 8863)."""
    async with end_and_peer(signal_candidate=False) as (end, peer):
        connecting = asyncio.create_task(end.ice.connect())
        await asyncio.sleep(39)
        peer.nominate(end.port)
        assert (await connecting).remote == (HOST, peer.port)
        assert end.pairs[0].remote_type == "prflx"


@in_virtual_time
@pytest.mark.parametrize("signal_candidate", [True, False])
async def test_longer_connect_timeout_lets_peer_start_minutes_later(signal_candidate: bool) -> None:
    """People carry the answer by hand. All checks have failed by then, and the peer's checks restart them."""
    async with end_and_peer(signal_candidate=signal_candidate, connect_timeout_s=120.0) as (end, peer):
        peer.answers = False
        connecting = asyncio.create_task(end.ice.connect())
        await asyncio.sleep(100)
        peer.answers = True
        peer.nominate(end.port)
        assert (await connecting).remote == (HOST, peer.port)


@in_virtual_time
async def test_longer_connect_timeout_expires() -> None:
    async with end_and_peer(signal_candidate=False, connect_timeout_s=120.0) as (end, _):
        started_s = asyncio.get_running_loop().time()
        with pytest.raises(IceError, match=r"within 120\.0 s"):
            await end.ice.connect()
        assert asyncio.get_running_loop().time() - started_s == pytest.approx(120.0, abs=0.1)


@in_virtual_time
async def test_late_candidate_restarts_connect_timeout() -> None:
    async with end_and_peer(controlling=True, signal_candidate=False) as (end, peer):
        connecting = asyncio.create_task(end.ice.connect())
        await asyncio.sleep(39)
        peer.answers = False
        end.ice.add_remote_candidate(peer.candidate)
        await asyncio.sleep(30)
        peer.answers = True
        assert (await connecting).remote == (HOST, peer.port)


@in_virtual_time
async def test_failure_of_all_pairs_is_reported() -> None:
    async with end_and_peer(controlling=True) as (end, peer):
        peer.answers = False
        with pytest.raises(IceError, match="none of 1 candidate pairs works"):
            await end.ice.connect()


# -- nomination


@in_virtual_time
async def test_best_of_pairs_nominated_together_is_selected() -> None:
    """aioice, for example, nominates every pair that it checks."""
    async with end_and_peer() as (end, best):
        worse = await IcePeer.open(end.ice.credentials, best.credentials)
        connecting = asyncio.create_task(end.ice.connect())
        await asyncio.sleep(0.1)
        best.nominate(end.port)
        worse.check(end.port, (stun.PRIORITY, bytes(4)), CONTROLLING, USE_CANDIDATE)
        await connecting
        await asyncio.sleep(0.5)
        assert [pair.remote[1] for pair in end.pairs] == [best.port]
        worse.transport.close()


@in_virtual_time
async def test_later_nomination_of_another_pair_is_followed() -> None:
    async with end_and_peer() as (end, first):
        await connect(end, first)
        second = await IcePeer.open(end.ice.credentials, first.credentials)
        await asyncio.sleep(3)
        second.check(end.port, (stun.PRIORITY, bytes(4)), CONTROLLING, USE_CANDIDATE)
        await asyncio.sleep(0.1)
        assert [pair.remote[1] for pair in end.pairs] == [first.port, second.port]
        end.ice.send(A_PACKET)
        await asyncio.sleep(0.1)
        assert (first.data, second.data) == ([], [A_PACKET])
        second.transport.close()


@in_virtual_time
async def test_incoming_check_triggers_own_check_immediately() -> None:
    """A NAT dropped it until the peer sent something (RFC 8445, 7.3.1.4)."""
    async with end_and_peer(controlling=True) as (end, peer):
        peer.answers = False
        connecting = asyncio.create_task(end.ice.connect())
        await asyncio.sleep(1.6)
        seen = len(peer.requests)
        peer.answers = True
        peer.check(end.port, PRIORITY, CONTROLLED)
        await asyncio.sleep(0.01)
        assert len(peer.requests) > seen
        await connecting


# -- restart


@covers("WS28")
@in_virtual_time
async def test_restart_takes_over_when_its_pair_is_selected() -> None:
    async with two_ends() as (a, b):
        old, _ = await asyncio.gather(a.ice.connect(), b.ice.connect())
        credentials = a.ice.credentials
        await a.ice.restart()
        await b.ice.restart()
        assert credentials.ufrag != a.ice.credentials.ufrag
        assert credentials.password != a.ice.credentials.password
        assert a.ice.selected == old
        a.ice.send(b"\x80 by the old pair")
        introduce(a, b)
        new, _ = await asyncio.gather(a.ice.connect(), b.ice.connect())
        a.ice.send(b"\x80 by the new pair")
        await asyncio.sleep(0.1)
        assert b.data == [b"\x80 by the old pair", b"\x80 by the new pair"]
        assert a.pairs == [old, new]
        assert old.local != new.local
        files = own_descriptors()
        await asyncio.sleep(2)
        assert own_descriptors() == files - 2


@covers("WS28")
@in_virtual_time
async def test_data_on_old_pair_is_received_after_restart() -> None:
    async with two_ends() as (a, b):
        await asyncio.gather(a.ice.connect(), b.ice.connect())
        old = b.pairs[0]
        assert old.descriptor is not None
        own = socket.socket(fileno=socket.dup(old.descriptor))
        await a.ice.restart()
        await b.ice.restart()
        introduce(a, b)
        await asyncio.gather(a.ice.connect(), b.ice.connect())
        own.sendto(A_PACKET, old.remote)
        own.close()
        await asyncio.sleep(0.1)
        assert a.data == [A_PACKET]


@covers("WS28")
@in_virtual_time
async def test_failed_restart_keeps_old_pair() -> None:
    async with two_ends() as (a, b):
        old, _ = await asyncio.gather(a.ice.connect(), b.ice.connect())
        await a.ice.restart()
        a.ice.set_remote(IceCredentials("unknown", "the-password-of-no-peer"), ice_lite=False)
        with pytest.raises(IceError):
            await a.ice.connect()
        assert a.ice.selected == old
        assert a.ice.send(A_PACKET)
        await asyncio.sleep(0.1)
        assert b.data == [A_PACKET]


@in_virtual_time
async def test_restart_recovers_lost_session() -> None:
    async with end_and_peer() as (end, peer):
        await connect(end, peer)
        peer.answers = False
        await asyncio.sleep(40)
        assert end.ice.selected is None
        await end.ice.restart()
        again = await IcePeer.open(end.ice.credentials, IceCredentials("again", "another-password-of-24-ch"))
        end.ice.set_remote(again.credentials, [again.candidate], ice_lite=False)
        await connect(end, again)
        assert end.ice.send(A_PACKET)
        await asyncio.sleep(0.1)
        assert again.data == [A_PACKET]
        again.transport.close()


# -- a limited number of sockets


@in_virtual_time
async def test_agent_that_needs_more_sockets_than_are_left_is_refused() -> None:
    """Each needs one for its address and one for the bridge."""
    budget = SocketBudget(5)
    settings = IceSettings(hosts=(HOST,))
    first, second, third = (FullIce(settings, IceRecorder(), budget, controlling=True) for _ in range(3))
    await first.gather()
    await second.gather()
    with pytest.raises(PeerLimitError, match=r"needs 2 sockets.* 4 of the 5"):
        await third.gather()
    await third.close()
    await second.close()
    await second.close()
    again = FullIce(settings, IceRecorder(), budget, controlling=True)
    assert await again.gather()
    await first.close()
    await again.close()


@covers("WS28")
@in_virtual_time
async def test_restart_without_sockets_is_refused_and_keeps_the_pair() -> None:
    async with two_ends(budget=SocketBudget(2)) as (a, b):
        old, _ = await asyncio.gather(a.ice.connect(), b.ice.connect())
        credentials = a.ice.credentials
        with pytest.raises(PeerLimitError):
            await a.ice.restart()
        assert (a.ice.selected, a.ice.credentials) == (old, credentials)
        a.ice.send(A_PACKET)
        await asyncio.sleep(0.1)
        assert b.data == [A_PACKET]


@covers("WS28")
@pytest.mark.parametrize("is_cancelled", [False, True])
@in_virtual_time
async def test_interrupted_restart_keeps_the_pair_and_returns_its_sockets(
    is_cancelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupt(_gatherer: Gatherer, _hosts: Sequence[str]) -> None:
        raise asyncio.CancelledError if is_cancelled else OSError(errno.EMFILE, "too many open files")

    budget = SocketBudget(4)
    async with two_ends(budget=budget) as (a, b):
        old, _ = await asyncio.gather(a.ice.connect(), b.ice.connect())
        credentials, candidates = a.ice.credentials, a.ice.candidates
        with monkeypatch.context() as patch:
            patch.setattr(Gatherer, "open_hosts", interrupt)
            with pytest.raises(asyncio.CancelledError if is_cancelled else OSError):
                await a.ice.restart()
        assert (a.ice.selected, a.ice.credentials, a.ice.candidates) == (old, credentials, candidates)
        await asyncio.sleep(0.1)
        budget.take(2)


@in_virtual_time
async def test_interrupted_restart_leaves_a_later_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(_gatherer: Gatherer, _hosts: Sequence[str]) -> None:
        await asyncio.Event().wait()

    async with two_ends() as (a, _):
        with monkeypatch.context() as patch:
            patch.setattr(Gatherer, "open_hosts", wait)
            interrupted = asyncio.create_task(a.ice.restart())
            await asyncio.sleep(0)
        candidates = await a.ice.restart()
        interrupted.cancel()
        await asyncio.wait([interrupted])
        assert a.ice.candidates == candidates


@in_virtual_time
async def test_sockets_of_a_former_session_can_be_used_again() -> None:
    async with two_ends(budget=SocketBudget(4)) as (a, b):
        await asyncio.gather(a.ice.connect(), b.ice.connect())
        for _ in range(3):
            await a.ice.restart()
            await b.ice.restart()
            introduce(a, b)
            await asyncio.gather(a.ice.connect(), b.ice.connect())
            await asyncio.sleep(2.1)


@in_virtual_time
async def test_each_turn_server_needs_a_socket() -> None:
    servers = tuple(parse_ice_server(f"{scheme}:127.0.0.1:9", "me", "secret") for scheme in ("turn", "turns"))
    settings = IceSettings(hosts=(HOST,), servers=(*servers, parse_ice_server("stun:127.0.0.1:9")))
    end = FullIce(settings, IceRecorder(), SocketBudget(3), controlling=True)
    with pytest.raises(PeerLimitError, match="needs 4 sockets"):
        await end.gather()
    await end.close()


# -- closing


@in_virtual_time
async def test_close_releases_everything_and_ends_connect() -> None:
    files = own_descriptors()
    async with end_and_peer() as (end, _):
        connecting = asyncio.create_task(end.ice.connect())
        await asyncio.sleep(0.1)
        await end.ice.restart()
        await end.ice.close()
        await end.ice.close()
        with pytest.raises(ClosedError):
            await connecting
        with pytest.raises(ClosedError):
            await end.ice.restart()
        assert not end.ice.send(A_PACKET)
    await asyncio.sleep(0.1)
    assert own_descriptors() == files
    assert len(asyncio.all_tasks()) == 1


@in_virtual_time
async def test_nothing_is_opened_after_close() -> None:
    budget = SocketBudget(2)
    end = End(budget=budget)
    await end.ice.gather()
    await end.ice.close()
    for late in (end.ice.gather(), end.ice.add_servers([parse_ice_server("turn:127.0.0.1:9", "me", "secret")])):
        with pytest.raises(ClosedError):
            await late
    budget.take(2)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("steps", range(4))
@in_virtual_time
async def test_cancelled_close_releases_everything(steps: int) -> None:
    files = own_descriptors()
    budget = SocketBudget(4)
    async with two_ends(budget=budget) as (a, b):
        await asyncio.gather(a.ice.connect(), b.ice.connect())
        await a.ice.restart()
        closing = asyncio.create_task(a.ice.close())
        for _ in range(1 + steps):
            await asyncio.sleep(0)
        closing.cancel()
        await asyncio.sleep(0.1)
        budget.take(4)
        budget.give_back(4)
        await b.ice.close()
        await asyncio.sleep(0.1)
        assert own_descriptors() == files


@in_virtual_time
async def test_failed_close_releases_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_gatherer: Gatherer) -> None:
        raise RuntimeError("a bug")

    files = own_descriptors()
    budget = SocketBudget(2)
    end = End(budget=budget)
    await end.ice.gather()
    monkeypatch.setattr(Gatherer, "close", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        await end.ice.close()
    budget.take(2)
    await asyncio.sleep(0.1)
    assert own_descriptors() == files
