"""Sample offers and fragments, written for this project in the style of the programs they are named after.

All addresses are from documentation networks (RFC 5737, RFC 3849). ``tests/unit/test_negotiation.py`` tests how each
offer is handled.
"""

from __future__ import annotations

UFRAG = "k3Vd"
PASSWORD = "q8ZfT2vLx0aWcY7nPb4sRm1E"
SHA256 = ":".join(f"{byte:02X}" for byte in range(0x40, 0x60))
OTHER_SHA256 = ":".join(f"{byte:02X}" for byte in range(0xA0, 0xC0))
SHA1 = ":".join(f"{byte:02X}" for byte in range(20))


def crlf(text: str) -> str:
    """Return the text with CRLF line ends, without leading and trailing blank lines."""
    return "".join(f"{line}\r\n" for line in text.strip().split("\n"))


def without(sdp: str, *prefixes: str) -> str:
    """Return the description without the lines that start with a prefix; each prefix must occur."""
    for prefix in prefixes:
        assert f"\n{prefix}" in f"\n{sdp}", prefix
        sdp = "".join(line for line in sdp.splitlines(keepends=True) if not line.startswith(prefix))
    return sdp


def changed(sdp: str, old: str, new: str) -> str:
    """Return the description with ``old`` replaced, which must occur."""
    assert old in sdp, old
    return sdp.replace(old, new)


_CHROME_SESSION = """
v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
"""

_CHROME_AUDIO = f"""
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:2103489817 1 udp 2122260223 192.0.2.44 54609 typ host generation 0 network-id 1 network-cost 10
a=candidate:868342011 1 udp 2122063615 3f2c8a1e-7b6d-4e55-9c1f-0a2b3c4d5e6f.local 57143 typ host generation 0
a=candidate:2999745851 1 tcp 1518280447 192.0.2.44 9 typ host tcptype active generation 0 network-id 1
a=ice-ufrag:{UFRAG}
a=ice-pwd:{PASSWORD}
a=ice-options:trickle
a=fingerprint:sha-256 {SHA256}
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
DIRECTION
a=rtcp-mux
a=rtcp-rsize
a=rtcp-xr:rcvr-rtt=all
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
"""

_CHROME_GROUP = """
a=group:BUNDLE 0
a=extmap-allow-mixed
a=msid-semantic: WMS
"""

_CHROME_SENDS = """
a=sendrecv
a=msid:5f0c2d9e-1b7a-4c86 0d9b7a3e-44f2-4b1c
"""

_CHROME_SSRC = """
a=ssrc:1399694169 cname:Tq0rVvW8yXfE2aKd
a=ssrc:1399694169 msid:5f0c2d9e-1b7a-4c86 0d9b7a3e-44f2-4b1c
"""


def _chrome(direction: str, *more: str) -> str:
    audio = _CHROME_AUDIO.replace("DIRECTION", direction.strip())
    return crlf("\n".join(part.strip() for part in (_CHROME_SESSION, _CHROME_GROUP, audio, *more)))


CHROME = _chrome(_CHROME_SENDS, _CHROME_SSRC)
"""A publisher with a microphone; offers RED."""

CHROME_RECVONLY = changed(_chrome("a=recvonly"), "useinbandfec=1", "useinbandfec=1;stereo=1")
"""A player whose page requests stereo."""

SAFARI = changed(without(CHROME_RECVONLY, "a=rtpmap:63", "a=fmtp:63"), "SAVPF 111 63 ", "SAVPF 111 ")
"""Like Chrome, without RED."""

FIREFOX = crlf(f"""
v=0
o=mozilla...THIS_IS_SDPARTA-99.0 7128459038152740931 0 IN IP4 0.0.0.0
s=-
t=0 0
a=sendrecv
a=fingerprint:sha-256 {SHA256}
a=group:BUNDLE 0
a=ice-options:trickle
a=msid-semantic:WMS *
m=audio 9 UDP/TLS/RTP/SAVPF 109 9 0 8 101
c=IN IP4 0.0.0.0
a=candidate:0 1 UDP 2122252543 192.0.2.45 40381 typ host
a=candidate:1 1 TCP 2105524479 192.0.2.45 9 typ host tcptype active
a=candidate:0 2 UDP 2122252542 192.0.2.45 40382 typ host
a=recvonly
a=end-of-candidates
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level
a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1
a=fmtp:101 0-15
a=ice-pwd:{PASSWORD}
a=ice-ufrag:{UFRAG}
a=mid:0
a=rtcp-mux
a=rtpmap:109 opus/48000/2
a=rtpmap:9 G722/8000/1
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=setup:actpass
a=ssrc:2384710652 cname:{{b2c7e0a4-9d31-4f58-8a66-1c0d5e7f2a93}}
""")

