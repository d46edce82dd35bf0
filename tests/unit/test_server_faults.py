"""Errors inside a running server are reported, each kind once."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bass_webrtc.config import ServerConfig
from bass_webrtc.core import ChannelCounters, ChannelSettings, Engine, EngineStats
from bass_webrtc.errors import BassWebRtcError
from bass_webrtc.events import EventDispatcher
from bass_webrtc.server.channels import ServerChannels
from bass_webrtc.server.health import Faults, watch


class Reports:
    """``Faults`` with a clock set by the test, and the errors that they have reported."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.errors: list[BassWebRtcError] = []
        self._events = EventDispatcher(("error",))
        self._events.on("error", self.errors.append)
        self._events.start()
        self.faults = Faults(self._events, lambda: self.now_s)

    async def all(self) -> list[str]:
        await self._events.finish()
        return [str(error) for error in self.errors]


def fail(kind: type[Exception], text: str) -> Exception:
    try:
        raise kind(text)
    except Exception as error:
        return error


def test_each_kind_is_reported_and_logged_once_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    """The text of an exception does not make a new kind: a remote peer may be able to choose it."""
    reports = Reports()
    for number in range(1000):
        reports.faults.report("a request failed", fail(ValueError, f"number {number}"))
    reports.now_s = 3599.0
    reports.faults.report("a request failed", fail(ValueError, "still"))
    reports.now_s = 3600.0
    reports.faults.report("a request failed", fail(ValueError, "again"))
    assert asyncio.run(reports.all()) == [
        "a request failed: ValueError('number 0')",
        "a request failed: ValueError('again')",
    ]
    assert isinstance(reports.errors[0].__cause__, ValueError)
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 2


def test_different_kinds_are_reported_separately() -> None:
    reports = Reports()
    reports.faults.report("one thing")
    reports.faults.report("another thing")
    reports.faults.report("a request failed", fail(ValueError, "a"))
    reports.faults.report("a request failed", fail(TypeError, "a"))
    reports.faults.report("a request failed", ValueError("never raised"))
    assert len(asyncio.run(reports.all())) == 5


def test_number_of_remembered_kinds_is_limited() -> None:
    reports = Reports()
    for number in range(1000):
        reports.faults.report(f"thing {number}")
    assert len(asyncio.run(reports.all())) == 100


async def test_unhandled_exception_on_loop_is_reported() -> None:
    reports = Reports()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(reports.faults.handle)
    loop.call_soon(lambda: 1 // 0)
    await asyncio.sleep(0.01)
    (message,) = await reports.all()
    assert "division" in message


@dataclass
class FakeEngine:
    """Has only what ``watch`` uses."""

    encode_errors: int = 0
    is_healthy: bool = True

    def stats(self) -> EngineStats:
        return EngineStats(encode_errors=self.encode_errors)


async def watch_for(checks: int, engine: FakeEngine, reports: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    left = checks

    async def sleep(_seconds: float) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await watch(cast(Engine, engine), lambda: engine.is_healthy, reports.faults)
    monkeypatch.undo()


async def test_encoder_failure_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    reports, engine = Reports(), FakeEngine(encode_errors=3)
    await watch_for(5, engine, reports, monkeypatch)
    (message,) = await reports.all()
    assert "Opus" in message


@pytest.mark.parametrize(("checks", "messages"), [(1, 0), (2, 1), (50, 1)])
async def test_stalled_sender_is_reported_once_after_two_checks(
    checks: int, messages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One failed check is not enough: the whole process may have stalled."""
    reports = Reports()
    await watch_for(checks, FakeEngine(is_healthy=False), reports, monkeypatch)
    assert len(await reports.all()) == messages


async def test_healthy_audio_path_reports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = Reports()
    await watch_for(5, FakeEngine(), reports, monkeypatch)
    assert await reports.all() == []


class PacedEngine:
    """Two channels, the second of which was added after 100 s; the counters of both."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.counters = [ChannelCounters(), ChannelCounters()]

    def running_s(self, _now_s: float) -> float:
        return self.now_s

    def channel_counters(self, channel: int) -> ChannelCounters:
        return self.counters[channel]


@pytest.mark.parametrize(
    ("main", "second", "healthy"),
    [
        (ChannelCounters(frames_sent=6000), ChannelCounters(frames_sent=1000), True),
        (ChannelCounters(frames_sent=5000, frames_skipped=1000), ChannelCounters(frames_sent=951), True),
        (ChannelCounters(frames_sent=6000), ChannelCounters(frames_sent=950), False),
        (ChannelCounters(frames_sent=5950), ChannelCounters(frames_sent=1000), False),
        (ChannelCounters(frames_sent=6000), ChannelCounters(), False),
    ],
)
def test_server_is_healthy_while_every_channel_keeps_the_pace(
    main: ChannelCounters, second: ChannelCounters, healthy: bool
) -> None:
    engine = PacedEngine()
    channels = ServerChannels(cast(Engine, engine), ServerConfig(), cast(Any, None))
    for number, name in enumerate(("main", "second")):
        watch = SimpleNamespace(channel=number, engine=engine)
        channels._keep(cast(Any, SimpleNamespace(name=name)), cast(Any, watch), ChannelSettings.of(ServerConfig()))
        engine.now_s += 100.0
    engine.now_s, engine.counters = 120.0, [main, second]
    assert channels.keep_pace() is healthy
