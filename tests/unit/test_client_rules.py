"""How a client interprets responses."""

from __future__ import annotations

import contextlib
import logging

import pytest
from client_servers import ANSWER
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.errors import SignalingError
from bass_webrtc.signaling.client.backoff import Backoff, BackoffSettings
from bass_webrtc.signaling.client.errors import ErrorMaker, Reply
from bass_webrtc.signaling.client.rules import (
    Answer,
    CounterOffer,
    condition,
    creates_session,
    entity_tag,
    read_answer_response,
    read_counter_offer,
    read_location,
    read_restart,
)
from bass_webrtc.signaling.client.urls import Trust, UnsafeUrlError, Url
from bass_webrtc.signaling.messages import Headers
from support.conformance import covers

URL = Url.parse("https://media.example/live/whip")
SESSION = URL.resolve("/s/1")
ERRORS = ErrorMaker(())
SDP = ("Content-Type", "application/sdp")
FRAGMENT = ("Content-Type", "application/trickle-ice-sdpfrag")
NOW_S = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT
RESTARTED = b"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"


def reply(status: int, *fields: tuple[str, str], body: str | bytes = ANSWER) -> Reply:
    return Reply(status, Headers(fields), body.encode() if isinstance(body, str) else body, URL)


def read(given: Reply, session: Url | None = SESSION) -> Answer:
    return read_answer_response(given, session, ERRORS)


def read_counter(given: Reply, session: Url | None = SESSION) -> CounterOffer:
    return read_counter_offer(given, session, ERRORS, NOW_S)


# Answers


@covers("CL3", "CL4", "CL6")
def test_answer_is_read() -> None:
    answer = read(reply(201, SDP, ("ETag", '"x"'), ("Link", '<stun:s.example>; rel="ice-server"')))
    assert (answer.sdp, answer.session_url, answer.entity_tag) == (ANSWER, "https://media.example/s/1", '"x"')
    assert [server.url for server in answer.ice_servers] == ["stun:s.example"]


@covers("CL13")
@pytest.mark.parametrize("media_type", ["application/sdp; charset=utf-8", "Application/SDP", "application/sdp;x"])
def test_type_of_an_answer_is_case_insensitive_and_may_have_parameters(media_type: str) -> None:
    assert read(reply(201, ("Content-Type", media_type))).sdp == ANSWER


@covers("CL13")
def test_answer_without_type_is_accepted_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert read(reply(201)).sdp == ANSWER
    assert "without Content-Type" in caplog.text


@covers("CL3")
def test_answer_without_location_is_accepted() -> None:
    """As sent by go2rtc."""
    assert read(reply(201, SDP), None).session_url is None


@covers("CL1")
@pytest.mark.parametrize("status", [200, 202, 299])
def test_2xx_other_than_201_needs_a_location(status: int) -> None:
    """As in GStreamer."""
    assert read(reply(status, SDP)).sdp == ANSWER
    with pytest.raises(SignalingError, match="expected 201"):
        read(reply(status, SDP), None)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (reply(201, ("Content-Type", "text/html"), body="<html>"), "text/html"),
        (reply(201, SDP, body=""), "no session description"),
        (reply(204, SDP, body="\r\n"), "no session description"),
        (reply(201, SDP, body=b"v=0\r\n\xff"), "not UTF-8"),
    ],
)
def test_unusable_2xx_response_is_an_error(given: Reply, text: str) -> None:
    with pytest.raises(SignalingError, match=text) as caught:
        read(given)
    assert caught.value.status == given.status


def test_restart_may_name_another_mid_and_have_a_malformed_candidate() -> None:
    """There is one transport, so the candidates of another section are meant, too."""
    body = (
        "a=ice-ufrag:wxyz\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:audio\r\n"
        "a=candidate:1 1 udp 1\r\na=candidate:1 1 udp 1 192.0.2.1 50000 typ host\r\n"
    )
    fragment = read_restart(reply(200, FRAGMENT, body=body), "0", ERRORS)
    assert fragment.ice is not None
    assert [candidate.port for candidate in fragment.candidates] == [50000]


@covers("CL22")
@pytest.mark.parametrize("status", [404, 409])
def test_player_polls_until_there_is_a_publisher_as_often_as_the_server_allows(status: int) -> None:
    backoff = Backoff("player", BackoffSettings(jitter=0.0))
    for seconds in (7, 2, 30):
        with pytest.raises(SignalingError) as caught:
            read(reply(status, ("Retry-After", str(seconds)), body=b""))
        assert backoff.failed(caught.value, 0.0) == seconds


@covers("CL1")
@pytest.mark.parametrize("status", [400, 401, 403, 404, 406, 409, 415, 422, 429, 499, 500, 503, 599])
def test_every_other_status_is_a_refusal(status: int) -> None:
    with pytest.raises(SignalingError) as caught:
        read(reply(status, ("Retry-After", "3"), body=b""))
    assert (caught.value.status, caught.value.retry_after_s) == (status, 3.0)


@covers("SE62")
def test_repr_shows_no_secret() -> None:
    answer = read(reply(201, SDP))
    assert "/s/1" not in repr(answer)
    assert "v=0" not in repr(answer)


# Session URLs and entity tags


