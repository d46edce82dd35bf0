"""The command line: ``serve``, ``push``, ``pull``, ``devices``, ``doctor``, ``capi``.

Exit codes: 0 after Ctrl-C or SIGTERM, 2 for bad arguments, 1 for a failure, which is reported in one line.
Requested output goes to standard output, everything else to standard error.
"""

from __future__ import annotations

import _thread
import errno
import gc
import io
import itertools
import json
import os
import re
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, TypedDict, TypeVar, cast
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from typer.core import TyperCommand

from .. import __version__
from ..bass import devices as bass_devices
from ..client.clients import WhepClient, WhipClient
from ..config import (
    MAIN,
    Application,
    IceServer,
    InitialCallState,
    ReceiveEnhancement,
    ServerConfig,
    SignalingMode,
    bracketed,
    usable_ice_servers,
)
from ..errors import BassWebRtcError, ConfigError, PortInUseError
from ..host_process import reserve_standard_descriptors
from ..limited_log import LEVELS, log_to_standard_error
from ..loop_thread import wait_for_event
from ..peer.ice.addresses import local_addresses
from ..rtc.candidate import is_loopback
from ..server import self_signed
from ..server.server import Server
from ..signaling.server.invites import invite_url
from ..sources import BassFile, BassInput, PcmSource, Source, SourceEnd, Tone
from . import capi, demo, doctor, endpoint_doctor, live_table, push_pull
from .endpoint_doctor import Protocol
from .input_player import InputPlayer

Number = TypeVar("Number", int, float)

_TABLE_INTERVAL_S = 0.5
_LEVEL_STYLES = {"ok": "green", "warning": "yellow", "error": "red"}
_SOURCE_FORM = "a file, a URL, tone[:HZ] or device[:N]"
_ICE_SERVER_FORM = "stun:HOST or turn:USER:PASSWORD@HOST; repeatable"
_OPTION_OF_FIELD = {
    "http_host": "--host",
    "http_port": "--port",
    "udp_port": "--udp-port",
    "public_ips": "--public-ip",
    "public_url": "--public-url",
    "announce_local_addresses": "--no-local-addresses",
    "ice_servers": "--ice-server",
    "ice_relay_only": "--relay-only",
    "visitor_ice_servers": "--visitor-ice-server",
    "turn_secret": "--turn-secret",
    "max_peers": "--max-peers",
    "max_peers_per_address": "--max-peers-per-address",
    "max_connections": "--max-connections",
    "max_connections_per_address": "--max-connections-per-address",
    "signaling_mode": "--signaling-mode",
    "demo_page": "--no-page",
    "bitrate_kbps": "--bitrate",
    "fallback_bitrates_kbps": "--fallback-bitrate",
    "fan_out_threads": "--fan-out-threads",
    "calls": "--calls",
    "max_calls": "--max-calls",
    "call_requires_invite": "--call-requires-invite",
    "desk_token": "--desk-token",
    "record_calls": "--record-calls",
    "record_programme": "--record-programme",
    "record_rotate_s": "--record-rotate",
    "frame_ms": "--frame-ms",
    "complexity": "--complexity",
    "application": "--application",
    "fec": "--no-fec",
    "dtx": "--dtx",
    "token": "--token",
    "publish_token": "--publish-token",
    "play_token": "--play-token",
    "require_token_on_sessions": "--require-token-on-sessions",
    "strict_http": "--strict-http",
    "tls_certificate": "--tls-cert",
    "tls_key": "--tls-key",
    "tls_self_signed": "--tls-self-signed",
    "allowed_hosts": "--allowed-host",
    "allow_origins": "--allow-origin",
    "trusted_proxies": "--trusted-proxy",
    "buffer_ms": "--buffer-ms",
    "receive_enhancement": "--receive-enhancement",
    "trusted_origins": "--trusted-origin",
    "forbid_private": "--allow-private",
    "tls": "--tls-ca",
    "url": "URL",
}
"""Which argument sets a configuration field, for error messages."""
_SERVE_HEADINGS = {
    "host": "Addresses",
    "ice_server": "STUN and TURN",
    "max_peers": "Limits",
    "signaling_mode": "HTTP",
    "bitrate": "Audio",
    "token": "Tokens",
    "tls_cert": "HTTPS, other hosts and proxies",
    "calls": "Calls",
    "input_device": "Incoming audio and recordings",
    "stats_every": "Other options",
}
"""Which heading of the help begins with which option."""


