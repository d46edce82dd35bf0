"""Settings: frozen dataclasses whose fields say unit, range and default, checked when they are made."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .errors import ConfigError

SAMPLE_RATE_HZ = 48_000
"""Of everything inside: Opus in WebRTC runs at 48 kHz (RFC 7587, 4.1)."""

CHANNELS = 2
"""Of everything inside: stereo."""

SignalingMode = Literal["http", "whip", "whep", "callback"]
Application = Literal["audio", "voip", "lowdelay"]

_MODES = ("http", "whip", "whep", "callback")
_APPLICATIONS = ("audio", "voip", "lowdelay")
_FRAME_MS = (10, 20, 40, 60)
_SERVERS = "a tuple of IceServer objects, such as IceServer('stun:stun.example:3478')"

_ICE_SERVER_URL = re.compile(
    r"(?:stuns?|(?P<turn>turns?)):(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?(turn)(?:\?transport=(?:udp|tcp))?)"
)
_HOST_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}")
_UNSAFE = re.compile(r'[,;"\\\x00-\x20\x7f-\uffff]')
"""OBS splits ``Link`` fields at commas and semicolons even inside of quotes, so none may stand in a value."""


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server. Its ``repr`` shows no credential."""

    url: str
    """``stun:``, ``turn:`` or ``turns:`` (RFC 7064, RFC 7065)."""
    username: str | None = None
    """Of TURN, with ``credential``."""
    credential: str | None = field(default=None, repr=False)

    @property
    def is_turn(self) -> bool:
        """Whether it relays, and so wants a username and a credential."""
        return self.url.startswith("turn")

    def check_for_visitors(self) -> None:
        """Whether browsers and other programs can be told of it (RFC 7064, RFC 7065; RFC 9725, 4.6).

        Raises:
            ConfigError: Some of them would trip over it.
        """
        match = _ICE_SERVER_URL.fullmatch(self.url)
        is_right = match is not None and 0 < int(match["port"] or 1) < 1 << 16
        _require(is_right, "the ICE server's URL", self.url, "stun:HOST[:PORT] or turn:HOST[:PORT][?transport=tcp]")
        both = (self.username is None) == (self.credential is None)
        _require(both, f"of the ICE server {self.url!r} there", "a username or a credential", "both or none")
        if _UNSAFE.search(f"{self.username or ''}{self.credential or ''}"):
            raise ConfigError(
                f"the ICE server {self.url!r} has credentials with a comma, semicolon, quote, backslash or space"
            )


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Settings of a ``Server``. Wrong values raise ``ConfigError``."""

    sample_rate: int = SAMPLE_RATE_HZ
    """Hz. Only 48000: Opus in WebRTC runs at nothing else; sources of any rate are converted."""
    channels: int = CHANNELS
    """Only 2; mono sources are put on both channels."""
    bitrate_kbps: int = 128
    """Of the Opus stream, in kbit/s, 6 to 510."""
    buffer_ms: int = 100
    """Upper bound for the delay with which a jitter buffer begins, 10 to 1000; it adapts from there."""
    max_peers: int = 5
    """How many may be connected at once, 1 to 10000. One more is refused with 503. Of one address half of them, rounded
    up, may be about to connect; one more is refused with 429. Who does not begin within 10 s loses the place."""
    signaling_mode: SignalingMode = "http"
    """``"http"``: WHIP, WHEP and the page on one port; ``"whip"``, ``"whep"``: that endpoint only; ``"callback"``: no
    HTTP and no port, the program carries offers and answers itself (``Server.add_peer``)."""
    http_host: str = "127.0.0.1"
    """Address the HTTP server listens on; ``"0.0.0.0"`` or ``"::"`` for all."""
    http_port: int = 8080
    """TCP port; 0 takes any that is free."""
    udp_port: int = 8189
    """The one UDP port of all peers; 0 takes any that is free. With full ICE each peer has ports of its own instead."""
    public_ips: tuple[str, ...] = ()
    """Addresses to announce besides the machine's own, for a server behind 1:1 NAT."""
    announce_local_addresses: bool = True
    """Tell peers the addresses of this machine's own interfaces. False: ``public_ips`` alone, and what ``ice_servers``
    see of us; a server whose interfaces have public addresses names them there."""
    visitor_ice_servers: tuple[IceServer, ...] = ()
    """STUN and TURN servers that browsers and other clients are told to use, to get through to us from behind firewalls
    that drop UDP. Whoever may connect is given the credentials: without ``token`` that is everybody."""
    turn_secret: str | None = field(default=None, repr=False)
    """The secret shared with these TURN servers (coturn: ``use-auth-secret``, ``static-auth-secret``): for those
    without a ``username``, each visitor is given credentials of its own, which work for a day."""
    ice_servers: tuple[IceServer, ...] = ()
    """STUN and TURN servers. Any entry turns full ICE on for WHIP and WHEP, too; without one they have ICE-lite."""
    ice_relay_only: bool = False
    """Reach peers through TURN servers alone, and tell nobody another address of this machine."""
    decode_stream: bool = False
    """Make input streams decoding channels (BASS_STREAM_DECODE), for mixers."""
    frame_ms: int = 20
    """Of an Opus frame: 10, 20, 40 or 60. Shorter has less delay and more overhead."""
    complexity: int = 10
    """Of the Opus encoder, 0 (fast) to 10 (best)."""
    application: Application = "audio"
    """What the Opus encoder is tuned for: ``"audio"``, ``"voip"`` or ``"lowdelay"``."""
    fec: bool = True
    """In-band FEC. Works in Opus's speech modes only; with music it costs and does nothing."""
    dtx: bool = False
    """Send nothing while the source is silent."""
    token: str | None = None
    """Bearer token asked of everybody; None asks for none. ``/api/stats`` and ``/metrics`` ask for it, too, or, where
    there is none, for either of the next two; ``/healthz`` never does."""
    publish_token: str | None = None
    """Bearer token asked of publishers, instead of ``token``."""
    play_token: str | None = None
    """Bearer token asked of players, instead of ``token``."""
    tls_certificate: str | Path | None = None
    """PEM file of the HTTPS certificate chain; with ``tls_key``."""
    tls_key: str | Path | None = None
    """PEM file of the HTTPS private key."""
    allow_origins: tuple[str, ...] = ()
    """Web origins (``"https://radio.example"``) whose pages may use the endpoints; ``("*",)`` is any."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks (``"10.0.0.0/8"``) of reverse proxies, whose ``X-Forwarded-For`` is believed: for
    ``admit`` and for limits, which otherwise take all who come through a proxy for one visitor."""
    allowed_hosts: tuple[str, ...] = ()
    """Names of this server (``"radio.example"``, no port), against DNS rebinding: another ``Host`` is refused with 421.
    IP addresses and localhost are always allowed. Empty: any name."""
    strict_http: bool = False
    """Refuse what the RFC lets a server refuse: PATCH without If-Match (428), and publishers who offer video or other
    sections besides the audio (422; otherwise these are declined in the answer, and the audio is taken)."""
    require_token_on_sessions: bool = False
    """Ask for the token on PATCH and DELETE, too. The session URL is a secret already."""
    demo_page: bool = True
    """Serve the page at ``GET /``."""

    def __post_init__(self) -> None:
        _require(self.sample_rate == SAMPLE_RATE_HZ, "sample_rate", self.sample_rate, "48000")
        _require(self.channels == CHANNELS, "channels", self.channels, "2")
        _require_range("bitrate_kbps", self.bitrate_kbps, 6, 510)
        _require_range("buffer_ms", self.buffer_ms, 10, 1000)
        _require_range("max_peers", self.max_peers, 1, 10_000)
        _require_range("http_port", self.http_port, 0, 65_535)
        _require_range("udp_port", self.udp_port, 0, 65_535)
        _require_range("complexity", self.complexity, 0, 10)
        _require(self.signaling_mode in _MODES, "signaling_mode", self.signaling_mode, f"one of {_MODES}")
        _require(self.application in _APPLICATIONS, "application", self.application, f"one of {_APPLICATIONS}")
        _require(self.frame_ms in _FRAME_MS, "frame_ms", self.frame_ms, f"one of {_FRAME_MS}")
        for ip in self.public_ips:
            _require(_is_ip(ip), "public_ips", ip, "IP addresses, no names")
        is_reachable = self.announce_local_addresses or bool(self.public_ips or self.ice_servers)
        _require(is_reachable, "announce_local_addresses", False, "public_ips or ice_servers with it")
        for network in self.trusted_proxies:
            _require(
                _is_network(network), "trusted_proxies", network, "IP addresses and networks, such as '10.0.0.0/8'"
            )
        _require(isinstance(self.allowed_hosts, (tuple, list)), "allowed_hosts", self.allowed_hosts, "a tuple of names")
        for name in self.allowed_hosts:
            _require(_HOST_NAME.fullmatch(name) is not None, "allowed_hosts", name, "host names without a port")
        for server in self.visitor_ice_servers:
            server.check_for_visitors()
            has_credentials = not server.is_turn or server.username is not None or self.turn_secret is not None
            _require(has_credentials, "turn_secret", None, f"a secret, or a username and a credential of {server.url}")
        are_servers = isinstance(self.ice_servers, (tuple, list)) and all(
            isinstance(one, IceServer) for one in self.ice_servers
        )
        _require(are_servers, "ice_servers", self.ice_servers, _SERVERS)
        has_relay = any(one.url.lower().startswith("turn") for one in self.ice_servers)
        _require(has_relay or not self.ice_relay_only, "ice_relay_only", True, "a TURN server among ice_servers")
        for name in ("token", "publish_token", "play_token", "turn_secret"):
            _require(getattr(self, name) != "", name, "''", "a token, or None for no token")
        both = (self.tls_certificate is None) == (self.tls_key is None)
        _require(both, "tls_certificate and tls_key", "one of them", "both or none")

    @property
    def frame_samples(self) -> int:
        """Samples per channel of one Opus frame."""
        return SAMPLE_RATE_HZ * self.frame_ms // 1000


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {value!r}; expected {expected}")


def _require_range(name: str, value: int, lowest: int, highest: int) -> None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    _require(is_number and lowest <= value <= highest, name, value, f"a whole number, {lowest} to {highest}")


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True
