"""The engine's calls on peers, and its clock."""

from __future__ import annotations

import logging
import time

import pytest

from bass_webrtc.config import MAX_FAN_OUT_THREADS, ReceiveEnhancement, ServerConfig
from bass_webrtc.core import Engine, PeerKeys, SendingStream
from bass_webrtc.core.compiled import lib
from bass_webrtc.core.libraries import libraries
from bass_webrtc.core.playout import Playout


def test_nacks_of_a_peer_do_not_block_other_commands() -> None:
    engine = Engine(ServerConfig(), 1, None)
    engine.add_peer(0, PeerKeys(7, bytes(28), bytes(28)), SendingStream(1, 0, 0, 111), None)
    for sequence in range(5_000):  # More than the command ring holds.
        engine.resend(0, sequence)
    engine.set_redundancy(0, 1)
    engine.remove_peer(0)
    engine.close()


def test_clock_of_the_core_is_perf_counter() -> None:
    """A machine that has slept tells it from other monotonic clocks, which go on during sleep."""
    engine = Engine(ServerConfig(), 1, None)
    before_s = time.perf_counter()
    engine.start()
    while engine.running_s(before_s) == 0.0:
        assert time.perf_counter() < before_s + 10.0, "the sending thread has not started"
    started_s = before_s - engine.running_s(before_s)
    assert before_s <= started_s <= time.perf_counter()
    engine.close()


@pytest.mark.parametrize("mode", ["auto", "on", "off"])
def test_only_enhancement_that_is_demanded_and_missing_is_logged(
    mode: ReceiveEnhancement, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    def refuse(_playout: Playout, mode: ReceiveEnhancement) -> bool:
        asked.append(mode)
        return False

    monkeypatch.setattr(Playout, "set_enhancement", refuse)
    with caplog.at_level(logging.WARNING):
        Engine(ServerConfig(receive_enhancement=mode), 1, None).close()
    assert asked == [mode]
    assert ("receive_enhancement is 'on'" in caplog.text) == (mode == "on")


def test_playout_tells_whether_libopus_can_enhance() -> None:
    engine = Engine(ServerConfig(receive_enhancement="off"), 1, None)
    assert engine.playout.set_enhancement("off")
    assert engine.playout.set_enhancement("on") == engine.playout.set_enhancement("auto") == libraries().osce
    engine.close()
    assert engine.playout.set_enhancement("on")


def test_limits_in_python_are_those_of_the_core() -> None:
    assert MAX_FAN_OUT_THREADS == lib.BW_MAX_FAN_OUTS
