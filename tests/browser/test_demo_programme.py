"""The demo programme in a browser: the rendered music arrives unchanged, in stereo, across the loop seam."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

import bass_webrtc as bw
from bass_webrtc.cli import demo
from support.reruns import real_time_audio
from support.studio import Studio

pytestmark = real_time_audio

MAX_STRETCHED = 3
"""Out of 13 half seconds."""
MACHINE_LATE_S = 0.01
"""If a timer of the browser was this late, its audio may have been late, too."""


def _likeness(heard: NDArray[np.float32], played: NDArray[np.float32]) -> float:
    """Maximum normalised cross-correlation of ``heard``, float32 ``[frames, 2]``, with any part of ``played``."""
    size = 1 << (len(heard) + len(played) - 1).bit_length()
    spectra = np.fft.rfft(played, size, axis=0) * np.conj(np.fft.rfft(heard, size, axis=0))
    products = np.fft.irfft(spectra, size, axis=0).sum(axis=1)[: len(played) - len(heard)]
    energy = np.concatenate([[0.0], np.cumsum(np.square(played, dtype=np.float64).sum(axis=1))])
    energies = energy[len(heard) : -1] - energy[: -len(heard) - 1]
    return float(np.max(products / np.sqrt(energies * np.sum(np.square(heard)))))


def test_browser_hears_the_rendered_programme(chromium_studio: Studio) -> None:
    studio = chromium_studio
    loop = demo.render()[-6 * 48_000 :]  # Short, so that the recording contains the seam.
    source = bw.PcmSource()
    programme = demo.DemoProgramme(source, loop)
    programme.start()
    with bw.Server(source, studio.config()) as server:
        studio.start(server)
        listener = studio.listener()
        assert listener.play(f"{server.url}whep")["status"] == 201
        time.sleep(1.5)
        listener.worst_lateness_s()
        before = listener.stats()["inbound"]["concealedSamples"]
        heard = listener.record(6.5)
        concealed = listener.stats()["inbound"]["concealedSamples"] - before
        was_late = listener.worst_lateness_s() > MACHINE_LATE_S
        stats = server.stats()
        listener.tab.close()
    programme.close()
    assert stats.source_underruns == 0
    played = np.concatenate([loop, loop])
    # Browsers stretch time slightly now and then to keep their delay, so compare each half second separately.
    likenesses = sorted(_likeness(part, played) for part in np.array_split(heard, 13))
    assert likenesses[MAX_STRETCHED] > 0.99
    assert concealed == 0 or was_late