_INVITE_USES = 20
"""Of ``--invite``: a guest may reload the page."""


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number; expected a whole number") from None


def _not_empty_in_environment(param: typer.CallbackParam, value: str | None) -> str | None:
    """Refuse an environment variable that is set but empty; click would ignore it, and a server be open to everyone."""
    variable = str(param.envvar)
    if value is None and variable in os.environ:
        raise typer.BadParameter(f"{variable} is empty; expected a value, or unset it")
    return value


BitrateOption = Annotated[
    int, typer.Option(parser=_whole_number, metavar="KBPS", help="Bitrate of the Opus stream in kbit/s, 6 to 510.")
]
BufferOption = Annotated[
    int,
    typer.Option(parser=_whole_number, metavar="MS", help="Initial delay of the jitter buffer in ms; it adapts."),
]
EnhancementOption = Annotated[
    str, typer.Option(metavar="auto|on|off", help="Enhance received speech, with a neural network of libopus.")
]
LoopOption = Annotated[bool, typer.Option(help="Start a file again when it ends.", show_default=False)]
TokenToSend = Annotated[
    str | None,
    typer.Option(
        metavar="TOKEN",
        envvar="BASS_WEBRTC_TOKEN",
        callback=_not_empty_in_environment,
        help='Bearer token, without the word "Bearer".',
    ),
]
ClientIceServerUrls = Annotated[
    list[str] | None,
    typer.Option(metavar="URL", help=f"STUN or TURN server, instead of those the server names: {_ICE_SERVER_FORM}."),
]
TrustedOrigins = Annotated[
    list[str] | None,
    typer.Option(
        "--trusted-origin", metavar="ORIGIN", help="Send the token to this origin, too, after a redirect; repeatable."
    ),
]
TlsCa = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca", metavar="FILE", help="Trust the certificates in this file (PEM), instead of the system's."
    ),
]


def _log_level(text: str) -> str:
    if text not in LEVELS:
        raise typer.BadParameter(f"{text!r} is not a level; expected one of {', '.join(LEVELS)}")
    log_to_standard_error(text)
    return text


LogLevel = Annotated[
    str,
    typer.Option(metavar="|".join(LEVELS), callback=_log_level, help="Log lines to print on standard error."),
]
AllowPrivate = Annotated[
    bool,
    typer.Option("--allow-private", help="Follow redirects and session URLs into private networks."),
]