OBS = crlf(f"""
v=0
o=rtc 2871543098 0 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=group:LS 0
a=msid-semantic:WMS *
a=ice-options:ice2,trickle
a=fingerprint:sha-256 {SHA256}
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=sendonly
a=ssrc:4063217561 cname:Zx81kQ0vLm3T
a=ssrc:4063217561 msid:Wn5cRb9yPq2J Wn5cRb9yPq2J-audio
a=msid:Wn5cRb9yPq2J Wn5cRb9yPq2J-audio
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1
a=setup:actpass
a=ice-ufrag:{UFRAG}
a=ice-pwd:{PASSWORD}
""")
"""Made by libdatachannel: no candidates, fingerprint at session level."""

FFMPEG = crlf(f"""
v=0
o=FFmpeg 4489045141692799359 2 IN IP4 127.0.0.1
s=FFmpegPublishSession
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
a=msid-semantic: WMS
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=ice-ufrag:{UFRAG}
a=ice-pwd:{PASSWORD}
a=fingerprint:sha-256 {SHA256}
a=setup:passive
a=mid:0
a=sendonly
a=msid:FFmpeg audio
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=ssrc:1847304452 cname:FFmpeg
a=ssrc:1847304452 msid:FFmpeg audio
""")
"""a=setup:passive, and a bundle group that lists a missing section."""

MEDIAMTX_READER = crlf(f"""
v=0
o=- 8372036854775801 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1 2
a=extmap-allow-mixed
a=msid-semantic: WMS
m=video 9 UDP/TLS/RTP/SAVPF 96 97 102
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:{UFRAG}
a=ice-pwd:{PASSWORD}
a=ice-options:trickle
a=fingerprint:sha-256 {SHA256}
a=setup:actpass
a=mid:0
a=recvonly
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rtpmap:102 H264/90000
m=audio 9 UDP/TLS/RTP/SAVPF 111 63
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:{UFRAG}
a=ice-pwd:{PASSWORD}
a=ice-options:trickle
a=fingerprint:sha-256 {SHA256}
a=setup:actpass
a=mid:1
a=recvonly
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1;stereo=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=ice-ufrag:{UFRAG}
a=ice-pwd:{PASSWORD}
a=ice-options:trickle
a=fingerprint:sha-256 {SHA256}
a=setup:actpass
a=mid:2
a=sctp-port:5000
a=max-message-size:262144
""")
"""MediaMTX's reader in a browser: video first, a data channel last."""

MAX_BUNDLE_READER = changed(
    MEDIAMTX_READER,
    "a=rtpmap:96 VP8/90000",
    "a=candidate:1931907173 1 udp 2113937151 192.0.2.44 50777 typ host\r\na=rtpmap:96 VP8/90000",
)
"""The same with ``bundlePolicy: "max-bundle"``: only the first section has candidates."""

GSTREAMER = crlf(f"""
v=0
o=- 2263089651740198377 0 IN IP4 0.0.0.0
s=-
t=0 0
a=ice-options:trickle
a=group:BUNDLE audio0
m=audio 9 UDP/TLS/RTP/SAVPF 100
c=IN IP4 0.0.0.0
a=setup:actpass
a=ice-ufrag:{UFRAG}
a=ice-pwd:{PASSWORD}
a=rtcp-mux
a=rtcp-rsize
a=sendonly
a=rtpmap:100 OPUS/48000/2
a=rtcp-fb:100 nack
a=fmtp:100 sprop-maxcapturerate=48000;sprop-stereo=1
a=ssrc:3361274400 msid:user3361274400@host-5a1c webrtctransceiver0
a=ssrc:3361274400 cname:user3361274400@host-5a1c
a=mid:audio0
a=fingerprint:sha-256 {SHA256}
""")
"""Writes OPUS in capitals and offers NACK."""

