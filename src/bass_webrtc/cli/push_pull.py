"""``bass-webrtc push`` and ``pull``: the clients on the command line. ``cli.py`` joins them to its application."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import typer

from ..client.clients import WhepClient, WhipClient
from ..sources import Source
from .input_player import Hearing
from .recorder import Samples

_LOOK_EVERY_S = 0.1
_LAST_SOUND_S = 0.5
"""What was sent is played this much later, at most, on a good path."""


def push(
    opened: AbstractContextManager[Source],
    make: Callable[[Source], WhipClient],
    stop: threading.Event,
) -> None:
    """Pushes a source until ``stop``, its end, or a failure.

    Raises:
        BassWebRtcError: The source cannot be opened, or the server refuses for good.
    """
    with opened as source, make(source) as client:
        client.start()
        talk = _Talk("pushing")
        while not stop.wait(_LOOK_EVERY_S):
            talk.look(client)
            if client.source_ended:
                stop.wait(_LAST_SOUND_S)
                typer.echo("the source has ended", err=True)
                return


def pull(client: WhepClient, hearing: Hearing, stop: threading.Event, on_error: Callable[[OSError], object]) -> None:
    """Plays, records, or both until ``stop`` or a failure.

    Raises:
        BassWebRtcError: The device cannot be opened, or the server refuses for good.
        OSError: The file cannot be written.
    """
    with hearing.open(), client:
        client.start()
        talk = _Talk("pulling")
        with hearing.hear(_Pulled(client), on_error):
            while not stop.wait(_LOOK_EVERY_S):
                talk.look(client)


def hearing_of(device: str | None, recording: Path | None) -> Hearing:
    """Without a choice: the default output, or a file alone. Raises as ``Hearing`` does."""
    return Hearing(device or ("default" if recording is None else "none"), recording)


class _Pulled:
    """A client as ``Hearing`` wants it."""

    def __init__(self, client: WhepClient) -> None:
        self._client = client

    @property
    def input_stream(self) -> int:
        return self._client.stream

    def read_input(self, frames: int, /) -> Samples:
        return self._client.read(frames)


class _Talk:
    """Says on standard error how it goes; of failures those that are new."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._connected = False
        self._said = ""

    def look(self, client: WhipClient | WhepClient) -> None:
        """Raises what ends the attempts."""
        connected = client.wait_connected(0.0)
        error = client.last_error
        if connected != self._connected:
            self._connected = connected
            self._said = ""
            typer.echo(self._doing if connected else "the connection is lost; trying again", err=True)
        elif error is not None and not connected and str(error) != self._said:
            self._said = str(error)
            typer.echo(f"{error}; trying again", err=True)
