"""Datagrams that arrive at the full ICE agent, and consent, on loopback in virtual time."""

from __future__ import annotations

import asyncio
import socket

import aioice.mdns
import pytest
from ice_ends import A_PACKET, End, connect, end_and_peer, two_ends

from bass_webrtc.errors import ClosedError
from bass_webrtc.peer.ice.full_ice import FullIce, IceSettings
from bass_webrtc.rtc.candidate import Candidate
from bass_webrtc.rtc.sdp import IceCredentials
from support import stun
from support.conformance import covers
from support.ice_peer import HOST, PRIORITY, USE_CANDIDATE, IcePeer
from support.ice_recorder import IceRecorder
from support.virtual_time import in_virtual_time

# -- incoming datagrams


@in_virtual_time
async def test_check_without_priority_is_answered_and_used() -> None:
    """FFmpeg's have neither PRIORITY nor ICE-CONTROLLING; aioice raises KeyError."""
    async with end_and_peer(signal_candidate=False) as (end, peer):
        connecting = asyncio.create_task(end.ice.connect())
        await asyncio.sleep(0.1)
        peer.check(end.port, USE_CANDIDATE)
        assert (await connecting).remote == (HOST, peer.port)
        assert peer.kinds(peer.responses) == [stun.BINDING_SUCCESS]


@covers("SE25")
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
async def test_short_attribute_is_counted_and_raises_nothing(kind: int, attribute: int) -> None:
    """aioice raises struct.error, which the loop would log each time, or takes the datagram for data."""
    async with end_and_peer() as (end, peer):
        await connect(end, peer)
        username = (stun.USERNAME, f"{end.ice.credentials.ufrag}:{peer.credentials.ufrag}".encode())
        message = stun.Message(kind, attributes=[username, (attribute, b"\xff")])
        peer.send(message.encode(end.ice.credentials.password), end.port)
        await asyncio.sleep(0.1)
        assert end.ice.counters.malformed == 1
        assert (end.data, peer.kinds(peer.responses)) == ([], [stun.BINDING_SUCCESS])


@covers("SE24")
@in_virtual_time
async def test_unauthenticated_requests_get_no_answer() -> None:
    async with end_and_peer() as (end, peer):
        ufrag = end.ice.credentials.ufrag
        peer.check(end.port, PRIORITY, password="")
        peer.check(end.port, PRIORITY, password="not the right password!!")
        peer.check(end.port, PRIORITY, username="")
        peer.check(end.port, PRIORITY, username=f"{ufrag}:other")
        peer.check(end.port, PRIORITY, username=f"another:{peer.credentials.ufrag}")
        peer.check(end.port, PRIORITY, username=f"{ufrag}:{peer.credentials.ufrag}s brother")
        peer.check(end.port, PRIORITY, fingerprint=False)
        await asyncio.sleep(0.1)
        assert peer.responses == []
        assert end.ice.counters.unauthenticated == 7


@covers("SE25")
@in_virtual_time
async def test_unknown_comprehension_required_attribute_gives_420() -> None:
    async with end_and_peer() as (end, peer):
        peer.check(end.port, PRIORITY, (0x7777, b"\0\0\0\0"))
        await asyncio.sleep(0.1)
        [answer] = peer.responses
        assert answer.kind == stun.BINDING_ERROR
        assert dict(answer.attributes)[stun.ERROR_CODE][2:4] == bytes([4, 20])


@covers("SE40", "SE41")
@in_virtual_time
async def test_data_from_unvalidated_address_is_dropped_and_counted() -> None:
    """A ClientHello from an address without an authentic check does not reach DTLS."""
    async with end_and_peer() as (end, peer):
        outsider = await IcePeer.open(end.ice.credentials)
        outsider.send(b"\x16\xfe\xfd early", end.port)
        await connect(end, peer)
        outsider.send(b"\x16\xfe\xfd late", end.port)
        peer.send(A_PACKET, end.port)
        await asyncio.sleep(0.1)
        assert end.data == [A_PACKET]
        assert end.ice.counters.unvalidated == 2
        outsider.transport.close()


