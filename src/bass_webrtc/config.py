"""Settings: frozen dataclasses that check their values when they are created.

StreamConfig                what a server and a client share: encoder, jitter buffer, input streams
 └── ServerConfig           and everything that only a server has: ports, peers, HTTP, ICE, access
ChannelConfig               what one channel of a server has of its own
IceServer, IceUrl           STUN and TURN servers
"""

from __future__ import annotations

import functools
import ipaddress
import itertools
import logging
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Literal, TypeVar, cast
from urllib.parse import unquote

from .errors import ConfigError

_log = logging.getLogger(__name__)
_Entry = TypeVar("_Entry")
_Read = TypeVar("_Read")

SAMPLE_RATE_HZ = 48_000
"""Internal sample rate: Opus in WebRTC runs at 48 kHz (RFC 7587, 4.1)."""
MAX_CALLS = 50
MAX_FAN_OUT_THREADS = 16
"""``BW_MAX_FAN_OUTS`` in ``core.h``."""

CHANNELS = 2
"""Internal channel count: stereo."""

MAIN = "main"
"""Name of the channel that every server has."""

SAMPLE_BYTES = 4
"""Size of a sample, which is a 32-bit float."""

FORBIDDEN_PORT = (
    "which Windows reserves ('netsh int ipv4 show excludedportrange tcp', or udp) or another program uses; choose "
    "another port, or 0 for any"
    if sys.platform == "win32"
    else "which this user may not use; ports from 1024 need no privilege"
)
"""What it means that the system refuses a port with EACCES."""

SignalingMode = Literal["http", "whip", "whep", "callback"]
InitialCallState = Literal["waiting", "on_air"]
Application = Literal["audio", "voip", "lowdelay"]
ReceiveEnhancement = Literal["auto", "on", "off"]

_MODES = ("http", "whip", "whep", "callback")
_APPLICATIONS = ("audio", "voip", "lowdelay")
_ENHANCEMENTS = ("auto", "on", "off")
_FRAME_MS = (10, 20, 40, 60)
_MAX_ENCODINGS = 4
_SERVERS = "IceServer objects, such as IceServer('stun:stun.example:3478'), their URLs, or dicts with 'urls'"

_ICE_URL = re.compile(
    r"(?P<scheme>stuns?|turns?):(?://)?"
    r"(?:(?P<ipv6>\[[0-9a-f:.]{2,45}(?P<zone>%[a-z0-9._~-]{1,20})?\])|(?P<name>[^\s\[\]:/?#%@]{1,253}))?"
    r"(?::(?P<port>[0-9]{0,5}))?/?(?:\?(?P<query>[^\s#]*))?",
    re.IGNORECASE | re.ASCII,
)
_BARE_IPV6 = re.compile(r"((?:stun|turn)s?:(?://)?)((?:[0-9a-f.]*:){2,9}[0-9a-f.]*)(.*)", re.IGNORECASE | re.ASCII)
"""A URL whose IPv6 address lacks the brackets: scheme, address with or without a port, zone id and the rest."""
_ICE_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9_])?\.?", re.IGNORECASE | re.ASCII)
_NEXT_ICE_URL = re.compile(r"[\s,](?=(?:stun|turn)s?:)", re.IGNORECASE | re.ASCII)
_ICE_URL_FORMS = "stun:HOST[:PORT], turn:HOST[:PORT][?transport=udp|tcp] or turns:HOST[:PORT][?transport=tcp]"
_MAX_ICE_URL_CHARACTERS = 2048
_DEFAULT_ICE_PORTS = {"stun": 3478, "stuns": 5349, "turn": 3478, "turns": 5349}
_PORTS_OF_ICE_SERVERS = {80, 443, *_DEFAULT_ICE_PORTS.values()}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TOKEN = re.compile(r"[!-~]+")
_SECRET = re.compile(r"[^\x00-\x20\x7f](?:[^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?")
_CHANNEL_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_HOST_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}|\*")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_PUBLIC_URL = re.compile(
    r"(?P<origin>https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?)(?:/[a-z0-9._~%!$&'()*+,;=:@/-]*)?", re.I
)
_UNSAFE = re.compile(r'[,;"\\\x00-\x20\x7f-\uffff]')
"""OBS splits ``Link`` fields at commas and semicolons even inside quotes, so credentials must not contain them."""


IceScheme = Literal["stun", "stuns", "turn", "turns"]
IceTransport = Literal["udp", "tcp"]


