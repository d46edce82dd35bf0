"""FFmpeg's WHIP muxer through PyAV in a separate process, sending two tones.

    python -m support.publisher_ffmpeg '{"url": ..., "left_hz": ..., "right_hz": ..., "certificate": ..., "key": ...}'

The muxer holds the GIL while it connects: in the server's process it would deadlock.
"""

from __future__ import annotations

import json
import select
import sys
import time
from pathlib import Path
from typing import Any

import av

from .child import Child
from .publisher import SAMPLE_RATE_HZ, ToneEncoder


class FfmpegPublisher:
    """FFmpeg publishes until ``close``, which is a DELETE.

    Args:
        url: Of the WHIP endpoint.
        left_hz: Of the left channel.
        right_hz: Of the right channel.
        certificate: PEM file; without it the muxer generates one.
        key: PEM file of its key.
    """

    def __init__(
        self, url: str, left_hz: float, right_hz: float, certificate: Path | None = None, key: Path | None = None
    ) -> None:
        files = {"cert_file": str(certificate), "key_file": str(key)} if certificate is not None else {}
        task = {"url": url, "left_hz": left_hz, "right_hz": right_hz, "files": files}
        self._child = Child("support.publisher_ffmpeg", json.dumps(task))
        self.failure = self._child.read_line()
        """FFmpeg's error message; empty if it connected."""

    def close(self) -> None:
        self._child.close()

    def __enter__(self) -> FfmpegPublisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def missing_ffmpeg() -> str | None:
    """Return what is missing on this machine, for ``pytest.skip``."""
    return None if "whip" in av.formats_available else "needs a PyAV whose FFmpeg has the WHIP muxer (8.0)"


def _publish(url: str, left_hz: float, right_hz: float, files: dict[str, str]) -> None:
    encoder = ToneEncoder(left_hz, right_hz)
    try:
        container = av.open(url, "w", format="whip", options=files)
        stream = container.add_stream("libopus", rate=SAMPLE_RATE_HZ)
        stream.layout = "stereo"
        container.start_encoding()
    except av.FFmpegError as error:
        _say(str(error))
        return
    _say("")
    start_s, frames = time.monotonic(), 0
    while not select.select([0], [], [], max(0.0, start_s + frames / SAMPLE_RATE_HZ - time.monotonic()))[0]:
        packet: Any = av.Packet(encoder.packet())
        packet.stream, packet.pts, packet.dts = stream, frames, frames
        packet.duration = encoder.frame_samples
        packet.time_base = stream.time_base
        container.mux(packet)
        frames += encoder.frame_samples
    container.close()


def _say(line: str) -> None:
    sys.stdout.write(line.replace("\n", " ") + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _publish(**json.loads(sys.argv[1]))
