"""Debian's nginx as a reverse proxy, with a configuration of the test."""

from __future__ import annotations

import shutil
from pathlib import Path

_BINARY = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
_WRITABLE = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def missing() -> str | None:
    """Return what is missing on this machine, for ``pytest.skip``; None if nothing is."""
    return None if _BINARY else "reverse proxies need Debian's nginx-light"


def command(folder: Path, configuration: str) -> list[str]:
    """Write ``nginx.conf`` into a folder, and return the command that runs it and writes nowhere else."""
    writable = "".join(f"    {name}_temp_path {folder}/{name};\n" for name in _WRITABLE)
    assert "http {\n" in configuration
    path, log = folder / "nginx.conf", folder / "proxy.log"
    path.write_text(configuration.replace("http {\n", "http {\n" + writable), encoding="utf-8")
    settings = f"daemon off; pid {folder}/nginx.pid; error_log {log};"
    return [str(_BINARY), "-p", str(folder), "-c", str(path), "-e", str(log), "-g", settings]