@dataclass(frozen=True, slots=True)
class IceUrl:
    """URL of a STUN or TURN server, parsed (RFC 7064, 3.1; RFC 7065, 3.1). The only place that knows the grammar."""

    scheme: IceScheme
    host: str
    """Name or IP address as written; IPv6 without brackets."""
    port: int | None = None
    """None if the URL has none."""
    transport: IceTransport | None = None
    """``?transport=``; None if the URL has none."""

    @classmethod
    def parse(cls, url: str) -> IceUrl:
        """Parse the URL of an ICE server.

        Forms outside the grammar that have one meaning are read, too: ``//`` after the scheme, a slash at the end,
        upper case, percent-encoding, spaces around, an IPv6 address without brackets or with a zone id (RFC 6874),
        an internationalized name, an empty port, and ``transport`` where it says what the scheme says already.

        Raises:
            ConfigError: ``url`` is none of these.
        """
        # LiveKit percent-encodes the question mark. A zone id must not be decoded.
        match = _match_ice_url(url.strip()) or _match_ice_url(unquote(url).strip())
        if match is None or not (match["ipv6"] or match["name"]):
            raise _ice_url_error(url, f"expected {_ICE_URL_FORMS}")
        scheme = cast("IceScheme", match["scheme"].lower())
        port = int(match["port"]) if match["port"] else None
        if port is not None and not 0 < port < 1 << 16:
            raise _ice_url_error(url, "expected a port from 1 to 65535")
        if match["ipv6"]:
            address, _, zone = match["ipv6"][1:-1].partition("%")
            host = f"{address}%{zone[2:] if zone[:2] == '25' and zone[2:] else zone}" if zone else address
            if not (":" in address and _is_ip(host)):
                raise _ice_url_error(url, "expected an IPv6 address between the brackets")
        else:
            host = _ascii_name(match["name"])
            if not _ICE_NAME.fullmatch(host):
                raise _ice_url_error(url, "expected the name or the IP address of a host")
        return cls(scheme, host, port, _transport(url, scheme, match["query"] or ""))

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        transport = "" if self.transport is None else f"?transport={self.transport}"
        return f"{self.scheme}:{bracketed(self.host)}{port}{transport}"


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server. Its ``repr`` does not show the credential.

    Raises:
        ConfigError: The URL cannot be read, or it contains other credentials than those beside it.
    """

    url: str
    """``stun:``, ``turn:`` or ``turns:`` (RFC 7064, RFC 7065). Other spellings are accepted, such as
    ``turn://USER:PASSWORD@HOST`` with percent-encoded characters; the attribute is the standard form."""
    username: str | None = None
    """TURN user name, with ``credential``."""
    credential: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("url", "username", "credential"):
            value = getattr(self, name)
            is_text = isinstance(value, str) or (value is None and name != "url")
            expected = _ICE_URL_FORMS if name == "url" else "a string or None"
            _require(is_text, f"the {name} of an ICE server", type(value), expected)
        url, written = _split_credentials(self.url)
        object.__setattr__(self, "url", str(IceUrl.parse(url)))
        for name, value in zip(("username", "credential"), written, strict=True):
            if value is not None:
                given = getattr(self, name)
                if given not in (None, value):
                    raise _ice_url_error(self.url, f"it has a {name} in the URL and another beside it; expected one")
                object.__setattr__(self, name, value)

    @classmethod
    def read_all(cls, servers: object) -> tuple[IceServer, ...]:
        """Read ICE servers in the forms in which people, browsers and TURN services write them.

            "stun:HOST, turn:USER:PASSWORD@HOST"                            URLs separated by commas or spaces
            {"urls": [URL, ...], "username": "...", "credential": "..."}    W3C RTCIceServer; also with "url"
            {"iceServers": ...}                                             W3C RTCConfiguration
            a list or tuple of these and of IceServer objects

        An entry that cannot be read is skipped with a warning in the log, unless no other is left.

        Args:
            servers: Any of these, for example parsed JSON.

        Raises:
            ConfigError: None of the entries can be read, or ``servers`` is none of these.
        """
        if isinstance(servers, Mapping) and "iceServers" in servers:
            servers = servers["iceServers"]
        return _require_usable(*_read_each(_ice_server_entries(servers, None, None), lambda make: make()))

    @property
    def is_turn(self) -> bool:
        """Whether the server relays, and so needs a user name and a credential."""
        return self.url.startswith("turn")

    def check_for_visitors(self) -> None:
        """Check that the server can be announced to browsers and other clients in ``Link`` fields (RFC 9725, 4.6).

        Raises:
            ConfigError: Some clients could not use the server: some do not parse quoted strings, for example.
        """
        if "%" in self.url:
            raise ConfigError(f"ICE server {self.url!r} has a zone id, which means nothing to clients; expected none")
        if (self.username is None) != (self.credential is None):
            raise ConfigError(f"ICE server {self.url!r} has a username or a credential; expected both or neither")
        if _UNSAFE.search(f"{self.username or ''}{self.credential or ''}"):
            raise ConfigError(
                f"ICE server {self.url!r} has a comma, semicolon, quote, backslash, space or non-ASCII character in "
                "its credentials; expected none of these"
            )


@dataclass(frozen=True, slots=True)
class StunServer:
    """Address of a STUN server, which reports this machine's public address over UDP."""

    host: str
    """Name or IP address; IPv6 without brackets."""
    port: int

    def __str__(self) -> str:
        return str(IceUrl("stun", self.host, self.port))


