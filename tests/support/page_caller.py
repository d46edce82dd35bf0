"""Chromium in a call: says a tone, samples what it hears, offers or answers, and trickles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .browsers import Chromium

_CALLER = """
window.caller = ((hz, iceServers) => {
    const pc = new RTCPeerConnection({ iceServers });
    const context = new AudioContext({ sampleRate: 48000 });
    const oscillator = new OscillatorNode(context, { frequency: hz });
    const gain = new GainNode(context, { gain: 0.25 });
    const out = new MediaStreamAudioDestinationNode(context);
    oscillator.connect(gain).connect(out);
    oscillator.start();
    const analyser = new AnalyserNode(context, { fftSize: 32768 });
    pc.ontrack = ({ track }) => {
        const stream = new MediaStream([track]);
        const element = Object.assign(new Audio(), { srcObject: stream, muted: true });
        element.play();
        window.element = element;
        new MediaStreamAudioSourceNode(context, { mediaStream: stream }).connect(analyser);
    };
    const candidates = [];
    pc.onicecandidate = ({ candidate }) => candidates.push(candidate ?? { candidate: "", sdpMid: null });
    const talk = () => pc.addTrack(out.stream.getTracks()[0], out.stream);
    return {
        pc, candidates,
        async offer() {
            talk();
            await pc.setLocalDescription();
            return pc.localDescription.sdp;
        },
        async answer(sdp) {
            await pc.setRemoteDescription({ type: "offer", sdp });
            talk();
            await pc.setLocalDescription();
            return pc.localDescription.sdp;
        },
        hear() {
            const samples = new Float32Array(analyser.fftSize);
            analyser.getFloatTimeDomainData(samples);
            return [...samples];
        },
    };
})"""


class PageCaller:
    """One end of a call, in both directions, in a tab of its own."""

    def __init__(self, chromium: Chromium, hz: float, ice_servers: Sequence[dict[str, Any]] = ()) -> None:
        self._tab = chromium.open("about:blank")
        self._tab.evaluate(f"void ({_CALLER}({hz}, {json.dumps(list(ice_servers))}))")

    def offer(self) -> str:
        """Its offer, without candidates: they are trickled."""
        return str(self._tab.evaluate("caller.offer()"))

    def answer(self, offer: str) -> str:
        """Its answer, without candidates."""
        return str(self._tab.evaluate(f"caller.answer({json.dumps(offer)})"))

    def take_answer(self, sdp: str) -> None:
        """The answer to its offer."""
        self._tab.evaluate(f"caller.pc.setRemoteDescription({json.dumps({'type': 'answer', 'sdp': sdp})})")

    def take_candidate(self, candidate: str, mid: str | None, index: int) -> None:
        """A candidate of ours; empty for no more."""
        given = {"candidate": candidate, "sdpMid": mid, "sdpMLineIndex": index}
        self._tab.evaluate(f"caller.pc.addIceCandidate({json.dumps(given)})")

    def candidates(self) -> list[dict[str, Any]]:
        """Takes those that it has trickled since the last call: ``RTCIceCandidate`` as dicts."""
        found: list[dict[str, Any]] = self._tab.evaluate("caller.candidates.splice(0)")
        return found

    @property
    def state(self) -> str:
        """Of its connection."""
        return str(self._tab.evaluate("caller.pc.connectionState"))

    def hear(self) -> NDArray[np.float32]:
        """The last 0.7 s, one channel, at 48 kHz."""
        return np.array(self._tab.evaluate("caller.hear()"), np.float32)

    def close(self) -> None:
        """Hangs up."""
        self._tab.evaluate("caller.pc.close()")
        self._tab.close()
