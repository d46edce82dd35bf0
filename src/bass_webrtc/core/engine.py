"""Python objects for the core's C interface. ``core.h`` documents each call; this file only converts arguments.

Nothing here blocks, except ``Engine.close``. Methods in a section marked "loop" may be called only from the thread that
runs the control plane; statistics may be read from any thread.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..config import MAX_FAN_OUT_THREADS, SAMPLE_RATE_HZ, ChannelConfig, StreamConfig
from ..errors import BassWebRtcError, ClosedError, PeerLimitError
from ..host_process import ProcessLock
from ..stats import CallState, shallow_dict
from .compiled import ffi, lib
from .playout import Playout
from .tap import Tap

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from ._core import Pointer

_log = logging.getLogger(__name__)

_LATENESS_CAPACITY = 1000
_SRTCP_ROOM_BYTES = 32
_LONGEST_ROUND_TRIP_S = 2**16
"""Longer than any that a report can show."""
_PROTOCOLS = ("STUN", "repeated STUN", "DTLS", "RTCP")  # By BW_QUOTA_*.


@dataclass(frozen=True, slots=True)
class Datagram:
    """An authentic STUN or a DTLS datagram from the network."""

    peer: int
    """The peer that signed the STUN message, or that this address is mapped to."""
    socket: int
    host: str
    port: int
    time_s: float
    """Time of ``time.perf_counter`` at arrival, in seconds."""
    data: bytes


@dataclass(frozen=True, slots=True)
class CheckReplayed:
    """A copy of an ICE check that the network thread had answered on a settled address; it was dropped."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class RtcpReceived:
    """A peer has sent RTCP: authentic, not replayed, decrypted."""

    peer: int
    time_s: float
    """Time of ``time.perf_counter`` at arrival, in seconds."""
    packet: bytes


@dataclass(frozen=True, slots=True)
class PeerRemoved:
    """Both threads have released this slot; it can be reused."""

    peer: int


@dataclass(frozen=True, slots=True)
class SourceEnded:
    """A source has ended; its channel continues with silence, until it has audio again or another one is set."""

    channel: int
    error: int
    """BASS's error code."""


@dataclass(frozen=True, slots=True)
class SourceReplaced:
    """A channel plays the source of ``set_source`` alone and has released the former one."""

    channel: int


@dataclass(frozen=True, slots=True)
class ChannelRemoved:
    """The channel's thread has ended; its number can be reused."""

    channel: int


@dataclass(frozen=True, slots=True)
class ProbeSent:
    """The last copy of ``Engine.probe`` was sent."""

    peer: int
    missing: int = 0
    """Copies that could not be sent, for want of earlier packets."""


@dataclass(frozen=True, slots=True)
class Limited:
    """Datagrams were dropped because this peer sent more than its quota. At most one per second, of any peer."""

    peer: int
    protocol: str


@dataclass(frozen=True, slots=True)
class SocketRemoved:
    """Both threads have released this socket; it can be closed."""

    socket: int


EngineEvent = (
    Datagram
    | CheckReplayed
    | RtcpReceived
    | PeerRemoved
    | SourceEnded
    | SourceReplaced
    | ChannelRemoved
    | ProbeSent
    | Limited
    | SocketRemoved
)


@dataclass(frozen=True, slots=True)
class PeerKeys:
    """SRTP keys of both directions: 16 bytes master key and 14 (GCM: 12) bytes master salt each."""

    profile: int
    """1: AES128_CM_SHA1_80 (RFC 5764), 7: AEAD_AES_128_GCM (RFC 7714)."""
    local_key: bytes
    remote_key: bytes


@dataclass(frozen=True, slots=True)
class SendingStream:
    """The RTP stream to one peer."""

    ssrc: int
    sequence: int
    """Of the first packet, 0 to 0x7FFF."""
    timestamp_offset: int
    """RTP time of media time 0."""
    payload_type: int
    red_payload_type: int = 0
    """0: not negotiated."""
    channel: int = 0
    encoding: int = 0
    """Of the channel's encodings."""


@dataclass(frozen=True, slots=True)
class ReceivingStream:
    """The RTP streams from one peer; each of its SSRCs is received, announced or not (RFC 8834, 4.8)."""

    payload_type: int
    red_payload_type: int = 0
    """0: not negotiated."""
    jitter_start_ms: int = 40
    jitter_min_ms: int = 10
    jitter_max_ms: int = 500


