"""POST, DELETE, GET and the status codes of WHIP and WHEP, without a socket."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import re
import time
from urllib.parse import urljoin

import offers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bass_webrtc.config import IceServer, ServerConfig
from bass_webrtc.errors import ClosedError, ConfigError, PeerLimitError, SignalingError
from bass_webrtc.rtc.sdp import UnusableSdpError
from bass_webrtc.signaling.messages import Forwarded, Headers, Request, Response
from bass_webrtc.signaling.server.auth import TokenPolicy
from bass_webrtc.signaling.server.endpoint import Endpoint, EndpointSettings
from bass_webrtc.signaling.server.sessions import PeerRequest
from bass_webrtc.stats import Kind
from support.conformance import covers
from support.signaling import ANSWER, CLIENT, FakeSessions, ask, header, patch, post

PROXIED = "https://radio.example/radio"


def make_endpoint(
    sessions: FakeSessions | None = None, kind: Kind = "player", settings: EndpointSettings | None = None
) -> Endpoint:
    settings = settings or EndpointSettings("/whep" if kind == "player" else "/whip")
    return Endpoint(kind, settings, sessions or FakeSessions())


@pytest.fixture
def sessions() -> FakeSessions:
    return FakeSessions()


@pytest.fixture
def endpoint(sessions: FakeSessions) -> Endpoint:
    return make_endpoint(sessions)


def problem(response: Response) -> dict[str, object]:
    assert header(response, "Content-Type") == "application/problem+json"
    document = json.loads(response.body)
    assert document["status"] == response.status
    assert isinstance(document, dict)
    return document


# POST


@covers("WS20")
async def test_offer_is_answered_with_location_and_entity_tag(endpoint: Endpoint) -> None:
    """201, Location, Content-Type and a strong ETag."""
    response = await post(endpoint, offers.CHROME_RECVONLY)
    assert response.status == 201
    assert response.body == ANSWER.encode()
    assert header(response, "Content-Type") == "application/sdp"
    assert re.fullmatch(r'"[A-Za-z0-9_-]{16,}"', header(response, "ETag"))
    assert header(response, "Accept-Patch") == "application/trickle-ice-sdpfrag"


@covers("WS14", "WS52", "SE63")
@pytest.mark.parametrize("path", ["/whep", "/whep/"])
async def test_location_is_relative_without_a_query(path: str, endpoint: Endpoint) -> None:
    """OBS and MediaMTX require that it has no query; a proxy may have removed a prefix of the path that the client
    used. Its secret has at least 122 random bits."""
    location = header(await post(endpoint, offers.CHROME_RECVONLY, path), "Location")
    match = re.fullmatch(r"https://radio\.example/radio/whep/([A-Za-z0-9_-]+)", urljoin(PROXIED + path, location))
    assert match is not None
    assert len(match[1]) * 6 >= 122
    assert (await ask(endpoint, "DELETE", urljoin(path, location))).status == 200


@pytest.mark.parametrize(
    ("forwarded", "host", "origin", "begins"),
    [
        (Forwarded("/radio"), "127.0.0.1:8080", None, "/radio/whep/"),
        (Forwarded("/a/b", "radio.example"), "127.0.0.1:8080", None, "https://radio.example/radio/whep/"),
        (Forwarded(), "radio.example:443", None, "https://radio.example/radio/whep/"),
        (Forwarded(), "127.0.0.1:8080", None, "whep/"),
        (Forwarded(), "127.0.0.1:8080", "http://127.0.0.1:8080", "whep/"),
        (Forwarded(), "127.0.0.1:8080", "https://other.example", "/whep/"),
        (Forwarded("", "other.example"), "radio.example", None, "whep/"),
    ],
)
async def test_location_begins_as_a_trusted_proxy_or_the_public_url_says(
    forwarded: Forwarded, host: str, origin: str | None, begins: str, sessions: FakeSessions
) -> None:
    """Clients that do not come through the proxy still get one that works for them."""
    settings = EndpointSettings("/whep", public_url=f"{PROXIED}/", allow_origins=("https://other.example",))
    endpoint = make_endpoint(sessions, settings=settings)
    fields = [("Host", host), ("Content-Type", "application/sdp"), *([("Origin", origin)] if origin else [])]
    headers = Headers(fields)
    request = Request("POST", "/whep", headers, offers.CHROME_RECVONLY.encode(), CLIENT, forwarded=forwarded)
    assert header(await endpoint.respond(request), "Location").startswith(begins)


@covers("WS12", "ES8")
async def test_two_posts_make_two_sessions(endpoint: Endpoint, sessions: FakeSessions) -> None:
    """With different Locations and ETags; ending one leaves the other."""
    first, second = [await post(endpoint, offers.CHROME_RECVONLY) for _ in range(2)]
    assert header(first, "Location") != header(second, "Location")
    assert header(first, "ETag") != header(second, "ETag")
    assert (await ask(endpoint, "DELETE", header(first, "Location"))).status == 200
    assert [session.closed for session in sessions.made] == [True, False]
    assert (await ask(endpoint, "GET", header(second, "Location"))).status == 204


@covers("WS1")
@pytest.mark.parametrize("content_type", ["application/sdp; charset=utf-8", "Application/SDP", " application/sdp ;x=y"])
async def test_media_types_are_case_insensitive_and_may_have_parameters(endpoint: Endpoint, content_type: str) -> None:
    assert (await post(endpoint, offers.CHROME_RECVONLY, Content_Type=content_type)).status == 201


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/json", "application/sdpx", "application"])
async def test_other_media_types_are_refused(endpoint: Endpoint, content_type: str) -> None:
    """415 with Accept-Post."""
    response = await post(endpoint, offers.CHROME_RECVONLY, Content_Type=content_type)
    assert response.status == 415
    assert header(response, "Accept-Post") == "application/sdp"


async def test_missing_media_type_is_refused(endpoint: Endpoint) -> None:
    assert (await ask(endpoint, "POST", body=offers.CHROME_RECVONLY)).status == 415


@covers("SE60")
@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
async def test_compressed_body_is_refused(endpoint: Endpoint, coding: str) -> None:
    """A few bytes could expand to very many."""
    response = await post(endpoint, b"\x1f\x8b", Content_Encoding=coding)
    assert response.status == 415


@covers("ES25")
@pytest.mark.parametrize("body", [b"", b"\x00", b"\xff\xfe", b"hello", b"v=0\r\nm=", b"{}"])
async def test_malformed_offer_is_refused(endpoint: Endpoint, sessions: FakeSessions, body: bytes) -> None:
    """400. An empty body does not make the server offer."""
    response = await post(endpoint, body)
    assert response.status == 400
    assert problem(response)["title"] == "Bad Request"
    assert not sessions.asked


@pytest.mark.parametrize("body", ["", "\r\n"])
async def test_empty_body_is_named_with_its_likely_cause(endpoint: Endpoint, body: str) -> None:
    """A proxy that drops Transfer-Encoding drops the body with it."""
    made = await post(endpoint, offers.CHROME_RECVONLY)
    for response in (await post(endpoint, body), await patch(endpoint, header(made, "Location"), body, "*")):
        assert response.status == 400
        detail = str(problem(response)["detail"])
        assert "The body is empty" in detail
        assert "a proxy has dropped Transfer-Encoding" in detail


@covers("WS2", "WS9", "ES1", "ES4", "ES5")
@pytest.mark.parametrize(
    ("kind", "offer", "status"),
    [
        ("player", offers.CHROME_RECVONLY, 201),
        ("player", offers.CHROME, 201),  # sendrecv
        ("player", offers.SENDONLY_TO_WHEP, 422),
        ("player", offers.NO_OPUS, 422),
        ("player", offers.NO_FINGERPRINT, 422),
        ("player", offers.MEDIAMTX_READER, 201),
        ("publisher", offers.OBS, 201),
        ("publisher", offers.FFMPEG, 201),
        ("publisher", offers.RECVONLY_TO_WHIP, 422),
        ("publisher", offers.TWO_AUDIO, 422),
        ("publisher", offers.AUDIO_AND_VIDEO, 201),
    ],
)
async def test_unusable_offer_is_422(kind: Kind, offer: str, status: int) -> None:
    endpoint = make_endpoint(kind=kind)
    response = await post(endpoint, offer, "/whep" if kind == "player" else "/whip")
    assert response.status == status
    if status == 422:
        assert problem(response)["title"] == "Unprocessable Content"


@covers("WS10")
async def test_strict_endpoint_refuses_audio_and_video() -> None:
    """No session is created."""
    sessions = FakeSessions()
    endpoint = make_endpoint(sessions, "publisher", EndpointSettings("/whip", strict=True))
    response = await post(endpoint, offers.AUDIO_AND_VIDEO, "/whip")
    assert response.status == 422
    assert problem(response)["detail"]
    assert not sessions.asked


@covers("WS11")
@pytest.mark.parametrize(("ice_lite", "status"), [(True, 422), (False, 201)])
async def test_ice_lite_server_refuses_ice_lite_client(ice_lite: bool, status: int) -> None:
    """A server with full ICE accepts it."""
    endpoint = make_endpoint(settings=EndpointSettings("/whep", ice_lite=ice_lite))
    offer = offers.changed(offers.CHROME_RECVONLY, "t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n")
    assert (await post(endpoint, offer)).status == status


@covers("ES2", "SE61", "SE68")
@pytest.mark.parametrize(
    ("failure", "status", "retry_after"),
    [
        (PeerLimitError("5 peers are connected already"), 503, "5"),
        (SignalingError(409, "/whep", "There is nothing to play yet."), 409, "5"),  # ES2
        (SignalingError(403, "/whep", "No."), 403, None),
        (UnusableSdpError("no common SRTP profile"), 422, None),
        (ClosedError("the server is stopping"), 503, "5"),
        (SignalingError(0, "/whep", "no response"), 500, None),
        (ConfigError("inner details"), 500, None),
        (RuntimeError("inner details"), 500, None),
    ],
)
async def test_errors_of_sessions_have_their_status(
    endpoint: Endpoint,
    sessions: FakeSessions,
    failure: Exception,
    status: int,
    retry_after: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With Retry-After if a later attempt may succeed, and without internals."""
    sessions.failure = failure
    response = await post(endpoint, offers.CHROME_RECVONLY)
    assert response.status == status
    assert response.header("Retry-After") == retry_after
    assert "inner" not in str(problem(response))
    assert len(endpoint) == 0
    assert bool([record for record in caplog.records if record.levelno >= logging.ERROR]) == (status == 500)


