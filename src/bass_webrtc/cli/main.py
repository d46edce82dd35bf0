"""The command line: ``serve``, ``push``, ``pull``, ``devices``, ``doctor``, ``capi``.

Exit codes: 0 after Ctrl-C or SIGTERM, 2 for bad arguments, 1 for a failure, which is told in one line.
Standard output carries what was asked for; everything else goes to standard error.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape

from .. import __version__
from ..bass import devices as bass_devices
from ..bass import open_recording
from ..client.clients import WhepClient, WhipClient
from ..config import IceServer, ServerConfig, parse_ice_server
from ..errors import BassWebRtcError, ConfigError
from ..server.server import Server
from ..sources import BassFile, PcmSource, Source, Tone
from . import capi as cli_capi
from . import demo, doctor, endpoint_doctor, live_table, options
from . import push_pull as cli_clients
from .endpoint_doctor import Protocol
from .input_player import Hearing

Number = TypeVar("Number", int, float)

_TABLE_EVERY_S = 0.5
_LEVEL_STYLES = {"ok": "green", "warning": "yellow", "error": "red"}

app = typer.Typer(
    help="BASS audio in browsers, over WebRTC.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _global_options(
    version: Annotated[bool, typer.Option("--version", help="Say the version and leave.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def serve(
    source: options.SourceName = None,
    host: options.Host = "127.0.0.1",
    port: options.Port = 8080,
    udp_port: options.UdpPort = 8189,
    public_ip: options.PublicIp = None,
    no_local_addresses: options.NoLocalAddresses = False,
    ice_server: options.IceServerUrl = None,
    max_peers: options.MaxPeers = 5,
    bitrate: options.Bitrate = 128,
    frame_ms: options.FrameMs = 20,
    loop: options.Loop = False,
    token: options.Token = None,
    visitor_ice_server: options.VisitorIceServerUrl = None,
    turn_secret: options.TurnSecret = None,
    tls_cert: options.TlsCertificate = None,
    tls_key: options.TlsKey = None,
    input_device: options.InputDevice = "none",
    record_input: options.RecordInput = None,
    stats_every: options.StatsEvery = None,
) -> None:
    """Play a source in browsers, until Ctrl-C or SIGTERM."""
    with _as_bad_arguments():
        hearing = Hearing(input_device, record_input)
        config = ServerConfig(
            http_host=host,
            http_port=port,
            udp_port=udp_port,
            public_ips=tuple(public_ip or ()),
            announce_local_addresses=not no_local_addresses,
            ice_servers=_ice_servers(ice_server),
            max_peers=max_peers,
            bitrate_kbps=bitrate,
            frame_ms=frame_ms,
            token=token,
            visitor_ice_servers=tuple(map(IceServer, visitor_ice_server or ())),
            turn_secret=turn_secret,
            tls_certificate=tls_cert,
            tls_key=tls_key,
            decode_stream=hearing.decode_stream,
        )
    stop = _stop_on_signals()
    with hearing.open(), _opened(source, loop) as opened, Server(opened, config) as server:
        server.on("source_ended", lambda: typer.echo("the source has ended; silence goes on", err=True))
        server.start()
        with hearing.hear(server, _say_that_recording_stopped):
            typer.echo(f"listening on {server.url}", err=True)
            if stats_every is not None:
                _print_json_lines(server, stop, stats_every)
            elif sys.stdout.isatty():
                _show_table(server, stop, config.max_peers)
            else:
                stop.wait()


@app.command()
def push(
    source: Annotated[str, typer.Argument(help="File, URL, tone[:HZ] or device[:N].")],
    url: Annotated[str, typer.Argument(help="Of the WHIP endpoint.")],
    token: Annotated[
        str | None, typer.Option(envvar="BASS_WEBRTC_TOKEN", help="Bearer token, without the word Bearer.")
    ] = None,
    bitrate: Annotated[int, typer.Option(help="Of the Opus stream, in kbit/s, 6 to 510.")] = 128,
    ice_server: options.ClientIceServerUrl = None,
    loop: Annotated[bool, typer.Option(help="Start a file again at its end.")] = False,
) -> None:
    """Push a source to a WHIP server, until its end, Ctrl-C or SIGTERM."""

    def make(opened: Source) -> WhipClient:
        with _as_bad_arguments():
            return WhipClient(opened, url, token, bitrate, _ice_servers(ice_server))

    cli_clients.push(_opened(source, loop), make, _stop_on_signals())


@app.command()
def pull(
    url: Annotated[str, typer.Argument(help="Of the WHEP endpoint.")],
    token: Annotated[
        str | None, typer.Option(envvar="BASS_WEBRTC_TOKEN", help="Bearer token, without the word Bearer.")
    ] = None,
    buffer_ms: Annotated[int, typer.Option(help="With how much delay it begins at most; it adapts.")] = 100,
    output_device: Annotated[
        str | None,
        typer.Option(
            metavar="none|default|N", help="Where it is played: an output of BASS. default, or with --record none."
        ),
    ] = None,
    ice_server: options.ClientIceServerUrl = None,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE.wav", help="What comes; written over what is there.")
    ] = None,
) -> None:
    """Play or record what a WHEP server sends, until Ctrl-C or SIGTERM."""
    with _as_bad_arguments():
        hearing = cli_clients.hearing_of(output_device, record)
        client = WhepClient(url, token, buffer_ms, hearing.decode_stream, _ice_servers(ice_server))
    cli_clients.pull(client, hearing, _stop_on_signals(), _say_that_recording_stopped)


@app.command()
def devices() -> None:
    """List the outputs and inputs that BASS sees."""
    for kind, found in (("output", bass_devices.outputs()), ("input", bass_devices.inputs())):
        for device in found:
            note = "  (default)" if device.is_default else "" if device.is_enabled else "  (not there now)"
            typer.echo(f"{kind:6} {device.index:3}  {device.name}{note}")


@app.command(name="doctor")
def examine(
    url: Annotated[
        str | None, typer.Argument(help="Of a WHIP or WHEP endpoint to try. None: this machine.", show_default=False)
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="BASS_WEBRTC_TOKEN", help="Bearer token, without the word Bearer.")
    ] = None,
    protocol: Annotated[Protocol | None, typer.Option(help="What it speaks, if its URL does not say.")] = None,
) -> None:
    """Say what works, what does not, and what to do about it. Exit code 1 where something is missing."""
    console = Console(soft_wrap=True, highlight=False)
    with _as_bad_arguments():
        findings = doctor.examine() if url is None else endpoint_doctor.examine_endpoint(url, token, protocol)
    failed = False
    for finding in findings:
        console.print(f"[{_LEVEL_STYLES[finding.level]}]{finding.level:8}[/] {finding.title}: {escape(finding.detail)}")
        if finding.advice:
            console.print(f"         {escape(finding.advice)}", style="dim")
        failed |= finding.level == "error"
    if failed:
        raise typer.Exit(1)


app.add_typer(cli_capi.app, name="capi")


def main() -> None:
    """Runs the command line and exits with its code."""
    try:
        app()
    except (BassWebRtcError, OSError) as error:
        typer.echo(f"bass-webrtc: {error}", err=True)
        sys.exit(1)


@contextmanager
def _as_bad_arguments() -> Iterator[None]:
    """What is wrong with a setting is wrong with the argument that it came from: code 2."""
    try:
        yield
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from None


def _stop_on_signals() -> threading.Event:
    """Set by the first Ctrl-C or SIGTERM. A second one ends the process at once."""
    stop = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    return stop


@contextmanager
def _opened(text: str | None, loop: bool) -> Iterator[Source]:
    """What SOURCE names. Leaving closes it, after the server that plays it."""
    if text is None:
        with _demo_programme() as source:
            yield source
        return
    name, colon, number = text.partition(":")
    if name == "tone":
        with _as_bad_arguments():
            tone = Tone(_number(float, number, "tone:HZ")) if colon else Tone()
        yield tone
    elif name == "device":
        with open_recording(_number(int, number, "device:N") if colon else None) as recording:
            yield recording.handle
    else:
        yield BassFile(text, loop=loop)


def _ice_servers(texts: list[str] | None) -> tuple[IceServer, ...]:
    return tuple(map(_ice_server, texts or ()))


def _ice_server(text: str) -> IceServer:
    """``turn:USER:PASSWORD@HOST`` as a server and its credentials, which a URL cannot carry (RFC 7065, 3.1)."""
    scheme, colon, rest = text.partition(":")
    credentials, _, address = rest.rpartition("@")
    username, _, credential = credentials.rpartition(":")  # A time-limited user name has a colon of its own.
    server = IceServer(f"{scheme}{colon}{address}", username or None, credential or None)
    parse_ice_server(server.url, server.username, server.credential)
    return server


def _say_that_recording_stopped(error: OSError) -> None:
    typer.echo(f"bass-webrtc: the recording has stopped: {error}", err=True)


@contextmanager
def _demo_programme() -> Iterator[PcmSource]:
    source = PcmSource()
    programme = demo.DemoProgramme(source, demo.render())
    programme.start()
    try:
        yield source
    finally:
        programme.close()


def _number(kind: Callable[[str], Number], text: str, form: str) -> Number:
    try:
        return kind(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number; expected {form}", param_hint="SOURCE") from None


def _print_json_lines(server: Server, stop: threading.Event, every_s: float) -> None:
    while not stop.wait(every_s):
        typer.echo(json.dumps(server.stats().as_dict()))


def _show_table(server: Server, stop: threading.Event, max_peers: int) -> None:
    before, before_s = server.stats(), time.monotonic()
    with Live(auto_refresh=False) as live:
        while not stop.wait(_TABLE_EVERY_S):
            now, now_s = server.stats(), time.monotonic()
            live.update(live_table.render(now, before, now_s - before_s, max_peers), refresh=True)
            before, before_s = now, now_s
