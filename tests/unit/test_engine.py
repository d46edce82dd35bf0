"""The engine's calls on peers, without its threads."""

from __future__ import annotations

from bass_webrtc.config import ServerConfig
from bass_webrtc.core import Engine, PeerKeys, SendingStream


def test_nacks_of_a_peer_do_not_block_other_commands() -> None:
    engine = Engine(ServerConfig(), 1, None)
    engine.add_peer(0, PeerKeys(7, bytes(28), bytes(28)), SendingStream(1, 0, 0, 111), None)
    for sequence in range(5_000):  # More than the command ring holds.
        engine.resend(0, sequence)
    engine.set_redundancy(0, 1)
    engine.remove_peer(0)
    engine.close()
