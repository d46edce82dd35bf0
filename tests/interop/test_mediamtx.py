"""Our clients against MediaMTX, and MediaMTX as a client of our server; skipped without its binary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import bass_webrtc as bw
from support import ffmpeg_programs, mediamtx
from support.client_peers import connect
from support.ffmpeg_programs import FfmpegProgram
from support.fixtures import skip_for
from support.mediamtx import MediaMtx
from support.patience import wait_until
from support.publisher_recorder import Recorder, assert_tones_soon
from support.reruns import real_time_audio

pytestmark = real_time_audio

TONE = bw.Tone(500.0, 700.0)
PUBLISHER, READER = "studio:pushes", "listener:pulls"


@pytest.fixture
def media(tmp_path: Path) -> Iterator[MediaMtx]:
    skip_for(mediamtx.missing())
    with MediaMtx(tmp_path) as media:
        yield media


def assert_hears(client: bw.WhepClient) -> None:
    with Recorder(client.read) as recorder:
        assert_tones_soon(recorder, 500.0, 700.0, attempts=12)


def test_pushed_audio_is_pulled_back(media: MediaMtx) -> None:
    with bw.WhipClient(TONE, media.url("live", "whip")) as push, bw.WhepClient(media.url("live", "whep")) as pull:
        connect(push)
        connect(pull)
        assert_hears(pull)


def test_mediamtx_pulls_from_our_server(tmp_path: Path) -> None:
    """Its offer has a video section; since 1.20 it refuses an answer whose rejected section has no a=rtpmap."""
    skip_for(mediamtx.missing())
    with bw.Server(TONE, bw.ServerConfig(http_port=0, udp_port=0)) as server:
        server.start()
        source = f"{server.url}whep".replace("http:", "whep:")
        with (
            MediaMtx(tmp_path, paths={"radio": {"source": source}}) as media,
            bw.WhepClient(media.url("radio", "whep")) as pull,
        ):
            connect(pull)
            assert_hears(pull)
            assert [peer.kind for peer in server.peers] == ["player"]


def test_audio_of_a_stream_with_video_is_pulled(media: MediaMtx, tmp_path: Path) -> None:
    skip_for(ffmpeg_programs.missing())
    with (
        FfmpegProgram(9, media.url("live", "whip"), (500.0, 700.0), tmp_path, video=True),
        bw.WhepClient(media.url("live", "whep")) as pull,
    ):
        connect(pull)
        assert_hears(pull)


def test_second_publication_is_heard(media: MediaMtx) -> None:
    """The path is free at once, because stop sends DELETE; the puller reconnects."""
    with bw.WhepClient(media.url("live", "whep")) as pull:
        for _ in range(2):
            with bw.WhipClient(TONE, media.url("live", "whip")) as push:
                connect(push)
                connect(pull)
                assert_hears(pull)
            wait_until(lambda: not pull.connected, 15.0)


def test_push_and_pull_recover_after_a_restart(media: MediaMtx) -> None:
    with bw.WhipClient(TONE, media.url("live", "whip")) as push, bw.WhepClient(media.url("live", "whep")) as pull:
        connect(push)
        connect(pull)
        media.kill()
        wait_until(lambda: not push.connected and not pull.connected, 15.0)
        media.start()
        wait_until(lambda: push.connected and pull.connected, 30.0)
        assert_hears(pull)


def test_pull_waits_for_a_publisher(media: MediaMtx) -> None:
    with bw.WhepClient(media.url("live", "whep")) as pull:
        pull.start()
        assert not pull.wait_connected(2.0)
        with bw.WhipClient(TONE, media.url("live", "whip")) as push:
            connect(push)
            assert pull.wait_connected(30.0)


def test_wrong_credentials_are_refused(tmp_path: Path) -> None:
    skip_for(mediamtx.missing())
    rights = ((PUBLISHER, "publish"), (READER, "read"))
    users = [
        {"user": user.split(":")[0], "pass": user.split(":")[1], "permissions": [{"action": action}]}
        for user, action in rights
    ]
    with MediaMtx(tmp_path, authInternalUsers=users) as media:
        for user in ("", "studio:guesses", READER):
            with bw.WhipClient(TONE, media.url("live", "whip", user)) as push:
                push.start()
                with pytest.raises(bw.SignalingError) as caught:
                    push.wait_connected(20.0)
                assert caught.value.status in (401, 403)
        with (
            bw.WhipClient(TONE, media.url("live", "whip", PUBLISHER)) as push,
            bw.WhepClient(media.url("live", "whep", READER)) as pull,
        ):
            connect(push)
            connect(pull)
            assert_hears(pull)
