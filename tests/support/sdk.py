"""The archives that ``make sdk`` builds, unpacked. Building and unpacking happen once; do not change the folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import build_cache
import sdk

from . import wine

LIBRARY = {"linux-x64": "lib", "windows-x64": "bin"}
"""The folder with the library and its folder ``bass_webrtc``, by target."""


def archive(target: str) -> Path:
    """Return the archive for ``linux-x64`` or ``windows-x64``. The Windows one contains a repackaged Python."""
    if target == "linux-x64":
        return sdk.linux()
    return sdk.windows(sdk.Embed(wine.embeddable("3.13"), verified=False))


def unpacked(target: str) -> Path:
    """Return the folder that the archive contains."""
    packed = archive(target)
    folder = build_cache.made(f"sdk-unpacked-{target}", [packed], lambda to: shutil.unpack_archive(packed, to))
    (content,) = folder.iterdir()
    return content