@dataclass(frozen=True, slots=True)
class TurnServer:
    """Address and credentials of a TURN server, which relays UDP."""

    host: str
    """Name or IP address; IPv6 without brackets. With TLS, the certificate must be for this host."""
    port: int
    username: str
    credential: str = field(repr=False)
    transport: IceTransport = "udp"
    """Between this machine and the server. Between the server and the peer it is always UDP."""
    tls: bool = False

    def __str__(self) -> str:
        return str(IceUrl("turns" if self.tls else "turn", self.host, self.port, self.transport))


IceServerAddress = StunServer | TurnServer


def parse_ice_server(url: str, username: str | None = None, credential: str | None = None) -> IceServerAddress:
    """Resolve the URL of an ICE server that this program is to use itself.

        stun:HOST[:PORT]                       reports the public address; default port 3478
        turn:HOST[:PORT][?transport=udp|tcp]   relays; default port 3478, UDP by default
        turns:HOST[:PORT][?transport=tcp]      relays over TLS; default port 5349

    ``stuns:`` is refused because it reports only the address of a TCP connection, and TURN over DTLS is not supported.

    Args:
        url: From the configuration or from a ``Link`` header field, as ``IceServer`` reads it.
        username: For TURN, with ``credential``; ignored for STUN.
        credential: Static or time-limited password. It never appears in an error or a ``repr``.

    Raises:
        ConfigError: The URL cannot be read or is unsupported, or a TURN server has no credentials.
    """
    server = IceServer(url, username, credential)
    parsed = IceUrl.parse(server.url)
    host = str(ipaddress.IPv6Address(parsed.host)) if ":" in parsed.host else parsed.host
    port = parsed.port or _DEFAULT_ICE_PORTS[parsed.scheme]
    if parsed.scheme == "stuns":
        raise _ice_url_error(url, "STUN over TLS reports no UDP address; expected stun:HOST[:PORT]")
    if parsed.scheme == "stun":
        return StunServer(host, port)
    tls = parsed.scheme == "turns"
    if tls and parsed.transport == "udp":
        raise _ice_url_error(url, "TURN over DTLS is not supported; expected turns:HOST[:PORT][?transport=tcp]")
    if not server.username or not server.credential:
        raise _ice_url_error(url, "a TURN server needs a username and a credential")
    # The defaults of the schemes: RFC 7065, 3.1 and RFC 5928, 3.
    transport = parsed.transport or ("tcp" if tls else "udp")
    return TurnServer(host, port, server.username, server.credential, transport, tls)


def usable_ice_servers(servers: Iterable[IceServer]) -> tuple[IceServerAddress, ...]:
    """Resolve those ICE servers that this program can use itself; skip the others with a warning in the log.

    Raises:
        ConfigError: There are servers, but none can be used; the reason for the first.
    """
    return _require_usable(*resolve_ice_servers(servers))


def resolve_ice_servers(servers: Iterable[IceServer]) -> tuple[list[IceServerAddress], list[ConfigError]]:
    """Resolve the ICE servers that this program can use itself; return also why it cannot use the others."""
    return _read_each(servers, lambda one: parse_ice_server(one.url, one.username, one.credential))


def _read_each(entries: Iterable[_Entry], read: Callable[[_Entry], _Read]) -> tuple[list[_Read], list[ConfigError]]:
    found: list[_Read] = []
    errors: list[ConfigError] = []
    for entry in entries:
        try:
            found.append(read(entry))
        except ConfigError as error:
            errors.append(error)
    return found, errors


def _require_usable(found: Sequence[_Read], errors: Sequence[ConfigError]) -> tuple[_Read, ...]:
    """Return what was read. Errors beside it cost a log line; without any, the first is raised."""
    if errors and not found:
        raise errors[0]
    if errors:
        _log.warning("skipped %d of the ICE servers, the first because: %s", len(errors), errors[0])
    return tuple(found)


def _ice_server_entries(
    servers: object, username: str | None, credential: str | None
) -> Iterator[Callable[[], IceServer]]:
    """Yield a function for each server, which makes it or raises ``ConfigError``."""
    if isinstance(servers, IceServer):
        yield lambda: servers
    elif isinstance(servers, str):
        given = [one.strip(" \t\r\n,") for one in _NEXT_ICE_URL.split(servers)]
        for url in filter(None, given) if any(given) else [servers]:
            yield functools.partial(IceServer, url, username, credential)
    elif isinstance(servers, Mapping):
        urls = servers.get("urls") or servers.get("url")
        if isinstance(urls, (str, list, tuple)) and all(isinstance(one, str) for one in urls):
            for one in [urls] if isinstance(urls, str) else urls:
                yield from _ice_server_entries(one, servers.get("username"), servers.get("credential"))
        else:
            yield functools.partial(_refuse_ice_server, servers)
    elif isinstance(servers, (list, tuple)):
        for one in servers:
            if isinstance(one, (list, tuple)):
                yield functools.partial(_refuse_ice_server, one)
            else:
                yield from _ice_server_entries(one, username, credential)
    else:
        yield functools.partial(_refuse_ice_server, servers)


