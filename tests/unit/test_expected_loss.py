"""What players report of loss becomes what the encoder expects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from bass_webrtc.config import ServerConfig
from bass_webrtc.events import EventDispatcher
from bass_webrtc.loop_thread import LoopThread
from bass_webrtc.peer.connection import Connection
from bass_webrtc.peer.mux import UdpMux
from bass_webrtc.server import peers as server_peers
from bass_webrtc.server.peers import ServerPeers


class FakeEngine:
    def __init__(self) -> None:
        self.expected: list[int] = []

    def set_expected_loss(self, percent: int) -> None:
        self.expected.append(percent)


class FakeMux:
    def __init__(self) -> None:
        self.engine = FakeEngine()


class FakeConnection:
    """None: it plays nothing yet."""

    def __init__(self, fraction_lost: float | None) -> None:
        self.fraction_lost = fraction_lost


class Scene:
    """Peers with a clock of the test's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(server_peers, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        self._mux = FakeMux()
        unused = cast(Any, None)
        self.peers = ServerPeers(
            cast(UdpMux, self._mux),
            cast(LoopThread, unused),
            ServerConfig(),
            (),
            cast(EventDispatcher, unused),
            lambda connection: None,
            has_source=True,
        )

    def connect(self, fraction_lost: float | None) -> FakeConnection:
        connection = FakeConnection(fraction_lost)
        self.peers._peers[cast(Connection, connection)] = cast(Any, None)
        return connection

    @property
    def expected(self) -> list[int]:
        """What the encoder was told, in percent."""
        return self._mux.engine.expected


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_the_encoder_expects_what_players_lose_on_average(scene: Scene) -> None:
    for fraction_lost in (0.2, 0.0, None):
        scene.connect(fraction_lost)
    scene.peers.loss_reported()
    assert scene.expected == [10]


def test_it_is_told_once_a_second_at_most_and_only_what_is_new(scene: Scene) -> None:
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


def test_no_encoding_is_made_for_a_network_that_loses_nearly_everything(scene: Scene) -> None:
    scene.connect(0.9)
    scene.peers.loss_reported()
    assert scene.expected == [30]


def test_without_players_nothing_is_expected(scene: Scene) -> None:
    scene.connect(None)
    scene.peers.loss_reported()
    assert scene.expected == []
