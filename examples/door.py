"""Access control: admit only clients on this machine, and log who connects.

python examples/door.py
"""

from __future__ import annotations

import ipaddress

import bass_webrtc as bw


def admit(request: bw.PeerRequest) -> bool | str:
    """Return True to admit the client, or a reason for refusing it, which the page shows."""
    if ipaddress.ip_address(request.address).is_loopback:
        return True
    return "only clients on this machine may listen"


with bw.Server(bw.Tone(440, right_hz=880), bw.ServerConfig(max_peers=20)) as server:
    server.admit = admit
    server.on("peer_connected", lambda peer: print(f"{peer.remote_address} connected"))
    server.on("peer_disconnected", lambda peer, reason: print(f"peer {peer.id} disconnected: {reason}"))
    server.start()
    input(f"Open {server.url} and press Listen. Press Return to quit.\n")
