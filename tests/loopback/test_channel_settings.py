"""Names, settings and HTTP of a server's channels."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

import bass_webrtc as bw
from bass_webrtc.capi.server_handle import ServerHandle
from bass_webrtc.config import SignalingMode
from bass_webrtc.core import ChannelSettings, Engine
from bass_webrtc.peer.mux import UdpMux
from bass_webrtc.server import channels as channels_module
from bass_webrtc.server import run as server_run
from bass_webrtc.server import server as server_module
from bass_webrtc.server.channels import RunningChannel, ServerChannels
from bass_webrtc.sources import OpenSource, Source, open_for_core
from support import http_asking
from support.http_asking import ask
from support.patience import wait_until

CONFIG = bw.ServerConfig(http_port=0, udp_port=0, bitrate_kbps=96, fallback_bitrates_kbps=(32,))


@pytest.fixture(params=[False, True], ids=["stopped", "running"])
def server(request: pytest.FixtureRequest) -> Iterator[bw.Server]:
    with bw.Server(bw.Tone(), CONFIG) as server:
        if request.param:
            server.start()
        yield server


def test_channels_are_found_in_order_by_their_names(server: bw.Server) -> None:
    jazz, pop = server.add_channel("jazz", bw.Tone(600.0)), server.add_channel("pop", None)
    assert list(server.channels.items()) == [("main", server.channels["main"]), ("jazz", jazz), ("pop", pop)]
    assert (jazz.name, jazz.source, jazz.config) == ("jazz", bw.Tone(600.0), bw.ChannelConfig())
    jazz.close()
    jazz.close()
    again = server.add_channel("jazz", bw.Tone(700.0))
    assert list(server.channels) == ["main", "pop", "jazz"]
    jazz.close()
    assert server.channels["jazz"] is again


@pytest.mark.parametrize("name", ["main", "jazz"])
def test_name_in_use_is_refused_with_those_that_are(server: bw.Server, name: str) -> None:
    server.add_channel("jazz", bw.Tone())
    with pytest.raises(bw.ConfigError, match=f"a channel '{name}' already; expected none of main, jazz"):
        server.add_channel(name, bw.Tone())


@pytest.mark.parametrize("name", ["", ".x", "a/b", "x" * 65])
def test_wrong_name_source_or_settings_are_refused(server: bw.Server, name: str) -> None:
    with pytest.raises(bw.ConfigError, match="the name of a channel"):
        server.add_channel(name, bw.Tone())
    with pytest.raises(bw.ConfigError, match="source is"):
        server.add_channel("jazz", "jazz.mp3")  # type: ignore[arg-type]
    with pytest.raises(bw.ConfigError, match="config is a ServerConfig"):
        server.add_channel("jazz", bw.Tone(), CONFIG)  # type: ignore[arg-type]
    assert list(server.channels) == ["main"]


def test_main_cannot_be_closed(server: bw.Server) -> None:
    with pytest.raises(bw.ConfigError, match="'main' cannot be closed"):
        server.channels["main"].close()


@pytest.mark.parametrize("fade_ms", [-1, 60_001, math.nan, 0.5, True, None])
def test_wrong_fade_is_refused(server: bw.Server, fade_ms: int) -> None:
    with pytest.raises(bw.ConfigError, match="fade_ms is"):
        server.channels["main"].set_source(bw.Tone(), fade_ms)


def test_there_are_64_channels_at_most(server: bw.Server) -> None:
    for number in range(63):
        server.add_channel(f"silence-{number}", None)
    with pytest.raises(bw.ConfigError, match="64 channels, which is the limit"):
        server.add_channel("one-more", None)
    server.channels["silence-5"].close()
    server.add_channel("one-more", None)
    server.start()
    assert len(server.stats().channels) == 64


def test_channel_that_cannot_be_opened_is_not_added() -> None:
    with bw.Server(bw.Tone(), CONFIG) as server:
        server.start()
        with pytest.raises(bw.ConfigError, match="no-such-file"):
            server.add_channel("jazz", bw.BassFile("no-such-file.mp3"))
        assert list(server.channels) == ["main"]
        server.add_channel("jazz", bw.Tone())


def test_name_is_taken_only_once_by_threads_that_race() -> None:
    with bw.Server(bw.Tone(), CONFIG) as server:
        server.start()
        made: list[bw.Channel] = []
        refused: list[bw.ConfigError] = []

        def add() -> None:
            try:
                made.append(server.add_channel("jazz", bw.Tone()))
            except bw.ConfigError as error:
                refused.append(error)

        threads = [threading.Thread(target=add) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(made), len(refused)) == (1, 7)
        assert server.channels["jazz"] is made[0]


def test_name_is_free_again_if_a_stop_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    with bw.Server(bw.Tone(), CONFIG) as server:
        server.start()
        monkeypatch.setattr(server_module, "current_device", server.stop)  # Asked for just before.
        with pytest.raises(bw.ClosedError, match="stopped meanwhile"):
            server.add_channel("jazz", bw.Tone())
        server.start()
        monkeypatch.undo()
        server.add_channel("jazz", bw.Tone())


def test_bitrates_are_the_channels_own_or_the_servers(server: bw.Server) -> None:
    jazz = server.add_channel("jazz", bw.Tone())
    talk = server.add_channel("talk", bw.Tone(), bw.ChannelConfig(bitrates_kbps=(64, 24)))
    server.set_bitrate(80)
    talk.set_bitrate(48)
    for channel, too_low in ((server.channels["main"], 32), (talk, 24)):
        with pytest.raises(bw.ConfigError, match="bitrates_kbps is"):
            channel.set_bitrate(too_low)
    server.start()
    wait_until(lambda: talk.stats().bitrates_kbps == (48, 24))
    wait_until(lambda: jazz.stats().bitrates_kbps == server.channels["main"].stats().bitrates_kbps == (80, 32))
    jazz.set_bitrate(40)
    server.channels["main"].set_bitrate(90)
    wait_until(lambda: (jazz.stats().bitrates_kbps, server.config.bitrate_kbps) == ((40, 32), 90))
    assert jazz.config == bw.ChannelConfig(bitrates_kbps=(40, 32))


def test_channel_that_is_added_later_has_the_present_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[ChannelSettings] = []
    with bw.Server(bw.Tone(), CONFIG) as server:
        server.start()
        server.set_bitrate(80)
        server.set_complexity(3)
        add_channel = Engine.add_channel

        def record(engine: Engine, settings: ChannelSettings, source: Any) -> int:
            added.append(settings)
            return add_channel(engine, settings, source)

        monkeypatch.setattr(Engine, "add_channel", record)
        server.add_channel("jazz", bw.Tone())
        server.add_channel("talk", bw.Tone(), bw.ChannelConfig(bitrates_kbps=(64,), complexity=9))
    assert [(one.bitrates_bps, one.complexity) for one in added] == [((80_000, 32_000), 3), ((64_000,), 9)]


def test_bitrate_stays_above_those_that_a_running_channel_has() -> None:
    with bw.Server(bw.Tone(), CONFIG) as server:
        jazz = server.add_channel("jazz", bw.Tone())
        server.start()
        server.config = replace(server.config, fallback_bitrates_kbps=())
        for change in (server.set_bitrate, server.channels["main"].set_bitrate, jazz.set_bitrate):
            with pytest.raises(bw.ConfigError, match="expected more than its 32, which stays until the stop"):
                change(32)
        assert (server.config.bitrate_kbps, jazz.config.bitrates_kbps) == (96, None)
        jazz.set_bitrate(33)
        wait_until(lambda: jazz.stats().bitrates_kbps == (33, 32))
        assert server.channels["main"].stats().bitrates_kbps == (96, 32)
        server.stop()
        server.set_bitrate(32)


def test_changes_during_a_start_apply_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    opening, proceed = threading.Event(), threading.Event()
    complexities: list[tuple[int, int]] = []
    open_port = server_run._open_mux

    def wait_and_open(*arguments: Any) -> UdpMux:
        opening.set()
        assert proceed.wait(10)
        return open_port(*arguments)

    monkeypatch.setattr(server_run, "_open_mux", wait_and_open)
    monkeypatch.setattr(Engine, "set_complexity", lambda _, *arguments: complexities.append(arguments))
    with bw.Server(bw.Tone(), CONFIG) as server, ThreadPoolExecutor() as pool:
        jazz = server.add_channel("jazz", bw.Tone())
        start = pool.submit(server.start)
        assert opening.wait(10)
        server.set_bitrate(80)
        jazz.set_bitrate(64)
        server.set_complexity(3)
        proceed.set()
        start.result(10)
        wait_until(lambda: complexities == [(3, 0), (3, 1)])
        assert [channel.bitrates_kbps for channel in server.stats().channels] == [(80, 32), (64, 32)]


@dataclass
class SlowSource:
    """A source that is not open before the test says so."""

    source: Source = field(default_factory=lambda: bw.Tone(600.0))
    opening: threading.Event = field(default_factory=threading.Event)
    proceed: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> SlowSource:
    slow = SlowSource()

    def open_slowly(source: Source) -> OpenSource:
        if source == slow.source:
            slow.opening.set()
            assert slow.proceed.wait(10)
        return open_for_core(source)

    monkeypatch.setattr(channels_module, "open_for_core", open_slowly)
    return slow


def test_last_call_decides_what_is_played_however_long_the_others_take(slow: SlowSource) -> None:
    with bw.Server(bw.Tone(), CONFIG) as server:
        server.start()
        main = server.channels["main"]
        first = main._set_source(slow.source, 0)
        main.set_source(bw.Tone(700.0), 0)
        slow.proceed.set()
        first.result(10)
        assert main.source == bw.Tone(700.0)


def test_c_library_starts_again_with_the_source_of_the_last_call(slow: SlowSource) -> None:
    """The C program may have freed the source of an earlier call."""
    handle = ServerHandle(bw.Tone(), CONFIG, attach=lambda _: None, detach=lambda: None)
    handle.start()
    with ThreadPoolExecutor() as pool:
        first = pool.submit(handle.set_channel_source, "main", slow.source, 0)
        assert slow.opening.wait(10)
        handle.set_channel_source("main", bw.Tone(700.0), 0)
        slow.proceed.set()
        first.result(10)
    assert handle.source == bw.Tone(700.0)
    handle.stop()
    assert handle.source == bw.Tone(700.0)
    handle.start()
    assert handle.server.channels["main"].source == bw.Tone(700.0)
    handle.close()


def test_source_that_is_never_played_is_not_that_of_the_next_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise bw.BassWebRtcError("refused")

    with bw.Server(bw.Tone(), CONFIG) as server:
        server.start()
        main = server.channels["main"]
        with monkeypatch.context() as patched:
            patched.setattr(Engine, "set_source", refuse)
            with pytest.raises(bw.BassWebRtcError, match="refused"):
                main.set_source(bw.Tone(600.0))
        fading = main._set_source(bw.PcmSource(), 60_000)
        server.stop()
        assert type(fading.exception(10)) is bw.ClosedError
        assert main.source == bw.Tone()


def test_start_opens_the_sources_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    all_are_opening = threading.Barrier(3)

    def open_with_the_others(source: Source) -> OpenSource:
        all_are_opening.wait(10)
        return open_for_core(source)

    monkeypatch.setattr(channels_module, "open_for_core", open_with_the_others)
    with bw.Server(bw.Tone(), CONFIG) as server:
        server.add_channel("jazz", bw.Tone(600.0))
        server.add_channel("pop", bw.Tone(700.0))
        server.start()
        assert [channel.name for channel in server.stats().channels] == ["main", "jazz", "pop"]


def test_start_that_fails_closes_the_sources_of_all_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise bw.BassWebRtcError("refused")

    with bw.Server(bw.PcmSource(), CONFIG) as server:
        server.add_channel("jazz", bw.PcmSource())
        server.add_channel("pop", bw.PcmSource())
        lost = server.add_channel("lost", bw.BassFile("no-such-file.mp3"))
        with pytest.raises(bw.ConfigError, match=r"channel 'lost': .*no-such-file"):
            server.start()
        lost.close()
        with monkeypatch.context() as patched:
            patched.setattr(Engine, "add_channel", refuse)
            with pytest.raises(bw.BassWebRtcError, match="refused"):
                server.start()
        server.start()  # A PcmSource can be in use only once.


def test_second_close_waits_for_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    removing, proceed = threading.Event(), threading.Event()
    remove = ServerChannels.remove

    async def wait_and_remove(channels: ServerChannels, channel: RunningChannel) -> None:
        removing.set()
        assert await asyncio.to_thread(proceed.wait, 10)
        await remove(channels, channel)

    monkeypatch.setattr(ServerChannels, "remove", wait_and_remove)
    reasons: list[str] = []
    with bw.Server(bw.Tone(), CONFIG) as server:
        server.on("channel_closed", lambda channel, reason: reasons.append(reason))
        server.start()
        jazz = server.add_channel("jazz", bw.Tone())
        first = jazz._close("first")
        assert removing.wait(10)
        second = jazz._close("second")
        again = server.add_channel("jazz", bw.Tone())
        assert not second.done()
        proceed.set()
        second.result(10)
        assert first.done()
        assert server.channels["jazz"] is again
    assert reasons == ["first"]


@pytest.mark.parametrize(
    ("limits", "warns"),
    [("", False), ("b=AS:96", False), ("b=AS:95", False), ("b=AS:32", False), ("b=TIAS:31999", True)],
)
def test_offer_is_compared_with_the_encoding_that_it_gets(limits: str, warns: bool) -> None:
    with bw.Server(bw.Tone(), CONFIG) as server:
        server.start()
        offer = http_asking.offer().replace("a=ice-ufrag", f"{limits}\r\na=ice-ufrag" if limits else "a=ice-ufrag", 1)
        reply = ask(server.url, "POST", "/whep", offer, {"Content-Type": "application/sdp"})
        assert reply.status == 201
        assert ("Warning" in reply.headers) is warns
        exceeded = server.peers[0].stats().exceeded_limits
        assert exceeded == ("the peer allows at most 31999 bit/s; this server sends 32000" if warns else "")


@pytest.mark.parametrize(
    ("path", "status"),
    [("/whep", 201), ("/whep/main", 201), ("/whep/jazz", 201), ("/whep/empty", 409), ("/whep/pop", 404)],
)
def test_path_decides_what_is_heard(path: str, status: int) -> None:
    with bw.Server(bw.Tone(), CONFIG) as server:
        server.add_channel("jazz", bw.Tone())
        server.add_channel("empty", None)
        server.start()
        reply = http_asking.post(server.url, path)
        assert reply.status == status
        if status == 201:
            assert [peer.channel for peer in server.peers] == ["jazz" if path == "/whep/jazz" else "main"]
        if status == 404:
            assert "main, jazz, empty" in reply.body
            assert "application/problem+json" in reply.headers["Content-Type"]


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("play", 200), ("publish", 401)])
def test_list_of_channels_requires_the_play_token(token: str | None, status: int) -> None:
    with bw.Server(
        bw.Tone(), bw.ServerConfig(http_port=0, udp_port=0, play_token="play", publish_token="publish")
    ) as s:
        s.start()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        assert ask(s.url, "GET", "/api/channels", headers=headers).status == status


@pytest.mark.parametrize(("mode", "status"), [("http", 200), ("whep", 200), ("whip", 404)])
def test_channels_are_listed_where_they_can_be_heard(mode: SignalingMode, status: int) -> None:
    with bw.Server(bw.Tone(), bw.ServerConfig(http_port=0, udp_port=0, signaling_mode=mode)) as server:
        server.start()
        assert ask(server.url, "GET", "/api/channels").status == status


def test_statistics_list_the_channels() -> None:
    with bw.Server(bw.Tone(), CONFIG) as server:
        server.add_channel("jazz", bw.Tone(), bw.ChannelConfig(bitrates_kbps=(64,)))
        server.start()
        wait_until(lambda: server.channels["jazz"].stats().frames_sent > 5)
        with urllib.request.urlopen(server.url + "api/stats") as response:
            main, jazz = json.load(response)["channels"]
        with urllib.request.urlopen(server.url + "metrics") as response:
            metrics = response.read().decode()
        stats = server.stats()
    assert (main["name"], main["bitrates_kbps"]) == ("main", [96, 32])
    assert (jazz["name"], jazz["bitrates_kbps"]) == ("jazz", [64])
    assert jazz["frames_sent"] > 5
    assert 'bass_webrtc_channel_frames_sent_total{channel="jazz"}' in metrics
    assert stats.frames_sent >= sum(channel.frames_sent for channel in stats.channels) - 2


def test_source_that_ends_is_reported_under_its_channel() -> None:
    with bw.Server(bw.Tone(), CONFIG) as server:
        ends: list[bw.SourceEnd] = []
        server.on("source_ended", lambda end: ends.append(end))
        speech = bw.PcmSource()
        talk = server.add_channel("talk", speech)
        server.start()
        speech.end()
        wait_until(lambda: bool(ends))
        assert ends == [bw.SourceEnd(45, "BASS_ERROR_ENDED", reopens=False, channel="talk")]
        assert (talk.stats().source_ended, talk.stats().source_error) == (True, "BASS_ERROR_ENDED")
        assert not server.channels["main"].stats().source_ended
        assert not server.source_state.has_ended
        talk.set_source(bw.Tone())
        assert not talk.stats().source_ended
        talk.set_source(None)
        wait_until(lambda: len(ends) == 2)
        assert talk.stats().source_ends == 2