# Plain help: the boxes of Rich leave 23 of 80 columns to the text.
app = typer.Typer(
    help="Connect the BASS audio library to WebRTC.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _global_options(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


class _ServeCommand(TyperCommand):
    """Prints the options of ``serve`` under headings."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section of the help per heading."""
        sections: dict[str, list[tuple[str, str]]] = {}
        heading = "Arguments"
        for parameter in self.get_params(ctx):
            heading = _SERVE_HEADINGS.get(str(parameter.name), heading)
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(heading, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


# Help is not in docstrings, which python -OO removes.
@app.command(
    cls=_ServeCommand, help="Serve a source to browsers and receive their audio.\n\nRuns until Ctrl-C or SIGTERM."
)
def serve(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help=f"What to play: {_SOURCE_FORM}. Default: the demo programme.",
            show_default=False,
        ),
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SOURCE", help="Serve this channel, too, at /?channel=NAME and /whep/NAME; repeatable."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address of the HTTP server; 0.0.0.0 or :: for all.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(parser=_whole_number, metavar="PORT", help="TCP port of the HTTP server; 0 picks a free one."),
    ] = 8080,
    udp_port: Annotated[
        int,
        typer.Option(
            parser=_whole_number,
            metavar="PORT",
            help="UDP port of all peers, on all local addresses whatever --host is; 0 picks a free one.",
        ),
    ] = 8189,
    public_ip: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Announce this address to clients, too; repeatable."),
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(metavar="URL", help="URL of this server behind a reverse proxy, with its path.")
    ] = None,
    no_local_addresses: Annotated[
        bool, typer.Option("--no-local-addresses", help="Announce only the addresses given with --public-ip.")
    ] = False,
    ice_server: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help=f"STUN or TURN server, if this machine is behind a NAT: {_ICE_SERVER_FORM}."),
    ] = None,
    relay_only: Annotated[
        bool, typer.Option("--relay-only", help="Reach peers through the TURN servers of --ice-server only.")
    ] = False,
    visitor_ice_server: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Tell clients to use this STUN or TURN server; repeatable."),
    ] = None,
    turn_secret: Annotated[
        str | None,
        typer.Option(
            metavar="SECRET",
            envvar="BASS_WEBRTC_TURN_SECRET",
            callback=_not_empty_in_environment,
            show_envvar=True,
            help="Secret shared with these TURN servers (coturn: static-auth-secret).",
        ),
    ] = None,
    max_peers: Annotated[
        int, typer.Option(parser=_whole_number, metavar="N", help="Maximum number of connected peers, 1 to 10000.")
    ] = 5,
    max_peers_per_address: Annotated[
        int | None,
        typer.Option(
            parser=_whole_number,
            metavar="N",
            help="Maximum number of peers from one address.  [default: half of --max-peers]",
            show_default=False,
        ),
    ] = None,
    fan_out_threads: Annotated[
        int | None,
        typer.Option(
            parser=_whole_number,
            metavar="N",
            help="How many threads may send one channel's packets, 1 to 16.  [default: one per core]",
            show_default=False,
        ),
    ] = None,
    max_connections: Annotated[
        int, typer.Option(parser=_whole_number, metavar="N", help="Maximum number of open HTTP connections.")
    ] = 1000,
    max_connections_per_address: Annotated[
        int,
        typer.Option(
            parser=_whole_number, metavar="N", help="Maximum number of open HTTP connections from one address."
        ),
    ] = 64,
    signaling_mode: Annotated[
        str, typer.Option(metavar="http|whip|whep", help="Serve everything, or only WHIP, or only WHEP.")
    ] = "http",
    no_page: Annotated[bool, typer.Option("--no-page", help="Do not serve the web page.")] = False,
    strict_http: Annotated[
        bool, typer.Option("--strict-http", help="Refuse what the WHIP RFC lets a server refuse.")
    ] = False,
    bitrate: BitrateOption = 128,
    fallback_bitrate: Annotated[
        list[int] | None,
        typer.Option(
            parser=_whole_number,
            metavar="KBPS",
            help="Encode at this lower bitrate, too, for listeners whose network carries no more; repeatable.",
        ),
    ] = None,
    frame_ms: Annotated[
        int,
        typer.Option(parser=_whole_number, metavar="MS", help="Duration of an Opus frame in ms: 10, 20, 40 or 60."),
    ] = 20,
    complexity: Annotated[
        int,
        typer.Option(parser=_whole_number, metavar="N", help="Effort of the Opus encoder, 0 to 10 (best quality)."),
    ] = 10,
    application: Annotated[
        str, typer.Option(metavar="audio|voip|lowdelay", help="What to tune the Opus encoder for.")
    ] = "audio",
    no_fec: Annotated[bool, typer.Option("--no-fec", help="Send no in-band error correction for speech.")] = False,
    dtx: Annotated[bool, typer.Option("--dtx", help="Send nothing while the source is silent.")] = False,
    buffer_ms: BufferOption = 100,
    receive_enhancement: EnhancementOption = "auto",
    loop: LoopOption = False,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            envvar="BASS_WEBRTC_TOKEN",
            callback=_not_empty_in_environment,
            help="Require this bearer token from every client.",
        ),
    ] = None,
    publish_token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            envvar="BASS_WEBRTC_PUBLISH_TOKEN",
            callback=_not_empty_in_environment,
            help="Require this token from publishers, instead of --token.",
        ),
    ] = None,
    play_token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            envvar="BASS_WEBRTC_PLAY_TOKEN",
            callback=_not_empty_in_environment,
            help="Require this token from players, instead of --token.",
        ),
    ] = None,
    require_token_on_sessions: Annotated[
        bool,
        typer.Option("--require-token-on-sessions", help="Require the token on requests to session URLs, too."),
    ] = False,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Serve HTTPS with this certificate chain (PEM).")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Private key of the certificate (PEM).")] = None,
    tls_self_signed: Annotated[
        bool,
        typer.Option(
            "--tls-self-signed",
            help="Serve HTTPS with a self-signed certificate, so that browsers in the LAN allow the microphone.",
        ),
    ] = False,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help='Serve requests to this host name, too; "*" for all; repeatable.'),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help='Let pages of this web origin use the server; "*" for all; repeatable.'),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Trust X-Forwarded-* of this proxy or network; repeatable."),
    ] = None,
    calls: Annotated[
        str | None,
        typer.Option(
            metavar="waiting|on-air", help="Let guests call at /call; a new caller waits, or is on air at once."
        ),
    ] = None,
    desk_token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            envvar="BASS_WEBRTC_DESK_TOKEN",
            callback=_not_empty_in_environment,
            help="Serve the producers' desk at /desk, with this token.",
        ),
    ] = None,
    invite: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Print a link with which this guest may call for 24 hours; repeatable."),
    ] = None,
    hold: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help=f"Play this to callers who wait, not the programme: {_SOURCE_FORM}."),
    ] = None,
    call_requires_invite: Annotated[
        bool, typer.Option("--call-requires-invite", help="Refuse callers without an invite before the first is made.")
    ] = False,
    max_calls: Annotated[
        int, typer.Option(parser=_whole_number, metavar="N", help="Maximum number of callers, 1 to 50.")
    ] = 20,
    input_device: Annotated[
        str,
        typer.Option(metavar="none|default|N", help="Play incoming audio on this BASS output."),
    ] = "none",
    record_input: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Record incoming audio to a WAV file (overwrites it).")
    ] = None,
    record_calls: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Record each call as received, in an Ogg Opus file.")
    ] = None,
    record_programme: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Record what listeners hear in an Ogg Opus file; {date}, {time}."),
    ] = None,
    record_rotate: Annotated[
        float, typer.Option(metavar="SECONDS", help="Begin a new file of both after this time; 0: never.")
    ] = 0.0,
    stats_every: Annotated[
        float | None,
        typer.Option(
            min=0.1, metavar="SECONDS", help="Print statistics as JSON lines at this interval, not the live table."
        ),
    ] = None,
    log_level: LogLevel = "info",
) -> None:
    with _config_errors_as_usage_errors():
        player = InputPlayer(input_device, record_input)
        config = ServerConfig(
            http_host=host,
            http_port=port,
            udp_port=udp_port,
            public_ips=tuple(public_ip or ()),
            public_url=public_url,
            announce_local_addresses=not no_local_addresses,
            ice_servers=_ice_servers(ice_server),
            ice_relay_only=relay_only,
            max_peers=max_peers,
            max_peers_per_address=max_peers_per_address,
            fan_out_threads=fan_out_threads,
            max_connections=max_connections,
            max_connections_per_address=max_connections_per_address,
            signaling_mode=_signaling_mode(signaling_mode),
            demo_page=not no_page,
            bitrate_kbps=bitrate,
            fallback_bitrates_kbps=tuple(sorted(fallback_bitrate or (), reverse=True)),
            frame_ms=frame_ms,
            complexity=complexity,
            application=cast("Application", application),
            fec=not no_fec,
            dtx=dtx,
            buffer_ms=buffer_ms,
            receive_enhancement=cast("ReceiveEnhancement", receive_enhancement),
            token=token,
            publish_token=publish_token,
            play_token=play_token,
            require_token_on_sessions=require_token_on_sessions,
            strict_http=strict_http,
            visitor_ice_servers=_visitor_ice_servers(visitor_ice_server),
            turn_secret=turn_secret,
            tls_certificate=tls_cert,
            tls_key=tls_key,
            tls_self_signed=tls_self_signed,
            allow_origins=tuple(allow_origin or ()),
            trusted_proxies=tuple(trusted_proxy or ()),
            allowed_hosts=tuple(allowed_host or ()),
            decode_stream=player.decode_stream,
            calls=_call_state(calls),
            max_calls=max_calls,
            call_requires_invite=call_requires_invite,
            desk_token=desk_token,
            record_calls=record_calls,
            record_programme=record_programme,
            record_rotate_s=record_rotate,
        )
    if invite and config.calls is None:
        raise typer.BadParameter("there are no calls to invite to; add --calls", param_hint="--invite")
    if hold is not None and config.calls is None:
        raise typer.BadParameter("there are no calls whose callers could wait; add --calls", param_hint="--hold")
    held = _parse_source(hold, loop, "--hold") if hold is not None else None
    channels = [_parse_channel(text, loop) for text in channel or ()]
    if channels and config.signaling_mode == "whip":
        raise typer.BadParameter("--signaling-mode whip has no players to hear it", param_hint="--channel")
    certificate = self_signed.certificate_file(config) if config.tls_self_signed else None
    if certificate is not None:
        config = replace(config, tls_self_signed=False, tls_certificate=certificate, tls_key=certificate)
    stop = _stop_on_signals()
    with player.open_device(), _open_source(source, loop) as opened, Server(opened, config) as server:
        server.on("source_ended", lambda end: _report_end(end, has_channels=bool(channels)))
        for name, its_source in channels:
            with _config_errors_as_usage_errors("--channel"):
                server.add_channel(name, its_source)
        if held is not None:
            server.set_hold(held)
        server.start()
        with player.play(server, _report_recording_error):
            typer.echo(f"listening on {server.url}", err=True)
            _announce(config, server, certificate)
            if channels:
                _announce_channels(config, server)
            if config.calls is not None:
                _announce_calls(config, server, invite or ())
            if stats_every is not None:
                _print_json_lines(server, stop, stats_every)
            elif sys.stdout is not None and sys.stdout.isatty():
                _show_table(server, stop, config.max_peers)
            else:
                wait_for_event(stop)


