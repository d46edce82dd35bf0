"""The full ICE agent on loopback, in virtual time: against itself, and against a peer made of plain STUN."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aioice.mdns
import pytest

from bass_webrtc.errors import ClosedError, IceError
from bass_webrtc.peer.full_ice import FullIce, SelectedPair
from bass_webrtc.peer.ice_servers import IceServerAddress, StunServer, TurnServer
from bass_webrtc.rtc.candidate import Candidate, CandidatePolicy
from bass_webrtc.rtc.sdp import IceCredentials
from support import stun
from support.ice_peer import CONTROLLED, CONTROLLING, HOST, PRIORITY, USE_CANDIDATE, IcePeer
from support.virtual_time import in_virtual_time

LOOPBACK = CandidatePolicy(allow_loopback=True)
A_PACKET = b"\x80 a packet"


@dataclass
class End:
    """An agent and what it has told."""

    controlling: bool = True
    servers: Sequence[IceServerAddress] = ()
    hosts: Sequence[str] = (HOST,)
    data: list[bytes] = field(default_factory=list)
    pairs: list[SelectedPair] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    late: list[Candidate] = field(default_factory=list)
    relay_only: bool = False
    patience_s: float = 39.5

    def __post_init__(self) -> None:
        self.ice = FullIce(
            self.servers,
            controlling=self.controlling,
            on_data=self.data.append,
            on_selected=self.pairs.append,
            on_lost=self.lost.append,
            on_candidate=self.late.append,
            relay_only=self.relay_only,
            hosts=self.hosts,
            patience_s=self.patience_s,
            policy=LOOPBACK,
        )

    @property
    def port(self) -> int:
        """Of its first candidate."""
        return self.ice.candidates[0].port


@asynccontextmanager
async def two_ends(*, controlling: tuple[bool, bool] = (True, False)) -> AsyncIterator[tuple[End, End]]:
    """Two agents that know each other."""
    a, b = End(controlling[0]), End(controlling[1])
    await a.ice.gather()
    await b.ice.gather()
    introduce(a, b)
    yield a, b
    await a.ice.close()
    await b.ice.close()


def introduce(a: End, b: End) -> None:
    a.ice.set_remote(b.ice.credentials, b.ice.candidates, ice_lite=False)
    b.ice.set_remote(a.ice.credentials, a.ice.candidates, ice_lite=False)


@asynccontextmanager
async def end_and_peer(
    *, controlling: bool = False, tell: bool = True, patience_s: float = 39.5
) -> AsyncIterator[tuple[End, IcePeer]]:
    """An agent, and a peer of STUN messages that it knows the candidate of."""
    end = End(controlling, patience_s=patience_s)
    await end.ice.gather()
    peer = await IcePeer.open(end.ice.credentials)
    end.ice.set_remote(peer.credentials, [peer.candidate] if tell else [], ice_lite=False)
    yield end, peer
    await end.ice.close()
    peer.transport.close()


async def connect(end: End, peer: IcePeer) -> None:
    """The peer nominates."""
    connecting = asyncio.create_task(end.ice.connect())
    await asyncio.sleep(0.1)
    peer.nominate(end.port)
    await connecting


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


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


# -- what arrives


@in_virtual_time
async def test_a_check_without_priority_is_answered_and_learnt_from() -> None:
    """FFmpeg's have neither PRIORITY nor ICE-CONTROLLING; aioice raises KeyError."""
    async with end_and_peer(tell=False) as (end, peer):
        connecting = asyncio.create_task(end.ice.connect())
        await asyncio.sleep(0.1)
        peer.check(end.port, USE_CANDIDATE)
        assert (await connecting).remote == (HOST, peer.port)
        assert peer.kinds(peer.responses) == [stun.BINDING_SUCCESS]