def _refuse_ice_server(value: object) -> IceServer:
    keys = f" with the keys {sorted(map(str, value))}" if isinstance(value, Mapping) else ""
    raise ConfigError(f"an ICE server is of type {type(value).__name__}{keys}; expected {_SERVERS}")


def _match_ice_url(text: str) -> re.Match[str] | None:
    if len(text) > _MAX_ICE_URL_CHARACTERS:
        return None
    if bare := _BARE_IPV6.fullmatch(text):
        scheme, address, rest = bare.groups()
        zone = re.match(r"%[a-z0-9._~-]{1,20}", rest, re.IGNORECASE | re.ASCII)
        if zone is not None:
            address, rest = address + zone[0], rest[zone.end() :]
        elif (split := _split_port(text, address)) is not None:
            address, rest = split[0], f":{split[1]}{rest}"
        text = f"{scheme}[{address}]{rest}"
    return _ICE_URL.fullmatch(text)


def _split_port(url: str, address: str) -> tuple[str, str] | None:
    """Split the port from an IPv6 address without brackets; None if it has none.

    Raises:
        ConfigError: The last group may be a port or a part of the address.
    """
    before, _, last = address.rpartition(":")
    if not (last.isdecimal() and _is_ip(before)):
        return None
    if not _is_ip(address):
        return before, last
    if int(last) in _PORTS_OF_ICE_SERVERS:
        raise _ice_url_error(url, f"{last} may be its port or a part of its address; expected [{before}]:{last}")
    return None


def _ascii_name(name: str) -> str:
    """Return a host name as it is looked up (IDNA); unchanged if it cannot be."""
    try:
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        return name


def _transport(url: str, scheme: IceScheme, query: str) -> IceTransport | None:
    """Return the transport that a URL's query names; None if it names none or repeats the only one of STUN."""
    fields = (part.partition("=") for part in query.lower().split("&"))
    named = {value for name, _, value in fields if name == "transport" and value}
    if not named:
        return None
    if not scheme.startswith("stun"):
        if named <= {"udp", "tcp"} and len(named) == 1:
            return cast("IceTransport", named.pop())
        raise _ice_url_error(url, "expected transport=udp or transport=tcp")
    if named != {"udp" if scheme == "stun" else "tcp"}:
        raise _ice_url_error(url, f"expected {scheme}:HOST[:PORT] without a transport")
    return None


def _split_credentials(url: str) -> tuple[str, tuple[str | None, str | None]]:
    """Split ``turn:USER:PASSWORD@HOST`` into URL and credentials, which a TURN URL cannot carry (RFC 7065, 3.1)."""
    before, at, host = url.rpartition("@")
    if not at:
        return url, (None, None)
    scheme, colon, login = before.partition(":")
    # The username of time-limited credentials has a colon.
    username, separator, credential = login.removeprefix("//").rpartition(":")
    if not separator:
        username, credential = credential, ""
    return f"{scheme}{colon}{host}", (_decoded(url, username), _decoded(url, credential))


