"""GStreamer's webrtcbin as a WHIP publisher: Debian's whip-client (simple-whip-client), a tone in each channel.

whip-client uses libsoup 2.4, and Debian's libnice loads libsoup 3 for UPnP, which abort in one process. No test
needs UPnP, so libnice gets an empty libgupnp-igd instead of the one that loads libsoup 3.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

_IGD_LIBRARY = "libgupnp-igd-1.0.so.4"
_IGD_FUNCTIONS = ("thread_new", "get_type", "add_port", "remove_port", "remove_port_local", "delete_all_mappings")
_CHANNEL = (
    "audiotestsrc is-live=true wave=sine freq={hz} volume={volume} samplesperbuffer=480"
    " ! audio/x-raw,format=F32LE,rate=48000,channels=1 ! queue ! join.sink_{channel}"
)
_ENCODER = (
    "interleave name=join ! audioconvert mix-matrix=<<(float)1,(float)0>,<(float)0,(float)1>>"
    " ! audio/x-raw,channels=2,channel-mask=(bitmask)3 ! opusenc bitrate=128000 ! rtpopuspay pt=111 ssrc={ssrc} ! queue"
    " ! application/x-rtp,media=audio,encoding-name=OPUS,payload=111"
)


class GStreamerPublisher:
    """Publishes until ``close``, which is a DELETE.

    Args:
        folder: For the empty library and the registry of plugins; must exist.
        url: Of the WHIP endpoint.
        left_hz: Of the left channel.
        right_hz: Of the right channel.
        level_dbfs: Of both.
    """

    def __init__(self, folder: Path, url: str, left_hz: float, right_hz: float, level_dbfs: float = -12.0) -> None:
        _build_igd(folder / _IGD_LIBRARY)
        volume = 10 ** (level_dbfs / 20)
        channels = (
            _CHANNEL.format(hz=hz, volume=volume, channel=channel) for channel, hz in enumerate((left_hz, right_hz))
        )
        pipeline = "  ".join((*channels, _ENCODER.format(ssrc=12_345)))
        environment = os.environ | {"LD_LIBRARY_PATH": str(folder), "GST_REGISTRY": str(folder / "registry.bin")}
        command = ["whip-client", "--disable-colors", "--url", url, "--audio", pipeline]
        self._log = folder / "whip-client.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def log(self) -> str:
        """Return its output, for failure messages."""
        return self._log.read_text(encoding="utf-8")

    def close(self) -> None:
        """Interrupt it, as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> GStreamerPublisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def missing_gstreamer() -> str | None:
    """Return what is missing on this machine, for ``pytest.skip``."""
    if shutil.which("whip-client") is None:
        return "needs Debian's simple-whip-client"
    return None if shutil.which("cc") else "needs a C compiler"


def _build_igd(path: Path) -> None:
    source = "".join(f"void *gupnp_simple_igd_{name}(void) {{ return 0; }}\n" for name in _IGD_FUNCTIONS)
    command = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{path.name}", "-o", str(path), "-x", "c", "-"]
    subprocess.run(command, input=source, encoding="utf-8", check=True)
