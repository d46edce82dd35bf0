"""Statistics: frozen snapshots, named as in W3C webrtc-stats where it has the statistic.

https://www.w3.org/TR/webrtc-stats/

Each field is described once, where it is declared: kind, unit and meaning. ``SERVER_STATISTICS``,
``CHANNEL_STATISTICS`` and ``PEER_STATISTICS`` are these descriptions as tables. The docstrings of the classes and the
Prometheus metrics of ``GET /metrics`` are derived from them, and the structures of ``bass_webrtc.h`` are checked
against them by tests/unit/test_stats.py. The JSON of ``GET /api/stats`` has the fields themselves. Documentation can
list a table:

    for one in PEER_STATISTICS:
        print(one.name, one.kind, one.unit, one.help)
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from inspect import cleandoc
from typing import Any, Literal, TypeVar

Kind = Literal["player", "publisher", "sendrecv"]
"""What a remote peer does: it receives the server's audio, sends its own, or both."""

CallState = Literal["waiting", "on_air", "private", "ended"]
"""Where a caller is: it hears the programme and waits, is heard by all, speaks with the producer alone, or has left."""

Stats = TypeVar("Stats")


def plays(kind: Kind) -> bool:
    """Whether such a peer receives audio from this side."""
    return kind != "publisher"


def talks(kind: Kind) -> bool:
    """Whether such a peer sends audio to this side."""
    return kind != "player"


@dataclass(frozen=True, slots=True)
class Statistic:
    """Description of one field of ``ServerStats`` or ``PeerStats``."""

    name: str
    """Name of the field and JSON key."""
    kind: Literal["counter", "gauge", "quantiles", "text"]
    """``"counter"``: a total that only grows; ``"gauge"``: a momentary value; ``"quantiles"``: several of them, a
    ``Lateness``; ``"text"``: not a number, and not a metric."""
    unit: str
    """For example ``"packets"`` or ``"ms"``; empty for booleans and text."""
    help: str
    """Its meaning, one sentence or two."""
    c_name: str = ""
    """Name of the field in ``WebRtcStatsFFI`` or ``WebRtcPeerStatsFFI``; empty if the C API does not have it."""


def _counter(help: str, unit: str, c_name: str = "") -> dict[str, Statistic]:
    return {"statistic": Statistic("", "counter", unit, help, c_name)}


def _gauge(help: str, unit: str = "", c_name: str = "") -> dict[str, Statistic]:
    return {"statistic": Statistic("", "gauge", unit, help, c_name)}


def _text(help: str, c_name: str = "") -> dict[str, Statistic]:
    return {"statistic": Statistic("", "text", "", help, c_name)}


def _table(owner: type) -> tuple[Statistic, ...]:
    return tuple(replace(one.metadata["statistic"], name=one.name) for one in fields(owner) if one.metadata)


def _documented(owner: type[Stats]) -> type[Stats]:
    """Append the descriptions of the fields to the docstring of a class."""
    lines = [f"    {one.name}: {one.help}{f' Unit: {one.unit}.' if one.unit else ''}" for one in _table(owner)]
    owner.__doc__ = "\n".join([cleandoc(owner.__doc__ or ""), "", "Attributes:", *lines])
    return owner


