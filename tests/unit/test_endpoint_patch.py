"""PATCH: entity tags, trickled candidates, ICE restarts, and overlapping requests."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass

import offers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bass_webrtc.errors import IceError, SignalingError
from bass_webrtc.rtc.sdp import IceCredentials
from bass_webrtc.signaling.server.endpoint import Endpoint, EndpointSettings
from bass_webrtc.signaling.server.sessions import IfMatch, lists_entity_tag, new_entity_tag
from support.conformance import covers
from support.signaling import FakeSession, FakeSessions, ask, header, patch, post

ANONYMOUS_FRAGMENT = offers.TRICKLE_FRAGMENT[offers.TRICKLE_FRAGMENT.index("a=group") :]
"""Without credentials."""
RESTARTED = IceCredentials("nW9x", "5Rz0eKc2mLq7dVb4tYh8uJs3")
"""Credentials in ``offers.RESTART_FRAGMENT``."""
RESTARTED_TRICKLE_FRAGMENT = offers.changed(
    offers.changed(offers.TRICKLE_FRAGMENT, offers.UFRAG, RESTARTED.ufrag), offers.PASSWORD, RESTARTED.password
)
"""More candidates after that restart."""


@dataclass
class Connected:
    """A session that was just created."""

    endpoint: Endpoint
    session: FakeSession
    location: str
    entity_tag: str


async def connect(*, strict: bool = False, max_candidates: int = 100) -> Connected:
    sessions = FakeSessions()
    settings = EndpointSettings("/whep", strict=strict, max_candidates=max_candidates)
    endpoint = Endpoint("player", settings, sessions)
    response = await post(endpoint, offers.CHROME_RECVONLY)
    return Connected(endpoint, sessions.made[0], header(response, "Location"), header(response, "ETag"))


@pytest.fixture
async def connected() -> Connected:
    return await connect()


# Trickle


@covers("ES7")
async def test_trickled_candidates_are_accepted(connected: Connected) -> None:
    """204, no body and no ETag (RFC 9725, 4.3.2)."""
    response = await patch(connected.endpoint, connected.location, offers.TRICKLE_FRAGMENT, connected.entity_tag)
    assert (response.status, response.body, response.header("ETag")) == (204, b"", None)
    assert [candidate.port for candidate in connected.session.candidates] == [61764, 61765, 9]
    assert connected.session.is_complete


@covers("WS29", "WS32")
@pytest.mark.parametrize(
    "fragment",
    [
        offers.END_OF_CANDIDATES_FRAGMENT,  # LF, no m=, session level
        offers.DOUBLE_PREFIX_FRAGMENT,
        offers.OTHER_MID_FRAGMENT,
        offers.TRICKLE_FRAGMENT.replace("\r\n", "\n"),
        offers.without(offers.TRICKLE_FRAGMENT, "m=", "a=mid"),
        offers.without(offers.TRICKLE_FRAGMENT, "a=candidate"),
        offers.changed(offers.TRICKLE_FRAGMENT, "m=audio 9 RTP/AVP 0", "m=video 0 what/ever *"),
        offers.changed(offers.TRICKLE_FRAGMENT, "192.0.2.1 61764", "printer.local 61764"),
    ],
)
async def test_fragments_in_all_forms_are_accepted(connected: Connected, fragment: str) -> None:
    """Including those whose candidates are all unusable."""
    assert (await patch(connected.endpoint, connected.location, fragment, connected.entity_tag)).status == 204


@covers("WS30")
@pytest.mark.parametrize("body", [b"\xff", b"a=candidate:1 1 udp", b"hello", b"a=candidate:\r\n"])
async def test_malformed_fragment_changes_nothing(connected: Connected, body: bytes) -> None:
    """400, and not even its well-formed lines are used (RFC 5789, 2)."""
    fragment = offers.TRICKLE_FRAGMENT.encode() + body
    response = await patch(connected.endpoint, connected.location, fragment, connected.entity_tag)
    assert response.status == 400
    assert not connected.session.candidates
    assert not connected.session.is_complete


@covers("SE27")
async def test_candidates_of_an_ice_session_are_limited() -> None:
    """More are silently dropped, counted over all PATCHes."""
    connected = await connect(max_candidates=4)
    for _ in range(3):
        response = await patch(connected.endpoint, connected.location, offers.TRICKLE_FRAGMENT, "*")
        assert response.status == 204
    assert len(connected.session.candidates) == 4
    await patch(connected.endpoint, connected.location, offers.RESTART_FRAGMENT, "*")
    assert len(connected.session.candidates) == 1
    for _ in range(2):
        await patch(connected.endpoint, connected.location, RESTARTED_TRICKLE_FRAGMENT, "*")
    assert len(connected.session.candidates) == 4


async def test_media_type_is_checked_before_the_precondition(connected: Connected) -> None:
    """415 with Accept-Patch. RFC 9110, 13.2.1: preconditions come last."""
    headers = {"Content-Type": "text/plain", "If-Match": '"wrong"'}
    response = await ask(connected.endpoint, "PATCH", connected.location, b"", headers=headers)
    assert response.status == 415
    assert header(response, "Accept-Patch") == "application/trickle-ice-sdpfrag"


# Preconditions


@covers("WS21")
@pytest.mark.parametrize("if_match", ["*", '"*"', '"other", {tag}', '{tag},"other"', 'W/"x" , {tag}'])
async def test_conditions_that_hold(connected: Connected, if_match: str) -> None:
    """A list matches any of its tags; the asterisk is accepted with and without quotes."""
    condition = if_match.replace("{tag}", connected.entity_tag)
    response = await patch(connected.endpoint, connected.location, offers.TRICKLE_FRAGMENT, condition)
    assert response.status == 204


@covers("WS21")
@pytest.mark.parametrize("if_match", ['"other"', "W/{tag}", "", "nonsense", "{bare}", '"', "**"])
async def test_conditions_that_do_not_hold(connected: Connected, if_match: str) -> None:
    """412. A weak tag never matches; malformed text never holds."""
    condition = if_match.replace("{tag}", connected.entity_tag).replace("{bare}", connected.entity_tag.strip('"'))
    response = await patch(connected.endpoint, connected.location, offers.TRICKLE_FRAGMENT, condition)
    assert response.status == 412
    assert not connected.session.candidates


async def test_without_if_match_credentials_identify_the_ice_session(connected: Connected) -> None:
    """As in medooze's first PATCH."""
    response = await patch(connected.endpoint, connected.location, offers.TRICKLE_FRAGMENT)
    assert response.status == 204
    assert connected.session.candidates


