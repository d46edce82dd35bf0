"""Other people's web clients in Chromium play and publish, from another origin, with and without video."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bass_webrtc as bw
from support import browsers, web_clients
from support.browsers import Chromium
from support.fixtures import skip_for
from support.media_server import MediaServer
from support.patience import wait_until
from support.publisher_recorder import Recorder, assert_tones_settling
from support.reruns import real_time_audio
from support.web_clients import WebClientTab

pytestmark = real_time_audio

VIDEO = (False, True)
PLAYED_HZ = {"whip-whep": (440.0, 880.0), "eyevinn": (440.0, 440.0)}
"""Eyevinn's player does not ask for stereo, and a browser then plays mono."""
PUBLISHED_HZ = ((500.0, 700.0), (600.0, 900.0))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MediaServer]:
    skip_for(browsers.missing_chromium() or web_clients.missing())
    folder: Path = tmp_path_factory.mktemp("page")
    web_clients.build_page(folder)
    with MediaServer(folder) as server:
        yield server


@pytest.fixture(scope="module")
def chromium(page: MediaServer) -> Iterator[Chromium]:
    with Chromium() as chromium:
        yield chromium


@pytest.fixture
def server(page: MediaServer, name: str) -> Iterator[bw.Server]:
    config = bw.ServerConfig(
        http_port=0, udp_port=0, max_peers_per_address=5, allow_origins=(page.origin,), token="a-token"
    )
    with bw.Server(bw.Tone(*PLAYED_HZ[name]), config) as server:
        server.start()
        yield server


@pytest.mark.parametrize("name", web_clients.CLIENTS)
def test_foreign_web_client_plays_and_publishes_across_origins(
    chromium: Chromium, page: MediaServer, server: bw.Server, name: str
) -> None:
    """Four tabs at once. No request fails, and each client's own method ends its session."""
    tabs = [WebClientTab(chromium, page.origin) for _ in range(4)]
    failed: list[str] = []

    def check(response: Any) -> None:
        if not response.ok:
            failed.append(f"{response.request.method} {response.url}: {response.status}")

    for tab in tabs:
        tab.tab.page.on("response", check)  # type: ignore[attr-defined]
    players, publishers = tabs[:2], tabs[2:]
    for tab, video, tone_hz in zip(publishers, VIDEO, PUBLISHED_HZ, strict=True):
        tab.publish(name, f"{server.url}whip", "a-token", tone_hz, video=video)
    for tab, video in zip(players, VIDEO, strict=True):
        tab.play(name, f"{server.url}whep", "a-token", video=video)
    wait_until(lambda: [peer.state for peer in server.peers] == ["connected"] * 4)
    publishing = sorted((peer for peer in server.peers if peer.kind == "publisher"), key=lambda peer: peer.id)
    with contextlib.ExitStack() as stack:
        recorders = [stack.enter_context(Recorder(peer.read)) for peer in publishing]
        for tab in players:
            assert_tones_settling(tab.record, *PLAYED_HZ[name])
        for recorder, tone_hz in zip(recorders, PUBLISHED_HZ, strict=True):
            recorder.wait_for_sound()
            assert_tones_settling(recorder.take, *tone_hz)
    for tab in tabs:
        tab.stop()
    wait_until(lambda: server.peers == ())
    assert failed == []
    for tab in tabs:
        tab.tab.close()