def _decoded(url: str, text: str) -> str | None:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise _ice_url_error(url, "its percent-encoding is not UTF-8; write % as %25") from None
    if _CONTROL.search(decoded):
        raise _ice_url_error(url, "its credentials have control characters")
    return decoded or None


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """Audio settings that a ``Server`` and the clients share. Wrong values raise ``ConfigError``."""

    sample_rate: int = SAMPLE_RATE_HZ
    """Sample rate in Hz. Must be 48000, the rate of Opus in WebRTC; sources of other rates are converted."""
    channels: int = CHANNELS
    """Number of channels. Must be 2; mono sources are copied to both channels."""
    bitrate_kbps: int = 128
    """Bitrate of the Opus stream in kbit/s, 6 to 510."""
    buffer_ms: int = 100
    """Upper limit of a jitter buffer's initial delay in ms, 10 to 1000. The delay then adapts to the network."""
    _: KW_ONLY
    decode_stream: bool = False
    """Make input streams decoding channels (BASS_STREAM_DECODE), for mixers."""
    frame_ms: int = 20
    """Duration of an Opus frame in ms: 10, 20, 40 or 60. Shorter frames have less delay and more overhead."""
    complexity: int = 10
    """Complexity of the Opus encoder, 0 (least CPU time) to 10 (best quality)."""
    application: Application = "audio"
    """What the Opus encoder is tuned for: ``"audio"``, ``"voip"`` or ``"lowdelay"``."""
    fec: bool = True
    """Send in-band FEC. It works in the speech modes of Opus only; music gains nothing from it."""
    dtx: bool = False
    """Send no packets while the source is silent."""
    receive_enhancement: ReceiveEnhancement = "auto"
    """Enhance received speech while decoding it, with a neural network of libopus (OSCE, NoLACE). ``"auto"``: for as
    many publishers as the thread that plays can carry without a late block; ``"on"``: always, for a machine known to be
    fast enough; ``"off"``: never. Music is never changed. The wheels contain a libopus with these models. One without
    them works as ``"off"``, which ``bass-webrtc doctor`` shows; ``"on"`` then also logs a warning."""

    def __post_init__(self) -> None:
        _require(self.sample_rate == SAMPLE_RATE_HZ, "sample_rate", self.sample_rate, "48000")
        _require(self.channels == CHANNELS, "channels", self.channels, "2")
        _require_range("bitrate_kbps", self.bitrate_kbps, 6, 510)
        _require_range("buffer_ms", self.buffer_ms, 10, 1000)
        _require_range("complexity", self.complexity, 0, 10)
        _require(self.application in _APPLICATIONS, "application", self.application, f"one of {_APPLICATIONS}")
        enhancement = self.receive_enhancement
        _require(enhancement in _ENHANCEMENTS, "receive_enhancement", enhancement, f"one of {_ENHANCEMENTS}")
        _require(self.frame_ms in _FRAME_MS, "frame_ms", self.frame_ms, f"one of {_FRAME_MS}")

    @property
    def frame_samples(self) -> int:
        """Samples per channel in one Opus frame."""
        return SAMPLE_RATE_HZ * self.frame_ms // 1000

    @property
    def bitrates_kbps(self) -> tuple[int, ...]:
        """Bitrates of all encodings in kbit/s, the highest first."""
        return (self.bitrate_kbps,)


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """Settings of one channel of a ``Server``; None is the server's value. Wrong values raise ``ConfigError``."""

    bitrates_kbps: tuple[int, ...] | None = None
    """Bitrates of the channel's encodings in kbit/s: 1 to 4 of 6 to 510 each, the highest first. A listener hears the
    highest that its offer allows and its network carries: it changes between them inside one stream, at most every 5 s.
    Each is encoded once for all its listeners, and not at all while it has none. With more than one, Opus does not use
    its speech modes, so ``fec`` has no effect."""
    application: Application | None = None
    """What the Opus encoders are tuned for: ``"audio"``, ``"voip"`` or ``"lowdelay"``."""
    complexity: int | None = None
    """Complexity of the Opus encoders, 0 (least CPU time) to 10 (best quality)."""

    def __post_init__(self) -> None:
        if self.bitrates_kbps is not None:
            object.__setattr__(self, "bitrates_kbps", _checked_bitrates("bitrates_kbps", self.bitrates_kbps))
            _require(bool(self.bitrates_kbps), "bitrates_kbps", self.bitrates_kbps, "at least one bitrate, or None")
        if self.application is not None:
            _require(self.application in _APPLICATIONS, "application", self.application, f"one of {_APPLICATIONS}")
        if self.complexity is not None:
            _require_range("complexity", self.complexity, 0, 10)


