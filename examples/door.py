"""Who may listen, and who does: a door that lets this machine in, and a book of visitors.

python examples/door.py
"""

from __future__ import annotations

import ipaddress

import bass_webrtc as bw


def admit(request: bw.PeerRequest) -> bool | str:
    """A string is the reason that the page shows."""
    if ipaddress.ip_address(request.address).is_loopback:
        return True
    return "this station plays for its own house only"


with bw.Server(bw.Tone(440, right_hz=880), bw.ServerConfig(max_peers=20)) as server:
    server.admit = admit
    server.on("peer_connected", lambda peer: print(f"{peer.remote_address} listens"))
    server.on("peer_disconnected", lambda peer, reason: print(f"peer {peer.id} is gone: {reason}"))
    server.start()
    input(f"Open {server.url} and press play. Return ends it.\n")
