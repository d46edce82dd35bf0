"""The desk's API over HTTP: who may use it, what it answers, and that a refused request changes nothing."""

from __future__ import annotations

import contextlib
import json
import logging
import math
from typing import Any

import pytest
from http_ends import raw, status
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.errors import ConfigError
from bass_webrtc.signaling.messages import Forwarded, Headers, Refused, Request
from bass_webrtc.signaling.server import desk as module
from bass_webrtc.signaling.server import invites as invites_module
from bass_webrtc.signaling.server.desk import CallChanges, Desk, DeskSettings
from bass_webrtc.signaling.server.invites import Invite
from bass_webrtc.signaling.server.json_body import read_object
from bass_webrtc.stats import PeerStats
from support.desk_ends import (
    BAD_STATE,
    BEARER,
    DESK,
    NOT_RECORDABLE,
    SETTINGS,
    TOKEN,
    FakeCallBook,
    call_stats,
    desk_end,
)

PROTECTED = [
    ("GET", "/api/calls"),
    ("PATCH", "/api/calls/3"),
    ("DELETE", "/api/calls/3"),
    ("GET", "/api/desk"),
    ("PATCH", "/api/desk"),
    ("GET", "/api/invites"),
    ("POST", "/api/invites"),
    ("DELETE", "/api/invites/0123456789ab"),
    ("GET", "/api/events"),
]
BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "/api/calls/3"): {"state": "on_air"},
    ("PATCH", "/api/desk"): {"recording": True},
    ("POST", "/api/invites"): {},
}


def is_unchanged(book: FakeCallBook) -> bool:
    return not book.changes and not book.hung_up and book.state == DESK and not book.invites.required


# Calls


async def test_calls_are_listed_as_documented() -> None:
    peer = PeerStats(
        1,
        "sendrecv",
        "connected",
        1.0,
        packets_lost=-2,
        reports_received=3,
        fraction_lost=0.25,
        round_trip_time_ms=23.04,
        jitter_ms=1.26,
        jitter_buffer_ms=40.04,
        concealed_samples=4800,
    )
    calls = (call_stats(3), call_stats(4, "Ben", level_dbfs=-127.0, peer=peer), call_stats(5, level_dbfs=-math.inf))
    async with desk_end(FakeCallBook(*calls)) as end:
        code, listed, fields = await end.ask("GET", "/api/calls")
        assert (code, fields["Content-Type"], fields["Cache-Control"]) == (200, "application/json", "no-store")
        assert [call["id"] for call in listed] == [3, 4, 5]
        assert [call["level_dbfs"] for call in listed] == [-23.1, None, None]
        network = {"round_trip_ms": None, "fraction_lost": None, "packets_lost": 0, "jitter_ms": 1.2, "buffer_ms": 40.0}
        assert listed[0] == {
            "id": 3,
            "name": "Anna",
            "state": "waiting",
            "gain": 1.0,
            "muted": False,
            "talkback": False,
            "return_gain": 1.0,
            "level_dbfs": -23.1,
            "seconds": 12.3,
            "recording": False,
            "invite": "",
            "network": {**network, "concealed_s": 0.0, "bitrate_kbps": 128},
        }
        assert listed[1]["network"] == {
            "round_trip_ms": 23.0,
            "fraction_lost": 0.25,
            "packets_lost": -2,
            "jitter_ms": 1.3,
            "buffer_ms": 40.0,
            "concealed_s": 0.1,
            "bitrate_kbps": 128,
        }


async def test_call_is_changed_and_returned() -> None:
    wanted = {
        "state": "on_air",
        "gain": 4,
        "muted": True,
        "talkback": True,
        "return_gain": 0.5,
        "name": "Cleo <b>",
        "recording": True,
    }
    async with desk_end() as end:
        code, call, _ = await end.ask("PATCH", "/api/calls/3", wanted)
        assert (code, {name: call[name] for name in wanted}) == (200, wanted)
        assert end.book.changes == [(3, CallChanges("on_air", 4.0, True, True, 0.5, "Cleo <b>", True))]
        assert isinstance(end.book.changes[0][1].gain, float)
        code, call, _ = await end.ask("PATCH", "/api/calls/3", {"gain": 0})
        assert (code, call["gain"], call["state"]) == (200, 0.0, "on_air")
        assert end.book.changes[1][1] == CallChanges(gain=0.0)
        code, call, _ = await end.ask("PATCH", "/api/calls/3", {"name": "\u202e Anna\n\x00Lind "})
        assert (code, call["name"]) == (200, "Anna Lind"), "characters that change others are removed"


