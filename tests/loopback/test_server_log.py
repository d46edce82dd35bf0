"""What a server logs about arrivals, departures and refusals."""

from __future__ import annotations

import logging

import pytest

import bass_webrtc as bw
from support import http_asking
from support.patience import wait_until

TOKEN = "t0ken-that-nobody-may-see"
SDP = {"Content-Type": "application/sdp", "Authorization": f"Bearer {TOKEN}"}


def test_arrivals_departures_and_refusals_are_logged_with_their_reason(caplog: pytest.LogCaptureFixture) -> None:
    """Without tokens, session URLs and passwords, and in lines that a peer cannot forge."""
    caplog.set_level(logging.DEBUG, "bass_webrtc")
    config = bw.ServerConfig(http_port=0, udp_port=0, token=TOKEN, play_token="0ther", max_peers=2)

    def lines(text: str) -> list[str]:
        return [line for line in caplog.messages if text in line]

    with bw.Server(bw.Tone(), config) as server:
        server.start()
        server.admit = lambda request: request.headers.get("x-name") != "mallory" or "Not you.\nforged line"
        with bw.WhipClient(bw.Tone(), f"{server.url}whip", TOKEN) as client:
            client.start()
            assert client.wait_connected(20.0)
            wait_until(lambda: bool(lines("peer 0: publisher connected from ")))
        wait_until(lambda: bool(lines("peer 0: publisher of 127.0.0.1 left: ")))
        assert lines("peer 0: publisher arrived from 127.0.0.1")

        def refused(status: int, reason: str, headers: dict[str, str], body: str = "v=0") -> None:
            assert http_asking.ask(server.url, "POST", "/whip", body, headers).status == status
            assert lines(f"refused POST /whip from 127.0.0.1: {status} {reason}"), caplog.messages

        refused(401, "A token is required.", {})
        refused(401, "The token is not valid.", SDP | {"Authorization": "Bearer wr0ng"})
        refused(403, "This token does not permit", SDP | {"Authorization": "Bearer 0ther"})
        refused(403, "Pages of", SDP | {"Origin": "https://evil.example"})
        refused(403, "Not you.?forged line", SDP | {"X-Name": "mallory"})
        refused(415, "", SDP | {"Content-Type": "text/plain"})
        refused(421, "The host name", SDP | {"Host": "evil.example"})
        refused(422, "", SDP, http_asking.offer("recvonly"))
        refused(400, "", SDP, "v=0\r\nice-pwd:aSecretPasswordOf22Chars\r\n")
        made = http_asking.post(server.url, "/whip", SDP)
        assert made.status == 201
        refused(429, "1 peers from your address", SDP, http_asking.offer("sendonly"))
        assert http_asking.ask(server.url, "DELETE", made.headers["Location"]).status == 200
        wait_until(lambda: bool(lines("peer 1: publisher of 127.0.0.1 left: ")))
        for secret in (TOKEN, "wr0ng", "0ther", made.headers["Location"].rpartition("/")[2], "aSecretPassword"):
            assert secret not in caplog.text
        assert not lines("\n")


def test_flood_of_refusals_leaves_a_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bass_webrtc")
    with bw.Server(bw.Tone(), bw.ServerConfig(http_port=0, udp_port=0, token=TOKEN)) as server:
        server.start()
        for _ in range(100):
            assert http_asking.post(server.url).status == 401
        refused = [line for line in caplog.messages if line.startswith("refused ")]
        assert 20 <= len(refused) < 50