async def test_refusals_are_problem_documents(endpoint: Endpoint) -> None:
    """RFC 9457. The extra member ``error`` is the one MediaMTX's players show."""
    document = problem(await post(endpoint, b"hello"))
    assert document["detail"] == document["error"]
    assert set(document) == {"title", "status", "detail", "error"}


async def test_session_that_ended_at_once_has_no_url(endpoint: Endpoint, sessions: FakeSessions) -> None:
    make = sessions.create

    async def create_and_close(*args: object) -> object:
        session = await make(*args)  # type: ignore[arg-type]
        await session.close()
        return session

    sessions.create = create_and_close  # type: ignore[assignment,method-assign]
    assert (await post(endpoint, offers.CHROME_RECVONLY)).status == 503
    assert len(endpoint) == 0


# Channels


CHANNELS = EndpointSettings("/whep", channels=lambda: ("main", "jazz"))


@pytest.mark.parametrize(
    ("path", "channel"),
    [
        *(("/whep", "main"), ("/whep/", "main"), ("/whep/main", "main")),
        *(("/whep/jazz", "jazz"), ("/whep/%6Aazz", "jazz")),
    ],
)
async def test_path_names_the_channel(path: str, channel: str, sessions: FakeSessions) -> None:
    """The session's URL is below the endpoint, not below the channel."""
    endpoint = make_endpoint(sessions, settings=CHANNELS)
    response = await post(endpoint, offers.CHROME_RECVONLY, path)
    assert (response.status, sessions.channels) == (201, [channel])
    assert re.fullmatch(r"/whep/[A-Za-z0-9_-]{24}", urljoin(path, header(response, "Location")))
    assert (await ask(endpoint, "GET", path)).status == 200
    assert header(await ask(endpoint, "OPTIONS", path), "Allow") == "OPTIONS, GET, HEAD, POST"
    assert (await ask(endpoint, "DELETE", urljoin(path, header(response, "Location")))).status == 200


