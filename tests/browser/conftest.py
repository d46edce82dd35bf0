"""Fixtures of the tests of the page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.browsers import Chromium, missing_chromium
from support.page_stub import PageStub


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    """Headless Chromium. ``radio.test`` is this machine, but no secure context."""
    if reason := missing_chromium():
        pytest.skip(reason)
    with Chromium(extra_flags=("--host-resolver-rules=MAP radio.test 127.0.0.1",)) as browser:
        yield browser


@pytest.fixture
def stub() -> Iterator[PageStub]:
    """The page, and endpoints that say what the test wants."""
    with PageStub() as running:
        yield running
