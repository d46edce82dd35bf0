"""A program whose standard streams are closed, as a daemoniser leaves them; its sockets get their numbers.

It writes ``passed`` to the file that its argument names.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import bass_webrtc as bw


def main(result: str) -> None:
    """Serve, play and publish, over ICE-lite and full ICE."""
    assert sys.stdin is None
    assert sys.stdout is None
    assert sys.stderr is None
    full_ice = (bw.IceServer("stun:127.0.0.1:9"),)
    for ice_servers in ((), full_ice):
        config = bw.ServerConfig(http_port=0, udp_port=0, ice_servers=ice_servers)
        with bw.Server(bw.Tone(), config) as server:
            server.start()
            for descriptor in range(3):
                assert os.path.realpath(f"/proc/self/fd/{descriptor}") == os.devnull, descriptor
            server.on("peer_connected", lambda _: 1 // 0)  # The traceback that is logged goes nowhere.
            with (
                bw.WhepClient(f"{server.url}whep") as player,
                bw.WhipClient(bw.Tone(), f"{server.url}whip") as publisher,
            ):
                for client in (player, publisher):
                    client.start()
                    assert client.wait_connected(30.0)
    Path(result).write_text("passed", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
