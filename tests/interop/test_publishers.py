"""Encoders other than browsers publish, alone and together; the audio of their BASS streams is judged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import bass_webrtc as bw
from support import tones
from support.bass_device import Bass
from support.certificates import write_certificate
from support.conformance import covers
from support.fixtures import skip_for
from support.patience import wait_until
from support.publisher_farm import PublisherFarm
from support.publisher_ffmpeg import FfmpegPublisher, missing_ffmpeg
from support.publisher_gstreamer import GStreamerPublisher, missing_gstreamer
from support.publisher_recorder import Recorder, Samples, assert_tones_soon, is_silent
from support.reruns import real_time_audio

pytestmark = real_time_audio


@pytest.fixture
def server(bass: Bass) -> Iterator[bw.Server]:
    """A server whose streams are decoding channels, pulled by ``bass``."""
    config = bw.ServerConfig(http_port=0, udp_port=0, decode_stream=True, max_peers_per_address=5)
    with bw.Server(None, config) as server:
        server.start()
        yield server


@pytest.fixture
def mix(bass: Bass, server: bw.Server) -> Iterator[Recorder]:
    """Read the mix of all publishers."""
    with Recorder(bass.reader(server.input_stream)) as recorder:
        yield recorder


@pytest.fixture
def publishers() -> Iterator[PublisherFarm]:
    with PublisherFarm() as farm:
        yield farm


def settled(recorder: Recorder) -> Samples:
    """Return two seconds of audio once the jitter buffer has settled."""
    recorder.wait_for_sound()
    recorder.take(1.0)
    return recorder.take(2.0)


def assert_heard(bass: Bass, server: bw.Server, mix: Recorder, left_hz: float, right_hz: float) -> None:
    """Check that the only publisher is heard in the mix, then in its own stream."""
    assert_tones_soon(mix, left_hz, right_hz)
    (peer,) = server.peers
    with Recorder(bass.reader(peer.input_stream)) as own:
        assert_tones_soon(own, left_hz, right_hz)
        assert is_silent(mix.take(0.2))
    assert peer.stats().packets_lost == 0
    assert (peer.stats().srtp_errors, peer.stats().decode_errors) == (0, 0)


@covers("WS1", "WS5")
def test_ffmpeg_whip_muxer_is_heard_in_the_mix_and_its_own_stream(
    bass: Bass, server: bw.Server, mix: Recorder, tmp_path: Path
) -> None:
    """FFmpeg's own offer, and DELETE at its end."""
    skip_for(missing_ffmpeg())
    with FfmpegPublisher(f"{server.url}whip", 440.0, 880.0, *write_certificate(tmp_path)) as ffmpeg:
        assert ffmpeg.failure == ""
        assert_heard(bass, server, mix, 440.0, 880.0)
    wait_until(lambda: server.peers == ())


def test_unsupported_certificate_curve_is_reported(server: bw.Server, publishers: PublisherFarm) -> None:
    """FFmpeg built with GnuTLS generates a P-224 certificate by default; another publisher is not affected."""
    skip_for(missing_ffmpeg())
    reasons: list[str] = []
    server.on("peer_disconnected", lambda peer, reason: reasons.append(reason))
    publishers.publish(f"{server.url}whip", 440.0)
    (neighbour,) = server.peers
    with Recorder(neighbour.read) as own:
        own.wait_for_sound()
        with FfmpegPublisher(f"{server.url}whip", 440.0, 880.0) as ffmpeg:
            if not ffmpeg.failure:
                pytest.skip("this FFmpeg makes a certificate that OpenSSL takes")
            wait_until(lambda: reasons)
        assert "handshake failed" in reasons[0]
        assert "curve" in reasons[0]
        assert server.peers == (neighbour,)
        assert_tones_soon(own, 440.0, 440.0)
    assert neighbour.stats().packets_lost == 0


