"""What a sender's process uses with more and more listeners, each figure beside that of a bare loop in C.

    listeners   bare loop (limit_loop.c): AES-GCM and paced batches of the same packets, nothing else
                bass-webrtc: encodes once; ICE, DTLS, RTCP
                MediaMTX: relays what a client of ours pushes to it; only where its binary is
                aiortc: packets encoded beforehand

The receivers of all are the same: the processes of ``PlayerFarm``, over the same link, with the same number of sockets,
each connected and with an address of its own, read by the same epoll loop. A sender pays for waking its receivers, so a
loop whose packets nobody reads would look twice as fast. The bare loop's receivers only count: they have no ICE, DTLS
and RTCP, because the loop has none. The loop has the product's real-time priority, because who is preempted pays, too.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from support import usage
from support.child import Child
from support.client_peers import ClientProcess
from support.compiled import compiled
from support.farm import PlayerFarm
from support.mediamtx import MediaMtx
from support.server_process import ServerProcess

from .report import Report, quantile
from .stage import Stage

SETTLE_S = 2.0
# The server keeps the lateness of the last 10 s.
WINDOW_S = 10.5
FARM_WORKERS = 2
IN_FLIGHT = 8
TRIES = 3
_HEADINGS = (
    "CPU",
    "per listener",
    "x bare loop",
    "memory",
    "ms p50/p99/max",
    "late frames",
    "missing",
    "players' CPU",
)


@dataclass(frozen=True)
class Timing:
    """How punctual a sender was since it was last asked."""

    lateness_us: dict[str, float]
    """Of each frame's last packet: ``p50``, ``p99`` and ``max``."""
    late_frames: int
    """Later than one frame."""
    skipped: int = 0
    """Frames that were never sent."""


@dataclass(frozen=True)
class Load:
    """Resources that a sender's process used with some listeners."""

    listeners: int
    receiving: int
    """Listeners that received anything: a server costs less when it has lost some, or they could not connect."""
    cpu_percent: float
    """Percent of one core."""
    memory_kb: float
    farm_percent: float
    """Percent of one core that the players' processes used."""
    packets: int
    missing: int
    """Packets that did not arrive at those that received any, and frames that were never sent."""
    connect_s: float
    """Time to connect all listeners."""
    failed: int
    """Attempts to connect that failed."""
    timing: Timing | None = None
    threads: dict[str, float] = field(default_factory=dict)
    """Percent of one core that threads used, by name."""


class Sender(Protocol):
    """A measured process."""

    @property
    def pid(self) -> int:
        """Its process."""

    def connect(self, farm: PlayerFarm, count: int) -> int:
        """Connect more players; return how many attempts failed. Each player has ``TRIES`` of them."""

    def timing(self) -> Timing | None:
        """Return its punctuality since the last call; None if it does not measure that."""


class BareLoop:
    """``limit_loop.c``."""

    def __init__(self, stage: Stage) -> None:
        binary = compiled(Path(__file__).with_name("limit_loop.c"), "-pthread", "-lcrypto")
        self._address = stage.address
        self._process = Child(str(binary), stage.address, host=stage.server, program=())
        self._port = int(self._process.read_line())
        self.pid = self._process.pid

    def connect(self, farm: PlayerFarm, count: int) -> int:
        for host, port in farm.listen(self._address, self._port, count):
            self._process.write_line(f"peer {host} {port}")
        return 0

    def timing(self) -> Timing:
        self._process.write_line("report")
        late, *late_us = map(int, self._process.read_line().split())
        quantiles = {"p50": quantile(late_us, 0.5), "p99": quantile(late_us, 0.99), "max": max(late_us)}
        return Timing(quantiles, late)

    def __enter__(self) -> BareLoop:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()


class Endpoint:
    """A server that players reach by WHEP."""

    def __init__(self, pid: int, whep_url: str) -> None:
        self.pid = pid
        self._whep_url = whep_url

    def connect(self, farm: PlayerFarm, count: int) -> int:
        failed = 0
        for _ in range(TRIES):
            _, failures = farm.try_connect(self._whep_url, count, in_flight=IN_FLIGHT)
            count = sum(failures.values())
            failed += count
            if count == 0:
                break
        return failed

    def timing(self) -> Timing | None:
        return None


class OurEndpoint(Endpoint):
    """bass-webrtc, which measures its lateness."""

    def __init__(self, server: ServerProcess) -> None:
        super().__init__(server.pid, server.whep_url)
        self._server = server
        self._last = server.stats()

    def timing(self) -> Timing:
        before, self._last = self._last, self._server.stats()
        late, skipped = (self._last[name] - before[name] for name in ("late_frames", "frames_skipped"))
        return Timing(self._last["send_lateness_us"], late, skipped)