@_documented
@dataclass(frozen=True, slots=True)
class PeerStats:
    """Snapshot of one remote peer. Totals count from its connection on; samples are counted per channel.

    For a player, ``packets_lost``, ``fraction_lost``, ``jitter_ms`` and ``round_trip_time_ms`` come from its receiver
    reports. For a publisher, ``packets_lost``, ``jitter_ms`` and everything about the jitter buffer are measured here.
    A ``"sendrecv"`` peer has the first kind of ``fraction_lost`` and ``round_trip_time_ms``, and the second kind of all
    others.
    """

    id: int = field(metadata=_text("Number of the peer, 0 to ``max_peers`` - 1.", "peer_id"))
    kind: Kind = field(metadata=_text('What the peer does: ``"player"``, ``"publisher"`` or ``"sendrecv"``.'))
    state: str = field(metadata=_text('``"new"``, ``"connecting"``, ``"connected"`` or ``"closed"``.', "state"))
    connected_s: float = field(metadata=_gauge("Time since the peer was connected; 0 before.", "s"))
    packets_sent: int = field(default=0, metadata=_counter("RTP packets sent to the peer.", "packets", "packets_sent"))
    bytes_sent: int = field(default=0, metadata=_counter("UDP payload bytes sent to the peer.", "bytes", "bytes_sent"))
    packets_received: int = field(
        default=0, metadata=_counter("Packets received from the peer.", "packets", "packets_received")
    )
    bytes_received: int = field(
        default=0, metadata=_counter("UDP payload bytes received from the peer.", "bytes", "bytes_received")
    )
    reports_received: int = field(
        default=0,
        metadata=_counter(
            "RTCP reports about the stream that is sent to the peer. 0: the peer sends none, so its loss, jitter and "
            "round trip are unknown.",
            "reports",
        ),
    )
    packets_lost: int = field(
        default=0,
        metadata=_gauge(
            "RTP packets lost: reported by a player, counted here for a publisher (RFC 3550, 6.4.1). "
            "Duplicates reduce it.",
            "packets",
            "packets_lost",
        ),
    )
    fraction_lost: float = field(
        default=0.0,
        metadata=_gauge(
            "Share of packets that a player lost in its last reporting interval, 0 to 1.", "ratio", "fraction_lost"
        ),
    )
    jitter_ms: float = field(
        default=0.0,
        metadata=_gauge("Interarrival jitter: reported by a player, measured here for a publisher.", "ms", "jitter_ms"),
    )
    round_trip_time_ms: float | None = field(
        default=None,
        metadata=_gauge(
            "Round-trip time from the last receiver report of a player; None before the first.",
            "ms",
            "round_trip_time_ms",
        ),
    )
    jitter_buffer_ms: float = field(
        default=0.0, metadata=_gauge("Current delay of the jitter buffer.", "ms", "jitter_buffer_ms")
    )
    jitter_buffer_target_ms: float = field(
        default=0.0, metadata=_gauge("Delay that the jitter buffer adapts to.", "ms", "jitter_buffer_target_ms")
    )
    jitter_buffer_delay_s: float = field(
        default=0.0, metadata=_counter("Time from arrival to decoding, summed over all emitted samples.", "s")
    )
    jitter_buffer_emitted_count: int = field(
        default=0,
        metadata=_counter(
            "Samples decoded from packets, including copies of lost ones. jitter_buffer_delay_s divided by it is the "
            "mean delay.",
            "samples",
        ),
    )
    is_enhanced: bool = field(
        default=False,
        metadata=_gauge("Whether libopus enhances the publisher's speech now; see ServerConfig.receive_enhancement."),
    )
    enhanced_samples: int = field(
        default=0, metadata=_counter("Samples of speech that libopus enhanced while decoding them.", "samples")
    )
    is_buffering: bool = field(
        default=False, metadata=_gauge("Whether the jitter buffer waits for packets before it plays.")
    )
    drift_ppm: float = field(
        default=0.0,
        metadata=_gauge(
            "Clock drift of the peer against the playing device; 0 until it is known, after a minute.", "ppm"
        ),
    )
    concealment_events: int = field(
        default=0, metadata=_counter("Gaps that were concealed because packets were lost or late.", "events")
    )
    concealed_samples: int = field(
        default=0,
        metadata=_counter(
            "Samples synthesized because audio was due and missing, including silence. Not comfort noise in "
            "discontinuous transmission.",
            "samples",
            "concealed_samples",
        ),
    )
    silent_concealed_samples: int = field(
        default=0,
        metadata=_counter("Those of concealed_samples that are silence, after 120 ms without audio.", "samples"),
    )
    inserted_samples_for_deceleration: int = field(
        default=0,
        metadata=_counter(
            "Samples by which stretching or resampling made the audio longer, for more delay.", "samples"
        ),
    )
    removed_samples_for_acceleration: int = field(
        default=0,
        metadata=_counter(
            "Samples by which cutting or resampling made the audio shorter, for less delay. What is lost and not "
            "concealed is not removed.",
            "samples",
        ),
    )
    join_delay_samples: int = field(
        default=0,
        metadata=_gauge(
            "Part of the inserted minus the removed samples: where audio joins the concealment before it. Chromium "
            "counts them as concealed.",
            "samples",
        ),
    )
    total_samples_received: int = field(
        default=0, metadata=_counter("Samples played since the peer's audio began.", "samples")
    )
    fec_packets_used: int = field(
        default=0, metadata=_counter("Lost frames recovered from in-band FEC.", "frames", "fec_packets_used")
    )
    red_packets_used: int = field(
        default=0,
        metadata=_counter("Lost frames recovered from redundant copies (RFC 2198).", "frames", "red_packets_used"),
    )
    late_packets: int = field(
        default=0, metadata=_counter("Packets that arrived after their playout time.", "packets", "late_packets")
    )
    duplicate_packets: int = field(
        default=0, metadata=_counter("Packets that arrived more than once.", "packets", "duplicate_packets")
    )
    packets_discarded: int = field(
        default=0,
        metadata=_counter(
            "Packets discarded because of an unknown SSRC, malformed content or a full jitter buffer.", "packets"
        ),
    )
    decode_errors: int = field(default=0, metadata=_counter("Packets that are not valid Opus.", "packets"))
    underruns: int = field(
        default=0, metadata=_counter("Times the jitter buffer was empty when audio was needed.", "events")
    )
    audio_level_dbfs: float = field(
        default=-127.0,
        metadata=_gauge("RMS level of a publisher before its gain; -127 is silence.", "dBFS", "audio_level_dbfs"),
    )
    send_drops: int = field(
        default=0, metadata=_counter("Packets to the peer that the operating system did not accept.", "packets")
    )
    srtp_errors: int = field(
        default=0,
        metadata=_counter(
            "RTP and RTCP packets of the peer that failed authentication, were replayed, or had a 65th SSRC.", "packets"
        ),
    )
    sequence_restarts: int = field(
        default=0,
        metadata=_counter(
            "Times the peer began its RTP sequence numbers anew under the same SSRC and keys. Its packets are refused "
            "as replays, counted in srtp_errors, until they have passed the old numbers (RFC 3711, 3.3.2).",
            "events",
        ),
    )
    packets_not_negotiated: int = field(
        default=0,
        metadata=_counter(
            "Packets of payload types that were not negotiated, such as video that was refused. They are dropped and "
            "not counted in packets_received.",
            "packets",
        ),
    )
    codec: str = field(default="opus/48000/2", metadata=_text("Codec, clock rate and channels."))
    srtp_profile: str = field(default="", metadata=_text("SRTP protection profile; empty before the DTLS handshake."))
    local_address: str = field(
        default="", metadata=_text("Local ``host:port``; empty before a path is selected.", "local_address")
    )
    remote_address: str = field(
        default="", metadata=_text("Remote ``host:port``; empty before a path is selected.", "remote_address")
    )
    nacks_ignored: int = field(
        default=0,
        metadata=_counter(
            "Retransmission requests, of up to 17 packets each, that were ignored because the peer requested more than "
            "100 packets per second.",
            "requests",
        ),
    )
    datagrams_limited: int = field(
        default=0,
        metadata=_counter("STUN, DTLS and RTCP datagrams dropped because the peer sent too many.", "datagrams"),
    )
    dtls_records_ignored: int = field(
        default=0, metadata=_counter("DTLS records that did not belong to the handshake.", "records")
    )
    exceeded_limits: str = field(
        default="",
        metadata=_text("Limits in a player's description that the stream exceeds, such as a bitrate; empty if none."),
    )
    malformed_candidates: int = field(
        default=0,
        metadata=_counter("ICE candidates skipped because they are malformed.", "candidates"),
    )
    channel: str = field(default="", metadata=_text("Name of the channel that a player hears; empty for a publisher."))
    bitrate_kbps: int = field(
        default=0,
        metadata=_gauge("Bitrate of the encoding that a player is sent; 0 before it is connected.", "kbit/s"),
    )


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late the last packet of a frame was sent, over the last 10 s, in microseconds."""

    p50: int = 0
    """Median."""
    p99: int = 0
    """99th percentile."""
    max: int = 0
    """Maximum."""


@_documented
@dataclass(frozen=True, slots=True)
class ChannelStats:
    """Snapshot of one channel of a server. Totals count from its opening on."""

    name: str = field(metadata=_text("Name of the channel."))
    bitrates_kbps: tuple[int, ...] = field(
        default=(), metadata=_text("Bitrates of its encodings in kbit/s, the highest first.")
    )
    listeners: int = field(default=0, metadata=_gauge("Connected peers that hear it.", "peers"))
    packets_sent: int = field(default=0, metadata=_counter("RTP packets sent to all its listeners.", "packets"))
    bytes_sent: int = field(default=0, metadata=_counter("UDP payload bytes sent to all its listeners.", "bytes"))
    frames_sent: int = field(
        default=0, metadata=_counter("Opus frames sent; each is encoded once per bitrate.", "frames")
    )
    late_frames: int = field(
        default=0, metadata=_counter("Frames whose last packet was sent more than one frame duration late.", "frames")
    )
    frames_skipped: int = field(
        default=0,
        metadata=_counter(
            "Frames skipped because the process did not run at all for more than half a second.", "frames"
        ),
    )
    encode_errors: int = field(default=0, metadata=_counter("Frames that Opus could not encode.", "frames"))
    send_drops: int = field(
        default=0, metadata=_counter("Packets that the operating system did not accept.", "packets")
    )
    source_underruns: int = field(
        default=0,
        metadata=_counter("Frames completed with silence because the source had too little audio.", "frames"),
    )
    source_ended: bool = field(
        default=False, metadata=_gauge("Whether the source has ended and has not returned since.")
    )
    source_ends: int = field(default=0, metadata=_counter("How often the source has ended.", "ends"))
    source_reopenings: int = field(
        default=0, metadata=_counter("How often a URL or an input was opened again after a loss.", "reopenings")
    )
    source_error: str = field(
        default="", metadata=_text("Name of BASS's error code of the source's last end; empty before.")
    )
    send_lateness_us: Lateness = field(
        default_factory=Lateness,
        metadata={
            "statistic": Statistic(
                "", "quantiles", "us", "How late the last packet of a frame was sent, over the last 10 s."
            )
        },
    )

    def as_dict(self) -> dict[str, Any]:
        """Return the statistics as plain dicts and lists, for JSON."""
        return {**shallow_dict(self), "send_lateness_us": shallow_dict(self.send_lateness_us)}


@_documented
@dataclass(frozen=True, slots=True)
class ServerStats:
    """Snapshot of one server. Totals count from ``start`` on, over all channels; ``source_ended``, ``source_ends``,
    ``source_error``, ``send_lateness_us`` and ``realtime_priority`` are those of the channel ``"main"``.

    ``channels`` has the statistics of each channel, and ``peers`` those of each peer.
    """

    active_peers: int = field(default=0, metadata=_gauge("Connected peers.", "peers", "active_peers"))
    packets_sent: int = field(
        default=0, metadata=_counter("RTP packets sent to all peers.", "packets", "total_packets_sent")
    )
    packets_received: int = field(
        default=0, metadata=_counter("Packets received from all peers.", "packets", "total_packets_received")
    )
    bytes_sent: int = field(
        default=0, metadata=_counter("UDP payload bytes sent to all peers.", "bytes", "total_bytes_sent")
    )
    bytes_received: int = field(
        default=0, metadata=_counter("UDP payload bytes received from all peers.", "bytes", "total_bytes_received")
    )
    frames_sent: int = field(
        default=0, metadata=_counter("Opus frames sent; each is encoded once for all peers.", "frames")
    )
    late_frames: int = field(
        default=0, metadata=_counter("Frames whose last packet was sent more than one frame duration late.", "frames")
    )
    frames_skipped: int = field(
        default=0,
        metadata=_counter(
            "Frames skipped because the process did not run at all for more than half a second.", "frames"
        ),
    )
    encode_errors: int = field(
        default=0, metadata=_counter("Frames that Opus could not encode.", "frames", "total_encode_errors")
    )
    source_underruns: int = field(
        default=0,
        metadata=_counter(
            "Frames completed with silence because the source had too little audio.", "frames", "output_underruns"
        ),
    )
    source_ended: bool = field(
        default=False, metadata=_gauge("Whether the source has ended and has not returned since.")
    )
    source_ends: int = field(default=0, metadata=_counter("How often the source has ended.", "ends"))
    source_reopenings: int = field(
        default=0, metadata=_counter("How often a URL or an input was opened again after a loss.", "reopenings")
    )
    source_error: str = field(
        default="", metadata=_text("Name of BASS's error code of the source's last end; empty before.")
    )
    decode_errors: int = field(
        default=0,
        metadata=_counter(
            "Packets of the connected publishers that are not valid Opus.", "packets", "total_decode_errors"
        ),
    )
    input_buffer_ms: float = field(
        default=0.0, metadata=_gauge("Longest delay among the publishers' jitter buffers.", "ms", "input_buffer_level")
    )
    input_is_buffering: bool = field(
        default=False,
        metadata=_gauge(
            "Whether any publisher's jitter buffer waits for packets before it plays.", c_name="input_is_buffering"
        ),
    )
    enhanced_publishers: int = field(
        default=0, metadata=_gauge("Connected publishers whose speech libopus enhances now.", "publishers")
    )
    enhanced_samples: int = field(
        default=0,
        metadata=_counter("Samples of the connected publishers' speech that libopus enhanced.", "samples"),
    )
    playout_max_us: int = field(
        default=0, metadata=_gauge("Longest time that one stream callback took on BASS's thread.", "us")
    )
    playout_blocked: int = field(
        default=0,
        metadata=_counter(
            "Blocks of a publisher or the mix left silent because another thread was playing it at the time.", "blocks"
        ),
    )
    clipped_samples: int = field(
        default=0,
        metadata=_counter(
            "Samples of the mix, counted over both channels, that were limited to full scale.", "samples"
        ),
    )
    send_drops: int = field(
        default=0, metadata=_counter("Packets that the operating system did not accept.", "packets")
    )
    datagrams_dropped: int = field(
        default=0,
        metadata=_counter(
            "Datagrams dropped because they were empty, too long, malformed, from an unknown address, or STUN that is "
            "not authentic.",
            "datagrams",
        ),
    )
    srtp_errors: int = field(
        default=0,
        metadata=_counter(
            "RTP and RTCP packets that failed authentication, were replayed, or had a peer's 65th SSRC.", "packets"
        ),
    )
    events_dropped: int = field(
        default=0,
        metadata=_counter(
            "STUN, DTLS and RTCP datagrams dropped because they arrived faster than they could be processed.",
            "datagrams",
        ),
    )
    send_lateness_us: Lateness = field(
        default_factory=Lateness,
        metadata={
            "statistic": Statistic(
                "", "quantiles", "us", "How late the last packet of a frame was sent, over the last 10 s."
            )
        },
    )
    realtime_priority: bool = field(
        default=False, metadata=_gauge("Whether the sending thread has real-time priority.")
    )
    datagrams_limited: int = field(
        default=0,
        metadata=_counter("STUN, DTLS and RTCP datagrams dropped because a peer sent too many.", "datagrams"),
    )
    requests_limited: int = field(
        default=0, metadata=_counter("HTTP requests refused with 429 because one address sent too many.", "requests")
    )
    peers_refused: int = field(
        default=0,
        metadata=_counter(
            "WHIP and WHEP peers refused for want of a place (max_peers, max_peers_per_address).", "peers"
        ),
    )
    replayed_checks: int = field(
        default=0,
        metadata=_counter("ICE checks dropped because they had been received from another address before.", "checks"),
    )
    http_connections: int = field(default=0, metadata=_gauge("Open HTTP connections.", "connections"))
    http_connections_refused: int = field(
        default=0,
        metadata=_counter(
            "HTTP connections that a limit refused, or closed while they were idle, for another one.", "connections"
        ),
    )
    calls: int = field(default=0, metadata=_gauge("Callers that are connected.", "calls"))
    call_mix_max_us: int = field(
        default=0, metadata=_gauge("Longest time that mixing all callers took in one frame.", "us")
    )
    call_frames_dropped: int = field(
        default=0,
        metadata=_counter("Frames not sent to a caller because their encoder had no processor time.", "frames"),
    )
    peers: tuple[PeerStats, ...] = ()
    channels: tuple[ChannelStats, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the statistics as plain dicts and lists, for JSON."""
        return {
            **shallow_dict(self),
            "send_lateness_us": shallow_dict(self.send_lateness_us),
            "channels": tuple(channel.as_dict() for channel in self.channels),
            "peers": tuple(shallow_dict(peer) for peer in self.peers),
        }


