"""The loss that players report sets the loss that the encoder expects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from bass_webrtc.config import ServerConfig
from bass_webrtc.events import EventDispatcher
from bass_webrtc.loop_thread import LoopThread
from bass_webrtc.peer.host import Connection, EngineHost
from bass_webrtc.server import peers as server_peers
from bass_webrtc.server.peers import ServerPeers


class FakeEngine:
    def __init__(self) -> None:
        self.expected: list[int] = []

    def set_expected_loss(self, percent: int) -> None:
        self.expected.append(percent)


class FakeHost:
    def __init__(self) -> None:
        self.engine = FakeEngine()


class FakeConnection:
    """A connection; None: no report yet."""

    def __init__(self, fraction_lost: float | None) -> None:
        self.fraction_lost = fraction_lost


class Scene:
    """Peers, and a clock set by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(server_peers, "time", SimpleNamespace(perf_counter=lambda: self.now_s))
        self._host = FakeHost()
        unused = cast(Any, None)
        self.peers = ServerPeers(
            cast(EngineHost, self._host),
            None,
            cast(LoopThread, unused),
            ServerConfig(),
            (),
            cast(EventDispatcher, unused),
            has_source=True,
        )

    def connect(self, fraction_lost: float | None) -> FakeConnection:
        connection = FakeConnection(fraction_lost)
        self.peers._peers[cast(Connection, connection)] = cast(Any, None)
        return connection

    @property
    def expected(self) -> list[int]:
        """The values set at the encoder, in percent."""
        return self._host.engine.expected


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
