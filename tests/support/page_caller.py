"""Chromium in a call: sends a tone, records what it receives, offers or answers, trickles candidates."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .browsers import Chromium
from .publisher_recorder import assert_tones

_CALLER = """
window.caller = ((tonesHz, iceServers) => {
    const pc = new RTCPeerConnection({ iceServers });
    const context = new AudioContext({ sampleRate: 48000 });
    const merger = new ChannelMergerNode(context, { numberOfInputs: 2 });
    const gain = new GainNode(context, { gain: 0.25 });
    const out = new MediaStreamAudioDestinationNode(context);
    tonesHz.forEach((frequency, channel) => {
        const oscillator = new OscillatorNode(context, { frequency });
        oscillator.connect(merger, 0, channel);
        oscillator.start();
    });
    merger.connect(gain).connect(out);
    const splitter = new ChannelSplitterNode(context, { numberOfOutputs: 2 });
    const analysers = [0, 1].map((channel) => {
        const analyser = new AnalyserNode(context, { fftSize: 32768 });
        splitter.connect(analyser, channel);
        return analyser;
    });
    pc.ontrack = ({ track }) => {
        const stream = new MediaStream([track]);
        const element = Object.assign(new Audio(), { srcObject: stream, muted: true });
        element.play();
        window.element = element;
        new MediaStreamAudioSourceNode(context, { mediaStream: stream }).connect(splitter);
    };
    const candidates = [];
    pc.onicecandidate = ({ candidate }) => candidates.push(candidate ?? { candidate: "", sdpMid: null });
    const talk = () => pc.addTrack(out.stream.getTracks()[0], out.stream);
    // Otherwise Chromium decodes mono.
    const stereo = ({ type, sdp }) => ({ type, sdp: sdp.replace("useinbandfec=1", "useinbandfec=1;stereo=1") });
    return {
        pc, candidates,
        async offer() {
            talk();
            await pc.setLocalDescription(stereo(await pc.createOffer()));
            return pc.localDescription.sdp;
        },
        async answer(sdp) {
            await pc.setRemoteDescription({ type: "offer", sdp });
            talk();
            await pc.setLocalDescription(stereo(await pc.createAnswer()));
            return pc.localDescription.sdp;
        },
        hear() {
            return analysers.map((analyser) => {
                const samples = new Float32Array(analyser.fftSize);
                analyser.getFloatTimeDomainData(samples);
                return [...samples];
            });
        },
    };
})"""


class PageCaller:
    """One side of a two-way call, in its own tab. A context manager that hangs up on exit.

    Args:
        chromium: A running browser.
        left_hz: Frequency of the tone it sends on the left.
        right_hz: Frequency on the right.
        ice_servers: ``RTCIceServer`` dictionaries.
    """

    def __init__(
        self, chromium: Chromium, left_hz: float, right_hz: float, ice_servers: Sequence[dict[str, Any]] = ()
    ) -> None:
        self._tab = chromium.open("about:blank")
        self._tab.evaluate(f"void ({_CALLER}([{left_hz}, {right_hz}], {json.dumps(list(ice_servers))}))")

    def offer(self) -> str:
        """Create an offer without candidates, which are trickled."""
        return str(self._tab.evaluate("caller.offer()"))

    def answer(self, offer: str) -> str:
        """Create an answer without candidates."""
        return str(self._tab.evaluate(f"caller.answer({json.dumps(offer)})"))

    def take_answer(self, sdp: str) -> None:
        """Set the answer to its offer."""
        self._tab.evaluate(f"caller.pc.setRemoteDescription({json.dumps({'type': 'answer', 'sdp': sdp})})")

    def take_candidate(self, candidate: str, mid: str | None, index: int) -> None:
        """Add a candidate of the server; an empty one means end-of-candidates."""
        given = {"candidate": candidate, "sdpMid": mid, "sdpMLineIndex": index}
        self._tab.evaluate(f"caller.pc.addIceCandidate({json.dumps(given)})")

    def candidates(self) -> list[dict[str, Any]]:
        """Return the candidates gathered since the last call, as ``RTCIceCandidate`` dictionaries."""
        found: list[dict[str, Any]] = self._tab.evaluate("caller.candidates.splice(0)")
        return found

    @property
    def state(self) -> str:
        """``connectionState``."""
        return str(self._tab.evaluate("caller.pc.connectionState"))

    def hear(self) -> NDArray[np.float32]:
        """The last 0.7 s received at 48 kHz, float32 ``[frames, 2]``."""
        return np.array(self._tab.evaluate("caller.hear()"), np.float32).T

    def assert_hears(self, left_hz: float, right_hz: float, attempts: int = 20) -> None:
        """Check the received tones, with retries: the browser's jitter buffer bends the pitch at first."""
        for _ in range(attempts - 1):
            with contextlib.suppress(AssertionError):
                return assert_tones(self.hear(), left_hz, right_hz)
            time.sleep(0.25)
        return assert_tones(self.hear(), left_hz, right_hz)

    def close(self) -> None:
        """Hang up."""
        self._tab.evaluate("caller.pc.close()")
        self._tab.close()

    def __enter__(self) -> PageCaller:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
