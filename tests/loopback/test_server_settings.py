"""Effects of ``ServerConfig`` settings on HTTP requests."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import urlsplit

import pytest

import bass_webrtc as bw
from support import http_asking
from support.conformance import covers
from support.driving import connect
from support.http_asking import Reply, ask
from support.player import Certificate, Player

PLAYER, PUBLISHER = {"Authorization": "Bearer for-players"}, {"Authorization": "Bearer for-publishers"}
BOTH = {"Authorization": "Bearer for-both"}
TWO_TOKENS = {"play_token": "for-players", "publish_token": "for-publishers"}
THREE_TOKENS = {"token": "for-both", **TWO_TOKENS}


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
        ({"token": "for-both"}, "POST", "/whep", {}, 401),
        ({"token": "for-both"}, "POST", "/whep", BOTH, 201),
        ({"token": "for-both"}, "POST", "/whip", BOTH, 201),
        (TWO_TOKENS, "POST", "/whep", {}, 401),
        (TWO_TOKENS, "POST", "/whep", PLAYER, 201),
        (TWO_TOKENS, "POST", "/whep", PUBLISHER, 403),
        (TWO_TOKENS, "POST", "/whip", PUBLISHER, 201),
        (TWO_TOKENS, "POST", "/whip", PLAYER, 403),
        ({"publish_token": "for-publishers"}, "POST", "/whep", {}, 201),
        ({"publish_token": "for-publishers"}, "POST", "/whip", {}, 401),
        # Statistics show addresses.
        ({}, "GET", "/metrics", {}, 200),
        ({"token": "for-both"}, "GET", "/api/stats", {}, 401),
        (THREE_TOKENS, "GET", "/api/stats", BOTH, 200),
        (THREE_TOKENS, "GET", "/api/stats", PLAYER, 401),
        (TWO_TOKENS, "GET", "/api/stats", {}, 401),
        (TWO_TOKENS, "GET", "/metrics", {}, 401),
        (TWO_TOKENS, "GET", "/api/stats", PLAYER, 200),
        (TWO_TOKENS, "GET", "/metrics", PUBLISHER, 200),
        ({"play_token": "for-players"}, "GET", "/api/stats", {}, 401),
        ({"publish_token": "for-publishers"}, "GET", "/metrics", {}, 401),
        ({"publish_token": "for-publishers"}, "GET", "/metrics", PUBLISHER, 200),
        (THREE_TOKENS, "GET", "/healthz", {}, 200),
        # SE64: DNS rebinding, a foreign host name that resolves to our address.
        ({}, "GET", "/", {"Host": "evil.example"}, 421),
        ({"allowed_hosts": ("*",)}, "GET", "/", {"Host": "evil.example"}, 200),
        ({"allowed_hosts": ("Radio.example",)}, "GET", "/", {"Host": "evil.example"}, 421),
        ({"allowed_hosts": ("Radio.example",)}, "POST", "/whep", {"Host": "evil.example"}, 421),
        ({"allowed_hosts": ("Radio.example",)}, "GET", "/", {"Host": "radio.example:8080"}, 200),
        ({"allowed_hosts": ("Radio.example",)}, "GET", "/", {}, 200),
    ],
)
def test_setting_decides_the_status(
    config: dict[str, Any], method: str, path: str, headers: dict[str, str], status: int
) -> None:
    with serve(config) as server:
        server.start()
        assert send(server.url, method, path, headers).status == status


@pytest.mark.parametrize(("strict_http", "status"), [(False, 204), (True, 428)])
def test_strict_http_requires_if_match(strict_http: bool, status: int) -> None:
    """Without strict_http the ICE credentials in the fragment identify the session."""
    with serve({"strict_http": strict_http}) as server:
        server.start()
        offer = http_asking.offer()
        made = ask(server.url, "POST", "/whep", offer, {"Content-Type": "application/sdp"})
        lines = [line for line in offer.splitlines() if line.startswith(("a=ice-ufrag", "a=ice-pwd"))]
        fragment = "\r\n".join([*lines, "m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", "a=end-of-candidates", ""])
        patch_type = {"Content-Type": "application/trickle-ice-sdpfrag"}
        assert ask(server.url, "PATCH", made.headers["Location"], fragment, patch_type).status == status


@pytest.mark.parametrize(("strict_http", "status"), [(False, 201), (True, 422)])
def test_strict_http_refuses_publishers_with_video(strict_http: bool, status: int) -> None:
    video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sendonly\r\na=rtpmap:96 VP8/90000\r\n"
    with serve({"strict_http": strict_http}) as server:
        server.start()
        made = ask(
            server.url, "POST", "/whip", http_asking.offer("sendonly") + video, {"Content-Type": "application/sdp"}
        )
    assert made.status == status


@pytest.mark.parametrize("strict_http", [False, True])
def test_players_that_allow_less_than_is_sent_are_warned_unless_strict(strict_http: bool) -> None:
    """Every Opus decoder plays the one stream that all get; libdatachannel allows 96 kbit/s if nobody changes it."""
    limits = {
        "b=AS:50": "at most 50000 bit/s; this server sends 128000",
        "b=TIAS:64000": "at most 64000 bit/s",
        "a=fmtp:111 maxaveragebitrate=64000": "at most 64000 bit/s",
        "a=fmtp:111 minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1": "at most 96000 bit/s",
        "a=fmtp:111 stereo=0": "mono; this server sends stereo",
        "a=maxptime:10": "at most 10 ms per packet; this server sends 20 ms",
    }
    base = "".join(line for line in http_asking.offer().splitlines(keepends=True) if not line.startswith("a=fmtp"))
    config = {"strict_http": strict_http, "max_peers": 20, "max_peers_per_address": 20}
    with serve(config) as server:
        server.start()
        for line, expected in limits.items():
            offer = base.replace("a=rtpmap:111", f"{line}\r\na=rtpmap:111") if line[0] == "a" else base + f"{line}\r\n"
            made = ask(server.url, "POST", "/whep", offer, {"Content-Type": "application/sdp"})
            assert made.status == (422 if strict_http else 201), line
            assert expected in (made.body if strict_http else made.headers["Warning"])
        assert [
            expected in peer.stats().exceeded_limits
            for peer, expected in zip(server.peers, limits.values(), strict=False)
        ] == ([] if strict_http else [True] * len(limits))
        unlimited = ask(server.url, "POST", "/whep", base, {"Content-Type": "application/sdp"})
        assert (unlimited.status, unlimited.headers["Warning"]) == (201, None)


def test_limits_are_compared_with_the_bitrate_that_was_set_last() -> None:
    with serve({"strict_http": True}) as server:
        server.start()
        offer = http_asking.offer() + "b=AS:50\r\n"
        server.set_bitrate(48)
        assert ask(server.url, "POST", "/whep", offer, {"Content-Type": "application/sdp"}).status == 201
        server.set_bitrate(64)
        refused = ask(server.url, "POST", "/whep", offer, {"Content-Type": "application/sdp"})
        assert "at most 50000 bit/s; this server sends 64000" in refused.body


@pytest.mark.parametrize(("required", "status"), [(False, 200), (True, 401)])
def test_session_requests_require_the_token_if_configured(required: bool, status: int) -> None:
    with serve({"token": "for-both", "require_token_on_sessions": required}) as server:
        server.start()
        location = http_asking.post(server.url, "/whep", BOTH).headers["Location"]
        assert ask(server.url, "DELETE", location).status == status
        assert ask(server.url, "DELETE", location, headers=BOTH).status == (200 if required else 404)


@covers("SE67")
@pytest.mark.parametrize(
    ("trusted_proxies", "address"),
    [((), "127.0.0.1"), (("127.0.0.0/8",), "203.0.113.5"), (("192.0.2.1",), "127.0.0.1")],
)
def test_forwarded_address_is_accepted_only_from_a_trusted_proxy(
    trusted_proxies: tuple[str, ...], address: str
) -> None:
    requests: list[bw.PeerRequest] = []

    def admit(request: bw.PeerRequest) -> bool:
        requests.append(request)
        return True

    with serve({"trusted_proxies": trusted_proxies}) as server:
        server.admit = admit
        server.start()
        assert http_asking.post(server.url, headers={"X-Forwarded-For": "203.0.113.5"}).status == 201
    assert [request.address for request in requests] == [address]


def forwarded_for(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


@covers("SE61")
def test_one_address_cannot_occupy_every_slot() -> None:
    """One address (IPv6: one /64) gets half of the slots, rounded up; the last one is for an address without any."""
    with serve({"trusted_proxies": ("127.0.0.1",), "max_peers": 5}) as server:
        server.start()
        same_network = ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:1::", "2001:db8::4"]
        replies = [http_asking.post(server.url, headers=forwarded_for(address)) for address in same_network]
        assert [reply.status for reply in replies] == [201, 201, 201, 429]
        assert int(replies[3].headers["Retry-After"]) > 0
        assert "2001" not in replies[3].body
        assert http_asking.post(server.url, headers=forwarded_for("203.0.113.1")).status == 201
        refused = http_asking.post(server.url, headers=forwarded_for("203.0.113.1"))
        assert (refused.status, refused.headers["Retry-After"]) == (429, "5")
        assert ask(server.url, "DELETE", replies[0].headers["Location"]).status == 200
        assert http_asking.post(server.url, headers=forwarded_for("2001:db8::4")).status == 201


def test_place_of_a_listener_that_has_left_can_be_taken_at_once() -> None:
    """Also before the audio threads have released its slot: the page ends a session to open one of another channel."""
    config = bw.ServerConfig(http_port=0, udp_port=0, max_peers=1, frame_ms=60)
    offer = http_asking.offer()
    with bw.Server(bw.Tone(), config) as server:
        server.start()
        connection = http.client.HTTPConnection(server.url.split("/")[2], timeout=20)

        def request(method: str, path: str, body: str | None = None) -> http.client.HTTPResponse:
            connection.request(method, path, body, {"Content-Type": "application/sdp"})
            response = connection.getresponse()
            response.read()
            return response

        for _ in range(3):
            listener = Player(Certificate())
            connect(listener, f"{server.url}whep")
            assert request("DELETE", urlsplit(listener.session_url).path).status == 200
            made = request("POST", "/whep", offer)
            assert made.status == 201
            assert request("POST", "/whep", offer).status == 503
            assert request("DELETE", f"/{made.headers['Location']}").status == 200
        connection.close()
