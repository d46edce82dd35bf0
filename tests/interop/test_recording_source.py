"""A recording channel as source: a player hears what another program plays on this machine, without a gap.

``make bench ARGS=recording`` does the same for ten minutes.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support import pulse, sound_card, tones
from support.driving import connect, drive
from support.fixtures import skip_for
from support.opus import decode
from support.player import Certificate, Counters, Player
from support.reruns import real_time_audio

pytestmark = real_time_audio

LEARNING_S = 10.0
SECONDS = 10.0
MAX_BEND = 0.0055
"""How much the resampler may change the pitch to follow the card's clock, plus the error of the analysis."""


def test_recording_source_is_heard_without_underrun() -> None:
    """The tones on their channels, no underrun, no missing frame, no click."""
    skip_for(pulse.missing())
    with sound_card.playing_tones() as environment, sound_card.serving(environment) as url:
        player = Player(Certificate())
        connect(player, f"{url}whep")
        drive([player], lambda: False, LEARNING_S)  # The source adapts its buffer to this machine.
        before = sound_card.stats(url)
        packets: list[bytes] = []
        player.counters, player.on_rtp = Counters(), packets.append
        drive([player], lambda: False, SECONDS)
        after = sound_card.stats(url)
    assert after["source_underruns"] == before["source_underruns"]
    assert not after["source_ended"]
    assert player.counters.missing == 0
    samples = decode(packet[12:] for packet in player.decrypt(packets))[9600:]
    for channel, tone_hz in ((0, sound_card.LEFT_HZ), (1, sound_card.RIGHT_HZ)):
        heard_hz = tones.frequency_hz(samples[:, channel])
        assert heard_hz == pytest.approx(tone_hz, rel=MAX_BEND)
        assert tones.tone_dbfs(samples[:, channel], heard_hz) == pytest.approx(sound_card.LEVEL_DBFS, abs=1.0)
        assert tones.phase_jumps(samples[:, channel], tone_hz) == []


def test_input_and_output_return_with_their_sound_card() -> None:
    """The sound server is stopped and started again, which is the loss and the return of both devices."""
    skip_for(pulse.missing())
    with tempfile.TemporaryDirectory(prefix="bw-pulse-") as folder:
        card = pulse.PulseServer(Path(folder))
        try:
            environment = os.environ | card.environment
            with sound_card.serving(environment, "--input-device", "default") as url:
                _wait_until(lambda: _plays(environment))
                with sound_card.playing_on(environment):
                    _wait_until(lambda: _is_heard(url))
                assert sound_card.stats(url)["source_ends"] == 0
                card.close()
                _wait_until(lambda: sound_card.stats(url)["source_ended"])
                card = pulse.PulseServer(Path(folder))
                _wait_until(lambda: not sound_card.stats(url)["source_ended"])
                _wait_until(lambda: _plays(environment))
                assert not _is_heard(url), "nothing plays on it yet"
                with sound_card.playing_on(environment):
                    _wait_until(lambda: _is_heard(url))
                stats = sound_card.stats(url)
        finally:
            card.close()
    assert (stats["source_ends"], stats["source_reopenings"]) == (1, 1)
    assert stats["source_error"] == "BASS_ERROR_ENDED"


def _is_heard(url: str) -> bool:
    """Whether a new player hears both tones at their level, each on its channel."""
    player, packets = Player(Certificate()), list[bytes]()
    connect(player, f"{url}whep")
    player.on_rtp = packets.append
    drive([player], lambda: False, 1.5)
    player.delete()
    samples = decode(packet[12:] for packet in player.decrypt(packets))[-24_000:]
    tones_hz = enumerate((sound_card.LEFT_HZ, sound_card.RIGHT_HZ))
    return all(abs(tones.tone_dbfs(samples[:, at], hz) - sound_card.LEVEL_DBFS) < 2.0 for at, hz in tones_hz)


def _plays(environment: dict[str, str]) -> bool:
    command = ["pactl", "list", "short", "sink-inputs"]
    return bool(subprocess.run(command, env=environment, capture_output=True, check=True).stdout.strip())


def _wait_until(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.1)
