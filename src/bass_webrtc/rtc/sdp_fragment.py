"""The ``application/trickle-ice-sdpfrag`` body of PATCH: trickled candidates and ICE restarts (RFC 8840, 9)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .candidate import Candidate, merge_candidates
from .sdp import IceCredentials, Scope, Section, UnusableSdpError, first, read_lines


@dataclass(frozen=True, slots=True)
class IceFragment:
    """What a fragment says."""

    ice: IceCredentials | None
    """Of the ICE session it belongs to, or None when it does not say. The ``ufrag`` of a candidate counts less."""
    candidates: tuple[Candidate, ...]
    """Each once and not more than MAX_CANDIDATES; a ``CandidatePolicy`` decides which are used."""
    end_of_candidates: bool
    mid: str | None = None
    """Of the media section that was read, or None when it has none."""

    def is_restart(self, current: IceCredentials) -> bool:
        """Whether the fragment asks for an ICE restart: it has other credentials than the running session.

        Raises:
            UnusableSdpError: Only one of ufrag and password differs (RFC 8839, 4.4.1.1.1 wants both changed).
        """
        if self.ice is None or self.ice == current:
            return False
        if self.ice.ufrag == current.ufrag or self.ice.password == current.password:
            raise UnusableSdpError("only one of ice-ufrag and ice-pwd changed; an ICE restart changes both")
        return True


def parse_fragment(data: bytes | str, *, mid: str | None = None) -> IceFragment:
    """Read a fragment. What an m= line says is ignored (RFC 8840, 4.4), and there may be none.

    Args:
        data: The fragment; bytes are UTF-8. Lines may end with LF alone.
        mid: The section that is wanted, if there are several; without it, or if no section has it, all are
            taken together: they are addresses of one peer.

    Raises:
        SdpError: It is malformed; nothing of it may be used (RFC 5789, 2).
        UnusableSdpError: The credentials have a length that is not allowed.
    """
    session = Section()
    media: list[Section] = []
    for line_type, value in read_lines(data):
        if line_type == "m":
            media.append(Section())
        else:
            (media[-1] if media else session).add(line_type, value)
    matching = [section for section in media if mid is not None and first(section.attributes, "mid") == mid]
    scope = _join_scopes([*(matching or media), session])
    return IceFragment(
        IceCredentials.from_scope(scope),
        merge_candidates((), [Candidate.parse(text) for text in scope.get("candidate", ())]),
        "end-of-candidates" in scope,
        first(scope, "mid"),
    )


def build_fragment(
    ice: IceCredentials,
    candidates: Iterable[Candidate],
    *,
    mid: str | None = None,
    ice_lite: bool = False,
    ice_options: Iterable[str] = (),
    end_of_candidates: bool = True,
) -> str:
    """Build a fragment: the answer to an ICE restart, or what a client trickles.

    Args:
        ice: Our credentials.
        candidates: Our candidates.
        mid: Of the audio section.
        ice_lite: As in the session description.
        ice_options: As in the session description (RFC 9725, 4.3.3: the same).
        end_of_candidates: Whether these are all.

    Returns:
        The fragment, with CRLF line ends: clients split on them.
    """
    options = " ".join(ice_options)
    lines = [
        *(["a=ice-lite"] if ice_lite else []),
        *([f"a=ice-options:{options}"] if options else []),
        "m=audio 9 UDP/TLS/RTP/SAVPF 0",
        *([f"a=mid:{mid}"] if mid is not None else []),
        f"a=ice-ufrag:{ice.ufrag}",
        f"a=ice-pwd:{ice.password}",
        *[f"a={candidate.to_sdp()}" for candidate in candidates],
        *(["a=end-of-candidates"] if end_of_candidates else []),
    ]
    return "".join(f"{line}\r\n" for line in lines)


def _join_scopes(sections: list[Section]) -> Scope:
    """All values of all sections, in order."""
    joined: dict[str, list[str]] = {}
    for section in sections:
        for name, values in section.attributes.items():
            joined.setdefault(name, []).extend(values)
    return Scope(joined)