async def test_caller_is_hung_up() -> None:
    async with desk_end() as end:
        assert (await end.ask("DELETE", "/api/calls/3"))[0] == 204
        assert end.book.hung_up == [(3, "the producer hung up")]
        code, problem, _ = await end.ask("DELETE", "/api/calls/3")
        assert (code, problem["detail"]) == (404, "There is no call with this number, or it has ended.")


@pytest.mark.parametrize("item", ["5", "-3", "3x", "", "03x", "3/4", "..", "%33%00", "%D9%A3", "9" * 400, "3.0"])
async def test_unknown_call_is_not_found(item: str) -> None:
    async with desk_end() as end:
        for method in ("PATCH", "DELETE"):
            response = await end.respond(method, f"/api/calls/{item}", {"muted": True}, BEARER)
            assert response.status == 404
        assert is_unchanged(end.book)


@pytest.mark.parametrize(("failure", "code"), [(NOT_RECORDABLE, 409), (BAD_STATE, 422), (KeyError(3), 404)])
async def test_error_of_a_change_is_explained(failure: Exception, code: int) -> None:
    async with desk_end() as end:
        end.book.failure = failure
        found, problem, fields = await end.ask("PATCH", "/api/calls/3", {"recording": True})
        assert (found, fields["Content-Type"]) == (code, "application/problem+json")
        assert problem["detail"] == ("This call has ended." if code == 404 else str(failure))
        assert is_unchanged(end.book)


async def test_unexpected_error_reveals_nothing() -> None:
    async with desk_end() as end:
        end.book.failure = RuntimeError("inner details")
        code, problem, _ = await end.ask("PATCH", "/api/calls/3", {"muted": True})
        assert (code, problem["detail"]) == (500, "Internal server error.")


# The programme and the server


async def test_desk_is_described_and_its_recording_started() -> None:
    async with desk_end() as end:
        code, desk, _ = await end.ask("GET", "/api/desk")
        assert code == 200
        assert desk == {
            "programme_dbfs": -18.2,
            "producer_connected": False,
            "listeners": 3,
            "peak_listeners": 7,
            "history": [[1_790_000_000, 3], [1_790_000_060, 7]],
            "initial_state": "waiting",
            "invite_required": False,
            "recording": False,
            "can_record": True,
        }
        code, desk, _ = await end.ask("PATCH", "/api/desk", {"recording": True})
        assert (code, desk["recording"]) == (200, True)
        end.book.failure = NOT_RECORDABLE
        code, problem, _ = await end.ask("PATCH", "/api/desk", {"recording": False})
        assert (code, problem["detail"]) == (409, str(NOT_RECORDABLE))
        assert end.book.state.recording


# Invites


async def test_invite_is_made_listed_and_revoked() -> None:
    async with desk_end() as end:
        revoked: list[Invite] = []
        end.book.invites.on_revoked = revoked.append
        code, made, _ = await end.ask("POST", "/api/invites", {"name": " Anna\tLind", "uses": 2.0, "expires_s": 60})
        assert (code, made["name"], made["uses_left"]) == (201, "Anna Lind", 2)
        path, _, secret = made.pop("url").partition("=")
        assert path == "/call?invite"
        assert (await end.ask("GET", "/api/invites"))[:2] == (200, [made])
        assert end.book.invites.admit(secret).id == made["id"]
        assert (await end.ask("DELETE", f"/api/invites/{made['id']}"))[0] == 204
        assert [one.id for one in revoked] == [made["id"]]
        assert (await end.ask("GET", "/api/invites"))[1] == []
        with pytest.raises(Refused, match="410"):
            end.book.invites.admit(secret)
        assert (await end.ask("DELETE", f"/api/invites/{made['id']}"))[0] == 404


