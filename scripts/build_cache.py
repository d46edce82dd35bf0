"""Build products that take long, kept outside the tree for the next run. Scripts and tests share it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

UNUSED_S = 7 * 24 * 3600.0
"""A product that nobody has used for so long is removed when another of its name is made."""


def root() -> Path:
    """Return the cache's folder, an absolute path."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("BASS_WEBRTC_CACHE") or Path(base, "bass-webrtc")).absolute()


def made(name: str, inputs: Iterable[str | bytes | Path], make: Callable[[Path], object]) -> Path:
    """Return the folder of a product; make it unless a process has made it from the same inputs before.

    Several processes may call it at once: one makes the product, the others wait.

    Args:
        name: What it is, such as ``wheel-linux-x64``; part of the folder's name.
        inputs: Everything that it depends on: texts, or files whose content counts.
        make: Called with an empty folder to fill. The folder has its final name afterwards, so a product must not
            contain its own path.

    Raises:
        SystemExit: The cache cannot be written.
    """
    digest = hashlib.sha256()
    for one in inputs:
        data = one.read_bytes() if isinstance(one, Path) else one.encode() if isinstance(one, str) else one
        digest.update(hashlib.sha256(data).digest())
    product = root() / f"{name}-{digest.hexdigest()[:16]}"
    with _lock_file(name) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not product.exists():
            _remove_unused(name)
            with tempfile.TemporaryDirectory(dir=root(), prefix=_making(name)) as work:
                folder = Path(work, "product")
                folder.mkdir()
                make(folder)
                folder.rename(product)
        os.utime(product)
    return product


def made_file(name: str, inputs: Iterable[str | bytes | Path], make: Callable[[Path], object]) -> Path:
    """Return the only file in the folder of a product; otherwise as ``made``."""
    (path,) = made(name, inputs, make).iterdir()
    return path


def _lock_file(name: str) -> IO[str]:
    try:
        root().mkdir(parents=True, exist_ok=True)
        return (root() / f"{name}.lock").open("w")
    except OSError as error:
        raise SystemExit(
            f"the cache {root()} cannot be written ({error.strerror}); set BASS_WEBRTC_CACHE to another folder"
        ) from None


def _making(name: str) -> str:
    return f".making-{name}."


def _remove_unused(name: str) -> None:
    for unfinished in root().glob(f"{_making(name)}*"):  # Its maker was killed: this process has the lock.
        shutil.rmtree(unfinished)
    for old in root().glob(f"{name}-{'[0-9a-f]' * 16}"):
        if time.time() - old.stat().st_mtime > UNUSED_S:
            shutil.rmtree(old)
