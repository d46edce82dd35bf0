"""A Windows machine under Wine and a Linux machine, linked by a network of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from . import netns, wine

Start: TypeAlias = Callable[..., wine.Process]
"""Starts ``bass-webrtc`` on the Windows machine with these arguments."""


@dataclass(frozen=True)
class Lab:
    """Both machines and their only IPv4 addresses."""

    windows: wine.Machine
    linux: netns.Host
    windows_address: str = "10.77.0.1"
    linux_address: str = "10.77.0.2"


@contextmanager
def open_lab(*, niced: bool = False) -> Iterator[Lab]:
    """Start the machines; end all that runs on the Windows machine.

    Args:
        niced: As of ``wine.Machine``.
    """
    with netns.Network() as network:
        windows, linux = network.host("windows"), network.host("linux")
        network.link(windows, f"{Lab.windows_address}/24", linux, f"{Lab.linux_address}/24")
        wine.give_one_address(windows)
        with wine.Machine(windows, niced=niced) as machine:
            yield Lab(machine, linux)
