"""Fixtures of tests with Windows programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support import netns, wine
from support.fixtures import skip_for
from support.wine_lab import Lab, Start, open_lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A Windows and a Linux machine."""
    skip_for(wine.missing() or netns.missing())
    with open_lab() as machines:
        yield machines


@pytest.fixture
def start(lab: Lab) -> Iterator[Start]:
    """Start ``bass-webrtc`` of the Windows wheel in a console; it ends with the test at the latest."""
    with ExitStack() as running:

        def start(*arguments: str | Path) -> wine.Process:
            path = wine.windows_path(wine.package())
            command = (wine.python(), "-m", "bass_webrtc", *arguments)
            return running.enter_context(lab.windows.start(*command, console=True, PYTHONPATH=path))

        yield start