@app.command(help="Push a source to a WHIP server.\n\nRuns until the source ends, Ctrl-C or SIGTERM.")
def push(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=f"What to send: {_SOURCE_FORM}.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="WHIP endpoint.")],
    token: TokenToSend = None,
    bitrate: BitrateOption = 128,
    ice_server: ClientIceServerUrls = None,
    loop: LoopOption = False,
    trusted_origin: TrustedOrigins = None,
    allow_private: AllowPrivate = False,
    tls_ca: TlsCa = None,
    log_level: LogLevel = "warning",
) -> None:
    def make(opened: Source) -> WhipClient:
        with _config_errors_as_usage_errors():
            servers = _ice_servers(ice_server)
            return WhipClient(opened, url, token, bitrate, servers, **_trust(trusted_origin, allow_private, tls_ca))

    push_pull.push(_open_source(source, loop), make, _stop_on_signals())


@app.command(help="Play or record a stream from a WHEP server.\n\nRuns until Ctrl-C or SIGTERM.")
def pull(
    url: Annotated[str, typer.Argument(metavar="URL", help="WHEP endpoint.")],
    token: TokenToSend = None,
    buffer_ms: BufferOption = 100,
    receive_enhancement: EnhancementOption = "auto",
    output_device: Annotated[
        str | None,
        typer.Option(
            metavar="none|default|N", help="Play on this BASS output.  [default: default; with --record: none]"
        ),
    ] = None,
    ice_server: ClientIceServerUrls = None,
    record: Annotated[Path | None, typer.Option(metavar="FILE", help="Record to a WAV file (overwrites it).")] = None,
    trusted_origin: TrustedOrigins = None,
    allow_private: AllowPrivate = False,
    tls_ca: TlsCa = None,
    log_level: LogLevel = "warning",
) -> None:
    with _config_errors_as_usage_errors():
        player = InputPlayer(output_device or ("default" if record is None else "none"), record)
        client = WhepClient(
            url,
            token,
            buffer_ms,
            player.decode_stream,
            _ice_servers(ice_server),
            receive_enhancement=cast("ReceiveEnhancement", receive_enhancement),
            **_trust(trusted_origin, allow_private, tls_ca),
        )
    push_pull.pull(client, player, _stop_on_signals(), _report_recording_error)


