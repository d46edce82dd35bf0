"""The fixtures of browser and interop tests; a plugin, so that they cost nothing where nobody asks for them."""

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
    """Two hosts joined by a wire: 10.77.0.1 for the server, 10.77.0.2 for its peer."""
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
    """Cheap players on loopback, in a process of their own."""
    from .farm import PlayerFarm

    with PlayerFarm() as players:
        yield players


# Not of the session: Playwright's loop would run on under the asyncio tests that come later.
@pytest.fixture(scope="module")
def chromium_studio() -> Iterator[Studio]:
    """Chromium and loopback."""
    from .studio import open_chromium

    skip_for(browsers.missing_chromium())
    with open_chromium() as studio:
        yield studio


@pytest.fixture(scope="module")
def firefox_studio() -> Iterator[Studio]:
    """Firefox on a host of its own."""
    from .studio import open_firefox

    skip_for(browsers.missing_firefox() or netns.missing() or pulse.missing())
    with open_firefox() as studio:
        yield studio


@pytest.fixture(params=["chromium", "firefox"])
def studio(request: pytest.FixtureRequest) -> Studio:
    """Each test of this runs in both engines."""
    found: Studio = request.getfixturevalue(f"{request.param}_studio")
    return found


def skip_for(reason: str | None) -> None:
    """Skips when there is a reason."""
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def dead_stun() -> Iterator[bw.IceServer]:
    """It takes requests and says nothing."""
    import bass_webrtc as bw

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        yield bw.IceServer(f"stun:127.0.0.1:{silent.getsockname()[1]}")
