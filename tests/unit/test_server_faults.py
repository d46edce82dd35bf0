"""What fails by itself is told, and told once."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, cast

import pytest

from bass_webrtc.core import Engine, EngineStats
from bass_webrtc.errors import BassWebRtcError
from bass_webrtc.events import EventDispatcher
from bass_webrtc.server.health import Faults, watch


class Told:
    """Faults whose events are heard, at a time that the test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.errors: list[BassWebRtcError] = []
        self._events = EventDispatcher(("error",))
        self._events.on("error", self.errors.append)
        self._events.start()
        self.faults = Faults(self._events, lambda: self.now_s)

    def all(self) -> list[str]:
        self._events.stop()
        return [str(error) for error in self.errors]


def fail(kind: type[Exception], text: str) -> Exception:
    try:
        raise kind(text)
    except Exception as error:
        return error


def test_one_kind_is_told_and_logged_once_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    """A stranger who can make a line of ours fail decides what the exception says, so that is no other kind."""
    told = Told()
    for number in range(1000):
        told.faults.tell("a request failed", fail(ValueError, f"number {number}"))
    told.now_s = 3599.0
    told.faults.tell("a request failed", fail(ValueError, "still"))
    told.now_s = 3600.0
    told.faults.tell("a request failed", fail(ValueError, "again"))
    assert told.all() == ["a request failed: ValueError('number 0')", "a request failed: ValueError('again')"]
    assert isinstance(told.errors[0].__cause__, ValueError)
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 2


def test_other_kinds_are_told_as_well() -> None:
    told = Told()
    told.faults.tell("one thing")
    told.faults.tell("another thing")
    told.faults.tell("a request failed", fail(ValueError, "a"))
    told.faults.tell("a request failed", fail(TypeError, "a"))
    told.faults.tell("a request failed", ValueError("never raised"))
    assert len(told.all()) == 5


def test_no_more_kinds_are_remembered_than_there_is_room_for() -> None:
    told = Told()
    for number in range(1000):
        told.faults.tell(f"thing {number}")
    assert len(told.all()) == 100


async def test_an_exception_that_nobody_waits_for_is_told() -> None:
    told = Told()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(told.faults.handle)
    loop.call_soon(lambda: 1 // 0)
    await asyncio.sleep(0.01)
    (message,) = told.all()
    assert "division" in message


@dataclass
class FakeEngine:
    """Has nothing but what is looked at."""

    encode_errors: int = 0
    is_healthy: bool = True

    def stats(self) -> EngineStats:
        return EngineStats(encode_errors=self.encode_errors)


async def watch_for(looks: int, engine: FakeEngine, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    left = looks

    async def sleep(_seconds: float) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await watch(cast(Engine, engine), lambda: engine.is_healthy, told.faults)
    monkeypatch.undo()


async def test_an_encoder_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told, engine = Told(), FakeEngine(encode_errors=3)
    await watch_for(5, engine, told, monkeypatch)
    (message,) = told.all()
    assert "Opus" in message


@pytest.mark.parametrize(("looks", "messages"), [(1, 0), (2, 1), (50, 1)])
async def test_a_sender_that_stands_still_is_told(looks: int, messages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look is no proof: the whole process may have stood still."""
    told = Told()
    await watch_for(looks, FakeEngine(is_healthy=False), told, monkeypatch)
    assert len(told.all()) == messages


async def test_nothing_is_told_of_an_audio_path_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    told: Any = Told()
    await watch_for(5, FakeEngine(), told, monkeypatch)
    assert told.all() == []
