"""The thread that writes all recordings of an engine, and what the program sees of each."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ..core import Engine, Tap, name_thread
from ..errors import ClosedError, ConfigError
from ..host_process import start_thread
from .files import RecordingFiles
from .timeline import Timeline

_log = logging.getLogger(__name__)

_INTERVAL_S = 0.1
_LOOKAHEAD_SAMPLES = 312
"""Of libopus, except with "lowdelay", where 4 ms less: how much later than it was encoded a sample is decoded."""
_SAMPLE_RATE_HZ = 48_000
MIN_ROTATE_S = 1.0


class Recording:
    """A recording that has been started. Any thread.

    It ends with ``stop``, when its peer or channel is removed, when the server stops, or when a file cannot be written.
    """

    def __init__(
        self, tap: Tap, timeline: Timeline, files: RecordingFiles, played: Callable[[], tuple[int, int]]
    ) -> None:
        self._tap = tap
        self._timeline = timeline
        self._files = files
        self._played = played
        self._played_samples = 0
        self._stop_ns: int | None = None
        self._error: OSError | None = None
        self._finished = threading.Event()

    @property
    def path(self) -> Path | None:
        """The current file, or the last one; None until the first one has been created, a moment after the start."""
        paths = self._files.paths
        return paths[-1] if paths else None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files so far, in the order of time."""
        return tuple(self._files.paths)

    @property
    def seconds(self) -> float:
        """Recorded so far."""
        return self._files.position / _SAMPLE_RATE_HZ

    @property
    def bytes(self) -> int:
        """In all files so far."""
        return self._files.size_bytes

    @property
    def lost_packets(self) -> int:
        """Packets that did not arrive in time and of which there was no copy. Decoders conceal them."""
        return self._timeline.lost_packets

    @property
    def dropped_packets(self) -> int:
        """Packets that were not recorded because the disk was too slow; some of ``lost_packets`` of a peer."""
        return self._tap.dropped

    @property
    def error(self) -> OSError | None:
        """Why it ended before ``stop``: its file could not be created or written."""
        return self._error

    @property
    def is_active(self) -> bool:
        """Whether it goes on: it has not ended, and ``stop`` was not called."""
        return self._stop_ns is None and not self._finished.is_set()

    def stop(self) -> None:
        """End it now. The file is complete after ``wait``, or a moment later. Idempotent."""
        if self._stop_ns is None:
            self._stop_ns = time.perf_counter_ns()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the files are complete after ``stop``; return whether they are."""
        return self._finished.wait(timeout_s)

    # ------------------------------------------------------------------ recorder thread

    def _advance(self, now_ns: int) -> bool:
        """Write what has been played by now; return whether the recording goes on. Raises OSError."""
        if not self._files.paths:
            self._files.open()
        is_released = self._tap.is_released  # Before the last packets are read.
        end_ns = now_ns if self._stop_ns is None and is_released else self._stop_ns
        for packet in self._tap.read():
            self._timeline.add(packet)
        played_ns, samples = self._played()
        if samples != self._played_samples and played_ns != 0:
            self._played_samples = samples
            self._timeline.played(played_ns)
        if end_ns is None:
            for packet_and_samples in self._timeline.due(now_ns):
                self._files.write(*packet_and_samples)
            return True
        for packet_and_samples in self._timeline.finish(end_ns):
            self._files.write(*packet_and_samples)
        self._files.finish(self._timeline.samples_until(end_ns))
        return False

    def _end(self, error: OSError | None) -> None:
        self._tap.close()
        self._files.abandon()
        self._error = error
        self._finished.set()


class Recordings:
    """All recordings of one engine. One thread writes them, and no other thread ever waits for a disk.

    ``record_peer`` and ``record_channel`` belong to the loop thread, the rest to any thread.
    """

    def __init__(
        self, engine: Engine, vendor: str, on_error: Callable[[Recording, OSError], object] | None = None
    ) -> None:
        """
        Args:
            engine: May be closed before or after this object.
            vendor: Name and version of the program, for the files.
            on_error: Called from the recorder thread when a recording has ended because of the disk. It must not block.
        """
        self._engine = engine
        self._vendor = vendor
        self._on_error = on_error
        self._condition = threading.Condition()
        self._new: list[Recording] = []
        self._current: list[Recording] = []
        self._closing = False
        self._thread: threading.Thread | None = None

    def record_peer(
        self,
        peer: int,
        path: str | os.PathLike[str],
        title: str = "",
        artist: str = "",
        *,
        start_ns: int | None = None,
        rotate_s: float = 0.0,
    ) -> Recording:
        """Record what a peer sends, as it is received, until it is removed or the recording stopped.

        Args:
            peer: Slot of a peer that sends media.
            path: ``{name}`` is replaced by the title, ``{date}`` and ``{time}`` by when the file begins. Files that
                exist are not overwritten.
            title: For players, too.
            artist: For players.
            start_ns: Time 0 of ``time.perf_counter_ns``, at most a few seconds ago. None: now. Recordings with the same
                one are aligned.
            rotate_s: Length of each file, at least 1 s; 0: there is one.

        Raises:
            BassWebRtcError: There is no such peer.
            ClosedError: ``close`` was called.
            ConfigError: ``rotate_s`` is too short.
        """
        tap = Tap()
        recording = self._make(tap, path, title, artist, start_ns, rotate_s, peer=peer)
        self._engine.add_peer_tap(peer, tap)
        return self._start(recording)

    def record_channel(
        self,
        channel: int,
        path: str | os.PathLike[str],
        title: str = "",
        artist: str = "",
        *,
        start_ns: int | None = None,
        rotate_s: float = 0.0,
    ) -> Recording:
        """Record what a channel sends in its first encoding, also without listeners; arguments as ``record_peer``."""
        tap = Tap()
        recording = self._make(tap, path, title, artist, start_ns, rotate_s, peer=None)
        self._engine.add_channel_tap(channel, tap)
        return self._start(recording)

    @property
    def active(self) -> tuple[Recording, ...]:
        """The recordings that have not ended."""
        with self._condition:
            return tuple(recording for recording in (*self._current, *self._new) if recording.is_active)

    def close(self, timeout_s: float = 10.0) -> None:
        """Stop all recordings and wait until their files are complete, or until the time is over. Idempotent."""
        with self._condition:
            self._closing = True
            thread = self._thread
            for recording in (*self._current, *self._new):
                recording.stop()
            self._condition.notify()
        if thread is None or thread is threading.current_thread():
            return
        thread.join(timeout_s)
        if thread.is_alive():
            _log.warning(
                "recordings are still being written after %g s: the disk is slow or does not answer", timeout_s
            )

    def _make(
        self,
        tap: Tap,
        path: str | os.PathLike[str],
        title: str,
        artist: str,
        start_ns: int | None,
        rotate_s: float,
        *,
        peer: int | None,
    ) -> Recording:
        if self._closing:
            raise ClosedError("the recordings were closed; they are made anew when the server is started again")
        if rotate_s and rotate_s < MIN_ROTATE_S:
            raise ConfigError(f"rotate_s is {rotate_s}; expected 0 or at least {MIN_ROTATE_S} s")
        now_ns = time.perf_counter_ns()
        start_ns = now_ns if start_ns is None else start_ns
        start_unix_s = time.time() - (now_ns - start_ns) / 1e9
        tags = {name: value for name, value in (("TITLE", title), ("ARTIST", artist)) if value}
        files = RecordingFiles(
            os.fspath(path), title, start_unix_s, self._vendor, tags, round(rotate_s * _SAMPLE_RATE_HZ)
        )
        lookahead = _LOOKAHEAD_SAMPLES if peer is None else 0
        timeline = Timeline(start_ns, is_channel=peer is None, lookahead_samples=lookahead)
        if peer is None:
            return Recording(tap, timeline, files, lambda: (0, 0))
        return Recording(tap, timeline, files, lambda: self._engine.playout.played_ns(peer))

    def _start(self, recording: Recording) -> Recording:
        with self._condition:
            self._new.append(recording)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="bass-webrtc recordings", daemon=True)
                start_thread(self._thread)
            self._condition.notify()
        return recording

    # ------------------------------------------------------------------ recorder thread

    def _run(self) -> None:
        name_thread("bw-recordings")
        due_s = time.perf_counter()
        while self._wait_until(due_s):
            due_s = max(due_s + _INTERVAL_S, time.perf_counter())
            for recording in self._current:
                self._advance(recording)

    def _wait_until(self, due_s: float) -> bool:
        """Wait for the next round, or as long as there is no recording. Return False at the end."""
        with self._condition:
            while not (self._closing or self._new or self._current):
                self._condition.wait()
            if not (self._closing or self._new):
                self._condition.wait(max(0.0, due_s - time.perf_counter()))
            self._current, self._new = [*self._current, *self._new], []
            return bool(self._current) or not self._closing

    def _advance(self, recording: Recording) -> None:
        error = None
        try:
            if recording._advance(time.perf_counter_ns()):
                return
        except OSError as failure:
            error = failure
        except Exception as failure:  # The other recordings go on.
            _log.exception("a recording has ended")
            error = OSError(f"internal error: {failure!r}")
        recording._end(error)
        with self._condition:
            self._current = [other for other in self._current if other is not recording]
        if error is None:
            return
        _log.warning("a recording has ended: %s", error)
        if self._on_error is not None:
            try:
                self._on_error(recording, error)
            except Exception:  # The other recordings go on.
                _log.exception("on_error of a recording has failed")
