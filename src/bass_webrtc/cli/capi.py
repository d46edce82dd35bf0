"""The ``capi`` commands: build the C library and print the compiler flags for programs that use it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..capi import build_capi
from ..errors import BassWebRtcError

OutputFolder = Annotated[
    Path | None,
    typer.Option("--output", metavar="DIR", help="Folder of the library.  [default: inside this Python environment]"),
]

app = typer.Typer(help="Build the C library and print compiler flags.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def build(output: OutputFolder = None) -> None:
    """Build the library for this Python environment and print its path."""
    typer.echo(build_capi.build(output or build_capi.default_folder()))


@app.command()
def cflags(output: OutputFolder = None) -> None:
    """Print compiler flags for programs that use the library."""
    typer.echo(build_capi.cflags(_built(output)))


@app.command()
def ldflags(output: OutputFolder = None) -> None:
    """Print linker flags for programs that use the library."""
    typer.echo(build_capi.ldflags(_built(output)))


def _built(output: Path | None) -> Path:
    folder = output or build_capi.default_folder()
    if not (folder / build_capi.LIBRARY_NAME).is_file():
        raise BassWebRtcError(f"no C library in {folder}; run 'bass-webrtc capi build' first")
    return folder
