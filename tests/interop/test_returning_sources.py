"""Sources that end and return, with real BASS: channels of the program's own, stations, and inputs of a sound card."""

from __future__ import annotations

import ctypes
import http.server
import itertools
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import bass_webrtc as bw
from bass_webrtc import source_watch
from bass_webrtc.bass import BassLibrary, find_bass
from support import media, tones

STREAM_DECODE = 0x200000
SAMPLE_FLOAT = 0x100
STREAMPROC_PUSH = ctypes.c_void_p(-1)
STREAMPROC_END = 0x80000000
TIMEOUT_S = 20.0
HZ = 441.0
SECOND = tones.sine(HZ, 1.0, -9.0)[:, np.newaxis]
PCM = (SECOND * 32767).astype("<i2").tobytes()
"""One second at 48 kHz, one channel, that loops without a seam."""
TAGS = struct.pack("<4sI4s", b"LIST", 2000, b"INFO") + bytes(1996)
"""What a file may have after its audio."""


class Ends:
    """The ``source_ended`` events of a server, and a player that hears its source."""

    def __init__(self, server: bw.Server, path: str = "whep") -> None:
        self.all: list[bw.SourceEnd] = []
        self.server = server
        self.player = bw.WhepClient(server.url + path)
        server.on("source_ended", lambda end: self.all.append(end))

    def is_heard(self) -> bool:
        """Read what has arrived; return whether it is the tone."""
        time.sleep(0.01)
        return float(np.abs(self.player.read(480)).max()) > 0.05

    def wait_until(self, condition: Callable[[], bool]) -> None:
        until_s = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < until_s, (self.all, self.server.stats())

    def wait_for_sound(self) -> None:
        """Wait until the tone is heard for 100 ms."""
        self.wait_until(lambda: all(self.is_heard() for _ in range(10)))

    def wait_for_silence(self) -> None:
        self.wait_until(lambda: not any(self.is_heard() for _ in range(10)))


@contextmanager
def serving(source: int | bw.BassFile | bw.PcmSource) -> Iterator[Ends]:
    with bw.Server(source, bw.ServerConfig(http_port=0, udp_port=0)) as server:
        server.start()
        with listening(server, "whep") as ends:
            yield ends


@contextmanager
def listening(server: bw.Server, path: str) -> Iterator[Ends]:
    ends = Ends(server, path)
    with ends.player:
        ends.player.start()
        assert ends.player.wait_connected(10)
        yield ends


# ---- channels of the program's own


class Native:
    """Functions of BASS that this package does not call."""

    def __init__(self) -> None:
        self.library: BassLibrary = find_bass()
        self.library.try_call("BASS_Init", 0, 48_000, 0, None, None)
        functions = ctypes.CDLL(str(self.library.path))
        self._rewind = functions.BASS_ChannelSetPosition
        self._rewind.argtypes = (ctypes.c_uint32, ctypes.c_uint64, ctypes.c_uint32)
        self._put = functions.BASS_StreamPutData
        self._put.argtypes = (ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32)

    def rewind(self, handle: int) -> None:
        assert self._rewind(handle, 0, 0)

    def put(self, handle: int, samples: np.ndarray, end: bool) -> None:
        data = np.ascontiguousarray(samples, np.float32)
        self._put(handle, data.ctypes.data, data.nbytes | (STREAMPROC_END if end else 0))

    def file(self, path: Path) -> int:
        return self.library.call("BASS_StreamCreateFile", False, str(path).encode(), 0, 0, STREAM_DECODE)

    def push_stream(self) -> int:
        flags = STREAM_DECODE | SAMPLE_FLOAT
        return self.library.call("BASS_StreamCreate", 48_000, 1, flags, STREAMPROC_PUSH, None)


def test_own_channel_is_heard_again_after_each_rewind(tmp_path: Path) -> None:
    """Each end is one event; freeing the channel after its end is none."""
    bass = Native()
    handle = bass.file(media.write_tone(tmp_path / "song.wav", HZ, None, seconds=1.0, sample_rate_hz=44_100))
    with serving(handle) as ends:
        for round_number in (1, 2):
            ends.wait_until(lambda count=round_number: len(ends.all) == count)  # type: ignore[misc]
            assert ends.server.stats().source_ended
            ends.wait_for_silence()
            bass.rewind(handle)
            ends.wait_for_sound()
            assert not ends.server.stats().source_ended
        ends.wait_until(lambda: len(ends.all) == 3)
        bass.library.call("BASS_StreamFree", handle)
        ends.wait_for_silence()
        stats = ends.server.stats()
    assert ends.all == [bw.SourceEnd(45, "BASS_ERROR_ENDED", reopens=False)] * 3
    assert (stats.source_ends, stats.source_error, stats.source_reopenings) == (3, "BASS_ERROR_ENDED", 0)
    assert stats.source_underruns == 0