def shallow_dict(instance: Any) -> dict[str, Any]:
    """Return the fields of a dataclass with slots. ``dataclasses.asdict`` copies values and takes 8 times as long."""
    return {name: getattr(instance, name) for name in instance.__slots__}


@dataclass(frozen=True, slots=True)
class CallStats:
    """Snapshot of one call."""

    id: int
    """Number of the call; no other call of the server has or had it."""
    name: str
    state: CallState
    gain: float
    """Factor of what the others hear of the caller."""
    muted: bool
    talkback: bool
    """Whether the caller hears the producer."""
    return_gain: float
    """Factor of what the caller hears."""
    level_dbfs: float
    """RMS level of the caller before its gain; -127 is silence. Unit: dBFS."""
    duration_s: float
    """Time since the caller was connected; 0 before. Unit: s."""
    recording: bool
    invite: str
    """``Invite.id``; empty if the caller came without an invite."""
    bitrate_kbps: int
    """Of what the caller hears. Unit: kbit/s."""
    peer: PeerStats
    """Statistics of the caller's connection."""


@dataclass(frozen=True, slots=True)
class DeskStats:
    """Snapshot of what a producer sees besides the calls."""

    programme_dbfs: float
    """RMS level of what listeners hear, with the callers on air; -127 is silence. Unit: dBFS."""
    producer_connected: bool
    """Whether a producer's microphone is connected."""
    listeners: int
    peak_listeners: int
    history: tuple[tuple[int, int], ...]
    """Unix time in s and listeners: every minute of the last hour, every tenth of the last 24 hours before."""
    initial_state: CallState
    """State of a new caller."""
    invite_required: bool
    recording: bool
    """Whether the programme is recorded."""
    can_record: bool


SERVER_STATISTICS = _table(ServerStats)
"""Every statistic of ``ServerStats``, in the order of its fields."""
CHANNEL_STATISTICS = _table(ChannelStats)
"""Every statistic of ``ChannelStats``, in the order of its fields."""
PEER_STATISTICS = _table(PeerStats)
"""Every statistic of ``PeerStats``, in the order of its fields."""