@dataclass(frozen=True, slots=True)
class Reception:
    """Reception of the most recently received stream; see ``bw_peer_reception`` in ``core.h``."""

    ssrc: int = 0
    """Meaningless before the first packet."""
    first_sequence: int = 0
    highest_sequence: int = 0
    packets_received: int = 0
    """0: nothing received yet."""
    jitter_ticks: int = 0


@dataclass(frozen=True, slots=True)
class KeptReports:
    """Receiver reports that the network thread kept, and the last one's content; see ``bw_kept_reports``."""

    count: int = 0
    """0: none; the rest is meaningless then."""
    reporter: int = 0
    packets_lost: int = 0
    highest_sequence: int = 0
    jitter: int = 0
    last_sr: int = 0
    delay_since_last_sr: int = 0
    time_s: float = 0.0
    """Time of ``time.perf_counter`` at arrival, in seconds."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Counters of the threads; see ``bw_engine_stats`` in ``core.h``."""

    frames_sent: int = 0
    frames_skipped: int = 0
    late_frames: int = 0
    packets_sent: int = 0
    bytes_sent: int = 0
    send_drops: int = 0
    encode_errors: int = 0
    source_underruns: int = 0
    packets_received: int = 0
    bytes_received: int = 0
    datagrams_dropped: int = 0
    datagrams_limited: int = 0
    srtp_errors: int = 0
    events_dropped: int = 0
    realtime_priority: int = 0
    source_ended: int = 0
    source_error: int = 0
    source_ends: int = 0
    active_peers: int = 0


@dataclass(frozen=True, slots=True)
class PeerCounters:
    """Counters of one peer; see ``bw_peer_stats`` in ``core.h``."""

    packets_sent: int = 0
    bytes_sent: int = 0
    octets_sent: int = 0
    send_drops: int = 0
    packets_resent: int = 0
    packets_received: int = 0
    bytes_received: int = 0
    srtp_errors: int = 0
    datagrams_limited: int = 0
    packets_not_negotiated: int = 0
    sequence_restarts: int = 0
    encoding: int = 0


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """A channel's encodings, and how they are made."""

    bitrates_bps: tuple[int, ...]
    """Of one to four encodings, 6,000 to 510,000 each."""
    complexity: int
    application: str
    """``"audio"``, ``"voip"`` or ``"lowdelay"``."""
    fec: bool
    dtx: bool

    @classmethod
    def of(cls, config: StreamConfig, own: ChannelConfig | None = None) -> ChannelSettings:
        """Return the settings of a channel: its own, and those of the server or client for the others."""
        own = own or ChannelConfig()
        return cls(
            tuple(kbps * 1000 for kbps in own.bitrates_kbps or config.bitrates_kbps),
            config.complexity if own.complexity is None else own.complexity,
            own.application or config.application,
            config.fec,
            config.dtx,
        )


@dataclass(frozen=True, slots=True)
class ChannelCounters:
    """Counters of one channel; see ``bw_channel_stats`` in ``core.h``."""

    frames_sent: int = 0
    frames_skipped: int = 0
    late_frames: int = 0
    packets_sent: int = 0
    bytes_sent: int = 0
    send_drops: int = 0
    encode_errors: int = 0
    source_underruns: int = 0
    source_ended: int = 0
    source_error: int = 0
    source_ends: int = 0
    listeners: tuple[int, ...] = (0, 0, 0, 0)
    """Of each encoding."""


_CALL_STATES = {"waiting": 0, "on_air": 1, "private": 2, "ended": 3, "producer": 4}  # BW_CALL_*


@dataclass(frozen=True, slots=True)
class CallSettings:
    """What a caller hears, and who hears it; see ``bw_call_settings`` in ``core.h``."""

    state: CallState | Literal["producer"] = "waiting"
    gain: float = 1.0
    return_gain: float = 1.0
    muted: bool = False
    talkback: bool = False


ChannelUse = Literal["plain", "talkback", "hold"]
"""For listeners only, as the producers' microphone, or for callers who wait, instead of the first channel."""


@dataclass(frozen=True, slots=True)
class CallsStats:
    """Counters of all calls; see ``bw_calls_stats`` in ``core.h``."""

    mix_max_ns: int = 0
    frames_dropped: int = 0
    programme_dbfs: float = -127.0


