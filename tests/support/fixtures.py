"""Fixtures of browser and interop tests, as a plugin."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from . import browsers, netns, pulse

if TYPE_CHECKING:
    import bass_webrtc as bw

    from .bass_device import Bass
    from .farm import PlayerFarm
    from .studio import Studio


@pytest.fixture
def hosts() -> Iterator[tuple[netns.Host, netns.Host]]:
    """Two linked hosts: 10.77.0.1 for the server, 10.77.0.2 for its peer."""
    skip_for(netns.missing())
    with netns.Network() as network:
        server, peer = network.host("server"), network.host("peer")
        network.link(server, "10.77.0.1/24", peer, "10.77.0.2/24")
        yield server, peer


@pytest.fixture
def bass() -> Iterator[Bass]:
    """BASS on device 0."""
    from .bass_device import Bass

    running = Bass()
    yield running
    running.free()


@pytest.fixture
def farm() -> Iterator[PlayerFarm]:
    """Lightweight players on loopback, in a separate process."""
    from .farm import PlayerFarm

    with PlayerFarm() as players:
        yield players


# Not session-scoped: Playwright's loop would still run during later asyncio tests.
@pytest.fixture(scope="module")
def chromium_studio() -> Iterator[Studio]:
    """Chromium and loopback."""
    from .studio import open_chromium

    skip_for(browsers.missing_chromium())
    with open_chromium() as studio:
        yield studio


@pytest.fixture(scope="module")
def firefox_studio() -> Iterator[Studio]:
    """Firefox on its own network host."""
    from .studio import open_firefox

    skip_for(browsers.missing_firefox() or netns.missing() or pulse.missing())
    with open_firefox() as studio:
        yield studio


@pytest.fixture(params=["chromium", "firefox"])
def studio(request: pytest.FixtureRequest) -> Studio:
    """Both engines: each test runs in Chromium and Firefox."""
    found: Studio = request.getfixturevalue(f"{request.param}_studio")
    return found


def skip_for(reason: str | None) -> None:
    """Skip if there is a reason."""
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def dead_stun() -> Iterator[bw.IceServer]:
    """A server that accepts requests and never answers."""
    import bass_webrtc as bw

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        yield bw.IceServer(f"stun:127.0.0.1:{silent.getsockname()[1]}")