async def test_link_of_an_invite_begins_with_the_public_url() -> None:
    body, fields = b"{}", Headers([*BEARER.items(), ("Content-Type", "application/json")])
    request = Request("POST", "/api/invites", fields, body, forwarded=Forwarded("/radio"))
    for settings, expected in (
        (SETTINGS, "/radio/call?invite="),
        (DeskSettings(TOKEN, "https://radio.example/"), "https://radio.example/call?invite="),
    ):
        response = await Desk(settings, FakeCallBook()).respond(request)
        assert json.loads(response.body)["url"].startswith(expected)


async def test_thirty_invites_a_minute_can_be_made() -> None:
    now_s = 100.0
    async with desk_end(clock=lambda: now_s) as end:
        for _ in range(30):
            assert (await end.ask("POST", "/api/invites", {"uses": 0}))[0] == 422, "a refused one does not count"
            assert (await end.ask("POST", "/api/invites", {}))[0] == 201
            now_s += 1
        code, problem, fields = await end.ask("POST", "/api/invites", {})
        assert (code, fields["Retry-After"]) == (429, "30")
        assert problem["detail"].startswith("30 invites were made within a minute")
        assert len(end.book.invites.all()) == 30
        now_s += 30
        assert (await end.ask("POST", "/api/invites", {}))[0] == 201
        assert (await end.ask("POST", "/api/invites", {}))[0] == 429


async def test_too_many_invites_are_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invites_module, "MAX_INVITES", 1)
    async with desk_end() as end:
        assert (await end.ask("POST", "/api/invites", {}))[0] == 201
        code, problem, _ = await end.ask("POST", "/api/invites", {})
        assert (code, problem["detail"]) == (409, "1 invites are open, as many as possible; revoke one first")


# Bodies


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        (b"", 400, "not valid JSON"),
        (b"{", 400, "not valid JSON"),
        (b'{"gain": 1} x', 400, "not valid JSON"),
        (b"\xff\xfe{\x00}\x00", 400, "not valid JSON"),
        ("\ufeff{}".encode(), 400, "not valid JSON"),
        (b"[" * 4000, 400, "not valid JSON"),
        (b'{"gain": NaN}', 400, "NaN, which is not JSON"),
        (b'{"gain": -Infinity}', 400, "-Infinity, which is not JSON"),
        (b'{"gain": 1, "gain": 2}', 400, "occurs twice"),
        (b'{"name": "' + b"x" * 4096 + b'"}', 413, "larger than 4096 bytes"),
        (b"null", 422, "The body is null; expected an object"),
        (b"[]", 422, "The body is []; expected an object"),
        (b"{}", 422, "expected at least one of state, gain,"),
        (b'{"volume": 1}', 422, 'The member "volume" is unknown; expected only state, gain,'),
        (b'{"gain": 1, "Gain": 1}', 422, 'The member "Gain" is unknown'),
        (b'{"gain": true}', 422, 'The member "gain" is true; expected a number from 0 to 4.'),
        (b'{"gain": "1"}', 422, 'The member "gain" is "1"; expected a number from 0 to 4.'),
        (b'{"gain": null}', 422, 'The member "gain" is null;'),
        (b'{"gain": 4.01}', 422, 'The member "gain" is 4.01;'),
        (b'{"gain": -0.1}', 422, 'The member "gain" is -0.1;'),
        (b'{"gain": 1e999}', 422, 'The member "gain" is Infinity;'),
        (b'{"gain": ' + b"9" * 4000 + b"}", 422, "9…; expected a number from 0 to 4."),
        (b'{"muted": 1}', 422, 'The member "muted" is 1; expected true or false.'),
        (b'{"muted": "true"}', 422, 'The member "muted" is "true"; expected true or false.'),
        (b'{"state": "ended"}', 422, 'The member "state" is "ended"; expected one of waiting, on_air, private.'),
        (b'{"state": ["on_air"]}', 422, 'The member "state" is ["on_air"];'),
        (b'{"name": 5}', 422, 'The member "name" is 5; expected text of at most 60 characters.'),
        (b'{"name": "' + b"x" * 61 + b'"}', 422, "expected text of at most 60 characters."),
        (b'{"state": "on_air", "gain": 5}', 422, 'The member "gain" is 5;'),
    ],
)
async def test_wrong_body_is_refused_with_the_reason(body: bytes, code: int, detail: str) -> None:
    async with desk_end() as end:
        found, problem, fields = await end.ask("PATCH", "/api/calls/3", body)
        assert (found, fields["Content-Type"]) == (code, "application/problem+json")
        assert detail in problem["detail"]
        assert is_unchanged(end.book)