@pytest.mark.parametrize(
    ("kind", "attribute"),
    [
        (stun.BINDING_REQUEST, stun.PRIORITY),
        (stun.BINDING_REQUEST, stun.ICE_CONTROLLED),
        (stun.BINDING_REQUEST, 0x8022),  # SOFTWARE, which is text.
        (stun.BINDING_REQUEST, 0x802B),  # RESPONSE-ORIGIN, an address.
        (stun.BINDING_SUCCESS, 0x000D),  # LIFETIME, a number.
        (stun.BINDING_SUCCESS, stun.XOR_MAPPED_ADDRESS),
    ],
)
@in_virtual_time
async def test_a_short_attribute_is_counted_and_raises_nothing_SE25(kind: int, attribute: int) -> None:
    """aioice raises struct.error, and the loop would log a traceback for each; or takes the datagram for data."""
    async with end_and_peer() as (end, peer):
        await connect(end, peer)
        username = (stun.USERNAME, f"{end.ice.credentials.ufrag}:{peer.credentials.ufrag}".encode())
        message = stun.Message(kind, attributes=[username, (attribute, b"\xff")])
        peer.send(message.encode(end.ice.credentials.password), end.port)
        await asyncio.sleep(0.1)
        assert end.ice.counters.malformed == 1
        assert (end.data, peer.kinds(peer.responses)) == ([], [stun.BINDING_SUCCESS])


@in_virtual_time
async def test_requests_of_strangers_get_no_answer_SE24() -> None:
    async with end_and_peer() as (end, peer):
        ufrag = end.ice.credentials.ufrag
        peer.check(end.port, PRIORITY, password="")
        peer.check(end.port, PRIORITY, password="not the right password!!")
        peer.check(end.port, PRIORITY, username="")
        peer.check(end.port, PRIORITY, username=f"{ufrag}:somebody")
        peer.check(end.port, PRIORITY, username=f"another:{peer.credentials.ufrag}")
        peer.check(end.port, PRIORITY, username=f"{ufrag}:{peer.credentials.ufrag}s brother")
        peer.check(end.port, PRIORITY, fingerprint=False)
        await asyncio.sleep(0.1)
        assert peer.responses == []
        assert end.ice.counters.unauthenticated == 7


@in_virtual_time
async def test_an_attribute_that_must_be_understood_and_is_not_gives_420_SE25() -> None:
    async with end_and_peer() as (end, peer):
        peer.check(end.port, PRIORITY, (0x7777, b"\0\0\0\0"))
        await asyncio.sleep(0.1)
        [answer] = peer.responses
        assert answer.kind == stun.BINDING_ERROR
        assert dict(answer.attributes)[stun.ERROR_CODE][2:4] == bytes([4, 20])


@in_virtual_time
async def test_data_of_strangers_is_dropped_and_counted_SE40_SE41() -> None:
    """A ClientHello from an address that no check came from does not reach DTLS (finding 2)."""
    async with end_and_peer() as (end, peer):
        stranger = await IcePeer.open(end.ice.credentials)
        stranger.send(b"\x16\xfe\xfd early", end.port)
        await connect(end, peer)
        stranger.send(b"\x16\xfe\xfd late", end.port)
        peer.send(A_PACKET, end.port)
        await asyncio.sleep(0.1)
        assert end.data == [A_PACKET]
        assert end.ice.counters.stray == 2
        stranger.transport.close()


@in_virtual_time
async def test_empty_and_junk_datagrams_reach_nobody_and_pile_up_nowhere_SE40_SE42() -> None:
    async with end_and_peer() as (end, peer):
        await connect(end, peer)
        with socket.socket(type=socket.SOCK_DGRAM) as stranger, socket.socket(fileno=os.dup(peer.descriptor)) as own:
            for number in range(4000):
                for junk in (b"", b"\0", bytes(20), b"\x80" * 1200, bytes(1200)):
                    stranger.sendto(junk, (HOST, end.port))
                if number % 10 == 0:
                    await asyncio.sleep(0.001)
            own.sendto(b"", (HOST, end.port))
            own.sendto(A_PACKET, (HOST, end.port))
            await asyncio.sleep(0.1)
        assert end.data == [A_PACKET]
        assert end.ice._current.agent._queue.empty()
        assert end.ice.counters.stray + end.ice.counters.malformed == 16_000