@pytest.mark.parametrize("fragment", [offers.RESTART_FRAGMENT, ANONYMOUS_FRAGMENT])
async def test_without_if_match_other_credentials_are_428(connected: Connected, fragment: str) -> None:
    response = await patch(connected.endpoint, connected.location, fragment)
    assert response.status == 428
    assert not connected.session.candidates


async def test_strict_endpoint_requires_if_match() -> None:
    """428 (RFC 9725, 4.3.1)."""
    connected = await connect(strict=True)
    assert (await patch(connected.endpoint, connected.location, offers.TRICKLE_FRAGMENT)).status == 428


# Restart


@covers("WS26", "WS23")
async def test_restart_is_answered_with_a_new_tag(connected: Connected) -> None:
    """200 with the new description, lines ending in CRLF. Then the old tag gives 412 and the new one 204."""
    response = await patch(connected.endpoint, connected.location, offers.RESTART_FRAGMENT, connected.entity_tag)
    assert response.status == 200
    assert header(response, "Content-Type") == "application/trickle-ice-sdpfrag"
    assert b"\r\na=ice-ufrag:" in response.body
    new_tag = header(response, "ETag")
    assert new_tag != connected.entity_tag
    trickle = RESTARTED_TRICKLE_FRAGMENT
    assert (await patch(connected.endpoint, connected.location, trickle, connected.entity_tag)).status == 412
    assert (await patch(connected.endpoint, connected.location, trickle, new_tag)).status == 204


