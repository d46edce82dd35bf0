"""Other people's WHIP and WHEP clients for browsers in a page of another origin: whip-whep and Eyevinn's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import node_packages

from .listener import Listener

CLIENTS = ("whip-whep", "eyevinn")
_SUPPORT = Path(__file__).parent
_PAGE = '<!DOCTYPE html><meta charset="utf-8"><video id="sink" autoplay muted></video><script src="page.js"></script>'

missing = node_packages.missing


def build_page(folder: Path) -> None:
    """Write ``index.html`` and what it needs, bundled by esbuild."""
    (folder / "index.html").write_text(_PAGE, encoding="utf-8")
    for name in ("capture-worklet.js", "lateness-worker.js"):
        shutil.copy(_SUPPORT / name, folder)
    modules = node_packages.node_modules()
    command = [str(modules / ".bin" / "esbuild"), str(node_packages.PROGRAMS / "web_clients.mjs"), "--bundle"]
    environment = os.environ | {
        "NODE_PATH": str(modules),
        "PATH": f"{node_packages.NODE.parent}{os.pathsep}{os.environ['PATH']}",
    }
    subprocess.run([*command, f"--outfile={folder / 'page.js'}", "--log-level=error"], check=True, env=environment)


class WebClientTab(Listener):
    """A tab with one client, which plays or publishes; ``record`` returns what it plays."""

    def play(self, name: str, url: str, token: str, *, video: bool) -> None:  # type: ignore[override]
        """Play, up to the first track."""
        self._call("play", name, url, token, video)

    def publish(self, name: str, url: str, token: str, tone_hz: tuple[float, float], *, video: bool) -> None:
        """Publish two tones and, if ``video``, a picture."""
        self._call("publish", name, url, token, video, tone_hz)

    def stop(self) -> None:
        """End with the client's own method."""
        self._call("stop")

    def _call(self, method: str, *arguments: Any) -> None:
        self.tab.evaluate(f"clients.{method}({', '.join(map(json.dumps, arguments))})")
