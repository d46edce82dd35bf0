"""Which encoding and how much redundancy (RFC 2198) a listener gets.

    reports, NACKs, round trips ──► measure ──► decide ──► SetEncoding, SetRedundancy, SendCheck, SendProbe
                                 path_measures            room_probe

Loss alone is no congestion: it brings redundancy, 1 copy from 1 %, 2 from 4 %. Congestion is judged by an examination
of one second, which begins with a loss of 15 %, with a late round trip, or before redundancy adds load (from 4 % also
where redundancy was not negotiated): five checks of our own. Late or lost checks, or heavy loss that goes on, mean
congestion: the redundancy goes at once, and the listener gets the highest encoding that the measured capacity carries,
or the next lower one. If heavy loss does not fall with the load, it was not congestion: the former encoding returns,
with redundancy.

A listener so limited gets more load, redundancy or a higher encoding, only after a probe (``room_probe``) has shown
that the path carries it. Probes follow each other after 5 to 22 s, so the listener is back within a minute after the
limit has gone.

An encoding is left again after 5 s at the earliest. Time to notice a limit that drops half of the packets: 5 s if the
peer sends NACKs or a report every second; otherwise the time to its next report (browsers: 2.5 to 7.5 s) and 1.5 s;
16 s without RTCP. Peers that answer no checks are tried instead of probed, 30 s after a step down and ever more rarely.

Without trouble there are no timers, unless the peer sends no RTCP: then there is a check every 5 s. A limited listener
wakes up 15 to 20 times per minute.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from .path_measures import CheckSeries, Loss, LossMeter, RoundTripMeter
from .room_probe import Room, RoomProbe, SendProbe

__all__ = ["Adaptation", "Decision", "SendCheck", "SendProbe", "SetEncoding", "SetRedundancy"]

OVERHEAD_BYTES = 12 + 16
"""RTP header and SRTP tag. Without UDP and IP, so that the relative load of a higher encoding is never too small."""

_ONE_COPY_FROM = 0.01
"""A loss of one packet in a hundred is audible with music."""
_TWO_COPIES_FROM = 0.04
"""With one packet in twenty lost, two in a row are lost every few seconds: one copy leaves 0.3 % of the frames to
conceal, two leave 0.05 %."""
_LOSS_WINDOW_S = 5.0
_CLEAN_S = 20.0
"""Losses come in groups."""

_HEAVY_LOSS = 0.15
_ABOVE_BACKGROUND = 0.2
_HEAVY_PACKETS = 12
"""With 3 % random loss, 12 of 80 packets are lost once in 250,000 times."""
_HEAVY_WINDOW_S = 2.0
_HEAVY_WINDOW_FRAMES = 80
_ONGOING_PACKETS = 8

_EXAMINATION_CHECKS = 5
_CHECK_GAP_S = 0.2
_LATE_CHECKS = 4
_LATE_CHECKS_WITH_HEAVY_LOSS = 2
_MAX_CHECK_LIFETIME_S = 1.0
_HEAVY_EXAMINATION_S = 1.5
"""With heavy loss an examination also waits for NACKs; otherwise it ends with its checks."""
_OUTAGE_S = 0.3
_EXAMINATION_PAUSE_S = 1.0
_LATE_EXAMINATION_PAUSE_S = 5.0
_LOSSY_EXAMINATION_PAUSE_S = 20.0
"""Without RED, less than heavy loss is examined, too: the first report of a limit may show only its beginning."""

_SWITCH_INTERVAL_S = 5.0
_SETTLING_S = 5.0
"""After a step down; no checks meanwhile, since the queue may still be full."""
_EMPTYING_S = 2.0
_REVIEW_INTERVAL_S = 1.0
_MAX_REVIEW_S = 30.0
_STANDING_QUEUE_S = 20.0
"""A queue of 1 s empties in 12 s with 8 % of the capacity left. What is left then is a longer path."""

_CAPACITY_TOLERANCE = 1.05
"""The measured capacity is a few percent off. If that was too much, the next step comes 5 s later."""

_MIN_BACKOFF_S = 5.0
_MAX_BACKOFF_S = 22.0
_QUEUE_PAUSE_S = 2.0
_MISTAKE_S = 15.0
"""A step up that is taken back within this time was a mistake of the probe."""
_MISTAKE_BACKOFF_S = 30.0
_MAX_MISTAKE_BACKOFF_S = 480.0

_FIRST_CHECKS = 3
_SILENT_S = 15.0
_SILENT_INTERVAL_S = 5.0


@dataclass(frozen=True, slots=True)
class SetEncoding:
    """Send this encoding from the next frame on."""

    index: int


@dataclass(frozen=True, slots=True)
class SetRedundancy:
    """Send this number of redundant copies with each frame (RFC 2198)."""

    level: int


@dataclass(frozen=True, slots=True)
class SendCheck:
    """Send a connectivity check and call ``on_round_trip`` when it is answered."""


Decision = SetEncoding | SetRedundancy | SendCheck | SendProbe


@dataclass(slots=True)
class _Step:
    """The last step down, until it is known whether it helped."""

    at_s: float
    encoding: int
    load_bps: float
    loss: float | None
    """Share of this load that was lost; None if not known exactly."""
    review_s: float
    """When to review it: once a check, sent for that after the queue has emptied, was answered."""


class Adaptation:
    """Decides for one listener. Sans-I/O; ``now_s`` is any monotonic clock, in seconds.

    After every call execute ``decisions``, and call ``on_time`` at ``timeout_s``.

    Attributes:
        encoding: Index of the encoding, 0 is the highest.
        redundancy: Number of redundant copies, 0 to 2.
        is_limited: Whether more load needs a probe first.
    """

    __slots__ = (
        "_answers_checks",
        "_background",
        "_backoff_s",
        "_bitrates_bps",
        "_decisions",
        "_examination",
        "_examination_next_s",
        "_examined_s",
        "_first_checks",
        "_frame_s",
        "_has_red",
        "_has_reported",
        "_heavy_reports",
        "_is_answer_missing",
        "_is_late",
        "_loss",
        "_lossy_s",
        "_mistake_backoff_s",
        "_next_check_s",
        "_next_probe_s",
        "_next_return_s",
        "_probe",
        "_probed",
        "_raised_s",
        "_return_backoff_s",
        "_return_to",
        "_round_trips",
        "_settled_s",
        "_step",
        "_stepped_s",
        "_switched_s",
        "_top",
        "_wanted",
        "_was_late",
        "encoding",
        "is_limited",
        "redundancy",
    )

    def __init__(
        self,
        bitrates_bps: Sequence[int],
        frame_ms: float,
        *,
        has_red: bool,
        now_s: float,
        top: int = 0,
        encoding: int | None = None,
    ) -> None:
        """
        Args:
            bitrates_bps: Opus bitrates of the channel's encodings, highest first.
            frame_ms: Duration of a frame.
            has_red: Whether redundancy was negotiated.
            now_s: Current time.
            top: The highest encoding that the peer's description allows.
            encoding: The first one, if the path is known to carry no more; None: ``top``.
        """
        encoding = top if encoding is None else encoding
        if not 0 <= top <= encoding < len(bitrates_bps):
            raise ValueError(f"encoding is {encoding} and top {top}; expected 0 to {len(bitrates_bps) - 1}, top first")
        if any(higher <= lower for higher, lower in itertools.pairwise(bitrates_bps)):
            raise ValueError(f"bitrates {tuple(bitrates_bps)} are not in order; expected the highest first")
        self.encoding = encoding
        self.redundancy = 0
        self.is_limited = encoding > top
        self._bitrates_bps = tuple(bitrates_bps)
        self._frame_s = frame_ms / 1000
        self._has_red = has_red
        self._top = top
        never_s = float("-inf")
        self._switched_s = self._raised_s = self._examined_s = self._settled_s = self._stepped_s = never_s
        self._loss = LossMeter(self._frame_s, now_s)
        self._round_trips = RoundTripMeter()
        self._answers_checks = False
        self._has_reported = False
        self._heavy_reports = 0
        self._background = 0.0
        self._wanted = 0
        self._is_late = False
        self._was_late = False
        self._next_return_s = never_s
        self._return_backoff_s = _MISTAKE_BACKOFF_S
        self._is_answer_missing = False
        self._lossy_s = now_s
        self._step: _Step | None = None
        self._return_to: int | None = None
        self._backoff_s = _MIN_BACKOFF_S
        self._mistake_backoff_s = _MISTAKE_BACKOFF_S
        self._next_probe_s = now_s + _MIN_BACKOFF_S  # After the answers to the first checks.
        self._next_check_s = now_s + _SILENT_S
        self._probe: RoomProbe | None = None
        self._probed = (encoding, 0)
        self._examination: CheckSeries | None = None
        self._examination_next_s = now_s
        self._first_checks = CheckSeries(_FIRST_CHECKS, _CHECK_GAP_S, now_s) if self._can_act else None
        self._decisions: list[Decision] = []

    # -- measurements

    def on_report(self, fraction_lost: float, packets_lost: int, rtt_s: float | None, now_s: float) -> None:
        """Process a receiver report about the stream.

        Args:
            fraction_lost: Since the peer's previous report, 0 to 1.
            packets_lost: Since the start of the stream.
            rtt_s: Round-trip time by this report; None if unknown.
            now_s: Current time.
        """
        loss = self._loss.note_report(fraction_lost, packets_lost, now_s)
        is_heavy = loss.packets >= _HEAVY_PACKETS and loss.share >= self._heavy_loss
        self._heavy_reports = self._heavy_reports + 1 if is_heavy else 0
        self._has_reported = True
        if rtt_s is not None:
            self._note_round_trip(rtt_s, now_s)
        self._decide(now_s)

    def on_nack(self, sequences: Sequence[int], now_s: float) -> Sequence[int]:
        """Process a NACK: the peer misses these packets.

        Returns:
            The packets to send again. A limited listener gets each only once, and none while its queue may be full:
            they would displace audio, which it would request in turn.
        """
        new = self._loss.note_nack(sequences, now_s)
        self._decide(now_s)
        if not self.is_limited:
            return sequences
        is_lossy = self._loss.within(_HEAVY_WINDOW_S, now_s).share >= _TWO_COPIES_FROM
        return () if is_lossy or self._probe is not None or now_s < self._settled_s else new

    def on_round_trip(self, rtt_s: float, now_s: float) -> None:
        """Process the answer to a connectivity check, whether requested here or not."""
        self._answers_checks = True
        self._is_answer_missing = False
        self._note_round_trip(rtt_s, now_s)
        self._was_late = rtt_s > self._round_trips.late_s
        if self._examination is not None:
            self._examination.note(rtt_s, now_s)
        if self._probe is not None:
            self._probe.on_round_trip(rtt_s, now_s)
        self._decide(now_s)

    def on_time(self, now_s: float) -> None:
        """Continue what is due. Call at ``timeout_s``; other calls are harmless."""
        self._decide(now_s)

    @property
    def needs_lossless_reports(self) -> bool:
        """Whether reports without loss tell more than that nothing has changed."""
        is_busy = self._examination is not None or self._step is not None
        return is_busy or self.is_limited or self.redundancy > 0

    @property
    def late_s(self) -> float:
        """The round-trip time from which on a report without loss tells more; infinite if nothing would follow."""
        return self._round_trips.late_s if self._has_less else float("inf")

    # -- results

    def decisions(self) -> list[Decision]:
        """Return and clear the decisions since the last call, in order."""
        decisions, self._decisions = self._decisions, []
        return decisions

    def timeout_s(self) -> float | None:
        """Return when ``on_time`` is due, on the clock of ``now_s``; None without trouble."""
        times_s = []
        if self._first_checks is not None:
            times_s.append(self._first_checks.timeout_s(0.0))
        if self._examination is not None:
            times_s.append(self._examination_next_s)
        elif self._probe is not None:
            times_s.append(self._probe.timeout_s())
        elif self._goal is not None:
            times_s.append(self._probe_due_s)
        if self.redundancy:
            times_s.append(self._lossy_s + _CLEAN_S)
        if self._step is not None and self._was_late:
            times_s.append(self._step.review_s)
        if self._return_to is not None:
            times_s.append(self._switched_s + _SWITCH_INTERVAL_S)
        if self._can_act and not self._has_reported:
            times_s.append(self._next_check_s)
        return min(times_s, default=None)

    # -- deciding

    def _decide(self, now_s: float) -> None:
        self._want_redundancy(now_s)
        self._send_checks(now_s)
        self._review_step(now_s)
        self._examine(now_s)
        self._look_for_room(now_s)

    @property
    def _can_act(self) -> bool:
        return self._top < len(self._bitrates_bps) - 1 or self._has_red

    @property
    def _has_less(self) -> bool:
        """Whether there is a state with less load."""
        return self.redundancy > 0 or self.encoding < len(self._bitrates_bps) - 1

    @property
    def _goal(self) -> tuple[int, int] | None:
        """Encoding and redundancy that a limited listener should get next; None if it has what it should have."""
        if not self.is_limited:
            return None
        if self._wanted > self.redundancy:
            return self.encoding, self.redundancy + 1
        return (self.encoding - 1, self.redundancy) if self.encoding > self._top else None

    def _load_bps(self, encoding: int, redundancy: int) -> float:
        frame_bytes = self._bitrates_bps[encoding] * self._frame_s / 8
        red_bytes = redundancy * (frame_bytes + 4) + 1 if redundancy else 0  # RFC 2198, 3.
        return (frame_bytes + red_bytes + OVERHEAD_BYTES) * 8 / self._frame_s

    def _set(self, encoding: int, redundancy: int, now_s: float) -> None:
        if encoding != self.encoding:
            self.encoding, self._switched_s = encoding, now_s
            self._decisions.append(SetEncoding(encoding))
        if redundancy != self.redundancy:
            self.redundancy, self._lossy_s = redundancy, now_s
            self._decisions.append(SetRedundancy(redundancy))

    def _want_redundancy(self, now_s: float) -> None:
        """Redundancy is wanted at once, and falls one step at a time after a time with less loss."""
        if not self._has_red:
            return
        share = self._loss.within(_LOSS_WINDOW_S, now_s).share
        self._wanted = (share >= _ONE_COPY_FROM) + (share >= _TWO_COPIES_FROM)
        if self._wanted >= self.redundancy:
            self._lossy_s = now_s
        elif now_s >= self._lossy_s + _CLEAN_S:
            self._set(self.encoding, self.redundancy - 1, now_s)
            self._background = min(self._background, share)

    def _send_checks(self, now_s: float) -> None:
        """Send the checks that no trouble requests: the first ones, and those to a peer without RTCP."""
        if self._first_checks is not None:
            if self._first_checks.take_check(now_s):
                self._decisions.append(SendCheck())
            if self._first_checks.is_over(0.0, now_s):
                self._first_checks = None
        if self._can_act and not self._has_reported and now_s >= self._next_check_s:
            self._next_check_s = now_s + _SILENT_INTERVAL_S
            self._is_late |= self._is_answer_missing
            self._is_answer_missing = self._answers_checks
            self._decisions.append(SendCheck())

    def _note_round_trip(self, rtt_s: float, now_s: float) -> None:
        is_late = rtt_s > self._round_trips.late_s
        is_quiet = self._examination is None and self._probe is None and now_s >= self._settled_s
        self._round_trips.note(rtt_s, now_s, is_usual=is_quiet and not is_late)
        self._is_late |= is_late and is_quiet

    # -- down

    @property
    def _heavy_loss(self) -> float:
        return self._background + _ABOVE_BACKGROUND if self._background else _HEAVY_LOSS

    def _is_loss_heavy(self, now_s: float) -> bool:
        window_s = max(_HEAVY_WINDOW_S, _HEAVY_WINDOW_FRAMES * self._frame_s)
        return self._is_heavy(self._loss.within(window_s, now_s))

    def _is_heavy(self, loss: Loss) -> bool:
        return loss.packets >= _HEAVY_PACKETS and loss.share >= self._heavy_loss

    @property
    def _check_lifetime_s(self) -> float:
        """How long an examination waits for an answer."""
        return min(self._round_trips.late_s, _MAX_CHECK_LIFETIME_S)

    def _examine(self, now_s: float) -> None:
        if self._examination is None:
            self._begin_examination(now_s)
        if self._examination is None:
            return
        examination = self._examination
        if examination.take_check(now_s):
            self._decisions.append(SendCheck())
        self._examination_next_s = self._examination_due_s(examination, now_s)
        if self._is_congested(examination, now_s):
            self._step_down(now_s)
        elif now_s >= self._examination_next_s:
            self._examination, self._examined_s = None, now_s
            if self._wanted > self.redundancy and not self.is_limited:
                self._set(self.encoding, self._wanted, now_s)

    def _begin_examination(self, now_s: float) -> None:
        is_late, self._is_late = self._is_late and now_s >= self._stepped_s + _STANDING_QUEUE_S, False
        if now_s < self._settled_s:
            return
        ago_s = now_s - self._examined_s
        is_heavy = self._has_less and ago_s >= _EXAMINATION_PAUSE_S and self._is_loss_heavy(now_s)
        is_late = is_late and self._has_less and ago_s >= _LATE_EXAMINATION_PAUSE_S
        is_lossy = not self._has_red and self._has_less and ago_s >= _LOSSY_EXAMINATION_PAUSE_S
        is_lossy = is_lossy and self._loss.within(_LOSS_WINDOW_S, now_s).share >= _TWO_COPIES_FROM
        if is_heavy or is_late or is_lossy or (self._wanted > self.redundancy and not self.is_limited):
            if self._probe is not None:
                self._probe = None
                self._back_off(now_s)
            self._examination = CheckSeries(_EXAMINATION_CHECKS, _CHECK_GAP_S, now_s)

    def _examination_due_s(self, examination: CheckSeries, now_s: float) -> float:
        """Return when the next check or answer is due, or the end; that is in the past if it is over."""
        if examination.is_over(self._check_lifetime_s, now_s) and self._is_loss_heavy(now_s):
            return examination.started_s + _HEAVY_EXAMINATION_S
        return (
            now_s
            if examination.is_over(self._check_lifetime_s, now_s)
            else examination.timeout_s(self._check_lifetime_s)
        )

    def _is_congested(self, examination: CheckSeries, now_s: float) -> bool:
        if self._heavy_reports >= 2:
            return True
        is_heavy = self._is_loss_heavy(now_s)
        is_telling = now_s >= self._stepped_s + _STANDING_QUEUE_S and not self._background
        if self._answers_checks and (is_heavy or is_telling):
            late = examination.late(self._check_lifetime_s, now_s)
            if late >= (_LATE_CHECKS_WITH_HEAVY_LOSS if is_heavy else _LATE_CHECKS):
                return True
        # An outage has ended before: its packets are requested all at once.
        ongoing_s = examination.started_s + _OUTAGE_S
        ongoing = self._loss.since(ongoing_s, now_s) if now_s >= ongoing_s + _OUTAGE_S else None
        return ongoing is not None and ongoing.packets >= _ONGOING_PACKETS and ongoing.share >= self._heavy_loss

    def _step_down(self, now_s: float) -> None:
        """Take the redundancy away, and change to the encoding that the path carries."""
        examination, self._examination = self._examination, None
        self._heavy_reports, self.is_limited = 0, True
        self._plan_probe_after_step(now_s)
        if not self._has_less:
            return
        load_bps = self._load_bps(self.encoding, self.redundancy)
        density = self._loss.density(examination.started_s) if examination is not None else None
        self._step = _Step(now_s, self.encoding, load_bps, density, now_s + _SETTLING_S)
        self._was_late = self._answers_checks
        self._stepped_s, self._settled_s = now_s, now_s + _SETTLING_S
        self._loss.ignore_until(now_s + _EMPTYING_S)
        encoding = self.encoding
        if now_s >= self._switched_s + _SWITCH_INTERVAL_S:
            encoding = self._next_lower(None if density is None else load_bps * (1 - density))
        self._set(encoding, 0, now_s)

    def _next_lower(self, capacity_bps: float | None) -> int:
        """Return the highest encoding that the path carries, or the next lower one if that is not known."""
        last = len(self._bitrates_bps) - 1
        if capacity_bps is None:
            return min(self.encoding + 1, last)
        first = self.encoding if self.redundancy else min(self.encoding + 1, last)
        carried = (i for i in range(first, last) if self._load_bps(i, 0) <= capacity_bps * _CAPACITY_TOLERANCE)
        return next(carried, last)

    def _plan_probe_after_step(self, now_s: float) -> None:
        if now_s < self._raised_s + _MISTAKE_S or not self._answers_checks:
            self._next_probe_s = now_s + self._mistake_backoff_s
            self._mistake_backoff_s = min(2 * self._mistake_backoff_s, _MAX_MISTAKE_BACKOFF_S)
        else:
            self._next_probe_s = now_s + _MIN_BACKOFF_S
        self._backoff_s = _MIN_BACKOFF_S

    def _review_step(self, now_s: float) -> None:
        """Take a step down back if the loss has not fallen with the load."""
        if self._step is not None and now_s >= self._settled_s:
            self._review_loss(self._step, now_s)
        if self._return_to is not None and now_s >= self._switched_s + _SWITCH_INTERVAL_S:
            self._set(self._return_to, self.redundancy, now_s)
            self._return_to = None

    def _review_loss(self, step: _Step, now_s: float) -> None:
        if now_s >= step.at_s + _MAX_REVIEW_S:
            self._step = None
            return
        if now_s >= step.review_s and self._was_late:
            step.review_s = now_s + _REVIEW_INTERVAL_S
            self._decisions.append(SendCheck())
        if now_s < step.review_s or (loss := self._loss.since(step.at_s + _EMPTYING_S, now_s)) is None:
            return
        is_heavy = loss.share >= self._heavy_loss and not self._was_late
        if is_heavy and now_s >= self._next_return_s and (not self._has_less or self._is_unchanged(loss, step)):
            self._next_return_s = now_s + self._return_backoff_s
            self._return_backoff_s = min(2 * self._return_backoff_s, _MAX_MISTAKE_BACKOFF_S)
            self._background, self._return_to, self.is_limited = loss.share, step.encoding, False
            self._step = self._probe = None
            self._set(self.encoding, self._wanted, now_s)
        elif loss.share < self._heavy_loss / 2:
            self._step = None

    def _is_unchanged(self, loss: Loss, step: _Step) -> bool:
        """Return whether the loss is rather that of before than what a narrow link would lose of the new load."""
        if step.loss is None:
            return False
        capacity_bps = step.load_bps * (1 - step.loss)
        narrow = max(0.0, 1 - capacity_bps / self._load_bps(self.encoding, self.redundancy))
        return loss.share > (narrow + step.loss) / 2

    # -- up

    def _look_for_room(self, now_s: float) -> None:
        if self._probe is None:
            self._begin_probe(now_s)
        if self._probe is None:
            return
        if (decision := self._probe.on_time(now_s)) is not None:
            self._decisions.append(decision)
        if self._probe.verdict is not None:
            self._end_probe(self._probe.verdict, now_s)

    def _begin_probe(self, now_s: float) -> None:
        goal = self._goal
        if goal is None or self._examination is not None or now_s < self._probe_due_s:
            return
        if not self._answers_checks:
            self._raise(goal, now_s)
            self._next_probe_s = now_s + self._mistake_backoff_s
            return
        self._probed = goal
        load = self._load_bps(*goal) / self._load_bps(self.encoding, self.redundancy)
        trips = self._round_trips
        self._probe = RoomProbe(load, self._frame_s, late_s=trips.late_s, deviation_s=trips.deviation_s, now_s=now_s)

    @property
    def _probe_due_s(self) -> float:
        return max(self._next_probe_s, self._settled_s, self._switched_s + _SWITCH_INTERVAL_S)

    def _end_probe(self, room: Room, now_s: float) -> None:
        probe, self._probe = self._probe, None
        if room is Room.FOUND:
            self._next_probe_s, self._backoff_s = now_s, _MIN_BACKOFF_S
            self._raise(self._probed, now_s)
        elif room is Room.NONE:
            self._back_off(now_s)
            if self._needs_lower_encoding:
                self._step_down(now_s)
        else:
            self._next_probe_s = now_s + _QUEUE_PAUSE_S
            if probe is not None and now_s >= self._stepped_s + _STANDING_QUEUE_S:
                self._round_trips.restart(probe.reference_s, now_s)

    def _back_off(self, now_s: float) -> None:
        self._next_probe_s = now_s + self._backoff_s
        self._backoff_s = min(2 * self._backoff_s, _MAX_BACKOFF_S)

    @property
    def _needs_lower_encoding(self) -> bool:
        """Whether there is loss, but the path carries the redundancy for it only with a lower encoding, if at all."""
        return self._wanted > self.redundancy == 0 < self._probed[1] and self.encoding < len(self._bitrates_bps) - 1

    def _raise(self, goal: tuple[int, int], now_s: float) -> None:
        self._raised_s = now_s
        self._set(*goal, now_s)
        self.is_limited = self.encoding > self._top or self._wanted > self.redundancy