@app.command(help="List BASS outputs and inputs.")
def devices() -> None:
    for kind, found in (("output", bass_devices.outputs()), ("input", bass_devices.inputs())):
        for device in found:
            note = "  (default)" if device.is_default else "" if device.is_enabled else "  (not available)"
            typer.echo(f"{kind:6} {device.index:3}  {device.name}{note}")


@app.command(
    name="doctor",
    help="Check this machine or an endpoint and suggest fixes.\n\nExits with code 1 if something does not work.",
)
def examine(
    url: Annotated[
        str | None,
        typer.Argument(metavar="URL", help="WHIP or WHEP endpoint to test. Default: this machine.", show_default=False),
    ] = None,
    token: TokenToSend = None,
    protocol: Annotated[
        Protocol | None, typer.Option(metavar="whip|whep", help="Protocol of the endpoint, if its URL does not tell.")
    ] = None,
    trusted_origin: TrustedOrigins = None,
    allow_private: AllowPrivate = False,
    tls_ca: TlsCa = None,
) -> None:
    console = Console(soft_wrap=True, highlight=False)
    with _config_errors_as_usage_errors():
        findings = (
            doctor.examine()
            if url is None
            else endpoint_doctor.examine_endpoint(url, token, protocol, **_trust(trusted_origin, allow_private, tls_ca))
        )
    failed = False
    for finding in findings:
        console.print(f"[{_LEVEL_STYLES[finding.level]}]{finding.level:8}[/] {finding.title}: {escape(finding.detail)}")
        if finding.advice:
            console.print(f"         {escape(finding.advice)}", style="dim")
        failed |= finding.level == "error"
    if failed:
        raise typer.Exit(1)


