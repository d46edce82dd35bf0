"""Playback of peers' audio, mixed or separate. ``playout.h`` documents each call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..config import CHANNELS, SAMPLE_BYTES, ReceiveEnhancement
from ..host_process import ProcessLock
from .compiled import ffi, lib

if TYPE_CHECKING:
    import numpy as np
    from _typeshed import WriteableBuffer
    from numpy.typing import NDArray

    from ._core import Pointer


@dataclass(frozen=True, slots=True)
class ReceiverStats:
    """Counters of one peer's jitter buffer; see ``bw_receiver_stats`` in ``playout.h``."""

    packets_discarded: int = 0
    duplicate_packets: int = 0
    late_packets: int = 0
    fec_packets_used: int = 0
    red_packets_used: int = 0
    decode_errors: int = 0
    underruns: int = 0
    concealment_events: int = 0
    concealed_samples: int = 0
    silent_concealed_samples: int = 0
    inserted_samples_for_deceleration: int = 0
    removed_samples_for_acceleration: int = 0
    join_delay_samples: int = 0
    total_samples_received: int = 0
    jitter_buffer_emitted_count: int = 0
    enhanced_samples: int = 0
    jitter_buffer_delay_s: float = 0.0
    jitter_buffer_ms: float = 0.0
    jitter_buffer_target_ms: float = 0.0
    drift_ppm: float = 0.0
    audio_level_dbfs: float = -127.0
    is_buffering: int = 0
    is_enhanced: int = 0


@dataclass(frozen=True, slots=True)
class PlayoutStats:
    """Counters of the playing thread; see ``bw_playout_stats`` in ``playout.h``."""

    callbacks: int = 0
    callback_max_ns: int = 0
    blocked: int = 0
    clipped_samples: int = 0


class Playout:
    """The receiving side of an engine. Any thread; after ``close`` it returns silence and zeros."""

    def __init__(self, pointer: Pointer) -> None:
        self._pointer = pointer
        self._lock = ProcessLock()  # Serializes callers of this object and close; no audio thread takes it.
        self._closed = False

    def close(self) -> None:
        """Stop using the engine, which is about to be freed. No stream may be playing."""
        with self._lock:
            self._closed = True

    @property
    def mix_procedure(self) -> tuple[int, int]:
        """Addresses of the mix's STREAMPROC and of its user pointer."""
        return _number(lib.bw_playout_mix_proc()), _number(self._pointer)

    def peer_procedure(self, peer: int) -> tuple[int, int]:
        """Return the addresses of the STREAMPROC and user pointer of one peer's own stream."""
        return _number(lib.bw_playout_peer_proc()), _number(lib.bw_playout_peer_user(self._pointer, peer))

    def set_enhancement(self, mode: ReceiveEnhancement) -> bool:
        """Set when libopus may enhance speech; before the first peer. False if libopus does not have the models."""
        number = getattr(lib, f"BW_ENHANCEMENT_{mode.upper()}")
        with self._lock:
            return self._closed or lib.bw_playout_set_enhancement(self._pointer, number) == lib.BW_OK

    def set_own(self, peer: int, own: bool) -> None:
        """Play the peer on its own stream (True) or in the mix (False)."""
        with self._lock:
            if not self._closed:
                lib.bw_playout_set_route(self._pointer, peer, lib.BW_PLAYOUT_OWN if own else lib.BW_PLAYOUT_MIX)

    def set_gain(self, peer: int, gain: float) -> None:
        """Set the peer's gain, a factor from 0 to 16."""
        with self._lock:
            if not self._closed:
                lib.bw_playout_set_gain(self._pointer, peer, gain)

    def set_muted(self, peer: int, muted: bool) -> None:
        """Mute or unmute the peer, without a click."""
        with self._lock:
            if not self._closed:
                lib.bw_playout_set_muted(self._pointer, peer, muted)

    def read_mix(self, block: WriteableBuffer) -> None:
        """Fill a buffer with the next block of the mix: float32 ``[frames, 2]`` at 48 kHz."""
        samples, frames = _silent(block)
        with self._lock:
            if not self._closed:
                lib.bw_playout_read_mix(self._pointer, samples, frames, 0)

    def read_peer(self, peer: int, block: WriteableBuffer) -> None:
        """Fill a buffer with the next block of one peer, as ``read_mix`` does; silence while it plays in the mix."""
        samples, frames = _silent(block)
        with self._lock:
            if not self._closed:
                lib.bw_playout_read_peer(self._pointer, peer, samples, frames, 0)

    def receiver_stats(self, peer: int) -> ReceiverStats:
        """Return one peer's counters; zeros when it sends nothing."""
        with self._lock:
            if self._closed:
                return ReceiverStats()
            stats = ffi.new("bw_receiver_stats *")
            lib.bw_playout_get_receiver_stats(self._pointer, peer, stats)
            return ReceiverStats(*(getattr(stats, name) for name in ReceiverStats.__slots__))

    def played_ns(self, peer: int) -> tuple[int, int]:
        """Return when RTP time 0 of a peer's stream would have been played, and the samples played since it began.

        The time is that of ``time.perf_counter_ns``, 0 if it is not known yet. It holds while samples are played.
        """
        with self._lock:
            if self._closed:
                return 0, 0
            stats = ffi.new("bw_receiver_stats *")
            lib.bw_playout_get_receiver_stats(self._pointer, peer, stats)
            return stats.played_ns, stats.total_samples_received

    def stats(self) -> PlayoutStats:
        """Return the counters of the playing thread."""
        with self._lock:
            if self._closed:
                return PlayoutStats()
            stats = ffi.new("bw_playout_stats *")
            lib.bw_playout_get_stats(self._pointer, stats)
            return PlayoutStats(*(getattr(stats, name) for name in PlayoutStats.__slots__))


def read_array(read_into: Callable[[WriteableBuffer], None], frames: int) -> NDArray[np.float32]:
    """Return a new array of float32 ``[frames, 2]`` that ``read_into`` has filled."""
    import numpy as np  # Not at the top: most programs need no arrays, and the C library is shipped without NumPy.

    block = np.empty((frames, CHANNELS), np.float32)
    read_into(block.data)
    return block


def fill_with_silence(block: WriteableBuffer) -> None:
    """Fill a buffer of float32 ``[frames, 2]`` with silence."""
    _silent(block)


def _silent(block: WriteableBuffer) -> tuple[Pointer, int]:
    """Fill a buffer with silence; return its samples and how many frames they are."""
    length = memoryview(block).nbytes
    samples = ffi.from_buffer("float[]", block, require_writable=True)
    ffi.memmove(samples, bytes(length), length)
    return samples, length // (CHANNELS * SAMPLE_BYTES)


def _number(pointer: Pointer) -> int:
    return int(ffi.cast("uintptr_t", pointer))
