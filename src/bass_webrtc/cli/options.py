"""Options of the commands: what typer shows of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_ICE_SERVER_FORM = "stun:HOST[:PORT], turn:USER:PASSWORD@HOST[:PORT][?transport=tcp]"

SourceName = Annotated[
    str | None,
    typer.Argument(help="File, URL, tone[:HZ] or device[:N]. None: the demo programme.", show_default=False),
]
Host = Annotated[str, typer.Option(help="Address of the HTTP server; 0.0.0.0 or :: for all.")]
Port = Annotated[int, typer.Option(help="TCP port of the HTTP server; 0 takes any that is free.")]
UdpPort = Annotated[int, typer.Option(help="The one UDP port of all peers; 0 takes any that is free.")]
PublicIp = Annotated[
    list[str] | None, typer.Option(help="Address to announce besides the machine's own; may be given again.")
]
NoLocalAddresses = Annotated[
    bool, typer.Option("--no-local-addresses", help="Announce none of the machine's own, but --public-ip alone.")
]
IceServerUrl = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL",
        help=f"STUN or TURN server by which peers behind any NAT are reached: {_ICE_SERVER_FORM}; may be given again.",
    ),
]
ClientIceServerUrl = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL",
        help=f"STUN or TURN server, instead of those of the answer: {_ICE_SERVER_FORM}; may be given again.",
    ),
]
MaxPeers = Annotated[int, typer.Option(help="How many may listen or talk at once, 1 to 10000.")]
Bitrate = Annotated[int, typer.Option(help="Of the Opus stream, in kbit/s, 6 to 510.")]
FrameMs = Annotated[int, typer.Option(help="Of an Opus frame: 10, 20, 40 or 60.")]
Loop = Annotated[bool, typer.Option(help="Start a file again at its end.")]
Token = Annotated[str | None, typer.Option(envvar="BASS_WEBRTC_TOKEN", help="Bearer token asked of everybody.")]
VisitorIceServerUrl = Annotated[
    list[str] | None,
    typer.Option(metavar="URL", help="STUN or TURN server that visitors are told of; may be given again."),
]
TurnSecret = Annotated[
    str | None,
    typer.Option(
        envvar="BASS_WEBRTC_TURN_SECRET",
        show_envvar=True,
        help="Shared with these TURN servers (coturn: static-auth-secret); better in the environment.",
    ),
]
TlsCertificate = Annotated[Path | None, typer.Option(help="PEM file of the HTTPS certificate chain.")]
TlsKey = Annotated[Path | None, typer.Option(help="PEM file of its private key.")]
InputDevice = Annotated[
    str, typer.Option(metavar="none|default|N", help="Where browsers' voices are played: an output of BASS.")
]
RecordInput = Annotated[
    Path | None, typer.Option(metavar="FILE.wav", help="What browsers say; written over what is there.")
]
StatsEvery = Annotated[
    float | None,
    typer.Option(min=0.1, metavar="S", help="One JSON line each S seconds on standard output, no live table."),
]
