"""Compiles C files of tests and benchmarks on first use."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


@functools.cache
def compiled(source: Path, *flags: str) -> Path:
    """Compile one C file and return the product's path, cached between runs under the hash of source and flags."""
    compiler = shutil.which("cc") or shutil.which("gcc") or "clang"
    key = hashlib.sha256(source.read_bytes() + "\0".join(flags).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir(), f"bw-{source.stem}-{key}-{os.getuid()}")
    product = folder / source.stem
    if not product.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        part = folder / str(os.getpid())
        subprocess.run([compiler, "-O2", "-Wall", "-o", part, source, *flags], check=True)
        part.rename(product)
    return product