def test_push_stream_and_pcm_are_heard_again_when_refilled() -> None:
    bass, pcm = Native(), bw.PcmSource(channels=1)
    handle = bass.push_stream()
    bass.put(handle, SECOND, end=True)
    pcm.write(SECOND)
    pcm.end()
    with serving(handle) as pushed, serving(pcm) as written:
        for ends in (pushed, written):
            ends.wait_until(lambda ends=ends: len(ends.all) == 1)  # type: ignore[misc]
            ends.wait_for_silence()
        bass.rewind(handle)
        bass.put(handle, SECOND, end=False)
        pcm.write(SECOND)
        for ends in (pushed, written):
            ends.wait_for_sound()
            assert not ends.server.stats().source_ended
            assert len(ends.all) == 1
    bass.library.call("BASS_StreamFree", handle)


def test_freed_channel_is_told_from_one_that_has_ended(tmp_path: Path) -> None:
    """Old programs' callbacks, which take no argument, are called, too."""
    bass = Native()
    handle = bass.file(media.write_tone(tmp_path / "song.wav", HZ, None, seconds=60.0))
    with serving(handle) as ends:
        former = threading.Semaphore(0)
        ends.server.on("source_ended", former.release)
        ends.wait_for_sound()
        bass.library.call("BASS_StreamFree", handle)
        assert former.acquire(timeout=TIMEOUT_S)
        ends.wait_until(lambda: len(ends.all) == 1)
        assert ends.server.stats().source_error == "BASS_ERROR_HANDLE"
        assert not former.acquire(blocking=False)
    assert ends.all == [bw.SourceEnd(5, "BASS_ERROR_HANDLE", reopens=False)]


# ---- stations


