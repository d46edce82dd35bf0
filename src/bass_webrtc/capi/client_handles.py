"""What the handles of WHIP and WHEP clients stand for."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..clients import WhepClient, WhipClient
from ..sources import Source
from . import errors
from .errors import CapiError


def is_connected(client: WhipClient | WhepClient) -> bool:
    """Whether it is. Raises BassWebRtcError when it has given up."""
    return client.running and client.wait_connected(0.0)


class WhipHandle:
    """Sends to a WHIP server. Any thread.

    Attributes:
        source: What it sends.
        client: The client, running or not.
    """

    what = "a WHIP client"

    def __init__(self, source: Source, url: str, bitrate_kbps: int) -> None:
        """Nothing runs yet."""
        self.source = source
        self._url = url
        self._bitrate_kbps = bitrate_kbps
        self.client = WhipClient(source, url, None, bitrate_kbps)

    def set_token(self, token: str | None) -> None:
        """Before it is started."""
        if self.client.running:
            raise CapiError(errors.ALREADY, "the client runs already; the token comes before BASS_WEBRTC_WhipStart")
        self.client, before = WhipClient(self.source, self._url, token, self._bitrate_kbps), self.client
        before.close()

    def close(self) -> None:
        """Stops it for good."""
        self.client.close()


class WhepHandle:
    """Plays what a WHEP server sends; runs from the beginning. Any thread.

    Attributes:
        client: The client.
    """

    what = "a WHEP client"

    def __init__(self, make: Callable[[str | None], WhepClient]) -> None:
        """
        Args:
            make: Makes a client with a token, or without.
        """
        self._make = make
        self._lock = threading.Lock()  # set_token and close exclude one another.
        self._closed = False
        self.client = make(None)
        self.client.start()

    def set_token(self, token: str | None) -> None:
        """Begins anew with it."""
        made = self._make(token)
        with self._lock:
            if self._closed:
                raise CapiError(errors.HANDLE, "the client was freed by another thread")
            self.client.close()
            self.client = made
            made.start()

    def close(self) -> None:
        """Stops it for good."""
        with self._lock:
            self._closed = True
            self.client.close()