@dataclass(frozen=True, slots=True)
class ServerConfig(StreamConfig):
    """Settings of a ``Server``. Wrong values raise ``ConfigError``.

    Pass them by name. Only the first 15, ``sample_rate`` to ``ice_relay_only`` without the encoder's settings, are also
    accepted by position.
    """

    max_peers: int = 5
    """Maximum number of connected peers, 1 to 10000. The server refuses another with 503. A peer that does not start to
    connect within 10 s is removed. See ``max_peers_per_address``."""
    signaling_mode: SignalingMode = "http"
    """``"http"``: WHIP, WHEP and the page on one port; ``"whip"`` or ``"whep"``: that endpoint only; ``"callback"``: no
    HTTP and no port, the program carries offers and answers itself (``Server.add_peer``)."""
    http_host: str = "127.0.0.1"
    """Address that the HTTP server listens on; ``"0.0.0.0"`` or ``"::"`` for all."""
    http_port: int = 8080
    """TCP port of the HTTP server, 0 to 65535; 0 selects a free one."""
    udp_port: int = 8189
    """UDP port shared by all peers, 0 to 65535; 0 selects a free one. With full ICE each peer has its own ports."""
    public_ips: tuple[str, ...] = ()
    """Addresses to announce in addition to the machine's own, for a server behind a 1:1 NAT."""
    announce_local_addresses: bool = True
    """Announce the addresses of this machine's interfaces. False announces only ``public_ips`` and, with full ICE, what
    the ``ice_servers`` report; if an interface has a public address, name it in ``public_ips``."""
    visitor_ice_servers: tuple[IceServer, ...] = ()
    """STUN and TURN servers that browsers and other clients are told to use, to reach the server from behind firewalls
    that block UDP. Every client that may connect receives the credentials; without ``token`` that is everyone."""
    turn_secret: str | None = field(default=None, repr=False)
    """Secret shared with these TURN servers (coturn: ``use-auth-secret``, ``static-auth-secret``). Each client receives
    its own credentials for servers without a ``username``; they are valid for a day."""
    ice_servers: tuple[IceServer, ...] = ()
    """STUN and TURN servers that this server uses itself. With any, WHIP and WHEP use full ICE, otherwise ICE-lite.
    All forms that ``IceServer.read_all`` reads are accepted, here and for ``visitor_ice_servers``."""
    ice_relay_only: bool = False
    """Reach peers only through TURN servers, and announce no other address of this machine."""
    _: KW_ONLY
    token: str | None = field(default=None, repr=False)
    """Bearer token that every client must send, in visible ASCII characters without spaces; None requires none.
    ``/api/stats`` and ``/metrics`` require it, too, or
    else accept either of the next two, if set. ``/healthz`` never requires a token."""
    publish_token: str | None = field(default=None, repr=False)
    """Bearer token for publishers, instead of ``token``."""
    play_token: str | None = field(default=None, repr=False)
    """Bearer token for players, instead of ``token``."""
    tls_certificate: str | Path | None = None
    """PEM file with the certificate chain for HTTPS; requires ``tls_key``."""
    tls_key: str | Path | None = None
    """PEM file with the private key for HTTPS; requires ``tls_certificate``."""
    tls_self_signed: bool = False
    """Serve HTTPS with a certificate for this machine's names and addresses that nobody has signed, instead of
    ``tls_certificate``. It is kept in the user's folder for such files, and made anew when they change."""
    allow_origins: tuple[str, ...] = ()
    """Web origins (``"https://radio.example"``) whose pages may use the server, besides its own page; ``("*",)`` allows
    all. The server refuses requests of other pages with 403. Programs that are not browsers send no origin."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks (``"10.0.0.0/8"``) of reverse proxies whose header fields are trusted:
    ``X-Forwarded-For`` (or ``Forwarded``) for ``admit`` and for limits, ``X-Forwarded-Prefix`` for session URLs, and
    ``X-Forwarded-Host`` for the origin of the page. Otherwise all clients behind a proxy count as one."""
    public_url: str | None = None
    """URL at which clients reach this server through a reverse proxy, such as ``"https://radio.example/radio/"``: its
    host is one of ``allowed_hosts``, its page one of the server's own, and session URLs begin with it. For other hosts,
    session URLs begin with the ``X-Forwarded-Prefix`` of ``trusted_proxies``, or else are relative."""
    allowed_hosts: tuple[str, ...] = ()
    """Names of this server (``"radio.example"``, without a port), against DNS rebinding: the server refuses a request
    with another ``Host`` with 421. IP addresses, localhost, this machine's names and those that end in ``.local`` are
    always allowed. Empty: at a loopback, private or link-local address only these, at a public address every name.
    ``("*",)`` allows every name."""
    strict_http: bool = False
    """Refuse what the RFC lets a server refuse: PATCH without If-Match (428); publishers that offer video or other
    sections besides the audio (422; otherwise the answer declines these sections); and players that allow less than the
    server sends, such as a lower bitrate (422; otherwise the answer has a ``Warning`` field)."""
    require_token_on_sessions: bool = False
    """Require the token on PATCH and DELETE, too, although the session URL is already a secret."""
    demo_page: bool = True
    """Serve the page at ``GET /``."""
    max_peers_per_address: int | None = None
    """Maximum number of WHIP and WHEP peers from one IPv4 address or IPv6 /64, connecting or connected, 1 to
    ``max_peers``; the server refuses another with 429. None: half of ``max_peers``, rounded up. Unless it equals
    ``max_peers``, the last tenth of all, at least one, is reserved for addresses without a peer (429 for others). Set
    it to ``max_peers`` if all peers come from one address; behind a reverse proxy, set ``trusted_proxies`` instead."""
    max_connections: int = 1000
    """Maximum number of open HTTP connections, 1 to 100000; in addition at most half of the file descriptors that the
    process may open, and fewer when it is about to run out of them. At the maximum a new connection takes the place of
    an idle one, and is refused if there is none."""
    max_connections_per_address: int = 64
    """The same for one IPv4 address or IPv6 /64, 1 to 100000. Does not apply to ``trusted_proxies``."""
    fallback_bitrates_kbps: tuple[int, ...] = ()
    """Bitrates of up to 3 further encodings in kbit/s, below ``bitrate_kbps``, the highest first; see
    ``ChannelConfig.bitrates_kbps``. Also those of every channel without bitrates of its own."""
    calls: InitialCallState | None = None
    """Let guests call, at ``/call`` and with ``add_peer``: they hear the channel ``"main"`` and each other, and its
    listeners hear those on air. The value is the state in which a call begins. None: there are no calls."""
    max_calls: int = 20
    """Maximum number of callers, connecting or connected, 1 to 50; the server refuses another with 503. Each needs an
    encoder, and counts as one of ``max_peers``, too."""
    call_requires_invite: bool = False
    """Refuse callers without an invite from the start. False: as soon as the first invite has been made; before, they
    need what publishers need."""
    desk_token: str | None = field(default=None, repr=False)
    """Bearer token of the producers, for the desk at ``/desk`` and its API; None: there is no desk. Requires
    ``calls``."""
    record_calls: str | Path | None = None
    """Folder in which each call is recorded from its beginning, as received, in an Ogg Opus file; it is made if it does
    not exist. The desk can stop and start each recording. Requires ``calls``."""
    record_programme: str | Path | None = None
    """File in which the channel ``"main"`` is recorded from the start, as it is sent, in Ogg Opus. ``{date}`` and
    ``{time}`` are replaced; a file that exists is not overwritten: the new one is numbered."""
    record_rotate_s: float = 0.0
    """Length of each of these files in seconds, at least 1; then the next one begins without a gap. 0: one file."""
    fan_out_threads: int | None = None
    """How many threads may send one channel's packets, 1 to 16: with every 250 listeners another one helps. None: as
    many as the machine has cores."""

    def __post_init__(self) -> None:
        StreamConfig.__post_init__(self)  # super() would refer to the class without slots.
        fallback_kbps = _checked_bitrates(
            "fallback_bitrates_kbps", self.fallback_bitrates_kbps, most=_MAX_ENCODINGS - 1
        )
        object.__setattr__(self, "fallback_bitrates_kbps", fallback_kbps)
        _checked_bitrates("bitrate_kbps with fallback_bitrates_kbps", self.bitrates_kbps)
        _require_range("max_peers", self.max_peers, 1, 10_000)
        if self.max_peers_per_address is not None:
            _require_range("max_peers_per_address", self.max_peers_per_address, 1, self.max_peers)
        _require_range("http_port", self.http_port, 0, 65_535)
        _require_range("udp_port", self.udp_port, 0, 65_535)
        _require(self.calls in (None, "waiting", "on_air"), "calls", self.calls, '"waiting", "on_air" or None')
        is_two_way = self.signaling_mode in ("http", "callback")
        _require(self.calls is None or is_two_way, "calls", self.calls, 'signaling_mode "http" or "callback"')
        _require_range("max_calls", self.max_calls, 1, MAX_CALLS)
        has_calls = self.calls is not None
        if self.desk_token is not None and self.signaling_mode != "http":
            raise ConfigError(f'desk_token is set, but signaling_mode is {self.signaling_mode!r}; expected "http"')
        if self.desk_token is not None and self.desk_token in (self.token, self.publish_token, self.play_token):
            raise ConfigError("desk_token is also the token of clients; expected one that only producers have")
        for name in ("call_requires_invite", "record_calls", "desk_token"):
            if getattr(self, name) and not has_calls:
                raise ConfigError(f"{name} is set, but there are no calls; expected also calls")
        if self.fan_out_threads is not None:
            _require_range("fan_out_threads", self.fan_out_threads, 1, MAX_FAN_OUT_THREADS)
        _require_range("max_connections", self.max_connections, 1, 100_000)
        _require_range("max_connections_per_address", self.max_connections_per_address, 1, 100_000)
        _require(self.signaling_mode in _MODES, "signaling_mode", self.signaling_mode, f"one of {_MODES}")
        self._check_addresses()
        self._check_ice_servers()
        if self.public_url is not None:
            public_origin(self.public_url)
        _require(isinstance(self.http_host, str) and self.http_host != "", "http_host", self.http_host, "an address")
        for name in ("token", "publish_token", "play_token", "desk_token"):
            require_token(name, getattr(self, name))
        _require_secret("turn_secret", self.turn_secret)
        for name, what in (
            ("tls_certificate", "the path of a PEM file"),
            ("tls_key", "the path of a PEM file"),
            ("record_calls", "the path of a folder"),
            ("record_programme", "the path of a file"),
        ):
            path = getattr(self, name)
            _require(path is None or (isinstance(path, (str, Path)) and path != ""), name, path, what)
        rotate_s = self.record_rotate_s
        is_number = isinstance(rotate_s, (int, float)) and not isinstance(rotate_s, bool)
        can_rotate = is_number and (rotate_s == 0 or 1 <= rotate_s < math.inf)
        _require(can_rotate, "record_rotate_s", rotate_s, "0, or at least 1")
        both = (self.tls_certificate is None) == (self.tls_key is None)
        _require(both, "one of tls_certificate and tls_key", None, "both or neither")
        is_one = self.tls_certificate is None or not self.tls_self_signed
        _require(is_one, "tls_self_signed", True, "either this or a tls_certificate")

    @property
    def bitrates_kbps(self) -> tuple[int, ...]:
        """Bitrates of all encodings in kbit/s, the highest first."""
        return (self.bitrate_kbps, *self.fallback_bitrates_kbps)

    def _check_addresses(self) -> None:
        for ip in self.public_ips:
            _require(_is_ip(ip), "public_ips", ip, "IP addresses, not names")
        is_reachable = self.announce_local_addresses or bool(self.public_ips or self.ice_servers)
        _require(is_reachable, "announce_local_addresses", False, "also public_ips or ice_servers")
        for network in self.trusted_proxies:
            _require(
                _is_network(network), "trusted_proxies", network, "IP addresses and networks, such as '10.0.0.0/8'"
            )
        _require(isinstance(self.allowed_hosts, (tuple, list)), "allowed_hosts", self.allowed_hosts, "a tuple of names")
        for name in self.allowed_hosts:
            is_name = isinstance(name, str) and _HOST_NAME.fullmatch(name) is not None
            _require(is_name, "allowed_hosts", name, "host names without a port")
        _require(
            isinstance(self.allow_origins, (tuple, list)), "allow_origins", self.allow_origins, "a tuple of origins"
        )
        for origin in self.allow_origins:
            if origin != "*":
                checked_origin(origin)

    def _check_ice_servers(self) -> None:
        for name in ("ice_servers", "visitor_ice_servers"):
            try:
                object.__setattr__(self, name, IceServer.read_all(getattr(self, name)))
            except ConfigError as error:
                raise ConfigError(f"{name}: {error}") from None
        for server in self.visitor_ice_servers:
            server.check_for_visitors()
            has_credentials = not server.is_turn or server.username is not None or self.turn_secret is not None
            _require(has_credentials, "turn_secret", None, f"a secret, or a username and a credential for {server.url}")
        has_relay = any(one.is_turn for one in self.ice_servers)
        _require(has_relay or not self.ice_relay_only, "ice_relay_only", True, "a TURN server among ice_servers")


