"""GStreamer's webrtcbin as a WHEP player: gstreamer_program.py in Debian's Python."""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path

import numpy as np

from .child import Child
from .publisher_recorder import SAMPLE_RATE_HZ, Samples

_BYTES_PER_SECOND = 2 * 4 * SAMPLE_RATE_HZ
_PYTHON = "/usr/bin/python3"
_PROGRAM = Path(__file__).with_name("gstreamer_program.py")
_CHECK = (
    "import gi; gi.require_version('GstWebRTC', '1.0'); from gi.repository import Gst;"
    " Gst.init(None); assert all(map(Gst.ElementFactory.find, ('webrtcbin', 'nicesrc', 'opusdec')))"
)


@functools.cache
def missing() -> str | None:
    """Return what is missing on this machine, for ``pytest.skip``; None if nothing is."""
    try:
        subprocess.run([_PYTHON, "-c", _CHECK], env={}, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return "needs Debian's python3-gi, gir1.2-gst-plugins-bad-1.0, gstreamer1.0-plugins-bad and gstreamer1.0-nice"
    return None


class GStreamerPlayer:
    """Plays until ``stop``. A context manager.

    Args:
        url: Of the WHEP endpoint.
        path: File for what it plays.
        kinds: Sections of its offer, in order: ``"audio"`` and ``"video"``.
    """

    def __init__(self, url: str, path: Path, kinds: tuple[str, ...]) -> None:
        self._path = path
        # Without PYTHONPATH: modules of another Python do not concern this one.
        variables = {"PYTHONPATH": ""}
        self._child = Child(str(_PROGRAM), url, str(path), *kinds, program=(_PYTHON,), variables=variables)

    def connect(self) -> None:
        """Wait until it is connected."""
        reply = json.loads(self._child.read_line())
        self.offer, self.answer = reply["offer"], reply["answer"]

    def seconds(self) -> float:
        """Return how much it has played."""
        return self._path.stat().st_size / _BYTES_PER_SECOND

    def last(self, seconds: float) -> Samples:
        """Return the last seconds that it has played: float32 ``[frames, 2]`` at 48 kHz."""
        samples = np.fromfile(self._path, np.float32)
        return samples[: len(samples) // 2 * 2].reshape(-1, 2)[-round(seconds * SAMPLE_RATE_HZ) :]

    def stop(self) -> int:
        """Close the connection, send DELETE and return its status."""
        self._child.write_line("stop")
        status: int = json.loads(self._child.read_line())["status"]
        return status

    def close(self) -> None:
        self._child.close()

    def __enter__(self) -> GStreamerPlayer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
