"""The command line's ``capi``: builds the C library, and says what a program that uses it is compiled with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..capi import build_capi
from ..errors import BassWebRtcError

Output = Annotated[
    Path | None,
    typer.Option("--output", metavar="DIR", help="Where the library is. None: inside this Python environment."),
]

app = typer.Typer(help="The C library: libbass_webrtc, and bass_webrtc.h, its manual.", no_args_is_help=True)


@app.command()
def build(output: Output = None) -> None:
    """Build the library with this machine's compiler, for this Python environment; says where it is."""
    typer.echo(build_capi.build(output or build_capi.default_folder()))


@app.command()
def cflags(output: Output = None) -> None:
    """Print what the compiler of a program is told."""
    typer.echo(build_capi.cflags(_built(output)))


@app.command()
def ldflags(output: Output = None) -> None:
    """Print what the linker of a program is told."""
    typer.echo(build_capi.ldflags(_built(output)))


def _built(output: Path | None) -> Path:
    folder = output or build_capi.default_folder()
    if not (folder / build_capi.LIBRARY_NAME).is_file():
        raise BassWebRtcError(f"there is no C library in {folder}; bass-webrtc capi build makes it")
    return folder