MEDOOZE = changed(
    changed(without(CHROME_RECVONLY, "a=candidate"), "useinbandfec=1", "useinbandfec=1;usedtx=1"),
    "a=rtcp-rsize",
    "a=rtcp-rsize\r\na=rtcp-mux-only",
)
"""Medooze's player in a browser (by the author of the drafts); all candidates follow by PATCH."""

MEDOOZE_PUBLISHER = changed(
    without(_chrome("a=sendonly", _CHROME_SENDS.replace("a=sendrecv", ""), _CHROME_SSRC), "a=candidate"),
    "a=rtcp-rsize",
    "a=rtcp-rsize\r\na=rtcp-mux-only",
)
"""Medooze's publisher: it sends the result of ``createOffer``, before any candidate was gathered."""

_PAGE_VIDEO = f"""
m=video 9 UDP/TLS/RTP/SAVPF 102
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:{UFRAG}
a=ice-pwd:{PASSWORD}
a=ice-options:trickle
a=fingerprint:sha-256 {SHA256}
a=setup:actpass
a=mid:1
a=sendrecv
a=msid:5f0c2d9e-1b7a-4c86 7b1e40d2-93aa-4f0e
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:102 H264/90000
a=rtcp-fb:102 nack pli
a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
"""

MEDIAMTX_PUBLISHER = without(
    changed(
        changed(
            changed(_chrome(_CHROME_SENDS, _CHROME_SSRC, _PAGE_VIDEO), "BUNDLE 0", "BUNDLE 0 1"),
            "a=fmtp:111 minptime=10;useinbandfec=1",
            "a=fmtp:111 maxplaybackrate=48000;stereo=1;sprop-stereo=1;maxaveragebitrate=131072",
        ),
        "SAVPF 111 63 9 0 8 13 110 126",
        "SAVPF 111",
    ),
    *("a=candidate", "a=rtpmap:63", "a=fmtp:63", "a=rtpmap:9", "a=rtpmap:0", "a=rtpmap:8", "a=rtpmap:13"),
    *("a=rtpmap:110", "a=rtpmap:126"),
)
"""MediaMTX's publisher in a browser: camera and microphone, ``addTrack`` (sendrecv), one codec each."""

EYEVINN_PUBLISHER = changed(
    changed(_chrome(_CHROME_SENDS, _CHROME_SSRC, _PAGE_VIDEO), "a=sendrecv", "a=sendonly"),
    "BUNDLE 0",
    "BUNDLE 0 1",
)
"""Eyevinn's publisher in a browser: its offer has the candidates gathered within two seconds."""

RFC_STYLE = crlf(f"""
v=0
o=- 5228595038118931041 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=extmap-allow-mixed
a=ice-options:trickle ice2
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=ice-ufrag:{UFRAG}
a=ice-pwd:{PASSWORD}
a=fingerprint:sha-256 {SHA256}
a=setup:actpass
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendonly
a=msid:d46fb922-d52a-4e9c-aa87-444eadc1521b ce326ecf-a081-453a-8f9f-0605d5ef4128
a=rtcp-mux
a=rtcp-mux-only
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
""")
"""The audio part of the example offer in RFC 9725."""

LF_ONLY = RFC_STYLE.replace("\r\n", "\n").rstrip("\n")
"""LF line ends, and none at the end."""

_SECOND_AUDIO = changed(RFC_STYLE[RFC_STYLE.index("m=audio") :], "a=mid:0", "a=mid:1")
TWO_AUDIO = changed(RFC_STYLE, "BUNDLE 0", "BUNDLE 0 1") + _SECOND_AUDIO
AUDIO_AND_VIDEO = changed(TWO_AUDIO, _SECOND_AUDIO, changed(_SECOND_AUDIO, "m=audio", "m=video"))

