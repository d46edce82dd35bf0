"""The media session on the path that ICE has selected: DTLS, SRTP keys for the audio path, RTCP.

    new ── start ──► handshake ── certificate matches the fingerprint ──► connected ── close, Ended ──► ended

Used like the sans-I/O protocols in ``rtc/``: after every ``start``, ``receive_*``, ``handle_timeout`` and ``close``,
send the datagrams from ``to_send`` on the selected path and handle ``events``. Loop thread, except for statistics.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..config import SAMPLE_RATE_HZ, StreamConfig
from ..core import Engine, PeerKeys, ReceivingStream, Reception, SenderReports, SendingStream, Srtcp
from ..limited_log import LimitedLog
from ..rtc import dtls, rtcp
from ..rtc.adaptation import Adaptation, Decision, SendCheck, SendProbe, SetEncoding, SetRedundancy
from ..rtc.candidate import Candidate
from ..rtc.local_audio import LocalAudio
from ..rtc.opus_parameters import OpusParameters
from ..rtc.remote_audio import RemoteAudio
from ..rtc.rtcp_packets import ReportBlock
from ..rtc.sdp import IceCredentials
from ..stats import Kind, PeerStats, plays, shallow_dict, talks
from .host import CLOSED_BY_PEER, SentChannel

_PROFILE_NAMES = {1: "SRTP_AES128_CM_HMAC_SHA1_80", 7: "SRTP_AEAD_AES_128_GCM"}
_JITTER_MIN_MS = 2
_JITTER_START_MS = 40
_JITTER_MAX_MS = 500
_CONVERSATION_PTIME_MS = 10

_PEER_FIELDS = frozenset(PeerStats.__slots__)

_random = random.SystemRandom()
"""Shared by all sessions: each instance holds 2.5 kB of generator state that it never uses."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The peer's certificate matches its session description, and the audio path has the SRTP keys."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The session has ended by itself; call ``close`` for RTCP BYE and close_notify."""

    reason: str


@dataclass(frozen=True, slots=True)
class LossReported:
    """A player's RTCP report has updated ``fraction_lost``."""


@dataclass(frozen=True, slots=True)
class CheckWanted:
    """Send a connectivity check, and call ``note_round_trip`` when it is answered."""


MediaEvent = Connected | Ended | LossReported | CheckWanted


@dataclass(frozen=True, slots=True)
class Identity:
    """The local RTP source, as in the local session description."""

    ssrc: int = field(default_factory=lambda: secrets.randbelow((1 << 32) - 1) + 1)
    cname: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    """Random per session (RFC 7022)."""


def highest_encoding(audio: RemoteAudio, channel: SentChannel) -> int:
    """Return the first of a channel's encodings that a player's description allows, or else the last, lowest one."""
    return _first_within(channel.bitrates_bps, _bitrate_limit_bps(audio))


def exceeded_limits(audio: RemoteAudio, config: StreamConfig, channel: SentChannel) -> tuple[str, ...]:
    """Return which limits in a player's description even the encoding that it gets exceeds: players share encodings.

    Every Opus decoder decodes it nevertheless, stereo included (RFC 7587, 3.4).
    """
    exceeded: list[str] = []
    bitrate_bps = channel.bitrates_bps[highest_encoding(audio, channel)]
    limit_bps = _bitrate_limit_bps(audio)
    if limit_bps is not None and limit_bps < bitrate_bps:
        exceeded.append(f"the peer allows at most {limit_bps} bit/s; this server sends {bitrate_bps}")
    if audio.opus.stereo is False:
        exceeded.append("the peer allows mono; this server sends stereo")
    if audio.max_ptime_ms is not None and audio.max_ptime_ms < config.frame_ms:
        exceeded.append(
            f"the peer allows at most {audio.max_ptime_ms:g} ms per packet; this server sends {config.frame_ms} ms"
        )
    return tuple(exceeded)


