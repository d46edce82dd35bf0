"""Statistics: frozen snapshots, with the names of W3C webrtc-stats where the W3C has one.

https://www.w3.org/TR/webrtc-stats/
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["player", "publisher", "sendrecv"]
"""What a remote peer does: it plays what we send, it publishes what we play, or both."""


def plays(kind: Kind) -> bool:
    """Whether such a peer hears us."""
    return kind != "publisher"


def talks(kind: Kind) -> bool:
    """Whether we hear such a peer."""
    return kind != "player"


@dataclass(frozen=True, slots=True)
class PeerStats:
    """One remote peer, at one moment."""

    id: int
    kind: Kind
    """``"player"``, ``"publisher"`` or ``"sendrecv"``. Of the last one ``fraction_lost`` and ``round_trip_time_ms`` are
    as a player's, ``packets_lost``, ``jitter_ms`` and what follows as a publisher's."""
    state: str
    """``"new"``, ``"connecting"``, ``"connected"`` or ``"closed"``."""
    connected_s: float
    """Seconds since the peer was connected; 0 before."""
    packets_sent: int = 0
    bytes_sent: int = 0
    """UDP payload bytes."""
    packets_received: int = 0
    bytes_received: int = 0
    packets_lost: int = 0
    """Of a player: what its receiver reports say. Of a publisher: what we miss (RFC 3550, 6.4.1)."""
    fraction_lost: float = 0.0
    """Of a player: the same, of its last reporting interval, 0 to 1."""
    jitter_ms: float = 0.0
    """Interarrival jitter: a player's report of our packets, or ours of a publisher's."""
    round_trip_time_ms: float | None = None
    """From a player's last receiver report; None before the first."""
    jitter_buffer_ms: float = 0.0
    """Of a publisher, as all that follows: the delay of its jitter buffer now."""
    jitter_buffer_target_ms: float = 0.0
    """The delay that the jitter buffer wants."""
    jitter_buffer_delay_s: float = 0.0
    """The sum over all samples that came out of packets of the time from arrival to decoding."""
    jitter_buffer_emitted_count: int = 0
    """Per channel: those samples. The mean delay is the one over the other."""
    is_buffering: bool = False
    """Whether the jitter buffer waits for packets to begin, or to begin again."""
    drift_ppm: float = 0.0
    """The peer's clock against the one that plays, as it is corrected."""
    concealment_events: int = 0
    """Lost or late passages that sound was made up for."""
    concealed_samples: int = 0
    """Per channel: how much that was, silence included."""
    inserted_samples_for_deceleration: int = 0
    """Per channel: time that was stretched, because more delay was wanted."""
    removed_samples_for_acceleration: int = 0
    """Per channel: time that was cut, because less delay was wanted, or to make a loss shorter."""
    total_samples_received: int = 0
    """Per channel: all that was played."""
    fec_packets_used: int = 0
    """Lost frames that were taken from Opus's in-band copy."""
    red_packets_used: int = 0
    """Lost frames that were taken from a redundant copy (RFC 2198)."""
    late_packets: int = 0
    duplicate_packets: int = 0
    packets_discarded: int = 0
    """Packets of no use: of another payload type, or malformed."""
    decode_errors: int = 0
    underruns: int = 0
    """How often nothing was there to be played."""
    audio_level_dbfs: float = -127.0
    """RMS before the fader; -127 for silence."""
    send_drops: int = 0
    """Packets that the operating system did not take."""
    srtp_errors: int = 0
    """Packets of the peer that were not authentic, or replayed."""
    codec: str = "opus/48000/2"
    srtp_profile: str = ""
    local_address: str = ""
    remote_address: str = ""


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late the last packet of a frame left, over the last 10 s, in microseconds."""

    p50: int = 0
    p99: int = 0
    max: int = 0


@dataclass(frozen=True, slots=True)
class ServerStats:
    """One server, at one moment."""

    active_peers: int = 0
    packets_sent: int = 0
    packets_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    frames_sent: int = 0
    """Opus frames, encoded once for all peers."""
    late_frames: int = 0
    """Frames whose last packet left more than one frame time late."""
    frames_skipped: int = 0
    """Frame times that passed while the process did not run at all for more than half a second."""
    encode_errors: int = 0
    source_underruns: int = 0
    """Frames that were filled up with silence because the source had not enough."""
    source_ended: bool = False
    decode_errors: int = 0
    """Packets of peers that were no Opus."""
    input_buffer_ms: float = 0.0
    """The longest of the publishers' jitter buffers."""
    input_is_buffering: bool = False
    """Whether some publisher's jitter buffer waits for packets to begin."""
    playout_max_us: int = 0
    """The longest that BASS's thread was in one of our stream procedures."""
    playout_blocked: int = 0
    """Blocks of a publisher, or of the mix, that were left silent because another thread was just playing it."""
    clipped_samples: int = 0
    """Samples of the mix, of both channels, that were too loud and were bent to fit."""
    send_drops: int = 0
    datagrams_dropped: int = 0
    """Datagrams that were empty, too long, junk, or from an address that no peer has."""
    srtp_errors: int = 0
    events_dropped: int = 0
    """STUN, DTLS and RTCP datagrams that came faster than they could be looked at."""
    send_lateness_us: Lateness = field(default_factory=Lateness)
    realtime_priority: bool = False
    """Whether the sender thread got real-time priority."""
    peers: tuple[PeerStats, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The statistics as plain dicts and lists, for JSON."""
        return asdict(self)
