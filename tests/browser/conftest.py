"""Fixtures of the tests of the page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import media
from support.browsers import Chromium, missing_chromium
from support.page_server import PageServer
from support.page_stub import PageStub
from support.studio import Studio


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    """Headless Chromium. ``radio.test`` is this machine, but no secure context."""
    if reason := missing_chromium():
        pytest.skip(reason)
    with Chromium(extra_flags=("--host-resolver-rules=MAP radio.test 127.0.0.1",)) as browser:
        yield browser


@pytest.fixture(scope="module")
def chromium_with_microphone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Chromium whose microphone hears 440 Hz on the left and 880 Hz on the right, for a minute and again."""
    if reason := missing_chromium():
        pytest.skip(reason)
    path = tmp_path_factory.mktemp("microphone") / "tones.wav"
    media.write_tone(path, 440.0, 880.0, seconds=60.0, sample_rate_hz=48_000)
    with Chromium(microphone=path) as chromium, PageServer() as pages:
        yield Studio(chromium, pages, "127.0.0.1")


@pytest.fixture
def stub() -> Iterator[PageStub]:
    """The page, and endpoints that say what the test wants."""
    with PageStub() as running:
        yield running
