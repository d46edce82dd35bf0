"""The counters of the core reach the program, ``/api/stats`` and ``/metrics``."""

from __future__ import annotations

import dataclasses
import json
import logging
from typing import Any, cast

import offers
import pytest

from bass_webrtc.config import ServerConfig
from bass_webrtc.core import Engine, EngineStats, PeerCounters, PlayoutStats, ReceiverStats, Reception
from bass_webrtc.limited_log import LimitedLog
from bass_webrtc.peer.host import OnlyChannel
from bass_webrtc.peer.media import Identity, MediaSession
from bass_webrtc.rtc.dtls import Certificate
from bass_webrtc.rtc.negotiation import read_answer, read_offer
from bass_webrtc.rtc.remote_audio import RemoteAudio
from bass_webrtc.server.run import snapshot
from bass_webrtc.signaling.server import metrics
from bass_webrtc.stats import Kind, PeerStats


def distinct(kind: type[Any]) -> Any:
    """Counters with distinct values, so that none can be mistaken for another."""
    numbers = {field.name: number for number, field in enumerate(dataclasses.fields(kind), start=11)}
    return kind(**numbers)


class FakePlayout:
    def receiver_stats(self, peer: int) -> ReceiverStats:
        return cast(ReceiverStats, dataclasses.replace(distinct(ReceiverStats), is_buffering=1, is_enhanced=1))

    def stats(self) -> PlayoutStats:
        return PlayoutStats(callbacks=1, callback_max_ns=2_500, blocked=3, clipped_samples=4)


class FakeEngine:
    playout = FakePlayout()

    def stats(self) -> EngineStats:
        return cast(EngineStats, distinct(EngineStats))

    def lateness_us(self) -> list[int]:
        return [1, 2, 3]

    def peer_counters(self, peer: int) -> PeerCounters:
        return cast(PeerCounters, distinct(PeerCounters))

    def reception(self, peer: int) -> Reception:
        return Reception()


ENGINE = cast(Engine, FakeEngine())


def media_session(kind: Kind, audio: RemoteAudio) -> MediaSession:
    return MediaSession(
        ENGINE,
        5,
        kind,
        audio,
        OnlyChannel.of(ServerConfig()),
        role="server",
        certificate=Certificate.generate(),
        config=ServerConfig(),
        identity=Identity(),
        log=LimitedLog(logging.getLogger(__name__)),
    )


def peer_stats(kind: Kind, offer: str = offers.CHROME) -> PeerStats:
    session = media_session(kind, read_offer(offer).audio)
    return PeerStats(**({"id": 5, "kind": kind, "state": "connected"} | session.stats()))


@pytest.mark.parametrize("kind", ["publisher", "sendrecv"])
def test_peer_stats_contain_all_receiver_counters(kind: Kind) -> None:
    stats, counted = peer_stats(kind), distinct(ReceiverStats)
    for field in dataclasses.fields(ReceiverStats):
        if field.name not in ("is_buffering", "is_enhanced"):
            assert getattr(stats, field.name) == getattr(counted, field.name), field.name
    assert stats.is_buffering is True


def test_player_stats_have_no_jitter_buffer() -> None:
    stats = peer_stats("player")
    assert stats.is_buffering is False
    assert stats.jitter_buffer_emitted_count == stats.concealment_events == 0


def test_stats_contain_what_the_description_got_wrong_and_does_not_get() -> None:
    offer = offers.CHROME + "a=candidate:1 1 udp\r\nb=AS:50\r\n"
    player, publisher = peer_stats("player", offer), peer_stats("publisher", offer)
    assert player.malformed_candidates == publisher.malformed_candidates == 1
    assert player.exceeded_limits == "the peer allows at most 50000 bit/s; this server sends 128000"
    assert publisher.exceeded_limits == ""


def test_each_direction_has_the_payload_types_of_its_receiver() -> None:
    """An answer may renumber those that our offer has (RFC 3264, 6.1)."""
    answer = offers.CHROME.replace("a=setup:actpass", "a=setup:active").replace("111", "96").replace(" 63", " 97")
    answer = answer.replace("rtpmap:63", "rtpmap:97").replace("fmtp:63", "fmtp:97")
    session = media_session("sendrecv", read_answer(answer, offers.CHROME))
    sending, receiving = session._sending_stream(), session._receiving_stream()
    assert (sending.payload_type, sending.red_payload_type) == (96, 97)
    assert (receiving.payload_type, receiving.red_payload_type) == (111, 63)


def test_server_stats_contain_playout_counters() -> None:
    stats = snapshot(ENGINE, (peer_stats("publisher"),))
    assert (stats.playout_max_us, stats.playout_blocked, stats.clipped_samples) == (2, 3, 4)
    assert stats.input_is_buffering is True


def test_server_stats_sum_what_is_enhanced() -> None:
    publisher = dataclasses.replace(peer_stats("publisher"), enhanced_samples=480)
    plain = dataclasses.replace(publisher, is_enhanced=False)
    stats = snapshot(ENGINE, (publisher, plain, peer_stats("player")))
    assert publisher.is_enhanced is True
    assert (stats.enhanced_publishers, stats.enhanced_samples) == (1, 960)
    lines = metrics.exposition(stats).decode().splitlines()
    assert "bass_webrtc_enhanced_publishers 1.0" in lines
    assert "bass_webrtc_enhanced_samples_total 960.0" in lines


def test_json_and_metrics_agree() -> None:
    stats = snapshot(ENGINE, (peer_stats("publisher"),))
    (peer,) = json.loads(json.dumps(stats.as_dict()))["peers"]
    lines = metrics.exposition(stats).decode().splitlines()
    for name in ("concealment_events", "removed_samples_for_acceleration", "inserted_samples_for_deceleration"):
        assert f'bass_webrtc_peer_{name}_total{{kind="publisher",peer="5"}} {float(peer[name])}' in lines
    assert 'bass_webrtc_peer_is_buffering{kind="publisher",peer="5"} 1.0' in lines
    assert "bass_webrtc_clipped_samples_total 4.0" in lines
    assert "bass_webrtc_playout_blocked_total 3.0" in lines
