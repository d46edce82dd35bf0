"""Puts the packets of a peer or channel at the time at which they are played, in order and without gaps.

    packets as they arrive ─► order of RTP time ─► time of playing ─► packets for what is missing ─► file

The jitter buffer says when it plays which RTP time. A peer that nothing plays is placed at the arrival on the fastest
path plus a usual delay; a channel's frames have their times. So a sound is at the same place in all recordings that
start together. The jitter buffer stretches time where clocks differ and where its delay changes, which a recording
cannot: it is corrected by concealing more, or by leaving a packet out, when it is half a packet off. Sans-I/O: the
clock is an argument, in nanoseconds of ``time.perf_counter_ns``. One thread at a time.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator

from ..core import TapPacket
from ..rtc.ogg_opus import GRAIN_SAMPLES, concealed, frame_samples, silent

HOLD_SAMPLES = 19_200
"""400 ms: how much later than it is played a packet may arrive."""
CONCEALED_SAMPLES = 9_600
"""After so much concealment there is silence, as in playback: libopus would go on with a drone."""
DTX_SAMPLES = 96_000
"""The same for comfort noise: senders transmit at least every 0.4 s."""
LONG_GAP_SAMPLES = 48_000
"""After a longer one, a packet is placed anew."""

_BLOCK_SAMPLES = 12_000
_BLOCKS = 64
"""16 s, in which the fastest packet counts; as in the jitter buffer."""
_PATIENCE = 48_000
"""How long packets must have been at a wrong place before that is corrected."""
_PATIENCE_FAR = 9_600
"""The same when they are off by a whole packet."""
_PATIENCE_UNPLAYED = 20 * 48_000
"""The same for a peer that nothing plays. Longer than the fastest packet counts: after a change of the path, the place
seems to be wrong until then."""
_UNPLAYED_DELAY = 1_920
"""40 ms, the first target of the jitter buffer."""
_MAX_DELAY = 5 * 48_000
_HALF_TURN = 1 << 31
_LATE_SAMPLES = 48_000
_SILENCE_SAMPLES = 960


def samples_of(time_ns: int) -> int:
    """Convert nanoseconds to samples."""
    return round(time_ns * 6 / 125_000)


class _FastestPath:
    """The smallest arrival time minus media time of the last 16 s, in samples."""

    def __init__(self) -> None:
        self._blocks: deque[tuple[int, int]] = deque(maxlen=_BLOCKS)  # Number of the block of 250 ms, minimum.

    def add(self, arrival: int, timestamp: int) -> None:
        block, transit = arrival // _BLOCK_SAMPLES, arrival - timestamp
        if not self._blocks or self._blocks[-1][0] < block:
            self._blocks.append((block, transit))
        elif transit < self._blocks[-1][1]:
            self._blocks[-1] = (self._blocks[-1][0], transit)

    def restart(self) -> None:
        """Forget all but the newest."""
        while len(self._blocks) > 1:
            self._blocks.popleft()

    @property
    def transit(self) -> int:
        newest = self._blocks[-1][0]
        return min(transit for block, transit in self._blocks if block > newest - _BLOCKS)


class _Stream:
    """Packets that have arrived of one stream, and where they belong."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.path = _FastestPath()
        self.shift: int | None = None
        """Place of a packet minus its RTP time; None: it is not known yet."""
        self.next_timestamp: int | None = None
        self.next_sequence = 0
        self.wrong_since: int | None = None
        self.leaves_out = False
        """The next packet is left out for a correction."""
        self.usual_bytes = 0.0
        """Of a packet, smoothed."""
        self.late_samples = 0
        """Of packets in a row that arrived after their time."""
        self._waiting: list[tuple[int, int, TapPacket]] = []
        self._known: set[int] = set()
        self._count = 0

    def add(self, packet: TapPacket, arrival: int) -> None:
        if not packet.is_copy or self._count == 0:
            self.path.add(arrival, packet.timestamp)
        if packet.timestamp in self._known:
            return
        self._known.add(packet.timestamp)
        self._count += 1
        heapq.heappush(self._waiting, (packet.timestamp, self._count, packet))

    @property
    def first(self) -> TapPacket | None:
        return self._waiting[0][2] if self._waiting else None

    def pop(self) -> None:
        self._known.discard(heapq.heappop(self._waiting)[0])


