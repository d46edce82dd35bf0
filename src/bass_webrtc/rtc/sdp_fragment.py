"""The ``application/trickle-ice-sdpfrag`` body of PATCH: trickled candidates and ICE restarts (RFC 8840, 9)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import SdpError
from .candidate import Candidate, parse_candidates, parse_well_formed_candidates
from .sdp import (
    IceCredentials,
    Scope,
    Section,
    UnusableSdpError,
    first,
    has_forbidden_characters,
    read_lines,
    shorten,
)


@dataclass(frozen=True, slots=True)
class IceFragment:
    """A parsed fragment."""

    ice: IceCredentials | None
    """Credentials of the fragment's ICE session, or None. They take precedence over the ``ufrag`` of a candidate."""
    candidates: tuple[Candidate, ...]
    """Without duplicates, at most MAX_CANDIDATES; a ``CandidatePolicy`` decides which are used."""
    end_of_candidates: bool
    mid: str | None = None
    """The mid of the media section that was read, or None."""

    def is_restart(self, current: IceCredentials) -> bool:
        """Return whether the fragment requests an ICE restart: its credentials differ from the running session's.

        Raises:
            UnusableSdpError: Only one of ufrag and password differs (RFC 8839, 4.4.1.1.1 requires both).
        """
        if self.ice is None or self.ice == current:
            return False
        if self.ice.ufrag == current.ufrag or self.ice.password == current.password:
            raise UnusableSdpError(
                "only one of ice-ufrag and ice-pwd changed; an ICE restart changes both (RFC 8839, 4.4.1.1.1)"
            )
        return True


def parse_fragment(data: bytes | str, *, mid: str | None = None, is_patch: bool = True) -> IceFragment:
    """Parse a fragment. The content of m= lines is ignored (RFC 8840, 4.4); they may be missing.

    Args:
        data: The fragment; bytes are UTF-8. Lines may end with LF alone.
        mid: The section to read. If it is None or no section has it, all sections are combined, since all candidates
            are addresses of one peer.
        is_patch: Whether it is the body of a PATCH, of which a server must apply all or nothing (RFC 5789, 2). In a
            response, malformed candidates are skipped.

    Raises:
        SdpError: The fragment is malformed; no part of it may be used.
        UnusableSdpError: The credentials have a length that is not allowed.
    """
    session = Section()
    media: list[Section] = []
    for line_type, value in read_lines(data):
        if is_patch and has_forbidden_characters(value):
            raise SdpError(f"a line has NUL or CR in it: {shorten(value)}")
        if line_type == "m":
            media.append(Section())
        else:
            (media[-1] if media else session).add(line_type, value)
    matching = [section for section in media if mid is not None and first(section.attributes, "mid") == mid]
    scope = _join_scopes([*(matching or media), session])
    lines = scope.get("candidate", ())
    return IceFragment(
        IceCredentials.from_scope(scope),
        parse_candidates(lines) if is_patch else parse_well_formed_candidates(lines)[0],
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
    """Build a fragment: the response to an ICE restart, or candidates that a client trickles.

    Args:
        ice: Our credentials.
        candidates: Our candidates.
        mid: The mid of the audio section.
        ice_lite: As in the session description.
        ice_options: As in the session description (RFC 9725, 4.3.3).
        end_of_candidates: Whether these are all candidates.

    Returns:
        The fragment, with CRLF line ends: some clients split at CRLF only.
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
    """Combine the attributes of all sections, in order."""
    joined: dict[str, list[str]] = {}
    for section in sections:
        for name, values in section.attributes.items():
            joined.setdefault(name, []).extend(values)
    return Scope(joined)