@pytest.mark.parametrize(
    "path", ["/whep/pop", "/whep/jazz/", "/whep/Jazz", "/whep/jazz/pop", "/whep/%256aazz", "/whep/%", "/whep/."]
)
async def test_unknown_channel_is_404_with_those_that_exist(path: str, sessions: FakeSessions) -> None:
    response = await post(make_endpoint(sessions, settings=CHANNELS), offers.CHROME_RECVONLY, path)
    assert response.status == 404
    assert "main, jazz" in str(problem(response)["detail"])
    assert sessions.asked == []


@pytest.mark.parametrize(("path", "allow"), [("/whep/jazz", "OPTIONS, GET, HEAD, POST"), ("/whip/jazz", None)])
async def test_methods_of_a_channel_are_those_of_the_endpoint(
    path: str, allow: str | None, sessions: FakeSessions
) -> None:
    """A WHIP endpoint has no channels, only sessions."""
    settings = CHANNELS if path.startswith("/whep") else EndpointSettings("/whip")
    response = await ask(make_endpoint(sessions, settings=settings), "DELETE", path)
    assert response.status == (405 if allow else 404)
    if allow:
        assert header(response, "Allow") == allow


async def test_post_to_a_session_is_not_one_to_a_channel(sessions: FakeSessions) -> None:
    endpoint = make_endpoint(sessions, settings=CHANNELS)
    location = header(await post(endpoint, offers.CHROME_RECVONLY), "Location")
    assert (await post(endpoint, offers.CHROME_RECVONLY, f"/{location}")).status == 405


