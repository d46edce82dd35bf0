"""Fixtures for the browser tests."""

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
    """Headless Chromium that resolves ``radio.test`` to this machine, which is not a secure context."""
    if reason := missing_chromium():
        pytest.skip(reason)
    with Chromium(extra_flags=("--host-resolver-rules=MAP radio.test 127.0.0.1",)) as browser:
        yield browser


@pytest.fixture(scope="module")
def chromium_with_microphone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Chromium with a fake microphone: 440 Hz left, 880 Hz right, repeated every minute."""
    if reason := missing_chromium():
        pytest.skip(reason)
    path = tmp_path_factory.mktemp("microphone") / "tones.wav"
    media.write_tone(path, 440.0, 880.0, seconds=60.0, sample_rate_hz=48_000)
    with Chromium(microphone=path) as chromium, PageServer() as pages:
        yield Studio(chromium, pages, "127.0.0.1")


@pytest.fixture
def stub() -> Iterator[PageStub]:
    """The page with stub endpoints whose answers the test sets."""
    with PageStub() as running:
        yield running
