"""An observer of a full ICE agent that records its events."""

from __future__ import annotations

from bass_webrtc.peer.ice.full_ice import SelectedPair
from bass_webrtc.rtc.candidate import Candidate


class IceRecorder:
    """Records the events of a ``FullIce`` in lists.

    Attributes:
        data: Received datagrams.
        pairs: Selected pairs.
        lost: Reasons for which a pair was lost.
        late: Candidates gathered after ``gather`` returned.
        completions: How often gathering was completed after ``gather`` returned.
    """

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.pairs: list[SelectedPair] = []
        self.lost: list[str] = []
        self.late: list[Candidate] = []
        self.completions = 0

    def data_received(self, data: bytes) -> None:
        self.data.append(data)

    def pair_selected(self, pair: SelectedPair) -> None:
        self.pairs.append(pair)

    def check_answered(self, round_trip_s: float) -> None:
        pass

    def pair_lost(self, reason: str) -> None:
        self.lost.append(reason)

    def candidate_gathered(self, candidate: Candidate) -> None:
        self.late.append(candidate)

    def gathering_completed(self) -> None:
        self.completions += 1
