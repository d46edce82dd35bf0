"""The OpenAPI document of the desk is complete, and its limits are those of the program."""

from __future__ import annotations

import json
from typing import Any

import bass_webrtc
from bass_webrtc.signaling.server import invites
from bass_webrtc.signaling.server.desk import CallChanges, Desk, DeskSettings
from support.desk_ends import SETTINGS, FakeCallBook, desk_end

DOCUMENT: dict[str, Any] = json.loads(Desk(SETTINGS, FakeCallBook())._openapi)
METHODS = ("get", "post", "patch", "delete")


def test_document_describes_exactly_the_paths_and_methods_that_exist() -> None:
    routes = {
        path + ("{id}" if path.endswith("/") else ""): {method.lower() for method in methods}
        for path, methods in Desk(SETTINGS, FakeCallBook())._routes.items()
    }
    assert {path: set(item) & set(METHODS) for path, item in DOCUMENT["paths"].items()} == routes


def test_document_has_the_version_and_the_public_url() -> None:
    assert DOCUMENT["info"]["version"] == bass_webrtc.__version__
    assert DOCUMENT["servers"] == [{"url": "/"}]
    desk = Desk(DeskSettings("token", "https://radio.example/live/"), FakeCallBook())
    assert json.loads(desk._openapi)["servers"] == [{"url": "https://radio.example/live"}]


async def test_document_needs_no_token_and_says_what_does() -> None:
    async with desk_end() as end:
        answer = await end.respond("GET", "/api/openapi.json")
        assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "application/json", DOCUMENT)
    assert DOCUMENT["security"] == [{"deskToken": []}]
    for path, item in DOCUMENT["paths"].items():
        for method in set(item) & set(METHODS):
            assert item[method].get("security") == ([] if path == "/api/openapi.json" else None)
            assert {"403", "429", "default"} <= set(item[method]["responses"])


def test_limits_of_invites_are_those_of_the_document() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    new = schemas["NewInvite"]["properties"]
    assert (new["uses"]["minimum"], new["uses"]["maximum"]) == (1, invites.MAX_USES)
    assert (new["expires_s"]["minimum"], new["expires_s"]["maximum"]) == (invites.MIN_EXPIRY_S, invites.MAX_EXPIRY_S)
    named = [one["properties"]["name"] for one in schemas.values() if "name" in one.get("properties", {})]
    assert {one["maxLength"] for one in named} == {invites.MAX_NAME}
    assert set(schemas["CallChanges"]["properties"]) == set(CallChanges.__slots__)
    made = invites.Invites(lambda: 0.0).create()
    assert (made.name, made.uses_left, made.expires_at) == tuple(new[name]["default"] for name in new)


def test_bodies_of_the_document_are_checked_completely() -> None:
    """``json_body.py`` does not understand other words of JSON Schema."""
    known = {"type", "enum", "minimum", "maximum", "maxLength", "default", "description"}
    for name in ("CallChanges", "DeskChanges", "NewInvite"):
        body = DOCUMENT["components"]["schemas"][name]
        assert set(body) <= {"type", "description", "properties", "required", "minProperties", "additionalProperties"}
        assert body["additionalProperties"] is False
        for member in body["properties"].values():
            assert set(member) <= known