app.add_typer(capi.app, name="capi")


def main() -> None:
    """Run the command line and exit with its code."""
    # A full garbage collection that looks at everything imported stops the signaling for 50 ms.
    gc.freeze()
    _open_closed_streams()
    # A pipe may have an encoding without arrows and boxes; Windows has such code pages by default.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        app()
    except (ConfigError, PortInUseError) as error:
        _fail(_in_terms_of_options(str(error)))
    except BassWebRtcError as error:
        _fail(str(error))
    except OSError as error:
        if sys.platform == "win32" and error.errno == errno.EINVAL and not (error.winerror or error.filename):
            # The reader of the standard output has closed the pipe. Elsewhere that is EPIPE, which typer handles.
            sys.stdout = None  # Not flushed at exit, which would fail.
            sys.exit(1)
        text = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        _fail(f"{text}; raise the limit with ulimit -n" if error.errno == errno.EMFILE else text)


def _open_closed_streams() -> None:
    """Replace standard streams that do not exist: a service manager has closed them, or Windows has no console."""
    reserve_standard_descriptors()
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  Until the process exits.


def _fail(message: str) -> None:
    typer.echo(f"bass-webrtc: {message}", err=True)
    sys.exit(1)


@contextmanager
def _config_errors_as_usage_errors(argument: str | None = None) -> Iterator[None]:
    """Turn a ``ConfigError`` into a usage error (exit code 2) that names the argument, by default that of the field."""
    try:
        yield
    except ConfigError as error:
        field = re.match(r"(?:one of )?(\w+)", str(error))
        hint = argument or (_OPTION_OF_FIELD.get(field[1]) if field else None)
        raise typer.BadParameter(_in_terms_of_options(str(error)), param_hint=hint) from None


