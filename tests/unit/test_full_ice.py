"""The full ICE agent on loopback, in virtual time: it connects, nominates, restarts and closes.

Beside it: test_full_ice_arrivals.py and test_full_ice_gathering.py.
"""

from __future__ import annotations

import asyncio
import os
import socket

import pytest
from ice_ends import A_PACKET, End, connect, end_and_peer, introduce, open_files, two_ends

from bass_webrtc.errors import ClosedError, IceError
from bass_webrtc.rtc.sdp import IceCredentials
from support import stun
from support.ice_peer import CONTROLLED, CONTROLLING, HOST, PRIORITY, USE_CANDIDATE, IcePeer
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


@in_virtual_time
async def test_credentials_are_long_enough_SE26() -> None:
    end = End()
    assert (len(end.ice.credentials.ufrag), len(end.ice.credentials.password)) == (8, 24)


@pytest.mark.parametrize("controlling", [(True, True), (False, False)])
@in_virtual_time
async def test_a_role_conflict_is_repaired_SE28(controlling: tuple[bool, bool]) -> None:
    async with two_ends(controlling=controlling) as (a, b):
        await asyncio.gather(a.ice.connect(), b.ice.connect())
        assert a.ice.controlling != b.ice.controlling


@in_virtual_time
async def test_a_peer_that_answers_every_role_with_a_conflict_does_not_keep_us_busy_SE28() -> None:
    async with end_and_peer(controlling=True) as (end, peer):
        peer.error = 487
        connecting = asyncio.create_task(end.ice.connect())
        await asyncio.sleep(10)
        assert len(peer.requests) == 2
        connecting.cancel()


@in_virtual_time
async def test_a_lite_peer_makes_us_controlling_WS11() -> None:
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
async def test_the_descriptor_sends_to_the_peer_past_this_object() -> None:
    """The sender thread gets a dup of it, which stays good when the agent has closed its own."""
    async with two_ends() as (a, b):
        pair, _ = await asyncio.gather(a.ice.connect(), b.ice.connect())
        assert pair.descriptor is not None
        with socket.socket(fileno=os.dup(pair.descriptor)) as own:
            own.sendto(A_PACKET, pair.remote)
            await asyncio.sleep(0.01)
            await a.ice.close()
            own.sendto(A_PACKET, pair.remote)
            await asyncio.sleep(0.01)
        assert b.data == [A_PACKET, A_PACKET]


@in_virtual_time
async def test_data_that_comes_before_the_nomination_is_kept_a_little() -> None:
    """The peer's first ClientHello may overtake our own nomination."""
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


@in_virtual_time
async def test_no_candidates_fail_after_the_pac_timer_and_not_before_CL14() -> None:
    async with end_and_peer(tell=False) as (end, _):
        started_s = asyncio.get_running_loop().time()
        with pytest.raises(IceError, match="no address"):
            await end.ice.connect()
        assert asyncio.get_running_loop().time() - started_s == pytest.approx(39.5, abs=0.1)


@in_virtual_time
async def test_a_peer_without_candidates_is_learnt_from_its_check_late() -> None:
    """OBS and FFmpeg tell none that we could use (RFC 8863)."""
    async with end_and_peer(tell=False) as (end, peer):
        connecting = asyncio.create_task(end.ice.connect())
        await asyncio.sleep(39)
        peer.nominate(end.port)
        assert (await connecting).remote == (HOST, peer.port)
        assert end.pairs[0].remote_type == "prflx"


@in_virtual_time
@pytest.mark.parametrize("tell", [True, False])
async def test_with_patience_a_peer_may_take_minutes_to_hear_of_us(tell: bool) -> None:
    """Somebody carries our answer by hand. All our own checks have failed by then, and theirs begin them anew."""
    async with end_and_peer(tell=tell, patience_s=120.0) as (end, peer):
        peer.answers = False
        connecting = asyncio.create_task(end.ice.connect())
        await asyncio.sleep(100)
        peer.answers = True
        peer.nominate(end.port)
        assert (await connecting).remote == (HOST, peer.port)


@in_virtual_time
async def test_patience_ends() -> None:
    async with end_and_peer(tell=False, patience_s=120.0) as (end, _):
        started_s = asyncio.get_running_loop().time()
        with pytest.raises(IceError, match=r"within 120\.0 s"):
            await end.ice.connect()
        assert asyncio.get_running_loop().time() - started_s == pytest.approx(120.0, abs=0.1)


@in_virtual_time
async def test_a_candidate_that_comes_late_gets_the_whole_time() -> None:
    async with end_and_peer(controlling=True, tell=False) as (end, peer):
        connecting = asyncio.create_task(end.ice.connect())
        await asyncio.sleep(39)
        peer.answers = False
        end.ice.add_remote_candidate(peer.candidate)
        await asyncio.sleep(30)
        peer.answers = True
        assert (await connecting).remote == (HOST, peer.port)


@in_virtual_time
async def test_pairs_that_all_fail_are_an_error_that_says_so() -> None:
    async with end_and_peer(controlling=True) as (end, peer):
        peer.answers = False
        with pytest.raises(IceError, match="none of 1 candidate pairs works"):
            await end.ice.connect()


# -- nomination


@in_virtual_time
async def test_of_pairs_that_are_nominated_together_the_best_counts() -> None:
    """aioice, for one, nominates every pair that it checks."""
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
async def test_a_peer_that_moves_to_another_pair_later_is_followed() -> None:
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
async def test_a_check_that_arrives_sends_ours_again_at_once() -> None:
    """The NAT in between ate ours until the peer sent something (RFC 8445, 7.3.1.4)."""
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


@in_virtual_time
async def test_a_restart_takes_over_when_it_has_a_pair_of_its_own_WS28() -> None:
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
        files = open_files()
        await asyncio.sleep(2)
        assert open_files() == files - 2


@in_virtual_time
async def test_what_the_peer_still_sends_by_the_old_pair_is_heard_WS28() -> None:
    async with two_ends() as (a, b):
        await asyncio.gather(a.ice.connect(), b.ice.connect())
        old = b.pairs[0]
        assert old.descriptor is not None
        own = socket.socket(fileno=os.dup(old.descriptor))
        await a.ice.restart()
        await b.ice.restart()
        introduce(a, b)
        await asyncio.gather(a.ice.connect(), b.ice.connect())
        own.sendto(A_PACKET, old.remote)
        own.close()
        await asyncio.sleep(0.1)
        assert a.data == [A_PACKET]


@in_virtual_time
async def test_a_restart_that_fails_leaves_the_old_pair_WS28() -> None:
    async with two_ends() as (a, b):
        old, _ = await asyncio.gather(a.ice.connect(), b.ice.connect())
        await a.ice.restart()
        a.ice.set_remote(IceCredentials("nobody", "the-password-of-nobody"), ice_lite=False)
        with pytest.raises(IceError):
            await a.ice.connect()
        assert a.ice.selected == old
        assert a.ice.send(A_PACKET)
        await asyncio.sleep(0.1)
        assert b.data == [A_PACKET]


@in_virtual_time
async def test_a_restart_brings_a_lost_session_back() -> None:
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


# -- closing


@in_virtual_time
async def test_close_gives_everything_back_and_ends_who_waits() -> None:
    files = open_files()
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
    assert open_files() == files
    assert len(asyncio.all_tasks()) == 1
