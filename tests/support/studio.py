"""A browser and a host for a server that it can reach, for each engine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import bass_webrtc as bw

from . import netns, pulse
from .browsers import Browser, Chromium, Firefox
from .listener import Listener
from .page_server import PageServer

SERVER_ADDRESS = "10.77.0.1"


@dataclass(frozen=True)
class Studio:
    """A browser and a host for a server that it can reach."""

    browser: Browser
    pages: PageServer
    address: str
    host: netns.Host | None = None

    def start(self, server: bw.Server) -> None:
        """Start the server where the browser can reach it, with the settings of ``config(...)``."""
        with ExitStack() as stack:
            if self.host is not None:
                stack.enter_context(self.host.entered())
            server.start()

    def config(self, **settings: object) -> bw.ServerConfig:
        """Return settings with free ports that allow the test page's origin."""
        place = {"http_host": self.address, "http_port": 0, "udp_port": 0, "allow_origins": (self.pages.origin,)}
        place["max_peers_per_address"] = settings.get("max_peers", 5)
        return bw.ServerConfig(**place | settings)  # type: ignore[arg-type]

    def listener(self) -> Listener:
        """Open a tab with the test player."""
        return Listener(self.browser, self.pages.listen_url)


@contextmanager
def open_chromium() -> Iterator[Studio]:
    """Chromium, all on loopback."""
    with Chromium() as chromium, PageServer() as pages:
        yield Studio(chromium, pages, "127.0.0.1")


@contextmanager
def open_firefox(*, sound_card: bool = True) -> Iterator[Studio]:
    """Firefox on its own network host with or without its own sound card; the server runs on the other host."""
    with ExitStack() as stack:
        pulse_server = ""
        if sound_card:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bw-pulse-"))
            pulse_server = stack.enter_context(pulse.PulseServer(Path(folder))).environment["PULSE_SERVER"]
        network = stack.enter_context(netns.Network())
        server_host, browser_host = network.host("server"), network.host("firefox")
        network.link(server_host, f"{SERVER_ADDRESS}/24", browser_host, "10.77.0.2/24")
        # Firefox uses the address of the default route.
        browser_host.ip("route", "add", "default", "via", SERVER_ADDRESS)
        with server_host.entered():
            pages = stack.enter_context(PageServer(SERVER_ADDRESS))
        firefox = Firefox(browser_host, trusted_address=SERVER_ADDRESS, pulse_server=pulse_server)
        yield Studio(stack.enter_context(firefox), pages, SERVER_ADDRESS, server_host)
