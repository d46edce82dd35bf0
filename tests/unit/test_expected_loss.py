"""The loss that players report sets the loss that the encoder expects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from bass_webrtc.config import ServerConfig
from bass_webrtc.core import ChannelSettings
from bass_webrtc.peer.host import Connection
from bass_webrtc.server import peers as server_peers
from bass_webrtc.server.channels import RunningChannel
from bass_webrtc.server.peers import ServerPeers


class FakeEngine:
    def __init__(self) -> None:
        self.expected: list[tuple[int, int, int]] = []

    def set_expected_loss(self, percent: int, channel: int, encoding: int) -> None:
        self.expected.append((channel, encoding, percent))

    def running_s(self, _now_s: float) -> float:
        return 0.0


class FakeConnection:
    """A connected player; None: no report yet."""

    kind = "player"
    state = "connected"

    def __init__(self, fraction_lost: float | None, channel: RunningChannel, encoding: int) -> None:
        self.fraction_lost = fraction_lost
        self.channel = channel
        self.encoding = encoding


class Scene:
    """Peers of two channels with two encodings each, and a clock set by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(server_peers, "time", SimpleNamespace(perf_counter=lambda: self.now_s))
        self._engine = FakeEngine()
        self._channels = [self.make_channel(number, name) for number, name in enumerate(("main", "jazz"))]
        unused = cast(Any, None)
        self.peers = ServerPeers(unused, None, unused, ServerConfig(), (), unused, cast(Any, self._channels))

    def make_channel(self, number: int, name: str) -> RunningChannel:
        watch = SimpleNamespace(channel=number, engine=self._engine)
        settings = ChannelSettings.of(ServerConfig(bitrate_kbps=128, fallback_bitrates_kbps=(48,)))
        return RunningChannel(cast(Any, SimpleNamespace(name=name)), cast(Any, watch), settings, 20)

    def connect(
        self, fraction_lost: float | None, channel: int | RunningChannel = 0, encoding: int = 0
    ) -> FakeConnection:
        heard = self._channels[channel] if isinstance(channel, int) else channel
        connection = FakeConnection(fraction_lost, heard, encoding)
        self.peers._peers[cast(Connection, connection)] = cast(Any, None)
        return connection

    @property
    def expected(self) -> list[int]:
        """The values set at the first encoder of the first channel, in percent."""
        return [percent for channel, encoding, percent in self._engine.expected if channel == encoding == 0]

    @property
    def all_expected(self) -> list[tuple[int, int, int]]:
        """Channel, encoding and percent of each value set."""
        return self._engine.expected


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_encoder_expects_mean_loss_of_players(scene: Scene) -> None:
    for fraction_lost in (0.2, 0.0, None):
        scene.connect(fraction_lost)
    scene.peers.loss_reported()
    assert scene.expected == [10]


def test_expected_loss_changes_at_most_once_a_second(scene: Scene) -> None:
    first, _ = scene.connect(0.2), scene.connect(0.0)
    scene.peers.loss_reported()
    first.fraction_lost = 0.4
    scene.now_s += 0.99
    scene.peers.loss_reported()
    assert scene.expected == [10]
    scene.now_s += 0.02
    scene.peers.loss_reported()
    assert scene.expected == [10, 20]
    scene.now_s += 1.01
    scene.peers.loss_reported()
    assert scene.expected == [10, 20]


def test_expected_loss_is_limited_to_30_percent(scene: Scene) -> None:
    scene.connect(0.9)
    scene.peers.loss_reported()
    assert scene.expected == [30]


def test_no_players_means_no_expected_loss(scene: Scene) -> None:
    scene.connect(None)
    scene.peers.loss_reported()
    assert scene.expected == []


def test_each_encoder_expects_the_loss_of_its_own_listeners(scene: Scene) -> None:
    scene.connect(0.2)
    scene.connect(0.1, encoding=1)
    scene.connect(0.05, channel=1, encoding=1)
    scene.peers.loss_reported()
    assert scene.all_expected == [(0, 0, 20), (0, 1, 10), (1, 1, 5)]


def test_loss_of_a_listener_that_has_moved_counts_for_its_new_channel(scene: Scene) -> None:
    listener = scene.connect(0.2)
    scene.peers.loss_reported()
    listener.channel = scene.connect(None, channel=1).channel
    scene.now_s += 1.01
    scene.peers.loss_reported()
    assert scene.all_expected == [(0, 0, 20), (0, 0, 0), (1, 0, 20)]


def test_listeners_of_a_closing_channel_are_not_those_of_a_new_one_of_its_name(scene: Scene) -> None:
    closing = scene.make_channel(7, "jazz")
    scene.connect(0.2, closing)
    joined = scene.connect(0.0, channel=1)
    scene.peers.loss_reported()
    assert scene.all_expected == []
    assert scene.peers.listeners() == {closing: 1, joined.channel: 1}
