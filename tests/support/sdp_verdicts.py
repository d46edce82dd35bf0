"""What Chromium and this package make of the same session descriptions and candidates, in the same words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from bass_webrtc.errors import SdpError
from bass_webrtc.rtc.candidate import Candidate
from bass_webrtc.rtc.local_audio import LocalAudio, build_answer, build_offer
from bass_webrtc.rtc.negotiation import read_answer, read_offer
from bass_webrtc.rtc.sdp import Fingerprint, IceCredentials
from bass_webrtc.rtc.sdp_fragment import parse_fragment

from .browsers import Chromium
from .sdp_variations import OFFER, Variation

REFUSED = "refused"
_PER_PAGE = 400
"""A page of Chromium may make 500 connections, ended ones included."""

_LOCAL = LocalAudio(
    IceCredentials("abcdefgh", "a" * 24),
    Fingerprint("sha-256", ":".join(["00"] * 32)),
    "sendrecv",
    1,
    "cname",
    "stream",
    "track",
    1,
)
_REVERSED = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}


def of_chromium(chromium: Chromium, inputs: list[Variation]) -> list[tuple[str, str]]:
    """Return Chromium's verdict on each input, and its error, empty if there is none."""
    script = Path(__file__).with_name("browser_sdp.js").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = []
    for start in range(0, len(inputs), _PER_PAGE):
        page = chromium.open("about:blank")
        texts = json.dumps([{"kind": one.kind, "text": one.text} for one in inputs[start : start + _PER_PAGE]])
        found += page.evaluate(f"(() => {{{script} return try_all({texts}, {json.dumps(OFFER)})}})()")
        page.close()
    return [(_in_words(one), one.get("error", "")) for one in found]


def ours(one: Variation) -> tuple[str, str]:
    """Return the verdict of this package, and its error, empty if there is none."""
    try:
        return _in_words(_OURS[one.kind](one.text)), ""
    except SdpError as error:
        return REFUSED, str(error)


def _our_answer(text: str) -> dict[str, Any]:
    return {"answer": build_answer(read_offer(text), _LOCAL)}


def _our_direction(text: str) -> dict[str, Any]:
    audio = read_answer(text, build_offer(_LOCAL))
    return {"direction": f"{_REVERSED[audio.direction]}, Opus {audio.payload_type}"}


def _our_candidate(text: str) -> dict[str, Any]:
    if text:  # Otherwise it is the end of candidates.
        Candidate.parse(text)
    return {"candidates": 1}


def _our_candidates(text: str) -> dict[str, Any]:
    return {"candidates": len(parse_fragment(text).candidates)}


_OURS = {"offer": _our_answer, "answer": _our_direction, "candidate": _our_candidate, "fragment": _our_candidates}


def _in_words(verdict: dict[str, Any]) -> str:
    if "error" in verdict:
        return REFUSED
    if "answer" in verdict:
        return _of_answer(verdict["answer"])
    if "direction" in verdict:
        return str(verdict["direction"])
    return f"{verdict['candidates']} candidates"


def _of_answer(sdp: str) -> str:
    """Return what an answer selects: payload type of Opus, direction and DTLS role of the audio section."""
    accepted = [one for one in re.split(r"^(?=m=)", sdp, flags=re.MULTILINE) if re.match(r"m=audio [1-9]", one)]
    if not accepted:
        return REFUSED
    formats = accepted[0].splitlines()[0].split()[3:]
    opus = re.findall(r"a=rtpmap:(\d+) (?i:opus)/", accepted[0])
    selected = next((one for one in formats if one in opus), "no")
    direction = re.search(r"^a=(sendrecv|sendonly|recvonly|inactive)\r?$", accepted[0], re.MULTILINE)
    setup = re.search(r"a=setup:(\w+)", sdp)
    return f"Opus {selected}, {direction[1] if direction else 'sendrecv'}, {setup[1] if setup else 'no setup'}"
