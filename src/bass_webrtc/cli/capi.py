"""The ``capi`` commands: build the C library and print the compiler flags for programs that use it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..capi import installed
from ..errors import BassWebRtcError

OutputFolder = Annotated[
    Path | None,
    typer.Option("--output", metavar="DIR", help="Folder of the library.  [default: inside this Python environment]"),
]

app = typer.Typer(help="Build the C library and print compiler flags.", no_args_is_help=True, rich_markup_mode=None)


@app.command(help="Build the library for this Python environment and print its path.")
def build(output: OutputFolder = None) -> None:
    from ..capi import build_capi  # A program that only runs the library needs neither cffi's parser nor a compiler.

    folder = output or installed.default_folder()
    try:
        typer.echo(build_capi.build(folder))
    except OSError as error:
        if output is not None:
            raise
        why = error.strerror or error
        raise BassWebRtcError(f"cannot write to {folder}: {why}; name another folder with --output") from None


@app.command(help="Print compiler flags for programs that use the library.")
def cflags(output: OutputFolder = None) -> None:
    typer.echo(installed.cflags(_built(output)))


@app.command(help="Print linker flags for programs that use the library.")
def ldflags(output: OutputFolder = None) -> None:
    typer.echo(installed.ldflags(_built(output)))


def _built(output: Path | None) -> Path:
    folder = output or installed.default_folder()
    if not (folder / installed.LIBRARY_NAME).is_file():
        raise BassWebRtcError(f"no C library in {folder}; run 'bass-webrtc capi build' first")
    return folder
