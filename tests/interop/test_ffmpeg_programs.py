"""The programs FFmpeg 8 and 9 publish in real time, in both DTLS roles, with and without video."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import bass_webrtc as bw
from support import ffmpeg_programs
from support.ffmpeg_programs import FfmpegProgram
from support.fixtures import skip_for
from support.patience import wait_until
from support.publisher_recorder import Recorder, assert_tones_settling
from support.reruns import real_time_audio

pytestmark = real_time_audio

TONES_HZ = ((440.0, 880.0), (600.0, 900.0))
VIDEO = (False, True)
NORMAL_DELAY_MS = 200.0


@pytest.fixture
def server() -> Iterator[bw.Server]:
    skip_for(ffmpeg_programs.missing())
    with bw.Server(None, bw.ServerConfig(http_port=0, udp_port=0, max_peers_per_address=5)) as server:
        server.start()
        yield server


@pytest.mark.parametrize(
    ("version", "options"),
    [(8, ()), (9, ()), (9, ("-whip_flags", "dtls_active"))],
    ids=["8 passive", "9 passive", "9 active"],
)
def test_ffmpeg_program_is_heard_with_and_without_video(
    server: bw.Server, tmp_path: Path, version: int, options: tuple[str, ...]
) -> None:
    """FFmpeg 9 sends half a second at once when it starts: that burst must not become the delay of the stream.

    After it, FFmpeg sends 5 % too fast until it has made up for its handshake; the jitter buffer follows.
    """
    url = f"{server.url}whip"
    with ExitStack() as stack:
        programs: list[FfmpegProgram] = []
        for count, (tone_hz, video) in enumerate(zip(TONES_HZ, VIDEO, strict=True), 1):
            program = FfmpegProgram(version, url, tone_hz, tmp_path, video=video, options=options)
            programs.append(stack.enter_context(program))
            wait_until(lambda count=count: len(server.peers) == count)  # type: ignore[misc]
        recorders = [stack.enter_context(Recorder(peer.read)) for peer in server.peers]
        for recorder, tone_hz in zip(recorders, TONES_HZ, strict=True):
            recorder.wait_for_sound()
            assert_tones_settling(recorder.take, *tone_hz)
        for peer, program, video in zip(server.peers, programs, VIDEO, strict=True):
            stats = peer.stats()
            assert (stats.packets_lost, stats.srtp_errors, stats.decode_errors) == (0, 0, 0), program.log()
            assert stats.jitter_buffer_ms < NORMAL_DELAY_MS
            assert (stats.packets_not_negotiated > 0) == video, "it sends the video that was refused"
        assert [program.close() for program in programs] == [0, 0]
    wait_until(lambda: server.peers == ())
