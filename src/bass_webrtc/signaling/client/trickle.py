"""Candidates that have to wait: for the 201, for a PATCH that is under way, for an ICE restart (WHIP 4.3.2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...errors import SdpError
from ...rtc.candidate import Candidate
from ...rtc.sdp import IceCredentials, SessionDescription
from ...rtc.sdp_fragment import build_fragment


@dataclass(frozen=True, slots=True)
class IceSession:
    """What a client says of itself in PATCH bodies."""

    ice: IceCredentials
    mid: str | None

    @classmethod
    def of(cls, sdp: str) -> IceSession:
        """That of a description of ours.

        Raises:
            SdpError: The description cannot be read, or has no ICE credentials.
        """
        description = SessionDescription.parse(sdp)
        for section in description.media:
            ice = IceCredentials.from_scope(description.transport_scope(section))
            if ice is not None:
                return cls(ice, section.mid)
        raise SdpError("the description has no ICE credentials")


class PendingCandidates:
    """What one ICE session has found and the server does not know yet.

    Args:
        session: Stands in every fragment: it says which ICE session the candidates are of.
    """

    def __init__(self, session: IceSession) -> None:
        self.session = session
        self._known: dict[Candidate, None] = {}
        self._sent = 0
        self._is_complete = False
        self._is_completion_sent = False

    def add(self, candidates: Iterable[Candidate], *, end_of_candidates: bool = False) -> None:
        """Take candidates; those that were here before are not sent again."""
        self._known.update(dict.fromkeys(candidates))
        self._is_complete = self._is_complete or end_of_candidates

    def take(self) -> str | None:
        """One fragment with all that is new, or None when nothing is."""
        new = list(self._known)[self._sent :]
        if not new and self._is_complete == self._is_completion_sent:
            return None
        return self._fragment(new)

    def take_all(self) -> str:
        """One fragment with everything, if only the credentials: an ICE restart."""
        return self._fragment(list(self._known))

    def _fragment(self, candidates: list[Candidate]) -> str:
        self._sent = len(self._known)
        self._is_completion_sent = self._is_complete
        session = self.session
        return build_fragment(session.ice, candidates, mid=session.mid, end_of_candidates=self._is_complete)
