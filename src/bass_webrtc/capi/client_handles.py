"""The objects behind the handles of WHIP and WHEP clients."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..client.clients import WhepClient, WhipClient
from ..config import IceServer, ReceiveEnhancement
from ..sources import Source, SourceState
from . import errors
from .errors import CapiError


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Options that C sets after the client was made."""

    token: str | None = None
    ice_servers: tuple[IceServer, ...] = ()
    forbid_private: bool | None = None
    trusted_origins: tuple[str, ...] = ()
    receive_enhancement: ReceiveEnhancement = "auto"
    """Of a WHEP client."""


def is_connected(client: WhipClient | WhepClient) -> bool:
    """Whether audio flows.

    Raises:
        BassWebRtcError: The client has given up; the reason.
    """
    return client.running and client.wait_connected(0.0)


class _ClientHandle(ABC):
    """The options that both clients have. A Python client takes them when it is made, so a change makes another one."""

    def set_token(self, token: str | None) -> None:
        """Set the bearer token."""
        self._change(lambda options: replace(options, token=token))

    def add_ice_servers(self, servers: tuple[IceServer, ...]) -> None:
        """Add STUN or TURN servers."""
        self._change(lambda options: replace(options, ice_servers=(*options.ice_servers, *servers)))

    def set_allow_private(self, allow: bool) -> None:
        """Set whether the server may send the client anywhere."""
        self._change(lambda options: replace(options, forbid_private=False if allow else None))

    def set_trusted_origins(self, origins: tuple[str, ...]) -> None:
        """Set the further origins that get the token."""
        self._change(lambda options: replace(options, trusted_origins=origins))

    @abstractmethod
    def _change(self, change: Callable[[ClientOptions], ClientOptions]) -> None:
        """Replace the client by one with the changed options."""


class WhipHandle(_ClientHandle):
    """Sends to a WHIP server. Any thread.

    Attributes:
        source: What it sends.
        client: The client, running or not.
    """

    description = "a WHIP client"

    def __init__(self, source: Source, url: str, bitrate_kbps: int) -> None:
        """Make the client; it connects when ``client.start`` is called."""
        self.source = source
        self._url = url
        self._bitrate_kbps = bitrate_kbps
        self._options = ClientOptions()
        self.client = self._make(self._options)

    def source_state(self) -> SourceState:
        """The state of the source; that of one that has not ended while the client is not running."""
        return self.client.source_state

    def close(self) -> None:
        """Close the client."""
        self.client.close()

    def _change(self, change: Callable[[ClientOptions], ClientOptions]) -> None:
        if self.client.running:
            raise CapiError(errors.ALREADY, "the client is running; make this call before BASS_WEBRTC_WhipStart")
        options = change(self._options)
        self.client, before = self._make(options), self.client
        self._options = options
        before.close()

    def _make(self, options: ClientOptions) -> WhipClient:
        return WhipClient(
            self.source,
            self._url,
            options.token,
            self._bitrate_kbps,
            options.ice_servers,
            trusted_origins=options.trusted_origins,
            forbid_private=options.forbid_private,
        )


class WhepHandle(_ClientHandle):
    """Plays what a WHEP server sends. It connects at once. Any thread.

    Attributes:
        client: The client.
    """

    description = "a WHEP client"

    def __init__(self, make: Callable[[ClientOptions], WhepClient]) -> None:
        """
        Args:
            make: Makes a client with the given options.
        """
        self._make = make
        self._lock = threading.Lock()  # Only one thread changes or closes the client at a time.
        self._closed = False
        self._options = ClientOptions()
        self.client = make(self._options)
        self.client.start()

    def set_receive_enhancement(self, mode: ReceiveEnhancement) -> None:
        """Set when received speech is enhanced."""
        self._change(lambda options: replace(options, receive_enhancement=mode))

    def close(self) -> None:
        """Close the client."""
        with self._lock:
            self._closed = True
            self.client.close()

    def _change(self, change: Callable[[ClientOptions], ClientOptions]) -> None:
        with self._lock:
            options = change(self._options)
            made = self._make(options)
            if self._closed:
                raise CapiError(errors.HANDLE, "the client was freed by another thread")
            self.client.close()
            self.client, self._options = made, options
            made.start()
