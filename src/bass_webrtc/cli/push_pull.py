"""Run the clients behind ``bass-webrtc push`` and ``bass-webrtc pull``; ``main.py`` parses their arguments."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import typer

from ..client.clients import WhepClient, WhipClient
from ..loop_thread import wait_for_event
from ..sources import Source
from .input_player import InputPlayer
from .recorder import Samples

_POLL_INTERVAL_S = 0.1
_PLAYOUT_DELAY_S = 0.5
"""How long the receiver may take to play the last packet, on a good path."""


def push(
    opened: AbstractContextManager[Source],
    make: Callable[[Source], WhipClient],
    stop: threading.Event,
) -> None:
    """Push a source until ``stop`` is set, the source ends, or the client gives up.

    Raises:
        BassWebRtcError: The source cannot be opened, or the server refuses permanently.
    """
    with opened as source, make(source) as client:
        client.start()
        progress = _Progress("pushing")
        while not wait_for_event(stop, _POLL_INTERVAL_S):
            progress.report(client)
            if client.source_ended:
                wait_for_event(stop, _PLAYOUT_DELAY_S)
                typer.echo("source ended", err=True)
                return


def pull(client: WhepClient, player: InputPlayer, stop: threading.Event, on_error: Callable[[OSError], object]) -> None:
    """Play or record a stream until ``stop`` is set or the client gives up.

    Raises:
        BassWebRtcError: The device cannot be opened, or the server refuses permanently.
        OSError: The file cannot be written.
    """
    with player.open_device(), client:
        client.start()
        progress = _Progress("pulling")
        with player.play(_PulledStream(client), on_error):
            while not wait_for_event(stop, _POLL_INTERVAL_S):
                progress.report(client)


class _PulledStream:
    """Adapts a ``WhepClient`` to ``input_player.Mix``."""

    def __init__(self, client: WhepClient) -> None:
        self._client = client

    @property
    def input_stream(self) -> int:
        return self._client.stream

    def read_input(self, frames: int, /) -> Samples:
        return self._client.read(frames)


class _Progress:
    """Reports changes of a client's state on standard error, and each error once."""

    def __init__(self, activity: str) -> None:
        self._activity = activity
        self._connected = False
        self._last_message = ""

    def report(self, client: WhipClient | WhepClient) -> None:
        """Print what has changed. Raises the error that made the client give up."""
        connected = client.wait_connected(0.0)
        error = client.last_error
        if connected != self._connected:
            self._connected = connected
            self._last_message = ""
            typer.echo(self._activity if connected else "connection lost; retrying", err=True)
        elif error is not None and not connected and str(error) != self._last_message:
            self._last_message = str(error)
            typer.echo(f"{str(error).removesuffix('.')}; retrying", err=True)
