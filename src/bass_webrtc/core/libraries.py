"""The libraries that the core is linked with, whether shared or static."""

from __future__ import annotations

from dataclasses import dataclass

from .compiled import ffi, lib


@dataclass(frozen=True, slots=True)
class Libraries:
    """Names with versions, and what libopus was built with."""

    opus: str
    openssl: str
    deep_plc: bool
    """libopus conceals loss with a neural network (1.5 and newer, if built with it)."""
    osce: bool
    """libopus enhances speech with a neural network (1.5 and newer, if built with it)."""


def libraries() -> Libraries:
    """Ask the libraries; decodes a few frames, which takes milliseconds.

    Returns:
        What the core is linked with.

    Raises:
        BassWebRtcError: The core does not load.
    """
    found = ffi.new("bw_libraries *")
    lib.bw_get_libraries(found)
    opus, openssl = (ffi.string(text).decode(errors="replace") for text in (found.opus, found.openssl))
    return Libraries(opus, openssl, deep_plc=bool(found.deep_plc), osce=bool(found.osce))