@covers("CL10", "CL20")
def test_which_responses_create_a_session() -> None:
    """A 406 without a description does not."""
    assert creates_session(201, Headers())
    assert creates_session(200, Headers())
    assert creates_session(406, Headers([SDP]))
    assert not creates_session(406, Headers([("Content-Type", "application/problem+json")]))
    assert not creates_session(404, Headers([SDP]))


@covers("CL3")
def test_location_is_resolved_and_checked() -> None:
    trust = Trust(URL)
    assert read_location(Headers(), URL, trust) is None
    assert read_location(Headers([("Location", " ")]), URL, trust) is None
    found = read_location(Headers([("Location", "p?id=1")]), URL, trust)
    assert found is not None
    assert found.text == "https://media.example/live/p?id=1"
    with pytest.raises(UnsafeUrlError):
        read_location(Headers([("Location", "http://other.example/s")]), URL, trust)


@covers("CL6")
@pytest.mark.parametrize("tag", ['"x"', "unquoted", "*", 'W/"x"', '"*"'])
def test_entity_tags_are_returned_unchanged(tag: str) -> None:
    """LiveKit sends them without quotes, MediaMTX sends an asterisk."""
    assert condition(entity_tag(Headers([("ETag", tag)]))) == (("If-Match", tag),)


@covers("CL6")
def test_no_if_match_without_an_entity_tag() -> None:
    """As with Broadcast Box."""
    assert condition(entity_tag(Headers())) == ()
    assert condition(entity_tag(Headers([("ETag", "")]))) == ()


# Counter-offers


@covers("CL20")
@pytest.mark.parametrize(
    ("parameter", "date", "seconds"),
    [
        ("", None, 30.0),
        ('; valid-until="Sun, 06 Nov 1994 08:49:47 GMT"', None, 10.0),
        ('; valid-until="Sun, 06 Nov 1994 09:00:05 GMT"', "Sun, 06 Nov 1994 09:00:00 GMT", 5.0),
        ("; valid-until=soon", None, 30.0),
        ('; valid-until="Sun, 06 Nov 2044 08:49:47 GMT"', None, 3600.0),
    ],
)
def test_counter_offer_is_valid_until_its_date(parameter: str, date: str | None, seconds: float) -> None:
    """WHEP, "406 Not Acceptable"."""
    fields = [("Content-Type", f"application/sdp{parameter}"), *([("Date", date)] if date else [])]
    offer = read_counter(reply(406, *fields))
    assert (offer.sdp, offer.session_url, offer.valid_for_s) == (ANSWER, SESSION.text, seconds)


@covers("CL20")
def test_expired_counter_offer_is_an_error() -> None:
    with pytest.raises(SignalingError, match="expired"):
        read_counter(reply(406, ("Content-Type", 'application/sdp; valid-until="Sun, 06 Nov 1994 08:49:36 GMT"')))


@covers("CL20", "ES24")
@pytest.mark.parametrize(
    ("given", "session"),
    [
        (reply(406, ("Content-Type", "application/problem+json"), body="{}"), SESSION),
        (reply(406, body=b""), SESSION),
        (reply(406, SDP), None),
        (reply(406, SDP, body=b""), SESSION),
    ],
)
def test_406_without_counter_offer_is_a_refusal(given: Reply, session: Url | None) -> None:
    with pytest.raises(SignalingError) as caught:
        read_counter(given, session)
    assert caught.value.status == 406


# ICE restarts


@covers("CL9")
def test_answer_to_a_restart_is_read() -> None:
    fragment = read_restart(reply(200, FRAGMENT, body=RESTARTED), "0", ERRORS)
    assert fragment.ice is not None
    assert fragment.ice.ufrag == "abcd"


@covers("CL9")
@pytest.mark.parametrize(
    "given",
    [
        reply(204, body=b""),
        reply(200, FRAGMENT, body=b"a=ice-ufrag:x\r\n"),
        reply(200, FRAGMENT, body=b"rubbish"),
        reply(200, SDP, body=RESTARTED),
        reply(200, FRAGMENT, body=b"a=end-of-candidates\r\n"),
    ],
)
def test_unusable_answer_to_a_restart_is_an_error(given: Reply) -> None:
    with pytest.raises(SignalingError, match="ICE restart"):
        read_restart(given, "0", ERRORS)


FIELDS = st.sampled_from(["Content-Type", "Location", "ETag", "Link", "Retry-After", "Date", "X"])
VALUES = st.text() | st.sampled_from(["application/sdp", 'application/sdp; valid-until="x"', "/s", "*", "5"])


@covers("CL1", "SE70")
@given(st.integers(200, 599), st.lists(st.tuples(FIELDS, VALUES), max_size=8), st.binary())
def test_any_response_is_read_or_raises_signaling_error(
    status: int, fields: list[tuple[str, str]], body: bytes
) -> None:
    given_reply = reply(status, *fields, body=body)
    try:
        session = read_location(given_reply.headers, URL, Trust(URL))
        read_restart(given_reply, "0", ERRORS)
    except (UnsafeUrlError, SignalingError):
        session = None
    for reader in (read, read_counter):
        with contextlib.suppress(SignalingError):
            reader(given_reply, session)