class SourceHandle:
    """A source in the core, which its channel's thread reads. Any thread."""

    def __init__(self, pointer: Pointer) -> None:
        if not pointer:
            raise BassWebRtcError("cannot create the source; expected 8000 to 192000 Hz and 1 to 8 channels")
        self.pointer = ffi.gc(pointer, lib.bw_source_free)

    @classmethod
    def tone(cls, left_hz: float, right_hz: float, level_dbfs: float) -> SourceHandle:
        """Create a source with one sine per channel."""
        return cls(lib.bw_source_new_tone(left_hz, right_hz, level_dbfs))

    @classmethod
    def pcm(cls, sample_rate_hz: int, channels: int) -> SourceHandle:
        """Create a source of interleaved float PCM passed to ``write``."""
        return cls(lib.bw_source_new_pcm(sample_rate_hz, channels))

    @classmethod
    def bass(
        cls, get_data: int, get_error: int, handle: int, sample_rate_hz: int, channels: int, *, live: bool
    ) -> SourceHandle:
        """Create a source that reads a BASS channel.

        Args:
            get_data: Address of ``BASS_ChannelGetData`` in the library that owns the handle.
            get_error: Address of its ``BASS_ErrorGetCode``.
            handle: A decoding or recording channel.
            sample_rate_hz: The channel's rate.
            channels: The channel's number of channels.
            live: The handle is a recording channel.
        """
        functions = ffi.cast("void *", get_data), ffi.cast("void *", get_error)
        return cls(lib.bw_source_new_bass(*functions, handle, sample_rate_hz, channels, live))

    def write(self, samples: ReadableBuffer, frames: int) -> int:
        """Copy as many frames as fit of C-contiguous float32 ``[frames, channels]``; return how many. One thread."""
        return lib.bw_source_write(self.pointer, ffi.from_buffer("float[]", samples), frames)

    def space(self) -> int:
        """Return the frames that ``write`` would accept now."""
        return lib.bw_source_space(self.pointer)

    def end(self) -> None:
        """End the source after the frames already written."""
        lib.bw_source_end(self.pointer)


class Srtcp:
    """SRTCP of the RTCP sent to one peer (RFC 3711, 3.4). Loop thread."""

    def __init__(self, keys: PeerKeys) -> None:
        pointer = lib.bw_srtcp_new(keys.profile, _padded(keys.local_key))
        if not pointer:
            raise BassWebRtcError(f"cannot set up SRTCP with profile {keys.profile}; expected 1 or 7")
        self._pointer = ffi.gc(pointer, lib.bw_srtcp_free)

    def protect(self, packet: bytes) -> bytes:
        """Encrypt and authenticate a compound packet."""
        buffer = bytearray(packet + bytes(_SRTCP_ROOM_BYTES))
        length = lib.bw_srtcp_protect(self._pointer, ffi.from_buffer("uint8_t[]", buffer), len(packet), len(buffer))
        assert length > 0, "RTCP packets built here have at least 8 bytes"
        return bytes(buffer[:length])


@dataclass(frozen=True, slots=True)
class SenderReports:
    """What the network thread needs for the sender reports to one peer; see ``bw_report_config`` in ``core.h``."""

    stream: SendingStream
    unix_epoch_s: float
    """Unix time minus ``time.perf_counter``."""
    seed: int
    """64 random bits."""
    description: bytes
    """The SDES packet that follows each report."""