def _in_terms_of_options(message: str) -> str:
    """Replace the names of configuration fields in an error: the first word, and words that are nothing else."""
    text = re.sub(r"^\w+|\b[a-z]+(?:_[a-z]+)+\b", lambda found: _OPTION_OF_FIELD.get(found[0], found[0]), message)
    # A flag may mean the opposite of its field, and nobody types None.
    text = re.sub(r"^(--\S+) is (?:True|False);", r"\1 is set;", text)
    return re.sub(r"^((?:one of )?--[^;']+) is None;", r"\1 is not set;", text)


def _stop_on_signals() -> threading.Event:
    """Return an event that the first Ctrl-C, SIGTERM or on Windows Ctrl-Break sets. A second one kills the process."""
    stop = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        # A thread of its own sets it: this one may be inside stop.wait and hold the lock that set needs.
        _thread.start_new_thread(stop.set, ())

    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform == "win32":
        numbers.append(signal.SIGBREAK)
    for number in numbers:
        signal.signal(number, on_signal)
    return stop


@contextmanager
def _open_source(text: str | None, loop: bool) -> Iterator[Source]:
    """Open what the SOURCE argument names; leave the context only after closing the server that plays it."""
    if text is None:
        with _demo_programme() as source:
            yield source
        return
    yield _parse_source(text, loop, "SOURCE")


def _parse_source(text: str, loop: bool, argument: str) -> Source:
    """Return what a SOURCE names; ``argument`` is where it was given, for error messages."""
    name, colon, number = text.partition(":")
    if name == "tone":
        with _config_errors_as_usage_errors():
            return Tone(_parse_number(float, number, "tone:HZ", argument)) if colon else Tone()
    if name == "device":
        return BassInput(_parse_number(int, number, "device:N", argument) if colon else None)
    return BassFile(text, loop=loop)


def _parse_channel(text: str, loop: bool) -> tuple[str, Source]:
    """Return name and source of a ``--channel``."""
    name, _, source = text.partition("=")
    if not name or not source:
        raise typer.BadParameter(
            f"{text!r} is not a channel; expected NAME=SOURCE, such as jazz=jazz.mp3", param_hint="--channel"
        )
    return name, _parse_source(source, loop, "--channel")


class _Trust(TypedDict, total=False):
    trusted_origins: tuple[str, ...]
    forbid_private: bool
    tls: ssl.SSLContext


def _trust(origins: list[str] | None, allow_private: bool, certificates: Path | None) -> _Trust:
    """Return the clients' arguments for ``--trusted-origin``, ``--allow-private`` and ``--tls-ca``."""
    trust: _Trust = {}
    if origins:
        trust["trusted_origins"] = tuple(origins)
    if allow_private:
        trust["forbid_private"] = False
    if certificates is not None:
        try:
            trust["tls"] = ssl.create_default_context(cafile=certificates)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"tls is {str(certificates)!r}: {error.strerror}; expected a PEM file") from None
    return trust


def _signaling_mode(text: str) -> SignalingMode:
    """Return the argument of ``--signaling-mode``; callback signaling needs a program of its own."""
    if text not in ("http", "whip", "whep"):
        raise ConfigError(f"signaling_mode is {text!r}; expected http, whip or whep")
    return cast("SignalingMode", text)


def _announce(config: ServerConfig, server: Server, certificate: Path | None) -> None:
    """Print the URLs for other machines, and what identifies a certificate of our own."""
    if config.public_url is not None:
        typer.echo(f"public URL {config.public_url}", err=True)
    if certificate is not None:
        for address in _addresses_in_network(config):
            typer.echo(f"in the local network https://{bracketed(address)}:{urlsplit(server.url).port}/", err=True)
        typer.echo(f"certificate {certificate}, {self_signed.fingerprint(certificate)}", err=True)


def _addresses_in_network(config: ServerConfig) -> list[str]:
    """Return the addresses at which other machines of the local network reach the server."""
    if config.http_host not in ("0.0.0.0", "::"):
        return []
    found = [address for address in local_addresses() if not is_loopback(address)]
    return [address for address in found if config.http_host == "::" or ":" not in address]