@covers("WS1", "WS20")
def test_gstreamer_webrtcbin_is_heard_in_the_mix_and_its_own_stream(
    bass: Bass, server: bw.Server, mix: Recorder, tmp_path: Path
) -> None:
    """The program whip-client trickles candidates and ends with DELETE."""
    skip_for(missing_gstreamer())
    with GStreamerPublisher(tmp_path, f"{server.url}whip", 440.0, 880.0) as gstreamer:
        wait_until(lambda: server.peers, 20.0)
        assert_heard(bass, server, mix, 440.0, 880.0)
    wait_until(lambda: server.peers == ())
    assert "PeerConnection connected" in gstreamer.log()


@covers("SE61")
def test_five_publishers_are_in_the_mix_and_the_sixth_is_refused(
    server: bw.Server, mix: Recorder, publishers: PublisherFarm
) -> None:
    """Five by default; the sixth gets 503, and is accepted after they left."""
    tones_hz = (300.0, 500.0, 800.0, 1300.0, 2100.0)
    for tone_hz in tones_hz:
        assert publishers.publish(f"{server.url}whip", tone_hz, level_dbfs=-18.0) == 201
    assert publishers.publish(f"{server.url}whip", 3000.0) == 503
    samples = settled(mix)
    for channel in (0, 1):
        for tone_hz in tones_hz:
            assert tones.tone_dbfs(samples[:, channel], tone_hz) == pytest.approx(-18.0, abs=1.0)
        assert tones.tone_dbfs(samples[:, channel], 3000.0) < -60.0
    assert server.stats().active_peers == 5
    publishers.disconnect()
    wait_until(lambda: server.peers == ())
    # The audio threads release the slots some milliseconds later.
    wait_until(lambda: publishers.publish(f"{server.url}whip", 3000.0) == 201)
    assert_tones_soon(mix, 3000.0, 3000.0)


@covers("OP2")
@pytest.mark.parametrize("frame_ms", [10, 40, 60])
def test_every_frame_length_is_heard(
    server: bw.Server, mix: Recorder, publishers: PublisherFarm, frame_ms: int
) -> None:
    """The publisher chooses the frame length."""
    publishers.publish(f"{server.url}whip", 440.0, 880.0, frame_ms=frame_ms)
    assert_tones_soon(mix, 440.0, 880.0)


@covers("OP16")
def test_unsignaled_ssrc_is_heard(server: bw.Server, mix: Recorder, publishers: PublisherFarm) -> None:
    """RFC 8834, 4.8."""
    publishers.publish(f"{server.url}whip", 440.0, 880.0, declared=False)
    assert_tones_soon(mix, 440.0, 880.0)
    assert server.peers[0].stats().packets_lost == 0


@covers("OP16")
def test_stream_continues_when_its_ssrc_changes(server: bw.Server, mix: Recorder, publishers: PublisherFarm) -> None:
    """The sender restarts with new sequence numbers and timestamps, more often than SSRCs are kept."""
    publishers.publish(f"{server.url}whip", 440.0, 880.0)
    settled(mix)
    for _ in range(6):
        publishers.change_ssrc()
        mix.take(1.1)
        assert_tones_soon(mix, 440.0, 880.0)
    assert len(server.peers) == 1


def test_peer_connected_has_kind_and_address(server: bw.Server, publishers: PublisherFarm) -> None:
    """Already within the callback, where a program decides what to do."""
    seen: list[tuple[str, str, str]] = []
    server.on("peer_connected", lambda peer: seen.append((peer.kind, peer.state, peer.remote_address)))
    publishers.publish(f"{server.url}whip", 440.0)
    wait_until(lambda: seen)
    ((kind, state, remote_address),) = seen
    assert (kind, state) == ("publisher", "connected")
    assert re.fullmatch(r"127\.0\.0\.1:\d+", remote_address)
    assert remote_address == server.stats().peers[0].remote_address


def test_mix_is_silent_after_the_only_publisher_leaves(
    server: bw.Server, mix: Recorder, publishers: PublisherFarm
) -> None:
    """No click and no remainder: the mix fades to zero and stays there."""
    publishers.publish(f"{server.url}whip", 440.0)
    settled(mix)
    publishers.disconnect()
    wait_until(lambda: server.peers == ())
    assert is_silent(mix.take(0.5)[4_800:])