def public_origin(url: str) -> str:
    """Return the origin of a ``public_url``, in lower case.

    Raises:
        ConfigError: It is not an http or https URL, or has a query or a fragment.
    """
    match = _PUBLIC_URL.fullmatch(url) if isinstance(url, str) else None
    _require(match is not None, "public_url", url, "a URL such as 'https://radio.example/radio/'")
    return match["origin"].lower() if match else ""


def checked_origin(origin: str) -> str:
    """Return an entry of ``allow_origins`` in lower case.

    ``null`` is refused, because all sandboxed frames and local files share it.

    Raises:
        ConfigError: It is not a web origin.
    """
    expected = "origins without a path, such as 'https://radio.example', or '*'"
    is_origin = isinstance(origin, str) and _ORIGIN.fullmatch(origin.lower()) is not None
    _require(is_origin, "allow_origins", origin, expected)
    return origin.lower()


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {value!r}; expected {expected}")


def _require_range(name: str, value: int, lowest: int, highest: int) -> None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    _require(is_number and lowest <= value <= highest, name, value, f"a whole number, {lowest} to {highest}")


def _checked_bitrates(name: str, bitrates: object, most: int = _MAX_ENCODINGS) -> tuple[int, ...]:
    expected = f"at most {most} whole numbers, 6 to 510, each below the one before"
    is_list = isinstance(bitrates, (tuple, list)) and len(bitrates) <= most
    _require(is_list and all(map(_is_bitrate, cast("Sequence[object]", bitrates))), name, bitrates, expected)
    checked = tuple(cast("Sequence[int]", bitrates))
    _require(all(higher > lower for higher, lower in itertools.pairwise(checked)), name, bitrates, expected)
    return checked


