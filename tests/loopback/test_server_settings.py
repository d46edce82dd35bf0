"""Settings of a server, as they are felt over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

import bass_webrtc as bw
from support import http_asking
from support.http_asking import Reply, ask

PLAYER, PUBLISHER = {"Authorization": "Bearer for-players"}, {"Authorization": "Bearer for-publishers"}
EVERYBODY = {"Authorization": "Bearer for-everybody"}
TWO_TOKENS = {"play_token": "for-players", "publish_token": "for-publishers"}
THREE_TOKENS = {"token": "for-everybody", **TWO_TOKENS}


def serve(config: dict[str, Any]) -> bw.Server:
    return bw.Server(bw.Tone(), bw.ServerConfig(http_port=0, udp_port=0, **config))


def send(url: str, method: str, path: str, headers: dict[str, str]) -> Reply:
    return http_asking.post(url, path, headers) if method == "POST" else ask(url, method, path, headers=headers)


@pytest.mark.parametrize(
    ("config", "method", "path", "headers", "status"),
    [
        ({}, "GET", "/", {}, 200),
        ({}, "POST", "/whep", {}, 201),
        ({}, "POST", "/whip", {}, 201),
        ({"demo_page": False}, "GET", "/", {}, 404),
        ({"demo_page": False}, "POST", "/whep", {}, 201),
        ({"signaling_mode": "whep"}, "POST", "/whep", {}, 201),
        ({"signaling_mode": "whep"}, "POST", "/whip", {}, 404),
        ({"signaling_mode": "whep"}, "GET", "/", {}, 404),
        ({"signaling_mode": "whip"}, "POST", "/whip", {}, 201),
        ({"signaling_mode": "whip"}, "POST", "/whep", {}, 404),
        ({"signaling_mode": "whip"}, "GET", "/", {}, 404),
        ({"signaling_mode": "whip"}, "GET", "/api/stats", {}, 200),
        ({"token": "for-everybody"}, "POST", "/whep", {}, 401),
        ({"token": "for-everybody"}, "POST", "/whep", EVERYBODY, 201),
        ({"token": "for-everybody"}, "POST", "/whip", EVERYBODY, 201),
        (TWO_TOKENS, "POST", "/whep", {}, 401),
        (TWO_TOKENS, "POST", "/whep", PLAYER, 201),
        (TWO_TOKENS, "POST", "/whep", PUBLISHER, 403),
        (TWO_TOKENS, "POST", "/whip", PUBLISHER, 201),
        (TWO_TOKENS, "POST", "/whip", PLAYER, 403),
        ({"publish_token": "for-publishers"}, "POST", "/whep", {}, 201),
        ({"publish_token": "for-publishers"}, "POST", "/whip", {}, 401),
        # Statistics show addresses.
        ({}, "GET", "/metrics", {}, 200),
        ({"token": "for-everybody"}, "GET", "/api/stats", {}, 401),
        (THREE_TOKENS, "GET", "/api/stats", EVERYBODY, 200),
        (THREE_TOKENS, "GET", "/api/stats", PLAYER, 401),
        (TWO_TOKENS, "GET", "/api/stats", {}, 401),
        (TWO_TOKENS, "GET", "/metrics", {}, 401),
        (TWO_TOKENS, "GET", "/api/stats", PLAYER, 200),
        (TWO_TOKENS, "GET", "/metrics", PUBLISHER, 200),
        ({"play_token": "for-players"}, "GET", "/api/stats", {}, 401),
        ({"publish_token": "for-publishers"}, "GET", "/metrics", {}, 401),
        ({"publish_token": "for-publishers"}, "GET", "/metrics", PUBLISHER, 200),
        (THREE_TOKENS, "GET", "/healthz", {}, 200),
    ],
)
def test_what_is_answered(config: dict[str, Any], method: str, path: str, headers: dict[str, str], status: int) -> None:
    with serve(config) as server:
        server.start()
        assert send(server.url, method, path, headers).status == status


@pytest.mark.parametrize(("strict_http", "status"), [(False, 204), (True, 428)])
def test_strict_http_wants_if_match(strict_http: bool, status: int) -> None:
    """The fragment's credentials say which ICE session is meant, which is enough without it."""
    with serve({"strict_http": strict_http}) as server:
        server.start()
        offer = http_asking.offer()
        made = ask(server.url, "POST", "/whep", offer, {"Content-Type": "application/sdp"})
        lines = [line for line in offer.splitlines() if line.startswith(("a=ice-ufrag", "a=ice-pwd"))]
        fragment = "\r\n".join([*lines, "m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", "a=end-of-candidates", ""])
        patch_type = {"Content-Type": "application/trickle-ice-sdpfrag"}
        assert ask(server.url, "PATCH", made.headers["Location"], fragment, patch_type).status == status


@pytest.mark.parametrize(("asked", "status"), [(False, 200), (True, 401)])
def test_sessions_ask_for_the_token_where_that_is_wanted(asked: bool, status: int) -> None:
    with serve({"token": "for-everybody", "require_token_on_sessions": asked}) as server:
        server.start()
        location = http_asking.post(server.url, "/whep", EVERYBODY).headers["Location"]
        assert ask(server.url, "DELETE", location).status == status
        assert ask(server.url, "DELETE", location, headers=EVERYBODY).status == (200 if asked else 404)