def _first_within(bitrates_bps: Sequence[int], limit_bps: int | None) -> int:
    within = (index for index, bps in enumerate(bitrates_bps) if limit_bps is None or bps <= limit_bps)
    return next(within, len(bitrates_bps) - 1)


def _bitrate_limit_bps(audio: RemoteAudio) -> int | None:
    limits_bps = (audio.opus.max_average_bitrate_bps, audio.bandwidth_bps)
    return min((limit for limit in limits_bps if limit is not None), default=None)


def describe(
    kind: Kind,
    config: StreamConfig,
    identity: Identity,
    certificate: dtls.Certificate,
    ice: IceCredentials,
    candidates: tuple[Candidate, ...],
    *,
    ice_lite: bool = False,
    end_of_candidates: bool = True,
) -> LocalAudio:
    """Return the local side of a session description for a peer.

    Args:
        kind: What the peer does.
        config: Settings of the stream.
        identity: The local RTP source.
        certificate: The local DTLS certificate.
        ice: The local ICE credentials.
        candidates: The local candidates.
        ice_lite: Whether the local agent is ICE-lite.
        end_of_candidates: Whether there are no other candidates.
    """
    sends = plays(kind)
    return LocalAudio(
        ice=ice,
        ice_lite=ice_lite,
        candidates=candidates,
        end_of_candidates=end_of_candidates,
        fingerprint=certificate.fingerprint,
        direction="recvonly" if not sends else "sendrecv" if talks(kind) else "sendonly",
        ssrc=identity.ssrc,
        cname=identity.cname,
        stream_id=secrets.token_urlsafe(12),
        track_id=secrets.token_urlsafe(12),
        session_id=secrets.randbits(62),
        opus=OpusParameters(stereo=True, sprop_stereo=sends, use_inband_fec=True),
        red=True,
        nack=sends,
        ptime_ms=_ptime_ms(kind, config),
    )


def _ptime_ms(kind: Kind, config: StreamConfig) -> int | None:
    """Return the packet length to ask for; in a conversation, longer packets would be heard as delay."""
    if kind == "sendrecv":
        return min(_CONVERSATION_PTIME_MS, config.frame_ms)
    return config.frame_ms if plays(kind) else None