class Engine:
    """The threads of the channels, the network thread, and the queues to them.

    Attributes:
        playout: Playback of peers' audio.
    """

    def __init__(
        self,
        config: StreamConfig,
        max_peers: int,
        source: SourceHandle | None,
        fan_out_threads: int | None = None,
    ) -> None:
        """Create a stopped engine with one channel. Any thread.

        Args:
            config: Settings of the engine and of its channel.
            max_peers: Number of peer slots.
            source: Of the channel; None: silence. Kept alive while it is used.
            fan_out_threads: How many threads may send one channel's packets; None: one per core.
        """
        settings = ffi.new(
            "bw_engine_config *",
            {
                "max_peers": max_peers,
                "frame_samples": config.frame_samples,
                "fan_out_threads": fan_out_threads or min(os.cpu_count() or 1, MAX_FAN_OUT_THREADS),
            },
        )
        status = ffi.new("int *")
        pointer = lib.bw_engine_new(settings, status)
        if not pointer:
            raise BassWebRtcError(f"cannot create the audio engine (core status {status[0]})")
        self._pointer = pointer
        self._sources: dict[int, tuple[SourceHandle | None, ...]] = {}
        """What the thread of each channel may be reading."""
        self._taps: list[Tap] = []
        """What the threads may be writing."""
        self.playout = Playout(lib.bw_engine_playout(pointer))
        if not self.playout.set_enhancement(config.receive_enhancement) and config.receive_enhancement == "on":
            _log.warning(
                "received speech is not enhanced, although receive_enhancement is 'on': this libopus has no models "
                "(OSCE); use a wheel of bass-webrtc, or libopus 1.5 or newer built with --enable-osce"
            )
        self._lock = ProcessLock()  # Serializes close and the statistics, which any thread reads.
        self._closed = False
        self._last_stats = EngineStats()
        self._event = ffi.new("bw_event *")
        self._lateness = ffi.new("uint32_t[]", _LATENESS_CAPACITY)
        self.add_channel(ChannelSettings.of(config), source)

    def start(self) -> None:
        """Start the threads."""
        _check(lib.bw_engine_start(self._open()), "cannot start the audio threads")

    def close(self) -> None:
        """Stop the threads, wait for them and free everything. Idempotent; any thread."""
        with self._lock:
            if self._closed:
                return
            self._last_stats = self._read_stats()
            self._closed = True
            self.playout.close()
            lib.bw_engine_free(self._pointer)
            self._sources.clear()
            self._taps.clear()

    @property
    def address(self) -> int:
        """Address of the ``bw_engine``, for C code that reads statistics; valid until ``close``."""
        return int(ffi.cast("uintptr_t", self._open()))

    # -- sockets and events: loop

    @property
    def event_descriptor(self) -> int:
        """Readable while ``events`` has something to return."""
        return lib.bw_engine_event_fd(self._open())

    def add_socket(self, descriptor: int) -> int:
        """Add a bound, non-blocking UDP socket; return its index.

        Raises:
            BassWebRtcError: There are as many as the engine supports.
        """
        status = lib.bw_engine_add_socket(self._open(), descriptor)
        if status == lib.BW_ERROR_BUSY:
            raise BassWebRtcError(f"{lib.BW_MAX_SOCKETS} UDP sockets are open, which is the limit")
        return _check(status, "cannot add the UDP socket")

    def remove_socket(self, index: int) -> None:
        """Stop using a socket, which must stay open until ``SocketRemoved``."""
        _check(lib.bw_engine_remove_socket(self._open(), index), "remove_socket")

    def events(self) -> Iterator[EngineEvent]:
        """Yield the pending events. The caller may stop early: the descriptor stays readable while more are pending."""
        event = self._event
        while lib.bw_engine_next_events(self._open(), event, 1) == 1:
            if event.kind == lib.BW_EVENT_DATAGRAM:
                host, port = _source(event)
                data = ffi.buffer(event.data, event.length)[:]
                yield Datagram(event.peer, event.socket, host, port, event.time_ns / 1e9, data)
            elif event.kind == lib.BW_EVENT_RTCP:
                yield RtcpReceived(event.peer, event.time_ns / 1e9, ffi.buffer(event.data, event.length)[:])
            elif event.kind == lib.BW_EVENT_PEER_REMOVED:
                yield PeerRemoved(event.peer)
            elif event.kind == lib.BW_EVENT_SOURCE_ENDED:
                yield SourceEnded(event.channel, int(ffi.cast("int32_t", event.value)))
            elif event.kind == lib.BW_EVENT_SOCKET_REMOVED:
                yield SocketRemoved(event.value)
            elif event.kind == lib.BW_EVENT_SOURCE_REPLACED:
                self._sources[event.channel] = self._sources[event.channel][-1:]
                yield SourceReplaced(event.channel)
            elif event.kind == lib.BW_EVENT_CHANNEL_REMOVED:
                del self._sources[event.channel]
                yield ChannelRemoved(event.channel)
            elif event.kind == lib.BW_EVENT_PROBE_SENT:
                yield ProbeSent(event.peer, event.value)
            elif event.kind == lib.BW_EVENT_REPLAY:
                yield CheckReplayed(*_source(event))
            elif event.kind == lib.BW_EVENT_LIMITED:
                yield Limited(event.peer, _PROTOCOLS[event.value])

    # -- peers: loop

    def map_address(self, peer: int, socket_index: int, host: str, port: int) -> None:
        """Assign datagrams from this address to this peer."""
        _check(lib.bw_peer_map_address(self._open(), peer, socket_index, _address(host, port)), "map_address")

    def unmap_address(self, peer: int, socket_index: int, host: str, port: int) -> None:
        """Undo ``map_address``."""
        _check(lib.bw_peer_unmap_address(self._open(), peer, socket_index, _address(host, port)), "unmap_address")

    def settle_address(self, peer: int, socket_index: int, host: str, port: int) -> None:
        """Let the network thread answer this peer's checks from this address, which is mapped to it."""
        _check(lib.bw_peer_settle_address(self._open(), peer, socket_index, _address(host, port)), "settle_address")

    def unsettle_address(self, peer: int, socket_index: int, host: str, port: int) -> None:
        """Undo ``settle_address``. ``map_address`` and ``unmap_address`` do, too."""
        _check(lib.bw_peer_unsettle_address(self._open(), peer, socket_index, _address(host, port)), "unsettle_address")

    def checked_s(self, peer: int) -> float:
        """Return when the last new check arrived on the address that was settled last; 0 if none did since."""
        return lib.bw_peer_checked_ns(self._open(), peer) / 1e9

    def add_ice(self, peer: int, ufrag: str, local_password: str, remote_password: str) -> None:
        """Accept STUN of this peer: requests to this local ufrag, and responses signed with the remote password."""
        status = lib.bw_peer_add_ice(
            self._open(), peer, ufrag.encode(), local_password.encode(), remote_password.encode()
        )
        _check(status, f"add_ice: ufrag {ufrag!r} needs 1 to {lib.BW_MAX_UFRAG_BYTES} bytes")

    def remove_ice(self, peer: int, ufrag: str) -> None:
        """Undo ``add_ice``. Removing the peer does, too."""
        _check(lib.bw_peer_remove_ice(self._open(), peer, ufrag.encode()), "remove_ice")

    def add_peer(
        self, peer: int, keys: PeerKeys, sends: SendingStream | None, receives: ReceivingStream | None = None
    ) -> None:
        """Set the peer's keys and streams. Media is sent once a path is set."""
        settings = ffi.new(
            "bw_peer_config *",
            {
                "srtp_profile": keys.profile,
                "local_key": _padded(keys.local_key),
                "remote_key": _padded(keys.remote_key),
                **({} if sends is None else shallow_dict(sends)),
                **({} if receives is None else _receiving(receives)),
            },
        )
        _check(lib.bw_peer_add(self._open(), peer, settings), f"cannot set up SRTP of peer {peer}")

    def start_reports(self, peer: int, keys: PeerKeys, reports: SenderReports) -> None:
        """Let the network thread send sender reports to this peer, on the path of ``set_path``."""
        settings = ffi.new(
            "bw_report_config *",
            {
                "srtp_profile": keys.profile,
                "local_key": _padded(keys.local_key),
                "ssrc": reports.stream.ssrc,
                "timestamp_offset": reports.stream.timestamp_offset,
                "unix_epoch_ns": round(reports.unix_epoch_s * 1e9),
                "seed": reports.seed,
                "description_bytes": len(reports.description),
                "description": reports.description,
            },
        )
        _check(lib.bw_peer_start_reports(self._open(), peer, settings), f"cannot send reports to peer {peer}")

    def protect_rtcp(self, peer: int, packet: bytes) -> bytes:
        """Encrypt and authenticate other RTCP to a peer of ``start_reports``, a compound packet."""
        buffer = bytearray(packet + bytes(_SRTCP_ROOM_BYTES))
        where = ffi.from_buffer("uint8_t[]", buffer)
        length = lib.bw_peer_protect_rtcp(self._open(), peer, where, len(packet), len(buffer))
        return bytes(buffer[: _check(length, "protect_rtcp")])

    def set_path(self, peer: int, socket_index: int, host: str, port: int) -> None:
        """Set the address to send to."""
        _check(lib.bw_peer_set_path(self._open(), peer, socket_index, _address(host, port)), "set_path")

    def set_descriptor(self, peer: int, descriptor: int, host: str, port: int) -> None:
        """Set the address and a socket of the caller's; ``core.h`` says how long the socket must stay open."""
        _check(lib.bw_peer_set_descriptor(self._open(), peer, descriptor, _address(host, port)), "set_descriptor")

    def clear_path(self, peer: int) -> None:
        """Stop sending until the next ``set_path``."""
        _check(lib.bw_peer_clear_path(self._open(), peer), "clear_path")

    def set_encoding(self, peer: int, encoding: int) -> None:
        """Send another encoding of the peer's channel in the same RTP stream, within 24 frames."""
        _check(lib.bw_peer_set_encoding(self._open(), peer, encoding), "set_encoding")

    def set_channel(self, peer: int, channel: int, encoding: int) -> None:
        """Send another channel in the same RTP stream, within 2 frames."""
        _check(lib.bw_peer_set_channel(self._open(), peer, channel, encoding), "set_channel")

    def set_redundancy(self, peer: int, level: int) -> None:
        """Set how many earlier frames each packet repeats (RFC 2198): 0, 1 or 2."""
        _check(lib.bw_peer_set_redundancy(self._open(), peer, level), "set_redundancy")

    def resend(self, peer: int, sequence: int) -> None:
        """Send a recent packet again (RFC 4585, 6.2.1); ignored while too many requests wait."""
        status = lib.bw_peer_resend(self._open(), peer, sequence)
        if status != lib.BW_ERROR_BUSY:
            _check(status, "resend")

    def probe(self, peer: int, copies: int, frames: int) -> None:
        """Send copies of recent packets behind the packets of the next frames; ``ProbeSent`` follows.

        Ignored while another probe is under way.
        """
        status = lib.bw_peer_probe(self._open(), peer, copies, frames)
        if status != lib.BW_ERROR_BUSY:
            _check(status, "probe")

    def keep_reports(self, peer: int, ssrc: int, seen: int, *, unix_epoch_s: float, late_s: float) -> None:
        """Let the network thread keep receiver reports about this SSRC while they show no loss and no late round trip.

        Args:
            peer: A player.
            ssrc: Of the stream to it.
            seen: Number of ``RtcpReceived`` of this peer so far.
            unix_epoch_s: As in ``SenderReports``.
            late_s: Shortest round trip that is late; infinite if none is.
        """
        config = {
            "ssrc": ssrc,
            "seen": seen,
            "unix_epoch_ns": round(unix_epoch_s * 1e9),
            "late_ns": round(min(late_s, _LONGEST_ROUND_TRIP_S) * 1e9),
        }
        _check(lib.bw_peer_keep_reports(self._open(), peer, ffi.new("bw_kept_config *", config)), "keep_reports")

    def remove_peer(self, peer: int) -> None:
        """Remove the peer from all threads; ``PeerRemoved`` reports completion."""
        _check(lib.bw_peer_remove(self._open(), peer), "remove_peer")

    # -- channels: loop

    def add_channel(self, settings: ChannelSettings, source: SourceHandle | None) -> int:
        """Add a channel; return its number. Its thread runs while the engine does.

        Args:
            settings: Its encodings.
            source: Kept alive while it is used. None: silence.

        Raises:
            BassWebRtcError: There are as many as the engine supports, or the settings are out of range.
        """
        pointer = source.pointer if source else ffi.NULL
        return self._added(lib.bw_channel_add(self._open(), _channel_config(settings), pointer), source)

    def _added(self, channel: int, source: SourceHandle | None) -> int:
        if channel == lib.BW_ERROR_BUSY:
            raise BassWebRtcError(f"there are {lib.BW_MAX_CHANNELS} channels, which is the limit")
        self._sources[_check(channel, "cannot create the channel")] = (source,)
        return channel

    def remove_channel(self, channel: int) -> None:
        """Stop a channel that has no peers; its source may be closed after ``ChannelRemoved``."""
        _check(lib.bw_channel_remove(self._open(), channel), f"cannot remove channel {channel}")

    def set_bitrate(self, bitrate_bps: int, channel: int = 0, encoding: int = 0) -> None:
        """Set the Opus bitrate of an encoding from the next frame on."""
        _check(
            lib.bw_channel_set_bitrate(self._open(), channel, encoding, bitrate_bps),
            f"bitrate {bitrate_bps} bit/s; expected 6000 to 510000",
        )

    def set_complexity(self, complexity: int, channel: int = 0) -> None:
        """Set the complexity of a channel's Opus encoders from the next frame on."""
        _check(
            lib.bw_channel_set_complexity(self._open(), channel, complexity),
            f"complexity {complexity}; expected 0 to 10",
        )

    def set_source(self, source: SourceHandle | None, error: int = 0, *, channel: int = 0, fade_ms: int = 0) -> None:
        """Play another source from the next frame on; ``SourceReplaced`` reports the end of the cross-fade.

        Args:
            source: Kept alive while it is used. None: silence.
            error: For None: BASS's error code of the end, unless the former source had ended before.
            channel: The channel.
            fade_ms: Length of the cross-fade, at least 5 ms unless the former source has ended.
        """
        pointer = source.pointer if source else ffi.NULL
        _check(lib.bw_channel_set_source(self._open(), channel, pointer, fade_ms, error), "set_source")
        self._sources[channel] += (source,)

    def set_expected_loss(self, percent: int, channel: int = 0, encoding: int = 0) -> None:
        """Set the packet loss that the receivers of an encoding report, 0 to 100 percent."""
        _check(lib.bw_channel_set_expected_loss(self._open(), channel, encoding, percent), "set_expected_loss")

    # -- calls: loop, except for ``set_call`` and ``calls_stats``

    def add_call(self, peer: int, encodings: ChannelSettings, settings: CallSettings) -> int:
        """Make a peer a caller, before ``add_peer``; return the number of the channel that it hears.

        Removing the peer removes the channel, too.

        Args:
            peer: The peer's slot.
            encodings: Of what it hears.
            settings: What it hears, and who hears it.

        Raises:
            PeerLimitError: There are as many as the engine supports.
        """
        channel = lib.bw_call_add(self._open(), peer, _channel_config(encodings), _call_settings(settings))
        if channel == lib.BW_ERROR_BUSY:
            raise PeerLimitError(f"there are {lib.BW_MAX_CALLS} callers and producers, which is the limit")
        return self._added(channel, None)

    def set_call(self, peer: int, settings: CallSettings) -> None:
        """Change what a caller hears and who hears it, within 10 ms. Any thread; ignored after ``close``."""
        with self._lock:
            if not self._closed:
                _check(lib.bw_call_set(self._pointer, peer, _call_settings(settings)), "set_call")

    def set_use(self, channel: int, use: ChannelUse) -> None:
        """Set what callers hear a channel as, besides its listeners; one channel for each use."""
        _check(lib.bw_channel_set_use(self._open(), channel, getattr(lib, f"BW_CHANNEL_{use.upper()}")), "set_use")

    def calls_stats(self) -> CallsStats:
        """Return the counters of all calls; zeros after ``close``. Any thread."""
        with self._lock:
            if self._closed:
                return CallsStats()
            stats = ffi.new("bw_calls_stats *")
            lib.bw_calls_get_stats(self._pointer, stats)
            return CallsStats(*(getattr(stats, name) for name in CallsStats.__slots__))

    # -- recording: loop

    def add_peer_tap(self, peer: int, tap: Tap) -> None:
        """Copy the packets of a peer that was added, from now on, until its removal or ``Tap.close``."""
        _check(lib.bw_peer_add_tap(self._open(), peer, tap.pointer), f"cannot record peer {peer}")
        self._keep_tap(tap)

    def add_channel_tap(self, channel: int, tap: Tap) -> None:
        """The same for the frames of a channel's first encoding, which is encoded for that even without listeners."""
        _check(lib.bw_channel_add_tap(self._open(), channel, tap.pointer), f"cannot record channel {channel}")
        self._keep_tap(tap)

    def _keep_tap(self, tap: Tap) -> None:
        self._taps = [other for other in self._taps if not other.is_released]
        self._taps.append(tap)

    # -- statistics: any thread

    def stats(self) -> EngineStats:
        """Return the counters; after ``close``, their last values."""
        with self._lock:
            return self._last_stats if self._closed else self._read_stats()

    def peer_counters(self, peer: int) -> PeerCounters:
        """Return one peer's counters; zeros after ``close``."""
        with self._lock:
            if self._closed:
                return PeerCounters()
            stats = ffi.new("bw_peer_stats *")
            _check(lib.bw_peer_get_stats(self._pointer, peer, stats), f"no peer slot {peer}")
            return PeerCounters(*(getattr(stats, name) for name in PeerCounters.__slots__))

    def reception(self, peer: int) -> Reception:
        """Return one peer's reception; zeros after ``close``."""
        with self._lock:
            if self._closed:
                return Reception()
            stats = ffi.new("bw_peer_reception *")
            _check(lib.bw_peer_get_reception(self._pointer, peer, stats), f"no peer slot {peer}")
            return Reception(*(getattr(stats, name) for name in Reception.__slots__))

    def kept_reports(self, peer: int) -> KeptReports | None:
        """Return the reports that ``keep_reports`` led to; None when they cannot be read now, and after ``close``."""
        with self._lock:
            if self._closed:
                return None
            kept = ffi.new("bw_kept_reports *")
            status = lib.bw_peer_get_kept_reports(self._pointer, peer, kept)
            if status == lib.BW_ERROR_BUSY:
                return None
            _check(status, f"no peer slot {peer}")
            return KeptReports(
                kept.count,
                kept.reporter,
                kept.packets_lost,
                kept.highest_sequence,
                kept.jitter,
                kept.last_sr,
                kept.delay_since_last_sr,
                kept.time_ns / 1e9,
            )

    def channel_counters(self, channel: int) -> ChannelCounters:
        """Return one channel's counters; zeros after ``close``."""
        with self._lock:
            if self._closed:
                return ChannelCounters()
            stats = ffi.new("bw_channel_stats *")
            _check(lib.bw_channel_get_stats(self._pointer, channel, stats), f"no channel {channel}")
            values = {name: getattr(stats, name) for name in ChannelCounters.__slots__}
            return ChannelCounters(**values | {"listeners": tuple(stats.listeners)})

    def lateness_us(self, channel: int = 0) -> list[int]:
        """Return how late the last packet of each frame of the last 10 s was sent, in no particular order."""
        with self._lock:
            if self._closed:
                return []
            count = lib.bw_channel_get_lateness(self._pointer, channel, self._lateness, _LATENESS_CAPACITY)
            return list(ffi.unpack(self._lateness, count)) if count else []

    def running_s(self, now_s: float) -> float:
        """Return the seconds of ``time.perf_counter`` since the sending thread started; 0 when it is not running."""
        with self._lock:
            start_ns = 0 if self._closed else lib.bw_engine_start_ns(self._pointer)
        return now_s - start_ns / 1e9 if start_ns else 0.0

    def rtp_timestamp(self, timestamp_offset: int, now_s: float) -> int:
        """Return a stream's RTP time at a time of ``time.perf_counter``."""
        return (timestamp_offset + round(self.running_s(now_s) * SAMPLE_RATE_HZ)) & 0xFFFFFFFF

    def _read_stats(self) -> EngineStats:
        stats = ffi.new("bw_engine_stats *")
        lib.bw_engine_get_stats(self._pointer, stats)
        return EngineStats(*(getattr(stats, name) for name in EngineStats.__slots__))

    def _open(self) -> Pointer:
        if self._closed:
            raise ClosedError("the engine was closed")
        return self._pointer