@covers("WS24", "WS33")
@pytest.mark.parametrize("if_match", ["*", '"*"', "{tag}"])
async def test_changed_credentials_are_a_restart_whatever_if_match_says(connected: Connected, if_match: str) -> None:
    """The ufrag of the fragment takes precedence over that of its candidates."""
    condition = if_match.replace("{tag}", connected.entity_tag)
    response = await patch(connected.endpoint, connected.location, offers.RESTART_FRAGMENT, condition)
    assert response.status == 200
    assert connected.session.remote_ice == RESTARTED


@covers("WS24")
async def test_unchanged_credentials_are_a_trickle_even_with_asterisk(connected: Connected) -> None:
    """MediaMTX's page trickles with ``*``."""
    assert (await patch(connected.endpoint, connected.location, offers.TRICKLE_FRAGMENT, "*")).status == 204
    assert not connected.session.restarting.is_set()


@covers("WS24")
async def test_restart_with_an_old_entity_tag_is_refused(connected: Connected) -> None:
    response = await patch(connected.endpoint, connected.location, offers.RESTART_FRAGMENT, '"old"')
    assert response.status == 412
    assert not connected.session.restarting.is_set()


@covers("WS25")
@pytest.mark.parametrize("if_match", ["*", '"old"', None])
@pytest.mark.parametrize(("old", "new"), [(offers.UFRAG, "nW9x"), (offers.PASSWORD, "5Rz0eKc2mLq7dVb4tYh8uJs3")])
async def test_restart_must_change_both_credentials(
    connected: Connected, old: str, new: str, if_match: str | None
) -> None:
    """422 (RFC 8839)."""
    fragment = offers.END_OF_CANDIDATES_FRAGMENT.replace(old, new)
    assert (await patch(connected.endpoint, connected.location, fragment, if_match)).status == 422


@covers("WS28")
@pytest.mark.parametrize(
    ("failure", "status"),
    [(SignalingError(503, "", "no port is free"), 503), (IceError("no path"), 500), (RuntimeError("bug"), 500)],
)
async def test_failed_restart_leaves_the_session_unchanged(
    connected: Connected, failure: Exception, status: int
) -> None:
    """RFC 9725, 4.3.3: the server "MUST NOT terminate the session immediately"."""
    connected.session.failure = failure
    response = await patch(connected.endpoint, connected.location, offers.RESTART_FRAGMENT, "*")
    assert response.status == status
    assert not connected.session.closed
    trickle = await patch(connected.endpoint, connected.location, offers.TRICKLE_FRAGMENT, connected.entity_tag)
    assert trickle.status == 204


# Overlapping requests


@covers("WS34")
@pytest.mark.parametrize("order", list(itertools.permutations(["trickle", "trickle", "restart"])))
async def test_overlapping_patches_are_processed_in_order(connected: Connected, order: tuple[str, ...]) -> None:
    """Two trickles and a restart in any order give 204, 200 or 412, and the session works afterwards."""
    connected.session.gate = asyncio.Event()
    fragments = {"trickle": offers.TRICKLE_FRAGMENT, "restart": offers.RESTART_FRAGMENT}
    tasks = [
        asyncio.create_task(
            patch(connected.endpoint, connected.location, fragments[name], connected.entity_tag), name=name
        )
        for name in order
    ]
    await connected.session.restarting.wait()
    connected.session.gate.set()
    statuses = [(await task).status for task in tasks]
    restart = order.index("restart")
    assert statuses == [204] * restart + [200] + [412] * (2 - restart)
    assert (await patch(connected.endpoint, connected.location, offers.RESTART_FRAGMENT, "*")).status == 204