class MediaSession:
    """DTLS, SRTP keys and RTCP of one peer.

    Attributes:
        srtp_profile: Name of the negotiated SRTP profile; empty before.
        channel: What a peer that plays is sent.
        exceeded_limits: Limits in the description of a peer that plays, which its stream exceeds.
    """

    def __init__(
        self,
        engine: Engine,
        peer: int,
        kind: Kind,
        audio: RemoteAudio,
        channel: SentChannel,
        *,
        role: dtls.DtlsRole,
        certificate: dtls.Certificate,
        config: StreamConfig,
        identity: Identity,
        log: LimitedLog,
        core_reports: bool = False,
    ) -> None:
        """
        Args:
            engine: The audio path.
            peer: The peer's slot in the engine.
            kind: What the peer does.
            audio: The audio section of its session description.
            channel: What the peer is sent, if it plays.
            role: Local role in the DTLS handshake.
            certificate: Local certificate.
            config: Settings of the stream.
            identity: Local RTP source.
            log: For warnings that peers can cause; shared by all sessions of a server.
            core_reports: Whether the network thread may send a player's reports: the path is on a socket of the engine.
        """
        self._core_reports = core_reports
        self._engine = engine
        self._peer = peer
        self._kind = kind
        self._audio = audio
        self._config = config
        self._log = log
        self._identity = identity
        self.srtp_profile = ""
        self._choose_encoding(channel)
        self._timestamp_offset = _random.randrange(1 << 32)
        # Read once: RTP and NTP times then advance alike, and time.time has steps of 15.6 ms on Windows.
        self._epoch_s = time.time() - time.perf_counter()
        self._dtls = dtls.DtlsSession(certificate, role, audio.fingerprints)
        self._srtcp: Srtcp | None = None
        self._rtcp: rtcp.RtcpSession | None = None
        self._adaptation: Adaptation | None = None
        self._kept_reports_s = 0.0
        self._rtcp_received = 0
        self._ignored_nacks_logged = 0
        self._sequence_restarts_logged = 0
        self._connected_at_s: float | None = None
        self._events: list[MediaEvent] = []

    def set_channel(self, channel: SentChannel) -> None:
        """Send another channel in the same RTP stream.

        It begins with the highest encoding that the peer allows and, if its path has carried no more, with no higher
        bitrate than it had.
        """
        before = self._adaptation
        carried_bps = self.channel.bitrates_bps[before.encoding] if before is not None and before.is_limited else None
        self._choose_encoding(channel)
        if self._connected_at_s is not None and plays(self._kind):
            encoding = max(self._highest_encoding, _first_within(channel.bitrates_bps, carried_bps))
            self._engine.set_channel(self._peer, channel.number, encoding)
            self._engine.set_redundancy(self._peer, 0)
            self._begin_to_adapt(encoding, time.perf_counter())

    @property
    def encoding(self) -> int:
        """Which of the channel's encodings a peer that plays is sent."""
        return self._highest_encoding if self._adaptation is None else self._adaptation.encoding

    def _choose_encoding(self, channel: SentChannel) -> None:
        self.channel = channel
        self._highest_encoding = highest_encoding(self._audio, channel)
        self.exceeded_limits = exceeded_limits(self._audio, self._config, channel) if plays(self._kind) else ()

    def start(self, now_s: float) -> None:
        """Start the DTLS handshake: ICE has selected a path."""
        self._dtls.start(now_s)
        self._handle_dtls_events(now_s)

    def receive_dtls(self, data: bytes, now_s: float) -> None:
        """Handle one DTLS datagram of the peer."""
        self._dtls.receive(data, now_s)
        self._handle_dtls_events(now_s)

    def receive_rtcp(self, packet: bytes, now_s: float) -> None:
        """Handle one RTCP datagram of the peer, which the audio path has authenticated and decrypted."""
        self._rtcp_received += 1
        if self._rtcp is not None:
            self._update_rtcp(self._rtcp, now_s)
            self._rtcp.receive(packet, now_s, self._epoch_s + now_s)
            self._handle_rtcp_events(self._rtcp, now_s)
            self._log_ignored_nacks(self._rtcp.ignored_nack_items, now_s)
            self._let_reports_be_kept(self._rtcp)

    def to_send(self) -> list[bytes]:
        """Return the datagrams to send, each once."""
        datagrams = self._dtls.to_send()
        if self._rtcp is not None:
            datagrams += [self._protect(packet) for packet in self._rtcp.to_send()]
        return datagrams

    def _protect(self, packet: bytes) -> bytes:
        # The SRTCP indexes belong to the sender of the reports: the network thread, or this object.
        return self._engine.protect_rtcp(self._peer, packet) if self._srtcp is None else self._srtcp.protect(packet)

    def events(self) -> list[MediaEvent]:
        """Return the events since the last call, in order."""
        events, self._events = self._events, []
        return events

    def handle_timeout(self, now_s: float) -> None:
        """Retransmit, send reports or time out, whatever is due."""
        self._dtls.handle_timeout(now_s)
        self._handle_dtls_events(now_s)
        if self._rtcp is not None:
            self._update_rtcp(self._rtcp, now_s)
            self._handle_rtcp_events(self._rtcp, now_s)
            self._log_ignored_nacks(self._rtcp.ignored_nack_items, now_s)
            if talks(self._kind):
                self._log_sequence_restarts(now_s)
        if self._adaptation is not None:
            self._adaptation.on_time(now_s)
            self._adapt(self._adaptation.decisions())

    def note_round_trip(self, round_trip_s: float, now_s: float) -> None:
        """Handle the answer to a connectivity check on the selected path."""
        if self._adaptation is not None:
            self._adaptation.on_round_trip(round_trip_s, now_s)
            self._adapt(self._adaptation.decisions())

    def timeout_s(self) -> float | None:
        """Return when ``handle_timeout`` is due; None if never."""
        due = [part.timeout_s() for part in (self._dtls, self._rtcp, self._adaptation) if part is not None]
        return min((time_s for time_s in due if time_s is not None), default=None)

    def close(self) -> list[bytes]:
        """End the session; return the last datagrams to send: RTCP BYE, then close_notify (RFC 7675, 5.2)."""
        if self._rtcp is not None:
            self._rtcp.close()
        datagrams = self.to_send()
        self._dtls.close()
        return datagrams + self._dtls.to_send()

    # -- DTLS

    def _handle_dtls_events(self, now_s: float) -> None:
        for event in self._dtls.events():
            if isinstance(event, dtls.Connected):
                self._connect(event.keys, now_s)
            elif isinstance(event, dtls.Failed):
                self._events.append(Ended(event.reason))
            elif isinstance(event, dtls.Closed):
                self._events.append(Ended(CLOSED_BY_PEER))

    def _connect(self, keys: dtls.SrtpKeys, now_s: float) -> None:
        if self._dtls.ignored:
            text = (
                f"ignored {self._dtls.ignored} DTLS records that did not belong to the handshake of peer {self._peer}"
            )
            self._log.warning(text, now_s)
        peer_keys = PeerKeys(keys.profile, keys.local_key, keys.remote_key)
        sends = plays(self._kind)
        sending = self._sending_stream() if sends else None
        receiving = self._receiving_stream() if talks(self._kind) else None
        self._engine.add_peer(self._peer, peer_keys, sending, receiving)
        # Publishers are few, and reports to them and callers say what is received; full ICE has sockets of its own.
        by_core = self._kind == "player" and self._core_reports
        self._rtcp = rtcp.RtcpSession(
            self._identity.ssrc,
            self._identity.cname,
            sends=sends,
            rsize=self._audio.rtcp_rsize,
            now_s=now_s,
            random=_random,
            reports=not by_core,
        )
        if by_core and sending is not None:
            reports = SenderReports(sending, self._epoch_s, _random.getrandbits(64), self._rtcp.description)
            self._engine.start_reports(self._peer, peer_keys, reports)
        else:
            self._srtcp = Srtcp(peer_keys)
        self.srtp_profile = _PROFILE_NAMES[keys.profile]
        self._connected_at_s = now_s
        if sends:
            self._begin_to_adapt(self._highest_encoding, now_s)
        self._events.append(Connected())

    def _sending_stream(self) -> SendingStream:
        return SendingStream(
            ssrc=self._identity.ssrc,
            sequence=_random.randrange(1 << 15),
            timestamp_offset=self._timestamp_offset,
            payload_type=self._audio.payload_type,
            red_payload_type=self._audio.red_payload_type or 0,
            channel=self.channel.number,
            encoding=self._highest_encoding,
        )

    def _receiving_stream(self) -> ReceivingStream:
        return ReceivingStream(
            payload_type=self._audio.sent_payload_type,
            red_payload_type=self._audio.sent_red_payload_type or 0,
            jitter_start_ms=min(self._config.buffer_ms, _JITTER_START_MS),
            jitter_min_ms=_JITTER_MIN_MS,
            jitter_max_ms=max(self._config.buffer_ms, _JITTER_MAX_MS),
        )

    # -- RTCP

    def _update_rtcp(self, session: rtcp.RtcpSession, now_s: float) -> None:
        """Send a report if one is due, and bring the session up to date: what follows is judged by its counters."""
        reports = self._lossless_reports()
        if reports is not None:
            session.note_lossless(reports, self._epoch_s + reports.received_s)
            if self._adaptation is not None and reports.received_s > self._kept_reports_s:
                self._kept_reports_s = reports.received_s
                self._adaptation.on_report(0.0, reports.block.packets_lost, None, reports.received_s)
        session.handle_timeout(now_s, self._epoch_s + now_s, self._sent(now_s), self._received())

    def _let_reports_be_kept(self, session: rtcp.RtcpSession) -> None:
        """Spare the loop thread a listener's reports while there is nothing to do about them.

        A caller's come with its sender reports, which are needed.
        """
        if self._kind != "player" or self._adaptation is None or self._adaptation.needs_lossless_reports:
            return
        if session.needs_no_lossless_reports:
            self._engine.keep_reports(
                self._peer,
                self._identity.ssrc,
                self._rtcp_received,
                unix_epoch_s=self._epoch_s,
                late_s=self._adaptation.late_s,
            )

    def _lossless_reports(self) -> rtcp.LosslessReports | None:
        """Return the reports that the network thread kept. Any thread."""
        kept = self._engine.kept_reports(self._peer) if plays(self._kind) else None
        if kept is None or kept.count == 0:
            return None
        block = ReportBlock(
            self._identity.ssrc,
            0,
            kept.packets_lost,
            kept.highest_sequence,
            kept.jitter,
            kept.last_sr,
            kept.delay_since_last_sr,
        )
        return rtcp.LosslessReports(kept.count, kept.reporter, block, kept.time_s)

    def _handle_rtcp_events(self, session: rtcp.RtcpSession, now_s: float) -> None:
        for event in session.events():
            if isinstance(event, rtcp.NackReceived):
                self._note_nack(event.sequences, now_s)
            elif isinstance(event, rtcp.LossReported):
                self._note_report(event, now_s)
            elif isinstance(event, rtcp.CircuitBreakerTripped):
                self._events.append(Ended(f"the circuit breaker has tripped: {event.reason}"))
            elif isinstance(event, rtcp.SsrcCollision):
                self._events.append(Ended("the peer uses the SSRC of this side"))

    def _log_ignored_nacks(self, total: int, now_s: float) -> None:
        if total > self._ignored_nacks_logged:
            count = total - self._ignored_nacks_logged
            text = f"ignored {count} NACKs of peer {self._peer}: it requests over 100 packets per second again"
            self._log.warning(text, now_s)
            self._ignored_nacks_logged = total

    def _log_sequence_restarts(self, now_s: float) -> None:
        total = self._engine.peer_counters(self._peer).sequence_restarts
        if total > self._sequence_restarts_logged:
            self._sequence_restarts_logged = total
            text = (
                f"peer {self._peer} began its RTP sequence numbers anew under the same SSRC and keys; its packets are "
                "refused as replays until it reconnects (RFC 3711, 3.3.2)"
            )
            self._log.warning(text, now_s)

    # -- adaptation to the path

    def _begin_to_adapt(self, encoding: int, now_s: float) -> None:
        self._adaptation = Adaptation(
            self.channel.bitrates_bps,
            self._config.frame_ms,
            has_red=self._audio.red_payload_type is not None,
            now_s=now_s,
            top=self._highest_encoding,
            encoding=encoding,
        )
        self._kept_reports_s = now_s

    def _note_nack(self, sequences: Sequence[int], now_s: float) -> None:
        if self._adaptation is not None:
            for sequence in self._adaptation.on_nack(sequences, now_s):
                self._engine.resend(self._peer, sequence)
            self._adapt(self._adaptation.decisions())

    def _note_report(self, report: rtcp.LossReported, now_s: float) -> None:
        if self._adaptation is not None:
            round_trip_s = None if report.round_trip_time_ms is None else report.round_trip_time_ms / 1000
            self._adaptation.on_report(report.fraction_lost, report.packets_lost, round_trip_s, now_s)
            self._adapt(self._adaptation.decisions())
        self._events.append(LossReported())

    def _adapt(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            if isinstance(decision, SetEncoding):
                self._engine.set_encoding(self._peer, decision.index)
            elif isinstance(decision, SetRedundancy):
                self._engine.set_redundancy(self._peer, decision.level)
            elif isinstance(decision, SendProbe):
                self._engine.probe(self._peer, decision.copies, decision.frames)
            elif isinstance(decision, SendCheck):
                self._events.append(CheckWanted())

    def _sent(self, now_s: float) -> rtcp.SentCounters | None:
        if not plays(self._kind):
            return None
        counters = self._engine.peer_counters(self._peer)
        timestamp = self._engine.rtp_timestamp(self._timestamp_offset, now_s)
        return rtcp.SentCounters(counters.packets_sent, counters.octets_sent, timestamp)

    def _received(self) -> tuple[rtcp.ReceivedCounters, ...]:
        if not talks(self._kind):
            return ()
        reception = self._engine.reception(self._peer)
        if not reception.packets_received:
            return ()
        return (
            rtcp.ReceivedCounters(
                reception.ssrc,
                reception.highest_sequence,
                reception.packets_received,
                _packets_lost(reception),
                reception.jitter_ticks,
            ),
        )

    # -- statistics: any thread

    @property
    def fraction_lost(self) -> float | None:
        """Fraction of packets lost in the player's last report, 0 to 1; None if there is none."""
        if not plays(self._kind) or self._rtcp is None:
            return None
        snapshot = self._rtcp.snapshot()
        return snapshot.fraction_lost if snapshot.reports_received else None

    def stats(self) -> dict[str, Any]:
        """Return the fields of ``PeerStats`` that this object knows."""
        counters = self._engine.peer_counters(self._peer)
        since_s = self._connected_at_s
        return _known_fields(counters) | {
            "connected_s": 0.0 if since_s is None else max(0.0, time.perf_counter() - since_s),
            "srtp_profile": self.srtp_profile,
            "dtls_records_ignored": self._dtls.ignored,
            "exceeded_limits": "; ".join(self.exceeded_limits),
            "malformed_candidates": self._audio.malformed_candidates,
            **(self._player_stats(counters.encoding) if plays(self._kind) else {}),
            **(self._publisher_stats() if talks(self._kind) else {}),
        }

    def _player_stats(self, encoding: int) -> dict[str, Any]:
        """Return what the player is sent, and the values from its RTCP reports."""
        channel = self.channel
        if self._rtcp is None:
            return {"channel": channel.name}
        bitrates_bps = channel.bitrates_bps
        reports = self._lossless_reports()
        wall_s = 0.0 if reports is None else self._epoch_s + reports.received_s
        return {
            "channel": channel.name,
            "bitrate_kbps": bitrates_bps[min(encoding, len(bitrates_bps) - 1)] // 1000,  # It may be on its way to it.
            "nacks_ignored": self._rtcp.ignored_nack_items,
        } | shallow_dict(self._rtcp.snapshot(reports, wall_s))

    def _publisher_stats(self) -> dict[str, Any]:
        """Return the values of the local receiver."""
        reception = self._engine.reception(self._peer)
        receiver = self._engine.playout.receiver_stats(self._peer)
        return _known_fields(receiver) | {
            "is_buffering": bool(receiver.is_buffering),
            "is_enhanced": bool(receiver.is_enhanced),
            "packets_lost": _packets_lost(reception),
            "jitter_ms": reception.jitter_ticks * 1000 / SAMPLE_RATE_HZ,
        }


def _known_fields(counters: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that ``PeerStats`` has, too."""
    return {name: getattr(counters, name) for name in counters.__slots__ if name in _PEER_FIELDS}


def _packets_lost(reception: Reception) -> int:
    """Return the cumulative loss (RFC 3550, A.3); duplicates reduce it, even below zero."""
    if not reception.packets_received:
        return 0
    return reception.highest_sequence - reception.first_sequence + 1 - reception.packets_received
