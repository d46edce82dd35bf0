"""What the handles of WHIP and WHEP clients stand for."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..client.clients import WhepClient, WhipClient
from ..config import IceServer
from ..sources import Source
from . import errors
from .errors import CapiError


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """What may be said of a client after it was made."""

    token: str | None = None
    ice_servers: tuple[IceServer, ...] = ()


def is_connected(client: WhipClient | WhepClient) -> bool:
    """Whether it is. Raises BassWebRtcError when it has given up."""
    return client.running and client.wait_connected(0.0)


class _ClientHandle(ABC):
    """What the handles have in common."""

    def set_token(self, token: str | None) -> None:
        """Of the client from now on."""
        self._change(lambda options: replace(options, token=token))

    def add_ice_server(self, server: IceServer) -> None:
        """One more of the client's."""
        self._change(lambda options: replace(options, ice_servers=(*options.ice_servers, server)))

    @abstractmethod
    def _change(self, change: Callable[[ClientOptions], ClientOptions]) -> None:
        """Goes on with other options, as far as that is possible."""


class WhipHandle(_ClientHandle):
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
        self._options = ClientOptions()
        self.client = self._make(self._options)

    def close(self) -> None:
        """Stops it for good."""
        self.client.close()

    def _change(self, change: Callable[[ClientOptions], ClientOptions]) -> None:
        """Before it is started."""
        if self.client.running:
            raise CapiError(errors.ALREADY, "the client runs already; this comes before BASS_WEBRTC_WhipStart")
        options = change(self._options)
        self.client, before = self._make(options), self.client
        self._options = options
        before.close()

    def _make(self, options: ClientOptions) -> WhipClient:
        return WhipClient(self.source, self._url, options.token, self._bitrate_kbps, options.ice_servers)


class WhepHandle(_ClientHandle):
    """Plays what a WHEP server sends; runs from the beginning. Any thread.

    Attributes:
        client: The client.
    """

    what = "a WHEP client"

    def __init__(self, make: Callable[[ClientOptions], WhepClient]) -> None:
        """
        Args:
            make: Makes a client.
        """
        self._make = make
        self._lock = threading.Lock()  # changes and close exclude one another.
        self._closed = False
        self._options = ClientOptions()
        self.client = make(self._options)
        self.client.start()

    def close(self) -> None:
        """Stops it for good."""
        with self._lock:
            self._closed = True
            self.client.close()

    def _change(self, change: Callable[[ClientOptions], ClientOptions]) -> None:
        """Begins anew with them."""
        with self._lock:
            options = change(self._options)
            made = self._make(options)
            if self._closed:
                raise CapiError(errors.HANDLE, "the client was freed by another thread")
            self.client.close()
            self.client, self._options = made, options
            made.start()
