"""Which requests a token admits, and how invalid tokens are refused."""

from __future__ import annotations

import base64
import logging

import offers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.signaling.messages import Headers, Refused, Request
from bass_webrtc.signaling.server.auth import TokenPolicy
from bass_webrtc.signaling.server.endpoint import Endpoint, EndpointSettings
from bass_webrtc.signaling.server.sessions import PeerRequest
from support.conformance import covers
from support.signaling import FakeSessions, ask, header, patch, post

TOKEN = "sesame-42"
SECRETS = (TOKEN, "for-publishers")
POLICY = TokenPolicy(TOKEN, other_tokens=("for-publishers",))


def make_endpoint(
    tokens: TokenPolicy = POLICY, *, sessions: FakeSessions | None = None, on_sessions: bool = False
) -> Endpoint:
    settings = EndpointSettings("/whep", tokens=tokens, require_token_on_sessions=on_sessions)
    return Endpoint("player", settings, sessions or FakeSessions())


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@covers("WS50")
@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER  {TOKEN} "])
async def test_correct_token_is_accepted(authorization: str) -> None:
    """The scheme is case-insensitive."""
    assert (await post(make_endpoint(), offers.CHROME_RECVONLY, Authorization=authorization)).status == 201


@covers("WS50")
@pytest.mark.parametrize("authorization", ["Bearer", "Bearer ", "bearer", "Bearer any"])
async def test_open_server_accepts_an_empty_token(authorization: str) -> None:
    """Some encoders send it if the user gives no key."""
    asked: list[str | None] = []

    async def admit(request: PeerRequest) -> bool:
        asked.append(request.token)
        return True

    endpoint = Endpoint("player", EndpointSettings("/whep", tokens=TokenPolicy()), FakeSessions(), admit)
    assert (await post(endpoint, offers.CHROME_RECVONLY, Authorization=authorization)).status == 201
    assert asked == ["any" if authorization == "Bearer any" else None]


@pytest.mark.parametrize(
    ("authorization", "status", "error"),
    [
        (None, 401, None),
        ("Digest x", 401, None),
        (TOKEN, 401, None),  # Eyevinn's player sends the token without a scheme.
        ("Basic " + TOKEN, 401, None),  # Not enabled.
        ("Bearer wrong", 401, "invalid_token"),
        (f"Bearer {TOKEN}x", 401, "invalid_token"),
        (f"Bearer {TOKEN[:-1]}", 401, "invalid_token"),
        ("Bearer ä\udcff", 401, "invalid_token"),
        ("Bearer for-publishers", 403, "insufficient_scope"),
        ("Bearer", 400, "invalid_request"),
        ("Bearer a b", 400, "invalid_request"),
    ],
)
async def test_other_credentials_are_refused_with_a_challenge(
    authorization: str | None, status: int, error: str | None
) -> None:
    """RFC 6750, 3.1: 401, 403 or 400; no error code if there was no token."""
    headers = {} if authorization is None else {"Authorization": authorization}
    response = await post(make_endpoint(), offers.CHROME_RECVONLY, **headers)
    assert response.status == status
    challenge = header(response, "WWW-Authenticate")
    assert challenge.startswith("Bearer realm=")
    assert (f'error="{error}"' in challenge) if error else ("error=" not in challenge)


@covers("SE62")
async def test_token_is_checked_first() -> None:
    """Before the media type, the description and the source, so that nothing can be probed without a token."""
    sessions = FakeSessions()
    endpoint = make_endpoint(sessions=sessions)
    for body, content_type in ((b"nonsense", "application/sdp"), (b"", "text/plain")):
        assert (await post(endpoint, body, Content_Type=content_type)).status == 401
    assert not sessions.asked


@covers("SE62")
@pytest.mark.parametrize("name", ["jazz", "pop"])
async def test_names_of_the_channels_cannot_be_probed_without_a_token(name: str) -> None:
    settings = EndpointSettings("/whep", tokens=POLICY, channels=lambda: ("main", "jazz"))
    endpoint = Endpoint("player", settings, FakeSessions())
    refused = await post(endpoint, offers.CHROME_RECVONLY, path=f"/whep/{name}")
    assert refused.status == 401
    assert b"jazz" not in refused.body
    assert (await ask(endpoint, "GET", f"/whep/{name}")).status == 404
    assert header(await ask(endpoint, "OPTIONS", f"/whep/{name}"), "Allow") == "OPTIONS, GET, HEAD, PATCH, DELETE"
    assert header(await ask(endpoint, "PUT", f"/whep/{name}"), "Allow") == "OPTIONS, GET, HEAD, PATCH, DELETE"
    answer = await post(endpoint, offers.CHROME_RECVONLY, path=f"/whep/{name}", Authorization=f"Bearer {TOKEN}")
    assert answer.status == (201 if name == "jazz" else 404)


async def test_without_a_configured_token_every_request_is_accepted() -> None:
    assert (await post(make_endpoint(TokenPolicy()), offers.CHROME_RECVONLY, Authorization="Bearer a b")).status == 201


@covers("SE62")
@pytest.mark.parametrize(("on_sessions", "status"), [(False, 404), (True, 401)])
async def test_session_urls_require_the_token_only_if_configured(on_sessions: bool, status: int) -> None:
    """If so, 401 comes before 404."""
    endpoint = make_endpoint(on_sessions=on_sessions)
    assert (await ask(endpoint, "DELETE", "/whep/unknown")).status == status
    assert (await patch(endpoint, "/whep/unknown", b"")).status == status