@covers("WS35")
async def test_delete_overtakes_a_restart(connected: Connected) -> None:
    """The restart gets 404; no exception, and nothing is left."""
    connected.session.gate = asyncio.Event()
    restart = asyncio.create_task(patch(connected.endpoint, connected.location, offers.RESTART_FRAGMENT, "*"))
    await connected.session.restarting.wait()
    trickle = asyncio.create_task(patch(connected.endpoint, connected.location, RESTARTED_TRICKLE_FRAGMENT, "*"))
    await asyncio.sleep(0)
    delete = asyncio.create_task(ask(connected.endpoint, "DELETE", connected.location))
    await asyncio.sleep(0)
    assert (await ask(connected.endpoint, "DELETE", connected.location)).status == 404
    connected.session.gate.set()
    assert [(await task).status for task in (restart, trickle, delete)] == [404, 404, 200]
    assert connected.session.closed
    assert len(connected.endpoint) == 0


@covers("WS35", "WS55")
async def test_session_ends_while_it_restarts(connected: Connected) -> None:
    connected.session.gate = asyncio.Event()
    restart = asyncio.create_task(patch(connected.endpoint, connected.location, offers.RESTART_FRAGMENT, "*"))
    await connected.session.restarting.wait()
    connected.session.closed = True
    connected.endpoint.forget(connected.session)
    connected.session.gate.set()
    assert (await restart).status == 404


# If-Match and If-None-Match


@covers("SE70")
@given(st.lists(st.text(max_size=200), max_size=3))
def test_any_if_match_can_be_parsed(values: list[str]) -> None:
    condition = IfMatch.parse(values)
    assert (condition is None) == (not values)
    if condition is not None and "*" not in "".join(values):
        assert not condition.holds(new_entity_tag())


@covers("SE70")
def test_long_if_match_is_parsed_in_linear_time() -> None:
    condition = IfMatch.parse(['"' * 131_071, 'W/"a' * 30_000])
    assert condition is not None
    assert not condition.any


@covers("WS20")
def test_entity_tags_are_strong_and_unique() -> None:
    tags = {new_entity_tag() for _ in range(100)}
    assert len(tags) == 100
    assert all(tag[0] == tag[-1] == '"' and "*" not in tag for tag in tags)


@given(st.lists(st.text(max_size=60), max_size=4))
@example(['"', 'W/"', '""', "*", ","])
def test_any_if_none_match_can_be_parsed(values: list[str]) -> None:
    assert lists_entity_tag(values, new_entity_tag()) is ("".join(values).strip() == "*" and len(values) == 1)
    assert (IfMatch.parse(values) is None) is (values == [])


TAGS = st.text(st.characters(blacklist_characters='"', max_codepoint=255), max_size=20).map(lambda text: f'"{text}"')


@given(TAGS, st.lists(TAGS, max_size=3), st.booleans(), st.booleans())
def test_entity_tag_is_found_in_any_position(tag: str, others: list[str], weak: bool, own_lines: bool) -> None:
    """RFC 9110, 13.1.2: weak comparison for If-None-Match, strong comparison for If-Match (13.1.1)."""
    written = [*others, f"W/{tag}" if weak else tag]
    values = written if own_lines else [", ".join(written)]
    assert lists_entity_tag(values, tag)
    condition = IfMatch.parse(values)
    assert condition is not None
    assert condition.holds(tag) is (not weak or tag in others or condition.any)


@given(st.lists(TAGS, max_size=4))
def test_entity_tag_that_is_not_listed_is_not_found(others: list[str]) -> None:
    assert not lists_entity_tag([", ".join(others)], new_entity_tag())


async def test_requests_that_wait_for_one_session_are_bounded() -> None:
    sessions = FakeSessions()
    endpoint = Endpoint("player", EndpointSettings("/whep"), sessions)
    location = header(await post(endpoint, offers.CHROME_RECVONLY), "Location")
    sessions.made[0].gate = asyncio.Event()
    tasks = [asyncio.create_task(patch(endpoint, location, offers.RESTART_FRAGMENT, "*")) for _ in range(20)]
    for _ in range(3):
        await asyncio.sleep(0)
    sessions.made[0].gate.set()
    statuses = [(await task).status for task in tasks]
    assert statuses.count(429) == 4
    assert statuses.count(200) >= 1
