"""Take the README's screenshot of the page: ``make screenshot``.

Starts a server with the demo programme, opens its page in Chromium, presses Listen, waits until the meters and figures
have settled, and writes ``docs/images/page.png``. Requires Debian's chromium and the ``dev`` extra.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import ViewportSize, sync_playwright

import bass_webrtc as bw
from bass_webrtc.cli import demo

OUTPUT = Path(__file__).parents[1] / "docs" / "images" / "page.png"
MAX_BYTES = 200_000
SIZE: ViewportSize = {"width": 1280, "height": 800}
FLAGS = ("--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream")
# Functions, because the content security policy of the page forbids evaluating expressions.
IS_SETTLED = """() => {
    const { state, stats } = window.bassWebrtc.player;
    return state === "live" && stats?.bitrateKbps > 100 && stats.roundTripMs < 10 && stats.jitterBufferMs < 80;
}"""
IS_LOUD = "() => bassWebrtc.levels().every((level) => level > -15)"


def main() -> None:
    """Write the screenshot; exit with an error if it is too large."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is not installed; run 'apt-get install chromium'")
    source = bw.PcmSource()
    programme = demo.DemoProgramme(source, demo.render())
    programme.start()
    with bw.Server(source, bw.ServerConfig(http_port=0, udp_port=0)) as server:
        server.start()
        take(server.url, chromium)
    programme.close()
    size = OUTPUT.stat().st_size
    if size > MAX_BYTES:
        sys.exit(f"{OUTPUT} is {size} bytes; expected at most {MAX_BYTES}")


def take(url: str, chromium: str) -> None:
    """Play the page at ``url`` and write its screenshot."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport=SIZE)
        page.goto(url)
        page.wait_for_selector("#talk:visible")
        page.click("#listen")
        page.wait_for_function(IS_SETTLED, timeout=60_000)
        page.wait_for_function(IS_LOUD)
        OUTPUT.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=OUTPUT, full_page=True)
        browser.close()


main()
