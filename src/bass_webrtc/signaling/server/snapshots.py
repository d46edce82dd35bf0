"""Statistics as the site serves them: one snapshot for all requests, encoded once for each format.

    request ─► newer than 100 ms? ─► yes: the same bytes
                                └──► no: collect ─► encode, in steps between which the loop does other work

At 1,000 peers, collecting takes 35 ms and the text of the metrics 30 ms; no step takes more than about 2 ms.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from ...config import MAIN
from ...stats import ChannelStats, PeerStats, ServerStats, shallow_dict

Value = TypeVar("Value")
Stats = TypeVar("Stats")
Encode = Callable[[Stats], Iterator[str]]
"""Yields a document in parts."""

PEERS_PER_STEP = 50
_MIN_INTERVAL_S = 0.1
_MAX_SHARE = 0.2
"""Part of the time that snapshots may take; with many peers they are renewed less often."""
_NETWORK_FIELDS = {"local_address": "", "remote_address": ""}
"""Fields that identify a peer's network, without their values."""


class Snapshots(Generic[Stats]):
    """Encoded statistics, renewed at most 10 times per second. Used on one event loop."""

    def __init__(self, collect: Callable[[], Awaitable[Stats]], clock: Callable[[], float] = time.perf_counter) -> None:
        """
        Args:
            collect: Returns current statistics.
            clock: Monotonic time in seconds.
        """
        self._collect = collect
        self._clock = clock
        self._snapshot: asyncio.Task[Stats] | None = None
        self._documents: dict[Encode[Stats], asyncio.Task[bytes]] = {}
        self._renew_at_s = -math.inf

    async def encoded(self, encode: Encode[Stats]) -> bytes:
        """Return the current snapshot in one format."""
        snapshot = self._snapshot
        is_idle = all(task.done() for task in (*self._documents.values(), snapshot) if task is not None)
        if snapshot is None or (is_idle and self._clock() >= self._renew_at_s):
            self._renew_at_s = self._clock() + _MIN_INTERVAL_S
            self._documents = {}
            snapshot = self._snapshot = asyncio.create_task(self._timed(self._collect()))
        if encode not in self._documents:
            self._documents[encode] = asyncio.create_task(self._encode(encode, snapshot))
        # Shielded: other requests wait for the same document.
        return await asyncio.shield(self._documents[encode])

    async def _encode(self, encode: Encode[Stats], snapshot: asyncio.Task[Stats]) -> bytes:
        return await self._timed(_joined(encode(await snapshot)))

    async def _timed(self, work: Awaitable[Value]) -> Value:
        """Delay the next snapshot in proportion to the time that the work takes."""
        began_s = self._clock()
        value = await work
        self._renew_at_s += (self._clock() - began_s) / _MAX_SHARE
        return value


async def _joined(parts: Iterator[str]) -> bytes:
    found = []
    for part in parts:
        found.append(part)
        await asyncio.sleep(0)
    return "".join(found).encode()


def full_json(stats: ServerStats) -> Iterator[str]:
    """Yield the statistics as JSON."""
    return _json_parts(stats, {})


def anonymous_json(stats: ServerStats) -> Iterator[str]:
    """Yield the statistics as JSON, with empty addresses."""
    return _json_parts(stats, _NETWORK_FIELDS)


def channels_json(channels: Sequence[ChannelStats]) -> Iterator[str]:
    """Yield what a visitor may know of the channels, as JSON: where each is heard, and by how many."""
    yield _json({"channels": [_public(channel) for channel in channels]})


def _public(channel: ChannelStats) -> dict[str, Any]:
    return {
        "name": channel.name,
        "url": "/whep" if channel.name == MAIN else f"/whep/{channel.name}",
        "listeners": channel.listeners,
        "bitrates_kbps": channel.bitrates_kbps,
        "source_ended": channel.source_ended,
    }


def _json_parts(stats: ServerStats, replaced: dict[str, str]) -> Iterator[str]:
    server = replace(stats, peers=()).as_dict()
    del server["peers"]
    yield f'{_json(server)[:-1]}, "peers": ['
    for first in range(0, len(stats.peers), PEERS_PER_STEP):
        peers = stats.peers[first : first + PEERS_PER_STEP]
        yield (", " if first else "") + ", ".join(_peer_json(peer, replaced) for peer in peers)
    yield "]}"


def _peer_json(peer: PeerStats, replaced: dict[str, str]) -> str:
    return _json(shallow_dict(peer) | replaced)


def _json(values: dict[str, Any]) -> str:
    """Encode as JSON. It has no infinities, so the level of digital silence, -inf dBFS, becomes null."""
    try:
        return json.dumps(values, allow_nan=False)
    except ValueError:
        return json.dumps({name: _finite(value) for name, value in values.items()}, allow_nan=False)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