class Timeline:
    """Makes one sequence of packets whose durations add up to the time since the start.

    Attributes:
        position: Time of the next packet in samples since the start.
        lost_packets: Packets of a peer that did not arrive in time.
    """

    def __init__(self, start_ns: int, *, is_channel: bool = False, lookahead_samples: int = 0) -> None:
        """
        Args:
            start_ns: Time 0.
            is_channel: Missing frames were not sent; otherwise, gaps in the sequence numbers are losses.
            lookahead_samples: Of the encoder: by so much later than it was encoded, a sample is decoded.
        """
        self.position = 0
        self.lost_packets = 0
        self._start_ns = start_ns
        self._is_channel = is_channel
        self._lookahead = lookahead_samples
        self._played: int | None = None
        self._streams: deque[_Stream] = deque()
        self._toc: int | None = None
        self._filled = 0  # Since the last packet that was received.

    def add(self, packet: TapPacket) -> None:
        """Take a packet as it arrived, in any order."""
        arrival = samples_of(packet.time_ns - self._start_ns)
        stream = next((one for one in self._streams if one.number == packet.stream), None)
        if stream is None:
            stream = _Stream(packet.stream)
            self._streams.append(stream)
        stream.add(packet, arrival)

    def played(self, time_ns: int) -> None:
        """Tell when RTP time 0 of a peer would have been played: now, or since the last call."""
        self._played = samples_of(time_ns - self._start_ns)

    def due(self, now_ns: int) -> Iterator[tuple[bytes, int]]:
        """Yield packets and their durations: what has been played by now, and what is certainly missing until now."""
        yield from self._until(samples_of(now_ns - self._start_ns), HOLD_SAMPLES)

    def finish(self, now_ns: int) -> Iterator[tuple[bytes, int]]:
        """Yield the rest until now. The last packet may end later, by less than its duration."""
        now = samples_of(now_ns - self._start_ns)
        yield from self._until(now, 0)
        if (missing := now - self.position) > 0:
            yield from self._fill(-(-missing // GRAIN_SAMPLES) * GRAIN_SAMPLES, is_dtx=False)

    def samples_until(self, now_ns: int) -> int:
        """Return the length of the recording at this time."""
        return max(0, samples_of(now_ns - self._start_ns))

    # ------------------------------------------------------------------ order

    def _until(self, now: int, hold: int) -> Iterator[tuple[bytes, int]]:
        known_until = now - hold
        while self._streams:
            stream = self._streams[0]
            packet = stream.first
            if packet is None:
                if len(self._streams) == 1:
                    break
                self._streams.popleft()
                continue
            place = self._place_of(stream, packet, now)
            missing = place - self.position
            may_arrive = self.position > now - hold and not self._is_expected(stream, packet)
            if place + packet.samples > now or (missing >= GRAIN_SAMPLES and may_arrive):
                known_until = min(known_until, place)
                break
            stream.pop()
            yield from self._put(stream, packet, missing)
        unit = frame_samples(self._toc) if self._toc is not None else _SILENCE_SAMPLES
        if (missing := (known_until - self.position) // unit * unit) > 0:
            yield from self._fill(missing, is_dtx=False)

    def _is_expected(self, stream: _Stream, packet: TapPacket) -> bool:
        """Return whether nothing was sent between the packet before and this one (RFC 7587, 3.1.3)."""
        return self._is_channel or (stream.next_timestamp is not None and packet.sequence == stream.next_sequence)

    # ------------------------------------------------------------------ places

    def _place_of(self, stream: _Stream, packet: TapPacket, now: int) -> int:
        """Return the place of a stream's next packet, after a correction where one is due."""
        wanted, is_sure = self._wanted_shift(stream)
        if stream.shift is None or stream.next_timestamp is None:
            return packet.timestamp + wanted
        error = wanted - stream.shift
        if abs(error) < packet.samples / 2:
            stream.wrong_since = None
        elif packet.timestamp - stream.next_timestamp > LONG_GAP_SAMPLES:
            stream.shift = wanted
        elif stream.wrong_since is None:
            stream.wrong_since = now
        elif now - stream.wrong_since >= self._patience(stream, packet, error, is_sure):
            # Conceal as much, or leave this packet out and conceal what is too much.
            stream.shift = wanted
            stream.wrong_since = None
            stream.leaves_out = error < 0
        return packet.timestamp + stream.shift

    def _patience(self, stream: _Stream, packet: TapPacket, error: int, is_sure: bool) -> int:
        # A large packet is likely to be the beginning of a sound.
        more = _PATIENCE if len(packet.payload) > stream.usual_bytes else 0
        if not is_sure:
            return _PATIENCE_UNPLAYED + more
        return (_PATIENCE_FAR if abs(error) >= packet.samples else _PATIENCE) + more

    def _wanted_shift(self, stream: _Stream) -> tuple[int, bool]:
        """Return the place of RTP time 0, and whether it is known."""
        transit = stream.path.transit
        if self._is_channel:
            return transit - self._lookahead, True
        if self._played is not None:
            # The jitter buffer has counted the turns of 32 bits from another packet.
            delay = (self._played - transit + _HALF_TURN) % (2 * _HALF_TURN) - _HALF_TURN
            if abs(delay) < _MAX_DELAY:
                return transit + delay, True
        return transit + _UNPLAYED_DELAY, False

    def _put(self, stream: _Stream, packet: TapPacket, missing: int) -> Iterator[tuple[bytes, int]]:
        is_new = stream.next_timestamp is None or packet.sequence >= stream.next_sequence
        is_dtx = self._is_expected(stream, packet)
        if is_new:
            if stream.next_timestamp is not None and not self._is_channel:
                self.lost_packets += packet.sequence - stream.next_sequence
            stream.next_sequence = packet.sequence + 1
            stream.next_timestamp = packet.timestamp + packet.samples
        if -missing > packet.samples // 2:
            if is_new and not stream.leaves_out:
                self._note_late(stream, packet)
            return
        if missing > GRAIN_SAMPLES // 2:
            yield from self._fill(round(missing / GRAIN_SAMPLES) * GRAIN_SAMPLES, is_dtx=is_dtx)
        stream.late_samples = 0
        stream.leaves_out = False
        stream.usual_bytes += (len(packet.payload) - stream.usual_bytes) / 16
        stream.shift = self.position - packet.timestamp
        self._toc = packet.payload[0]
        self._filled = 0
        self.position += packet.samples
        yield packet.payload, packet.samples

    def _note_late(self, stream: _Stream, packet: TapPacket) -> None:
        """A packet arrived after its time. When all do, the path has become longer, and the stream is placed anew."""
        if stream.shift is None:
            return  # It was sent before time 0.
        self.lost_packets += 1
        stream.late_samples += packet.samples
        if stream.late_samples >= _LATE_SAMPLES:
            stream.late_samples = 0
            stream.shift = None
            stream.path.restart()

    # ------------------------------------------------------------------ what is missing

    def _fill(self, samples: int, *, is_dtx: bool) -> Iterator[tuple[bytes, int]]:
        """Yield packets of this duration, a multiple of 2.5 ms: concealment, then silence."""
        concealment = 0
        if self._toc is not None:
            most = DTX_SAMPLES if is_dtx else CONCEALED_SAMPLES
            unit = frame_samples(self._toc)
            concealment = min(samples, max(0, (most - self._filled) // unit * unit))
            for packet, duration in concealed(concealment, self._toc):
                self.position += duration
                yield packet, duration
        for packet, duration in silent(samples - concealment):
            self.position += duration
            yield packet, duration
        self._filled += samples
