"""Statistics as the site serves them: made at most 10 times per second, and in short steps."""

from __future__ import annotations

import asyncio
import dataclasses
import json

from bass_webrtc.signaling.server.metrics import exposition, families
from bass_webrtc.signaling.server.snapshots import Snapshots, anonymous_json, full_json
from bass_webrtc.stats import PeerStats, ServerStats


def peer(number: int) -> PeerStats:
    return PeerStats(
        number,
        "player",
        "connected",
        1.0,
        packets_sent=5,
        local_address="192.0.2.1:8189",
        remote_address="198.51.100.7:5000",
    )


class Scene:
    """A clock, and statistics that count how often they were collected."""

    def __init__(self, peers: int = 0, takes_s: float = 0.0) -> None:
        self.now_s = 100.0
        self.collected = 0
        self._takes_s = takes_s
        self._peers = tuple(map(peer, range(peers)))
        self.snapshots = Snapshots(self._collect, lambda: self.now_s)

    async def _collect(self) -> ServerStats:
        self.collected += 1
        self.now_s += self._takes_s
        await asyncio.sleep(0)
        return ServerStats(frames_sent=self.collected, peers=self._peers)


async def test_requests_share_a_snapshot_for_100_ms() -> None:
    scene = Scene()
    first = await asyncio.gather(*(scene.snapshots.encoded(full_json) for _ in range(50)))
    assert (len(set(first)), scene.collected) == (1, 1)
    scene.now_s += 0.09
    assert await scene.snapshots.encoded(full_json) == first[0]
    assert b"bass_webrtc_frames_sent_total 1.0" in await scene.snapshots.encoded(families)
    assert scene.collected == 1
    scene.now_s += 0.02
    assert json.loads(await scene.snapshots.encoded(full_json))["frames_sent"] == 2
    assert b"bass_webrtc_frames_sent_total 2.0" in await scene.snapshots.encoded(families)


async def test_snapshots_take_at_most_a_fifth_of_the_time() -> None:
    scene = Scene(takes_s=0.1)
    await scene.snapshots.encoded(full_json)
    scene.now_s += 0.45
    await scene.snapshots.encoded(full_json)
    assert scene.collected == 1
    scene.now_s += 0.1
    await scene.snapshots.encoded(full_json)
    assert scene.collected == 2


async def test_cancelled_request_does_not_fail_the_others() -> None:
    scene = Scene()
    tasks = [asyncio.create_task(scene.snapshots.encoded(full_json)) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    assert await tasks[1] == await tasks[2]


async def test_failure_is_not_kept() -> None:
    calls: list[int] = []

    async def collect() -> ServerStats:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("closed")
        return ServerStats()

    clock = [0.0]
    snapshots = Snapshots(collect, lambda: clock[0])
    failures = await asyncio.gather(snapshots.encoded(full_json), return_exceptions=True)
    assert isinstance(failures[0], RuntimeError)
    clock[0] = 0.2
    assert json.loads(await snapshots.encoded(full_json))["peers"] == []


def test_json_has_every_field() -> None:
    stats = ServerStats(peers=tuple(map(peer, range(120))))
    found = json.loads("".join(full_json(stats)))
    assert found == json.loads(json.dumps(dataclasses.asdict(stats)))


def test_anonymous_json_has_no_address() -> None:
    """The fields remain, empty."""
    stats = ServerStats(peers=(peer(1),))
    text = "".join(anonymous_json(stats))
    assert "192.0.2.1" not in text
    assert "198.51.100.7" not in text
    (found,) = json.loads(text)["peers"]
    assert (found["local_address"], found["remote_address"], found["packets_sent"]) == ("", "", 5)


def test_documents_are_made_in_short_steps() -> None:
    """Other work runs between two steps: none has more than 50 peers, or one metric."""
    stats = ServerStats(peers=tuple(map(peer, range(1000))))
    assert max(part.count('"id"') for part in full_json(stats)) == 50
    assert max(part.count("# TYPE") for part in families(stats)) == 1
    assert exposition(stats).count(b"bass_webrtc_peer_connected_s{") == 1000