@covers("SE40", "SE42")
@in_virtual_time
async def test_empty_and_junk_datagrams_are_dropped_and_not_queued() -> None:
    async with end_and_peer() as (end, peer):
        await connect(end, peer)
        with (
            socket.socket(type=socket.SOCK_DGRAM) as outsider,
            socket.socket(fileno=socket.dup(peer.descriptor)) as own,
        ):
            for number in range(1000):
                for junk in (b"", b"\0", bytes(20), b"\x80" * 1200, bytes(1200)):
                    outsider.sendto(junk, (HOST, end.port))
                if number % 10 == 0:
                    await asyncio.sleep(0.001)
            own.sendto(b"", (HOST, end.port))
            own.sendto(A_PACKET, (HOST, end.port))
            await asyncio.sleep(0.1)
        assert end.data == [A_PACKET]
        assert end.ice._current.agent._queue.empty()
        assert end.ice.counters.unvalidated + end.ice.counters.malformed == 4_000


@covers("SE29")
@pytest.mark.parametrize("host", ["5b0a3a3c-2d5c-4a3e-9d7e-1f1f1f1f1f1f.local", "peer.example.org", "localhost"])
@in_virtual_time
async def test_host_names_are_not_resolved(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """aioice queries the LAN by multicast DNS for ``.local`` names (RFC 8839, 5.1)."""

    async def refuse() -> aioice.mdns.MDnsProtocol:
        raise AssertionError("the LAN was queried")

    monkeypatch.setattr(aioice.mdns, "create_mdns_protocol", refuse)
    async with end_and_peer(signal_candidate=False) as (end, peer):
        end.ice.add_remote_candidate(Candidate("1", 1, "udp", 1, host, peer.port, "host"))
        connecting = asyncio.create_task(end.ice.connect())
        await asyncio.sleep(1)
        assert peer.requests == []
        connecting.cancel()


@covers("SE30")
@in_virtual_time
async def test_nothing_is_sent_where_policy_forbids_it() -> None:
    """Loopback is forbidden by default, so a peer cannot make a server send to its own services."""
    end = FullIce(IceSettings(hosts=(HOST,)), IceRecorder(), controlling=True)
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


@covers("SE27")
@in_virtual_time
async def test_500_candidates_make_100_pairs() -> None:
    """The agent uses 32 candidates, each with all of its own."""
    end = End(hosts=[HOST, "127.0.0.2", "127.0.0.3", "127.0.0.4"])
    await end.ice.gather()
    many = [Candidate(str(n), 1, "udp", n, "127.0.0.9", 10_000 + n, "host") for n in range(500)]
    end.ice.set_remote(IceCredentials("peer", "the-password-of-the-peer"), many, ice_lite=False)
    pairs = end.ice._current.agent._check_list
    assert len(pairs) == 100
    assert len({pair.remote_addr for pair in pairs}) <= 32
    await end.ice.close()


@covers("SE27")
@pytest.mark.parametrize("hosts", [1, 4])
@in_virtual_time
async def test_description_with_invented_addresses_causes_at_most_100_checks(hosts: int) -> None:
    """Many sockets of ours, none of which the peer's addresses answer."""
    victims = [await IcePeer.open(IceCredentials("peer", "the-password-of-the-peer")) for _ in range(50)]
    credentials = victims[0].credentials
    for victim in victims:
        victim.answers = False
    end = End(hosts=[f"127.0.0.{host}" for host in range(1, 1 + hosts)])
    await end.ice.gather()
    end.ice.set_remote(credentials, [victim.candidate for victim in victims], ice_lite=False)
    connecting = asyncio.create_task(end.ice.connect())
    received: list[int] = []
    for _ in range(40):
        await asyncio.sleep(1)
        received.append(sum(len(victim.requests) for victim in victims))
    assert 32 < received[-1] <= 100
    assert received[0] <= 60
    assert max(len(victim.requests) for victim in victims) <= 7 * hosts
    assert sum(bool(victim.requests) for victim in victims) <= 32
    await end.ice.close()
    await asyncio.gather(connecting, return_exceptions=True)
    for victim in victims:
        victim.transport.close()


@in_virtual_time
async def test_candidate_after_many_unanswered_ones_is_checked() -> None:
    async with end_and_peer(signal_candidate=False) as (end, peer):
        for port in range(20_000, 20_031):
            end.ice.add_remote_candidate(Candidate("1", 1, "udp", port, "127.0.0.9", port, "host"))
        connecting = asyncio.create_task(end.ice.connect())
        await asyncio.sleep(35)
        end.ice.add_remote_candidate(peer.candidate)
        await asyncio.sleep(0.5)
        assert peer.requests
        peer.nominate(end.port)
        assert (await connecting).remote == (HOST, peer.port)


@in_virtual_time
async def test_check_from_elsewhere_brings_less_than_three_times_its_size() -> None:
    """The source of a check may be forged, and a check may have been recorded."""
    async with end_and_peer() as (end, peer):
        await connect(end, peer)
        elsewhere = await IcePeer.open(end.ice.credentials, peer.credentials)
        elsewhere.answers = False
        elsewhere.nominate(end.port)
        await asyncio.sleep(60)
        assert len(elsewhere.requests) + len(elsewhere.responses) <= 3
        assert end.pairs[-1].remote == (HOST, peer.port)
        elsewhere.transport.close()


@covers("SE30")
@in_virtual_time
async def test_own_address_is_not_paired() -> None:
    async with two_ends() as (a, _):
        a.ice.add_remote_candidate(a.ice.candidates[0])
        assert len(a.ice._current.agent._check_list) == 1


# -- consent


@covers("SE20", "SE21")
@in_virtual_time
async def test_sending_stops_30_s_after_last_response() -> None:
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


@covers("SE20")
@in_virtual_time
async def test_peer_with_round_trip_of_three_seconds_keeps_consent() -> None:
    """aioice considers a response lost after half a second."""
    async with end_and_peer() as (end, peer):
        await connect(end, peer)
        peer.delay_s = 3.0
        await asyncio.sleep(120)
        assert end.lost == []


@in_virtual_time
async def test_each_response_counts_with_many_checks_in_flight() -> None:
    """A client sends eight checks a second; the round trip is measured."""
    async with end_and_peer() as (end, peer):
        await connect(end, peer)
        assert end.ice.round_trip_s is None
        peer.delay_s = 20.0
        for _ in range(8 * 60):
            end.ice.send_check()
            await asyncio.sleep(0.125)
        assert end.ice.consent_responses >= 8 * 40
        assert end.ice.round_trip_s == pytest.approx(20.0, abs=0.1)
        peer.delay_s = 0.1
        await asyncio.sleep(60.0)
        for _ in range(8 * 10):
            end.ice.send_check()
            await asyncio.sleep(0.125)
        assert end.ice.round_trip_s == pytest.approx(0.1, abs=0.2)


@in_virtual_time
async def test_response_counts_once() -> None:
    async with end_and_peer() as (end, peer):
        await connect(end, peer)
        peer.requests.clear()
        end.ice.send_check()
        await asyncio.sleep(0.1)
        peer.send(peer.answer(peer.requests[0], (HOST, end.port)), end.port)
        await asyncio.sleep(0.1)
        assert end.ice.consent_responses == 1


@covers("SE20")
@in_virtual_time
async def test_consent_checks_have_new_transaction_ids_and_no_retransmissions() -> None:
    async with end_and_peer() as (end, peer):
        await connect(end, peer)
        peer.requests.clear()
        peer.answers = False
        await asyncio.sleep(29)
        assert 4 <= len(peer.requests) <= 7
        assert len({request.transaction_id for request in peer.requests}) == len(peer.requests)


@covers("SE21")
@pytest.mark.parametrize("forgery", ["password", "transaction", "source"])
@in_virtual_time
async def test_forged_response_does_not_refresh_consent(forgery: str) -> None:
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


@covers("SE22")
@in_virtual_time
async def test_authentic_error_403_ends_consent_immediately() -> None:
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