async def test_channel_requires_the_token_and_is_asked_for_admission(sessions: FakeSessions) -> None:
    asked: list[PeerRequest] = []

    async def admit(request: PeerRequest) -> bool:
        asked.append(request)
        return True

    settings = EndpointSettings("/whep", TokenPolicy("sesame"), channels=lambda: ("main", "jazz"))
    endpoint = Endpoint("player", settings, sessions, admit)
    assert (await post(endpoint, offers.CHROME_RECVONLY, "/whep/jazz")).status == 401
    assert (await post(endpoint, offers.CHROME_RECVONLY, "/whep/jazz", Authorization="Bearer sesame")).status == 201
    assert [request.channel for request in asked] == ["jazz"]


# Admission


async def admitted(verdict: bool | str) -> tuple[Response, list[PeerRequest], FakeSessions]:
    asked: list[PeerRequest] = []

    async def admit(request: PeerRequest) -> bool | str:
        asked.append(request)
        return verdict

    sessions = FakeSessions()
    endpoint = Endpoint("player", EndpointSettings("/whep"), sessions, admit)
    response = await post(endpoint, offers.CHROME_RECVONLY, X_Name="Ann")
    return response, asked, sessions


async def test_admit_gets_the_request() -> None:
    response, asked, _ = await admitted(True)
    assert response.status == 201
    assert (asked[0].address, asked[0].kind, asked[0].headers["x-name"], asked[0].token) == (
        "192.0.2.7",
        "player",
        "Ann",
        None,
    )