@pytest.mark.parametrize("member", ["uses", "expires_s"])
@pytest.mark.parametrize("value", [0, 0.5, 60.5, 10**9, True, "60", None])
async def test_wrong_number_for_an_invite_is_refused(member: str, value: object) -> None:
    async with desk_end() as end:
        code, problem, _ = await end.ask("POST", "/api/invites", {member: value})
        assert code == 422
        assert f'The member "{member}" is {json.dumps(value)}; expected a whole number from' in problem["detail"]
        assert is_unchanged(end.book)


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"Content-Type": "text/plain"}, "Content-Type must be application/json."),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "Content-Type must be application/json."),
        ({"Content-Type": "application/jsonx"}, "Content-Type must be application/json."),
        ({"Content-Encoding": "gzip"}, "The body must not be compressed."),
    ],
)
async def test_body_of_another_type_is_refused(fields: dict[str, str], detail: str) -> None:
    """A form of another site cannot send JSON."""
    async with desk_end() as end:
        code, problem, answered = await end.ask("PATCH", "/api/calls/3", b'{"muted": true}', **fields)
        assert (code, problem["detail"], answered["Accept-Patch"]) == (415, detail, "application/json")
        assert (await end.ask("PATCH", "/api/calls/3", b'{"muted": true}', Content_Type="text/json"))[0] == 415
        assert is_unchanged(end.book)
        charset = "Application/JSON; charset=utf-8"
        assert (await end.ask("PATCH", "/api/calls/3", b'{"muted": true}', Content_Type=charset))[0] == 200


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([*CallChanges.__slots__, "other"])


@given(st.one_of(st.binary(max_size=60), st.dictionaries(NAMES, VALUES).map(lambda value: json.dumps(value).encode())))
def test_any_body_gives_valid_changes_or_a_refusal(body: bytes) -> None:
    request = Request("PATCH", "/api/calls/3", Headers([("Content-Type", "application/json")]), body)
    changes = None
    with contextlib.suppress(Refused):
        changes = CallChanges(**read_object(request, module._SCHEMAS["CallChanges"]))
    if changes is None:
        return
    assert changes != CallChanges()
    for gain in (changes.gain, changes.return_gain):
        assert gain is None or (type(gain) is float and 0 <= gain <= 4)
    assert {type(changes.muted), type(changes.talkback), type(changes.recording)} <= {bool, type(None)}
    assert changes.state in (None, "waiting", "on_air", "private")
    assert changes.name is None or len(changes.name) <= 60


# Who may use it


@pytest.mark.parametrize(("method", "path"), PROTECTED)
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Bearer {TOKEN}x"}, 401),
        ({"Authorization": f"bearer {TOKEN[:-1]}"}, 401),
        ({"Authorization": "Bearer"}, 400),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Cookie": f"token={TOKEN}"}, 401),
    ],
)
async def test_every_request_needs_the_token(method: str, path: str, fields: dict[str, str], code: int) -> None:
    async with desk_end() as end:
        response = await end.respond(method, f"{path}?token={TOKEN}", BODIES.get((method, path)), fields)
        assert response.status == code
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert is_unchanged(end.book)
        assert not end.book.watchers


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"},
]