@pytest.mark.parametrize("host", ["5b0a3a3c-2d5c-4a3e-9d7e-1f1f1f1f1f1f.local", "peer.example.org", "localhost"])
@in_virtual_time
async def test_names_are_not_looked_up_SE29(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """aioice asks the LAN by multicast for ``.local`` names (RFC 8839, 5.1)."""

    async def refuse() -> aioice.mdns.MDnsProtocol:
        raise AssertionError("the LAN was asked")

    monkeypatch.setattr(aioice.mdns, "create_mdns_protocol", refuse)
    async with end_and_peer(tell=False) as (end, peer):
        end.ice.add_remote_candidate(Candidate("1", 1, "udp", 1, host, peer.port, "host"))
        connecting = asyncio.create_task(end.ice.connect())
        await asyncio.sleep(1)
        assert peer.requests == []
        connecting.cancel()


@in_virtual_time
async def test_nothing_is_sent_where_the_policy_forbids_it_SE30() -> None:
    """By default nothing goes to loopback, so a peer cannot make a server talk to its own services."""
    end = FullIce(controlling=True, on_data=lambda _: None, hosts=[HOST])
    await end.gather()
    peer = await IcePeer.open(end.credentials)
    end.set_remote(peer.credentials, [peer.candidate], ice_lite=False)
    connecting = asyncio.create_task(end.connect())
    await asyncio.sleep(1)
    assert peer.requests == []
    await end.close()
    with pytest.raises(ClosedError):
        await connecting
    peer.transport.close()


@in_virtual_time
async def test_500_candidates_make_100_pairs_SE27() -> None:
    end = End(hosts=[HOST, "127.0.0.2"])
    await end.ice.gather()
    many = [Candidate(str(n), 1, "udp", n, "127.0.0.9", 10_000 + n, "host") for n in range(500)]
    end.ice.set_remote(IceCredentials("peer", "the-password-of-the-peer"), many, ice_lite=False)
    assert len(end.ice._current.agent._check_list) == 100
    await end.ice.close()


@in_virtual_time
async def test_our_own_address_is_not_talked_to_SE30() -> None:
    async with two_ends() as (a, _):
        a.ice.add_remote_candidate(a.ice.candidates[0])
        assert len(a.ice._current.agent._check_list) == 1


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


# -- consent


@in_virtual_time
async def test_sending_stops_30_s_after_the_last_response_SE20_SE21() -> None:
    async with end_and_peer() as (end, peer):
        await connect(end, peer)
        await asyncio.sleep(60)
        assert end.lost == []
        peer.answers = False
        await asyncio.sleep(23.9)  # The last response was up to 6 s ago.
        assert end.lost == []
        await asyncio.sleep(6.2)
        assert end.lost == ["consent expired: the peer answered no check for 30 s"]
        seen = len(peer.requests)
        assert end.ice.selected is None
        assert not end.ice.send(A_PACKET)
        await asyncio.sleep(60)
        assert (len(peer.requests), peer.data, end.ice.counters.unsent) == (seen, [], 1)


@in_virtual_time
async def test_a_peer_three_seconds_away_keeps_its_consent_SE20() -> None:
    """aioice takes a response for lost after half a second."""
    async with end_and_peer() as (end, peer):
        await connect(end, peer)
        peer.delay_s = 3.0
        await asyncio.sleep(120)
        assert end.lost == []


@in_virtual_time
async def test_each_answer_counts_though_many_checks_are_under_way() -> None:
    """Of a client that asks eight times a second whether its peer is there; and the round trip is known."""
    async with end_and_peer() as (end, peer):
        await connect(end, peer)
        assert end.ice.round_trip_s is None
        peer.delay_s = 20.0
        for _ in range(8 * 60):
            end.ice.ask()
            await asyncio.sleep(0.125)
        assert end.ice.answers >= 8 * 40
        assert end.ice.round_trip_s == pytest.approx(20.0, abs=0.1)
        peer.delay_s = 0.1
        await asyncio.sleep(60.0)
        for _ in range(8 * 10):
            end.ice.ask()
            await asyncio.sleep(0.125)
        assert end.ice.round_trip_s == pytest.approx(0.1, abs=0.2)


@in_virtual_time
async def test_an_answer_counts_once() -> None:
    async with end_and_peer() as (end, peer):
        await connect(end, peer)
        peer.requests.clear()
        end.ice.ask()
        await asyncio.sleep(0.1)
        peer.send(peer.answer(peer.requests[0], (HOST, end.port)), end.port)
        await asyncio.sleep(0.1)
        assert end.ice.answers == 1


@in_virtual_time
async def test_consent_checks_are_new_each_time_and_not_repeated_SE20() -> None:
    async with end_and_peer() as (end, peer):
        await connect(end, peer)
        peer.requests.clear()
        peer.answers = False
        await asyncio.sleep(29)
        assert 4 <= len(peer.requests) <= 7
        assert len({request.transaction_id for request in peer.requests}) == len(peer.requests)


@pytest.mark.parametrize("forgery", ["password", "transaction", "source"])
@in_virtual_time
async def test_a_forged_response_does_not_refresh_consent_SE21(forgery: str) -> None:
    async with end_and_peer() as (end, peer):
        await connect(end, peer)
        forger = await IcePeer.open(end.ice.credentials, peer.credentials)
        peer.answers = False
        for _ in range(31):
            for request in peer.requests[-1:]:
                sender = forger if forgery == "source" else peer
                if forgery == "transaction":
                    request.transaction_id = bytes(12)
                password = "not the right password!!" if forgery == "password" else None
                sender.send(peer.answer(request, (HOST, end.port), password), end.port)
            await asyncio.sleep(1)
        assert len(end.lost) == 1
        forger.transport.close()


@in_virtual_time
async def test_error_403_ends_consent_at_once_and_only_if_it_is_signed_SE22() -> None:
    async with end_and_peer() as (end, peer):
        await connect(end, peer)
        peer.error = 403
        await asyncio.sleep(6.1)
        assert end.lost == ["the peer revoked its consent (STUN error 403)"]
    async with end_and_peer() as (end, peer):
        await connect(end, peer)
        peer.requests.clear()
        peer.answers = False
        await asyncio.sleep(6.1)
        peer.error = 403
        peer.send(peer.answer(peer.requests[0], (HOST, end.port), "not the right password!!"), end.port)
        await asyncio.sleep(0.1)
        assert end.lost == []


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


# -- gathering


class StunService(asyncio.DatagramProtocol):
    """A STUN server that says everybody is at one address, if it says anything."""

    def __init__(self, delay_s: float, mapped: tuple[str, int] | None, losses: int) -> None:
        self.delay_s = delay_s
        self.mapped = mapped
        self.losses = losses

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport
        self.server = StunServer(*transport.get_extra_info("sockname"))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self.losses:
            self.losses -= 1
            return
        request = stun.decode(data)
        answer = stun.success(request, "", *(self.mapped or addr))
        asyncio.get_running_loop().call_later(self.delay_s, self.transport.sendto, answer, addr)


async def stun_service(
    delay_s: float = 0.0, mapped: tuple[str, int] | None = ("192.0.2.7", 4242), losses: int = 0
) -> StunService:
    loop = asyncio.get_running_loop()
    return (await loop.create_datagram_endpoint(lambda: StunService(delay_s, mapped, losses), local_addr=(HOST, 0)))[1]


@in_virtual_time
async def test_a_stun_server_gives_a_server_reflexive_candidate() -> None:
    service = await stun_service()
    end = End(servers=[service.server])
    host, reflexive = await end.ice.gather()
    assert (host.type, host.host) == ("host", HOST)
    assert (reflexive.type, reflexive.host, reflexive.port) == ("srflx", "192.0.2.7", 4242)
    assert (reflexive.related_host, reflexive.related_port) == (HOST, host.port)
    assert host.priority > reflexive.priority
    await end.ice.close()
    service.transport.close()


@in_virtual_time
async def test_without_a_nat_the_second_candidate_is_redundant() -> None:
    """RFC 8445, 5.1.3; two servers that say the same are one candidate, too."""
    outside = [await stun_service(), await stun_service()]
    inside = await stun_service(mapped=None)
    end = End(servers=[one.server for one in (*outside, inside)])
    assert [candidate.type for candidate in await end.ice.gather()] == ["host", "srflx"]
    await end.ice.close()
    for service in (*outside, inside):
        service.transport.close()


@in_virtual_time
async def test_a_dead_stun_server_costs_half_a_second_and_one_that_is_late_still_counts() -> None:
    prompt, late = await stun_service(), await stun_service(2.0, ("192.0.2.8", 4242))
    with socket.socket(type=socket.SOCK_DGRAM) as dead:
        dead.bind((HOST, 0))
        end = End(servers=[StunServer(*dead.getsockname()), late.server, prompt.server])
        started_s = asyncio.get_running_loop().time()
        assert [candidate.type for candidate in await end.ice.gather()] == ["host", "srflx"]
        assert asyncio.get_running_loop().time() - started_s == pytest.approx(0.5, abs=0.01)
        await asyncio.sleep(15)
        assert [candidate.host for candidate in end.late] == ["192.0.2.8"]
        assert list(end.ice.failures.values()) == ["does not answer"]
    await end.ice.close()
    prompt.transport.close()
    late.transport.close()


@in_virtual_time
async def test_one_lost_request_does_not_cost_the_candidate() -> None:
    service = await stun_service(losses=1)
    end = End(servers=[service.server])
    assert [candidate.type for candidate in await end.ice.gather()] == ["host", "srflx"]
    await end.ice.close()
    service.transport.close()


@in_virtual_time
async def test_servers_that_are_named_later_are_asked_too_CL5() -> None:
    service = await stun_service()
    end = End()
    await end.ice.gather()
    await end.ice.add_servers([service.server])
    assert [candidate.type for candidate in end.late] == ["srflx"]
    await end.ice.restart()
    assert [candidate.type for candidate in end.ice.candidates] == ["host", "srflx"]
    await end.ice.close()
    service.transport.close()


@in_virtual_time
async def test_relay_only_without_a_relay_opens_no_socket_SE31() -> None:
    service = await stun_service()
    files = open_files()
    end = End(servers=[service.server], relay_only=True)
    assert await end.ice.gather() == ()
    assert open_files() == files
    await end.ice.close()
    service.transport.close()


@pytest.mark.parametrize(("number", "words"), [(403, "Forbidden"), (300, "Try Alternate")])
@in_virtual_time
async def test_a_turn_server_that_refuses_is_named_with_the_reason(number: int, words: str) -> None:
    """Also one that sends us to another one (RFC 8489, 10): that is left out, see ARCHITECTURE."""

    class Refusing(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            code = struct.pack("!HBB", 0, number // 100, number % 100) + words.encode()
            kind = struct.unpack_from("!H", data)[0] | 0x0110
            error = stun.Message(kind, stun.decode(data).transaction_id, [(stun.ERROR_CODE, code)])
            self.transport.sendto(error.encode(None), addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Refusing, local_addr=(HOST, 0))
    end = End(servers=[TurnServer(HOST, transport.get_extra_info("sockname")[1], "me", "the secret one")])
    assert [candidate.type for candidate in await end.ice.gather()] == ["host"]
    assert f"{number} - {words}" in str(end.ice.failures)
    assert "secret" not in str(end.ice.failures)
    await end.ice.close()
    transport.close()
