"""Recordings of calls and of the programme: files, alignment, the desk, the end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import bass_webrtc as bw
from support import ogg, tones
from support.callers import CALLER_DBFS, Callers, connected, read, request
from support.patience import wait_until
from support.reruns import real_time_audio

pytestmark = pytest.mark.skipif(ogg.missing() is not None, reason=ogg.missing() or "")

CONFIG: dict[str, Any] = {"http_port": 0, "udp_port": 0, "max_peers": 20, "max_peers_per_address": 20}
PROGRAMME_HZ, ANNA_HZ, BEN_HZ = 440.0, 600.0, 800.0
PROGRAMME = bw.Tone(hz=PROGRAMME_HZ, right_hz=PROGRAMME_HZ, level_dbfs=CALLER_DBFS)


def decoded(path: Path) -> tones.Samples:
    """Decode a file with FFmpeg: float32 [frames, 2]."""
    return ogg.DECODERS["ffmpeg-libopus"](path)


def level(samples: tones.Samples, hz: float) -> float:
    """Of the second before the last half one."""
    return tones.tone_dbfs(samples[-72_000:-24_000, 0], hz)


@real_time_audio
def test_each_caller_and_the_programme_are_recorded(tmp_path: Path) -> None:
    """From the beginning, in files of their own: the callers alone, the programme as listeners hear it."""
    calls, programme = tmp_path / "new" / "calls", tmp_path / "show.opus"
    config = bw.ServerConfig(calls="on_air", record_calls=calls, record_programme=programme, **CONFIG)
    with bw.Server(PROGRAMME, config) as server, Callers() as callers:
        server.start()
        callers.call(f"{server.url}call?name=Anna/..", ANNA_HZ)
        callers.call(f"{server.url}call?name=Ben", BEN_HZ)
        read(server, 2.5)
        assert all(call.stats().recording for call in server.calls)
    anna, ben = (next(calls.glob(f"*{name}*.opus")) for name in ("Anna", "Ben"))
    found = {path: decoded(path) for path in (anna, ben, programme)}
    assert level(found[anna], ANNA_HZ) == pytest.approx(CALLER_DBFS, abs=1)
    assert level(found[anna], BEN_HZ) < CALLER_DBFS - 50
    assert level(found[ben], BEN_HZ) == pytest.approx(CALLER_DBFS, abs=1)
    for hz in (PROGRAMME_HZ, ANNA_HZ, BEN_HZ):
        assert level(found[programme], hz) == pytest.approx(CALLER_DBFS, abs=1)
    assert sorted(path.parent for path in tmp_path.rglob("*.opus")) == sorted([calls, calls, tmp_path])


@real_time_audio
def test_program_records_a_call_and_a_channel(tmp_path: Path) -> None:
    """``Call.record`` and ``Channel.record``, until ``stop`` and until the call ends."""
    with bw.Server(PROGRAMME, bw.ServerConfig(calls="waiting", **CONFIG)) as server, Callers() as callers:
        server.start()
        caller = callers.call(f"{server.url}call?name=Anna", ANNA_HZ)
        (call,) = connected(server, 1)
        recording = call.record(tmp_path / "{name}.opus")
        channel = server.channels["main"].record(tmp_path / "main.opus")
        assert call.recordings == [recording]
        read(server, 1.5)
        channel.stop()
        assert channel.wait(20)
        caller.hang_up()
        assert recording.wait(20)
        assert (recording.error, channel.error, recording.lost_packets) == (None, None, 0)
        assert recording.path == tmp_path / "Anna.opus"
        with pytest.raises(bw.ClosedError):
            call.record(tmp_path / "late.opus")
        with pytest.raises(bw.ConfigError, match="rotate_s"):
            server.channels["main"].record(tmp_path / "x.opus", rotate_s=0.5)
    assert level(decoded(tmp_path / "Anna.opus"), ANNA_HZ) == pytest.approx(CALLER_DBFS, abs=1)
    assert level(decoded(tmp_path / "main.opus"), PROGRAMME_HZ) == pytest.approx(CALLER_DBFS, abs=1)
    with pytest.raises(bw.ClosedError):
        server.channels["main"].record(tmp_path / "stopped.opus")


def test_desk_starts_and_stops_recordings(tmp_path: Path) -> None:
    fields = {"Authorization": "Bearer desk", "Content-Type": "application/json"}
    config = bw.ServerConfig(calls="waiting", desk_token="desk", record_calls=tmp_path, **CONFIG)
    with bw.Server(PROGRAMME, config) as server, Callers() as callers:
        server.start()
        callers.call(f"{server.url}call?name=Anna", ANNA_HZ)
        connected(server, 1)
        url = f"{server.url}api/calls/1"

        def change(url: str, recording: bool) -> bool:
            answer = request(url, "PATCH", json.dumps({"recording": recording}), fields)
            assert answer.status == 200
            return bool(json.loads(answer.body)["recording"])

        assert change(url, True) is True  # It goes on.
        wait_until(lambda: len(list(tmp_path.glob("*.opus"))) == 1)
        assert change(url, False) is False
        assert change(url, True) is True
        assert change(f"{server.url}api/desk", True) is True
        wait_until(lambda: len(list(tmp_path.glob("*.opus"))) == 3)
        assert change(f"{server.url}api/desk", False) is False
    for path in tmp_path.glob("*.opus"):
        decoded(path)


def test_desk_without_a_folder_cannot_record() -> None:
    fields = {"Authorization": "Bearer desk", "Content-Type": "application/json"}
    config = bw.ServerConfig(calls="waiting", desk_token="desk", **CONFIG)
    with bw.Server(PROGRAMME, config) as server, Callers() as callers:
        server.start()
        callers.call(f"{server.url}call?name=Anna", ANNA_HZ)
        connected(server, 1)
        answer = request(f"{server.url}api/calls/1", "PATCH", '{"recording": true, "state": "on_air"}', fields)
        assert (answer.status, "record_calls" in answer.body) == (409, True)
        assert connected(server, 1)[0].state == "waiting"
        assert request(f"{server.url}api/desk", "PATCH", '{"recording": true}', fields).status == 409
        assert json.loads(request(f"{server.url}api/desk", "GET", "", fields).body)["can_record"] is False


def test_disk_errors_are_reported_and_the_call_goes_on(tmp_path: Path) -> None:
    errors: list[bw.BassWebRtcError] = []
    folder = tmp_path / "calls"
    config = bw.ServerConfig(calls="on_air", record_calls=folder, **CONFIG)
    with bw.Server(PROGRAMME, config) as server, Callers() as callers:
        server.on("error", errors.append)
        server.start()
        shutil.rmtree(folder)
        callers.call(f"{server.url}call", ANNA_HZ)
        wait_until(lambda: bool(errors))
        assert "the recording" in str(errors[0])
        wait_until(lambda: not server.calls[0].stats().recording)
        assert level(read(server, 1.5), ANNA_HZ) == pytest.approx(CALLER_DBFS, abs=1)


def test_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    server = bw.Server(None, bw.ServerConfig(calls="on_air", record_calls=tmp_path / "file" / "calls", **CONFIG))
    with pytest.raises(bw.ConfigError, match=r"record_calls .* cannot be made"):
        server.start()