RECVONLY_TO_WHIP = CHROME_RECVONLY
SENDONLY_TO_WHEP = RFC_STYLE
NO_RTCP_MUX = without(RFC_STYLE, "a=rtcp-mux")
NO_FINGERPRINT = without(RFC_STYLE, "a=fingerprint")
NO_OPUS = without(changed(CHROME, "SAVPF 111 63 ", "SAVPF "), "a=rtpmap:111", "a=rtpmap:63")
SDES = changed(
    NO_FINGERPRINT,
    "a=setup:actpass",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40,
)
SHA1_ONLY = changed(RFC_STYLE, f"sha-256 {SHA256}", f"sha-1 {SHA1}")
TWO_FINGERPRINTS = changed(
    RFC_STYLE,
    f"a=fingerprint:sha-256 {SHA256}",
    f"a=fingerprint:sha-1 {SHA1}\r\na=fingerprint:SHA-256 {SHA256.lower()}\r\na=fingerprint:sha-256 {OTHER_SHA256}",
)
MID_OF_40_BYTES = changed(changed(RFC_STYLE, "a=mid:0", f"a=mid:{'m' * 40}"), "BUNDLE 0", f"BUNDLE {'m' * 40}")
UFRAG_OF_3_CHARS = changed(RFC_STYLE, f"a=ice-ufrag:{UFRAG}", "a=ice-ufrag:abc")
CANDIDATES_500 = RFC_STYLE + "".join(
    f"a=candidate:{n} 1 udp {2_130_706_431 - n} 198.51.{n // 250}.{n % 250 + 1} {20_000 + n} typ host\r\n"
    for n in range(500)
)
_VIDEO_FIRST = changed(changed(RFC_STYLE, "m=audio", "m=video"), "opus/48000/2", "VP8/90000")
BUNDLE_ONLY_AUDIO = changed(_VIDEO_FIRST, "BUNDLE 0", "BUNDLE 0 1") + crlf("""
m=audio 0 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:1
a=bundle-only
a=sendonly
a=rtpmap:111 opus/48000/2
""")
"""The audio section has no transport attributes; it uses those of the video section it is bundled with."""

TRICKLE_FRAGMENT = crlf(f"""
a=ice-ufrag:{UFRAG}
a=ice-pwd:{PASSWORD}
a=group:BUNDLE 0
m=audio 9 RTP/AVP 0
a=mid:0
a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag {UFRAG} network-id 1
a=candidate:3471623853 1 udp 2122194687 198.51.100.1 61765 typ host generation 0 ufrag {UFRAG} network-id 2
a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0 ufrag {UFRAG}
a=end-of-candidates
""")

MEDIAMTX_FRAGMENT = crlf(f"""
a=ice-ufrag:{UFRAG}
a=ice-pwd:{PASSWORD}
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
a=mid:0
a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag {UFRAG} network-id 1
m=video 9 UDP/TLS/RTP/SAVPF 96 97 102
a=mid:1
a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61766 typ host generation 0 ufrag {UFRAG} network-id 1
""")
"""One section per section with candidates, with the m= line of the browser's offer; no end-of-candidates."""

MEDOOZE_FRAGMENT = crlf(f"""
a=ice-ufrag:{UFRAG}
a=ice-pwd:{PASSWORD}
m=audio RTP/AVP 0
a=mid:0
a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag {UFRAG} network-id 1
a=end-of-candiadates
""")
"""An m= line without a port, and end-of-candidates misspelled."""

RESTART_FRAGMENT = crlf(f"""
a=ice-ufrag:nW9x
a=ice-pwd:5Rz0eKc2mLq7dVb4tYh8uJs3
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=mid:0
a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag {UFRAG} network-id 1
""")
"""New credentials, but candidates that still have the old ufrag."""

END_OF_CANDIDATES_FRAGMENT = f"a=ice-ufrag:{UFRAG}\na=ice-pwd:{PASSWORD}\na=end-of-candidates\n"
DOUBLE_PREFIX_FRAGMENT = changed(TRICKLE_FRAGMENT, "a=candidate:", "a=candidate:candidate:")
WRONG_PASSWORD_FRAGMENT = changed(TRICKLE_FRAGMENT, PASSWORD, "x" * 24)
OTHER_MID_FRAGMENT = changed(TRICKLE_FRAGMENT, "a=mid:0", "a=mid:7")
