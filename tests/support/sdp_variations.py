"""Variations of real offers, answers, candidates and trickle fragments, as peers, proxies and hand-written clients make
them: each line missing, doubled, without its value, malformed or elsewhere, and those that have names of their own.

``tests/browser/test_as_tolerant_as_chromium.py`` gives each to Chromium and to this package.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

VariationKind = Literal["offer", "answer", "candidate", "fragment"]

UFRAG = "k3Vd"
PASSWORD = "q8ZfT2vLx0aWcY7nPb4sRm1E"
SHA256 = ":".join(f"{byte:02X}" for byte in range(0x40, 0x60))
SHA1 = ":".join(f"{byte:02X}" for byte in range(20))
SHA384 = ":".join(f"{byte:02X}" for byte in range(48))
SHA512 = ":".join(f"{byte:02X}" for byte in range(64))

_AUDIO = f"""\
m=audio 9 UDP/TLS/RTP/SAVPF 111 63
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:2103489817 1 udp 2122260223 192.0.2.44 54609 typ host generation 0 network-id 1 network-cost 10
a=ice-ufrag:{UFRAG}
a=ice-pwd:{PASSWORD}
a=ice-options:trickle
a=fingerprint:sha-256 {SHA256}
a=setup:SETUP
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=sendrecv
a=msid:5f0c2d9e-1b7a-4c86 0d9b7a3e-44f2-4b1c
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=ptime:20
a=maxptime:60
a=ssrc:1399694169 cname:Tq0rVvW8yXfE2aKd
"""

_SESSION = """\
v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=extmap-allow-mixed
a=msid-semantic: WMS
"""

OFFER = (_SESSION + _AUDIO).replace("SETUP", "actpass").replace("\n", "\r\n")
ANSWER = (_SESSION + _AUDIO).replace("SETUP", "active").replace("\n", "\r\n")
"""Matches the offers of Chromium and of our clients: one audio section with mid 0 and Opus as 111."""

_TRANSPORT = f"""\
a=ice-ufrag:{UFRAG}
a=ice-pwd:{PASSWORD}
a=fingerprint:sha-256 {SHA256}
a=setup:actpass
a=mid:1"""

_VIDEO = f"""\
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
{_TRANSPORT}
a=sendrecv
a=rtcp-mux
a=rtpmap:96 VP8/90000
""".replace("\n", "\r\n")

_DATA = f"""\
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
{_TRANSPORT}
a=sctp-port:5000
""".replace("\n", "\r\n")

CANDIDATE = "candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host"
_OTHER_CANDIDATE = "candidate:3471623853 1 udp 2122194687 198.51.100.1 61765 typ host"


@dataclass(frozen=True, slots=True)
class Variation:
    """One input.

    Attributes:
        kind: What it is.
        name: Names it within its kind.
        text: The input.
    """

    kind: VariationKind
    name: str
    text: str

    @property
    def id(self) -> str:
        """Name in the documentation."""
        return f"{self.kind}: {self.name}"


def variations() -> list[Variation]:
    """Return all variations."""
    found = [
        *(Variation("offer", name, text) for name, text in _of_lines(OFFER)),
        *(Variation("offer", name, text) for name, text in _of_descriptions(OFFER)),
        *(Variation("offer", name, text) for name, text in _of_offers()),
        *(Variation("answer", name, text) for name, text in _of_lines(ANSWER)),
        *(Variation("answer", name, text) for name, text in _of_descriptions(ANSWER)),
        *(Variation("answer", name, text) for name, text in _of_answers()),
        *(Variation("candidate", name, text) for name, text in _of_candidates()),
        *(Variation("fragment", name, text) for name, text in _of_fragments()),
    ]
    assert len({one.id for one in found}) == len(found)
    return found


def changed(text: str, old: str, new: str) -> str:
    """Return the text with ``old`` replaced, which must occur."""
    assert old in text, old
    return text.replace(old, new)


def _of_lines(description: str) -> Iterator[tuple[str, str]]:
    """Vary each line by itself: missing, doubled, without value, malformed, at the session level, at the end."""
    lines = description.splitlines()
    first_section = next(index for index, line in enumerate(lines) if line.startswith("m="))
    for index, line in enumerate(lines):
        name = _name(line)
        others = [*lines[:index], *lines[index + 1 :]]
        yield f"{name} missing", _crlf(others)
        yield f"{name} doubled", _crlf([*lines[:index], line, *lines[index:]])
        before_value = re.match(r"a=[^:]+:|[^a]=", line)
        if before_value is not None:
            yield f"{name} without value", _crlf([*lines[:index], before_value[0], *lines[index + 1 :]])
            yield f"{name} malformed", _crlf([*lines[:index], f"{before_value[0]}%%", *lines[index + 1 :]])
        if index > first_section and line.startswith("a="):
            yield f"{name} at session level", _crlf([*others[:first_section], line, *others[first_section:]])
            yield f"{name} last", _crlf([*others, line])


def _of_descriptions(text: str) -> Iterator[tuple[str, str]]:
    """Variations that concern offers and answers alike."""
    lines = text.splitlines()
    setup = next(line for line in lines if line.startswith("a=setup:"))
    yield "unchanged", text
    yield "LF line ends", text.replace("\r\n", "\n")
    yield "CR line ends", text.replace("\r\n", "\r")
    yield "mixed line ends", text.replace("\r\n", "\n", 7)
    yield "no final line end", text.rstrip("\r\n")
    yield "empty lines at the end", text + "\r\n\r\n"
    yield "empty line in the middle", changed(text, "a=mid:0", "\r\na=mid:0")
    yield "empty line at the start", "\r\n" + text
    yield "byte order mark", "\ufeff" + text
    yield "blanks at line ends", text.replace("\r\n", " \r\n")
    yield "tab at a line end", changed(text, "a=rtcp-mux\r\n", "a=rtcp-mux\t\r\n")
    yield "lines indented", "".join(f"  {line}\r\n" for line in lines)
    yield "blank after the equals sign", changed(text, "a=mid:0", "a= mid:0")
    yield "blank before the equals sign", changed(text, "a=mid:0", "a =mid:0")
    yield "blank after the colon", changed(text, "a=mid:0", "a=mid: 0")
    yield "line types in capitals", text.replace("\r\na=", "\r\nA=")
    yield "unknown attributes", changed(text, "a=mid:0", "a=x-unknown:1 2 3\r\na=mid:0\r\na=x-flag")
    yield "unknown line type", changed(text, "a=mid:0", "y=0012\r\na=mid:0")
    yield "line without equals sign", changed(text, "a=mid:0", "garbage\r\na=mid:0")
    yield "unicode in a value", changed(text, "s=-", "s=Übertragung ☃")
    yield "unicode attribute", changed(text, "a=mid:0", "a=größe:☃\r\na=mid:0")
    yield "NUL in an unknown attribute", changed(text, "a=mid:0", "a=x:a\0b\r\na=mid:0")
    yield "NUL at the end", text + "\0"
    yield "CR in an unknown attribute", changed(text, "a=mid:0", "a=x:a\rb\r\na=mid:0")
    yield "NUL in the m= line", changed(text, "SAVPF 111", "SAVPF\0 111")
    yield "NUL in the fingerprint", changed(text, "sha-256 ", "sha-256\0 ")
    yield "NUL in another attribute than the last", changed(text, "a=rtcp-rsize", "a=rtcp-rsize\0x")
    yield "text before", "hello\r\n" + text
    yield "empty", ""
    yield "session only", text[: text.index("m=")]
    yield "v=1", changed(text, "v=0", "v=1")
    yield "session lines in another order", changed(text, "s=-\r\nt=0 0\r\n", "t=0 0\r\ns=-\r\n")
    yield "i=, u=, e= and p= lines", changed(text, "t=0 0", "i=x\r\nu=http://x.test\r\ne=a@b.test\r\np=1\r\nt=0 0")
    yield "k= line", changed(text, "t=0 0", "t=0 0\r\nk=clear:x")
    yield "r= and z= lines", changed(text, "t=0 0", "t=0 0\r\nr=7d 1h 0\r\nz=0 0")
    yield "i= line in the section", changed(text, "c=IN IP4 0.0.0.0", "i=microphone\r\nc=IN IP4 0.0.0.0")
    yield "attributes before the connection line", changed(text, "c=IN IP4 0.0.0.0\r\n", "") + "c=IN IP4 0.0.0.0\r\n"
    connection = "c=IN IP4 0.0.0.0\r\n"
    yield "c= at session level", changed(changed(text, connection, ""), "t=0 0", connection + "t=0 0")
    for name, value in (
        ("with an address", "IN IP4 192.0.2.44"),
        ("IP6", "IN IP6 ::"),
        ("with a name", "IN IP4 radio.example"),
        ("with TTL", "IN IP4 224.2.1.1/127"),
        ("of another network", "ATM NSAP 1"),
    ):
        yield f"c= {name}", changed(text, "c=IN IP4 0.0.0.0", f"c={value}")
    for protocol in (
        *("RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVP", "RTP/AVPF", "RTP/AVP", "TCP/TLS/RTP/SAVPF"),
        *(
            "TCP/DTLS/RTP/SAVPF",
            "UDP/DTLS/RTP/SAVPF",
            "DTLS/RTP/SAVPF",
            "udp/tls/rtp/savpf",
            "UDP",
            "UDP/TLS/UDPTL",
            "SRTP",
        ),
    ):
        yield f"profile {protocol}", changed(text, "UDP/TLS/RTP/SAVPF", protocol)
    for port in ("0", "1", "54609", "65535", "65536", "9/2", "-1", "x"):
        yield f"port {port}", changed(text, "m=audio 9 ", f"m=audio {port} ")
    yield "m= line with two blanks", changed(text, "SAVPF 111 63", "SAVPF  111  63")
    yield "m= line with an unmapped format", changed(text, "SAVPF 111 63", "SAVPF 111 63 100")
    yield "m= line with a format twice", changed(text, "SAVPF 111 63", "SAVPF 111 111 63")
    yield "m= line with a word as format", changed(text, "SAVPF 111 63", "SAVPF 111 x 63")
    yield "m= line with format 200", changed(text, "SAVPF 111 63", "SAVPF 111 200 63")
    yield "m= line with Audio in capitals", changed(text, "m=audio", "m=AUDIO")
    yield "m= line without Opus", changed(text, "SAVPF 111 63", "SAVPF 63")
    yield "m= line with RED first", changed(text, "SAVPF 111 63", "SAVPF 63 111")
    yield "mid of 40 characters", _with_mid(text, "m" * 40)
    yield "mid of 300 characters", _with_mid(text, "m" * 300)
    yield "mid with odd characters", _with_mid(text, "au!$%*dio.0")
    yield "mid with a slash", _with_mid(text, "a/b")
    yield "mid with a blank", _with_mid(text, "a b")
    yield "mid in unicode", _with_mid(text, "größe")
    yield "group without mid", changed(text, "a=group:BUNDLE 0", "a=group:BUNDLE")
    yield "group with a missing section", changed(text, "a=group:BUNDLE 0", "a=group:BUNDLE 0 1")
    yield "group with another section only", changed(text, "a=group:BUNDLE 0", "a=group:BUNDLE 7")
    yield "group in lower case", changed(text, "a=group:BUNDLE 0", "a=group:bundle 0")
    yield "group LS beside BUNDLE", changed(text, "a=group:BUNDLE 0", "a=group:BUNDLE 0\r\na=group:LS 0")
    yield "group with a mid twice", changed(text, "a=group:BUNDLE 0", "a=group:BUNDLE 0 0")
    yield "group and mid missing", _crlf([line for line in lines if line not in ("a=group:BUNDLE 0", "a=mid:0")])
    for attribute in ("ice-ufrag", "ice-pwd", "ice-lite", "rtcp-mux-only", "bundle-only", "end-of-candidates"):
        if f"a={attribute}" not in text:
            yield f"{attribute} added", changed(text, "a=mid:0", f"a=mid:0\r\na={attribute}")
    yield "ice-lite at session level", changed(text, "t=0 0", "t=0 0\r\na=ice-lite")
    for name, old, new in (
        ("ufrag of 3 characters", UFRAG, "k3V"),
        ("ufrag of 4 characters", UFRAG, "abcd"),
        ("ufrag of 256 characters", UFRAG, "u" * 256),
        ("ufrag of 257 characters", UFRAG, "u" * 257),
        ("ufrag with odd ice-chars", UFRAG, "k3+/=-_#"),
        ("ufrag with other characters", UFRAG, "k3V:d*"),
        ("password of 21 characters", PASSWORD, "p" * 21),
        ("password of 22 characters", PASSWORD, "p" * 22),
        ("password of 256 characters", PASSWORD, "p" * 256),
        ("password of 257 characters", PASSWORD, "p" * 257),
        ("password with other characters", PASSWORD, PASSWORD + ":*"),
    ):
        yield name, changed(text, old, new)
    yield "two ufrags", changed(text, f"a=ice-ufrag:{UFRAG}", f"a=ice-ufrag:{UFRAG}\r\na=ice-ufrag:zzzz")
    yield "ice-options with commas", changed(text, "a=ice-options:trickle", "a=ice-options:ice2,trickle")
    yield "ice-options renomination", changed(text, "a=ice-options:trickle", "a=ice-options:trickle renomination")
    fingerprint = f"a=fingerprint:sha-256 {SHA256}"
    for name, new in (
        ("in lower case", f"a=fingerprint:sha-256 {SHA256.lower()}"),
        ("with the hash in capitals", f"a=fingerprint:SHA-256 {SHA256}"),
        ("without colons", f"a=fingerprint:sha-256 {SHA256.replace(':', '')}"),
        ("of 31 bytes", f"a=fingerprint:sha-256 {SHA256[:-3]}"),
        ("of 33 bytes", f"a=fingerprint:sha-256 {SHA256}:00"),
        ("with two blanks", f"a=fingerprint:sha-256  {SHA256}"),
        ("with a trailing word", f"a=fingerprint:sha-256 {SHA256} x"),
        ("sha-1", f"a=fingerprint:sha-1 {SHA1}"),
        ("sha-384", f"a=fingerprint:sha-384 {SHA384}"),
        ("sha-512", f"a=fingerprint:sha-512 {SHA512}"),
        ("sha-224", f"a=fingerprint:sha-224 {SHA256[:83]}"),
        ("md5", f"a=fingerprint:md5 {SHA256[:47]}"),
        ("of an unknown hash", f"a=fingerprint:sha-999 {SHA256}"),
        ("sha-1 before sha-256", f"a=fingerprint:sha-1 {SHA1}\r\n{fingerprint}"),
        ("sha-256 before sha-1", f"{fingerprint}\r\na=fingerprint:sha-1 {SHA1}"),
        ("malformed after a good one", f"{fingerprint}\r\na=fingerprint:sha-256 %%"),
        ("of an unknown hash after a good one", f"{fingerprint}\r\na=fingerprint:sha-999 00"),
    ):
        yield f"fingerprint {name}", changed(text, fingerprint, new)
    yield "tls-id", changed(text, fingerprint, f"{fingerprint}\r\na=tls-id:abcdefghijklmnopqrstuvwxyz")
    yield "identity", changed(text, "t=0 0", "t=0 0\r\na=identity:eyJ")
    yield (
        "crypto beside the fingerprint",
        changed(text, fingerprint, f"{fingerprint}\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{'A' * 40}"),
    )
    yield (
        "crypto instead of the fingerprint",
        changed(text, fingerprint, f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{'A' * 40}"),
    )
    for value in ("actpass", "active", "passive", "holdconn", "ACTPASS", "both"):
        if setup != f"a=setup:{value}":
            yield f"setup {value}", changed(text, setup, f"a=setup:{value}")
    for value in ("sendonly", "recvonly", "inactive"):
        yield f"direction {value}", changed(text, "a=sendrecv", f"a={value}")
    yield "direction in capitals", changed(text, "a=sendrecv", "a=SENDRECV")
    yield "two directions", changed(text, "a=sendrecv", "a=sendrecv\r\na=sendonly")
    for value in ("0", "10", "120", "20.5", "5000", "-20", "twenty", "99999999999"):
        yield f"ptime {value}", changed(text, "a=ptime:20", f"a=ptime:{value}")
        yield f"maxptime {value}", changed(text, "a=maxptime:60", f"a=maxptime:{value}")
    yield "minptime attribute", changed(text, "a=ptime:20", "a=ptime:20\r\na=minptime:10")
    for name, value in (
        ("with blanks", "minptime=10; useinbandfec=1"),
        ("stereo=1", "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1"),
        ("stereo=0", "stereo=0"),
        ("stereo=true", "stereo=true"),
        ("useinbandfec without value", "useinbandfec"),
        ("empty parameters", ";;;useinbandfec=1;"),
        ("maxaveragebitrate=64000", "maxaveragebitrate=64000"),
        ("maxaveragebitrate=0", "maxaveragebitrate=0"),
        ("maxaveragebitrate=9999999", "maxaveragebitrate=9999999"),
        ("maxaveragebitrate malformed", "maxaveragebitrate=fast"),
        ("maxplaybackrate=8000", "maxplaybackrate=8000"),
        ("cbr and usedtx", "cbr=1;usedtx=1"),
        ("unknown parameter", "x-y=z;useinbandfec=1"),
        ("a parameter twice", "stereo=1;stereo=0"),
        ("names in capitals", "MINPTIME=10;USEINBANDFEC=1"),
    ):
        yield f"fmtp {name}", changed(text, "minptime=10;useinbandfec=1", value)
    yield "fmtp for another format", changed(text, "a=fmtp:111 ", "a=fmtp:112 ")
    yield (
        "fmtp before rtpmap",
        changed(
            text,
            "a=rtpmap:111 opus/48000/2\r\n",
            "",
        ).replace("a=fmtp:63", "a=rtpmap:111 opus/48000/2\r\na=fmtp:63"),
    )
    for value in ("OPUS/48000/2", "opus/48000", "opus/48000/1", "opus/16000/2", "opus/48000/2/x", "opus/x/2", "opus"):
        yield f"rtpmap {value}", changed(text, "a=rtpmap:111 opus/48000/2", f"a=rtpmap:111 {value}")
    yield "rtpmap with two blanks", changed(text, "a=rtpmap:111 opus", "a=rtpmap:111  opus")
    yield "rtpmap of another format malformed", changed(text, "a=fmtp:63", "a=rtpmap:100 %%\r\na=fmtp:63")
    yield "rtpmap of format 300", changed(text, "a=fmtp:63", "a=rtpmap:300 x/8000\r\na=fmtp:63")
    yield "rtpmap of a format that the m= line lacks", changed(text, "a=fmtp:63", "a=rtpmap:0 PCMU/8000\r\na=fmtp:63")
    yield "Opus as 96", text.replace("111", "96")
    yield "Opus as 77", text.replace("111", "77")
    yield "Opus as 35", text.replace("111", "35")
    yield (
        "Opus as 111 and 109",
        changed(
            changed(text, "SAVPF 111 63", "SAVPF 109 111 63"), "a=fmtp:63", "a=rtpmap:109 opus/48000/2\r\na=fmtp:63"
        ),
    )
    for value in ("1/recvonly", "0", "15", "255", "256", "x"):
        yield f"extmap {value}", changed(text, "a=extmap:1 ", f"a=extmap:{value} ")
    yield (
        "extmap with a number twice",
        changed(text, "a=sendrecv", "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=sendrecv"),
    )
    yield "extmap unknown", changed(text, "a=sendrecv", "a=extmap:9 urn:example:unknown x=y\r\na=sendrecv")
    for name, value in (
        ("of two streams", "msid:a x\r\na=msid:b y"),
        ("without stream", "msid:- track"),
        ("without track", "msid:stream"),
        ("of 300 characters", f"msid:{'s' * 300} t"),
    ):
        yield f"msid {name}", changed(text, "msid:5f0c2d9e-1b7a-4c86 0d9b7a3e-44f2-4b1c", value)
    for name, value in (
        ("without attribute", "ssrc:1399694169"),
        ("too large", "ssrc:99999999999 cname:x"),
        ("negative", "ssrc:-5 cname:x"),
        ("0", "ssrc:0 cname:x"),
        ("without cname", "ssrc:1399694169 msid:a b"),
        ("with an unknown attribute", "ssrc:1399694169 x-y:z"),
        ("twice with another cname", "ssrc:1399694169 cname:x\r\na=ssrc:1399694169 cname:y"),
        ("of two sources", "ssrc:1 cname:x\r\na=ssrc:2 cname:x"),
        ("with a group", "ssrc:1 cname:x\r\na=ssrc:2 cname:x\r\na=ssrc-group:FID 1 2"),
        ("with a malformed group", "ssrc:1 cname:x\r\na=ssrc-group:FID %%"),
    ):
        yield f"ssrc {name}", changed(text, "ssrc:1399694169 cname:Tq0rVvW8yXfE2aKd", value)
    for value in ("AS:50", "TIAS:64000", "AS:0", "AS:-1", "AS:x", "AS", "CT:100", "RS:0\r\nb=RR:0", "X-YZ:1", "AS: 50"):
        yield f"b={value}".replace("\r\n", " and "), changed(text, "a=rtcp:9 ", f"b={value}\r\na=rtcp:9 ")
    yield "b=AS:50 at session level", changed(text, "t=0 0", "b=AS:50\r\nt=0 0")
    yield "b= line last", text + "b=AS:50\r\n"
    for name, value in (
        ("nack", "111 nack"),
        ("for all formats", "* nack"),
        ("for a format that the m= line lacks", "99 nack"),
        ("malformed", "nack"),
    ):
        yield f"rtcp-fb {name}", changed(text, "a=rtcp-fb:111 transport-cc", f"a=rtcp-fb:{value}")
    yield "rtcp-mux with a value", changed(text, "a=rtcp-mux\r\n", "a=rtcp-mux:1\r\n")
    yield "rtcp-mux in capitals", changed(text, "a=rtcp-mux\r\n", "a=RTCP-MUX\r\n")
    yield "rtcp with another port", changed(text, "a=rtcp:9 IN", "a=rtcp:54610 IN")
    good = next(line for line in lines if line.startswith("a=candidate:"))
    for name, value in _of_candidates():
        if name in _IN_DESCRIPTIONS:
            yield f"candidate {name}", changed(text, good, f"{good}\r\na={value}")
    yield "no candidate, with end-of-candidates", changed(text, good, "a=end-of-candidates")
    yield (
        "300 candidates",
        changed(text, good, "\r\n".join(changed(good, "54609", str(20_000 + number)) for number in range(300))),
    )


_IN_DESCRIPTIONS = frozenset(
    {
        *("truncated", "of TCP", "with a .local name", "IPv6", "IPv6 with a zone", "srflx without raddr", "port -1"),
        *("with an extension without value", "port 99999", "priority of 2^32", "component 2", "type unknown"),
    }
)


def _of_offers() -> Iterator[tuple[str, str]]:
    """Variations of sections beside the audio."""
    audio = OFFER[OFFER.index("m=audio") :]
    both = changed(OFFER, "BUNDLE 0", "BUNDLE 0 1")
    yield "video after", both + _VIDEO
    yield "video first", both.replace(audio, _VIDEO + audio)
    yield "video rejected", both + changed(_VIDEO, "m=video 9", "m=video 0")
    yield "video rejected without format", OFFER + changed(_VIDEO, "video 9 UDP/TLS/RTP/SAVPF 96", "video 0 RTP/AVP")
    yield "video without mid", OFFER + changed(_VIDEO, "a=mid:1\r\n", "")
    yield "video with the mid of the audio", OFFER + changed(_VIDEO, "a=mid:1", "a=mid:0")
    yield "video without group", OFFER.replace("a=group:BUNDLE 0\r\n", "") + _VIDEO
    yield "video without rtpmap", both + changed(_VIDEO, "a=rtpmap:96 VP8/90000\r\n", "")
    yield "video with a malformed rtpmap", both + changed(_VIDEO, "VP8/90000", "%%")
    yield (
        "video without ICE credentials",
        both + changed(_VIDEO, f"a=ice-ufrag:{UFRAG}\r\na=ice-pwd:{PASSWORD}\r\n", ""),
    )
    yield "video with other ICE credentials", both + changed(_VIDEO, UFRAG, "zzzz")
    yield "data channel after", both + _DATA
    old_data = changed(_DATA, "UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000")
    yield "data channel of the old form", both + changed(old_data, "sctp-port:5000", "sctpmap:5000 x 1024")
    yield "data channel rejected", both + changed(_DATA, "m=application 9", "m=application 0")
    yield "data channel malformed", both + changed(_DATA, "a=sctp-port:5000", "a=sctp-port:x")
    yield "text section", both + changed(changed(_VIDEO, "m=video", "m=text"), "VP8/90000", "t140/1000")
    yield "section of an unknown kind", both + changed(_VIDEO, "m=video", "m=x-smell")
    second = changed(audio, "a=mid:0", "a=mid:1")
    yield "two audio sections", both + second
    yield (
        "two audio sections, first rejected",
        changed(OFFER, "BUNDLE 0", "BUNDLE 1").replace(audio, changed(audio, "m=audio 9", "m=audio 0") + second),
    )
    yield "two audio sections, second rejected", OFFER + changed(second, "m=audio 9", "m=audio 0")
    yield "video only", changed(OFFER, audio, changed(_VIDEO, "a=mid:1", "a=mid:0"))
    yield (
        "bundle-only audio",
        changed(both, audio, _VIDEO)
        + changed(changed(audio, "m=audio 9", "m=audio 0"), "a=mid:0", "a=mid:0\r\na=bundle-only"),
    )


def _of_answers() -> Iterator[tuple[str, str]]:
    """Variations of what an answer changes of our offer."""
    yield "another mid", _with_mid(ANSWER, "audio")
    yield "another mid without group", changed(_with_mid(ANSWER, "audio"), "a=group:BUNDLE audio\r\n", "")
    yield (
        "Opus only",
        "".join(
            f"{line}\r\n"
            for line in changed(ANSWER, "SAVPF 111 63", "SAVPF 111").splitlines()
            if not line.startswith(("a=rtpmap:63", "a=fmtp:63"))
        ),
    )
    yield "another section more", changed(ANSWER, "BUNDLE 0", "BUNDLE 0 1") + changed(_VIDEO, "actpass", "active")
    yield "another section rejected", ANSWER + changed(changed(_VIDEO, "actpass", "active"), "m=video 9", "m=video 0")
    yield "video instead of audio", changed(ANSWER, "m=audio", "m=video")
    yield "an HTML page", "<html><body>502 Bad Gateway</body></html>"
    yield (
        "no feedback, extensions and sources",
        "".join(
            f"{line}\r\n"
            for line in ANSWER.splitlines()
            if not line.startswith(("a=rtcp-fb", "a=extmap", "a=ssrc", "a=msid", "a=rtcp-rsize"))
        ),
    )


def _of_candidates() -> Iterator[tuple[str, str]]:
    yield "host", CANDIDATE
    yield "empty", ""
    yield "one blank", " "
    yield "with a= prefix", f"a={CANDIDATE}"
    yield "without prefix", CANDIDATE.removeprefix("candidate:")
    yield "with the prefix twice", f"candidate:{CANDIDATE}"
    yield "with the prefix in capitals", CANDIDATE.replace("candidate", "CANDIDATE")
    yield "with a line end", CANDIDATE + "\r\n"
    yield "with two lines", f"{CANDIDATE}\r\na={_OTHER_CANDIDATE}"
    yield "with a blank at the end", CANDIDATE + " "
    yield "with a blank at the start", " " + CANDIDATE
    yield "with two blanks between words", CANDIDATE.replace(" ", "  ")
    yield "with tabs between words", CANDIDATE.replace(" ", "\t")
    yield "truncated", "candidate:1387637174 1 udp 2122260223 192.0.2.1"
    yield "without type", CANDIDATE.removesuffix(" typ host")
    yield "type without word", CANDIDATE.removesuffix(" host")
    yield "type in capitals", CANDIDATE.replace("typ host", "TYP HOST")
    yield "type value in capitals", CANDIDATE.replace("typ host", "typ HOST")
    yield "type unknown", CANDIDATE.replace("typ host", "typ tunnel")
    yield "transport in capitals", CANDIDATE.replace(" udp ", " UDP ")
    yield "transport unknown", CANDIDATE.replace(" udp ", " sctp ")
    yield "of TCP", CANDIDATE.replace(" udp ", " tcp ").replace("61764", "9") + " tcptype active"
    yield "of passive TCP", CANDIDATE.replace(" udp ", " tcp ") + " tcptype passive"
    yield "of TCP without tcptype", CANDIDATE.replace(" udp ", " tcp ")
    yield "of TCP with an unknown tcptype", CANDIDATE.replace(" udp ", " tcp ") + " tcptype lazy"
    yield "of ssltcp", CANDIDATE.replace(" udp ", " ssltcp ")
    yield "with a .local name", CANDIDATE.replace("192.0.2.1", "3f2c8a1e-7b6d-4e55-9c1f-0a2b3c4d5e6f.local")
    yield "with a name", CANDIDATE.replace("192.0.2.1", "radio.example")
    yield "with a malformed address", CANDIDATE.replace("192.0.2.1", "192.0.2.999")
    yield "IPv6", CANDIDATE.replace("192.0.2.1", "2001:db8::5")
    yield "IPv6 with a zone", CANDIDATE.replace("192.0.2.1", "fe80::5%eth0")
    yield "IPv6 in brackets", CANDIDATE.replace("192.0.2.1", "[2001:db8::5]")
    yield "IPv4-mapped", CANDIDATE.replace("192.0.2.1", "::ffff:192.0.2.1")
    yield "loopback", CANDIDATE.replace("192.0.2.1", "127.0.0.1")
    yield "unspecified address", CANDIDATE.replace("192.0.2.1", "0.0.0.0")
    yield "multicast address", CANDIDATE.replace("192.0.2.1", "224.0.0.1")
    for port in ("0", "9", "80", "65535", "65536", "99999", "-1", "x"):
        yield f"port {port}", CANDIDATE.replace("61764", port)
    for name, value in (
        *(("0", "0"), ("1", "1"), ("of 2^32 - 1", "4294967295"), ("of 2^32", "4294967296"), ("-1", "-1"), ("x", "x")),
        ("1e9", "1e9"),
    ):
        yield f"priority {name}", CANDIDATE.replace("2122260223", value)
    for component in ("0", "2", "3", "256", "257", "-1", "x", "rtp"):
        yield f"component {component}", CANDIDATE.replace("1387637174 1", f"1387637174 {component}")
    for name, value in (
        *(("with odd ice-chars", "a+/9"), ("with other characters", "a*b!"), ("of 32 characters", "f" * 32)),
        *(("of 33 characters", "f" * 33), ("of 300 characters", "f" * 300), ("in unicode", "größe")),
    ):
        yield f"foundation {name}", CANDIDATE.replace("1387637174", value)
    yield "foundation empty", CANDIDATE.replace("1387637174", "")
    yield "srflx", CANDIDATE.replace("host", "srflx") + " raddr 10.0.0.1 rport 50000"
    yield "srflx without raddr", CANDIDATE.replace("host", "srflx")
    yield "srflx without rport", CANDIDATE.replace("host", "srflx") + " raddr 10.0.0.1"
    yield "srflx with raddr 0.0.0.0", CANDIDATE.replace("host", "srflx") + " raddr 0.0.0.0 rport 0"
    yield "srflx with rport 9 and no raddr", CANDIDATE.replace("host", "srflx") + " rport 9"
    yield "srflx with a malformed rport", CANDIDATE.replace("host", "srflx") + " raddr 10.0.0.1 rport x"
    yield "srflx with rport 70000", CANDIDATE.replace("host", "srflx") + " raddr 10.0.0.1 rport 70000"
    yield "srflx with a malformed raddr", CANDIDATE.replace("host", "srflx") + " raddr here rport 9"
    yield "prflx", CANDIDATE.replace("host", "prflx") + " raddr 10.0.0.1 rport 50000"
    yield "relay", CANDIDATE.replace("host", "relay") + " raddr 10.0.0.1 rport 50000"
    yield "with extensions", CANDIDATE + " generation 0 ufrag k3Vd network-id 1 network-cost 10"
    yield "with unknown extensions", CANDIDATE + " x-speed fast y 1"
    yield "with an extension without value", CANDIDATE + " x-speed"
    yield "with an extension in unicode", CANDIDATE + " x-größe ☃"
    yield "with another ufrag", CANDIDATE + " ufrag zzzz"
    yield "with a malformed generation", CANDIDATE + " generation x"
    yield "with a malformed network-cost", CANDIDATE + " network-cost 99999999"
    yield "with NUL", CANDIDATE + " x a\0b"
    yield "of 1100 characters", CANDIDATE + " x " + "y" * 1030
    yield "end-of-candidates", "end-of-candidates"
    yield "other text", "hello world"


def _of_fragments() -> Iterator[tuple[str, str]]:
    head = f"a=ice-ufrag:{UFRAG}\r\na=ice-pwd:{PASSWORD}\r\n"
    section = "m=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
    one, two = f"a={CANDIDATE}\r\n", f"a={_OTHER_CANDIDATE}\r\n"
    whole = head + section + one + two + "a=end-of-candidates\r\n"
    yield "of two candidates", whole
    yield "with LF", whole.replace("\r\n", "\n")
    yield "without m= line", head + one + two
    yield "with an m= line without port", whole.replace("m=audio 9 RTP/AVP 0", "m=audio RTP/AVP 0")
    yield "with an empty m= line", whole.replace("m=audio 9 RTP/AVP 0", "m=")
    yield "without mid", whole.replace("a=mid:0\r\n", "")
    yield "with another mid", whole.replace("a=mid:0", "a=mid:7")
    yield "without credentials", section + one + two
    yield "with credentials in the section", section + head + one + two
    yield "without candidates", head + section + "a=end-of-candidates\r\n"
    yield "with a candidate twice", head + section + one + one
    yield "with the prefix twice", whole.replace("a=candidate:", "a=candidate:candidate:")
    yield "with a malformed candidate", head + section + one + "a=candidate:1 1 udp\r\n" + two
    yield "with a TCP candidate", head + section + one + two.replace("udp", "tcp") + ""
    yield "with a name", head + section + one + two.replace("198.51.100.1", "x.local")
    yield "with a port of 99999", head + section + one + two.replace("61765", "99999")
    yield "with component 2", head + section + one + two.replace("3471623853 1", "3471623853 2")
    yield "with an extension without value", head + section + one + two.replace("typ host", "typ host x-speed")
    yield "with unknown attributes", whole.replace("a=mid:0", "a=mid:0\r\na=x-unknown:1")
    yield "with an unknown line", whole.replace("a=mid:0", "a=mid:0\r\ny=1")
    yield "with a line without equals sign", whole.replace("a=mid:0", "a=mid:0\r\ngarbage")
    yield "with NUL", whole.replace("a=mid:0", "a=mid:0\r\na=x:a\0b")
    yield "with an empty line", whole.replace("a=mid:0", "\r\na=mid:0")
    yield "with a whole description around", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" + whole
    yield "with end-of-candidates misspelled", whole.replace("a=end-of-candidates", "a=end-of-candiadates")
    yield "empty", ""


def _with_mid(text: str, mid: str) -> str:
    return changed(changed(text, "a=mid:0", f"a=mid:{mid}"), "BUNDLE 0", f"BUNDLE {mid}")


def _name(line: str) -> str:
    """Return what tells a line from the others of its description: its type, attribute and payload type."""
    if not line.startswith("a="):
        return line[:2]
    name, _, value = line.partition(":")
    return f"{name}:{value.split()[0]}" if name in ("a=rtpmap", "a=fmtp", "a=rtcp-fb") else name


def _crlf(lines: list[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)