@contextmanager
def our_server(stage: Stage, listeners: int, **config: Any) -> Iterator[OurEndpoint]:
    """Start a server of ours for so many listeners; it has room for those that try again."""
    config = {"max_peers": listeners + listeners // 10, **config}
    with ServerProcess(stage.server, http_host=stage.address, **config) as server:
        yield OurEndpoint(server)


@contextmanager
def mediamtx_server(stage: Stage) -> Iterator[Endpoint]:
    """Start MediaMTX and push a tone of 128 kbit/s to it from the players' side."""
    with (
        tempfile.TemporaryDirectory() as folder,
        MediaMtx(Path(folder), host=stage.server, address=stage.address) as media,
        ClientProcess("push", media.url("radio", "whip"), stage.players),
    ):
        yield Endpoint(media.pid, media.url("radio", "whep"))


@contextmanager
def aiortc_server(stage: Stage) -> Iterator[Endpoint]:
    """Start aiortc, which sends packets encoded beforehand."""
    with Child("bench.aiortc_server", stage.address, host=stage.server) as server:
        yield Endpoint(server.pid, f"http://{stage.address}:{server.read_line()}/whep")


def player_farm(stage: Stage) -> PlayerFarm:
    """Start the players' processes."""
    return PlayerFarm(stage.players, network=stage.network, workers=FARM_WORKERS)


class Table:
    """Measures senders and prints a row for each number of listeners."""

    def __init__(self, stage: Stage, report: Report) -> None:
        self._stage = stage
        self._report = report
        self._bare: dict[int, Load] = {}
        report.row("", *_HEADINGS)

    def climb_bare(self, counts: Sequence[int]) -> dict[int, Load]:
        """Measure the bare loop, the comparison for all others, at these numbers of listeners."""
        self._bare = self.climb("bare loop", lambda: BareLoop(self._stage), counts)
        return self._bare

    def climb(
        self,
        name: str,
        start: Callable[[], AbstractContextManager[Sender]],
        counts: Sequence[int],
    ) -> dict[int, Load]:
        """Measure a sender at these growing numbers of listeners, at which the bare loop was measured before."""
        loads: dict[int, Load] = {}
        connect_s, failed = 0.0, 0
        with start() as sender, player_farm(self._stage) as farm:
            for before, count in zip((0, *counts), counts, strict=False):
                start_s = time.monotonic()
                failed += sender.connect(farm, count - before)
                connect_s += time.monotonic() - start_s
                loads[count] = _measure(sender, farm, count, connect_s, failed)
                self._print(name, loads[count], loads.get(before))
        return loads

    def _multiple(self, load: Load) -> str:
        """Return the load as a multiple of the bare loop's; empty if that used no time that could be measured."""
        bare = self._bare.get(load.listeners, load)
        return f"{load.cpu_percent / bare.cpu_percent:.2f}" if bare.cpu_percent > 0 else ""

    def _print(self, name: str, load: Load, fewer: Load | None) -> None:
        late = [f"{load.timing.lateness_us[key] / 1000:.1f}" for key in ("p50", "p99", "max")] if load.timing else []
        self._report.row(
            f"{name}, {load.listeners:,} listener{'s'[: load.listeners > 1]}",
            f"{load.cpu_percent:.2f} %",
            f"{load.cpu_percent / load.listeners:.4f} %" if load.receiving == load.listeners else "",
            self._multiple(load) if load.receiving == load.listeners else f"{load.receiving:,} receive",
            f"{added_memory_kb(fewer, load):.1f} kB" if fewer else "",
            "/".join(late),
            load.timing.late_frames if load.timing else "",
            f"{load.missing}/{load.packets}",
            f"{load.farm_percent:.1f} %",
        )


def added_memory_kb(fewer: Load, more: Load) -> float:
    """Return the memory per added listener: what a process allocates once is no cost of a listener."""
    return max(0.0, (more.memory_kb - fewer.memory_kb) / (more.listeners - fewer.listeners))


def added_cpu_percent(fewer: Load, more: Load) -> float:
    """Return the percent of a core per added listener."""
    return (more.cpu_percent - fewer.cpu_percent) / (more.listeners - fewer.listeners)


def _measure(sender: Sender, farm: PlayerFarm, listeners: int, connect_s: float, failed: int) -> Load:
    time.sleep(SETTLE_S)
    sender.timing()
    farm.reset()
    start_s, threads_s = time.monotonic(), usage.threads_cpu_s(sender.pid)
    sender_s, farm_s = usage.cpu_s(sender.pid), _farm_s(farm)
    time.sleep(WINDOW_S)
    percent = 100 / (time.monotonic() - start_s)
    sender_s, farm_s = usage.cpu_s(sender.pid) - sender_s, _farm_s(farm) - farm_s
    threads = {
        name: percent * (used_s - threads_s.get(name, 0.0)) for name, used_s in usage.threads_cpu_s(sender.pid).items()
    }
    received = farm.report()
    timing = sender.timing()
    return Load(
        listeners,
        sum(packets > 0 for packets in received.packets),
        percent * sender_s,
        usage.memory_kb(sender.pid),
        percent * farm_s,
        sum(received.packets),
        sum(received.missing) + (timing.skipped * listeners if timing else 0),
        connect_s,
        failed,
        timing,
        threads,
    )


def _farm_s(farm: PlayerFarm) -> float:
    return sum(usage.cpu_s(pid) for pid in farm.pids)
