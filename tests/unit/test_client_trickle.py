"""Candidates that wait."""

from __future__ import annotations

import client_servers
import pytest

from bass_webrtc.errors import SdpError
from bass_webrtc.rtc.candidate import Candidate, host_candidates
from bass_webrtc.rtc.sdp import IceCredentials
from bass_webrtc.rtc.sdp_fragment import IceFragment, parse_fragment
from bass_webrtc.signaling.client.trickle import IceSession, PendingCandidates
from support.conformance import covers

ICE = IceCredentials(client_servers.UFRAG, client_servers.PASSWORD)
A, B, C = host_candidates([("192.0.2.1", 1001), ("192.0.2.2", 1002), ("192.0.2.3", 1003)])


def read(fragment: str | None) -> IceFragment:
    assert fragment is not None
    return parse_fragment(fragment)


def addresses(candidates: tuple[Candidate, ...]) -> list[tuple[str, int]]:
    return [(candidate.host, candidate.port) for candidate in candidates]


@pytest.fixture
def pending() -> PendingCandidates:
    return PendingCandidates(IceSession.of(client_servers.OFFER))


@covers("CL7")
def test_the_ice_session_of_an_offer() -> None:
    """The credentials stand in every fragment."""
    assert IceSession.of(client_servers.OFFER) == IceSession(ICE, "0")


@pytest.mark.parametrize("sdp", ["v=0\r\n", "rubbish", client_servers.OFFER.replace("a=ice-pwd", "a=ice-pw")])
def test_a_description_without_credentials(sdp: str) -> None:
    with pytest.raises(SdpError):
        IceSession.of(sdp)


@covers("CL7")
def test_what_gathers_goes_out_together(pending: PendingCandidates) -> None:
    """One fragment, with ufrag, password and mid."""
    pending.add([A])
    pending.add([B])
    fragment = read(pending.take())
    assert (fragment.ice, fragment.mid) == (ICE, "0")
    assert addresses(fragment.candidates) == addresses((A, B))
    assert not fragment.end_of_candidates


@covers("CL7")
def test_nothing_is_sent_twice(pending: PendingCandidates) -> None:
    assert pending.take() is None
    pending.add([A])
    pending.take()
    pending.add([A])
    assert pending.take() is None
    pending.add([A, C])
    assert addresses(read(pending.take()).candidates) == addresses((C,))


@covers("CL7")
def test_the_end_of_candidates_is_said_once(pending: PendingCandidates) -> None:
    """With the last ones, or alone."""
    pending.add([A])
    pending.take()
    pending.add([], end_of_candidates=True)
    fragment = read(pending.take())
    assert (fragment.candidates, fragment.end_of_candidates) == ((), True)
    assert pending.take() is None


@covers("CL9")
def test_a_restart_sends_everything(pending: PendingCandidates) -> None:
    """If only the credentials."""
    assert read(pending.take_all()).ice == ICE
    pending.add([A])
    pending.take()
    pending.add([B], end_of_candidates=True)
    assert addresses(read(pending.take_all()).candidates) == addresses((A, B))
    assert pending.take() is None