def max_channels() -> int:
    """Return how many channels an engine can have, besides those of callers."""
    return int(lib.BW_MAX_CHANNELS - lib.BW_MAX_CALLS)


def statistics_functions() -> tuple[int, int, int]:
    """Return the addresses of ``bw_engine_get_stats``, ``bw_playout_get_receiver_stats`` and ``bw_engine_playout``.

    For C code that reads statistics without Python.
    """
    names = ("bw_engine_get_stats", "bw_playout_get_receiver_stats", "bw_engine_playout")
    found = [int(ffi.cast("uintptr_t", ffi.addressof(lib, name))) for name in names]
    return found[0], found[1], found[2]


def _channel_config(settings: ChannelSettings) -> Pointer:
    return ffi.new(
        "bw_channel_config *",
        {
            "encodings": len(settings.bitrates_bps),
            "bitrates_bps": settings.bitrates_bps,
            "complexity": settings.complexity,
            "application": getattr(lib, f"BW_APPLICATION_{settings.application.upper()}"),
            "in_band_fec": settings.fec,
            "dtx": settings.dtx,
        },
    )


def _call_settings(settings: CallSettings) -> Pointer:
    return ffi.new("bw_call_settings *", shallow_dict(settings) | {"state": _CALL_STATES[settings.state]})


