"""The page in both engines: it plays, shows what it plays, and notices that the server ended the session."""

from __future__ import annotations

import time
from typing import Any

import bass_webrtc as bw
from support.browsers import Tab
from support.studio import Studio

LEVEL_DBFS = -12.0


def wait_for(tab: Tab, expression: str, timeout_s: float = 20.0) -> Any:
    """Waits for an expression that is true."""
    deadline = time.monotonic() + timeout_s
    while not (value := tab.evaluate(expression)):
        assert time.monotonic() < deadline, f"{expression} did not come true; {tab.evaluate('bassWebrtc.player.state')}"
        time.sleep(0.1)
    return value


def test_page_plays_and_notices_the_end(studio: Studio) -> None:
    """WS54: the server's close_notify is told at once, not after the seconds that a silent end takes."""
    tone = bw.Tone(hz=440.0, right_hz=880.0, level_dbfs=LEVEL_DBFS)
    with bw.Server(tone, studio.config()) as server:
        studio.start(server)
        tab = studio.browser.open(server.url)
        tab.evaluate("document.getElementById('listen').click()")
        wait_for(tab, f"bassWebrtc.levels().every((level) => Math.abs(level - {LEVEL_DBFS}) < 1)")
        stats = wait_for(tab, "bassWebrtc.player.stats?.bitrateKbps > 0 && bassWebrtc.player.stats")
        assert stats["codec"] == "opus"
        assert stats["roundTripMs"] is not None
        assert tab.evaluate("document.getElementById('figure-codec').textContent") == "Opus stereo"
        assert tab.evaluate("document.getElementById('listen-title').textContent") == "Playing."
    wait_for(tab, "bassWebrtc.player.state !== 'live'", timeout_s=3.0)
    tab.close()


def test_page_takes_turn_servers(studio: Studio) -> None:
    """WS43, CL4: in the form that they are told in. One that the browser refuses, and dead ones, cost nothing."""
    urls = ["stun:127.0.0.1:3478", "turn:127.0.0.1:3478?transport=tcp", "turns:[::1]:5349"]
    blocked = "stun:127.0.0.1:9"  # Firefox throws at this port.
    config = studio.config(visitor_ice_servers=tuple(map(bw.IceServer, [blocked, *urls])), turn_secret="shared")
    with bw.Server(bw.Tone(), config) as server:
        studio.start(server)
        tab = studio.browser.open(server.url)
        wait_for(tab, "bassWebrtc.player.iceServers.length === 4")
        tab.evaluate("document.getElementById('listen').click()")
        wait_for(tab, "bassWebrtc.player.state === 'live'", timeout_s=8.0)
        told = tab.evaluate("bassWebrtc.player.pc.getConfiguration().iceServers")
        taken = [server for server in told if server["urls"] not in (blocked, [blocked])]
        assert [server["urls"] for server in taken] in (urls, [[url] for url in urls])
        assert all(server["credential"] for server in taken[1:])
    tab.close()