def _announce_channels(config: ServerConfig, server: Server) -> None:
    """Print the link of each channel: of its page, or without a page of its WHEP endpoint."""
    base = (config.public_url or server.url).rstrip("/")
    has_page = config.demo_page and config.signaling_mode == "http"
    for name in server.channels:
        query, path = ("", "") if name == MAIN else (f"?channel={name}", f"/{name}")
        typer.echo(f"channel {name} {base}{f'/{query}' if has_page else f'/whep{path}'}", err=True)


def _call_state(text: str | None) -> InitialCallState | None:
    """Return the argument of ``--calls``."""
    if text not in (None, "waiting", "on-air"):
        raise ConfigError(f"calls is {text!r}; expected waiting or on-air")
    return cast("InitialCallState | None", text and text.replace("-", "_"))


def _announce_calls(config: ServerConfig, server: Server, guests: Sequence[str]) -> None:
    """Print the links of the guests and of the desk."""
    parts = urlsplit(server.url)
    others = [f"{parts.scheme}://{bracketed(address)}:{parts.port}" for address in _addresses_in_network(config)]
    base = (config.public_url or next(iter(others), server.url)).rstrip("/")
    for name in guests:
        secret = server.invite(name, uses=_INVITE_USES).secret
        typer.echo(f"invite for {name} {invite_url(secret, base)}", err=True)
    if not guests and not config.call_requires_invite:
        typer.echo(f"guests call at {base}/call", err=True)
    if config.desk_token is not None:
        typer.echo(f"desk {base}/desk", err=True)
    if base in others and parts.scheme == "http":
        typer.echo("browsers use a microphone over HTTPS only; add --tls-self-signed, or --public-url", err=True)


def _ice_servers(texts: list[str] | None) -> tuple[IceServer, ...]:
    with _config_errors_as_usage_errors("--ice-server"):
        servers = [IceServer.read_all(text) for text in texts or ()]
        for given in servers:  # Each option must name one that can be used.
            usable_ice_servers(given)
    return tuple(itertools.chain(*servers))


def _visitor_ice_servers(texts: list[str] | None) -> tuple[IceServer, ...]:
    with _config_errors_as_usage_errors("--visitor-ice-server"):
        return tuple(itertools.chain(*map(IceServer.read_all, texts or ())))


def _report_end(end: SourceEnd, has_channels: bool) -> None:
    if not end.reopens:  # Otherwise the log tells.
        which = f"source of channel {end.channel}" if has_channels else "source"
        typer.echo(f"{which} ended ({end.name}); sending silence", err=True)


def _report_recording_error(error: OSError) -> None:
    typer.echo(f"bass-webrtc: recording stopped: {error.strerror or error}", err=True)


@contextmanager
def _demo_programme() -> Iterator[PcmSource]:
    source = PcmSource()
    programme = demo.DemoProgramme(source, demo.render())
    programme.start()
    try:
        yield source
    finally:
        programme.close()


def _parse_number(convert: Callable[[str], Number], text: str, form: str, argument: str) -> Number:
    try:
        return convert(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number; expected {form}", param_hint=argument) from None


def _print_json_lines(server: Server, stop: threading.Event, interval_s: float) -> None:
    while not wait_for_event(stop, interval_s):
        typer.echo(json.dumps(server.stats().as_dict()))


def _show_table(server: Server, stop: threading.Event, max_peers: int) -> None:
    before, before_s = server.stats(), time.perf_counter()
    # Lines on a terminal appear above the table; those that go elsewhere stay there.
    with Live(auto_refresh=False, redirect_stderr=sys.stderr is not None and sys.stderr.isatty()) as live:
        while not wait_for_event(stop, _TABLE_INTERVAL_S):
            now, now_s = server.stats(), time.perf_counter()
            live.update(live_table.render(now, before, now_s - before_s, max_peers), refresh=True)
            before, before_s = now, now_s