class _Station(http.server.BaseHTTPRequestHandler):
    server: Station

    def do_GET(self) -> None:
        station = self.server
        station.visits += 1
        if station.refuses:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "audio/wav")
        if station.file_bytes:
            self.send_header("Content-Length", str(44 + station.file_bytes + len(TAGS)))
        self.end_headers()
        length = station.file_bytes or 0x7FFFFF00
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 48_000, 96_000, 2, 16)
        head = struct.pack("<4sI4s", b"RIFF", length + 36, b"WAVE") + form + struct.pack("<4sI", b"data", length)
        try:
            self.wfile.write(head)
            if station.file_bytes:
                data = PCM[: station.file_bytes] + TAGS
                self.wfile.write(data[: len(data) // 2] if station.truncates else data)
                return
            self.wfile.write(PCM)
            while not station.off_air.wait(0.1):
                if not station.hangs.is_set():
                    self.wfile.write(PCM[:9600])
        except OSError:
            pass

    def log_message(self, format: str, *args: object) -> None:
        pass


class Station(http.server.ThreadingHTTPServer):
    """A station that streams the tone, hangs, goes away, or serves a finite file. A context manager."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0, *, file_bytes: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Station)
        self.visits = 0
        self.refuses = self.truncates = False
        self.file_bytes = file_bytes
        self.off_air, self.hangs = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://user:secret@127.0.0.1:{self.server_port}/live.wav"

    def close(self) -> None:
        self.off_air.set()
        self.shutdown()
        self.server_close()

    def __enter__(self) -> Station:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.mark.parametrize("loop", [False, True])
def test_station_that_goes_away_hangs_and_refuses_is_heard_again(
    loop: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(source_watch, "CHECK_S", 0.2)
    monkeypatch.setattr(source_watch, "SETTLED_S", 0.0)
    station = Station()
    with serving(bw.BassFile(station.url, loop)) as ends:
        ends.wait_for_sound()
        port = station.server_port
        station.close()  # It goes away: connections are refused.
        ends.wait_until(lambda: len(ends.all) == 1)
        ends.wait_for_silence()
        with Station(port) as station:
            ends.wait_for_sound()
            assert (station.visits, ends.server.stats().source_ended) == (1, False)
            station.hangs.set()  # It stays connected and sends nothing.
            ends.wait_until(lambda: len(ends.all) == 2)
            station.refuses = True  # The next attempts reach it, and fail.
            ends.wait_until(lambda: station.visits >= 3)
            station.hangs.clear()
            station.refuses = False
            ends.wait_for_sound()
            stats = ends.server.stats()
    assert ends.all == [
        bw.SourceEnd(45, "BASS_ERROR_ENDED", reopens=True),
        bw.SourceEnd(40, "BASS_ERROR_TIMEOUT", reopens=True),
    ]
    assert (stats.source_ends, stats.source_reopenings, stats.source_error) == (2, 2, "BASS_ERROR_TIMEOUT")
    messages = [message for message in caplog.messages if "127.0.0.1" in message]
    assert sum("opening it again" in message for message in messages) == 2
    assert sum("cannot be opened: BASS_ERROR_" in message for message in messages) <= 2, "the log is flooded"
    assert not any("secret" in message for message in messages)


def test_station_of_one_channel_is_lost_and_returns_beside_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_watch, "CHECK_S", 0.2)
    station = Station()
    config = bw.ServerConfig(http_port=0, udp_port=0)
    with bw.Server(bw.Tone(HZ), config) as server:
        relay = server.add_channel("relay", bw.BassFile(station.url))
        server.start()
        with listening(server, "whep") as main, listening(server, "whep/relay") as relayed:
            relayed.wait_for_sound()
            port = station.server_port
            station.close()
            relayed.wait_until(lambda: bool(relayed.all))
            relayed.wait_for_silence()
            main.wait_for_sound()
            assert [channel.source_ended for channel in server.stats().channels] == [False, True]
            with Station(port) as station:
                relayed.wait_for_sound()
                stats = relay.stats()
    assert relayed.all == main.all == [bw.SourceEnd(45, "BASS_ERROR_ENDED", reopens=True, channel="relay")]
    assert (stats.source_ended, stats.source_ends, stats.source_reopenings) == (False, 1, 1)


def test_lost_station_is_not_opened_again_once_another_source_plays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_watch, "CHECK_S", 0.2)
    station = Station()
    with serving(bw.BassFile(station.url)) as ends:
        ends.wait_for_sound()
        main, port = ends.server.channels["main"], station.server_port
        station.close()
        ends.wait_until(lambda: len(ends.all) == 1)
        ends.wait_for_silence()
        main.set_source(bw.Tone(HZ))
        with Station(port) as station:
            ends.wait_for_sound()
            time.sleep(1.0)  # Longer than the first wait for another attempt.
            assert station.visits == 0
            main.set_source(bw.BassFile(station.url), 100)
            ends.wait_for_sound()
            station.off_air.set()
            ends.wait_until(lambda: len(ends.all) == 2)
            station.off_air.clear()
            ends.wait_for_sound()
            assert ends.server.stats().source_reopenings == 1


def test_channel_of_the_program_can_be_freed_when_set_source_returns(tmp_path: Path) -> None:
    bass = Native()
    songs = [bass.file(media.write_tone(tmp_path / f"{n}.wav", HZ, None, seconds=60.0)) for n in range(3)]
    with serving(songs[0]) as ends:
        for former, song in itertools.pairwise(songs):
            ends.server.channels["main"].set_source(song, 50)
            bass.library.call("BASS_StreamFree", former)
            ends.wait_for_sound()
        stats = ends.server.stats()
    assert ends.all == []
    assert (stats.source_ended, stats.source_ends) == (False, 0)
    bass.library.call("BASS_StreamFree", songs[-1])


def test_file_behind_a_url_ends_once_it_is_complete() -> None:
    """Without ``loop`` a podcast is not played twice, unless its connection was lost."""
    with Station(file_bytes=48_000) as station:
        station.truncates = True
        with serving(bw.BassFile(station.url)) as ends:
            ends.wait_until(lambda: len(ends.all) == 1)
            station.truncates = False
            ends.wait_until(lambda: not ends.all[-1].reopens)
            ends.wait_for_silence()
            assert {end.name for end in ends.all} == {"BASS_ERROR_ENDED"}
            assert [end.reopens for end in ends.all] == [True] * (station.visits - 1) + [False]
            assert ends.server.stats().source_ended


def test_client_whose_station_is_lost_has_not_ended() -> None:
    """``bass-webrtc push`` ends with its source, so it must not end here."""
    with bw.Server(None, bw.ServerConfig(http_port=0, udp_port=0)) as server, Station() as station:
        server.start()
        with bw.WhipClient(bw.BassFile(station.url), server.url + "whip") as client:
            client.start()
            assert client.wait_connected(10)
            station.refuses = True
            station.off_air.set()
            until_s = time.monotonic() + TIMEOUT_S
            while station.visits < 2:
                assert time.monotonic() < until_s
                assert not client.source_ended
                time.sleep(0.01)
            assert (client.source_ended, client.source_error) == (False, "BASS_ERROR_ENDED")


def test_server_stops_at_once_while_a_station_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """BASS waits for the response for five seconds; nothing else does."""
    opening, answered = threading.Event(), threading.Event()

    def wait_for_answer(*_: object) -> None:
        opening.set()
        assert answered.wait(TIMEOUT_S)

    station = Station()
    with bw.Server(bw.BassFile(station.url), bw.ServerConfig(http_port=0, udp_port=0)) as server:
        server.start()
        monkeypatch.setattr("bass_webrtc.sources.open_file", wait_for_answer)
        station.close()
        assert opening.wait(TIMEOUT_S)
        with bw.WhepClient(server.url + "whep") as player:
            player.start()
            assert player.wait_connected(5), "the loop thread waits for the station"
        server.stop()
    assert not answered.is_set()
    answered.set()