@pytest.mark.parametrize(("method", "path"), PROTECTED)
@pytest.mark.parametrize("fields", FOREIGN, ids=lambda fields: " ".join(fields.values()))
async def test_other_sites_may_not_use_it_even_with_the_token(
    method: str, path: str, fields: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with desk_end() as end:
        response = await end.respond(method, path, BODIES.get((method, path)), BEARER | fields)
        assert response.status == 403
        assert response.headers["Content-Type"] == "application/problem+json"
        assert "Access-Control-Allow-Origin" not in response.headers
        assert is_unchanged(end.book)
    refusals = [one.getMessage() for one in caplog.records if one.getMessage().startswith("refused ")]
    assert len(refusals) == 1, "logged once"
    assert refusals[0].startswith(f"refused {method} /api/… from 127.0.0.1: 403 ")
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
        {"Origin": "http://{host}", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://Radio.example"},
    ],
)
async def test_own_page_and_programs_may_use_it(fields: dict[str, str]) -> None:
    async with desk_end(settings=DeskSettings(TOKEN, "https://radio.example/desk/")) as end:
        host = f"127.0.0.1:{end.server.port}"
        fields = {name: value.format(host=host) for name, value in fields.items()}
        response = await end.respond("PATCH", "/api/calls/3", {"muted": True}, BEARER | fields)
        assert response.status == 200


async def test_preflight_of_another_site_is_refused() -> None:
    async with desk_end() as end:
        fields = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PATCH"}
        response = await end.respond("OPTIONS", "/api/calls/3", None, fields)
        assert response.status == 403
        assert not [name for name in response.headers if name.startswith("Access-Control")]


async def test_guessed_tokens_are_limited_and_logged_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with desk_end() as end:
        for number in range(100):
            response = await end.respond("GET", "/api/calls", None, {"Authorization": f"Bearer guess{number}"})
            assert response.status == 401
    lines = [one.getMessage() for one in caplog.records if one.getMessage().startswith("refused ")]
    assert 20 <= len(lines) < 40
    assert "guess" not in " ".join(lines)


# Paths and methods


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/calls", "OPTIONS, GET, HEAD"),
        ("/api/calls/3", "OPTIONS, PATCH, DELETE"),
        ("/api/desk", "OPTIONS, GET, HEAD, PATCH"),
        ("/api/events", "OPTIONS, GET, HEAD"),
        ("/api/invites", "OPTIONS, GET, HEAD, POST"),
        ("/api/invites/00", "OPTIONS, DELETE"),
        ("/api/openapi.json", "OPTIONS, GET, HEAD"),
    ],
)
async def test_only_documented_methods_are_allowed(path: str, allowed: str) -> None:
    async with desk_end() as end:
        response = await end.respond("OPTIONS", path)
        assert (response.status, response.headers["Allow"]) == (204, allowed)
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
            if method not in allowed.split(", "):
                response = await end.respond(method, path, None, BEARER)
                assert (response.status, response.headers["Allow"]) == (405, allowed), method
        assert is_unchanged(end.book)


@pytest.mark.parametrize("path", ["/api/calls", "/api/desk", "/api/invites", "/api/events", "/api/openapi.json"])
async def test_head_has_the_fields_of_get(path: str) -> None:
    async with desk_end() as end:
        fields = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
        response = await raw(end.server, f"HEAD {path} HTTP/1.1\r\n{fields}".encode())
        assert status(response) == 200
        assert response.endswith(b"\r\n\r\n"), "no body"
        assert not end.book.watchers


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/call", "/api/callsx", "/api/stats", "/desk", "/api/desk/", "/api/events/x"]
)
def test_other_paths_are_not_of_the_desk(path: str) -> None:
    assert not Desk(SETTINGS, FakeCallBook()).serves(path)


@pytest.mark.parametrize("settings", [DeskSettings(""), DeskSettings(TOKEN, "radio.example")])
def test_wrong_setting_is_refused(settings: DeskSettings) -> None:
    with pytest.raises(ConfigError):
        Desk(settings, FakeCallBook())
    assert TOKEN not in repr(settings)