@pytest.mark.parametrize(
    ("verdict", "detail"), [(False, "You may not connect here."), ("Members only", "Members only"), ("", None)]
)
async def test_admit_refuses_with_its_reason(verdict: bool | str, detail: str | None) -> None:
    response, _, sessions = await admitted(verdict)
    assert response.status == 403
    assert detail is None or problem(response)["detail"] == detail
    assert not sessions.asked


# End of a session


@covers("WS56")
async def test_deleting_twice_gives_200_then_404(endpoint: Endpoint, sessions: FakeSessions) -> None:
    """OBS and MediaMTX accept only 200."""
    location = header(await post(endpoint, offers.CHROME_RECVONLY), "Location")
    assert (await ask(endpoint, "DELETE", location)).status == 200
    assert sessions.made[0].closed
    assert (await ask(endpoint, "DELETE", location)).status == 404
    assert len(endpoint) == 0


@covers("WS22")
@pytest.mark.parametrize("if_match", ['"wrong"', "*", "nonsense"])
async def test_delete_ignores_if_match(endpoint: Endpoint, if_match: str) -> None:
    location = header(await post(endpoint, offers.CHROME_RECVONLY), "Location")
    assert (await ask(endpoint, "DELETE", location, headers={"If-Match": if_match})).status == 200


@covers("WS55")
@pytest.mark.parametrize("is_forgotten", [True, False])
async def test_session_that_ended_by_itself_is_404_but_for_one_delete(
    endpoint: Endpoint, sessions: FakeSessions, is_forgotten: bool
) -> None:
    """After consent expiry or close_notify, whether or not ``forget`` was called yet.

    OBS, which closes DTLS first, warns if its DELETE gets anything but 200.
    """
    location = header(await post(endpoint, offers.CHROME_RECVONLY), "Location")
    await sessions.made[0].close()
    if is_forgotten:
        endpoint.forget(sessions.made[0])
        endpoint.forget(sessions.made[0])
        assert len(endpoint) == 0
    for method, status in (("PATCH", 404), ("GET", 404), ("OPTIONS", 204), ("DELETE", 200), ("DELETE", 404)):
        assert (await ask(endpoint, method, location)).status == status
    assert len(endpoint) == 0


