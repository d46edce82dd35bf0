"""A WHEP player on GStreamer's webrtcbin, for Debian's Python, which has GStreamer's bindings.

    /usr/bin/python3 gstreamer_program.py URL OUT.f32 audio|video

Writes what it plays as interleaved stereo, 32-bit float, 48 kHz, and prints a JSON line when it is connected. After a
line of input it stops, sends DELETE and prints the status.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import Gst, GstSdp, GstWebRTC  # noqa: E402 - gi wants the versions first

_TIMEOUT_S = 10.0
_CAPS = {
    "audio": "application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,encoding-params=(string)2,payload=111",
    "video": "application/x-rtp,media=video,encoding-name=H264,clock-rate=90000,payload=96",
}
_DECODER = (
    "rtpopusdepay ! opusdec ! audioconvert ! audioresample ! audio/x-raw,format=F32LE,rate=48000,channels=2"
    ' ! filesink sync=false buffer-mode=unbuffered location="{path}"'
)


class Player:
    """Plays one endpoint."""

    def __init__(self, url: str, path: str, kinds: list[str]) -> None:
        self._url = url
        self._pipeline = Gst.Pipeline.new("player")
        self._webrtc = Gst.ElementFactory.make("webrtcbin")
        self._webrtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self._pipeline.add(self._webrtc)
        self._decoder = Gst.parse_bin_from_description(_DECODER.format(path=path), True)
        self._pipeline.add(self._decoder)
        self._webrtc.connect("pad-added", lambda _, pad: pad.link(self._decoder.get_static_pad("sink")))
        for kind in kinds:
            direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
            self._webrtc.emit("add-transceiver", direction, Gst.Caps.from_string(_CAPS[kind]))

    def connect(self) -> dict[str, Any]:
        self._pipeline.set_state(Gst.State.PLAYING)
        made, described = Gst.Promise.new(), Gst.Promise.new()
        self._webrtc.emit("create-offer", None, made)
        made.wait()
        reply = made.get_reply()  # It owns the offer.
        self._webrtc.emit("set-local-description", reply.get_value("offer"), described)
        described.wait()
        self._wait_for("ice-gathering-state", GstWebRTC.WebRTCICEGatheringState.COMPLETE)
        offer = self._webrtc.get_property("local-description").sdp.as_text()
        headers = {"Content-Type": "application/sdp"}
        with urllib.request.urlopen(urllib.request.Request(self._url, offer.encode(), headers)) as response:
            self._session = urllib.parse.urljoin(self._url, response.headers["Location"])
            answer = response.read().decode()
        _, sdp = GstSdp.SDPMessage.new_from_text(answer)
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        self._webrtc.emit("set-remote-description", description, Gst.Promise.new())
        self._wait_for("connection-state", GstWebRTC.WebRTCPeerConnectionState.CONNECTED)
        return {"offer": offer, "answer": answer}

    def stop(self) -> int:
        self._pipeline.set_state(Gst.State.NULL)
        try:
            with urllib.request.urlopen(urllib.request.Request(self._session, method="DELETE")) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    def _wait_for(self, name: str, state: Any) -> None:
        give_up_s = time.monotonic() + _TIMEOUT_S
        while self._webrtc.get_property(name) != state:
            assert time.monotonic() < give_up_s, f"{name}: {self._webrtc.get_property(name)}"
            time.sleep(0.01)


def main() -> None:
    url, path, *kinds = sys.argv[1:]
    Gst.init(None)
    player = Player(url, path, kinds)
    _say(player.connect())
    sys.stdin.readline()
    _say({"status": player.stop()})


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
