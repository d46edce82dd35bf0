"""Foreign WebRTC stacks play, publish and serve: libdatachannel (of OBS), werift, libwebrtc in node, GStreamer."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import bass_webrtc as bw
from support import node_peer, player_gstreamer
from support.certificates import write_certificate
from support.client_peers import connect
from support.fixtures import skip_for
from support.node_peer import NodePeer
from support.patience import wait_until
from support.player_gstreamer import GStreamerPlayer
from support.publisher_recorder import Recorder, assert_tones_settling
from support.reruns import real_time_audio

pytestmark = real_time_audio

TONE = bw.Tone(440.0, 880.0)
VIDEO = (False, True)
X509_V2, X509_V3 = b"\xa0\x03\x02\x01\x01", b"\xa0\x03\x02\x01\x02"
LONGER_THAN_ANY_TIMEOUT_S = 17.0


@pytest.fixture(autouse=True)
def node() -> None:
    skip_for(node_peer.missing())


@pytest.fixture
def server() -> Iterator[bw.Server]:
    config = bw.ServerConfig(http_port=0, udp_port=0, max_peers_per_address=5, token="a-token")
    with bw.Server(TONE, config) as server:
        server.start()
        yield server


@pytest.mark.parametrize("stack", node_peer.STACKS)
def test_foreign_player_hears_us_with_and_without_video_in_its_offer(server: bw.Server, stack: str) -> None:
    """libdatachannel sends no reports, or such that carry our SSRC as their sender's."""
    with ExitStack() as processes:
        players = [
            processes.enter_context(
                NodePeer(stack, "play", f"{server.url}whep", token="a-token", video=video, reports=video)
            )
            for video in VIDEO
        ]
        for player, video in zip(players, VIDEO, strict=True):
            player.connect()
            assert ("m=video" in player.offer) == video
        for player in players:
            assert_tones_settling(player.listen, 440.0, 880.0)
        if stack == "libdatachannel":
            wait_until(lambda: min(peer.stats().connected_s for peer in server.peers) > LONGER_THAN_ANY_TIMEOUT_S, 20.0)
            for player in players:
                assert_tones_settling(player.listen, 440.0, 880.0)
        assert [player.state() for player in players] == ["connected", "connected"]
        assert [peer.stats().srtp_errors for peer in server.peers] == [0, 0]
        assert [player.stop() for player in players] == [200, 200]
    wait_until(lambda: server.peers == ())


def test_gstreamer_hears_us_with_and_without_video_in_its_offer(tmp_path: Path) -> None:
    skip_for(player_gstreamer.missing())
    offered = (("audio",), ("audio", "video"), ("video", "audio"))
    with (
        bw.Server(TONE, bw.ServerConfig(http_port=0, udp_port=0, max_peers_per_address=5)) as server,
        ExitStack() as stack,
    ):
        server.start()
        players = [
            stack.enter_context(GStreamerPlayer(f"{server.url}whep", tmp_path / "-".join(kinds), kinds))
            for kinds in offered
        ]
        for player, kinds in zip(players, offered, strict=True):
            player.connect()
            assert re.findall(r"m=(\w+)", player.answer) == list(kinds)
        for player in players:
            wait_until(lambda player=player: player.seconds() > 2.0)  # type: ignore[misc]
            assert_tones_settling(player.last, 440.0, 880.0)
        assert [player.stop() for player in players] == [200, 200, 200]
        wait_until(lambda: server.peers == ())


@pytest.mark.parametrize("stack", node_peer.STACKS)
def test_foreign_publisher_is_heard_with_and_without_video_in_its_offer(server: bw.Server, stack: str) -> None:
    tones_hz = ((500.0, 700.0), (600.0, 900.0))
    with ExitStack() as stack_of:
        publishers = [
            stack_of.enter_context(
                NodePeer(stack, "publish", f"{server.url}whip", tone_hz, token="a-token", video=video)
            )
            for tone_hz, video in zip(tones_hz, VIDEO, strict=True)
        ]
        for publisher, video in zip(publishers, VIDEO, strict=True):
            publisher.connect()
            assert ("m=video" in publisher.offer) == video
        recorders = [stack_of.enter_context(Recorder(peer.read)) for peer in server.peers]
        for recorder, tone_hz in zip(recorders, tones_hz, strict=True):
            recorder.wait_for_sound()
            assert_tones_settling(recorder.take, *tone_hz)
        for peer in server.peers:
            assert (peer.stats().packets_lost, peer.stats().srtp_errors, peer.stats().decode_errors) == (0, 0, 0)
        assert [publisher.stop() for publisher in publishers] == [200, 200]
    wait_until(lambda: server.peers == ())


def test_obs_on_linux_is_heard(server: bw.Server, tmp_path: Path) -> None:
    """Its libdatachannel, up to 0.22, makes a certificate whose version cryptography refuses."""
    certificate, key = _write_certificate_of_unknown_version(tmp_path)
    settings = {"certificate": str(certificate), "key": str(key), "video": True, "token": "a-token"}
    with NodePeer("libdatachannel", "publish", f"{server.url}whip", (500.0, 700.0), **settings) as obs:
        obs.connect()
        (peer,) = server.peers
        with Recorder(peer.read) as recorder:
            recorder.wait_for_sound()
            assert_tones_settling(recorder.take, 500.0, 700.0)
        assert obs.stop() == 200


@pytest.mark.parametrize("stack", node_peer.STACKS)
def test_our_clients_push_to_a_foreign_stack_and_pull_from_it(stack: str) -> None:
    with NodePeer(stack, "serve") as endpoint:
        origin = endpoint.serve()
        with bw.WhipClient(TONE, f"{origin}/whip") as push, bw.WhepClient(f"{origin}/whep") as pull:
            connect(push)
            connect(pull)
            with Recorder(pull.read) as recorder:
                assert_tones_settling(endpoint.listen, 440.0, 880.0)
                recorder.wait_for_sound()
                assert_tones_settling(recorder.take, 500.0, 700.0)


def _write_certificate_of_unknown_version(folder: Path) -> tuple[Path, Path]:
    """Return the PEM files of a certificate whose version is X.509 v2, which nobody uses, and of its key."""
    certificate, key = write_certificate(folder)
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text(encoding="utf-8"))
    assert der.count(X509_V3) == 1
    certificate.write_text(ssl.DER_cert_to_PEM_cert(der.replace(X509_V3, X509_V2)), encoding="utf-8")
    return certificate, key
