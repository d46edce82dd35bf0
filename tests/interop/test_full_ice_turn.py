"""TURN through coturn (Debian: coturn) on loopback: transports, credentials and teardown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aioice.stun
import pytest

from bass_webrtc.config import IceServerAddress, TurnServer
from bass_webrtc.peer.ice import aioice_faults
from bass_webrtc.peer.ice.full_ice import FullIce, IceSettings
from bass_webrtc.rtc.candidate import CandidatePolicy
from bass_webrtc.rtc.turn_credentials import time_limited_credentials
from support import coturn
from support.conformance import covers
from support.coturn import Coturn, Kind
from support.fixtures import skip_for
from support.ice_recorder import IceRecorder
from support.reruns import real_time_audio

pytestmark = real_time_audio

WAYS: tuple[Kind, ...] = ("udp", "tcp", "tls")
SECRET = "north-sea"
PATIENCE_S = 10.0
EXAMPLES = Path(__file__).parents[2] / "docs/how-to/examples"


@pytest.fixture
def turn(tmp_path: Path) -> Iterator[Coturn]:
    skip_for(coturn.missing())
    with Coturn(tmp_path) as server:
        yield server


@pytest.fixture
def secret_turn(tmp_path: Path) -> Iterator[Coturn]:
    skip_for(coturn.missing())
    with Coturn(tmp_path, secret=SECRET) as server:
        yield server


class End(IceRecorder):
    """A relay-only agent and what it reported."""

    def __init__(
        self, turn: Coturn, servers: Sequence[IceServerAddress], *, controlling: bool, gather_timeout_s: float = 5.0
    ) -> None:
        super().__init__()
        self.datagrams: asyncio.Queue[bytes] = asyncio.Queue()
        self.losses: asyncio.Queue[str] = asyncio.Queue()
        settings = IceSettings(
            tuple(servers),
            relay_only=True,
            policy=CandidatePolicy(allow_loopback=True),
            gather_timeout_s=gather_timeout_s,
            tls_context=turn.tls_context(),
        )
        self.ice = FullIce(settings, self, controlling=controlling)

    def data_received(self, data: bytes) -> None:
        self.datagrams.put_nowait(data)

    def check_answered(self, round_trip_s: float) -> None:
        pass

    def pair_lost(self, reason: str) -> None:
        self.losses.put_nowait(reason)


@asynccontextmanager
async def connected(turn: Coturn, *servers: IceServerAddress) -> AsyncIterator[tuple[End, End]]:
    """Two agents joined through the relay."""
    a, b = (End(turn, servers, controlling=one) for one in (True, False))
    try:
        theirs = [await end.ice.gather() for end in (a, b)]
        a.ice.set_remote(b.ice.credentials, theirs[1], ice_lite=False)
        b.ice.set_remote(a.ice.credentials, theirs[0], ice_lite=False)
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(a.ice.connect(), b.ice.connect())
        yield a, b
    finally:
        await a.ice.close()
        await b.ice.close()


def relay_of(end: End) -> aioice_faults.SteadyTurn:
    """The TURN client of the selected pair."""
    pair = end.ice._current.agent.selected
    assert pair is not None
    assert isinstance(pair.protocol, aioice_faults.IceSocket)
    assert pair.protocol.relay is not None
    return pair.protocol.relay


async def hear(sender: End, receiver: End, data: bytes) -> None:
    assert sender.ice.send(data)
    async with asyncio.timeout(PATIENCE_S):
        assert await receiver.datagrams.get() == data


@covers("SE51")
@pytest.mark.parametrize("way", WAYS)
async def test_relays_both_ways_and_deletes_the_allocation(way: Kind, turn: Coturn) -> None:
    async with connected(turn, turn.server(way)) as (a, b):
        for size in (1, 2, 3, 4, 1200):  # TCP pads to four bytes.
            await hear(a, b, b"\x80" * size)
            await hear(b, a, b"\x90" * size)
        assert a.ice.selected is not None
        assert a.ice.selected.is_relay
        assert a.ice.selected.descriptor is None
    assert turn.log().count("refreshed, realm=<bass-webrtc>, username=<guest>, lifetime=0") == 2


async def test_relayed_data_is_sent_in_order_without_delay(turn: Coturn) -> None:
    async with connected(turn, turn.server("tcp")) as (a, b):
        packets = [b"\x80%03d" % number for number in range(200)]
        assert all(a.ice.send(packet) for packet in packets)
        async with asyncio.timeout(PATIENCE_S):
            assert [await b.datagrams.get() for _ in packets] == packets


@covers("SE50")
@pytest.mark.parametrize("way", WAYS)
async def test_time_limited_credentials_are_accepted(way: Kind, secret_turn: Coturn) -> None:
    good = time_limited_credentials(SECRET, "alice", now_unix_s=time.time(), lifetime_s=60)
    async with connected(secret_turn, secret_turn.server(way, good.username, good.credential)) as (a, b):
        await hear(a, b, b"\x80 relayed")


@covers("SE50")
@pytest.mark.parametrize(("secret", "age_s"), [(SECRET, 61), ("south-sea", 0)])
async def test_expired_and_forged_credentials_are_refused(secret: str, age_s: float, secret_turn: Coturn) -> None:
    bad = time_limited_credentials(secret, "alice", now_unix_s=time.time() - age_s, lifetime_s=60)
    end = End(secret_turn, [secret_turn.server("udp", bad.username, bad.credential)], controlling=True)
    assert await end.ice.gather() == ()
    [failure] = end.ice.failures.values()
    assert "401" in failure
    await end.ice.close()


async def test_best_of_several_servers_is_used_beside_a_dead_one(turn: Coturn) -> None:
    servers = [TurnServer("127.0.0.1", 9, "me", "pw"), *map(turn.server, WAYS)]
    started_s = time.monotonic()
    end = End(turn, servers, controlling=True, gather_timeout_s=0.5)
    candidates = await end.ice.gather()
    assert time.monotonic() - started_s < 1.0
    assert len(candidates) == 3
    assert [c.priority for c in candidates] == sorted({c.priority for c in candidates}, reverse=True)
    await end.ice.close()


@covers("SE51")
async def test_stale_nonce_is_renewed(tmp_path: Path) -> None:
    skip_for(coturn.missing())
    with Coturn(tmp_path, nonce_lifetime_s=1) as turn:
        async with connected(turn, turn.server("udp")) as (a, b):
            await asyncio.sleep(2.1)
            relay = relay_of(a)
            before = turn.log().count("error 438")
            await relay.channel_bind(*next((n, p) for p, n in relay.peer_to_channel.items()))
            assert turn.log().count("error 438") == before + 1
            await hear(a, b, b"\x80 relayed")


@covers("SE51")
async def test_channel_is_refreshed_without_delaying_data(turn: Coturn) -> None:
    """Unpatched aioice delays every packet by a round trip and binds again for each."""
    async with connected(turn, turn.server("udp")) as (a, b):
        relay = relay_of(a)
        bound = turn.log().count("CHANNEL_BIND processed, success")
        for channel in relay.channel_refresh_at:
            relay.channel_refresh_at[channel] = time.time()
        for number in range(20):
            await hear(a, b, b"\x80 %d" % number)
        assert turn.log().count("CHANNEL_BIND processed, success") == bound + 1
        [(channel, due_s)] = [(n, t) for n, t in relay.channel_refresh_at.items() if t > time.time() + 60]
        assert due_s - time.time() <= 240
        assert channel in relay.channel_to_peer


@pytest.mark.parametrize("way", ["tcp", "tls"])
async def test_data_beyond_the_backlog_of_a_stalled_turn_server_is_dropped_and_counted(way: Kind, turn: Coturn) -> None:
    """Unpatched aioice buffers without limit, and a system several megabytes: minutes of audio, heard when the server
    reads again."""
    packet = b"\x80" * 1200
    async with connected(turn, turn.server(way)) as (a, b):
        with turn.standing_still():
            taken_bytes = 0
            while a.ice.send(packet):
                taken_bytes += len(packet)
                # The server's window of 64 KiB plus our queue and the system's buffer, 16 KiB each.
                assert taken_bytes < 200_000
                await asyncio.sleep(0)
            waiting_bytes = aioice_faults._unsent_bytes(relay_of(a).transport)
            assert not any(a.ice.send(packet) for _ in range(1000))
            assert a.ice.counters.unsent == 1001
            assert aioice_faults._unsent_bytes(relay_of(a).transport) == waiting_bytes
        async with asyncio.timeout(PATIENCE_S):
            while not a.ice.send(b"\x80 afterwards"):
                await b.datagrams.get()
            while await b.datagrams.get() != b"\x80 afterwards":
                pass


@pytest.mark.parametrize("way", ["tcp", "tls"])
async def test_end_of_the_turn_connection_is_reported_at_once(way: Kind, turn: Coturn) -> None:
    async with connected(turn, turn.server(way)) as (a, _):
        turn.stop()
        async with asyncio.timeout(PATIENCE_S):
            assert await a.losses.get() == "the connection to the TURN server was lost"
        assert a.ice.selected is None
        assert not a.ice.send(b"\x80")


async def test_close_does_not_wait_for_a_dead_turn_server(turn: Coturn) -> None:
    """Unpatched aioice repeats its request seven times, over 63 s."""
    async with connected(turn, turn.server("udp")) as (a, b):
        turn.stop()
        started_s = time.monotonic()
        await asyncio.gather(a.ice.close(), b.ice.close())
        assert time.monotonic() - started_s < 2.0
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_self_signed_turn_certificate_is_refused(turn: Coturn) -> None:
    settings = IceSettings((turn.server("tls"),), relay_only=True, gather_timeout_s=5.0)
    end = FullIce(settings, IceRecorder(), controlling=True)
    assert await end.gather() == ()
    assert "CERTIFICATE_VERIFY_FAILED" in str(end.failures)
    await end.close()


# -- the configuration that docs/how-to/turn.md shows

DOCUMENTED = [
    (EXAMPLES / name).read_text(encoding="utf-8") for name in ("turnserver.conf", "turnserver-one-server.conf")
]
INSIDE = ["10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.31.255.254", "192.168.1.1", "224.0.0.251"]


@covers("SE52")
@pytest.mark.parametrize(
    ("parts", "taken", "refused"),
    [(1, ["192.0.2.1", "203.0.113.9"], INSIDE), (2, ["192.0.2.1"], [*INSIDE, "203.0.113.9"])],
    ids=["for peers anywhere", "for visitors of one server"],
)
async def test_documented_coturn_does_not_relay_into_private_networks(
    parts: int, taken: list[str], refused: list[str], tmp_path: Path
) -> None:
    skip_for(coturn.missing())
    config = "".join(DOCUMENTED[:parts])
    with Coturn(tmp_path, config=config, secret="SECRET") as turn:
        known = time_limited_credentials("SECRET", "alice", now_unix_s=time.time(), lifetime_s=60)
        end = End(turn, [turn.server("udp", known.username, known.credential)], controlling=True)
        assert len(await end.ice.gather()) == 1
        [local] = end.ice._current.agent._protocols
        assert isinstance(local, aioice_faults.IceSocket)
        assert local.relay is not None
        for number, host in enumerate(taken, 0x4000):
            await local.relay.channel_bind(number, (host, 9))
        for number, host in enumerate(refused, 0x4100):
            with pytest.raises(aioice.stun.TransactionFailed, match="403"):
                await local.relay.channel_bind(number, (host, 9))
        await end.ice.close()
        assert "Black listing: 169.254.0.0" in turn.log()
        assert "Bad configuration" not in turn.log()