@covers("WS55")
async def test_ended_sessions_are_remembered_for_a_minute_and_up_to_a_number(
    endpoint: Endpoint, sessions: FakeSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0
    monkeypatch.setattr(time, "perf_counter", lambda: now_s)
    locations = [header(await post(endpoint, offers.CHROME_RECVONLY), "Location") for _ in range(1005)]
    for number, session in enumerate(sessions.made):
        now_s = min(number, 30)
        endpoint.forget(session)
    assert (await ask(endpoint, "DELETE", locations[4])).status == 404, "more than a thousand"
    assert (await ask(endpoint, "DELETE", locations[5])).status == 200
    now_s = 70
    assert (await ask(endpoint, "DELETE", locations[9])).status == 404, "longer ago than a minute"
    assert (await ask(endpoint, "DELETE", locations[10])).status == 200


async def test_client_is_told_for_a_minute_why_its_session_has_ended(
    sessions: FakeSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not after its own DELETE."""
    now_s = 0
    monkeypatch.setattr(time, "perf_counter", lambda: now_s)
    settings = EndpointSettings("/whep", ending=lambda _session: "the show is over")
    endpoint = Endpoint("player", settings, sessions)
    first, second = [header(await post(endpoint, offers.CHROME_RECVONLY), "Location") for _ in range(2)]
    await sessions.made[0].close()
    for _ in range(2):
        answer = await ask(endpoint, "GET", first)
        assert (answer.status, b"the show is over" in answer.body) == (410, True)
    assert (await ask(endpoint, "PATCH", first)).status == 404
    assert (await ask(endpoint, "DELETE", second)).status == 200
    assert (await ask(endpoint, "GET", second)).status == 404
    now_s = 61
    assert (await ask(endpoint, "GET", first)).status == 404


async def test_forgetting_an_unknown_session_does_nothing(endpoint: Endpoint) -> None:
    await post(endpoint, offers.CHROME_RECVONLY)
    endpoint.forget(object())
    assert len(endpoint) == 1


@covers("SE63")
async def test_session_is_not_found_under_another_endpoint(sessions: FakeSessions) -> None:
    players, publishers = make_endpoint(sessions), make_endpoint(sessions, "publisher")
    location = header(await post(players, offers.CHROME_RECVONLY), "Location")
    assert (await ask(publishers, "DELETE", location.replace("/whep/", "/whip/"))).status == 404
    assert not sessions.made[0].closed


@covers("SE65")
@pytest.mark.parametrize(
    "path",
    ["/whep/unknown", "/whep/../whep", "/whep/%2e%2e", "/whep/a%2fb", "/whep//", "/whep/" + "a" * 8192, "/whep/ü"],
)
async def test_unknown_sessions_are_404(endpoint: Endpoint, path: str) -> None:
    await post(endpoint, offers.CHROME_RECVONLY)
    assert (await ask(endpoint, "DELETE", path)).status == 404


@covers("SE61")
async def test_a_thousand_sessions_leave_no_entry_and_no_task(sessions: FakeSessions) -> None:
    endpoint = make_endpoint(sessions, "publisher", EndpointSettings("/whip"))
    before = len(asyncio.all_tasks())
    for _ in range(1000):
        response = await post(endpoint, offers.RFC_STYLE, "/whip")
        await ask(endpoint, "DELETE", header(response, "Location"))
    assert len(endpoint) == 0
    assert len(asyncio.all_tasks()) == before
    assert all(session.closed for session in sessions.made)


# Methods


@covers("ES3")
async def test_get_of_a_player_endpoint_gives_its_type(endpoint: Endpoint) -> None:
    """HEAD and GET give the media type, without a body."""
    for method in ("GET", "HEAD"):
        response = await ask(endpoint, method)
        assert (response.status, response.body) == (200, b"")
        assert header(response, "Content-Type") == "application/sdp"


async def test_get_of_a_publisher_endpoint_has_no_content() -> None:
    """RFC 9725, 4.1."""
    for method in ("GET", "HEAD"):
        response = await ask(make_endpoint(kind="publisher"), method, "/whip")
        assert (response.status, response.body) == (204, b"")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/whep", "OPTIONS, GET, HEAD, POST"),
        ("PATCH", "/whep", "OPTIONS, GET, HEAD, POST"),
        ("DELETE", "/whep", "OPTIONS, GET, HEAD, POST"),
        ("TRACE", "/whep", "OPTIONS, GET, HEAD, POST"),
        ("POST", "/whep/x", "OPTIONS, GET, HEAD, PATCH, DELETE"),
        ("PUT", "/whep/x", "OPTIONS, GET, HEAD, PATCH, DELETE"),
    ],
)
async def test_methods_that_are_not_allowed_are_405(endpoint: Endpoint, method: str, path: str, allow: str) -> None:
    """With Allow; the response does not reveal whether the session exists."""
    response = await ask(endpoint, method, path)
    assert response.status == 405
    assert header(response, "Allow") == allow


@pytest.mark.parametrize("method", ["BREW", "post", "PROPFIND"])
async def test_unknown_methods_are_501(endpoint: Endpoint, method: str) -> None:
    """Methods are case-sensitive."""
    assert (await ask(endpoint, method)).status == 501


@pytest.mark.parametrize(
    ("path", "expected"), [("/whep", True), ("/whep/", True), ("/whep/x", True), ("/whepx", False)]
)
def test_endpoint_serves_its_path_and_paths_below(endpoint: Endpoint, path: str, expected: bool) -> None:
    assert endpoint.serves(path) is expected


@covers("SE62")
def test_repr_shows_no_secret() -> None:
    """It may appear in a log or a traceback."""
    request = PeerRequest("192.0.2.7", "player", {"authorization": "Bearer sesame"}, "sesame")
    assert "sesame" not in repr(request)
    assert "sesame" not in repr(EndpointSettings("/whep", ice_links=functools.partial(tuple, ["sesame"])))
    server = IceServer("turn:h", "u", "sesame")
    assert "sesame" not in repr(ServerConfig(visitor_ice_servers=(server,), turn_secret="sesame"))


# Any request


@covers("SE70")
@settings(max_examples=60, deadline=None)
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT", "X"]),
    path=st.one_of(st.just("/whep"), st.text(max_size=40).map(lambda text: f"/whep/{text}")),
    headers=st.dictionaries(
        st.sampled_from(["Content-Type", "If-Match", "Authorization", "Origin", "Access-Control-Request-Method"]),
        st.one_of(
            st.text(max_size=60), st.sampled_from(["application/sdp", "application/trickle-ice-sdpfrag", "*", '"*"'])
        ),
    ),
    body=st.one_of(st.binary(max_size=200), st.sampled_from([offers.CHROME_RECVONLY.encode(), b"a=x"])),
)
async def test_no_request_causes_an_internal_error(
    method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    endpoint = make_endpoint()
    location = header(await post(endpoint, offers.CHROME_RECVONLY), "Location")
    for target in (path, location):
        response = await ask(endpoint, method, target, body, headers=headers)
        assert 200 <= response.status < 600
        assert response.status != 500


@covers("ES22")
async def test_patch_with_sdp_is_refused(endpoint: Endpoint) -> None:
    """It would answer a counter-offer, and the server makes none."""
    location = header(await post(endpoint, offers.CHROME_RECVONLY), "Location")
    response = await ask(
        endpoint, "PATCH", location, offers.CHROME_RECVONLY, headers={"Content-Type": "application/sdp"}
    )
    assert response.status == 415
    assert header(response, "Accept-Patch") == "application/trickle-ice-sdpfrag"
    assert (await patch(endpoint, location, offers.END_OF_CANDIDATES_FRAGMENT, "*")).status == 204


# Bounds


async def test_full_server_refuses_before_it_reads_the_offer(sessions: FakeSessions) -> None:
    """A flood of offers costs no parsing."""
    endpoint = make_endpoint(sessions)
    sessions.full = PeerLimitError("5 peers are connected, which is the limit (max_peers)")
    assert (await post(endpoint, "no SDP at all")).status == 503
    sessions.full = SignalingError(429, "/whep", "3 peers from your address are connected or connecting")
    assert (await post(endpoint, "no SDP at all")).status == 429
    assert not sessions.asked


async def test_requests_that_wait_for_admission_are_bounded(sessions: FakeSessions) -> None:
    """A client may disconnect and request again while ``admit`` has not returned."""
    gate = asyncio.Event()

    async def admit(_request: PeerRequest) -> bool:
        await gate.wait()
        return True

    endpoint = Endpoint("player", EndpointSettings("/whep"), sessions, admit)

    def ask_from(remote: str) -> asyncio.Task[Response]:
        headers = {"Content-Type": "application/sdp"}
        return asyncio.create_task(ask(endpoint, "POST", body=offers.CHROME_RECVONLY, headers=headers, remote=remote))

    first = [ask_from("192.0.2.7") for _ in range(60)]
    second = [ask_from("192.0.2.8") for _ in range(60)]
    third = [ask_from("192.0.2.9")]
    for _ in range(3):
        await asyncio.sleep(0)
    gate.set()
    statuses = [[(await task).status for task in tasks] for tasks in (first, second, third)]
    assert [found.count(201) for found in statuses] == [50, 50, 0]
    assert {status for found in statuses for status in found} == {201, 503}
    assert (await ask_from("192.0.2.9")).status == 201
