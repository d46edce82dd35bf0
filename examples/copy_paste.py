"""A call without a signaling server: you copy offer and answer between two instances of this program.

python examples/copy_paste.py              on one machine
python examples/copy_paste.py --answer     on the other: paste the offer here, then paste its answer on the first
"""

from __future__ import annotations

import argparse
import base64
import time
import zlib

import bass_webrtc as bw


def pack(sdp: str) -> str:
    """Compress an SDP to one line, short enough to paste into a terminal."""
    return base64.b64encode(zlib.compress(sdp.encode(), 9)).decode()


def unpack(line: str) -> str:
    """Reverse ``pack``."""
    return zlib.decompress(base64.b64decode(line.strip())).decode()


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--answer", action="store_true", help="answer an offer from the other instance")
parser.add_argument("--ice-server", action="append", default=[], metavar="URL", help="stun:HOST, for calls across NATs")
arguments = parser.parse_args()
config = bw.ServerConfig(signaling_mode="callback", ice_servers=tuple(map(bw.IceServer, arguments.ice_server)))

with bw.Server(bw.Tone(660 if arguments.answer else 440), config) as server:
    server.on("peer_disconnected", lambda peer, reason: print(f"disconnected: {reason}"))
    server.start()
    if arguments.answer:
        peer, answer = server.add_peer(unpack(input("Paste the offer: ")))
        print(f"The answer:\n{pack(answer)}")
    else:
        peer, offer = server.create_offer()
        print(f"The offer:\n{pack(offer)}")
        peer.set_answer(unpack(input("Paste the answer: ")))
    # A real program would play server.input_stream; this one only shows its level.
    while peer.state != "closed":
        server.read_input(4800)
        time.sleep(0.1)
        if peer.state == "connected":
            print(f"\rinput level {peer.stats().audio_level_dbfs:6.1f} dBFS", end="", flush=True)
