"""Python interface of mix_probe.c: compiled on first use, attached to a BASS channel or placed before a STREAMPROC."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bass_webrtc.bass import find_bass
from support.compiled import compiled

_SOURCE = Path(__file__).with_name("mix_probe.c")
_SAMPLE_RATE_HZ = 48_000
_SAMPLE_FLOAT = 0x100
_STREAMPROC_DEVICE = ctypes.c_void_p(-2)
_BLOCKS_PER_S = 400


class _Probe(ctypes.Structure):
    _fields_ = (
        ("samples", ctypes.c_void_p),
        ("capacity", ctypes.c_uint64),
        ("frames", ctypes.c_uint64),
        ("block_ns", ctypes.c_void_p),
        ("block_frames", ctypes.c_void_p),
        ("block_capacity", ctypes.c_uint64),
        ("blocks", ctypes.c_uint64),
    )

    frames: int
    blocks: int


@dataclass(frozen=True)
class Recording:
    """Recorded audio and the times of its blocks."""

    samples: NDArray[np.float32]
    """``[frames, 2]`` at 48 kHz."""
    block_s: NDArray[np.float64]
    """``time.monotonic()`` of each block."""
    block_frames: NDArray[np.int64]
    """Frames before each block."""

    def block_time_s(self, frame: int) -> float:
        """Return when the block that contains a frame passed."""
        return float(self.block_s[self._block_of(frame)])

    def time_s(self, frame: int) -> float:
        """Return when a frame is heard: its block's time plus its position in the block."""
        place = frame - self.block_frames[self._block_of(frame)]
        return self.block_time_s(frame) + float(place) / _SAMPLE_RATE_HZ

    def frame_at(self, time_s: float) -> int:
        """Return the first frame of the first block that passed after this time."""
        block = int(np.searchsorted(self.block_s, time_s))
        return int(self.block_frames[min(block, len(self.block_frames) - 1)])

    def _block_of(self, frame: int) -> int:
        return int(np.searchsorted(self.block_frames, frame, side="right")) - 1


class MixProbe:
    """Records one BASS channel from ``attach`` on."""

    def __init__(self, seconds: float) -> None:
        self._samples = np.zeros((round(seconds * _SAMPLE_RATE_HZ), 2), np.float32)
        self._block_ns = np.zeros(round(seconds * _BLOCKS_PER_S), np.int64)
        self._block_frames = np.zeros_like(self._block_ns)
        self._probe = _Probe(
            self._samples.ctypes.data,
            len(self._samples),
            0,
            self._block_ns.ctypes.data,
            self._block_frames.ctypes.data,
            len(self._block_ns),
            0,
        )
        self._dsp = self._channel = 0

    def attach(self, channel: int) -> None:
        """Start recording what this channel plays."""
        bass = _bass()
        procedure = ctypes.cast(_compile().probe_block, ctypes.c_void_p)
        self._dsp = bass.BASS_ChannelSetDSP(channel, procedure, ctypes.byref(self._probe), 0)
        assert self._dsp, f"BASS_ChannelSetDSP: error {bass.BASS_ErrorGetCode()}"
        self._channel = channel

    def detach(self) -> Recording:
        """Stop recording and return it."""
        _bass().BASS_ChannelRemoveDSP(self._channel, self._dsp)
        frames, blocks = self._probe.frames, self._probe.blocks
        return Recording(self._samples[:frames], self._block_ns[:blocks] / 1e9, self._block_frames[:blocks])


class _Timed(ctypes.Structure):
    _fields_ = (
        ("procedure", ctypes.c_void_p),
        ("user", ctypes.c_void_p),
        ("wall_ns", ctypes.c_void_p),
        ("cpu_ns", ctypes.c_void_p),
        ("capacity", ctypes.c_uint64),
        ("calls", ctypes.c_uint64),
    )

    calls: int


class TimedProcedure:
    """Wraps a STREAMPROC and records how long each call takes."""

    def __init__(self, procedure: int, user: int, seconds: float) -> None:
        self._wall_ns = np.zeros(round(seconds * _BLOCKS_PER_S), np.int64)
        self._cpu_ns = np.zeros_like(self._wall_ns)
        arrays = (self._wall_ns.ctypes.data, self._cpu_ns.ctypes.data, len(self._wall_ns))
        self._timed = _Timed(procedure, user, *arrays, 0)

    @property
    def address(self) -> tuple[int, int]:
        """Addresses of the STREAMPROC and of its user pointer."""
        procedure = ctypes.cast(_compile().timed_procedure, ctypes.c_void_p).value
        assert procedure is not None
        return procedure, ctypes.addressof(self._timed)

    @property
    def calls(self) -> int:
        """Number of calls so far."""
        return self._timed.calls

    def longest_us(self, first: int) -> tuple[float, float]:
        """Return the longest duration since this call, in wall-clock time and in the thread's CPU time."""
        since = slice(first, self.calls)
        return float(self._wall_ns[since].max()) / 1000, float(self._cpu_ns[since].max()) / 1000


def device_mix() -> int:
    """Return the HSTREAM of everything that the current device plays."""
    handle = _bass().BASS_StreamCreate(_SAMPLE_RATE_HZ, 2, _SAMPLE_FLOAT, _STREAMPROC_DEVICE, None)
    assert handle, f"BASS_StreamCreate: error {_bass().BASS_ErrorGetCode()}"
    return int(handle)


@functools.cache
def _bass() -> ctypes.CDLL:
    """Return this process's BASS, for functions that bass_webrtc does not bind."""
    bass = ctypes.CDLL(str(find_bass().path))
    bass.BASS_StreamCreate.restype = bass.BASS_ChannelSetDSP.restype = ctypes.c_uint32
    bass.BASS_ChannelSetDSP.argtypes = (ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
    return bass


@functools.cache
def _compile() -> ctypes.CDLL:
    return ctypes.CDLL(str(compiled(_SOURCE, "-shared", "-fPIC")))