async def test_session_is_deleted_with_the_token_if_it_is_required() -> None:
    endpoint = make_endpoint(on_sessions=True)
    authorization = {"Authorization": f"Bearer {TOKEN}"}
    location = header(await post(endpoint, offers.CHROME_RECVONLY, **authorization), "Location")
    assert (await ask(endpoint, "DELETE", location)).status == 401
    assert (await ask(endpoint, "DELETE", location, headers=authorization)).status == 200


async def test_session_that_ended_is_deleted_with_the_token_if_it_is_required() -> None:
    sessions = FakeSessions()
    endpoint = make_endpoint(on_sessions=True, sessions=sessions)
    authorization = {"Authorization": f"Bearer {TOKEN}"}
    location = header(await post(endpoint, offers.CHROME_RECVONLY, **authorization), "Location")
    endpoint.forget(sessions.made[0])
    assert (await ask(endpoint, "DELETE", location)).status == 401
    assert (await ask(endpoint, "DELETE", location, headers=authorization)).status == 200


@covers("WS50")
@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (basic(f"anybody:{TOKEN}"), 201),
        (basic(f":{TOKEN}"), 201),
        (basic("anybody:wrong"), 401),
        (basic("no colon"), 400),
        ("Basic ====", 400),
        ("Basic /w==", 400),  # not UTF-8
        (f"Bearer {TOKEN}", 201),
    ],
)
async def test_token_as_password_of_basic_authentication(authorization: str, status: int) -> None:
    """If enabled."""
    endpoint = make_endpoint(TokenPolicy(TOKEN, allow_basic=True))
    response = await post(endpoint, offers.CHROME_RECVONLY, Authorization=authorization)
    assert response.status == status
    if status == 401:
        assert [value.split()[0] for name, value in response.headers if name == "WWW-Authenticate"] == [
            "Bearer",
            "Basic",
        ]


@covers("WS50")
@pytest.mark.parametrize(
    ("query", "allowed", "status"),
    [
        (f"token={TOKEN}", True, 201),
        (f"token={TOKEN}", False, 401),
        ("token=wrong", True, 401),
        ("x=1", True, 401),
        (f"token={TOKEN}&token=wrong", True, 400),
        ("&".join(["a=1"] * 2000), True, 401),
    ],
)
async def test_token_in_the_query(query: str, allowed: bool, status: int) -> None:
    """If enabled."""
    endpoint = make_endpoint(TokenPolicy(TOKEN, allow_query=allowed))
    response = await ask(
        endpoint, "POST", body=offers.CHROME_RECVONLY, headers={"Content-Type": "application/sdp"}, query=query
    )
    assert response.status == status


async def test_token_sent_twice_is_refused() -> None:
    """RFC 6750, 2: one method per request."""
    endpoint = make_endpoint(TokenPolicy(TOKEN, allow_query=True))
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {TOKEN}"}
    response = await ask(endpoint, "POST", body=offers.CHROME_RECVONLY, headers=headers, query=f"token={TOKEN}")
    assert response.status == 400


def test_two_authorization_fields_are_refused() -> None:
    request = Request("POST", "/whep", Headers([("Authorization", f"Bearer {TOKEN}"), ("authorization", "Digest x")]))
    with pytest.raises(Refused, match="400"):
        POLICY.check(request)


async def test_admit_gets_the_token() -> None:
    asked: list[PeerRequest] = []

    async def admit(request: PeerRequest) -> bool:
        asked.append(request)
        return True

    endpoint = Endpoint("player", EndpointSettings("/whep"), FakeSessions(), admit)
    assert (await post(endpoint, offers.CHROME_RECVONLY, Authorization="Bearer from-the-user")).status == 201
    assert asked[0].token == "from-the-user"


@pytest.mark.parametrize("authorization", ["Bearer a b", "Bearer a\tb"])
async def test_malformed_token_is_refused_before_admit(authorization: str) -> None:
    async def admit(_request: PeerRequest) -> bool:
        return True

    endpoint = Endpoint("player", EndpointSettings("/whep"), FakeSessions(), admit)
    assert (await post(endpoint, offers.CHROME_RECVONLY, Authorization=authorization)).status == 400


@covers("SE62")
async def test_logs_and_errors_contain_no_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """Neither accepted tokens nor others nor session URLs."""
    caplog.set_level(logging.DEBUG)
    sessions = FakeSessions()
    endpoint = make_endpoint(sessions=sessions)
    location = header(await post(endpoint, offers.CHROME_RECVONLY, Authorization=f"Bearer {TOKEN}"), "Location")
    sessions.made[0].failure = RuntimeError("bug")
    sessions.failure = RuntimeError("bug")
    responses = [
        await post(endpoint, offers.CHROME_RECVONLY, Authorization=f"Bearer {TOKEN}"),
        await post(endpoint, offers.CHROME_RECVONLY, Authorization="Bearer for-publishers"),
        await patch(endpoint, location, offers.RESTART_FRAGMENT, "*"),
        await patch(endpoint, location, offers.RESTART_FRAGMENT, '"x"'),
    ]
    assert [response.status for response in responses] == [500, 403, 500, 412]
    seen = caplog.text + "".join(str(response) for response in responses) + repr(POLICY)
    assert not [secret for secret in (*SECRETS, location) if secret in seen]


@covers("SE70")
@given(st.text(max_size=300), st.text(max_size=300))
def test_any_other_authorization_is_refused(authorization: str, query: str) -> None:
    policy = TokenPolicy(TOKEN, allow_basic=True, allow_query=True)
    request = Request("POST", "/whep", Headers([("Authorization", authorization)]), query=query)
    with pytest.raises(Refused):
        policy.check(request)