def _is_bitrate(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 6 <= value <= 510


def check_channel_name(name: object) -> None:
    """Check the name of a channel, which is a part of a URL and of a label in the metrics.

    Raises:
        ConfigError: It is not 1 to 64 letters, digits, dots, underscores and hyphens, or begins with a dot.
    """
    is_name = isinstance(name, str) and _CHANNEL_NAME.fullmatch(name) is not None
    expected = "1 to 64 of the characters A-Z a-z 0-9 . _ -, not beginning with a dot"
    _require(is_name, "the name of a channel", name, expected)


def require_token(name: str, token: object) -> None:
    """Check a bearer token: None, or what a header field and a browser can carry. The error does not show it.

    Wider than the ``b64token`` of RFC 6750, 2.1, which browsers and OBS do not enforce.

    Raises:
        ConfigError: It is not a string, empty, or has spaces, control or non-ASCII characters.
    """
    _require_form(
        name, token, _TOKEN, "visible ASCII characters without spaces and without 'Bearer', or None for no token"
    )


def _require_secret(name: str, secret: object) -> None:
    _require_form(name, secret, _SECRET, "characters without control characters or spaces around them, or None")


def _require_form(name: str, secret: object, form: re.Pattern[str], expected: str) -> None:
    if secret is None or (isinstance(secret, str) and form.fullmatch(secret)):
        return
    what = f"of type {type(secret).__name__}" if not isinstance(secret, str) else "unusable" if secret else "empty"
    raise ConfigError(f"{name} is {what}; expected {expected}")


def _ice_url_error(url: str, problem: str) -> ConfigError:
    """The error about a URL, without the credentials in it."""
    before, at, host = url.rpartition("@")
    shown = f"{before.partition(':')[0]}:...@{host}" if at else url
    return ConfigError(f"ICE server {shown[:80]!r} cannot be used: {problem}")


def bracketed(host: str) -> str:
    """Return a host as it is written in a URL or before a port: IPv6 addresses in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def _is_ip(text: object) -> bool:
    try:
        ipaddress.ip_address(str(text))
    except ValueError:
        return False
    return True


def _is_network(text: object) -> bool:
    try:
        ipaddress.ip_network(str(text))
    except ValueError:
        return False
    return True
