"""Guests in the real page, ``/call``: joins, waits for states, and returns what the page plays."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import bass_webrtc as bw

from . import media
from .browsers import Browser, Chromium, Tab
from .netns import Host
from .patience import SLOWNESS
from .tones import SAMPLE_RATE_HZ, Samples, tone_dbfs

GUEST_DBFS = -18.0
"""Level of a guest's microphone. Five of them together stay below the limiter."""
_SNAPSHOT_FRAMES = 32_768
"""As many as an analyser keeps."""
_LISTEN = f"""(async (stream) => {{
    const context = new AudioContext({{ sampleRate: {SAMPLE_RATE_HZ} }});
    window.ear = new AnalyserNode(context, {{ fftSize: {_SNAPSHOT_FRAMES} }});
    context.createMediaStreamSource(stream).connect(window.ear);
    await context.resume();
}})"""
_SNAPSHOT = f"""(() => {{
    const samples = new Float32Array({_SNAPSHOT_FRAMES});
    window.ear.getFloatTimeDomainData(samples);
    const bytes = new Uint8Array(samples.buffer);
    let text = "";
    for (let start = 0; start < bytes.length; start += 0x8000)
        text += String.fromCharCode(...bytes.subarray(start, start + 0x8000));
    return btoa(text);
}})()"""


def guest_browser(folder: Path, hz: float, host: Host | None = None, *flags: str) -> Chromium:
    """Start Chromium whose fake microphone hears a tone."""
    path = media.write_tone(
        folder / f"{hz:g}.wav", hz, hz, seconds=60.0, sample_rate_hz=SAMPLE_RATE_HZ, level_dbfs=GUEST_DBFS
    )
    return Chromium(microphone=path, extra_flags=flags, host=host)


def secure_origin(server: bw.Server) -> str:
    """Return the flag that makes the server's pages a secure context, which microphones need."""
    return f"--unsafely-treat-insecure-origin-as-secure={server.url.rstrip('/')}"


class Ear:
    """Hears what a page plays.

    Args:
        tab: The page.
        stream: JavaScript expression of the stream that it plays.
    """

    def __init__(self, tab: Tab, stream: str) -> None:
        self._tab = tab
        tab.evaluate(f"{_LISTEN}({stream})")

    def hear(self, snapshots: int = 4) -> list[Samples]:
        """Return what the page plays from now on, as blocks of 0.68 s that are whole in themselves."""
        found = []
        for _ in range(snapshots):
            time.sleep(_SNAPSHOT_FRAMES / SAMPLE_RATE_HZ + 0.05)
            found.append(self._snapshot())
        return found

    def last(self, seconds: float) -> Samples:
        """Return what the page has played last, at most 0.68 s."""
        return self._snapshot()[-round(seconds * SAMPLE_RATE_HZ) :]

    def _snapshot(self) -> Samples:
        return np.frombuffer(base64.b64decode(self._tab.evaluate(_SNAPSHOT)), np.float32)


class Guest:
    """A guest in the page, who has joined without processing of the microphone (the preset for music).

    Args:
        browser: Where to open the page.
        url: Of the page.
        name: What the guest enters.
    """

    def __init__(self, browser: Browser, url: str, name: str = "") -> None:
        self.tab = browser.open(url)
        self._wait_for("window.bassWebrtc?.caller !== undefined")
        self._do("document.querySelector('input[name=preset][value=music]').click()")
        if name:
            self._do(f"document.getElementById('name').value = {name!r}")
        self._do("document.getElementById('join').click()")

    def wait_for_title(self, title: str, timeout_s: float = 15.0) -> None:
        """Wait until the page shows this state."""
        self._wait_for(f"document.getElementById('call-title').textContent === {title!r}", timeout_s)

    def advice(self) -> str:
        """Return what the page says below the state."""
        return str(self.tab.evaluate("document.getElementById('call-advice').textContent"))

    def listen(self) -> None:
        """Begin to hear what the page plays. Needed again after another connection."""
        self._ear = Ear(self.tab, "bassWebrtc.speaker.stream")

    def hear(self, snapshots: int = 4) -> list[Samples]:
        """See ``Ear``."""
        return self._ear.hear(snapshots)

    def last(self, seconds: float) -> Samples:
        """See ``Ear``."""
        return self._ear.last(seconds)

    def leave(self) -> None:
        """Press Leave, and close the page."""
        self._do("document.getElementById('leave').click()")
        self._wait_for("bassWebrtc.caller.state === 'idle'")
        self.tab.close()

    def _do(self, expression: str) -> Any:
        return self.tab.evaluate(f"void ({expression})")

    def _wait_for(self, expression: str, timeout_s: float = 15.0) -> None:
        deadline_s = time.monotonic() + timeout_s * SLOWNESS
        while not self.tab.evaluate(expression):
            shown = "document.body.innerText"
            assert time.monotonic() < deadline_s, f"{expression} is still false; {self.tab.evaluate(shown)}"
            time.sleep(0.1)


def level_dbfs(blocks: Sequence[Samples], hz: float) -> float:
    """Return the level of a tone: the median over 100 ms, so a jitter buffer that adapts does not count.

    The strongest within 1 % counts: on the way are two buffers that change the speed by up to 0.5 % each.
    """
    hop = SAMPLE_RATE_HZ // 10
    samples = np.concatenate([block[: len(block) // hop * hop] for block in blocks])
    return max(tone_dbfs(samples, near_hz) for near_hz in np.linspace(0.99 * hz, 1.01 * hz, 21))


def in_blocks(samples: Samples) -> list[Samples]:
    """Return one channel of a recording in blocks of the length of a page's."""
    count = len(samples) // _SNAPSHOT_FRAMES
    return [np.asarray(block) for block in samples[: count * _SNAPSHOT_FRAMES, 0].reshape(count, -1)]