def _check(status: int, what: str) -> int:
    if status < 0:
        raise BassWebRtcError(f"{what} (core status {status})")
    return status


def _padded(key: bytes) -> bytes:
    return key.ljust(30, b"\0")


def _receiving(stream: ReceivingStream) -> dict[str, object]:
    return {
        "receive": 1,
        "receive_payload_type": stream.payload_type,
        "receive_red_payload_type": stream.red_payload_type,
        "jitter_start_ms": stream.jitter_start_ms,
        "jitter_min_ms": stream.jitter_min_ms,
        "jitter_max_ms": stream.jitter_max_ms,
    }


def _source(event: Pointer) -> tuple[str, int]:
    source = event.source
    if source.family == 4:
        host = socket.inet_ntop(socket.AF_INET, ffi.buffer(source.ip, 4)[:])
    else:
        host = socket.inet_ntop(socket.AF_INET6, ffi.buffer(source.ip, 16)[:])
        host += f"%{source.scope_id}" if source.scope_id else ""
    return host, source.port


def _address(host: str, port: int) -> Pointer:
    if ":" not in host:
        packed = socket.inet_pton(socket.AF_INET, host).ljust(16, b"\0")
        return ffi.new("bw_address *", {"family": 4, "ip": packed, "port": port})
    plain, _, scope = host.partition("%")
    packed = socket.inet_pton(socket.AF_INET6, plain)
    return ffi.new("bw_address *", {"family": 6, "ip": packed, "port": port, "scope_id": int(scope or 0)})
